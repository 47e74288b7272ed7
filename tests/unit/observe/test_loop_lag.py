"""The event loop's watchdog, on a clock that only the test moves."""

from __future__ import annotations

import logging

import pytest
import trio
import trio.testing

from shotfs.observe import Metrics, loop_lag, watch


async def wakes_late(clock: trio.testing.MockClock, lag_s: float) -> None:
    """Let the watchdog sleep, then block the loop for *lag_s* beyond its moment."""
    await trio.testing.wait_all_tasks_blocked()
    clock.jump(loop_lag.INTERVAL_S + lag_s)
    await trio.testing.wait_all_tasks_blocked()


async def test_an_idle_loop_has_no_lag(
    mock_clock: trio.testing.MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    metrics = Metrics()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(watch, metrics)
        for _ in range(5):
            await wakes_late(mock_clock, 0)
        nursery.cancel_scope.cancel()
    snapshot = metrics.snapshot()
    assert snapshot["shotfs_loop_lag_seconds_count"] == 5
    assert snapshot["shotfs_loop_lag_seconds_bucket{le=0.001}"] == 5
    assert not caplog.records


async def test_a_block_is_measured_and_warned_of_once_in_a_while(
    mock_clock: trio.testing.MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    metrics = Metrics()
    caplog.set_level(logging.WARNING)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(watch, metrics)
        for lag_s in (0.15, 0.3, 0.2, 0.05):
            await wakes_late(mock_clock, lag_s)
        assert [record.__dict__["worst_ms"] for record in caplog.records] == [150]
        mock_clock.jump(loop_lag.WARN_EVERY_S)
        await trio.testing.wait_all_tasks_blocked()
        nursery.cancel_scope.cancel()
    assert metrics.snapshot()["shotfs_loop_lag_seconds_bucket{le=0.1}"] == 1
    second = caplog.records[1].__dict__
    assert second["times"] == 3
    assert second["worst_ms"] == 9950


async def test_a_lag_within_what_is_allowed_is_no_warning(
    mock_clock: trio.testing.MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    metrics = Metrics()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(watch, metrics)
        await wakes_late(mock_clock, 0.09)
        nursery.cancel_scope.cancel()
    assert metrics.snapshot()["shotfs_loop_lag_seconds_sum"] == pytest.approx(0.09)
    assert not caplog.records
