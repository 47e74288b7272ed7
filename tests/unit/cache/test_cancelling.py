"""Whatever is cancelled, and when: room, slots, leases, windows and descriptors come back."""

from __future__ import annotations

import os
import random
from pathlib import Path

import pytest
import trio
import trio.testing

from shotfs.cache import Cache, FetchClass
from shotfs.cache.files import CachedFile
from shotfs.errors import CacheFull, ShotfsError, TierUnavailable
from shotfs.tiers.base import Revision, Span
from tests.unit.cache.fakes import (
    KIB,
    MIB,
    cache_in,
    closed_down_to,
    content_of,
    open_descriptors,
    read_all,
    settled,
)
from tests.unit.cache.small_tier import SmallTier

SIZES = (0, 3 * KIB, 200 * KIB, 3 * MIB)
"""An empty file, a small one, one for batches too, one in parts."""


class Jobs:
    """Uses one cache in all the ways that there are, with an origin that fails now and then."""

    def __init__(self, cache: Cache, tier: SmallTier, directory: Path, seed: int) -> None:
        self._cache = cache
        self._tier = tier
        self._directory = directory
        self._random = random.Random(seed)
        self._contents = {
            tier.add(f"f{n}", content_of(size, n % 5)): content_of(size, n % 5)
            for n, size in enumerate(SIZES * 4)
        }
        tier.fault = self._fail

    def _fail(self, *_: object) -> None:
        if self._random.random() < 0.1:
            raise TierUnavailable("now and then")

    def choose(self) -> Revision:
        """Return one of the files."""
        return self._random.choice(list(self._contents))

    async def one(self) -> None:
        """Do something; what an origin does may fail, and nothing else."""
        revision = self.choose()
        kind = self._random.randrange(8)
        try:
            if kind < 3:
                found = await read_all(self._cache, self._tier, revision, 70_000)
                assert found == self._contents[revision]
            elif kind == 3:
                await self._cache.fetch(self._tier, revision, fetch_class=FetchClass.PREWARM)
            elif kind == 4:
                await self._close_in_the_middle(revision)
            elif kind == 5:
                await self._cache.evict(self._random.randrange(5 * MIB))
            elif kind == 6:
                await self._adopt(revision)
            else:
                await self._cache._streams.keep_nothing()
        except (CacheFull, TierUnavailable):
            return

    async def _close_in_the_middle(self, revision: Revision) -> None:
        file = await self._cache.open(self._tier, revision)
        async with trio.open_nursery() as nursery:
            try:
                nursery.start_soon(self._read_some, file)
                await trio.lowlevel.checkpoint()
            finally:
                file.close()

    async def _read_some(self, file: CachedFile) -> None:
        try:
            await file.read(Span(0, 10))
        except (ShotfsError, ValueError):
            return

    async def _adopt(self, revision: Revision) -> None:
        content = self._contents[revision]
        path = self._directory / f"spool-{self._random.random()}"
        path.write_bytes(content)
        assert revision.checksums.xxh128 is not None
        await self._cache.adopt(str(path), revision.checksums.xxh128, len(content), revision)


@pytest.mark.parametrize("seed", range(4))
async def test_cancelling_anything_at_any_checkpoint_gives_everything_back(
    tmp_path: Path, seed: int
) -> None:
    tier = SmallTier()
    chance = random.Random(seed)
    descriptors = open_descriptors()
    async with cache_in(tmp_path / "c", bytes_max=8 * MIB, files_max=10) as cache:
        jobs = Jobs(cache, tier, tmp_path, seed)
        for steps in range(40):
            async with trio.open_nursery() as nursery:
                for _ in range(6):
                    nursery.start_soon(jobs.one)
                for _ in range(steps):
                    await trio.lowlevel.checkpoint()
                if chance.random() < 0.8:
                    nursery.cancel_scope.cancel()
        tier.fault = None
        with trio.fail_after(30):
            await settled(cache)
            await cache._batches.stop()
            await cache._admission.flush()
            await cache._partials.drop_all()
        stats, windows = cache.stats(), cache._lending._parts.windows
        assert (stats.open_blobs, stats.bytes_in_flight, windows.used_bytes) == (0, 0, 0)
        assert (stats.bytes_reserved, cache._room.reserved_files) == (0, 0)
        assert cache._room.written_bytes == 0
        assert not cache._lending._open_files
        assert not cache._evictor._condemned
        assert not cache._scheduler.queue()
        assert not cache._scheduler.under_way()
        assert cache._scheduler.hedges._held_bytes == 0
        await trio.testing.wait_all_tasks_blocked()
        assert os.listdir(tmp_path / "c" / "partials") == []
        blobs = [path for path in (tmp_path / "c" / "blobs").rglob("*") if path.is_file()]
        assert (len(blobs), sum(one.stat().st_size for one in blobs)) == (stats.files, stats.bytes)
        for revision in jobs._contents:
            found = await read_all(cache, tier, revision)
            assert found == jobs._contents[revision]
    await closed_down_to(descriptors)
