"""Outputs that are kept aside, for tests of the control socket: two of them, and their bytes."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from shotfs.control.access import Peer
from shotfs.control.publish_service import Outputs
from shotfs.errors import PathNotFound

OURS = b"ours" * 1000
THEIRS = b"their" * 900

CONFLICT: Mapping[str, Any] = {
    "serial": 12,
    "path": "ant/render/a.1001.exr",
    "kind": "conflict",
    "since_ns": 10**18,
    "message": "the origin has other bytes",
    "ours": {
        "size_bytes": len(OURS), "digest": "0" * 32, "mtime_ns": 10**18, "uid": 7,
        "written_as": "", "recorded": {"shotfs-node": "render-01", "shotfs-job": "4711"},
    },
    "theirs": {
        "origin": "gs://main/a.1001.exr", "version": "3", "size_bytes": len(THEIRS),
        "mtime_ns": 10**18, "digest": "f" * 32, "path": "", "problem": "",
        "recorded": {"shotfs-node": "render-02\x1b[31m"},
    },
}  # fmt: skip

PARTIAL: Mapping[str, Any] = {
    **CONFLICT, "serial": 13, "path": "", "kind": "partial", "theirs": None,
    "message": "partial: its writer was killed",
}  # fmt: skip


@dataclass
class FakeConflicts:
    """Remembers what it was asked; *calls* are those of the service."""

    calls: list[tuple[Any, ...]]
    broken: Callable[[], bool]

    def conflicts(self, which: Outputs | None) -> Sequence[Mapping[str, Any]]:
        self.calls.append(("conflicts", which))
        if which is None:
            return [CONFLICT, PARTIAL]
        found = [one for one in (CONFLICT, PARTIAL) if one["serial"] == which.serial]
        if which.path is not None:
            return [CONFLICT, PARTIAL]
        if not found:
            raise PathNotFound("no such conflict", fix="list them")
        return found

    async def compare(self, serial: int) -> Mapping[str, Any]:
        self.calls.append(("compare", serial))
        return {**CONFLICT, "same": serial == 13, "first_difference": 0 if serial == 12 else None}

    async def content(self, serial: int, side: str) -> tuple[int, AsyncIterator[bytes]]:
        self.calls.append(("content", serial, side))
        data = OURS if side == "ours" else THEIRS
        return len(data), self._blocks(data)

    async def _blocks(self, data: bytes) -> AsyncIterator[bytes]:
        yield data[:1000]
        if self.broken():
            raise RuntimeError("the disk is gone")
        yield data[1000:]

    async def resolve(
        self, which: Outputs, *, path: str | None, by: Peer
    ) -> Sequence[Mapping[str, Any]]:
        assert by.pid
        self.calls.append(("resolve", which, path))
        return [{"serial": 12, "old": CONFLICT["path"], "new": path or "ant/render/b.exr"}]

    async def drop(self, which: Outputs, *, by: Peer) -> Sequence[Mapping[str, Any]]:
        assert by.pid
        self.calls.append(("drop", which))
        return [CONFLICT]
