"""Bandwidth: windows of the day, reached to 0.95 and never exceeded over a few seconds."""

from __future__ import annotations

import pytest
import trio
import trio.testing

from shotfs.cache.scheduling import FetchClass, FetchScheduler, OriginLimits
from shotfs.config.mistake import Mistake
from shotfs.config.rates import Rate, parse_rate, rate_at

MIB = 1024 * 1024


def shaped(
    *rates: Rate, minute: int = 0, bytes_max: int = 128 * MIB
) -> tuple[FetchScheduler, list[int]]:
    now = [minute]
    limits = OriginLimits(16, rates=rates)
    return FetchScheduler(lambda _: limits, bytes_max, minute=lambda: now[0]), now


async def transfer(
    scheduler: FetchScheduler, arrived: list[tuple[float, int]], seconds: float, link: float
) -> None:
    """Fetch as streams do, eight at once, over a link of that many bytes per second."""
    stop = trio.current_time() + seconds

    async def fetch() -> None:
        while trio.current_time() < stop:
            length = scheduler.pace("a").range_bytes(FetchClass.LOOKAHEAD)
            async with scheduler.slot("a", length, FetchClass.LOOKAHEAD) as slot:
                began = trio.current_time()
                await trio.sleep(0.02)
                for _ in range(length // (256 * 1024)):
                    await trio.sleep(256 * 1024 / link)
                    arrived.append((trio.current_time(), 256 * 1024))
                slot.record(length, trio.current_time() - began)

    async with trio.open_nursery() as nursery:
        for _ in range(8):
            nursery.start_soon(fetch)


def most_in_a_window(arrived: list[tuple[float, int]], window_s: float) -> int:
    return max(
        sum(count for at, count in arrived if start <= at < start + window_s)
        for start, _ in arrived[::4]
    )


@pytest.mark.parametrize("bytes_per_s", [20 * MIB, 100_000_000])
async def test_a_limited_bandwidth_is_reached_and_never_exceeded(
    bytes_per_s: int, autojump_clock: trio.testing.MockClock
) -> None:
    scheduler, _ = shaped(Rate(bytes_per_s))
    arrived: list[tuple[float, int]] = []
    await transfer(scheduler, arrived, 20.0, 4 * bytes_per_s)
    took_s = arrived[-1][0] - arrived[0][0]
    assert sum(count for _, count in arrived) >= 0.95 * bytes_per_s * took_s
    assert most_in_a_window(arrived, 3.0) <= 1.0 * bytes_per_s * 3.0


async def test_a_time_window_of_the_bandwidth_begins_and_ends_while_requests_wait(
    autojump_clock: trio.testing.MockClock,
) -> None:
    scheduler, minute = shaped(parse_rate("22:00-06:00 1 MiB"), minute=23 * 60)
    arrived: list[tuple[float, int]] = []
    async with trio.open_nursery() as nursery:
        nursery.start_soon(transfer, scheduler, arrived, 30.0, 100.0 * MIB)
        await trio.sleep(10)
        slow = sum(count for _, count in arrived)
        assert slow <= 12 * MIB
        minute[0] = 6 * 60  # somebody sets the clock: the limit has ended
        await trio.sleep(2)
        assert sum(count for _, count in arrived) - slow > 30 * MIB
        minute[0] = 5 * 60
        await trio.sleep(2)
        before = sum(count for _, count in arrived)
        await trio.sleep(10)
        assert sum(count for _, count in arrived) - before <= 12 * MIB
        nursery.cancel_scope.cancel()


async def test_an_unused_moment_is_not_saved_up(autojump_clock: trio.testing.MockClock) -> None:
    scheduler, _ = shaped(Rate(10 * MIB))
    await trio.sleep(3600)
    arrived: list[tuple[float, int]] = []
    await transfer(scheduler, arrived, 3.0, 1000.0 * MIB)
    assert most_in_a_window(arrived, 2.0) <= 1.1 * 10 * MIB * 2.0


async def test_demand_goes_first_under_a_limited_bandwidth(
    autojump_clock: trio.testing.MockClock,
) -> None:
    scheduler, _ = shaped(Rate(MIB))
    order: list[str] = []

    async def fetch(name: str, fetch_class: FetchClass) -> None:
        async with scheduler.slot("a", MIB, fetch_class) as slot:
            order.append(name)
            slot.record(MIB, 0.1)

    async with trio.open_nursery() as nursery:
        for number in range(4):
            nursery.start_soon(fetch, f"rest{number}", FetchClass.PREWARM)
        await trio.sleep(0.1)
        nursery.start_soon(fetch, "demand", FetchClass.DEMAND)
    assert order[1] == "demand"
    assert len(order) == 5


@pytest.mark.parametrize(
    ("text", "minute", "rate"),
    [
        ("20 MiB", 0, 20 * MIB),
        ("20 MiB/s", 700, 20 * MIB),
        ("08:00-20:00 20 MiB", 8 * 60, 20 * MIB),
        ("08:00-20:00 20 MiB", 20 * 60, None),
        ("22:00-06:00 1 MB", 23 * 60, 1_000_000),
        ("22:00-06:00 1 MB", 5 * 60 + 59, 1_000_000),
        ("22:00-06:00 1 MB", 6 * 60, None),
        ("20:00-24:00 1 MB", 23 * 60 + 59, 1_000_000),
    ],
)
def test_a_bandwidth_holds_at_its_times(text: str, minute: int, rate: int | None) -> None:
    assert rate_at([parse_rate(text)], minute) == rate


@pytest.mark.parametrize(
    "text", ["", "fast", "08:00 20 MiB", "08:00-08:00 20 MiB", "25:00-26:00 1 MiB", "1 KiB",
             "00:00-24:00 1 MiB", "08:61-09:00 1 MiB"],
)  # fmt: skip
def test_what_is_no_bandwidth_is_a_mistake_that_says_what_to_write(text: str) -> None:
    with pytest.raises(Mistake) as caught:
        parse_rate(text)
    assert caught.value.fix
