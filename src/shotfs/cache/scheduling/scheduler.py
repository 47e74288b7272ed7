"""The scheduler: which request goes next, over all origins.

A slot is asked for before it is decided what to fetch with it, so a reader that comes while others
wait goes first and the background then fetches what is still missing. Event loop only; nothing
here starts a task.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import count

import trio

from shotfs.cache.asker import NOBODY, Asker
from shotfs.cache.scheduling.classes import FetchClass
from shotfs.cache.scheduling.limits import OriginLimits
from shotfs.cache.scheduling.line import Line
from shotfs.cache.scheduling.pace import Pace, PaceMeter
from shotfs.cache.scheduling.slot import Queued, Slot


class FetchScheduler:
    """Bounds requests per origin, and bytes of each origin and over all origins.

    Four strict classes. A quarter of an origin's connections and of all bytes is for demand only,
    half of the connections is never given to uploads; a class that waits is owed a small share of
    what more urgent ones get (`line`).

    An origin that stands still must not take the others with it: none gets more than three
    quarters of the bytes, and an eighth is each one's own, whatever the others have. The first
    request of an origin is always let through. All together therefore have at most *bytes_max*
    and, for each further origin, the larger of an eighth of it and one request.

    Args:
        limits_of: what the origin of a name may be asked for.
        bytes_max: bytes of all requests together.
    """

    def __init__(self, limits_of: Callable[[str], OriginLimits], bytes_max: int) -> None:
        self._limits_of = limits_of
        self._bytes_max = bytes_max
        self._origin_bytes_max = bytes_max - bytes_max // 4
        self._own_bytes = bytes_max // 8
        self._lines: dict[str, Line] = {}
        self._meters: dict[str, PaceMeter] = {}
        self._serials = count()

    @property
    def bytes_in_flight(self) -> int:
        """How many bytes the granted requests have."""
        return sum(line.bytes_in_flight for line in self._lines.values())

    def slot(
        self,
        origin: str,
        length_bytes: int,
        fetch_class: FetchClass,
        *,
        asker: Asker = NOBODY,
        what: str = "",
    ) -> Slot:
        """Return a place for one request; ``async with`` it to wait for its turn and hold it.

        Args:
            origin: the tier's name; each origin has its own connections.
            length_bytes: the most that will be fetched.
            fetch_class: how urgent it is; `Slot.promote` raises that at any time.
            asker: for whom.
            what: what it is about, for reports.
        """
        return Slot(self, next(self._serials), origin, length_bytes, fetch_class, asker, what)

    request = slot

    def queue(self) -> list[Queued]:
        """Return who waits: by origin, class and turn."""
        now = trio.current_time()
        return [
            _queued(slot, now, position)
            for line in self._lines.values()
            for fetch_class in FetchClass
            for position, slot in enumerate(line.waiting(fetch_class))
        ]

    def under_way(self) -> list[Queued]:
        """Return what is being fetched: by origin, the oldest first."""
        now = trio.current_time()
        return [_queued(slot, now, 0) for line in self._lines.values() for slot in line.under_way]

    def pace(self, origin: str) -> Pace:
        """Return what was measured of *origin*, or the starting values."""
        return self._meter(origin).pace()

    # --- for slots (slot.Desk) -------------------------------------------------------------------

    def enqueue(self, slot: Slot) -> None:
        """Put it into its queue; it may be granted at once."""
        line = self._lines.get(slot.origin)
        if line is None:
            line = self._lines[slot.origin] = Line(slot.origin, self._limits_of(slot.origin))
        line.add(slot)
        self._grant()

    def moved_up(self, slot: Slot, before: FetchClass) -> None:
        """Move one that waits; one that is under way only has another name now."""
        line = self._lines.get(slot.origin)
        if line is not None and not slot.granted:
            line.remove(slot, before)
            line.add(slot)
            self._grant()

    def give_up(self, slot: Slot) -> None:
        """Take it out of its queue."""
        self._lines[slot.origin].remove(slot, slot.fetch_class)
        self._grant()

    def give_back(self, slot: Slot) -> None:
        """Its request has ended."""
        self._lines[slot.origin].end(slot)
        if slot.fetched_bytes is not None:
            self._meter(slot.origin).add(slot.fetched_bytes, slot.took_s)
        self._grant()

    # --- who goes next ---------------------------------------------------------------------------

    def _meter(self, origin: str) -> PaceMeter:
        meter = self._meters.get(origin)
        if meter is None:
            meter = self._meters[origin] = PaceMeter(self._limits_of(origin))
        return meter

    def _grant(self) -> None:
        """Grant in order; an origin that is busy does not hold up the others behind it."""
        # Who waits is not overtaken by a smaller request of the same origin, or of another one
        # beyond what is that one's own: else large requests would wait for ever.
        lines = set(self._lines.values())
        crowded = False
        while True:
            heads = [(line, slot) for line in lines if (slot := line.next()) is not None]
            if not heads:
                return
            line, slot = min(heads, key=_turn)
            if self._fits(line, slot, crowded=crowded):
                line.grant(slot)
                continue
            lines.discard(line)
            crowded = crowded or self._together(slot) > self._bytes_max_for(line, slot)

    def _fits(self, line: Line, slot: Slot, *, crowded: bool) -> bool:
        if len(line.under_way) >= _connections_max_for(line, slot):
            return False
        wanted = line.bytes_in_flight + slot.length_bytes
        if line.bytes_in_flight == 0 or wanted <= self._own_bytes:
            return True
        return (
            not crowded
            and wanted <= self._origin_bytes_max
            and self._together(slot) <= self._bytes_max_for(line, slot)
        )

    def _together(self, slot: Slot) -> int:
        return self.bytes_in_flight + slot.length_bytes

    def _bytes_max_for(self, line: Line, slot: Slot) -> int:
        urgent = slot.fetch_class is FetchClass.DEMAND or line.is_due(slot)
        return self._bytes_max if urgent else self._bytes_max - self._bytes_max // 4


def _turn(head: tuple[Line, Slot]) -> tuple[bool, FetchClass, int]:
    line, slot = head
    return not line.is_due(slot), slot.fetch_class, slot.serial


def _connections_max_for(line: Line, slot: Slot) -> int:
    """How many may be under way for it to go: what is for more urgent classes stays free."""
    all_of_them = line.limits.connections_max
    if slot.fetch_class is FetchClass.DEMAND or line.is_due(slot):
        return all_of_them
    if slot.fetch_class is FetchClass.PUBLISH:
        return max(1, all_of_them // 2)
    return all_of_them - all_of_them // 4


def _queued(slot: Slot, now: float, position: int) -> Queued:
    return Queued(
        slot.origin, slot.fetch_class, slot.length_bytes, slot.what, now - slot.since,
        position, slot.asker,
    )  # fmt: skip
