"""Schedule: for which output there is something to do, and when; what is due goes by priority.

Knows times and priorities only; `publisher` decides both. One event loop.
"""

from __future__ import annotations

import heapq

from shotfs.publish.entry import SpoolEntry


class Schedule:
    """Outputs with the time at which each is due.

    Of those that are due the one with the highest priority comes first (the template's `priority`),
    then the one that has been due longest, then the smaller one. An output is planned once: the
    last time counts.
    """

    def __init__(self) -> None:
        self._planned: dict[SpoolEntry, float] = {}
        # Superseded plans stay in the heaps until they come up; `_planned` tells them.
        self._later: list[tuple[float, int, SpoolEntry]] = []
        self._due: list[tuple[int, float, int, int, SpoolEntry]] = []

    def plan(self, entry: SpoolEntry, due: float) -> None:
        """Let *entry* be due at *due*, on the clock of `trio.current_time`."""
        if self._planned.get(entry) != due:
            self._planned[entry] = due
            heapq.heappush(self._later, (due, entry.serial, entry))

    def drop(self, entry: SpoolEntry) -> None:
        """Forget *entry*, planned or not."""
        self._planned.pop(entry, None)

    def take(self, now: float) -> SpoolEntry | None:
        """Remove and return the first of the outputs that are due at *now*; None: there is none."""
        while self._later and self._later[0][0] <= now:
            due, serial, entry = heapq.heappop(self._later)
            if self._planned.get(entry) == due:
                priority = 0 if entry.terms is None else entry.terms.priority
                heapq.heappush(self._due, (-priority, due, entry.size_bytes, serial, entry))
        while self._due:
            _, due, _, _, entry = heapq.heappop(self._due)
            if self._planned.get(entry) == due:
                del self._planned[entry]
                return entry
        return None

    def next_due(self) -> float:
        """Return when to call `take` again if it just returned None; infinity for never."""
        return self._later[0][0] if self._later else float("inf")
