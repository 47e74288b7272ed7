"""Promise S8 for large files: a stream reserves what it is going to hold, and nothing stays."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import trio
import trio.testing

from shotfs.cache import Cache, FetchClass, FileState, Fill
from shotfs.cache.blocks import BLOCK_BYTES
from shotfs.errors import CacheFull
from shotfs.tiers.base import Revision, Span
from tests.unit.cache.fakes import KIB, MIB, FakeTier, cache_in, content_of, keep, settled

HUGE = 96 * MIB
"""Larger than what follows as a whole by itself (`reader.FILL_BYTES_MAX`)."""


@pytest.fixture(scope="module")
def content() -> bytes:
    return content_of(HUGE)


@pytest.fixture
def tier() -> FakeTier:
    return FakeTier()


async def _textures(cache: Cache, tier: FakeTier, count: int) -> list[Revision]:
    """Keep *count* files of 1 MiB."""
    revisions = [tier.add(f"t{number}", content_of(MIB, number)) for number in range(count)]
    for revision in revisions:
        await keep(cache, tier, revision)
    await settled(cache)
    return revisions


async def _known(cache: Cache, revisions: list[Revision]) -> int:
    return [await cache.known(revision) for revision in revisions].count(True)


def _nothing_is_reserved(cache: Cache) -> bool:
    room = cache._room
    return (room.reserved_bytes, room.reserved_files, room.written_bytes) == (0, 0, 0)


@pytest.mark.parametrize("fill", [Fill.RANGES, Fill.AUTO])
async def test_s08_a_random_reader_of_a_huge_file_evicts_only_what_it_reads(
    tier: FakeTier, content: bytes, tmp_path: Path, fill: Fill
) -> None:
    huge = tier.add("huge", content)
    async with cache_in(tmp_path / "c", bytes_max=100 * MIB) as cache:
        textures = await _textures(cache, tier, 98)
        file = await cache.open(tier, huge, fill=fill)
        for number in range(20):
            start = (number * 37 % 95) * MIB + 11
            assert bytes(await file.read(Span(start, start + 100))) == content[start : start + 100]
        assert file.state is FileState.STREAMING
        assert cache.stats().bytes_reserved == 20 * BLOCK_BYTES
        # 2.5 MiB where 2 were free, and what a round of eviction frees beyond.
        assert await _known(cache, textures) >= 98 - 3
        file.close()


async def test_whole_readers_reserve_the_whole_before_it_comes(
    tier: FakeTier, content: bytes, tmp_path: Path
) -> None:
    huge = tier.add("huge", content)
    async with cache_in(tmp_path / "c") as cache, trio.open_nursery() as nursery:
        file = await cache.open(tier, huge, fill=Fill.RANGES)
        await file.read(Span(0, 10))
        assert cache.stats().bytes_reserved == BLOCK_BYTES
        tier.gate = trio.Event()
        nursery.start_soon(cache.fetch, tier, huge)
        while cache.stats().bytes_reserved < HUGE:
            await trio.lowlevel.checkpoint()
        assert cache.stats().bytes_reserved == HUGE
        nursery.cancel_scope.cancel()
        file.close()


async def test_what_a_cancelled_fetch_reserved_is_given_back_while_a_reader_goes_on(
    tier: FakeTier, content: bytes, tmp_path: Path
) -> None:
    huge = tier.add("huge", content)
    async with cache_in(tmp_path / "c") as cache:
        file = await cache.open(tier, huge, fill=Fill.RANGES)
        await file.read(Span(0, 10))
        tier.gate = trio.Event()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(cache.fetch, tier, huge)
            while cache.stats().bytes_reserved < HUGE:
                await trio.lowlevel.checkpoint()
            nursery.cancel_scope.cancel()
        tier.gate.set()
        await file.read(Span(HUGE - 10, HUGE))
        assert cache.stats().bytes_reserved < HUGE
        assert file.state is FileState.STREAMING
        file.close()


async def test_s08_a_step_that_is_refused_lets_the_stream_go_on_without_keeping(
    tier: FakeTier, content: bytes, tmp_path: Path
) -> None:
    huge = tier.add("huge", content)
    async with cache_in(tmp_path / "c", bytes_max=100 * MIB) as cache:
        textures = await _textures(cache, tier, 99)
        held = [await cache.open(tier, one) for one in textures]
        file = await cache.open(tier, huge, fill=Fill.RANGES)
        states = []
        for number in range(12):  # of 128 KiB each, where 1 MiB is free
            start = (number * 37 % 95) * MIB + 11
            assert bytes(await file.read(Span(start, start + 100))) == content[start : start + 100]
            states.append(file.state)
            stats = cache.stats()
            assert stats.bytes + stats.bytes_reserved <= 100 * MIB
        assert states == [FileState.STREAMING] * 8 + [FileState.UNKEPT] * 4
        assert cache.stats().unkept == 1
        await settled(cache)
        assert _nothing_is_reserved(cache)
        assert await _known(cache, textures) == 99
        for one in (*held, file):
            one.close()
    assert os.listdir(tmp_path / "c" / "partials") == []


async def test_s08_what_waits_goes_before_blobs_when_a_stream_takes_a_step(
    tier: FakeTier, content: bytes, tmp_path: Path
) -> None:
    huge, other = tier.add("huge", content), tier.add("other", content_of(20 * MIB, 7))
    async with cache_in(tmp_path / "c", bytes_max=20 * MIB) as cache:
        textures = await _textures(cache, tier, 19)
        for revision in (other, huge):
            file = await cache.open(tier, revision, fill=Fill.RANGES)
            for place in (0, 3 * MIB, 7 * MIB, 12 * MIB, 14 * MIB, 19 * MIB):
                await file.read(Span(place, place + 10))
            file.close()
            await cache._streams.pause_idle()
        assert (await cache.status_of(other)).state == "remote"
        assert (await cache.status_of(huge)).bytes_present == 6 * BLOCK_BYTES
        assert await _known(cache, textures) == 19


async def test_s08_a_file_larger_than_the_cache_keeps_ranges_and_is_never_a_blob(
    tier: FakeTier, content: bytes, tmp_path: Path
) -> None:
    huge = tier.add("huge", content)
    async with cache_in(tmp_path / "c", bytes_max=20 * MIB) as cache:
        await _textures(cache, tier, 19)
        file = await cache.open(tier, huge)
        places = [number * 37 % 95 * MIB + 11 for number in range(40)]
        for start in places:
            assert bytes(await file.read(Span(start, start + 10))) == content[start : start + 10]
        file.close()
        await cache._streams.pause_idle()
    tier.reads.clear()
    async with cache_in(tmp_path / "c", bytes_max=20 * MIB) as cache:
        file = await cache.open(tier, huge, fill=Fill.RANGES)
        for start in places:
            assert bytes(await file.read(Span(start, start + 10))) == content[start : start + 10]
        assert tier.reads == []
        assert file.state is FileState.STREAMING
        with pytest.raises(CacheFull):
            await cache.fetch(tier, huge)
        assert bytes(await file.read(Span(5, 90))) == content[5:90]
        file.close()
        await settled(cache)
        assert _nothing_is_reserved(cache)


async def test_s08_one_pass_over_a_file_larger_than_the_cache_does_not_flush_it(
    tier: FakeTier, content: bytes, tmp_path: Path
) -> None:
    huge = tier.add("huge", content)
    async with cache_in(tmp_path / "c", bytes_max=20 * MIB) as cache:
        textures = await _textures(cache, tier, 19)
        file = await cache.open(tier, huge, fill=Fill.RANGES)
        for start in range(0, HUGE, MIB):
            assert bytes(await file.read(Span(start, start + 9))) == content[start : start + 9]
        assert file.state is FileState.UNKEPT
        assert await _known(cache, textures) >= 9
        file.close()


async def test_s08_a_stream_counts_as_one_file_however_many_steps_it_takes(
    tier: FakeTier, content: bytes, tmp_path: Path
) -> None:
    huge = tier.add("huge", content)
    async with cache_in(tmp_path / "c", files_max=2) as cache:
        small = tier.add("small", content_of(KIB))
        await keep(cache, tier, small)
        file = await cache.open(tier, huge, fill=Fill.RANGES)
        for start in range(0, HUGE, 7 * MIB):
            await file.read(Span(start, start + 10))
            assert cache._room.reserved_files == 1
        assert await cache.known(small)
        file.close()


async def test_s08_the_floor_of_the_disk_is_looked_at_for_each_step(
    tier: FakeTier, content: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    free = 10**12
    monkeypatch.setattr("shotfs.cache.directory.CacheDirectory.free_bytes", lambda self: free)
    huge = tier.add("huge", content)
    async with cache_in(tmp_path / "c", free_bytes_min=70 * MIB) as cache:
        file = await cache.open(tier, huge, fill=Fill.RANGES)
        await file.read(Span(0, 10))
        free = 70 * MIB + BLOCK_BYTES - 1
        tier.reads.clear()
        assert bytes(await file.read(Span(9 * MIB, 9 * MIB + 10))) == content[9 * MIB :][:10]
        assert file.state is FileState.UNKEPT
        assert [span.length_bytes for _, span in tier.reads] == [10]  # nothing went to the disk
        file.close()
        await settled(cache)
        assert _nothing_is_reserved(cache)


@pytest.mark.parametrize("fill", list(Fill))
async def test_s08_accounts_are_back_at_zero_wherever_a_reader_is_cancelled(
    tier: FakeTier, tmp_path: Path, fill: Fill
) -> None:
    large = tier.add("large", content_of(10 * MIB))
    async with cache_in(tmp_path / "c", bytes_max=16 * MIB) as cache:
        textures = await _textures(cache, tier, 15)
        for steps in range(30):
            with trio.CancelScope() as scope:
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(_read_here_and_there, cache, tier, large, fill)
                    for _ in range(steps):
                        await trio.lowlevel.checkpoint()
                    scope.cancel()
            await cache._streams.stop()
            await settled(cache)
            await cache._partials.drop_all()
            await cache._admission.flush()
            assert _nothing_is_reserved(cache)
            stats = cache.stats()
            assert stats.bytes <= 16 * MIB
            if await _known(cache, textures) < 8:
                for one in textures:
                    await keep(cache, tier, one)
                await settled(cache)
                await cache._admission.flush()


async def _read_here_and_there(
    cache: Cache, tier: FakeTier, revision: Revision, fill: Fill
) -> None:
    async with trio.open_nursery() as nursery:
        if fill is Fill.WHOLE:
            nursery.start_soon(_fetch, cache, tier, revision)
        file = await cache.open(tier, revision, fill=fill)
        try:
            for start in (0, 7 * MIB, 3 * MIB):
                await file.read(Span(start, start + 10))
        finally:
            file.close()


async def _fetch(cache: Cache, tier: FakeTier, revision: Revision) -> None:
    await cache.fetch(tier, revision, fetch_class=FetchClass.PREWARM)
