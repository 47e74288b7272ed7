"""Second requests for slow ones: who wins, what they cost, and that no loser's byte is kept."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import trio
import trio.testing

from shotfs.cache.scheduling import (
    FetchClass,
    FetchScheduler,
    HedgeBudget,
    OriginLimits,
    hedged_read_to_file,
)
from shotfs.config import Settings
from shotfs.digest import Buffer
from shotfs.errors import RevisionChanged, TierUnavailable
from shotfs.observe.metrics import Metrics
from shotfs.tiers.base import Revision, Span
from shotfs.tiers.cloud.origin import Origin
from shotfs.tiers.cloud.threads import Abandoned, Call, with_descriptor
from shotfs.tiers.keys import parse_root
from tests.unit.cache.fakes import MIB, FakeTier, content_of

SPAN = Span(MIB, 2 * MIB)
CONTENT = content_of(3 * MIB)


class SlowTier(FakeTier):
    """Its reads to a file wait for `first`; its reads to memory for `gate`."""

    def __init__(self) -> None:
        super().__init__()
        self.first = trio.Event()
        self.first_error: Exception | None = None
        self.cancelled = 0

    async def read_to_file(self, revision: Revision, span: Span, descriptor: int) -> None:
        try:
            await self.first.wait()
        except trio.Cancelled:
            self.cancelled += 1
            raise
        if self.first_error is not None:
            raise self.first_error
        os.pwrite(descriptor, CONTENT[span.start : span.stop], span.start)


@pytest.fixture
def descriptor(tmp_path: Path) -> Iterator[int]:
    number = os.open(tmp_path / "file", os.O_RDWR | os.O_CREAT)
    yield number
    os.close(number)


def content(descriptor: int) -> bytes:
    return os.pread(descriptor, SPAN.length_bytes, SPAN.start)


async def scheduler_that_knows(
    share: float = 1.0, bytes_max: int = 8 * MIB, metrics: Metrics | None = None
) -> FetchScheduler:
    """Return one that has seen enough requests of a tenth of a second."""
    scheduler = FetchScheduler(
        lambda _: OriginLimits(), 128 * MIB, hedges=HedgeBudget(share, bytes_max), metrics=metrics
    )
    for _ in range(20):
        async with scheduler.slot("fake://origin", MIB, FetchClass.PREWARM) as slot:
            slot.record(MIB, 0.1)
    return scheduler


async def fetch(
    scheduler: FetchScheduler,
    tier: FakeTier,
    descriptor: int,
    fetch_class: FetchClass = FetchClass.DEMAND,
) -> None:
    revision = tier.add("a", CONTENT)
    async with scheduler.slot(tier.name, SPAN.length_bytes, fetch_class) as slot:
        await hedged_read_to_file(scheduler, slot, tier, revision, SPAN, descriptor)


async def test_a_slow_demand_request_is_sent_again_and_the_second_may_win(
    descriptor: int, autojump_clock: trio.testing.MockClock
) -> None:
    metrics, tier = Metrics(), SlowTier()
    scheduler = await scheduler_that_knows(metrics=metrics)
    began = trio.current_time()
    await fetch(scheduler, tier, descriptor)
    assert trio.current_time() - began == pytest.approx(0.2)
    assert content(descriptor) == CONTENT[SPAN.start : SPAN.stop]
    assert tier.cancelled == 1
    assert metrics.snapshot()["shotfs_hedges_total{outcome=won}"] == 1
    assert scheduler.bytes_in_flight == 0


async def test_the_first_request_may_win_after_all(
    descriptor: int, autojump_clock: trio.testing.MockClock
) -> None:
    metrics, tier = Metrics(), SlowTier()
    tier.gate = trio.Event()
    scheduler = await scheduler_that_knows(metrics=metrics)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(fetch, scheduler, tier, descriptor)
        await trio.sleep(1)
        assert len(tier.reads) == 1
        tier.first.set()
    assert content(descriptor) == CONTENT[SPAN.start : SPAN.stop]
    assert metrics.snapshot()["shotfs_hedges_total{outcome=sent}"] == 1
    assert metrics.snapshot().get("shotfs_hedges_total{outcome=won}", 0) == 0
    assert (tier.in_flight, scheduler.bytes_in_flight) == (0, 0)


@pytest.mark.parametrize("fetch_class", [FetchClass.LOOKAHEAD, FetchClass.PREWARM])
async def test_only_what_somebody_is_blocked_on_is_sent_again(
    descriptor: int, fetch_class: FetchClass, autojump_clock: trio.testing.MockClock
) -> None:
    tier = SlowTier()
    scheduler = await scheduler_that_knows()
    with trio.move_on_after(60):
        await fetch(scheduler, tier, descriptor, fetch_class)
    assert not tier.reads


@pytest.mark.parametrize(("share", "bytes_max"), [(0.0, 8 * MIB), (1.0, SPAN.length_bytes - 1)])
async def test_without_a_budget_nothing_is_sent_again(
    descriptor: int, share: float, bytes_max: int, autojump_clock: trio.testing.MockClock
) -> None:
    tier = SlowTier()
    scheduler = await scheduler_that_knows(share, bytes_max)
    with trio.move_on_after(60):
        await fetch(scheduler, tier, descriptor)
    assert not tier.reads


async def test_second_requests_are_a_share_of_the_first_ones(
    descriptor: int, autojump_clock: trio.testing.MockClock
) -> None:
    tier = SlowTier()
    tier.gate = trio.Event()
    scheduler = await scheduler_that_knows(0.1)
    for _ in range(100):
        with trio.move_on_after(1):
            await fetch(scheduler, tier, descriptor)
    assert 10 <= len(tier.reads) <= 11


async def test_a_second_request_makes_up_for_a_first_one_that_fails(
    descriptor: int, autojump_clock: trio.testing.MockClock
) -> None:
    tier = SlowTier()
    tier.gate = trio.Event()
    tier.first_error = TierUnavailable("gone")
    scheduler = await scheduler_that_knows()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(fetch, scheduler, tier, descriptor)
        await trio.sleep(1)
        tier.first.set()
        await trio.testing.wait_all_tasks_blocked()
        tier.gate.set()
    assert content(descriptor) == CONTENT[SPAN.start : SPAN.stop]


async def test_when_both_fail_the_first_ones_error_is_raised(
    descriptor: int, autojump_clock: trio.testing.MockClock
) -> None:
    tier = SlowTier()
    tier.first_error = RevisionChanged("first")

    def fault(*_: object) -> None:
        tier.first.set()
        raise TierUnavailable("second")

    tier.fault = fault
    scheduler = await scheduler_that_knows()
    with pytest.raises(RevisionChanged, match="first"):
        await fetch(scheduler, tier, descriptor)
    assert scheduler.hedges.take(8 * MIB)  # its memory is free again


class LyingTier(FakeTier):
    """Its first answer hangs in a thread, and goes on with wrong bytes when told."""

    def __init__(self) -> None:
        super().__init__()
        self.go_on, self.ended = threading.Event(), threading.Event()
        self.refused = 0
        settings = Settings()
        root = parse_root("file:///x")
        self.origin = Origin(root, settings.origin_for(root.name), settings.network)

    async def read_to_file(self, revision: Revision, span: Span, descriptor: int) -> None:
        def work(own: int, call: Call) -> None:
            call.write_at(own, memoryview(b"lies" * 1024), span.start)
            self.go_on.wait(10)
            try:
                call.write_at(own, memoryview(b"more lies" * 1024), span.start + 8192)
            except Abandoned:
                self.refused += 1
            finally:
                self.ended.set()

        await with_descriptor(self.origin, "x", descriptor, work, bulk_bytes=span.length_bytes)

    async def read(self, revision: Revision, span: Span) -> Buffer:
        await trio.lowlevel.checkpoint()
        return CONTENT[span.start : span.stop]


async def test_s06_no_byte_of_a_lying_loser_is_in_the_file_after_the_winner_was_told(
    descriptor: int,
) -> None:
    tier = LyingTier()
    scheduler = await scheduler_that_knows()
    await fetch(scheduler, tier, descriptor)
    assert content(descriptor) == CONTENT[SPAN.start : SPAN.stop]
    tier.go_on.set()
    assert await trio.to_thread.run_sync(tier.ended.wait, 10)
    assert tier.refused == 1
    assert content(descriptor) == CONTENT[SPAN.start : SPAN.stop]
