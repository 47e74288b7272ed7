"""The circuit breaker of an origin, on a fake tier and trio's clock."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import pytest
import trio
from trio.testing import MockClock

from shotfs.config import NetworkSettings
from shotfs.errors import (
    AccessDenied,
    ObjectNotFound,
    OriginDown,
    RevisionChanged,
    ShotfsError,
    TierBusy,
    TierTimeout,
    TierUnavailable,
)
from shotfs.observe.metrics import Metrics
from shotfs.tiers.base import ListPage, Revision
from shotfs.tiers.breaker import Breaker, BreakerState, BreakerTier, BreakerWatch
from shotfs.tiers.retry import Retrier, RetryingTier

NAME = "fake://x"
REVISION = Revision(NAME, "k", 1, "1", 0)


@dataclass
class Store:
    """Answers stat, list and check with what the test says; None: never."""

    says: Callable[[], ShotfsError | None] | None = lambda: None
    check_says: Callable[[], ShotfsError | None] | None = lambda: None
    asked: list[str] = field(default_factory=list)
    name: str = NAME

    def down(self) -> None:
        self.says = self.check_says = lambda: TierUnavailable("refused")

    def up(self) -> None:
        self.says = self.check_says = lambda: None

    async def _ask(self, what: str, says: Callable[[], ShotfsError | None] | None) -> None:
        self.asked.append(what)
        await trio.lowlevel.checkpoint()
        if says is None:
            await trio.sleep_forever()
            raise AssertionError
        error = says()
        if error is not None:
            raise error

    async def stat(self, key: str) -> Revision:
        await self._ask("stat", self.says)
        return REVISION

    async def read(self, *_: object) -> bytes:
        await self._ask("read", self.says)
        return b"x"

    async def put(self, *_: object, **__: object) -> Revision:
        await self._ask("put", self.says)
        return REVISION

    async def list(self, prefix: str) -> AsyncGenerator[ListPage, None]:
        await self._ask("list", self.says)
        yield ListPage((), ())

    async def check(self) -> None:
        await self._ask("check", self.check_says)


@dataclass
class World:
    store: Store
    breaker: Breaker
    tier: BreakerTier
    metrics: Metrics

    async def fail(self, times: int) -> None:
        for _ in range(times):
            with pytest.raises(TierUnavailable):
                await self.tier.stat("k")

    def metric(self, name: str) -> float:
        return self.metrics.snapshot().get(f"{name}{{origin={NAME}}}", 0.0)


@asynccontextmanager
async def world(**network: float) -> AsyncIterator[World]:
    settings = NetworkSettings(**network)  # type: ignore[arg-type]  # pydantic parses it
    store, metrics, watch = Store(), Metrics(), BreakerWatch()
    breaker = Breaker(
        NAME,
        store.check,
        settings,
        metrics,
        suspect=watch.suspected,
        uniform=lambda _, high: high,
        clock=trio.current_time,
    )
    watch.add(breaker)
    tier = BreakerTier(store, breaker)  # type: ignore[arg-type]  # only what is called
    async with trio.open_nursery() as nursery:
        nursery.start_soon(watch.run)
        yield World(store, breaker, tier, metrics)
        nursery.cancel_scope.cancel()


async def settle() -> None:
    """Let every task go on until all wait for something."""
    await trio.testing.wait_all_tasks_blocked()


async def test_s07_five_failures_and_a_failed_probe_open_it_and_then_nobody_waits(
    autojump_clock: MockClock,
) -> None:
    async with world() as one:
        one.store.down()
        await one.fail(4)
        await settle()
        assert one.breaker.state is BreakerState.CLOSED
        await one.fail(1)
        await settle()
        assert one.breaker.state is BreakerState.OPEN
        asked = len(one.store.asked)
        for call in (one.tier.stat("k"), one.tier.read(REVISION, None), anext(one.tier.list(""))):  # type: ignore[arg-type]
            with pytest.raises(OriginDown, match="refused") as caught:
                await call  # type: ignore[misc]  # each is awaitable
            assert "stat" in str(caught.value) or "was not tried" in str(caught.value)
        assert len(one.store.asked) == asked, "an open breaker asks nobody"
        assert one.metric("shotfs_origin_up") == 0
        assert one.metric("shotfs_origin_outages_total") == 1
        assert one.metric("shotfs_origin_refused_total") == 3


async def test_s07_it_closes_by_itself_within_the_longest_pause_after_the_origin_is_back(
    autojump_clock: MockClock,
) -> None:
    async with world(probe_s_max=5.0) as one:
        one.store.down()
        await one.fail(5)
        await trio.sleep(3600)
        assert one.breaker.state is BreakerState.OPEN
        # 0.5 + 1 + 2 + 4, then every 5 s.
        assert one.store.asked.count("check") == pytest.approx(1 + 4 + (3600 - 7.5) // 5, abs=1)
        one.store.up()
        back = trio.current_time()
        await trio.sleep(5.1)
        assert one.breaker.state is BreakerState.CLOSED
        assert one.breaker.since_s - back <= 5.1
        assert await one.tier.stat("k") == REVISION
        assert one.metric("shotfs_origin_up") == 1
        assert one.breaker.reachability.outages == 1
        assert one.breaker.reachability.reachable


async def test_it_opens_again_after_it_was_closed(autojump_clock: MockClock) -> None:
    async with world() as one:
        for outage in (1, 2):
            one.store.down()
            await one.fail(5)
            await settle()
            assert one.breaker.state is BreakerState.OPEN
            assert one.breaker.opens_total == outage
            one.store.up()
            await trio.sleep(10)
            assert one.breaker.state is BreakerState.CLOSED


@pytest.mark.parametrize(
    "answer",
    [
        ObjectNotFound("k"),
        AccessDenied("no"),
        RevisionChanged("k"),
        TierBusy("HTTP 429"),
    ],
    ids=lambda error: type(error).__name__,
)
async def test_what_a_store_says_is_an_answer(
    answer: ShotfsError, autojump_clock: MockClock
) -> None:
    async with world() as one:
        for _ in range(3):
            one.store.down()
            await one.fail(4)
            one.store.says = lambda: answer
            with pytest.raises(type(answer)):
                await one.tier.stat("k")
        await settle()
        assert one.store.asked.count("check") == 0
        # As the answer to a probe it says that the origin is there, too.
        one.store.says = lambda: TierUnavailable("refused")
        one.store.check_says = lambda: answer
        await one.fail(5)
        await settle()
        assert one.store.asked.count("check") == 1
        assert one.breaker.state is BreakerState.CLOSED


async def test_objects_that_stall_in_a_bucket_that_answers_open_nothing(
    autojump_clock: MockClock,
) -> None:
    async with world() as one:
        one.store.says = lambda: TierTimeout("no progress for 30 s")
        await one.fail(50)
        await settle()
        assert one.breaker.state is BreakerState.CLOSED
        assert one.store.asked.count("check") >= 5


async def test_s07_who_waits_for_an_answer_is_told_when_it_opens_but_transfers_go_on(
    autojump_clock: MockClock,
) -> None:
    async with world() as one:
        one.store.says = one.store.check_says = None
        ended: dict[str, BaseException | None] = {}

        async def wait(what: str) -> None:
            try:
                if what == "read":
                    await one.tier.read(REVISION, None)  # type: ignore[arg-type]
                else:
                    await one.tier.stat("k")
            except OriginDown as exc:
                ended[what] = exc

        with trio.move_on_after(30):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(wait, "stat")
                nursery.start_soon(wait, "read")
                await settle()
                one.breaker.doubt()
                await trio.sleep(5.1)
                assert one.breaker.state is not BreakerState.CLOSED
                assert set(ended) == {"stat"}
                nursery.cancel_scope.cancel()
        assert set(ended) == {"stat"}


async def test_a_transfer_that_ends_well_while_it_is_open_closes_it(
    autojump_clock: MockClock,
) -> None:
    async with world() as one:
        gate = trio.Event()

        async def read() -> None:
            with one.breaker.call("read k", interrupt=False):
                await gate.wait()

        async with trio.open_nursery() as nursery:
            nursery.start_soon(read)
            await settle()
            one.store.down()
            await one.fail(5)
            await settle()
            assert one.breaker.state is BreakerState.OPEN
            gate.set()
        assert one.breaker.state is BreakerState.CLOSED
        one.store.up()
        assert await one.tier.stat("k") == REVISION


async def test_an_open_breaker_is_not_tried_again_by_the_retries(
    autojump_clock: MockClock,
) -> None:
    async with world() as one:
        retries = RetryingTier(one.tier, Retrier(NAME, NetworkSettings(), one.metrics))
        one.store.down()
        with pytest.raises(TierUnavailable):
            await retries.stat("k")
        await settle()
        assert one.breaker.state is BreakerState.OPEN
        began = trio.current_time()
        with pytest.raises(OriginDown):
            await retries.stat("k")
        assert trio.current_time() == began


async def test_zero_failures_switch_it_off(autojump_clock: MockClock) -> None:
    async with world(breaker_failures=0) as one:
        one.store.down()
        await one.fail(100)
        one.breaker.doubt()
        await settle()
        assert one.breaker.state is BreakerState.CLOSED
        assert "check" not in one.store.asked


async def test_without_somebody_who_probes_it_never_opens() -> None:
    store, metrics, watch = Store(), Metrics(), BreakerWatch()
    breaker = Breaker(NAME, store.check, NetworkSettings(), metrics, suspect=watch.suspected)
    tier = BreakerTier(store, breaker)  # type: ignore[arg-type]  # only what is called
    store.down()
    for _ in range(20):
        with pytest.raises(TierUnavailable) as caught:
            await tier.stat("k")
        assert not isinstance(caught.value, OriginDown)


async def test_a_mistake_in_an_adapter_does_not_end_the_probing(
    autojump_clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    async with world() as one:
        one.store.down()
        await one.fail(5)
        await settle()

        def broken() -> None:
            raise KeyError("surprise")

        one.store.check_says = broken
        await trio.sleep(10)
        assert one.breaker.state is BreakerState.OPEN
        assert "surprise" in one.breaker.last_error
        one.store.up()
        await trio.sleep(10)
        assert one.breaker.state is BreakerState.CLOSED
    assert "a probe of origin fake://x failed" in caplog.text
