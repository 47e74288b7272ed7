"""What was known before an outage, on trio's clock."""

from __future__ import annotations

import dataclasses

import pytest
import trio
from trio.testing import MockClock

from shotfs.errors import AccessDenied, OriginDown
from shotfs.namespace import Entry
from shotfs.namespace.outage import PAUSE_S, STALE_WAIT_S, Outages
from shotfs.observe.metrics import Metrics
from shotfs.pathspec import Immutable
from shotfs.tiers.base import Revision
from tests.unit.namespace.conftest import SPEC

OLD = Entry(Revision("o", "k", 3, "1", 0), 1000.0)
NEW = Entry(Revision("o", "k", 4, "2", 0), 2000.0)


def outages() -> tuple[Outages, Metrics]:
    metrics = Metrics()
    now = trio.current_time
    return Outages(metrics, monotonic_s=now, wall_s=lambda: 1000.0 + now()), metrics


async def test_s07_a_stalled_origin_is_waited_for_once_and_then_not_for_a_while(
    autojump_clock: MockClock,
) -> None:
    one, metrics = outages()

    async def stall() -> Entry:
        await trio.sleep_forever()
        raise AssertionError

    async def answer() -> Entry:
        return NEW

    began = trio.current_time()
    for path in ("a", "b", "a"):
        assert await one.ask_or_keep("o", path, OLD, stall) is OLD
    assert trio.current_time() - began == STALE_WAIT_S
    assert metrics.snapshot()["shotfs_stale_answers_total"] == 3
    assert await one.ask_or_keep("another", "a", OLD, answer) is NEW
    await trio.sleep(PAUSE_S)
    assert await one.ask_or_keep("o", "a", OLD, answer) is NEW


async def test_an_origin_that_is_down_is_no_wait_and_a_refusal_is_no_outage() -> None:
    one, _ = outages()

    async def down() -> Entry:
        raise OriginDown("gone")

    async def refuse() -> Entry:
        raise AccessDenied("no")

    assert await one.ask_or_keep("o", "a", OLD, down) is OLD
    with pytest.raises(AccessDenied):
        await one.ask_or_keep("o", "a", OLD, refuse)


async def test_s03_what_may_change_counts_for_its_ttl_and_stale_if_error_together(
    autojump_clock: MockClock,
) -> None:
    one, _ = outages()
    policy = next(iter(SPEC.templates.values())).policy
    mutable = dataclasses.replace(
        policy, immutable=Immutable.NEVER, ttl_s=60.0, stale_if_error_s=100.0
    )
    settled = dataclasses.replace(mutable, immutable=Immutable.ON_CLOSE)
    began_s = 1000.0 + trio.current_time()
    await trio.sleep(159)
    assert one.outlives(mutable, began_s)
    await trio.sleep(1)
    assert not one.outlives(mutable, began_s)
    assert one.outlives(settled, began_s)
    # From the future: the clock was ahead when that was learned.
    assert not one.outlives(mutable, began_s + 1000)
