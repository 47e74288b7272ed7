"""Schedule: for which output there is something to do, and when; what is due goes by priority.

Knows times and priorities only; `publisher` decides both. Seals and uploads have slots of their
own (`Work`): a seal waits for the disk of this node, an upload for the network. One event loop.
"""

from __future__ import annotations

import heapq

from shotfs.publish.entry import SpoolEntry
from shotfs.publish.lane import SMALL_BYTES
from shotfs.publish.states import State

SEALS_MAX = 64
"""Seals at once. Those of small files share hops to threads and commits of the journal."""

SEALS_BUSY = 8
"""With so many seals of small files under way, more is closed than is sealed."""

UPLOADS_BESIDE_SEALS = 4
"""So many uploads go on then: an upload of a small file costs as much CPU time as ten seals."""


class Schedule:
    """Outputs with the time at which each is due.

    Of those that are due the one with the highest priority comes first (the template's `priority`),
    then the one that has been due longest, then the smaller one. An output is planned once: the
    last time counts.

    In a drain (`set_smallest_first`) size counts before age: within a deadline that is near, this
    is the order in which the most files arrive. Priority still counts before both: it is what a
    person said is worth more, and nobody said so of small files.
    """

    def __init__(self) -> None:
        self._planned: dict[SpoolEntry, float] = {}
        # Superseded plans stay in the heaps until they come up; `_planned` tells them.
        self._later: list[tuple[float, int, SpoolEntry]] = []
        self._due: list[tuple[int, float, float, int, SpoolEntry, float]] = []
        self._smallest_first = False

    def set_smallest_first(self, smallest_first: bool) -> None:
        """Let size count before age, or no longer; also for what is due already."""
        if smallest_first != self._smallest_first:
            self._smallest_first = smallest_first
            due, self._due = self._due, []
            for *_, entry, at in due:
                self._push_due(entry, at)

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
            due, _, entry = heapq.heappop(self._later)
            if self._planned.get(entry) == due:
                self._push_due(entry, due)
        while self._due:
            *_, entry, due = heapq.heappop(self._due)
            if self._planned.get(entry) == due:
                del self._planned[entry]
                return entry
        return None

    def next_due(self) -> float:
        """Return when to call `take` again if it just returned None; infinity for never."""
        return self._later[0][0] if self._later else float("inf")

    def _push_due(self, entry: SpoolEntry, due: float) -> None:
        priority = 0 if entry.terms is None else entry.terms.priority
        order: tuple[float, float] = (due, entry.size_bytes)
        if self._smallest_first:
            order = (entry.remaining_bytes, due)
        heapq.heappush(self._due, (-priority, *order, entry.serial, entry, due))


class Work:
    """What is to be done and what is under way: seals, and all that uses the network."""

    def __init__(self) -> None:
        self._seals = Schedule()
        self._uploads = Schedule()
        self._sealing: set[SpoolEntry] = set()
        self._uploading: set[SpoolEntry] = set()

    def __contains__(self, entry: SpoolEntry) -> bool:
        """Whether something is being done for *entry*."""
        return entry in self._sealing or entry in self._uploading

    def set_smallest_first(self, smallest_first: bool) -> None:
        """As `Schedule.set_smallest_first`."""
        self._seals.set_smallest_first(smallest_first)
        self._uploads.set_smallest_first(smallest_first)

    def plan(self, entry: SpoolEntry, due: float | None) -> None:
        """Let *entry* be due at *due*, on the clock of `trio.current_time`; None: never."""
        seals, others = self._seals, self._uploads
        if not _is_seal(entry):
            seals, others = others, seals
        others.drop(entry)
        if due is None:
            seals.drop(entry)
        else:
            seals.plan(entry, due)

    def take(self, now: float, slots: int) -> SpoolEntry | None:
        """Remove and return what may begin at *now*; None: nothing, or there is no slot for it.

        Args:
            now: on the clock of `trio.current_time`.
            slots: for uploads.
        """
        entry = self._seals.take(now) if len(self._sealing) < SEALS_MAX else None
        if entry is None and self._may_upload(slots):
            entry = self._uploads.take(now)
        return entry

    def begin(self, entry: SpoolEntry) -> None:
        """Note that something is being done for *entry*, which `take` returned."""
        (self._sealing if _is_seal(entry) else self._uploading).add(entry)

    def end(self, entry: SpoolEntry) -> None:
        """Note that it is over."""
        self._sealing.discard(entry)
        self._uploading.discard(entry)

    def next_due(self, slots: int) -> float:
        """Return when to call `take` again if it just returned None; infinity for never."""
        seal = self._seals.next_due() if len(self._sealing) < SEALS_MAX else float("inf")
        return min(seal, self._uploads.next_due()) if self._may_upload(slots) else seal

    def _may_upload(self, slots: int) -> bool:
        small = sum(entry.size_bytes <= SMALL_BYTES for entry in self._sealing)
        if small >= SEALS_BUSY:
            slots = min(slots, UPLOADS_BESIDE_SEALS)
        return len(self._uploading) < slots


def _is_seal(entry: SpoolEntry) -> bool:
    return entry.state is State.OPEN and not entry.scratch
