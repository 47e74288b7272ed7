"""The cache: what the control socket can ask of it, and of paths in it, and who is told what."""

from __future__ import annotations

import dataclasses
import itertools
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import trio

from shotfs.app.cache_check import CacheCheck
from shotfs.app.discretion import masked, own_part, owned_by
from shotfs.app.looking import look
from shotfs.app.node import Node
from shotfs.app.permissions import READ, SEARCH, may
from shotfs.app.top import Top
from shotfs.cache import Asker
from shotfs.control.access import Peer
from shotfs.errors import CacheBusy, PathNotFound
from shotfs.fuse.mount import Mount
from shotfs.vfs.cached_paths import Fetching
from shotfs.vfs.nodes import Published
from shotfs.vfs.waiting import OPERATIONS

FETCHES_KEPT = 64
"""Commands that fetch, or did, of which is known how far they are."""


class NodeCache:
    """Implements `control.cache_service.CacheService` on a `Node`.

    Args:
        node: what is asked.
        mount: its mount, whose kernel forgets what is different; None for `shotfs serve`.
        about: returns what the service is; see `app.top.Top`.
    """

    def __init__(
        self, node: Node, mount: Mount | None, about: Callable[[], Mapping[str, Any]]
    ) -> None:
        self._node = node
        self._mount = mount
        self._paths = node.filesystem.cached_paths
        self._top = Top(node, about)
        self._fetches: dict[int, Fetching] = {}
        self._numbers = itertools.count(1)
        self._running: trio.Nursery | None = None
        self._check = CacheCheck(node.cache, node.shows, node.settings.cache.verify_bytes_per_s)

    async def why(self, path: str, *, peer: Peer, admin: bool) -> Mapping[str, Any]:
        """Return what *path* is, where its bytes are, and what it waits for."""
        report = await self._node.filesystem.path_reports.why(
            path,
            may_search=may(peer, SEARCH, admin=admin),
            may_read=may(peer, READ, admin=admin),
        )
        told = dataclasses.asdict(report)
        return told if admin else dict(masked(told, owned_by(peer)))

    async def look(
        self, paths: Sequence[str], *, peer: Peer, admin: bool
    ) -> Sequence[Mapping[str, Any]]:
        """Return what each of *paths* is."""
        return await look(self._node, paths, peer=peer, admin=admin)

    async def entries(self, below: str, after: str, limit: int, order: str) -> Any:
        """Return a page of what is here."""
        return await self._paths.entries(below, after, limit, order)

    async def pin(
        self,
        paths: Sequence[str],
        *,
        owner: str,
        for_s: float | None,
        limit: int,
        fetch: bool,
        peer: Peer,
    ) -> Mapping[str, Any]:
        """Pin files, and have them fetched in the background if *fetch*."""
        until_s = None if for_s is None else time.time() + for_s
        kept, nodes = await self._paths.pin(paths, owner, until_s, limit)
        number = self._fetch(nodes, Asker(peer.pid, f"pin of {owner}")) if fetch else None
        return {**dataclasses.asdict(kept), "fetch": number}

    async def unpin(self, paths: Sequence[str], *, owner: str) -> int:
        """Remove the pins of *owner* at or below *paths*, none: all; return how many."""
        return await self._paths.unpin(paths or [""], owner)

    async def pins(self, owner: str, after: str, limit: int) -> Mapping[str, Any]:
        """Return a page of pins."""
        found, cursor = await self._paths.pins(owner, after, limit)
        return {"pins": found, "after": cursor}

    def fetching(self, number: int) -> Any:
        """Return how far a pin that fetches is."""
        report = self._fetches.get(number)
        if report is None:
            raise PathNotFound(
                f"nothing is fetched under the number {number}",
                fix="it ended long ago, or before the service was restarted: shotfs cache pins",
            )
        return report

    async def evict(self, paths: Sequence[str], *, limit: int) -> Any:
        """Evict what is cached of files and below directories."""
        return await self._paths.evict(paths, limit)

    def _fetch(self, nodes: Sequence[Published], asker: Asker) -> int:
        if self._running is None:
            raise CacheBusy("the service is not ready, or ends", fix="try again")
        number = next(self._numbers)
        report = self._fetches[number] = self._paths.fetching(nodes)
        while len(self._fetches) > FETCHES_KEPT:
            del self._fetches[next(iter(self._fetches))]
        self._running.start_soon(self._paths.fetch, nodes, asker, report)
        return number

    async def top(self, *, peer: Peer, admin: bool) -> Mapping[str, Any]:
        """Return what the node is doing now."""
        report = await self._top.report()
        return report if admin else own_part(report, owned_by(peer))

    def refresh_gauges(self) -> None:
        """Set the metrics that nobody sets while things happen, before they are read."""
        metrics, stats = self._node.metrics, self._node.cache.stats()
        metrics.cache_streams.set(stats.streams)
        metrics.cache_unkept.set(stats.unkept)
        metrics.cache_pinned_bytes.set(stats.pinned_bytes)
        metrics.cache_reserved_bytes.set(stats.bytes_reserved)
        for origin in self._node.shows.origins:
            # Also of an earlier process, and what is past the 24 hours goes without a request.
            egress = self._node.cache.inspector.limits_of(origin).egress
            if egress is not None:
                metrics.egress_bytes[egress.account].set(egress.day_bytes)
        counts = self._node.filesystem.waits.counts()
        for operation in OPERATIONS:
            metrics.waiting[operation].set(counts.get(operation, 0))

    async def run(self) -> None:
        """Fetch what shall be fetched, and watch what is to be told as recent, until cancelled."""
        async with trio.open_nursery() as nursery:
            self._running = nursery
            try:
                await self._top.recent.run()
            finally:
                self._running = None

    async def refresh(self, path: str, *, tree: bool, peer: Peer, admin: bool) -> Mapping[str, Any]:
        """Ask the origins about a path or tree again; users list at the rate of any process."""
        filesystem = self._node.filesystem
        asker = Asker(peer.pid, "shotfs refresh")

        async def admit(directory: str) -> None:
            if not admin:
                await filesystem.crawlers.admit(asker, peer.uid, directory)

        report = await filesystem.refresher.refresh(
            path,
            tree=tree,
            may_search=may(peer, SEARCH, admin=admin),
            may_read=may(peer, READ, admin=admin),
            admit=admit,
        )
        if self._mount is not None:
            changed = (change.path.rstrip("/") for change in report.changes)
            await self._mount.forget_names([path, *changed])
            await self._mount.forget_directories(path)
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
