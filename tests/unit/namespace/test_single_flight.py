"""Single flight: one question, however many ask it."""

from __future__ import annotations

import pytest
import trio

from shotfs.errors import ObjectNotFound, TierUnavailable
from shotfs.namespace.single_flight import SingleFlight


class Work:
    """Counts its calls and waits at a gate."""

    def __init__(self, answer: int | Exception = 7) -> None:
        self.answer = answer
        self.calls = 0
        self.gate = trio.Event()

    async def __call__(self) -> int:
        self.calls += 1
        await self.gate.wait()
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


async def test_callers_of_one_key_share_one_answer(nursery: trio.Nursery) -> None:
    flights: SingleFlight[str, int] = SingleFlight(nursery)
    work = Work()
    answers: list[int] = []

    async def ask() -> None:
        answers.append(await flights.do("a", work))

    async with trio.open_nursery() as callers:
        for _ in range(200):
            callers.start_soon(ask)
        await trio.testing.wait_all_tasks_blocked()
        assert len(flights) == 1
        work.gate.set()
    assert answers == [7] * 200
    assert work.calls == 1
    assert len(flights) == 0


async def test_keys_do_not_wait_for_each_other(nursery: trio.Nursery) -> None:
    flights: SingleFlight[str, int] = SingleFlight(nursery)
    slow, fast = Work(1), Work(2)
    fast.gate.set()
    nursery.start_soon(flights.do, "slow", slow)
    assert await flights.do("fast", fast) == 2
    slow.gate.set()


async def test_an_answer_is_not_kept(nursery: trio.Nursery) -> None:
    flights: SingleFlight[str, int] = SingleFlight(nursery)
    work = Work()
    work.gate.set()
    await flights.do("a", work)
    await flights.do("a", work)
    assert work.calls == 2


async def test_everybody_gets_the_error(nursery: trio.Nursery) -> None:
    flights: SingleFlight[str, int] = SingleFlight(nursery)
    work = Work(ObjectNotFound("gone"))
    errors: list[ObjectNotFound] = []

    async def ask() -> None:
        try:
            await flights.do("a", work)
        except ObjectNotFound as error:
            errors.append(error)

    async with trio.open_nursery() as callers:
        for _ in range(5):
            callers.start_soon(ask)
        await trio.testing.wait_all_tasks_blocked()
        work.gate.set()
    assert len(errors) == 5
    work.answer = 3
    assert await flights.do("a", work) == 3, "an error is not kept either"


async def test_a_caller_who_gives_up_leaves_the_others_their_answer(
    nursery: trio.Nursery,
) -> None:
    flights: SingleFlight[str, int] = SingleFlight(nursery)
    work = Work()
    answers: list[int] = []
    first = trio.CancelScope()

    async def ask(scope: trio.CancelScope) -> None:
        with scope:
            answers.append(await flights.do("a", work))

    async with trio.open_nursery() as callers:
        callers.start_soon(ask, first)
        await trio.testing.wait_all_tasks_blocked()
        callers.start_soon(ask, trio.CancelScope())
        await trio.testing.wait_all_tasks_blocked()
        first.cancel()
        await trio.testing.wait_all_tasks_blocked()
        work.gate.set()
    assert answers == [7]
    assert work.calls == 1


async def test_the_work_goes_on_when_nobody_waits_any_more(nursery: trio.Nursery) -> None:
    flights: SingleFlight[str, int] = SingleFlight(nursery)
    work = Work()
    with trio.move_on_after(0):
        await flights.do("a", work)
    await trio.testing.wait_all_tasks_blocked()
    assert len(flights) == 1
    work.gate.set()
    assert await flights.do("a", work) == 7
    assert work.calls == 1


async def test_the_end_of_the_service_is_an_error_and_not_a_hang() -> None:
    errors: list[TierUnavailable] = []
    asked = trio.Event()

    async def ask(flights: SingleFlight[str, int]) -> None:
        asked.set()
        try:
            await flights.do("a", Work())
        except TierUnavailable as error:
            errors.append(error)

    # The callers outlive the service.
    async with trio.open_nursery() as callers, trio.open_nursery() as service:
        flights: SingleFlight[str, int] = SingleFlight(service)
        callers.start_soon(ask, flights)
        await asked.wait()
        await trio.testing.wait_all_tasks_blocked()
        service.cancel_scope.cancel()
    assert "shutting down" in errors[0].message


async def test_a_mistake_in_the_work_reaches_the_caller_and_not_the_service(
    nursery: trio.Nursery,
) -> None:
    flights: SingleFlight[str, int] = SingleFlight(nursery)
    work = Work(ZeroDivisionError("a bug"))
    work.gate.set()
    with pytest.raises(ZeroDivisionError, match="a bug"):
        await flights.do("a", work)
    work.answer = 1
    assert await flights.do("a", work) == 1


async def test_after_a_restart_nobody_joins_what_is_under_way(nursery: trio.Nursery) -> None:
    flights: SingleFlight[str, str] = SingleFlight(nursery)
    gates = {"old": trio.Event(), "new": trio.Event()}
    running: list[str] = []
    answers: list[tuple[str, str]] = []

    async def ask(who: str, what: str) -> None:
        async def work() -> str:
            running.append(what)
            await gates[what].wait()
            running.remove(what)
            return what

        answers.append((who, await flights.do("key", work)))

    async with trio.open_nursery() as callers:
        callers.start_soon(ask, "first", "old")
        await trio.testing.wait_all_tasks_blocked()
        flights.restart()
        for who in ("second", "third"):
            callers.start_soon(ask, who, "new")
        await trio.testing.wait_all_tasks_blocked()
        assert running == ["old"], "two questions for one key are never under way together"
        gates["old"].set()
        await trio.testing.wait_all_tasks_blocked()
        assert answers == [("first", "old")]
        assert running == ["new"], "asked once for both"
        gates["new"].set()
    assert sorted(answers) == [("first", "old"), ("second", "new"), ("third", "new")]


async def test_an_error_from_before_a_restart_is_not_told_to_who_asks_after_it(
    nursery: trio.Nursery,
) -> None:
    flights: SingleFlight[str, str] = SingleFlight(nursery)
    gate = trio.Event()
    answers: list[str] = []

    async def fail() -> str:
        await gate.wait()
        raise KeyError("old")

    async def succeed() -> str:
        await trio.lowlevel.checkpoint()
        return "new"

    async def before() -> None:
        with pytest.raises(KeyError):
            await flights.do("key", fail)

    async def after() -> None:
        answers.append(await flights.do("key", succeed))

    async with trio.open_nursery() as callers:
        callers.start_soon(before)
        await trio.testing.wait_all_tasks_blocked()
        flights.restart()
        callers.start_soon(after)
        await trio.testing.wait_all_tasks_blocked()
        gate.set()
    assert answers == ["new"]
