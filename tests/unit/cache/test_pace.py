"""What is measured of an origin, and the sizes of requests that follow."""

from __future__ import annotations

import pytest
import trio
import trio.testing

from shotfs.cache.scheduling import FetchClass, FetchScheduler, OriginLimits
from shotfs.cache.scheduling.pace import PaceMeter

MIB = 1024 * 1024


def meter(range_bytes_max: int = 8 * MIB, connections_max: int = 16) -> PaceMeter:
    return PaceMeter(OriginLimits(connections_max, range_bytes_max))


def measured(
    rate: float, latency_s: float, count: int = 32, *, length: int = MIB, at_once: int = 1
) -> PaceMeter:
    one = meter()
    for _ in range(count):
        one.add(length, latency_s + length / rate, latency_s, at_once)
    return one


def test_the_first_requests_are_small_ones() -> None:
    pace = meter().pace()
    assert pace.range_bytes(FetchClass.DEMAND) == MIB
    assert pace.range_bytes(FetchClass.LOOKAHEAD) == 2 * MIB
    assert pace.parallel() == 8
    assert pace.hedge_after_s(MIB) is None


def test_latency_and_speed_are_told_apart() -> None:
    pace = measured(100e6, 0.02).pace()
    assert pace.latency_s == pytest.approx(0.02)
    assert pace.bytes_per_s == pytest.approx(100e6)
    assert pace.range_bytes(FetchClass.DEMAND) == 8 * MIB


def test_where_nobody_tells_the_first_byte_small_requests_show_the_latency() -> None:
    one = meter()
    for _ in range(10):
        one.add(1000, 0.03, None, 1)
        one.add(4 * MIB, 0.5, None, 1)
    assert one.pace().latency_s == pytest.approx(0.03)
    assert one.pace().bytes_per_s == pytest.approx(8 * MIB)


@pytest.mark.parametrize("fetch_class", [FetchClass.DEMAND, FetchClass.PREWARM])
@pytest.mark.parametrize("rate", [100_000.0, 500_000.0, 2e6])
def test_no_request_of_a_slow_link_lasts_long(rate: float, fetch_class: FetchClass) -> None:
    pace = measured(rate, 0.05, at_once=1).pace()
    lasts_s = pace.range_bytes(fetch_class) / rate
    assert lasts_s <= 4.0 or pace.range_bytes(fetch_class) == MIB
    # More at once would make each of them slower still.
    assert pace.parallel() <= max(2, 1 + rate * 2.0 / MIB)


def test_a_link_that_many_connections_fill_is_measured_by_all_of_them() -> None:
    pace = measured(12.5e6, 0.02, at_once=8).pace()
    assert pace.together_bytes_per_s == pytest.approx(8 * 12.5e6, rel=0.3)
    assert pace.parallel() == 8


def test_outliers_change_nothing() -> None:
    one = measured(100e6, 0.02)
    for _ in range(10):
        one.add(MIB, 60.0, 59.0, 1)
        one.add(MIB, 0.0001, 0.00001, 1)
    assert one.pace().latency_s == pytest.approx(0.02)
    assert one.pace().range_bytes(FetchClass.LOOKAHEAD) == 8 * MIB


def test_a_changed_link_is_followed() -> None:
    one = measured(100e6, 0.02)
    for _ in range(20):
        one.add(MIB, 10.0, 0.02, 1)
    assert one.pace().range_bytes(FetchClass.LOOKAHEAD) == MIB


def test_the_configuration_has_the_last_word() -> None:
    one = meter(range_bytes_max=256 * 1024, connections_max=1)
    one.add(MIB, 0.01, 0.001, 1)
    assert one.pace().range_bytes(FetchClass.PREWARM) == 256 * 1024
    assert one.pace().parallel() == 1


def test_slow_is_beyond_the_95th_percentile_of_like_requests_and_twice_the_median() -> None:
    one = meter()
    for number in range(60):
        one.add(MIB, 0.1 if number % 10 else 1.0, 0.01, 1)
        one.add(32 * 1024, 0.001, 0.001, 1)
    assert one.pace().hedge_after_s(MIB) == pytest.approx(1.0)
    assert one.pace().hedge_after_s(1000) == pytest.approx(0.02)
    assert one.pace().hedge_after_s(64 * MIB) is None
    assert measured(1e6, 0.1).pace().hedge_after_s(MIB) == pytest.approx(2 * (0.1 + MIB / 1e6))


async def test_a_link_of_100_mb_a_second_with_20_ms_is_filled(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """Eight requests share one link; sizes and numbers are those that the pace says."""
    scheduler = FetchScheduler(lambda _: OriginLimits(), 128 * MIB)
    link_free_at, arrived = trio.current_time(), 0
    began = link_free_at

    async def fetch() -> None:
        nonlocal link_free_at, arrived
        while arrived < 512 * MIB:
            pace = scheduler.pace("a")
            length = pace.range_bytes(FetchClass.LOOKAHEAD)
            async with scheduler.slot("a", length, FetchClass.LOOKAHEAD) as slot:
                asked = trio.current_time()
                await trio.sleep(0.02)
                for _ in range(length // (256 * 1024)):
                    link_free_at = max(link_free_at, trio.current_time()) + 256 * 1024 / 100e6
                    await trio.sleep_until(link_free_at)
                arrived += length
                slot.record(length, trio.current_time() - asked)

    async with trio.open_nursery() as nursery:
        for _ in range(scheduler.pace("a").parallel()):
            nursery.start_soon(fetch)
    assert arrived / (trio.current_time() - began) >= 0.95 * 100e6


def connections_found(one: PaceMeter, link: float, connection: float) -> list[int | None]:
    """Fetch with as many connections as are of use; return how many those were, step by step."""
    found = []
    for _ in range(20):
        found.append(one.pace().connections())
        at_once = min(found[-1] or 12, 12)
        for _ in range(at_once):
            rate = min(connection, link / at_once)
            one.add(8 * MIB, 0.005 + 8 * MIB / rate, 0.005, at_once)
    return found


@pytest.mark.parametrize(
    ("link", "connection", "most"),
    [
        (1200e6, 100e6, 12),  # a cloud: only many connections fill the link
        (800e6, 800e6, 4),  # a server in the same rack: one nearly does
        (800e6, 200e6, 7),
    ],
)
def test_as_many_connections_are_of_use_as_fill_the_link(
    link: float, connection: float, most: int
) -> None:
    one = meter()
    assert one.pace().connections() is None
    for _ in range(4):
        one.add(MIB, 0.005 + MIB / connection, 0.005, 1)
    found = [min(count or 12, 12) for count in connections_found(one, link, connection)]
    assert min(found[10:]) * connection >= min(link, 12 * connection)
    assert max(found[10:]) == most


def test_a_measure_of_before_an_origin_became_slow_leaves_some_connections_and_is_forgotten() -> (
    None
):
    one = meter()
    for _ in range(4):
        one.add(8 * MIB, 8 * MIB / 500e6, 0.0, 1)
    assert set(connections_found(one, 1e12, 10e6)[10:]) == {4}
    for _ in range(5000):
        one.add(8 * MIB, 8 * MIB / 10e6, 0.0, 4)
    assert one.pace().connections() is None


async def test_large_requests_of_prewarms_are_no_more_than_are_of_use() -> None:
    scheduler = FetchScheduler(lambda _: OriginLimits(), 1 << 40)

    async def hold(fetch_class: FetchClass, length: int) -> None:
        async with scheduler.slot("gs://a", length, fetch_class):
            await trio.sleep_forever()

    async def most(fetch_class: FetchClass, length: int) -> int:
        async with trio.open_nursery() as nursery:
            for _ in range(20):
                nursery.start_soon(hold, fetch_class, length)
            await trio.testing.wait_all_tasks_blocked()
            count = len(scheduler.under_way())
            nursery.cancel_scope.cancel()
        return count

    assert await most(FetchClass.PREWARM, 8 * MIB) == 12
    for _ in range(4):
        async with scheduler.slot("gs://a", 8 * MIB, FetchClass.PREWARM) as slot:
            slot.record(8 * MIB, 0.02)
    assert await most(FetchClass.PREWARM, 8 * MIB) == 4
    assert await most(FetchClass.PREWARM, MIB) == 12
    assert await most(FetchClass.LOOKAHEAD, 8 * MIB) == 12
    assert await most(FetchClass.DEMAND, 8 * MIB) == 16


async def test_requests_that_are_joined_by_others_were_not_alone() -> None:
    scheduler = FetchScheduler(lambda _: OriginLimits(), 1 << 40)
    async with scheduler.slot("gs://a", 8 * MIB, FetchClass.PREWARM) as first:
        async with (
            scheduler.slot("gs://a", 8 * MIB, FetchClass.PREWARM),
            scheduler.slot("gs://a", 8 * MIB, FetchClass.PREWARM),
        ):
            pass
        first.record(8 * MIB, 0.02)
    assert first.at_once == 3
    assert scheduler.pace("gs://a").alone_bytes_per_s is None


async def test_small_files_of_one_visit_count_one_by_one() -> None:
    scheduler = FetchScheduler(lambda _: OriginLimits(), 1 << 40)
    async with scheduler.slot("gs://a", MIB, FetchClass.PREWARM) as slot:
        slot.record(16 * 32 * 1024, 0.016, requests=16)
    assert scheduler.pace("gs://a").latency_s == pytest.approx(0.001)
    assert scheduler.pace("gs://a").alone_bytes_per_s is None
