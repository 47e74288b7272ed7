"""Bandwidth of one account: how many bytes may start to move now.

A bucket that fills at the rate and is emptied by grants, which may overdraw it by one request. The
rate is that of the local time of day, asked each time, so a clock that is set counts at once; the
bucket itself runs on the event loop's clock, which never jumps.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from shotfs.config.rates import Rate, rate_at

USED_SHARE = 0.97
"""Of the rate: the rest pays for what was on its way when a window of a few seconds began, so that
none of them is over the rate, and every long one is at 0.95 of it or more."""

BURST_S = 0.02
"""What an unused moment saves up: as much as the event loop may be late."""

REQUEST_S = 0.05
"""How long one request may be, at the rate; but at least a block of 1 MiB."""

WAIT_S_MIN = 0.001
"""A shorter wait may end before the clock has moved."""

RECHECK_S = 1.0
"""Who waits looks again after this long at most: the time of day may have ended the limit."""


def minute_of_day() -> int:
    """Return the minute of the day in local time, 0 to 1,439."""
    now = time.localtime()
    return now.tm_hour * 60 + now.tm_min


class Shaper:
    """Paces the bytes of one account.

    Args:
        rates: by time of day; empty: no limit.
        minute: returns the minute of the day.
    """

    def __init__(self, rates: Sequence[Rate], minute: Callable[[], int] = minute_of_day) -> None:
        self._rates = rates
        self._minute = minute
        self._level = 0.0
        self._filled_at = 0.0
        self._in_flight = 0

    @property
    def bytes_per_s(self) -> int | None:
        """The limit that holds now; None: there is none."""
        return rate_at(self._rates, self._minute()) if self._rates else None

    def wait_s(self, length_bytes: int, latency_s: float, now: float) -> float:
        """Return how long a request must wait, in seconds; 0: it may go.

        Args:
            length_bytes: of the request.
            latency_s: of the origin: what is on its way for that long is on its way as well.
            now: of the event loop's clock.
        """
        rate = self.bytes_per_s
        if rate is None:
            self._level, self._filled_at = 0.0, now
            return 0.0
        self._fill(rate, now)
        if self._level < 0:
            return min(max(-self._level / (USED_SHARE * rate), WAIT_S_MIN), RECHECK_S)
        room = rate * (REQUEST_S + 2 * latency_s)
        if self._in_flight and self._in_flight + length_bytes > room:
            return RECHECK_S  # or until one of them ends
        return 0.0

    def take(self, length_bytes: int) -> None:
        """A request starts."""
        self._level -= length_bytes
        self._in_flight += length_bytes

    def end(self, length_bytes: int, moved_bytes: int) -> None:
        """A request of *length_bytes* has ended; what it did not move is for others."""
        self._level += length_bytes - moved_bytes
        self._in_flight -= length_bytes

    def _fill(self, rate: int, now: float) -> None:
        passed_s, self._filled_at = now - self._filled_at, now
        self._level = min(self._level + USED_SHARE * rate * passed_s, BURST_S * rate)
