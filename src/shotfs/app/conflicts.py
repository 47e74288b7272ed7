"""Conflicts: what the control socket can ask of outputs that are kept aside."""

from __future__ import annotations

import logging
import os
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from typing import Any

import trio

from shotfs.app.node import Node
from shotfs.control.access import Peer
from shotfs.control.publish_service import Outputs
from shotfs.digest import Digest
from shotfs.errors import InvalidArgument, PathNotFound, ShotfsError, SpoolBroken
from shotfs.fuse.mount import Mount
from shotfs.publish import SpoolEntry, State
from shotfs.publish.compare import Difference, difference
from shotfs.tiers.base import Revision, Span, Tier
from shotfs.vfs.conflicts import wanted_path

log = logging.getLogger(__name__)

BLOCK_BYTES = 1024 * 1024
"""So much of either side is in memory at a time."""

COMPARISONS_MAX = 2
"""Comparisons at the same time: they share the disk and the network with jobs."""


class NodeConflicts:
    """Implements `control.conflict_service.ConflictService` on a `Node`.

    Args:
        node: what is asked.
        mount: its mount, whose kernel forgets what is different; None for `shotfs serve`.
    """

    def __init__(self, node: Node, mount: Mount | None) -> None:
        self._node = node
        self._mount = mount
        self._reading = trio.CapacityLimiter(COMPARISONS_MAX)

    def conflicts(self, which: Outputs | None) -> Sequence[Mapping[str, Any]]:
        """Return what is kept aside, oldest first."""
        return [conflict_of(entry) for entry in self._named(which)]

    async def compare(self, serial: int) -> Mapping[str, Any]:
        """Return a conflict, compared with what the origin has now."""
        entry = self._one(serial)
        tier, revision = await self._theirs(entry)
        told = conflict_of(entry)
        async with self._reading:
            found: Difference = await difference(
                tier, revision, self._node.spool.core.data_path(entry)
            )
        theirs = {
            **(told["theirs"] or {}),
            **_object(tier.name, revision),
            "digest": found.theirs,
            "problem": "",
        }
        try:
            theirs["recorded"] = dict(await tier.recorded(revision))
        except ShotfsError as error:
            theirs["problem"] = error.message
        return {
            **told,
            "ours": {**told["ours"], "digest": found.ours},
            "theirs": theirs,
            "same": found.first is None,
            "first_difference": found.first,
        }

    async def content(self, serial: int, side: str) -> tuple[int, AsyncIterator[bytes]]:
        """Return size and bytes of a side."""
        entry = self._one(serial)
        if side == "ours":
            path = self._node.spool.core.data_path(entry)
            try:
                descriptor = await trio.to_thread.run_sync(
                    os.open, path, os.O_RDONLY | os.O_CLOEXEC
                )
            except OSError as error:
                raise SpoolBroken(f"output {serial}: {path} cannot be read: {error}") from error
            return os.fstat(descriptor).st_size, _FileBlocks(descriptor)
        tier, revision = await self._theirs(entry)
        return revision.size_bytes, _blocks(tier, revision)

    async def resolve(
        self, which: Outputs, *, path: str | None, by: Peer
    ) -> Sequence[Mapping[str, Any]]:
        """Publish outputs in quarantine under other paths."""
        entries = [entry for entry in self._named(which) if entry.state is State.QUARANTINED]
        if not entries:
            raise InvalidArgument(
                "only what lost a race gets another path; these are partial",
                fix="copy them out with `shotfs publish conflicts save`, and look at them",
            )
        if path is not None and len(entries) > 1:
            serials = ", ".join(str(entry.serial) for entry in entries[:10])
            raise InvalidArgument(
                f"{len(entries)} outputs are in conflict there, and {path} is one path",
                fix=f"name one of them by its number ({serials}), or use --next-version",
            )
        desk = self._node.filesystem.conflicts
        paths = [path] if path is not None else await desk.next_paths(entries)
        done = []
        for entry, new in zip(entries, paths, strict=True):
            old = wanted_path(entry)
            await desk.publish_as(entry, new)
            log.info("conflict resolved by %s: %s is published as %s", by, old, new)
            done.append({"serial": entry.serial, "old": old, "new": new})
        if self._mount is not None:
            await self._mount.forget_names([one for new in paths for one in _with_parents(new)])
        return done

    async def drop(self, which: Outputs, *, by: Peer) -> Sequence[Mapping[str, Any]]:
        """Remove outputs that are kept aside, for good."""
        dropped = []
        for entry in self._named(which):
            told = conflict_of(entry)
            await self._node.spool.discard(entry)
            log.warning(
                "output %d of %s was dropped by %s: %d bytes, digest %s, %s",
                entry.serial,
                told["path"] or "an unknown path",
                by,
                entry.size_bytes,
                entry.digest,
                entry.error,
            )
            dropped.append(told)
        return dropped

    # --- helpers ---------------------------------------------------------------------------------

    def _named(self, which: Outputs | None) -> list[SpoolEntry]:
        kept = sorted(self._node.spool.aside(), key=lambda entry: entry.serial)
        if which is None:
            return kept
        if which.serial is not None:
            found = [entry for entry in kept if entry.serial == which.serial]
        else:
            below = which.path or ""
            found = [entry for entry in kept if _at_or_below(wanted_path(entry), below)]
        if not found:
            what = which.path if which.serial is None else f"number {which.serial}"
            raise PathNotFound(
                f"{what}: no conflict or partial file of this name is kept on this node",
                fix="shotfs publish conflicts lists them",
            )
        return found

    def _one(self, serial: int) -> SpoolEntry:
        return self._named(Outputs(serial=serial))[0]

    async def _theirs(self, entry: SpoolEntry) -> tuple[Tier, Revision]:
        """Return what the origin has now in the place of *entry*."""
        if entry.terms is None:
            raise InvalidArgument(
                f"output {entry.serial}: nobody knows where it should have been published",
                fix="copy it out with `shotfs publish conflicts save`",
            )
        tier = await self._node.tiers.get(entry.terms.origin)
        rival = entry.rival
        key = entry.terms.key
        if rival is not None and rival.path and rival.revision is not None:
            key = rival.revision.key  # it was renamed onto another path
        return tier, await tier.stat(key)


class _FileBlocks:
    """The bytes of a descriptor, which it owns; closed when nobody wants any more of them."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        block = await trio.to_thread.run_sync(os.read, self._descriptor, BLOCK_BYTES)
        if not block:
            raise StopAsyncIteration
        return block

    def __del__(self) -> None:
        # A generator whose client goes away is not closed before it is collected either.
        os.close(self._descriptor)


async def _blocks(tier: Tier, revision: Revision) -> AsyncGenerator[bytes, None]:
    for start in range(0, revision.size_bytes, BLOCK_BYTES):
        stop = min(start + BLOCK_BYTES, revision.size_bytes)
        yield bytes(await tier.read(revision, Span(start, stop)))


def conflict_of(entry: SpoolEntry) -> dict[str, Any]:
    """Return what is known of an output that is kept aside, as `ConflictService` has it."""
    rival, path = entry.rival, wanted_path(entry)
    theirs: dict[str, Any] | None = None
    if rival is not None:
        known = {} if rival.revision is None else _object(rival.revision.tier, rival.revision)
        theirs = {
            **known, "path": rival.path, "recorded": dict(rival.recorded),
            "problem": rival.problem,
        }  # fmt: skip
    return {
        "serial": entry.serial,
        "path": path,
        "kind": "conflict" if entry.state is State.QUARANTINED else "partial",
        "since_ns": entry.ctime_ns if rival is None else rival.found_ns,
        "message": entry.error,
        "ours": {
            "size_bytes": entry.size_bytes,
            "digest": entry.digest,
            "mtime_ns": entry.mtime_ns,
            "uid": entry.uid,
            "written_as": entry.path if entry.path != path else "",
            "recorded": {} if entry.terms is None else dict(entry.terms.metadata),
        },
        "theirs": theirs,
    }


def _object(tier: str, revision: Revision) -> dict[str, Any]:
    digest: Digest | None = revision.checksums.xxh128
    return {
        "origin": f"{tier}/{revision.key}",
        "version": revision.version,
        "size_bytes": revision.size_bytes,
        "mtime_ns": revision.mtime_ns,
        "digest": digest,
    }


def _at_or_below(path: str, directory: str) -> bool:
    return not directory or path == directory or path.startswith(f"{directory}/")


def _with_parents(path: str) -> list[str]:
    parts = path.split("/")
    return ["/".join(parts[:depth]) for depth in range(2, len(parts) + 1)]
