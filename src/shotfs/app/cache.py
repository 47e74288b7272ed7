"""The cache: what the control socket can ask of it, and of paths in it, and who is told what."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from shotfs.app.cache_check import CacheCheck
from shotfs.app.node import Node
from shotfs.app.permissions import READ, SEARCH, may
from shotfs.control.access import Peer


class NodeCache:
    """Implements `control.cache_service.CacheService` on a `Node`.

    Args:
        node: what is asked.
    """

    def __init__(self, node: Node) -> None:
        self._node = node
        self._check = CacheCheck(node.cache, node.shows, node.settings.cache.verify_bytes_per_s)

    async def why(self, path: str, *, peer: Peer, admin: bool) -> Mapping[str, Any]:
        """Return what *path* is, where its bytes are, and what it waits for."""
        report = await self._node.filesystem.path_reports.why(
            path,
            may_search=may(peer, SEARCH, admin=admin),
            may_read=may(peer, READ, admin=admin),
        )
        return dataclasses.asdict(report)

    async def start_verify(
        self, *, repair: bool, bytes_per_s: int | None, paths: Sequence[str]
    ) -> Mapping[str, Any]:
        """Begin to check the cache in the background."""
        return await self._check.start(repair=repair, bytes_per_s=bytes_per_s, paths=paths)

    async def verification(self) -> Mapping[str, Any] | None:
        """Return how far the check is, or how the last one ended; None: there was none."""
        return await self._check.report()

    async def stop_verify(self) -> Mapping[str, Any] | None:
        """End the check that is under way, if one is."""
        return await self._check.stop()
