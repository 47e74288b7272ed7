"""Intervals: what a median of measurements is worth. Pure."""

from __future__ import annotations

import random
import statistics
from collections.abc import Sequence
from typing import NamedTuple

RESAMPLES = 4_000


class Interval(NamedTuple):
    """A median, and the bounds between which it lies with 95 percent."""

    median: float
    low: float
    high: float


def interval_of(values: Sequence[float], *, resamples: int = RESAMPLES) -> Interval:
    """Return the median of *values* with its interval of 95 percent, by the percentile bootstrap
    (Efron and Tibshirani, An Introduction to the Bootstrap, chapter 13).

    The same values give the same interval: what chance there is starts at a fixed seed.
    """
    chance = random.Random(1)
    count = len(values)
    medians = sorted(statistics.median(chance.choices(values, k=count)) for _ in range(resamples))
    return Interval(
        statistics.median(values),
        medians[int(0.025 * resamples)],
        medians[min(int(0.975 * resamples), resamples - 1)],
    )
