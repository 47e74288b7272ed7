"""Service: what the control socket can ask of a running node."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from importlib.metadata import version
from typing import Any

import trio

from shotfs.app.cache import NodeCache
from shotfs.app.conflicts import NodeConflicts
from shotfs.app.inhibitor import Inhibitor, command_of
from shotfs.app.leaving import Leaving
from shotfs.app.localizing import NodeLocalizing
from shotfs.app.node import Node
from shotfs.app.preemption import Notice, PreemptionWatch
from shotfs.app.prewarming import NodePrewarming
from shotfs.app.publishing import NodePublishing
from shotfs.app.recording import NodeRecording
from shotfs.app.rescuing import rescue
from shotfs.app.versions import NodeVersions
from shotfs.cache.inspect import LimitReport
from shotfs.config.addresses import parse_address
from shotfs.control.metrics_port import MetricsPort
from shotfs.control.shutdown import obstacle
from shotfs.fuse.mount import Mount
from shotfs.namespace import SpecWatch
from shotfs.tiers.breaker import Reachability


class NodeService:
    """Implements `control.service.Service` on a `Node`.

    Args:
        node: what is asked.
        mount: its mount; None for `shotfs serve`.
        end: called once, when the service shall end.
        specs: knows which specifications are in force, and loads new ones.

    Attributes:
        metrics_port: serves the metrics over TCP; None where nobody wants that.
        leaving: how it ends.
    """

    def __init__(
        self, node: Node, mount: Mount | None, end: Callable[[], None], specs: SpecWatch
    ) -> None:
        self._node = node
        self._mount = mount
        self._specs = specs
        self._versions = NodeVersions(node, mount)
        self._publishing = NodePublishing(node, mount)
        self._conflicts = NodeConflicts(node, mount)
        self._localizing = NodeLocalizing(node)
        self._prewarming = NodePrewarming(node, node.recording.recordings)
        self._node_cache = NodeCache(node, mount, self._about)
        listen = node.settings.control.metrics_listen
        self.metrics_port = (
            None if listen is None else MetricsPort(parse_address(listen), self.metrics_text)
        )
        self._started_s = time.monotonic()
        self.leaving = Leaving(node, end)
        settings = node.settings.preemption
        self._preemption = PreemptionWatch(settings, node.metrics, self._noticed)
        self._inhibitor: Inhibitor | None = None
        if settings.inhibit != "off" and obstacle() is None:
            waits = node.publisher.waits
            self._inhibitor = Inhibitor(command_of(settings.inhibit), waits)

    @property
    def versions(self) -> NodeVersions:
        """What can be asked of versions and their aliases."""
        return self._versions

    @property
    def cache(self) -> NodeCache:
        """What can be asked of the cache, and of paths in it."""
        return self._node_cache

    @property
    def publishing(self) -> NodePublishing:
        """What can be asked of outputs on their way to the origin."""
        return self._publishing

    @property
    def conflicts(self) -> NodeConflicts:
        """What can be asked of outputs that are kept aside."""
        return self._conflicts

    @property
    def localizing(self) -> NodeLocalizing:
        """What can be asked of files by those who have no mount."""
        return self._localizing

    @property
    def prewarming(self) -> NodePrewarming:
        """What can be asked of prewarms."""
        return self._prewarming

    @property
    def recording(self) -> NodeRecording:
        """What can be asked of recordings of what jobs open."""
        return self._node.recording

    # --- asking ----------------------------------------------------------------------------------

    def status(self) -> Mapping[str, Any]:
        """Return what the service is and how it is, from memory."""
        node, mount = self._node, self._mount
        return {
            "state": self.leaving.state,
            "version": version("shotfs"),
            "pid": os.getpid(),
            "node": node.settings.node.name,
            "site": node.settings.node.site or None,
            "mountpoint": None if mount is None else mount.mountpoint,
            "read_only": None if mount is None else mount.read_only,
            "uptime_s": round(time.monotonic() - self._started_s, 1),
            "config": node.loaded.path,
            "shows": {show.name: self._specs.status(show.name) for show in node.shows},
            "view": node.filesystem.view.status(),
            "retracted": node.filesystem.reports.taken_back(),
            "origins": {url: self._origin(url) for url in node.shows.origins},
            "cache": self._cache(),
            "spool": self._spool(),
            "kernel": self._kernel(),
            "metrics": self._metrics(),
            "prewarms": self._prewarming.running(),
            "lookahead": asdict(node.lookahead.report()),
            "leaving": self._leaving_status(),
        }

    def cache_stats(self) -> Any:
        """Return the numbers of the cache, the share of hits since the start, and its policy."""
        stats = self._node.cache.stats()
        opens = stats.hits + stats.misses
        return {
            **asdict(stats),
            "hit_ratio": round(stats.hits / opens, 4) if opens else None,
            "eviction": self._node.settings.cache.eviction,
        }

    def queue(self) -> Sequence[Any]:
        """Return what is not in the origin yet."""
        return self._node.publisher.queue()

    def metrics_text(self) -> str:
        """Return all metrics in the Prometheus text format."""
        if self._mount is not None:
            self._mount.count_opens()
        self._node_cache.refresh_gauges()
        self._publishing.refresh_gauges()
        return self._node.metrics.text()

    # --- changing --------------------------------------------------------------------------------

    async def reload_specs(self, shows: Sequence[str]) -> Sequence[Any]:
        """Load what changed of the specifications; see `control.service.Service.reload_specs`."""
        return await self._specs.check(shows, force=True)

    async def evict(self, bytes_wanted: int | None) -> Any:
        """Free bytes of the cache."""
        return await self._node.cache.evict(bytes_wanted)

    async def drain(
        self, deadline_s: float, *, emergency: bool = False, stop: bool = False
    ) -> Sequence[Any]:
        """Publish what is in the spool; see `control.service.Service.drain`."""
        return await self.leaving.drain(deadline_s, emergency=emergency, stop=stop)

    async def rescue(self, url: str | None, node: str | None, *, dry_run: bool) -> Sequence[Any]:
        """Publish what other nodes left; see `control.service.Service.rescue`."""
        return await rescue(self._node, url, node, dry_run=dry_run)

    async def stop(self, drain: bool, deadline_s: float) -> None:
        """Begin to stop; see `control.service.Service.stop`."""
        self.leaving.begin("it was told to stop", deadline_s if drain else None)

    async def run(self) -> None:
        """Wait until it shall end, drain if asked to, then end the service."""
        await self.leaving.run()

    async def watch(self) -> None:
        """Watch for notices that this node is taken away, and hold shutdowns up; for ever."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._preemption.run)
            if self._inhibitor is not None:
                nursery.start_soon(self._inhibitor.run)

    def _noticed(self, notice: Notice) -> None:
        drain_s = self._node.settings.preemption.deadline_s or notice.drain_s
        self.leaving.begin(f"preempted: {notice.source} says {notice.what}", drain_s)

    # --- helpers ---------------------------------------------------------------------------------

    def _about(self) -> Mapping[str, Any]:
        """Return the part of the status that `shotfs top` shows."""
        told = self.status()
        names = ("state", "pid", "node", "mountpoint", "uptime_s", "origins", "prewarms")
        return {name: told[name] for name in names}

    def _origin(self, url: str) -> Mapping[str, Any]:
        tier = self._node.tiers.opened(url)
        near = self._node.tiers.opened_near(url)
        name = url if tier is None else tier.name
        limits = _limits(self._node.cache.inspector.limits_of(name))
        if tier is None and near is not None:
            return {"opened": True, "faster_tier": True, "paused": near.paused, **limits}
        breaker = None if tier is None else self._node.tiers.breakers.of(tier.name)
        return {
            "opened": tier is not None,
            **({} if breaker is None else _reachability(breaker.reachability)),
            "writable": None if tier is None else tier.properties.writable,
            "preconditions": None if tier is None else tier.properties.preconditions,
            **limits,
        }

    def _leaving_status(self) -> Mapping[str, Any]:
        inhibitor = self._inhibitor
        return {
            "reason": self.leaving.reason or None,
            "preemption": self._preemption.status(),
            "emergency": self._node.settings.spool.emergency,
            "holds_shutdown": inhibitor is not None and inhibitor.held,
        }

    def _cache(self) -> Mapping[str, Any]:
        stats = self._node.cache.stats()
        return {
            name: getattr(stats, name)
            for name in (
                "bytes",
                "bytes_max",
                "files",
                "hits",
                "misses",
                "streams",
                "evictions",
                "pinned_bytes",
                "full",
            )
        }

    def _spool(self) -> Mapping[str, Any]:
        return {
            "bytes": self._node.spool.used_bytes,
            "bytes_max": self._node.settings.spool.bytes_max,
            "entries": len(self._node.spool),
            "lent": len(self._node.spool.core.lending),
            "lending_problem": self._node.spool.core.lending.obstacle or None,
            "unpublished": len(self._node.publisher.queue()),
            **self._publishing.troubles(),
        }

    def _metrics(self) -> Mapping[str, Any] | None:
        port = self.metrics_port
        return None if port is None else {"listen": str(port.address), "problem": port.problem}

    def _kernel(self) -> Mapping[str, Any] | None:
        if self._mount is None:
            return None
        tuned = self._mount.tuned
        return {
            "inodes": self._mount.operations.inode_count,
            "open_files": self._mount.operations.open_count,
            "max_background": tuned.max_background,
            "readahead_bytes": tuned.readahead_bytes,
            **self._mount.features(),
        }


def _limits(found: LimitReport) -> Mapping[str, Any]:
    """Return what holds now; without the names of jobs, which not everybody is told."""
    use = found.egress
    egress = (
        None
        if use is None
        else {
            "account": use.account,
            "state": use.state,
            "day_bytes": use.day_bytes,
            "day_bytes_max": use.day_bytes_max,
            "job_bytes": use.job_bytes,
            "job_bytes_max": use.job_bytes_max,
        }
    )
    return {"bandwidth_bytes_per_s": found.bandwidth_bytes_per_s, "egress": egress}


def _reachability(found: Reachability) -> Mapping[str, Any]:
    since_s = datetime.fromtimestamp(found.since_s, UTC)
    since = since_s.isoformat(timespec="seconds").replace("+00:00", "Z")
    return {
        "reachable": found.reachable,
        # The origin of a service that has just started was not gone before.
        "since": since if found.outages else None,
        "outages": found.outages,
        "last_error": found.last_error or None,
    }
