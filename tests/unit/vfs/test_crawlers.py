"""Processes that list whole trees, and those that do not; on trio's clock."""

from __future__ import annotations

import logging

import pytest
import trio
from trio.testing import MockClock

from shotfs.cache import Asker
from shotfs.config import MountSettings
from shotfs.errors import DeadlineExceeded
from shotfs.observe.metrics import Metrics
from shotfs.vfs.crawlers import PROCESSES_MAX, REPORTED_S, CrawlerGuard

FIND = Asker(41, "find")
RENDER = Asker(42, "povray")


def guard(
    per_s: float = 10.0, burst: int = 20, deadline_s: float = 60.0
) -> tuple[CrawlerGuard, Metrics]:
    metrics = Metrics()
    settings = MountSettings(
        listings_per_s=per_s, listings_burst=burst, request_deadline_s=deadline_s
    )
    return CrawlerGuard(settings, metrics), metrics


async def crawl(one: CrawlerGuard, count: int, asker: Asker = FIND) -> float:
    """List *count* directories, one after the other; return how long that took."""
    began = trio.current_time()
    for number in range(count):
        await one.admit(asker, 1000, f"ant/{number}")
    return trio.current_time() - began


async def test_a_crawler_is_slowed_to_its_rate_and_nobody_else_waits(
    autojump_clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    one, metrics = guard()
    with caplog.at_level(logging.WARNING):
        assert await crawl(one, 20) == 0, "what a burst holds costs no time"
        assert not one.report()
        assert await crawl(one, 100) == pytest.approx(10.0)
    assert await crawl(one, 20, RENDER) == 0
    (found,) = one.report()
    assert (found.asker, found.listings, found.waiting, found.path) == (FIND, 120, 0, "ant/99")
    assert found.per_s == pytest.approx(12.0)
    assert found.waited_s == pytest.approx(10.0)
    assert metrics.snapshot()["shotfs_listings_slowed_total"] == 100
    assert metrics.snapshot()["shotfs_listings_slowed_seconds_total"] == pytest.approx(10.0)
    (record,) = [row for row in caplog.records if "directories of origins" in row.message]
    assert "41 (find, uid 1000)" in record.message
    await trio.sleep(REPORTED_S + 1)
    assert not one.report(), "a crawl that is over is not reported for ever"
    assert await crawl(one, 20) == 0, "and its burst is full again"


async def test_listings_at_once_take_turns_and_who_has_none_in_time_gets_etimedout(
    autojump_clock: MockClock,
) -> None:
    one, _ = guard(per_s=1.0, burst=1, deadline_s=10.0)
    ended: list[float] = []
    late: list[float] = []

    async def ask() -> None:
        try:
            await one.admit(FIND, 1000, "ant")
        except DeadlineExceeded:
            late.append(trio.current_time() - began)
        else:
            ended.append(trio.current_time() - began)

    began = trio.current_time()
    async with trio.open_nursery() as nursery:
        for _ in range(20):
            nursery.start_soon(ask)
        await trio.testing.wait_all_tasks_blocked()
        (found,) = one.report()
        assert found.waiting == 19
    assert ended == pytest.approx([float(turn) for turn in range(11)])
    assert late == pytest.approx([10.0] * 9), "it is slow first, and an error only then"
    # Those who gave up took nobody's turn.
    assert await crawl(one, 1) == pytest.approx(1.0)


async def test_who_gives_up_waiting_takes_no_turn(autojump_clock: MockClock) -> None:
    one, _ = guard(per_s=1.0, burst=1)
    await crawl(one, 1)
    for _ in range(50):
        with trio.move_on_after(0.001):
            await one.admit(FIND, 1000, "ant")
    assert await crawl(one, 1) == pytest.approx(1.0, abs=0.1)


async def test_another_program_under_the_same_number_starts_afresh(
    autojump_clock: MockClock,
) -> None:
    one, _ = guard()
    await crawl(one, 30)
    assert await crawl(one, 20, Asker(FIND.pid, "maya")) == 0


async def test_processes_of_other_pid_namespaces_are_told_apart_by_their_users(
    autojump_clock: MockClock,
) -> None:
    one, _ = guard(burst=1)
    await one.admit(Asker(), 1000, "ant")
    began = trio.current_time()
    await one.admit(Asker(), 1001, "ant")
    assert trio.current_time() == began
    await one.admit(Asker(), 1000, "ant")
    assert trio.current_time() - began == pytest.approx(0.1)


async def test_zero_is_no_limit_and_processes_are_bounded(autojump_clock: MockClock) -> None:
    one, _ = guard(per_s=0.0, burst=1)
    assert await crawl(one, 1000) == 0
    one, _ = guard()
    for pid in range(1, PROCESSES_MAX + 100):
        await one.admit(Asker(pid, "x"), 0, "ant")
    assert len(one._processes) == PROCESSES_MAX
