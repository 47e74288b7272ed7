"""Recently: how fast counters grew in the last seconds, for people who look now.

Samples running totals once a second and keeps a few: a report then needs no client that remembers
the one before. Event loop only.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from typing import NoReturn

import trio

INTERVAL_S = 1.0

SAMPLES = 11
"""Ten seconds: long enough for requests of 4 s, short enough to be called now."""


class Recent:
    """Rates of growth of running totals.

    Args:
        totals: returns them now, by name. A name that is new counts from 0.
    """

    def __init__(self, totals: Callable[[], Mapping[str, float]]) -> None:
        self._totals = totals
        self._samples: deque[tuple[float, Mapping[str, float]]] = deque(maxlen=SAMPLES)
        self._sample()

    async def run(self) -> NoReturn:
        """Sample until cancelled."""
        while True:
            await trio.sleep(INTERVAL_S)
            self._sample()

    def growth(self) -> tuple[float, dict[str, float]]:
        """Return the length of the window in seconds, and by how much each total grew in it."""
        now = self._totals()
        began_s, before = self._samples[0]
        window_s = max(trio.current_time() - began_s, 1e-9)
        return window_s, {name: value - before.get(name, 0.0) for name, value in now.items()}

    def _sample(self) -> None:
        self._samples.append((trio.current_time(), dict(self._totals())))


def upper_bound(buckets: Mapping[float, float], share: float) -> float | None:
    """Return a bound that *share* of the observations do not exceed; None: there are none.

    Args:
        buckets: upper bound to how many did not exceed it, as Prometheus counts them.
        share: 0 to 1.
    """
    total = max(buckets.values(), default=0.0)
    if total <= 0:
        return None
    return min(bound for bound, count in buckets.items() if count >= share * total)
