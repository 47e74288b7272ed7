"""A real node whose look-ahead is told of opens by jobs of the tests."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from itertools import count
from typing import Any

import pytest
import trio

from shotfs.prewarm.finding import Found
from shotfs.prewarm.lookahead import LookAhead
from shotfs.prewarm.lookahead.ledger import LookAheadReport
from shotfs.prewarm.manifest.subject import Subject
from shotfs.prewarm.watching import Opened, Reader, ReadNotes
from tests.unit.namespace.spec import MAIN
from tests.unit.vfs.conftest import site
from tests.unit.vfs.world import Site, World

DOCUMENT: dict[str, Any] = {
    "spec": "shotfs-path/1",
    "show": "ant",
    "roots": {"main": MAIN},
    "defaults": {"origin": "main", "immutable": "on-close"},
    "fields": {
        "shot": {"type": "int", "pad": 3},
        "name": {"type": "str", "pattern": "[a-z0-9-]+"},
        "frame": {"type": "frame", "pad": 4},
        "tile": {"type": "udim"},
        "rest": {"type": "tree"},
    },
    "templates": {
        "cache": {"path": "{shot}/cache/{name}.{frame}.vdb"},
        "plate": {"path": "{shot}/plate/{name}.{frame}.exr", "prewarm": {"frames": 3}},
        "never": {"path": "{shot}/never/{name}.{frame}.exr", "prewarm": {"frames": 0, "udims": 0}},
        "tiled": {
            "path": "{shot}/tiled/{name}.{frame}.tex",
            "fill": "ranges",
            "prewarm": {"frames": 1},
        },
        "texture": {"path": "assets/{name}.{tile}.tx"},
        "said": {"path": "assets/said/{name}.{tile}.tx", "prewarm": {"udims": 2}},
        "asset": {"path": "assets/{name}.usd"},
        "library": {"path": "library/{rest}"},
    },
}

__all__ = ["ahead", "site"]

_pids = count(100)


@dataclass
class Job:
    """A process of a job that opens files.

    Attributes:
        subject: what its environment says.
    """

    ahead: LookAheadWorld
    subject: Subject = field(default_factory=Subject)
    name: str = "render"
    pid: int = field(default_factory=lambda: next(_pids))

    async def opens(self, *paths: str) -> None:
        """Open *paths* as applications do; the look-ahead is told of each."""
        for path in paths:
            await self.ahead.open(path, Reader(self.pid, self.name, self.subject))


@dataclass
class LookAheadWorld:
    """The node, and what its look-ahead did."""

    world: World
    read: set[str] = field(default_factory=set)

    @property
    def lookahead(self) -> LookAhead:
        return self.world.node.lookahead

    @property
    def report(self) -> LookAheadReport:
        return self.lookahead.report()

    def add(self, *paths: str, content: bytes = b"content") -> None:
        for path in paths:
            self.world.origin.add(path, content)

    def frame(self, frame: int, **more: str) -> Job:
        """A process of its own that renders *frame* of shot 030."""
        said = {"show": "ant", "shot": "030", "task": "light", "job": "j1", **more}
        return Job(self, Subject(frame=str(frame), **said))

    async def found(self, path: str) -> Found:
        found = await self.world.fs.prewarm_finder.find(f"ant/{path}")
        assert found is not None, path
        return found

    async def open(self, path: str, reader: Reader) -> ReadNotes | None:
        """Tell of an open, and read the file."""
        found = await self.found(path)
        warm = await self.world.node.cache.known(found.revision)
        self.read.add(path)
        opened = Opened(
            found.path, found.revision, found.resolution, reader, trio.current_time(), warm
        )
        notes = self.lookahead.opened(opened) if self.lookahead.wants else None
        await self.world.read(f"ant/{path}")
        return notes

    async def told(self, path: str, job: Job) -> ReadNotes | None:
        """Return who wants to know what *job* reads of *path*."""
        return await self.open(path, Reader(job.pid, job.name, job.subject))

    async def here(self) -> set[str]:
        """Files that are here and that no process has read, once nothing happens any more."""
        await self.settled()
        here = set()
        for path in self.world.origin.objects:
            if path not in self.read and await self.world.node.cache.known(
                (await self.found(path)).revision
            ):
                here.add(path)
        return here

    async def settled(self) -> None:
        await self.world.until(lambda: self.lookahead.idle)

    async def comes(self, *paths: str) -> None:
        """Return when *paths* are here, and nothing else that nobody has read."""
        assert await self.here() == set(paths)


@pytest.fixture
async def ahead(site: Site) -> AsyncIterator[LookAheadWorld]:
    site.document = DOCUMENT
    async with site.open() as world:
        yield LookAheadWorld(world)
