"""Bandwidths as people write them: ``20 MiB``, ``08:00-20:00 20 MiB``. Pure text and numbers."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from shotfs.config.mistake import Mistake
from shotfs.config.units import parse_size

RATE_EXAMPLES = '"20 MiB" or "08:00-20:00 20 MiB" (bytes per second, local time)'

RATE_BYTES_PER_S_MIN = 64 * 1024
"""Below it a block of 1 MiB takes over 16 s, and readers would time out."""

_WINDOW = re.compile(r"\s*(\d{1,2}):(\d{2})\s*-\s*(\d{1,2}):(\d{2})\s+(\S.*)", re.DOTALL)
_DAY_MIN = 24 * 60


@dataclass(frozen=True, slots=True)
class Rate:
    """A bandwidth, always or for a part of each day.

    Attributes:
        bytes_per_s: in bytes per second.
        start_min: first minute of the day, local time; None: always.
        stop_min: the minute after the last one; before *start_min* it is past midnight.
    """

    bytes_per_s: int
    start_min: int | None = None
    stop_min: int | None = None

    def holds_at(self, minute: int) -> bool:
        """Whether it holds in a minute of the day, 0 to 1,439."""
        if self.start_min is None or self.stop_min is None:
            return True
        if self.start_min < self.stop_min:
            return self.start_min <= minute < self.stop_min
        return minute >= self.start_min or minute < self.stop_min


def parse_rate(text: str) -> Rate:
    """Return what *text* says.

    Raises:
        Mistake: it is not a bandwidth, or a slower one than `RATE_BYTES_PER_S_MIN`.
    """
    found = _WINDOW.fullmatch(text)
    if found is None:
        if ":" in text or "-" in text:
            raise Mistake(f"{text[:40]!r} is not a bandwidth", f"write {RATE_EXAMPLES}")
        return Rate(_bytes_per_s(text))
    start, stop = _minute(found[1], found[2]), _minute(found[3], found[4])
    if start % _DAY_MIN == stop % _DAY_MIN:
        raise Mistake(f"{text[:40]!r} begins when it ends", "leave the times out for the whole day")
    return Rate(_bytes_per_s(found[5]), start, stop)


def rate_at(rates: Sequence[Rate], minute: int) -> int | None:
    """Return the bytes per second of the first one that holds; None: there is no limit."""
    return next((rate.bytes_per_s for rate in rates if rate.holds_at(minute)), None)


def _minute(hours: str, minutes: str) -> int:
    if int(minutes) > 59 or int(hours) * 60 + int(minutes) > _DAY_MIN:
        raise Mistake(f"{hours}:{minutes} is no time of day", "write 00:00 to 24:00")
    return int(hours) * 60 + int(minutes)


def _bytes_per_s(text: str) -> int:
    try:
        rate = parse_size(text.strip().removesuffix("/s"))
    except Mistake:
        raise Mistake(f"{text[:40]!r} is not a bandwidth", f"write {RATE_EXAMPLES}") from None
    if rate < RATE_BYTES_PER_S_MIN:
        raise Mistake("less than 64 KiB a second lets every read time out", "write 64 KiB or more")
    return rate
