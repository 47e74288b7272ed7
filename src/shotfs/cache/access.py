"""Where an open file is read, and what will be read next. Pure.

An application reads a file from front to back (plates), from back to front, at equal distances
(scanlines of tiled layers, channels of a volume), at several places by turns (threads over one
handle), or here and there (tiles of textures, headers). What continues is fetched ahead of its
reader, the further the longer it has gone on; what does not is left alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from shotfs.tiers.base import Span

CURSORS_MAX = 8
"""Places of one handle that are followed at once; the longest unused one is forgotten."""

NEAR_BYTES = 256 * 1024
"""A read this close to the end of the last one continues it: the kernel's read-ahead arrives in
any order, and applications skip what they know."""

STRIDES_MIN = 2
"""So many equal distances are a pattern; one is chance."""

STRIDES_AHEAD_MAX = 16

CHUNK_BYTES = 1024 * 1024
"""What lies behind a backward reader is asked for in pieces of this size, the nearest first."""

SEQUENTIAL_BYTES_MIN = 16 * 1024 * 1024
SEQUENTIAL_PARTS = 16
"""A large file is wanted whole once somebody has read a sixteenth of it in one go (and 16 MiB):
read-ahead alone keeps his speed until then, and a chunk of a volume or of an Alembic archive,
though large, does not bring 40 GB."""

TOUCHED_PARTS = 4
"""... or once a quarter of it is here: the rest costs less as bulk than in pieces."""


class Fill(StrEnum):
    """Whether the rest of a file is fetched too, when a part of it was read."""

    AUTO = "auto"
    """Small files: yes. Large ones: when they are read from end to end, or a good part was."""
    WHOLE = "whole"
    """Always."""
    RANGES = "ranges"
    """Never: only what is read, and what comes next."""


@dataclass(slots=True, eq=False)
class _Cursor:
    """One place that is read: `low` and `high` bound what was read in one go."""

    low: int
    high: int
    start: int
    """Where the last read began."""
    stride: int
    """Distance from the read before; 0: none."""
    strides: int = 1
    forward: int = 0
    backward: int = 0
    ahead: int = 0
    """How far beyond the place, in its direction, was asked for: an offset, or strides."""


class AccessPattern:
    """Follows the reads of one open file of *size_bytes*."""

    __slots__ = ("_cursors", "_size_bytes")

    def __init__(self, size_bytes: int) -> None:
        self._size_bytes = size_bytes
        self._cursors: list[_Cursor] = []

    @property
    def sequential_bytes(self) -> int:
        """How much was read in one go, forward or backward, at the place where most was."""
        return max((max(one.forward, one.backward) for one in self._cursors), default=0)

    def wants_whole(self, present_bytes: int) -> bool:
        """Whether the rest should follow, of which *present_bytes* are here."""
        run_bytes = max(SEQUENTIAL_BYTES_MIN, self._size_bytes // SEQUENTIAL_PARTS)
        return (
            self.sequential_bytes >= run_bytes or present_bytes * TOUCHED_PARTS >= self._size_bytes
        )

    def observe(self, span: Span, window_bytes_max: int) -> tuple[Span, ...]:
        """Take note of a read; return what should be fetched ahead now, the nearest first.

        Each place is told once: () means that nothing needs to be added to what was asked for.
        Seeing the same read twice changes nothing.

        Args:
            span: not empty, within the file.
            window_bytes_max: how far ahead of a reader it is worth being.
        """
        for cursor in self._cursors:
            if cursor.high - NEAR_BYTES <= span.start <= cursor.high + NEAR_BYTES:
                self._use(cursor)
                return self._forward(cursor, span, window_bytes_max)
            if cursor.low - NEAR_BYTES <= span.stop <= cursor.low + NEAR_BYTES:
                self._use(cursor)
                return self._backward(cursor, span, window_bytes_max)
            if cursor.low <= span.start and span.stop <= cursor.high:
                self._use(cursor)
                return ()
        for cursor in self._cursors:
            if cursor.stride and span.start == cursor.start + cursor.stride:
                self._use(cursor)
                return self._strided(cursor, span, window_bytes_max)
        self._begin(span)
        return ()

    def _begin(self, span: Span) -> None:
        stride = span.start - self._cursors[0].start if self._cursors else 0
        self._cursors.insert(0, _Cursor(span.start, span.stop, span.start, stride))
        del self._cursors[CURSORS_MAX:]

    def _use(self, cursor: _Cursor) -> None:
        if self._cursors[0] is not cursor:
            self._cursors.remove(cursor)
            self._cursors.insert(0, cursor)

    def _forward(self, cursor: _Cursor, span: Span, window_max: int) -> tuple[Span, ...]:
        if span.stop <= cursor.high:
            return ()
        if not cursor.forward:
            cursor.forward = cursor.high - cursor.low
            cursor.ahead = cursor.high
        cursor.forward += span.stop - cursor.high
        cursor.backward = 0
        cursor.start, cursor.high = span.start, span.stop
        window = min(2 * cursor.forward, window_max)
        begin = max(cursor.ahead, cursor.high)
        stop = min(cursor.high + window, self._size_bytes)
        # Half a window at a time, else each read would ask for as little as it moved on.
        if (stop - begin < window // 2 and stop < self._size_bytes) or stop <= begin:
            return ()
        cursor.ahead = stop
        return (Span(begin, stop),)

    def _backward(self, cursor: _Cursor, span: Span, window_max: int) -> tuple[Span, ...]:
        if span.start >= cursor.low:
            return ()
        if not cursor.backward:
            cursor.backward = cursor.high - cursor.low
            cursor.ahead = cursor.low
        cursor.backward += cursor.low - span.start
        cursor.forward = 0
        cursor.start, cursor.low = span.start, span.start
        window = min(2 * cursor.backward, window_max)
        stop = min(cursor.ahead, cursor.low)
        begin = max(cursor.low - window, 0)
        if (stop - begin < window // 2 and begin > 0) or stop <= begin:
            return ()
        cursor.ahead = begin
        return tuple(
            Span(max(edge - CHUNK_BYTES, begin), edge) for edge in range(stop, begin, -CHUNK_BYTES)
        )

    def _strided(self, cursor: _Cursor, span: Span, window_max: int) -> tuple[Span, ...]:
        cursor.strides += 1
        cursor.low, cursor.high, cursor.start = span.start, span.stop, span.start
        cursor.forward = cursor.backward = 0
        if cursor.strides < STRIDES_MIN:
            return ()
        count = min(2 * (cursor.strides - 1), STRIDES_AHEAD_MAX, window_max // span.length_bytes)
        first = max(cursor.ahead, cursor.strides) + 1
        last = cursor.strides + count
        cursor.ahead = max(cursor.ahead, last)
        ahead = []
        for number in range(first, last + 1):
            start = span.start + (number - cursor.strides) * cursor.stride
            if 0 <= start < self._size_bytes:
                ahead.append(Span(start, min(start + span.length_bytes, self._size_bytes)))
        return tuple(ahead)
