"""Strides: which number of a sequence comes next, learned from those that came. Pure.

A node may get every tenth frame, or go backwards, or several at once in any order. So what counts
is the distance that most neighbours of the last numbers have, and on which side of them new ones
come.
"""

from __future__ import annotations

from collections import Counter, deque
from itertools import pairwise

from shotfs.prewarm.lookahead.shapes import Number

REMEMBERED = 8
"""Numbers that are looked at: enough to see a step while four processes work at once."""

JUMP_STEPS = 6
"""Who comes from so far away begins again: the same frames once more, or those in between."""


class Stride:
    """The numbers of one sequence, in the order in which they came."""

    __slots__ = ("_before", "_seen")

    def __init__(self) -> None:
        self._before: Number | None = None
        self._seen: deque[Number] = deque(maxlen=REMEMBERED)

    def __len__(self) -> int:
        return len(self._seen)

    @property
    def last(self) -> Number | None:
        """The number that came last."""
        return self._seen[-1] if self._seen else None

    def came(self, number: Number) -> None:
        """Note *number*; again of the same changes nothing."""
        if number in self._seen:
            return
        step = self.step(told=False)
        if step is not None and self._seen:
            jump, far = number - self._seen[-1], JUMP_STEPS * step
            if max(jump, -jump) > max(far, -far):
                self._before = step
                self._seen.clear()
        self._seen.append(number)

    def step(self, *, told: bool) -> Number | None:
        """Return the distance from one number to the next; None: nobody can say.

        One distance is proof only if it is 1 or -1: others may be chance, and need to be seen
        twice.

        Args:
            told: the specification says that following numbers are wanted: then one number is
                enough to expect the next, and any distance is believed once.
        """
        if not self._seen:
            return None
        if len(self._seen) == 1:
            return self._before or (1 if told else None)
        numbers = sorted(self._seen)
        distances = Counter(later - earlier for earlier, later in pairwise(numbers))
        distance, count = max(distances.items(), key=lambda one: (one[1], -one[0]))
        if 2 * count < len(numbers) - 1 or (count < 2 and distance != 1 and not told):
            return None
        # The side where the later half of what came lies.
        middle = len(self._seen) // 2
        came = list(self._seen)
        earlier, later = came[:middle], came[middle:]
        forward = sum(later) * len(earlier) >= sum(earlier) * len(later)
        return distance if forward else -distance

    def next(self, count: int, *, told: bool) -> list[Number]:
        """Return the *count* numbers that come next, the nearest first; [] if nobody can say."""
        step = self.step(told=told)
        if step is None:
            return []
        furthest = max(self._seen) if step > 0 else min(self._seen)
        return [furthest + step * distance for distance in range(1, count + 1)]
