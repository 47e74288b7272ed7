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
from shotfs.cache.scheduling.bandwidth import Shaper, minute_of_day
from shotfs.cache.scheduling.classes import FetchClass
from shotfs.cache.scheduling.egress import Egress, EgressUse, moment_of
from shotfs.cache.scheduling.hedge_budget import HedgeBudget
from shotfs.cache.scheduling.limits import MIB, OriginLimits
from shotfs.cache.scheduling.line import Line
from shotfs.cache.scheduling.pace import Pace, PaceMeter
from shotfs.cache.scheduling.slot import Queued, Slot
from shotfs.errors import EgressSpent
from shotfs.observe.metrics import Metrics

LATENCY_BYTES_MAX = MIB
"""Requests up to here wait for answers rather than for bandwidth: many of them at once are of use
also where a few large ones fill the link."""

AHEAD_OF_READERS = frozenset({FetchClass.LOOKAHEAD, FetchClass.PREWARM})
"""Classes that nobody is blocked on."""


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
        egress: counts what origins bill for; None: a count that is not kept.
        metrics: where to count; None: nowhere.
        hedges: how many slow requests may be sent again; None: none.
        minute: returns the minute of the day, for bandwidth.

    Attributes:
        hedges: as given.
    """

    def __init__(
        self,
        limits_of: Callable[[str], OriginLimits],
        bytes_max: int,
        *,
        egress: Egress | None = None,
        metrics: Metrics | None = None,
        hedges: HedgeBudget | None = None,
        minute: Callable[[], int] = minute_of_day,
    ) -> None:
        self._limits_of = limits_of
        self._bytes_max = bytes_max
        self._origin_bytes_max = bytes_max - bytes_max // 4
        self._own_bytes = bytes_max // 8
        self._egress = egress or Egress(None, moment_of(""))
        self._metrics = metrics or Metrics()
        self._minute = minute
        self.hedges = hedges or HedgeBudget(0.0, 0)
        self._lines: dict[str, Line] = {}
        self._meters: dict[str, PaceMeter] = {}
        self._shapers: dict[str, Shaper] = {}
        self._serials = count()
        self._bytes_in_flight = 0
        self._uploads_first = False

    @property
    def bytes_in_flight(self) -> int:
        """How many bytes the granted requests have."""
        return self._bytes_in_flight

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

        Entering raises EgressSpent when a budget of bytes is used up. Demand and look-ahead may
        use it to its end; prewarming stops at the warning.

        Args:
            origin: the tier's name; each origin has its own connections.
            length_bytes: the most that will be fetched.
            fetch_class: how urgent it is; `Slot.promote` raises that at any time.
            asker: for whom; his job has a budget of its own.
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
        return self._meter(origin).pace(self._shaper(self._line(origin)).bytes_per_s)

    def hedge_after_s(self, origin: str, length_bytes: int) -> float | None:
        """Count a demand request; return when to send it again, in seconds; None: never."""
        return self.pace(origin).hedge_after_s(length_bytes) if self.hedges.asked() else None

    def hedge_sent(self) -> None:
        """Count a second request."""
        self._metrics.hedges["sent"].inc()

    def hedge_won(self) -> None:
        """Count one that was faster than the first."""
        self._metrics.hedges["won"].inc()

    def egress_of(self, origin: str) -> EgressUse | None:
        """Return how far the budget is used that *origin* counts for; None: it counts for none."""
        line = self._line(origin)
        return self._egress.use(line.account, line.limits) if line.limits.counts_egress else None

    def bandwidth_bytes_per_s(self, origin: str) -> int | None:
        """Return what *origin* may move in a second now; None: there is no limit."""
        return self._shaper(self._line(origin)).bytes_per_s

    def favour_uploads(self) -> None:
        """Grant nothing ahead of readers any more, and uploads on all connections.

        Who waits ahead of readers is granted when a reader comes to wait for it (`Slot.promote`).
        """
        self._uploads_first = True
        for line in self._lines.values():
            line.held = AHEAD_OF_READERS
        self._grant()

    # --- for slots (slot.Desk) -------------------------------------------------------------------

    def enqueue(self, slot: Slot) -> None:
        """Put it into its queue; it may be granted, or refused, at once."""
        self._line(slot.origin).add(slot)
        self._metrics.fetch_queue[slot.fetch_class.label].inc()
        self._grant()

    def moved_up(self, slot: Slot, before: FetchClass) -> None:
        """Move one that waits; one that is under way only has another name now."""
        line = self._lines.get(slot.origin)
        if line is not None and line.has(slot, before):
            line.remove(slot, before)
            line.add(slot)
            self._metrics.fetch_queue[before.label].dec()
            self._metrics.fetch_queue[slot.fetch_class.label].inc()
            self._grant()

    def give_up(self, slot: Slot) -> None:
        """Take it out of its queue."""
        self._leave(self._lines[slot.origin], slot)
        self._grant()

    def give_back(self, slot: Slot) -> None:
        """Its request has ended."""
        line = self._lines[slot.origin]
        line.end(slot)
        self._bytes_in_flight -= slot.length_bytes
        self._metrics.fetch_in_flight_bytes.set(self._bytes_in_flight)
        moved = slot.fetched_bytes or 0
        self._shaper(line).end(slot.length_bytes, moved)
        if line.limits.counts_egress and slot.fetch_class is not FetchClass.PUBLISH:
            self._count_egress(line, slot, moved - slot.length_bytes)
        if slot.fetched_bytes is not None:
            self._metrics.fetch_bytes[slot.origin, slot.fetch_class.label].inc(moved)
            if slot.fetch_class is not FetchClass.PUBLISH:
                self._meter(slot.origin).add(
                    moved // slot.requests, slot.took_s / slot.requests, slot.first_byte_s,
                    slot.at_once,
                )  # fmt: skip
        self._grant()

    def retry(self) -> None:
        """Time has passed: bandwidth may have become free."""
        self._grant()

    # --- who goes next ---------------------------------------------------------------------------

    def _grant(self) -> None:
        """Grant in order; an origin that is busy does not hold up the others behind it."""
        # Who waits is not overtaken by a smaller request of the same origin, or of another one
        # beyond what is that one's own: else large requests would wait for ever.
        lines = {line for line in self._lines.values() if line.any_waits}
        crowded = False
        while lines:
            heads = [(line, slot) for line in lines if (slot := line.next()) is not None]
            if not heads:
                return
            line, slot = min(heads, key=_turn)
            refusal = self._refusal(line, slot)
            if refusal is not None:
                self._leave(line, slot)
                slot.refuse(refusal)
            elif self._fits(line, slot, crowded=crowded) and self._has_bandwidth(line, slot):
                self._start(line, slot)
            else:
                lines.discard(line)
                crowded = crowded or self._together(slot) > self._bytes_max_for(line, slot)

    def _start(self, line: Line, slot: Slot) -> None:
        waited_s = trio.current_time() - slot.since
        self._metrics.fetch_wait_seconds[slot.fetch_class.label].observe(waited_s)
        self._metrics.fetch_queue[slot.fetch_class.label].dec()
        self._shaper(line).take(slot.length_bytes)
        if line.limits.counts_egress and slot.fetch_class is not FetchClass.PUBLISH:
            self._count_egress(line, slot, slot.length_bytes)
        self._bytes_in_flight += slot.length_bytes
        self._metrics.fetch_in_flight_bytes.set(self._bytes_in_flight)
        line.grant(slot)

    def _leave(self, line: Line, slot: Slot) -> None:
        line.remove(slot, slot.fetch_class)
        self._metrics.fetch_queue[slot.fetch_class.label].dec()

    def _fits(self, line: Line, slot: Slot, *, crowded: bool) -> bool:
        if len(line.under_way) >= self._connections_max_for(line, slot):
            return False
        wanted = line.bytes_in_flight + slot.length_bytes
        if line.bytes_in_flight == 0:
            return True
        if wanted > (line.limits.bytes_in_flight_max or self._origin_bytes_max):
            return False
        if wanted <= self._own_bytes:
            return True
        return not crowded and self._together(slot) <= self._bytes_max_for(line, slot)

    def _connections_max_for(self, line: Line, slot: Slot) -> int:
        """How many may be under way for it to go: what is for more urgent classes stays free."""
        all_of_them = line.limits.connections_max
        if slot.fetch_class is FetchClass.DEMAND or line.is_due(slot):
            return all_of_them
        if slot.fetch_class is FetchClass.PUBLISH:
            return all_of_them if self._uploads_first else max(1, all_of_them // 2)
        rest = all_of_them - all_of_them // 4
        short = slot.length_bytes <= LATENCY_BYTES_MAX * slot.requests
        if slot.fetch_class is FetchClass.LOOKAHEAD or short:
            return rest
        useful = self._meter(line.origin).pace().connections()
        return rest if useful is None else min(rest, useful)

    def _has_bandwidth(self, line: Line, slot: Slot) -> bool:
        now = trio.current_time()
        wait_s = self._shaper(line).wait_s(
            slot.length_bytes, self._meter(line.origin).pace().latency_s, now
        )
        if wait_s > 0:
            slot.retry_at(now + wait_s)
        return wait_s == 0

    def _together(self, slot: Slot) -> int:
        return self._bytes_in_flight + slot.length_bytes

    def _bytes_max_for(self, line: Line, slot: Slot) -> int:
        urgent = slot.fetch_class is FetchClass.DEMAND or line.is_due(slot)
        return self._bytes_max if urgent else self._bytes_max - self._bytes_max // 4

    # --- one origin's ----------------------------------------------------------------------------

    def _line(self, origin: str) -> Line:
        line = self._lines.get(origin)
        if line is None:
            line = self._lines[origin] = Line(origin, self._limits_of(origin))
            line.held = AHEAD_OF_READERS if self._uploads_first else frozenset()
        return line

    def _meter(self, origin: str) -> PaceMeter:
        meter = self._meters.get(origin)
        if meter is None:
            meter = self._meters[origin] = PaceMeter(self._line(origin).limits)
        return meter

    def _shaper(self, line: Line) -> Shaper:
        shaper = self._shapers.get(line.account)
        if shaper is None:
            shaper = self._shapers[line.account] = Shaper(line.limits.rates, self._minute)
        return shaper

    def _refusal(self, line: Line, slot: Slot) -> EgressSpent | None:
        if not line.limits.counts_egress or slot.fetch_class is FetchClass.PUBLISH:
            return None
        refusal = self._egress.refusal(
            line.account, line.limits, slot.length_bytes, slot.asker.job,
            prewarm=slot.fetch_class is FetchClass.PREWARM,
        )  # fmt: skip
        if refusal is not None:
            self._metrics.egress_refused[line.account].inc()
        return refusal

    def _count_egress(self, line: Line, slot: Slot, delta_bytes: int) -> None:
        self._egress.count(line.account, line.limits, delta_bytes, slot.asker.job)
        used = self._egress.used_bytes(line.account, line.limits)
        self._metrics.egress_bytes[line.account].set(used)


def _turn(head: tuple[Line, Slot]) -> tuple[bool, FetchClass, int]:
    line, slot = head
    return not line.is_due(slot), slot.fetch_class, slot.serial


def _queued(slot: Slot, now: float, position: int) -> Queued:
    return Queued(
        slot.origin, slot.fetch_class, slot.length_bytes, slot.what, now - slot.since,
        position, slot.asker,
    )  # fmt: skip
