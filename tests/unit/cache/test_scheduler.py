"""The scheduler of requests: limits, classes, shares, promotion."""

from __future__ import annotations

from collections import Counter

import trio
import trio.testing

from shotfs.cache.scheduling import FetchClass, FetchScheduler, OriginLimits


def scheduler_of(connections_max: int, bytes_max: int) -> FetchScheduler:
    return FetchScheduler(lambda _: OriginLimits(connections_max), bytes_max)


async def test_slots_bound_connections_and_bytes_and_let_demand_pass() -> None:
    scheduler = scheduler_of(4, 100)
    held: list[str] = []
    release = trio.Event()

    async def hold(name: str, length_bytes: int, fetch_class: FetchClass) -> None:
        async with scheduler.slot("origin", length_bytes, fetch_class):
            held.append(name)
            await release.wait()

    async with trio.open_nursery() as nursery:
        for number in range(5):
            nursery.start_soon(hold, f"fill{number}", 10, FetchClass.LOOKAHEAD)
        await trio.testing.wait_all_tasks_blocked()
        assert len(held) == 3  # a quarter of the connections stays free for readers
        nursery.start_soon(hold, "large", 80, FetchClass.DEMAND)
        await trio.testing.wait_all_tasks_blocked()
        assert "large" not in held
        nursery.start_soon(hold, "other", 80, FetchClass.DEMAND)
        await trio.testing.wait_all_tasks_blocked()
        assert scheduler.bytes_in_flight == 30
        nursery.cancel_scope.cancel()
    assert scheduler.bytes_in_flight == 0
    async with scheduler.slot("origin", 10**9, FetchClass.LOOKAHEAD):
        assert scheduler.bytes_in_flight == 10**9


async def test_s10_bytes_in_flight_are_bounded_over_all_origins() -> None:
    scheduler = scheduler_of(16, 80)
    held: Counter[str] = Counter()

    async def hold(origin: str, length_bytes: int, fetch_class: FetchClass) -> None:
        async with scheduler.slot(origin, length_bytes, fetch_class):
            held[origin] += 1
            await trio.sleep_forever()

    async with trio.open_nursery() as nursery:
        for origin in ("a", "b", "c"):
            for _ in range(16):
                nursery.start_soon(hold, origin, 5, FetchClass.DEMAND)
            await trio.testing.wait_all_tasks_blocked()
        # Three quarters, what was left, and an eighth that is always there.
        assert held == {"a": 12, "b": 4, "c": 2}
        nursery.start_soon(hold, "d", 1000, FetchClass.LOOKAHEAD)
        await trio.testing.wait_all_tasks_blocked()
        assert held["d"] == 1
        nursery.cancel_scope.cancel()
    assert scheduler.bytes_in_flight == 0


async def test_a_large_request_is_not_overtaken_for_ever_by_small_ones() -> None:
    scheduler = scheduler_of(16, 80)
    order: list[str] = []
    release = {name: trio.Event() for name in ("first", "large", "small")}

    async def hold(name: str, origin: str, length_bytes: int) -> None:
        async with scheduler.slot(origin, length_bytes, FetchClass.DEMAND):
            order.append(name)
            await release[name].wait()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(hold, "first", "a", 60)
        nursery.start_soon(hold, "first", "b", 10)
        await trio.testing.wait_all_tasks_blocked()
        nursery.start_soon(hold, "large", "b", 40)
        await trio.testing.wait_all_tasks_blocked()
        nursery.start_soon(hold, "small", "b", 1)
        await trio.testing.wait_all_tasks_blocked()
        assert order == ["first", "first"]
        release["first"].set()
        await trio.testing.wait_all_tasks_blocked()
        assert sorted(order[2:]) == ["large", "small"]
        nursery.cancel_scope.cancel()
