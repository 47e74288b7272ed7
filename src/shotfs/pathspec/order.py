"""The order that `before` gives to templates: which one a path has where several match."""

from __future__ import annotations

import heapq

from shotfs.pathspec.pattern import Pattern


class Order:
    """A total order of templates that keeps every `before`; else that of the document.

    Attributes:
        contested: indexes of the templates that some `before` is about. Of all others it is proven
            that nothing else matches what they match.
        circle: names of templates each of which is before the next and the last before the first;
            empty when in order.
    """

    def __init__(self, compiled: list[Pattern]) -> None:
        places = {one.template.name: place for place, one in enumerate(compiled)}
        following: dict[int, list[int]] = {}
        waits = [0] * len(compiled)
        for place, one in enumerate(compiled):
            for name in sorted(one.before):
                following.setdefault(place, []).append(places[name])
                waits[places[name]] += 1
        self._following = {
            compiled[place].index: [compiled[later].index for later in laters]
            for place, laters in following.items()
        }
        self._after: dict[int, frozenset[int]] = {}
        self.contested = frozenset(
            compiled[place].index
            for place in {*following, *(later for ones in following.values() for later in ones)}
        )
        self._ranks: dict[int, int] = {}
        ready = [place for place, count in enumerate(waits) if count == 0]
        while ready:
            place = heapq.heappop(ready)
            self._ranks[compiled[place].index] = len(self._ranks)
            for later in following.get(place, ()):
                waits[later] -= 1
                if waits[later] == 0:
                    heapq.heappush(ready, later)
        self.circle = tuple(compiled[place].template.name for place in _circle(following, waits))

    def rank(self, pattern: Pattern) -> int:
        """Return the place of *pattern*: the smaller wins."""
        return self._ranks.get(pattern.index, 0)

    def settles(self, one: Pattern, other: Pattern) -> bool:
        """Return whether `before` leads from one of the two to the other."""
        return other.index in self._all_after(one.index) or one.index in self._all_after(
            other.index
        )

    def _all_after(self, index: int) -> frozenset[int]:
        known = self._after.get(index)
        if known is None:
            found: set[int] = set()
            waiting = [index]
            while waiting:
                for later in self._following.get(waiting.pop(), ()):
                    if later not in found:
                        found.add(later)
                        waiting.append(later)
            known = self._after[index] = frozenset(found)
        return known


def _circle(following: dict[int, list[int]], waits: list[int]) -> list[int]:
    """Return places that follow each other in a circle; none where nothing waits any more."""
    waited: dict[int, int] = {}
    for place, laters in following.items():
        if waits[place]:
            for later in laters:
                waited.setdefault(later, place)
    place = next((one for one, count in enumerate(waits) if count), -1)
    if place < 0:
        return []
    # Whoever still waits does so for one that still waits too: going back must come to a circle.
    passed: dict[int, int] = {}
    while place not in passed:
        passed[place] = len(passed)
        place = waited[place]
    circle = list(passed)[passed[place] :][::-1]
    first = circle.index(min(circle))
    return circle[first:] + circle[:first]
