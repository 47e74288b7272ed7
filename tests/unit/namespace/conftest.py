"""A namespace over origins in memory, with clocks that only tests move."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import trio

from shotfs.namespace import Entry, Listing, Namespace
from shotfs.namespace.catalog import Catalog, open_catalog
from shotfs.observe.metrics import Metrics
from shotfs.pathspec import DirectoryMatch, Resolution, Specification, load
from tests.unit.namespace.origin import Clock, Origin, Pool
from tests.unit.namespace.spec import MAIN, SECOND, TEXT

SPEC = load(TEXT, source="spec.json", show="ant")


@dataclass
class Site:
    """A namespace that asks two origins about one show; paths bear the show's name."""

    namespace: Namespace
    catalog: Catalog
    origin: Origin
    second: Origin
    clock: Clock
    metrics: Metrics
    nursery: trio.Nursery
    spec: Specification = field(default=SPEC)

    def resolution(self, path: str) -> Resolution:
        found = self.spec.resolve(path.partition("/")[2])
        assert found is not None, path
        return found

    def match(self, path: str) -> DirectoryMatch:
        found = self.spec.directory(path.partition("/")[2])
        assert found is not None, path
        return found

    async def find(self, path: str) -> Entry | None:
        return await self.namespace.find(path, self.resolution(path))

    async def has_directory(self, path: str) -> bool:
        rest = path.partition("/")[2]
        return await self.namespace.has_directory(path, rest, self.match(path))

    async def listing(self, path: str) -> Listing:
        rest = path.partition("/")[2]
        return await self.namespace.listing(path, rest, self.match(path))

    async def names(self, path: str) -> set[str]:
        parts = (await self.listing(path)).parts
        return {name for part in parts for name in (*part.objects, *part.prefixes)}


@asynccontextmanager
async def open_site(
    directory: Path, origin: Origin, second: Origin, clock: Clock
) -> AsyncIterator[Site]:
    """Open the namespace whose catalog is in *directory*."""
    metrics = Metrics()
    async with (
        open_catalog(str(directory / "catalog"), paths_max=10_000) as catalog,
        trio.open_nursery() as nursery,
    ):
        pool = Pool({MAIN: origin, SECOND: second})
        namespace = Namespace(
            catalog,
            pool,
            nursery,
            metrics,
            monotonic_s=clock.monotonic_s,
            wall_s=clock.wall_s,
        )
        yield Site(namespace, catalog, origin, second, clock, metrics, nursery)
        nursery.cancel_scope.cancel()


@dataclass
class Places:
    """What outlives a restart: the disk and the origins; and the clocks."""

    directory: Path
    origin: Origin = field(default_factory=lambda: Origin(MAIN))
    second: Origin = field(default_factory=lambda: Origin(SECOND))
    clock: Clock = field(default_factory=Clock)

    def open(self) -> AbstractAsyncContextManager[Site]:
        """Start, or start again."""
        return open_site(self.directory, self.origin, self.second, self.clock)


@pytest.fixture
def places(tmp_path: Path) -> Places:
    return Places(tmp_path)


@pytest.fixture
async def site(places: Places) -> AsyncIterator[Site]:
    async with places.open() as opened:
        yield opened
