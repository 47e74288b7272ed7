"""Answers that began under one specification and end under another: the kernel keeps nothing."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import trio

from shotfs.fuse.inodes import ROOT
from shotfs.fuse.operations import Operations
from shotfs.fuse.passthrough import Passthrough
from shotfs.observe.metrics import Metrics
from shotfs.vfs import Attributes, Caller, Kind, Missing
from shotfs.vfs.attributes import directory_identity

TTL_S = 3600.0

CONTEXT: Any = SimpleNamespace(uid=1000, gid=1000, pid=7)
"""Who asks, as pyfuse3 tells it."""


class FileSystem:
    """Finds one thing after a while; meanwhile a specification may be swapped."""

    def __init__(self, found: Attributes | Missing, *, swap: bool) -> None:
        self.generation = 7
        self._found = found
        self._swap = swap

    def lookup_now(self, path: str) -> None:
        """It is never in memory."""

    async def lookup(self, path: str, caller: Caller | None = None) -> Attributes | Missing:
        await trio.lowlevel.checkpoint()
        if self._swap:
            self.generation += 1
        return self._found

    async def attributes(self, path: str) -> Any:
        return await self.lookup(path)


DIRECTORY = Attributes(
    identity=directory_identity(""),
    kind=Kind.DIRECTORY,
    mode=0o755,
    uid=0,
    gid=0,
    size_bytes=0,
    mtime_ns=0,
    ctime_ns=0,
    ttl_s=TTL_S,
)
NOTHING = Missing("ant", possible=False, ttl_s=TTL_S)


def operations(found: Attributes | Missing, *, swap: bool) -> Operations:
    filesystem: Any = FileSystem(found, swap=swap)
    return Operations(
        filesystem,
        Metrics(),
        request_deadline_s=10,
        serving=lambda: None,
        passthrough=Passthrough(bytes_min=0, files_max=0),
    )


@pytest.mark.parametrize("found", [DIRECTORY, NOTHING], ids=["found", "missing"])
@pytest.mark.parametrize(("swap", "kept_s"), [(False, TTL_S), (True, 0.0)])
async def test_a_name_that_was_looked_up_meanwhile_is_not_remembered(
    found: Attributes | Missing, swap: bool, kept_s: float
) -> None:
    entry = await operations(found, swap=swap).lookup(ROOT, b"ant", CONTEXT)
    assert entry.entry_timeout == kept_s
    assert isinstance(found, Missing) or entry.attr_timeout == kept_s


@pytest.mark.parametrize(("swap", "kept_s"), [(False, TTL_S), (True, 0.0)])
async def test_attributes_that_were_asked_for_meanwhile_are_not_remembered(
    swap: bool, kept_s: float
) -> None:
    entry = await operations(DIRECTORY, swap=swap).getattr(ROOT, None)
    assert entry.attr_timeout == kept_s
