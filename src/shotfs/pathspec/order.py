"""The order that `before` gives to templates: which one a path has where several match."""

from __future__ import annotations

import heapq

from shotfs.pathspec.pattern import Pattern


class Order:
    """A total order of templates that keeps every `before`; else that of the document.

    Attributes:
        contested: indexes of the templates that some `before` is about. Of all others it is proven
            that nothing else matches what they match.
        circle: names of templates whose `before` leads back to themselves; empty when in order.
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
        self.circle = tuple(one.template.name for one in compiled if one.index not in self._ranks)

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
