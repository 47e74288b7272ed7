"""Outputs: what the control socket can ask of the spool and its publisher."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import Any

import trio

from shotfs.app.conflicts import conflict_of
from shotfs.app.node import Node
from shotfs.app.permissions import READ, SEARCH, may
from shotfs.app.writers import WritingProcess, writers_of
from shotfs.control.access import Peer
from shotfs.control.publish_service import Outputs
from shotfs.errors import NotPermitted, PathNotFound
from shotfs.fuse.mount import Mount
from shotfs.publish import SpoolEntry, State
from shotfs.publish.table import unpublished
from shotfs.vfs.safety import state_of

LISTED_MAX = 1_000
"""Outputs, and scratch files, that one answer names."""

SHOWN_MAX = 100
"""Outputs that `show` says everything of."""

QUEUED = (State.OPEN, State.SEALED, State.UPLOADING, State.QUARANTINED, State.FAILED)

DURABILITY = {False: "node", True: "origin"}


class NodePublishing:
    """Implements `control.publish_service.PublishService` on a `Node`.

    Args:
        node: what is asked.
        mount: its mount; None for `shotfs serve`.
    """

    def __init__(self, node: Node, mount: Mount | None) -> None:
        self._node = node
        self._mount = mount

    def refresh_gauges(self) -> None:
        """Set the metrics of the queue, before they are read."""
        metrics = self._node.metrics
        files: Counter[str] = Counter({state.value: 0 for state in QUEUED})
        size: Counter[str] = Counter(files)
        oldest_ns = now = time.time_ns()
        for entry in self._unpublished():
            files[entry.state.value] += 1
            size[entry.state.value] += entry.size_bytes
            if entry.writers == 0 and entry.state is not State.QUARANTINED and not entry.aside:
                oldest_ns = min(oldest_ns, entry.mtime_ns)
        for state in files:
            metrics.queue_files[state].set(files[state])
            metrics.queue_bytes[state].set(size[state])
        metrics.queue_oldest_seconds.set((now - oldest_ns) / 1e9)

    def troubles(self) -> Mapping[str, int]:
        """Return how many outputs somebody has to do something about, by what is wrong."""
        counts: Counter[str] = Counter()
        for entry in self._unpublished():
            if entry.state is State.QUARANTINED:
                counts["conflicts"] += 1
            elif entry.state is State.FAILED:
                counts["partial" if entry.aside else "failed"] += 1
        return {name: counts[name] for name in ("conflicts", "failed", "partial")}

    async def stat(self, path: str, *, peer: Peer, admin: bool) -> Mapping[str, Any]:
        """Return whether *path* is safe, and where it is on its way."""
        found = await self._node.filesystem.safety.of(
            path,
            may_search=may(peer, SEARCH, admin=admin),
            may_read=may(peer, READ, admin=admin),
        )
        return asdict(found)

    async def show(self, which: Outputs) -> Sequence[Mapping[str, Any]]:
        """Return everything that is known of outputs."""
        shown = self.named(which)[:SHOWN_MAX]
        return [await self._shown(entry) for entry in shown]

    async def _shown(self, entry: SpoolEntry) -> Mapping[str, Any]:
        state, says = state_of(entry)
        if entry.aside:
            state, says = "partial", "nobody closed it after its last write; it is kept aside"
        writers: list[WritingProcess] = []
        if self._mount is not None and entry.place == "files":
            where = f"{self._mount.mountpoint}/{entry.path}"
            writers = await trio.to_thread.run_sync(writers_of, where)
        terms = entry.terms
        return {
            **asdict(self._node.publisher.item(entry)),
            "what": state,
            "says": says,
            "data_file": self._node.spool.core.data_path(entry),
            "closed": entry.closed_once,
            "mtime_ns": entry.mtime_ns,
            "uid": entry.uid,
            "gid": entry.gid,
            "mode": f"{entry.mode:04o}",
            "template": None if terms is None else terms.template,
            "immutable": None if terms is None else terms.immutable,
            "durability": None if terms is None else DURABILITY[terms.durability_origin],
            "grace_s": None if terms is None else terms.grace_s,
            "version": terms.version or None if terms is not None else None,
            "recorded": {} if terms is None else dict(terms.metadata),
            "sent_bytes": entry.size_bytes - entry.remaining_bytes,
            "open_handles": entry.open_handles,
            "writing": [asdict(one) for one in writers],
            "history": [asdict(one) for one in entry.history],
            "conflict": conflict_of(entry) if entry.state is State.QUARANTINED else None,
        }

    async def retry(self, which: Outputs | None) -> Mapping[str, Any]:
        """Try outputs again now that wait for their next attempt."""
        publisher = self._node.publisher
        retried, left = 0, []
        for entry in self.named(which):
            why_not = publisher.retry(entry)
            if why_not is None:
                retried += 1
            elif which is not None:
                left.append(asdict(publisher.item(entry)) | {"why_not": why_not})
        return {"retried": retried, "items": left}

    async def missing(
        self, *, job: str | None, paths: Sequence[str], peer: Peer, admin: bool
    ) -> Mapping[str, Any]:
        """Return which outputs of this node are not in the origin yet."""
        for path in paths:
            self._node.filesystem.check_output_path(path)
        found = await self._node.publisher.jobs.missing(job=job, paths=paths)
        told = [one for one in found if admin or one.uid == peer.uid]
        return {
            "count": len(found),
            "bytes": sum(one.size_bytes for one in found),
            "stuck": sum(one.stuck for one in found),
            "unknown": sum(one.job is None for one in found),
            "items": [asdict(one) for one in told[:LISTED_MAX]],
        }

    async def finish(self, job: str, *, peer: Peer, admin: bool) -> Mapping[str, Any]:
        """Let *job* have ended: seal what waits for that, remove its scratch files."""

        def allowed(entry: SpoolEntry) -> bool:
            return admin or (entry.terms is not None and entry.terms.uid == peer.uid)

        ended = await self._node.publisher.jobs.end(job, scratch=True, allowed=allowed)
        if ended.refused and not (ended.released or ended.removed or ended.kept):
            raise NotPermitted(
                f"job {job}: its outputs on this node are another user's",
                fix="say so as that user, as root, or as a member of control.admin_group",
            )
        if self._mount is not None:
            await self._mount.forget_names(ended.removed)
        return {
            "job": job,
            "released": ended.released,
            "removed": len(ended.removed),
            "removed_bytes": ended.removed_bytes,
            "kept": len(ended.kept),
            "removed_paths": ended.removed[:LISTED_MAX],
            "kept_paths": ended.kept[:LISTED_MAX],
            "refused": ended.refused,
        }

    def named(self, which: Outputs | None) -> list[SpoolEntry]:
        """Return the outputs that *which* means, oldest first; None: all that are unpublished.

        Raises:
            PathNotFound: there is no such output in the spool.
        """
        entries = sorted(self._unpublished(), key=lambda entry: entry.serial)
        if which is None:
            return entries
        if which.serial is not None:
            found = [entry for entry in entries if entry.serial == which.serial]
            what = f"output {which.serial}"
        else:
            path = which.path or ""
            found = [entry for entry in entries if _at_or_below(entry.path, path)]
            what = path
        if not found:
            raise PathNotFound(
                f"{what}: this node has no output of that name that is not in the origin",
                fix="shotfs publish queue shows those that it has",
            )
        return found

    def _unpublished(self) -> Iterator[SpoolEntry]:
        spool = self._node.spool
        yield from (entry for entry in spool.entries() if unpublished(entry))
        yield from spool.aside()


def _at_or_below(path: str, directory: str) -> bool:
    return not directory or path == directory or path.startswith(f"{directory}/")
