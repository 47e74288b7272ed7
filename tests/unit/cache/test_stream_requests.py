"""Requests of streams in the queue: promoted in place, taken over, given up when nobody waits."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
import trio
import trio.testing

from shotfs.cache import Cache, Fill
from shotfs.cache.access import AccessPattern
from shotfs.cache.blocks import BLOCK_BYTES
from shotfs.cache.reader import Reader
from shotfs.cache.scheduling import FetchClass
from shotfs.tiers.base import Revision, Span
from tests.unit.cache.fakes import (
    KIB,
    MIB,
    FakeTier,
    cache_in,
    content_of,
    settled,
    times_out,
)


@pytest.fixture
def tier() -> FakeTier:
    return FakeTier()


async def _until(condition: Callable[[], bool]) -> None:
    while not condition():
        await trio.lowlevel.checkpoint()


async def _fetch_as_stream(cache: Cache, tier: FakeTier, revision: Revision) -> None:
    pattern = AccessPattern(revision.size_bytes)
    file = await cache._open(
        tier, revision, Reader(pattern, fill=Fill.WHOLE, fetch_class=FetchClass.PREWARM)
    )
    try:
        await file.complete()
    finally:
        file.close()


async def test_demand_goes_before_the_background_that_waits(tier: FakeTier, tmp_path: Path) -> None:
    revision = tier.add("a", content_of(60 * MIB))
    async with cache_in(tmp_path / "c", network={"connections_max": 1}) as cache:
        file = await cache.open(tier, revision)
        await file.read(Span(0, 1))
        tier.gate = trio.Event()
        await tier.started.park()
        count = len(tier.reads)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(file.read, Span(50 * MIB, 50 * MIB + 1))
            await trio.testing.wait_all_tasks_blocked()
            tier.gate.set()
        assert tier.reads[count][1] == Span(50 * MIB, 50 * MIB + BLOCK_BYTES)
        file.close()


@pytest.mark.parametrize("size", [32 * KIB, 2 * MIB])
async def test_a_prewarm_that_waits_is_promoted_in_place_by_a_reader(
    tier: FakeTier, tmp_path: Path, size: int
) -> None:
    busy = [tier.add(f"b{n}", content_of(size, n)) for n in range(8)]
    wanted = tier.add("a", content_of(size, 99))
    tier.gate = trio.Event()
    async with (
        cache_in(tmp_path / "c", network={"connections_max": 1}) as cache,
        trio.open_nursery() as nursery,
    ):
        nursery.start_soon(partial(_fetch_as_stream, cache, tier, busy[0]))
        await _until(lambda: tier.in_flight == 1)
        for revision in [*busy[1:], wanted]:
            nursery.start_soon(partial(_fetch_as_stream, cache, tier, revision))
        await _until(lambda: len(cache._scheduler.queue()) == 8)
        queue = cache._scheduler.queue()
        assert {one.fetch_class for one in queue} == {FetchClass.PREWARM}
        file = await cache.open(tier, wanted)
        nursery.start_soon(file.read, Span(0, 10))

        def demanded() -> list[str]:
            queue = cache._scheduler.queue()
            return [one.what for one in queue if one.fetch_class is FetchClass.DEMAND]

        await _until(lambda: demanded() == ["a"])
        assert len(cache._scheduler.queue()) == len(queue)  # it is the same request
        tier.gate.set()
        while not file.read_now(Span(0, 10)):
            await trio.lowlevel.checkpoint()
        file.close()
    assert [key for key, _ in tier.reads][1] == "a"
    assert tier.bytes_read == 9 * size


async def test_a_reader_takes_over_the_request_of_the_background_that_waits(
    tier: FakeTier, tmp_path: Path
) -> None:
    revision = tier.add("a", content_of(60 * MIB))
    async with (
        cache_in(tmp_path / "c", network={"connections_max": 4}) as cache,
        trio.open_nursery() as nursery,
    ):
        file = await cache.open(tier, revision)
        await file.read(Span(0, 1))
        tier.gate = trio.Event()
        while tier.in_flight < 3:  # the fourth connection is for readers
            await tier.started.park()
        await _until(lambda: bool(cache._scheduler.queue()))
        assert {one.fetch_class for one in cache._scheduler.queue()} == {FetchClass.LOOKAHEAD}
        nursery.start_soon(file.read, Span(50 * MIB, 50 * MIB + 1))
        await _until(lambda: tier.in_flight == 4)
        assert tier.reads[-1][1] == Span(50 * MIB, 50 * MIB + BLOCK_BYTES)
        [stream] = cache._streams.live()
        [wait] = stream.waits()
        assert (wait.span, wait.fetch_class) == (
            Span(50 * MIB, 50 * MIB + 1),
            FetchClass.DEMAND,
        )
        classes = Counter(one.fetch_class for one in stream.requests())
        assert classes == {FetchClass.LOOKAHEAD: 3, FetchClass.DEMAND: 1}
        assert stream.rate_bytes_per_s > 0
        tier.gate.set()
        await _until(lambda: file.read_now(Span(50 * MIB, 50 * MIB + 1)) is not None)
        file.close()


@pytest.mark.parametrize("size", [32 * KIB, 2 * MIB, 80 * MIB])
async def test_a_fetch_that_is_cancelled_stops_what_nobody_else_wants(
    tier: FakeTier, tmp_path: Path, size: int
) -> None:
    revision = tier.add("a", content_of(size))
    tier.gate = trio.Event()
    async with cache_in(tmp_path / "c") as cache:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_fetch_as_stream, cache, tier, revision)
            while not tier.in_flight:
                await tier.started.park()
            nursery.cancel_scope.cancel()
        await settled(cache)
        assert tier.in_flight == 0
        assert cache.stats().bytes_reserved == 0
        assert cache.stats().bytes_in_flight == 0


async def test_a_fetch_that_is_cancelled_goes_on_for_a_reader(
    tier: FakeTier, tmp_path: Path
) -> None:
    content = content_of(4 * MIB)
    revision = tier.add("a", content)
    tier.gate = trio.Event()
    async with cache_in(tmp_path / "c") as cache:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_fetch_as_stream, cache, tier, revision)
            while not tier.in_flight:
                await tier.started.park()
            file = await cache.open(tier, revision)
            nursery.cancel_scope.cancel()
        tier.gate.set()
        assert bytes(await file.read(Span(5, 4 * MIB))) == content[5:]
        file.close()
    assert tier.bytes_read == len(content)


async def test_what_the_last_reader_leaves_is_cancelled_at_once_if_it_waits_and_soon_if_not(
    tier: FakeTier, tmp_path: Path, mock_clock: trio.testing.MockClock
) -> None:
    revision = tier.add("a", content_of(100 * MIB))
    async with cache_in(tmp_path / "c", network={"connections_max": 4}) as cache:
        file, other = await cache.open(tier, revision), await cache.open(tier, revision)
        for start in range(0, 4 * MIB, MIB):
            await file.read(Span(start, start + MIB))
        tier.gate = trio.Event()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(file.read, Span(4 * MIB, 90 * MIB))
            await _until(lambda: bool(cache._scheduler.queue()))
            nursery.cancel_scope.cancel()
        file.close()
        await _until(lambda: cache._scheduler.queue() == [])
        assert tier.in_flight  # the other one may want it
        other.close()
        await trio.testing.wait_all_tasks_blocked()
        mock_clock.jump(6)
        await settled(cache)
        assert tier.in_flight == 0


async def test_a_range_whose_reader_gave_up_leaves_the_queue(
    tier: FakeTier, tmp_path: Path, mock_clock: trio.testing.MockClock
) -> None:
    revision = tier.add("a", content_of(100 * MIB))
    blocked = tier.add("b", content_of(MIB))
    tier.gate = trio.Event()
    async with cache_in(tmp_path / "c", network={"connections_max": 1}, deadline_s=5.0) as cache:
        first = await cache.open(tier, blocked)  # takes the only connection
        await _until(lambda: tier.in_flight == 1)
        file = await cache.open(tier, revision)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(times_out, file)
            await _until(lambda: bool(cache._scheduler.queue()))
            assert [one.what for one in cache._scheduler.queue()] == ["a"]
            await trio.testing.wait_all_tasks_blocked()  # his deadline has begun
            mock_clock.jump(5.5)
        await _until(lambda: cache._scheduler.queue() == [])
        file.close()
        first.close()
