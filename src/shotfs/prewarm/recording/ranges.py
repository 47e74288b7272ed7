"""Ranges: which bytes of a file were read, in bounded memory. Pure."""

from __future__ import annotations

from bisect import bisect_left, bisect_right

RANGES_MAX = 32
"""Ranges that are kept apart for one file; of more, those with the smallest gap become one."""

Range = tuple[int, int]


class Ranges:
    """A set of half-open ranges, sorted and apart from each other."""

    __slots__ = ("_starts", "_stops")

    def __init__(self) -> None:
        self._starts: list[int] = []
        self._stops: list[int] = []

    def add(self, start: int, stop: int) -> None:
        """Add the bytes from *start* to *stop*; what touches becomes one."""
        if stop <= start:
            return
        starts, stops = self._starts, self._stops
        if stops and start == stops[-1]:
            # Reading on, which is what most reads do.
            stops[-1] = stop
            return
        first = bisect_left(stops, start)
        last = bisect_right(starts, stop)
        if first < last:
            start = min(start, starts[first])
            stop = max(stop, stops[last - 1])
        starts[first:last] = [start]
        stops[first:last] = [stop]
        if len(starts) > RANGES_MAX:
            self._close_smallest_gap()

    def _close_smallest_gap(self) -> None:
        starts, stops = self._starts, self._stops
        index = min(range(1, len(starts)), key=lambda i: starts[i] - stops[i - 1])
        del starts[index]
        del stops[index - 1]

    def all(self) -> tuple[Range, ...]:
        """Return the ranges, sorted."""
        return tuple(zip(self._starts, self._stops, strict=True))
