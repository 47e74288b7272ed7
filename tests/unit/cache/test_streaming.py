"""Streams: shared fetches, ranges before the whole, what follows, deadlines, ends."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest
import trio
import trio.testing

from shotfs.cache import Fill
from shotfs.cache.blocks import BLOCK_BYTES
from shotfs.cache.phase import ENDED, Event, Phase, transition
from shotfs.digest import digest_bytes
from shotfs.errors import RevisionChanged, ShotfsError, TierUnavailable
from shotfs.tiers.base import Revision, Span
from tests.unit.cache.fakes import (
    KIB,
    MIB,
    FakeTier,
    cache_in,
    content_of,
    keep,
    read_all,
    settled,
    times_out,
)


@pytest.fixture
def tier() -> FakeTier:
    return FakeTier()


@pytest.mark.parametrize("size", [32 * KIB, 20 * MIB])
async def test_64_readers_of_one_revision_fetch_it_once(
    tier: FakeTier, tmp_path: Path, size: int
) -> None:
    content = content_of(size)
    revision = tier.add("a", content)
    async with cache_in(tmp_path / "c") as cache, trio.open_nursery() as nursery:

        async def read() -> None:
            assert await read_all(cache, tier, revision, 4 * MIB) == content

        for _ in range(64):
            nursery.start_soon(read)
    assert tier.bytes_read == size


async def test_a_reader_gets_its_range_before_the_file_is_complete(
    tier: FakeTier, tmp_path: Path
) -> None:
    content = content_of(40 * MIB)
    revision = tier.add("a", content)
    async with cache_in(tmp_path / "c") as cache:
        file = await cache.open(tier, revision)

        def only_the_last(_: Revision, span: Span) -> None:
            if span.start != 39 * MIB:
                raise TierUnavailable("not now")

        tier.fault = only_the_last
        found = await file.read(Span(39 * MIB + 5, 39 * MIB + 10))
        assert bytes(found) == content[39 * MIB + 5 : 39 * MIB + 10]
        assert file.bytes_fetched == BLOCK_BYTES
        assert tier.reads[0][1] == Span(39 * MIB, 39 * MIB + BLOCK_BYTES)
        file.close()


async def test_the_background_goes_on_from_where_the_reader_is_and_wraps(
    tier: FakeTier, tmp_path: Path
) -> None:
    content = content_of(32 * MIB)
    revision = tier.add("a", content)
    async with cache_in(tmp_path / "c", network={"connections_max": 1}) as cache:
        file = await cache.open(tier, revision)
        await file.read(Span(20 * MIB, 20 * MIB + 1))
        await file.complete()
        file.close()
    starts = [span.start for _, span in tier.reads]
    wrapped = starts.index(0)
    assert starts[0] == 20 * MIB
    assert starts[:wrapped] == sorted(starts[:wrapped])
    assert starts[wrapped:] == sorted(starts[wrapped:])
    # What is asked for at once grows with what is here, up to the size of a request.
    lengths = [span.length_bytes for _, span in tier.reads]
    assert lengths[:3] == [BLOCK_BYTES, MIB, 9 * BLOCK_BYTES]
    assert max(lengths) == 8 * MIB
    assert tier.bytes_read == len(content)


async def test_s07_a_reader_without_progress_times_out_and_others_do_not_notice(
    tier: FakeTier, tmp_path: Path, mock_clock: trio.testing.MockClock
) -> None:
    stuck, warm = tier.add("stuck", content_of(20 * MIB)), tier.add("warm", b"w" * 1000)
    async with cache_in(tmp_path / "c", deadline_s=60.0) as cache:
        await keep(cache, tier, warm)
        tier.gates[0] = trio.Event()
        file = await cache.open(tier, stuck)
        other = await cache.open(tier, stuck)
        async with trio.open_nursery() as nursery:
            for _ in range(200):
                nursery.start_soon(times_out, file)
            await trio.testing.wait_all_tasks_blocked()
            assert await read_all(cache, tier, warm) == b"w" * 1000
            assert len(await other.read(Span(10 * MIB, 10 * MIB + 5))) == 5
            assert trio.current_time() == 0.0
            mock_clock.jump(60.5)
        file.close()
        other.close()


@pytest.mark.parametrize("replaced", [True, False])
async def test_s03_an_object_that_changes_under_its_readers_is_stale_and_never_mixed(
    tier: FakeTier, tmp_path: Path, replaced: bool
) -> None:
    old, new = content_of(40 * MIB, 1), content_of(40 * MIB, 2)
    revision = tier.add("a", old, "1")
    async with cache_in(tmp_path / "c", network={"connections_max": 1}) as cache:
        file = await cache.open(tier, revision)
        assert bytes(await file.read(Span(0, 100))) == old[:100]
        if replaced:
            newer = tier.add("a", new, "2")
        else:
            del tier.objects["a"]
        async with trio.open_nursery() as nursery:
            for start in (30 * MIB, 35 * MIB, 0):
                nursery.start_soon(_is_stale_or, file, start, old)
        with pytest.raises(RevisionChanged) as caught:
            await file.complete()
        assert caught.value.errno == errno.ESTALE
        file.close()
        if replaced:
            assert await read_all(cache, tier, newer) == new
        await settled(cache)
        assert cache.stats().bytes_reserved == 0


async def _is_stale_or(file: object, start: int, content: bytes) -> None:
    try:
        found = await file.read(Span(start, start + 100))  # type: ignore[attr-defined]
    except RevisionChanged:
        return
    assert bytes(found) == content[start : start + 100]


async def test_a_transient_error_reaches_only_who_waits_and_the_next_read_asks_again(
    tier: FakeTier, tmp_path: Path
) -> None:
    content = content_of(20 * MIB)
    revision = tier.add("a", content)

    def down(_: Revision, span: Span) -> None:
        raise TierUnavailable("origin is down")

    async with cache_in(tmp_path / "c") as cache:
        file = await cache.open(tier, revision)
        tier.fault = down
        with pytest.raises(TierUnavailable):
            await file.read(Span(0, 10))
        tier.fault = None
        assert bytes(await file.read(Span(0, 10))) == content[:10]
        await file.complete()
        file.close()


async def test_an_unexpected_exception_of_a_tier_ends_one_read_and_nothing_else(
    tier: FakeTier, tmp_path: Path
) -> None:
    revision = tier.add("a", b"abc")

    def broken(_: Revision, span: Span) -> None:
        raise ZeroDivisionError

    async with cache_in(tmp_path / "c") as cache:
        file = await cache.open(tier, revision)
        tier.fault = broken
        with pytest.raises(ShotfsError) as caught:
            await file.read(Span(0, 3))
        assert caught.value.errno == errno.EIO
        tier.fault = None
        assert bytes(await file.read(Span(0, 3))) == b"abc"
        file.close()


async def test_a_small_file_is_finished_after_its_last_reader_closed_it(
    tier: FakeTier, tmp_path: Path
) -> None:
    revision = tier.add("a", content_of(30 * MIB))
    async with cache_in(tmp_path / "c") as cache:
        file = await cache.open(tier, revision)
        await file.read(Span(0, 1))
        file.close()
        while not await cache.known(revision):
            await trio.lowlevel.checkpoint()
    assert tier.bytes_read == 30 * MIB


async def test_a_large_file_is_kept_in_part_and_resumed_by_its_next_reader(
    tier: FakeTier, tmp_path: Path, mock_clock: trio.testing.MockClock
) -> None:
    content = content_of(80 * MIB)
    revision = tier.add("a", content)
    async with cache_in(tmp_path / "c") as cache:
        file = await cache.open(tier, revision)
        await file.read(Span(40 * MIB, 40 * MIB + 1))
        file.close()
        await trio.testing.wait_all_tasks_blocked()
        mock_clock.jump(6)  # the grace period is over
        await settled(cache)
        assert tier.bytes_read == BLOCK_BYTES  # a random reader of a large file
        status = await cache.status_of(revision)
        assert (status.state, status.bytes_present) == ("partial", BLOCK_BYTES)
        assert cache.stats().bytes_reserved == BLOCK_BYTES
        assert await read_all(cache, tier, revision, 8 * MIB) == content
        assert tier.bytes_read == len(content)


async def test_a_large_file_that_was_only_opened_is_not_fetched(
    tier: FakeTier, tmp_path: Path
) -> None:
    revision = tier.add("a", content_of(80 * MIB))
    async with cache_in(tmp_path / "c") as cache:
        file = await cache.open(tier, revision)
        file.close()
        await settled(cache)
        assert cache.stats().bytes_reserved == 0
    assert tier.reads == []


def test_phases_end_where_nothing_leads_out_and_refuse_what_cannot_happen() -> None:
    assert transition(Phase.VERIFYING, Event.VERIFIED) is Phase.COMPLETE
    for phase in ENDED:
        for event in Event:
            with pytest.raises(ValueError, match="cannot happen"):
                transition(phase, event)


async def test_s07_an_origin_that_stands_still_takes_no_slot_from_another_one(
    tmp_path: Path,
) -> None:
    stalled, healthy = FakeTier("fake://stalled"), FakeTier("fake://healthy")
    stalled.gate = trio.Event()
    content, large = content_of(8 * MIB), content_of(20 * MIB, 2)
    hung = [stalled.add(f"f{number}", content) for number in range(20)]
    whole, in_parts = healthy.add("a", content), healthy.add("b", large)
    async with cache_in(tmp_path / "c") as cache, trio.open_nursery() as nursery:
        for revision in hung:
            nursery.start_soon(read_all, cache, stalled, revision)
        while stalled.in_flight < 12:
            await stalled.started.park()
        with trio.fail_after(30):  # it would wait for its deadline of a minute
            assert await read_all(cache, healthy, whole) == content
            # Also what no reader waits for is fetched.
            await keep(cache, healthy, in_parts)
        assert await cache.known(in_parts)
        nursery.cancel_scope.cancel()


@pytest.mark.parametrize("size", [0, 32 * KIB, 20 * MIB])
async def test_a_fetch_brings_the_whole_and_says_its_digest(
    tier: FakeTier, tmp_path: Path, size: int
) -> None:
    content = content_of(size)
    revision = tier.add("a", content)
    async with cache_in(tmp_path / "c") as cache:
        assert await cache.fetch(tier, revision) == digest_bytes(content)
        assert await cache.fetch(tier, revision) == digest_bytes(content)
        assert await cache.known(revision)
    assert tier.bytes_read == size


async def test_a_random_reader_of_a_huge_file_fetches_what_it_reads_and_no_more(
    tier: FakeTier, tmp_path: Path
) -> None:
    content = content_of(100 * MIB)
    revision = tier.add("a", content)
    async with cache_in(tmp_path / "c") as cache:
        file = await cache.open(tier, revision)
        for place in (99, 3, 57, 20, 81, 40):
            start = place * MIB + 77
            found = await file.read(Span(start, start + 32 * KIB))
            assert bytes(found) == content[start : start + 32 * KIB]
        await trio.testing.wait_all_tasks_blocked()
        file.close()
    assert tier.bytes_read == 6 * BLOCK_BYTES
    assert tier.reads[0][1] == Span(99 * MIB, 99 * MIB + BLOCK_BYTES)


async def test_a_sequential_reader_of_a_large_file_waits_for_few_of_its_reads(
    tier: FakeTier, tmp_path: Path
) -> None:
    content = content_of(100 * MIB)
    revision = tier.add("a", content)
    waited = 0
    async with cache_in(tmp_path / "c") as cache:
        file = await cache.open(tier, revision, fill=Fill.RANGES)
        for start in range(0, 40 * MIB, 128 * KIB):
            span = Span(start, start + 128 * KIB)
            found = file.read_now(span)
            if found is None:
                waited += 1
                found = await file.read(span)
            assert bytes(found) == content[start : start + 128 * KIB]
            await trio.testing.wait_all_tasks_blocked()
        file.close()
    assert waited < 8
    # It is not pulled in: what is ahead of him is bounded by the window.
    assert tier.bytes_read < 100 * MIB + BLOCK_BYTES


@pytest.mark.parametrize(
    ("fill", "size", "whole"),
    [
        (Fill.WHOLE, 70 * MIB, True),
        (Fill.AUTO, 70 * MIB, False),
        (Fill.AUTO, 20 * MIB, True),
        (Fill.RANGES, 20 * MIB, False),
        (Fill.RANGES, 2 * MIB, False),
    ],
)
async def test_the_policy_says_whether_the_rest_follows(
    tier: FakeTier, tmp_path: Path, fill: Fill, size: int, whole: bool
) -> None:
    revision = tier.add("a", content_of(size))
    async with cache_in(tmp_path / "c") as cache:
        file = await cache.open(tier, revision, fill=fill)
        await file.read(Span(size // 2, size // 2 + 1))
        file.close()
        if whole:
            while not await cache.known(revision):
                await trio.lowlevel.checkpoint()
        await trio.testing.wait_all_tasks_blocked()
    assert tier.bytes_read == (size if whole else BLOCK_BYTES)
