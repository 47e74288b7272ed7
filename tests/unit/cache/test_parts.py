"""Parts of large files that are fetched before anybody opens them."""

from __future__ import annotations

from pathlib import Path

import pytest
import trio
import trio.testing

from shotfs.cache import Cache, Fill
from shotfs.cache.blocks import BLOCK_BYTES
from shotfs.cache.scheduling import FetchClass
from shotfs.errors import CacheFull, RevisionChanged, TierUnavailable
from shotfs.tiers.base import Revision, Span
from tests.unit.cache.fakes import KIB, MIB, FakeTier, cache_in, content_of

SIZE = 8 * MIB
HEAD, TAIL = Span(0, MIB), Span(SIZE - 100, SIZE)


@pytest.fixture
def tier() -> FakeTier:
    return FakeTier()


async def _read(cache: Cache, tier: FakeTier, revision: Revision, *spans: Span) -> list[bytes]:
    file = await cache.open(tier, revision, fill=Fill.RANGES)
    try:
        with trio.fail_after(60):
            return [bytes(await file.read(span)) for span in spans]
    finally:
        file.close()


async def test_head_and_tail_come_and_nothing_else_and_the_next_reader_waits_for_nothing(
    tier: FakeTier, tmp_path: Path
) -> None:
    content = content_of(SIZE)
    revision = tier.add("a", content)
    async with cache_in(tmp_path / "c") as cache:
        came = await cache.parts.fetch(tier, revision, [HEAD, TAIL])
        assert came == MIB + BLOCK_BYTES == tier.bytes_read == cache.parts.held_bytes(revision)
        tier.gate = trio.Event()  # the origin says nothing more
        assert await _read(cache, tier, revision, HEAD, TAIL) == [
            content[:MIB], content[-100:],
        ]  # fmt: skip
        assert tier.bytes_read == came


async def test_what_is_here_is_not_fetched_again(tier: FakeTier, tmp_path: Path) -> None:
    revision = tier.add("a", content_of(SIZE))
    async with cache_in(tmp_path / "c") as cache:
        await cache.parts.fetch(tier, revision, [HEAD])
        assert await cache.parts.fetch(tier, revision, [HEAD]) == 0
        assert await cache.parts.fetch(tier, revision, [Span(MIB - 1, MIB + 1)]) == BLOCK_BYTES
        await cache.fetch(tier, revision)
        before = tier.bytes_read
        assert await cache.parts.fetch(tier, revision, [HEAD, TAIL]) == 0
        assert tier.bytes_read == before == SIZE


async def test_a_reader_goes_before_parts_that_are_queued(tier: FakeTier, tmp_path: Path) -> None:
    revision = tier.add("a", content_of(SIZE))
    parts = [Span(start, start + BLOCK_BYTES) for start in range(0, SIZE, MIB // 2)]
    last = parts[-1]
    async with cache_in(tmp_path / "c") as cache, trio.open_nursery() as nursery:
        tier.gate = trio.Event()
        nursery.start_soon(cache.parts.fetch, tier, revision, parts)
        while not tier.reads:
            await trio.testing.wait_all_tasks_blocked()
        begun = len(tier.reads)
        assert begun < len(parts)
        nursery.start_soon(_read, cache, tier, revision, last)
        stream = cache._streams.live()[0]
        while not any(one.fetch_class is FetchClass.DEMAND for one in stream.waits()):
            await trio.testing.wait_all_tasks_blocked()
        tier.gate.set()
        while len(tier.reads) < len(parts):
            await trio.lowlevel.checkpoint()
    assert last in [span for _, span in tier.reads[: begun + 1]]
    assert len(tier.reads) == len(parts), "the reader's block is one of them"


async def test_cancelled_what_has_come_stays(tier: FakeTier, tmp_path: Path) -> None:
    revision = tier.add("a", content_of(SIZE))
    tier.gates[4 * MIB] = trio.Event()
    async with cache_in(tmp_path / "c") as cache:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(cache.parts.fetch, tier, revision, [HEAD, Span(4 * MIB, 5 * MIB)])
            while cache.parts.held_bytes(revision) < MIB:
                await trio.lowlevel.checkpoint()
            nursery.cancel_scope.cancel()
        while cache.stats().streams:
            await trio.lowlevel.checkpoint()
        assert cache.parts.held_bytes(revision) == MIB
        assert cache.stats().bytes_reserved == MIB


async def test_parts_that_are_all_of_a_file_make_it_whole(tier: FakeTier, tmp_path: Path) -> None:
    large, small = tier.add("a", content_of(3 * MIB)), tier.add("b", content_of(300 * KIB))
    async with cache_in(tmp_path / "c") as cache:
        await cache.parts.fetch(tier, large, [Span(0, MIB), Span(MIB, 3 * MIB)])
        await cache.parts.fetch(tier, small, [Span(0, 10)])
        assert await cache.known_many([large, small]) == [True, True]


async def test_errors_are_those_of_a_fetch(tier: FakeTier, tmp_path: Path) -> None:
    revision = tier.add("a", content_of(SIZE))
    async with cache_in(tmp_path / "c", bytes_max=6 * MIB) as cache:

        def away(*_: object) -> None:
            raise TierUnavailable("fake://origin is away")

        tier.fault = away
        with pytest.raises(TierUnavailable):
            await cache.parts.fetch(tier, revision, [HEAD, TAIL])
        tier.fault = None
        with pytest.raises(CacheFull):
            await cache.parts.fetch(tier, revision, [Span(0, 7 * MIB)])
        gone = tier.add("gone", content_of(SIZE))
        del tier.objects["gone"]
        with pytest.raises(RevisionChanged):
            await cache.parts.fetch(tier, gone, [HEAD])


@pytest.mark.parametrize(
    "spans",
    [
        [],
        [TAIL, HEAD],
        [Span(0, SIZE + 1)],
        [Span(5, 5)],
        [Span(n * 2, n * 2 + 1) for n in range(300)],
    ],
)
async def test_parts_that_are_none_are_refused(
    tier: FakeTier, tmp_path: Path, spans: list[Span]
) -> None:
    revision = tier.add("a", content_of(MIB))
    large = Revision(revision.tier, "a", SIZE, "1", revision.mtime_ns)
    async with cache_in(tmp_path / "c") as cache:
        with pytest.raises(ValueError, match="no parts"):
            await cache.parts.fetch(tier, large, spans, fetch_class=FetchClass.LOOKAHEAD)
