"""The cache: what the control socket can ask of it, and of paths in it, and who is told what."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

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

    async def why(self, path: str, *, peer: Peer, admin: bool) -> Mapping[str, Any]:
        """Return what *path* is, where its bytes are, and what it waits for."""
        report = await self._node.filesystem.path_reports.why(
            path,
            may_search=may(peer, SEARCH, admin=admin),
            may_read=may(peer, READ, admin=admin),
        )
        return dataclasses.asdict(report)
