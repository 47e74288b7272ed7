"""Outputs: what the control socket can ask of the spool and its publisher."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from shotfs.app.node import Node
from shotfs.control.access import Peer
from shotfs.control.publish_service import Outputs
from shotfs.errors import NotPermitted, PathNotFound
from shotfs.publish import SpoolEntry
from shotfs.publish.table import unpublished

LISTED_MAX = 1_000
"""Outputs, and scratch files, that one answer names."""


class NodePublishing:
    """Implements `control.publish_service.PublishService` on a `Node`."""

    def __init__(self, node: Node) -> None:
        self._node = node

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
