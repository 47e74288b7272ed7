"""Progress puts a deadline off, and tells the event loop of it only so often."""

from __future__ import annotations

import math

import trio
import trio.testing

from shotfs.tiers.cloud.progress import TELL_S, Progress


async def test_many_small_steps_wake_the_event_loop_once_and_put_the_deadline_off(
    mock_clock: trio.testing.MockClock,
) -> None:
    idle_s = 30.0
    progress = Progress(idle_s)
    with trio.CancelScope() as scope:
        progress.start(scope, math.inf)
        mock_clock.jump(10)
        wakes = 0
        put_off = progress._put_off

        def count() -> None:
            nonlocal wakes
            wakes += 1
            put_off()

        progress._put_off = count  # type: ignore[method-assign]

        def read_many() -> None:
            for _ in range(1000):
                progress.moved()

        await trio.to_thread.run_sync(read_many)
        await trio.testing.wait_all_tasks_blocked()
        assert wakes == 1
        assert scope.deadline == trio.current_time() + idle_s
        mock_clock.jump(TELL_S)
        progress.moved()
        await trio.testing.wait_all_tasks_blocked()
        assert wakes == 2
        assert scope.deadline == trio.current_time() + idle_s


async def test_a_step_after_a_step_that_was_not_told_costs_a_twentieth_at_most(
    mock_clock: trio.testing.MockClock,
) -> None:
    progress = Progress(0.2)
    with trio.CancelScope() as scope:
        progress.start(scope, math.inf)
        progress.moved()
        mock_clock.jump(0.0101)
        progress.moved()
        await trio.testing.wait_all_tasks_blocked()
        assert scope.deadline == trio.current_time() + 0.2
