"""The whole node but its mount: real cache, spool, publisher and catalog over origins in memory."""

from __future__ import annotations

import errno
import json
import os
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import trio

from shotfs.app.node import Node, open_node
from shotfs.config import load
from shotfs.errors import ShotfsError, Stale
from shotfs.observe.metrics import Metrics
from shotfs.publish import SpoolEntry
from shotfs.vfs import Attributes, Caller, Change, FileSystem, Handle, Missing
from tests.unit.namespace.origin import Clock, Origin
from tests.unit.namespace.spec import DOCUMENT, MAIN, SECOND

PATIENCE_S = 20.0
"""How long something may take that takes milliseconds, on a machine that is busy."""

ARTIST = Caller(uid=1000, gid=1001, pid=7)
"""Who asks, where nothing else is said."""


def fails_with(number: int) -> pytest.RaisesExc[ShotfsError]:
    """Expect an error that applications see as errno *number*."""
    return pytest.RaisesExc(
        ShotfsError,
        check=lambda error: error.errno == number or _other(error, number),
    )


def _other(error: ShotfsError, number: int) -> bool:
    found = errno.errorcode.get(error.errno, error.errno)
    print(f"expected {errno.errorcode[number]}, got {found}: {error}")
    return False


@dataclass
class World:
    """A node whose origins, clocks and caller a test controls."""

    node: Node
    origin: Origin
    second: Origin
    clock: Clock

    @property
    def fs(self) -> FileSystem:
        return self.node.filesystem

    # --- what applications do --------------------------------------------------------------------

    async def open(self, path: str, flags: int = os.O_RDONLY) -> Handle:
        """Open as the kernel does: look up, open that inode, once more after ESTALE."""
        for last in (False, True):
            found = await self.fs.attributes(path)
            try:
                return await self.fs.open(path, flags, identity=found.identity)
            except Stale:
                if last:
                    raise
        raise AssertionError

    async def create(
        self, path: str, flags: int = os.O_WRONLY, mode: int = 0o640, caller: Caller = ARTIST
    ) -> Handle:
        _, handle = await self.fs.create(path, mode, flags | os.O_CREAT, caller)
        return handle

    async def write(self, path: str, content: bytes = b"content") -> None:
        """Create or open, write from the start, flush, close."""
        if isinstance(await self.fs.lookup(path), Missing):
            handle = await self.create(path)
        else:
            handle = await self.open(path, os.O_WRONLY | os.O_TRUNC)
        try:
            if content:
                await handle.write(0, content)
            await handle.flush()
        finally:
            await handle.close()

    async def read(self, path: str) -> bytes:
        handle = await self.open(path)
        try:
            return bytes(await handle.read(0, 2**20))
        finally:
            await handle.close()

    async def names(self, path: str) -> list[str]:
        """Names that readdir shows, in its order."""
        return [name for name, _ in await self.entries(path)]

    async def entries(self, path: str) -> list[tuple[str, Attributes]]:
        """What readdir shows."""
        snapshot = await self.fs.snapshot(path)
        shown = []
        for index in range(len(snapshot)):
            await snapshot.prepare(index)
            entry = snapshot.entry(index)
            if entry is not None:
                shown.append(entry)
        return shown

    async def exists(self, path: str) -> bool:
        return not isinstance(await self.fs.lookup(path), Missing)

    async def mkdir(self, path: str) -> Attributes:
        return await self.fs.make_directory(path, 0o755, ARTIST)

    async def truncate(self, path: str, size_bytes: int) -> Attributes:
        """truncate(2), which the kernel repeats after ESTALE."""
        for last in (False, True):
            try:
                return await self.fs.change(path, Change(size_bytes=size_bytes))
            except Stale:
                if last:
                    raise
        raise AssertionError

    # --- waiting ---------------------------------------------------------------------------------

    async def until(self, condition: Callable[[], bool]) -> None:
        """Return when *condition* holds; lets tasks and threads work."""
        end = time.monotonic() + PATIENCE_S  # the real time: a test may have stopped trio's
        while not condition():
            assert time.monotonic() < end, f"waited too long: {self.node.publisher.queue()}"
            await trio.to_thread.run_sync(int)

    def spooled(self, path: str) -> SpoolEntry | None:
        return self.node.spool.get(path)

    async def published(self, *paths: str) -> None:
        """Return when *paths* have left the spool for the origin."""
        await self.until(lambda: all(self.spooled(path) is None for path in paths))

    async def publish(self, path: str, content: bytes = b"content") -> None:
        """Write *path* and wait until only the origin has it."""
        await self.write(path, content)
        await self.published(path)


@dataclass
class Site:
    """What outlives a restart of the node: its disk and the origins; and the clocks."""

    directory: Path
    document: Mapping[str, Any] = field(default_factory=lambda: DOCUMENT)
    origin: Origin = field(default_factory=lambda: Origin(MAIN))
    second: Origin = field(default_factory=lambda: Origin(SECOND))
    clock: Clock = field(default_factory=Clock)
    preemptible: bool = False
    mount: Mapping[str, str | float] = field(default_factory=dict)
    """Settings of [mount], text or numbers."""
    more: str = ""
    """More sections of the configuration."""

    def open(self, *, read_only: bool = False) -> AbstractAsyncContextManager[World]:
        """Start the node, or start it again."""
        return _open(self, read_only=read_only)


@asynccontextmanager
async def _open(site: Site, *, read_only: bool) -> AsyncIterator[World]:
    config = site.directory / "shotfs.toml"
    config.write_text(
        f"""
[node]
name = "node-é"
preemptible = {str(site.preemptible).lower()}
[cache]
directory = "{site.directory}/cache"
free_bytes_min = 0
[spool]
free_bytes_min = 0
[network]
attempts_max = 1
[mount]
{"".join(f"{name} = {json.dumps(value)}" + chr(10) for name, value in site.mount.items())}
[shows.ant]
spec = "spec.json"
{site.more}
"""
    )
    (site.directory / "spec.json").write_text(json.dumps(site.document))
    loaded = load(str(config), {})
    async with open_node(loaded, Metrics(), read_only=read_only) as node:
        namespace = node.filesystem._finder.namespace
        sides = [getattr(namespace, name, namespace) for name in ("_live", "_past")]
        for one in sides:
            one._now_s = site.clock.monotonic_s
            one._wall_s = site.clock.wall_s
        site.origin.asked.clear()
        site.second.asked.clear()
        yield World(node, site.origin, site.second, site.clock)
