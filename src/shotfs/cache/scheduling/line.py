"""The line before one origin: who waits, who goes next, and what each class is owed.

Strict classes: the more urgent goes first, and within a class the older. So that none starves,
each class that waits is owed a share of the bytes that go to more urgent ones before it; once
that pays for its first request, that request goes next. Synchronous and free of time: a model
in the tests says the same in other words.
"""

from __future__ import annotations

import heapq

from shotfs.cache.scheduling.classes import FetchClass
from shotfs.cache.scheduling.limits import OriginLimits
from shotfs.cache.scheduling.slot import Slot

SHARES = {FetchClass.LOOKAHEAD: 1 / 8, FetchClass.PREWARM: 1 / 16, FetchClass.PUBLISH: 1 / 16}
"""Of the bytes of more urgent classes, while one waits. Demand is left three quarters at least."""

COST_BYTES_MIN = 64 * 1024
"""A small request holds its connection for as long as this many bytes do: it costs as much."""


def cost_bytes(slot: Slot) -> int:
    """What a request counts for in the shares."""
    return max(slot.length_bytes, COST_BYTES_MIN)


class Line:
    """One origin's requests.

    Attributes:
        origin: the tier's name.
        limits: of the origin.
        bytes_in_flight: of those under way.
        under_way: requests that were granted, by when they were.
        held: classes of which nothing is granted.
    """

    def __init__(self, origin: str, limits: OriginLimits) -> None:
        self.origin = origin
        self.limits = limits
        self.bytes_in_flight = 0
        self.under_way: dict[Slot, None] = {}
        # Those that left their queue (given up, moved up) stay in the heap until they are met.
        self._heaps: dict[FetchClass, list[tuple[int, Slot]]] = {one: [] for one in FetchClass}
        self._waiting: dict[FetchClass, set[Slot]] = {one: set() for one in FetchClass}
        self.held: frozenset[FetchClass] = frozenset()
        self._owed = dict.fromkeys(SHARES, 0.0)

    @property
    def account(self) -> str:
        """Under which name bandwidth and egress are counted."""
        return self.limits.account or self.origin

    @property
    def any_waits(self) -> bool:
        """Whether somebody waits."""
        return any(self._waiting.values())

    def has(self, slot: Slot, fetch_class: FetchClass) -> bool:
        """Whether a request waits in the queue of a class."""
        return slot in self._waiting[fetch_class]

    def waiting(self, fetch_class: FetchClass) -> list[Slot]:
        """Return those of a class that wait, the next one first."""
        return sorted(self._waiting[fetch_class], key=lambda slot: slot.serial)

    def add(self, slot: Slot) -> None:
        """Put a request into the queue of its class, by its age."""
        self._waiting[slot.fetch_class].add(slot)
        heapq.heappush(self._heaps[slot.fetch_class], (slot.serial, slot))

    def remove(self, slot: Slot, fetch_class: FetchClass) -> None:
        """Take a request out of the queue of a class."""
        self._waiting[fetch_class].discard(slot)
        if not self._waiting[fetch_class]:
            # The share is of those who wait: it is not saved up.
            self._heaps[fetch_class].clear()
            if fetch_class in self._owed:
                self._owed[fetch_class] = 0.0

    def head(self, fetch_class: FetchClass) -> Slot | None:
        """Return the next one of a class."""
        heap, waiting = self._heaps[fetch_class], self._waiting[fetch_class]
        while heap and heap[0][1] not in waiting:
            heapq.heappop(heap)
        return heap[0][1] if heap else None

    def is_due(self, slot: Slot) -> bool:
        """Whether its class has waited long enough for it to go before more urgent ones."""
        owed = self._owed.get(slot.fetch_class)
        return owed is not None and owed >= cost_bytes(slot)

    def next(self) -> Slot | None:
        """Return who goes next: who is due, else the oldest of the most urgent class."""
        first: Slot | None = None
        for fetch_class in FetchClass:
            head = None if fetch_class in self.held else self.head(fetch_class)
            if head is not None:
                if self.is_due(head):
                    return head
                first = first or head
        return first

    def grant(self, slot: Slot) -> None:
        """Count a request as under way and let it go."""
        for other in self._owed:
            if other > slot.fetch_class and self._waiting[other]:
                self._owed[other] += SHARES[other] * cost_bytes(slot)
        if slot.fetch_class in self._owed:
            left = self._owed[slot.fetch_class] - cost_bytes(slot)
            self._owed[slot.fetch_class] = max(0.0, left)
        self.remove(slot, slot.fetch_class)
        self.under_way[slot] = None
        self.bytes_in_flight += slot.length_bytes
        for one in self.under_way:
            one.joined_by(len(self.under_way))
        slot.grant()

    def end(self, slot: Slot) -> None:
        """A request has ended."""
        del self.under_way[slot]
        self.bytes_in_flight -= slot.length_bytes
