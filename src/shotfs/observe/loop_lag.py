"""The event loop's watchdog: how late it wakes up, as a histogram and as warnings.

One task that sleeps and looks at the clock. It sees a block after the fact: finding who blocked
is the job of a profiler, saying that somebody did is ours.
"""

from __future__ import annotations

import logging
from typing import NoReturn

import trio

from shotfs.observe.metrics import Metrics

INTERVAL_S = 0.05
"""Twenty looks a second cost 0.1 % of a core and catch every block above 50 ms."""

WARN_S = 0.1
"""A lag that applications notice: ten times what is promised for p99.9."""

WARN_EVERY_S = 10.0
"""At most one warning in this time, with the worst lag since the one before."""

_log = logging.getLogger(__name__)


async def watch(metrics: Metrics) -> NoReturn:
    """Measure the lag of the event loop until cancelled."""
    worst_s, count, quiet_until = 0.0, 0, -float("inf")
    while True:
        due = trio.current_time() + INTERVAL_S
        await trio.sleep_until(due)
        now = trio.current_time()
        lag_s = now - due
        metrics.loop_lag_seconds.observe(lag_s)
        if lag_s > WARN_S:
            worst_s, count = max(worst_s, lag_s), count + 1
        if count and now >= quiet_until:
            _log.warning(
                "the event loop was blocked: every request waited",
                extra={"worst_ms": round(worst_s * 1000), "times": count},
            )
            worst_s, count, quiet_until = 0.0, 0, now + WARN_EVERY_S
