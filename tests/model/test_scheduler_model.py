"""The scheduler against a model of lists, and its promises over any sequence of requests."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest
import trio
from hypothesis import given, settings
from hypothesis import strategies as st

from shotfs.cache.scheduling import FetchClass, FetchScheduler, OriginLimits, Slot

KIB = 1024
MIB = 1024 * KIB
BYTES_MAX = 16 * MIB
CONNECTIONS_MAX = 5
SHARES = {FetchClass.LOOKAHEAD: 0.125, FetchClass.PREWARM: 0.0625, FetchClass.PUBLISH: 0.0625}


@dataclass
class Model:
    """Says the rules again, slowly: one list, looked through from its start each time."""

    waiting: list[Slot] = field(default_factory=list)
    under_way: list[Slot] = field(default_factory=list)
    owed: dict[tuple[str, FetchClass], float] = field(default_factory=dict)

    def cost(self, slot: Slot) -> int:
        return max(slot.length_bytes, 64 * KIB)

    def due(self, slot: Slot) -> bool:
        if slot.fetch_class is FetchClass.DEMAND:
            return False
        return self.owed.get((slot.origin, slot.fetch_class), 0.0) >= self.cost(slot)

    def next(self, passed: set[str]) -> Slot | None:
        heads: dict[tuple[str, FetchClass], Slot] = {}
        for slot in sorted(self.waiting, key=lambda one: one.serial):
            if slot.origin not in passed:
                heads.setdefault((slot.origin, slot.fetch_class), slot)
        order = [(not self.due(one), one.fetch_class, one.serial, one) for one in heads.values()]
        return min(order)[3] if order else None

    def grant_all(self) -> list[Slot]:
        granted: list[Slot] = []
        passed: set[str] = set()
        crowded = False
        while (slot := self.next(passed)) is not None:
            urgent = slot.fetch_class is FetchClass.DEMAND or self.due(slot)
            its = [one for one in self.under_way if one.origin == slot.origin]
            held = sum(one.length_bytes for one in its)
            together = sum(one.length_bytes for one in self.under_way) + slot.length_bytes
            bytes_max = BYTES_MAX if urgent else BYTES_MAX * 3 // 4
            connections = CONNECTIONS_MAX - (0 if urgent else CONNECTIONS_MAX // 4)
            if slot.fetch_class is FetchClass.PUBLISH and not urgent:
                connections = CONNECTIONS_MAX // 2
            wanted = held + slot.length_bytes
            own = wanted <= BYTES_MAX // 8
            room = wanted <= BYTES_MAX * 3 // 4 and together <= bytes_max and not crowded
            if len(its) < connections and (held == 0 or own or room):
                self.start(slot)
                granted.append(slot)
            else:
                passed.add(slot.origin)
                crowded = crowded or together > bytes_max
        return granted

    def start(self, slot: Slot) -> None:
        waits = {one.fetch_class for one in self.waiting if one.origin == slot.origin}
        for other, share in SHARES.items():
            key = (slot.origin, other)
            if other > slot.fetch_class and other in waits:
                self.owed[key] = self.owed.get(key, 0.0) + share * self.cost(slot)
        key = (slot.origin, slot.fetch_class)
        self.owed[key] = max(0.0, self.owed.get(key, 0.0) - self.cost(slot))
        self.under_way.append(slot)
        self.leave(slot, slot.fetch_class)

    def leave(self, slot: Slot, fetch_class: FetchClass) -> None:
        self.waiting.remove(slot)
        its = ((one.origin, one.fetch_class) for one in self.waiting)
        if (slot.origin, fetch_class) not in its:
            self.owed[slot.origin, fetch_class] = 0.0


ORIGINS = ("a", "b", "c")
LENGTHS = (1, 32 * KIB, MIB, 2 * MIB, 5 * MIB, 20 * MIB)
REQUEST = st.tuples(st.sampled_from(ORIGINS), st.sampled_from(LENGTHS), st.sampled_from(FetchClass))
OPERATION = st.one_of(
    st.tuples(st.just("ask"), REQUEST),
    st.tuples(st.just("ask"), REQUEST),
    st.tuples(st.just("end"), st.integers(0, 100)),
    st.tuples(st.just("give_up"), st.integers(0, 100)),
    st.tuples(st.just("promote"), st.tuples(st.integers(0, 100), st.sampled_from(FetchClass))),
)


def in_trio(check: Callable[[], None]) -> None:
    async def run() -> None:
        await trio.lowlevel.checkpoint()
        check()

    trio.run(run)


def scheduler_of(connections_max: int = CONNECTIONS_MAX) -> FetchScheduler:
    return FetchScheduler(lambda _: OriginLimits(connections_max), BYTES_MAX)


@settings(max_examples=100, deadline=None)
@given(st.lists(OPERATION, max_size=80))
def test_the_scheduler_does_what_the_model_says_and_everything_is_granted_in_the_end(
    operations: list[tuple[str, object]],
) -> None:
    in_trio(lambda: _compare(operations))


def _compare(operations: list[tuple[str, object]]) -> None:
    scheduler, model = scheduler_of(), Model()
    for operation, argument in operations:
        _do(scheduler, model, operation, argument)
        _agree(scheduler, model)
    # Nothing comes any more: ending what is under way lets everybody go.
    while model.under_way:
        _do(scheduler, model, "end", 0)
        _agree(scheduler, model)
    assert not model.waiting
    assert not scheduler.queue()
    assert scheduler.bytes_in_flight == 0


def _do(scheduler: FetchScheduler, model: Model, operation: str, argument: object) -> None:
    if operation == "ask":
        slot = scheduler.slot(*argument)  # type: ignore[misc]  # the strategy's tuple
        model.waiting.append(slot)
        scheduler.enqueue(slot)
    elif operation == "end" and model.under_way:
        slot = model.under_way.pop(argument % len(model.under_way))  # type: ignore[operator]
        scheduler.give_back(slot)
    elif operation == "give_up" and model.waiting:
        slot = model.waiting[argument % len(model.waiting)]  # type: ignore[operator]
        model.leave(slot, slot.fetch_class)
        scheduler.give_up(slot)
    elif operation == "promote" and model.waiting:
        which, fetch_class = argument  # type: ignore[misc]
        slot = model.waiting[which % len(model.waiting)]
        before = slot.fetch_class
        if fetch_class < before:
            # The model sees the class of the slot itself: it leaves the queue of its old one.
            slot.fetch_class = fetch_class
            model.leave(slot, before)
            model.waiting.append(slot)
            slot.fetch_class = before
        slot.promote(fetch_class)
        assert slot.fetch_class is min(before, fetch_class)
    model.grant_all()


def _agree(scheduler: FetchScheduler, model: Model) -> None:
    assert all(slot.granted for slot in model.under_way)
    assert not any(slot.granted for slot in model.waiting)
    assert len(scheduler.queue()) == len(model.waiting)
    assert scheduler.bytes_in_flight == sum(one.length_bytes for one in model.under_way)
    for origin in ORIGINS:
        its = [one for one in model.under_way if one.origin == origin]
        assert len(its) <= CONNECTIONS_MAX
        if len(its) > 1:
            assert sum(one.length_bytes for one in its) <= BYTES_MAX * 3 // 4 + LENGTHS[-1]


@settings(max_examples=25, deadline=None)
@given(
    st.sampled_from(tuple(SHARES)),
    st.lists(st.sampled_from((32 * KIB, MIB, 2 * MIB)), min_size=100, max_size=100),
    st.sampled_from((64 * KIB, MIB, 2 * MIB)),
    st.integers(1, 6),
)
def test_a_class_that_waits_gets_its_share_beside_endless_demand(
    fetch_class: FetchClass, demands: list[int], length_bytes: int, connections_max: int
) -> None:
    in_trio(lambda: _check_share(fetch_class, demands, length_bytes, connections_max))


def _check_share(
    fetch_class: FetchClass, demands: list[int], length_bytes: int, connections_max: int
) -> None:
    scheduler = scheduler_of(connections_max)
    urgent = [scheduler.slot("a", length, FetchClass.DEMAND) for length in demands]
    enough = sum(demands) // 8 // length_bytes * 2 + 100
    others = [scheduler.slot("a", length_bytes, fetch_class) for _ in range(enough)]
    waiting = dict.fromkeys([*urgent, *others])
    for slot in waiting:
        scheduler.enqueue(slot)
    under_way: deque[Slot] = deque()
    went = got = 0
    while not urgent[-1].granted:
        for slot in [one for one in waiting if one.granted]:
            del waiting[slot]
            under_way.append(slot)
            went += slot.length_bytes if slot.fetch_class is FetchClass.DEMAND else 0
            got += slot.length_bytes if slot.fetch_class is fetch_class else 0
        # It is owed nothing for those that went before it waited, and paid after the last one.
        share = SHARES[fetch_class] * (went - (1 + connections_max) * 2 * MIB)
        assert got >= share - length_bytes
        assert got <= SHARES[fetch_class] * 2 * went + length_bytes * (1 + connections_max)
        scheduler.give_back(under_way.popleft())


@pytest.mark.parametrize("lower", [FetchClass.LOOKAHEAD, FetchClass.PREWARM, FetchClass.PUBLISH])
async def test_a_promoted_request_keeps_its_age_and_goes_before_its_old_class(
    lower: FetchClass,
) -> None:
    await trio.lowlevel.checkpoint()
    scheduler = scheduler_of(1)
    running = scheduler.slot("a", MIB, FetchClass.DEMAND)
    waits = [scheduler.slot("a", MIB, lower, what=f"w{number}") for number in range(3)]
    late = scheduler.slot("a", MIB, FetchClass.DEMAND, what="late")
    for slot in (running, *waits, late):
        scheduler.enqueue(slot)
    waits[1].promote(FetchClass.DEMAND)
    assert [(one.what, one.position) for one in scheduler.queue()] == [
        ("w1", 0), ("late", 1), ("w0", 0), ("w2", 1),
    ]  # fmt: skip
    order = []
    slot = running
    for _ in range(4):
        scheduler.give_back(slot)
        slot = next(one for one in (*waits, late) if one.granted and one.what not in order)
        order.append(slot.what)
    assert order == ["w1", "late", "w0", "w2"]
    waits[1].promote(FetchClass.PUBLISH)
    assert waits[1].fetch_class is FetchClass.DEMAND
