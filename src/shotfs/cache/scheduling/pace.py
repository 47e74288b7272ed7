"""How fast an origin answers, from what its requests took; and what follows for the next ones."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from statistics import median

from shotfs.cache.scheduling.classes import FetchClass
from shotfs.cache.scheduling.limits import MIB, OriginLimits

SAMPLES = 32
"""The last requests that count; a median of them follows a changed link within seconds."""

LATENCY_S = 0.05
BYTES_PER_S = 50.0 * MIB
"""Before anything was measured: a store in the next region."""

REQUEST_S = {
    FetchClass.DEMAND: 2.0,
    FetchClass.LOOKAHEAD: 4.0,
    FetchClass.PREWARM: 4.0,
    FetchClass.PUBLISH: 4.0,
}
"""How long a request may last: it holds a connection, and nobody sees progress before its end."""

RANGE_BYTES_MIN = MIB
PARALLEL_MAX = 8
"""Requests of one file at once: with 8 MiB each, enough for 10 Gbit/s at 50 ms."""


@dataclass(frozen=True, slots=True)
class Pace:
    """What one origin is like.

    Attributes:
        latency_s: median time to the first byte, in seconds.
        bytes_per_s: median speed of one connection after it.
        limits: of the origin.
    """

    latency_s: float
    bytes_per_s: float
    limits: OriginLimits

    def range_bytes(self, fetch_class: FetchClass) -> int:
        """Return the best size of one request, in bytes: the largest that does not last long."""
        wanted = int(self.bytes_per_s * REQUEST_S[fetch_class]) // RANGE_BYTES_MIN * RANGE_BYTES_MIN
        return min(max(wanted, RANGE_BYTES_MIN), self.limits.range_bytes_max)

    def parallel(self) -> int:
        """Return how many requests at once are of use."""
        return min(PARALLEL_MAX, self.limits.connections_max)


class PaceMeter:
    """Measures one origin."""

    def __init__(self, limits: OriginLimits) -> None:
        self._limits = limits
        self._rates: deque[float] = deque(maxlen=SAMPLES)

    def add(self, length_bytes: int, seconds: float) -> None:
        """Count a request that ended well."""
        if length_bytes > 0 and seconds > 0:
            self._rates.append(length_bytes / seconds)

    def pace(self) -> Pace:
        """Return what was measured, or the starting values."""
        rate = median(self._rates) if self._rates else BYTES_PER_S
        return Pace(LATENCY_S, rate, self._limits)
