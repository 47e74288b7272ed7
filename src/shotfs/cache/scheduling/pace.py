"""How fast an origin answers, from what its requests took; and what follows for the next ones.

Medians of the last requests: one slow or lucky request changes nothing, a changed link is followed
within seconds. Event loop only.
"""

from __future__ import annotations

import math
from collections import defaultdict, deque
from dataclasses import dataclass, replace
from statistics import median

from shotfs.cache.scheduling.bandwidth import REQUEST_S as SHAPED_REQUEST_S
from shotfs.cache.scheduling.classes import FetchClass
from shotfs.cache.scheduling.limits import MIB, OriginLimits

SAMPLES = 32
"""The last requests that count for latency and speed."""

LATENCY_S = 0.05
BYTES_PER_S = 0.5 * MIB
"""Before anything was measured: a slow line, so that the first requests are small ones. On a fast
one they end, and measure it, within milliseconds."""

RATE_BYTES_MIN = 128 * 1024
"""Smaller requests tell nothing of bandwidth."""

REQUEST_S = {
    FetchClass.DEMAND: 2.0,
    FetchClass.LOOKAHEAD: 4.0,
    FetchClass.PREWARM: 4.0,
    FetchClass.PUBLISH: 4.0,
}
"""How long a request may last: it holds a connection, and nobody sees progress before its end."""

RANGE_BYTES_MIN = MIB
PARALLEL_MIN = 2
PARALLEL_MAX = 8
"""Requests of one file at once: with 8 MiB each, enough for 10 Gbit/s at 50 ms."""

ALONE_AT_ONCE = 2
ALONE_SAMPLES = 16
"""The last requests that had the link to themselves, or nearly."""

ALONE_REQUESTS_MAX = 4096
"""So many requests later it is not known any more what one of them does alone."""

CONNECTIONS_MIN = 4
"""At least so many large requests of a prewarm at once: however wrong a measure is by now, an
origin is asked for enough to find out."""

CONNECTIONS_SPARE = 1.5
"""So many times what fills the link, so that a link that has become faster is noticed."""

HEDGE_SAMPLES = 64
HEDGE_SAMPLES_MIN = 20
"""Fewer have no 95th percentile."""

HEDGE_S_MIN = 0.02
"""Sooner than this nothing is slow: the event loop and the disk of a busy node take as long."""


@dataclass(frozen=True, slots=True)
class Pace:
    """What one origin is like.

    Attributes:
        latency_s: median time to the first byte, in seconds.
        bytes_per_s: median speed of one connection after it, beside the others of the moment.
        together_bytes_per_s: median speed of all its connections; None before it was measured.
        alone_bytes_per_s: median speed of a connection that had the link to itself; None: nobody
            knows.
        range_bytes_max: the largest request that the configuration allows, in bytes.
        parallel_max: the most requests of one file at once that it allows.
        slow_after_s: by size class, after how many seconds a request is slow.
    """

    latency_s: float
    bytes_per_s: float
    together_bytes_per_s: float | None
    alone_bytes_per_s: float | None
    range_bytes_max: int
    parallel_max: int
    slow_after_s: dict[int, float]

    def range_bytes(self, fetch_class: FetchClass) -> int:
        """Return the best size of one request, in bytes: the largest that does not last long.

        Whole MiB, at least one (smaller only where the configuration says so).
        """
        wanted = int(self.bytes_per_s * REQUEST_S[fetch_class]) // RANGE_BYTES_MIN * RANGE_BYTES_MIN
        return min(max(wanted, RANGE_BYTES_MIN), self.range_bytes_max)

    def parallel(self) -> int:
        """Return how many requests of one file at once are of use.

        More than fill the link only make each of them last longer.
        """
        if self.together_bytes_per_s is None:
            return self.parallel_max
        last_s = REQUEST_S[FetchClass.DEMAND]
        fill = math.ceil(self.together_bytes_per_s * last_s / RANGE_BYTES_MIN)
        return max(min(PARALLEL_MIN, self.parallel_max), min(fill, self.parallel_max))

    def connections(self) -> int | None:
        """Return how many large requests at once fill the link; None: not known yet.

        What all move together over what one moves alone, and some more. Beyond that they only wait
        for each other and for the processors of this node, and what somebody blocks on with them.
        """
        if self.together_bytes_per_s is None or self.alone_bytes_per_s is None:
            return None
        fill = self.together_bytes_per_s / self.alone_bytes_per_s
        return max(CONNECTIONS_MIN, math.ceil(CONNECTIONS_SPARE * fill) + 1)

    def hedge_after_s(self, length_bytes: int) -> float | None:
        """Return when a request of this length is slow, in seconds; None: not known yet."""
        return self.slow_after_s.get(_size_class(length_bytes))


class PaceMeter:
    """Measures one origin."""

    def __init__(self, limits: OriginLimits) -> None:
        self._limits = limits
        self._first_s: deque[float] = deque(maxlen=SAMPLES)
        self._rates: deque[float] = deque(maxlen=SAMPLES)
        self._together: deque[float] = deque(maxlen=SAMPLES)
        self._alone: deque[float] = deque(maxlen=ALONE_SAMPLES)
        self._since_alone = 0
        self._took_s: dict[int, deque[float]] = defaultdict(lambda: deque(maxlen=HEDGE_SAMPLES))
        self._pace: Pace | None = None

    def add(
        self, length_bytes: int, seconds: float, first_byte_s: float | None, at_once: int
    ) -> None:
        """Count a request that ended well.

        Args:
            length_bytes: how much it fetched.
            seconds: how long it took.
            first_byte_s: when its first byte came, in seconds; None: nobody knows.
            at_once: how many requests of this origin were under way, itself included, at most.
        """
        if length_bytes <= 0 or seconds <= 0:
            return
        self._pace = None
        self._took_s[_size_class(length_bytes)].append(seconds)
        if first_byte_s is not None:
            self._first_s.append(min(first_byte_s, seconds))
        elif length_bytes <= RATE_BYTES_MIN:
            self._first_s.append(seconds)
        if length_bytes >= RATE_BYTES_MIN:
            moving_s = seconds - min(first_byte_s or 0.0, 0.9 * seconds)
            rate = length_bytes / moving_s
            self._rates.append(rate)
            self._note_alone(rate, at_once)
            self._together.append(length_bytes / seconds * at_once)

    def _note_alone(self, bytes_per_s: float, at_once: int) -> None:
        self._since_alone += 1
        if at_once <= ALONE_AT_ONCE:
            self._alone.append(bytes_per_s)
            self._since_alone = 0
        elif self._since_alone > ALONE_REQUESTS_MAX:
            self._alone.clear()

    def pace(self, bandwidth_bytes_per_s: int | None = None) -> Pace:
        """Return what was measured, or the starting values.

        Args:
            bandwidth_bytes_per_s: what the configuration allows now; None: everything.
        """
        if self._pace is None:
            self._pace = self._measured()
        if bandwidth_bytes_per_s is None:
            return self._pace
        return _within(self._pace, bandwidth_bytes_per_s)

    def _measured(self) -> Pace:
        return Pace(
            latency_s=median(self._first_s) if self._first_s else LATENCY_S,
            bytes_per_s=median(self._rates) if self._rates else BYTES_PER_S,
            together_bytes_per_s=median(self._together) if self._together else None,
            alone_bytes_per_s=median(self._alone) if self._alone else None,
            range_bytes_max=self._limits.range_bytes_max,
            parallel_max=min(PARALLEL_MAX, self._limits.connections_max),
            slow_after_s={
                size_class: _slow_s(sorted(took))
                for size_class, took in self._took_s.items()
                if len(took) >= HEDGE_SAMPLES_MIN
            },
        )


def _within(pace: Pace, bytes_per_s: int) -> Pace:
    """Return *pace* with requests that a limited bandwidth can be shaped with."""
    whole = int(bytes_per_s * SHAPED_REQUEST_S) // RANGE_BYTES_MIN * RANGE_BYTES_MIN
    return replace(
        pace,
        together_bytes_per_s=min(pace.together_bytes_per_s or bytes_per_s, bytes_per_s),
        range_bytes_max=min(pace.range_bytes_max, max(RANGE_BYTES_MIN, whole)),
    )


def _slow_s(took_s: list[float]) -> float:
    """Return the 95th percentile, or twice the median where even that one is not slow.

    One request in twenty is always beyond the percentile, also when all are alike and the link
    is full, where a second one only makes the others slower.
    """
    return max(HEDGE_S_MIN, took_s[int(0.95 * len(took_s))], 2 * median(took_s))


def _size_class(length_bytes: int) -> int:
    """Sizes within a factor of four are of one class."""
    return (max(length_bytes, 64 * 1024) - 1).bit_length() // 2
