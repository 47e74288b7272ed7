"""Rates of the last seconds, on a clock that only the test moves."""

from __future__ import annotations

import trio
import trio.testing

from shotfs.app.recent import INTERVAL_S, SAMPLES, Recent, upper_bound


async def test_growth_is_of_the_last_seconds_only(mock_clock: trio.testing.MockClock) -> None:
    totals = {"a": 0.0}
    recent = Recent(lambda: totals)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(recent.run)
        for _ in range(3 * SAMPLES):
            await trio.testing.wait_all_tasks_blocked()
            totals["a"] += 5
            mock_clock.jump(INTERVAL_S)
        await trio.testing.wait_all_tasks_blocked()
        window_s, grown = recent.growth()
        assert (window_s, grown) == ((SAMPLES - 1) * INTERVAL_S, {"a": 5.0 * (SAMPLES - 1)})
        totals["b"] = 7.0
        assert recent.growth()[1]["b"] == 7.0
        nursery.cancel_scope.cancel()


def test_a_bound_covers_its_share() -> None:
    buckets = {0.001: 90.0, 0.01: 99.0, float("inf"): 100.0}
    assert upper_bound(buckets, 0.9) == 0.001
    assert upper_bound(buckets, 0.95) == 0.01
    assert upper_bound(buckets, 1.0) == float("inf")
    assert upper_bound({0.001: 0.0}, 0.5) is None
    assert upper_bound({}, 0.5) is None
