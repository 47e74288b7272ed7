"""Slots: how many requests, and how many bytes, are on their way from the origins.

Two classes now, demand before fill; issue 4 adds look-ahead and prewarm between them. A slot is
asked for before it is decided what to fetch with it, so a reader that comes while others wait
goes first and the background then fetches what is still missing.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import trio


@dataclass(slots=True, eq=False)
class _Waiting:
    origin: str
    length_bytes: int
    granted: trio.Event = field(default_factory=trio.Event)


class FetchSlots:
    """Bounds requests per origin, and bytes of each origin and over all origins.

    An origin that stands still must not take the others with it: none gets more than three
    quarters of the bytes, and an eighth is each one's own, whatever the others have. The first
    request of an origin is always let through. All together therefore have at most *bytes_max*
    and, for each further origin, the larger of an eighth of it and one request.

    Args:
        connections_max: requests at once to one origin.
        bytes_max: bytes of all requests together.
    """

    def __init__(self, connections_max: int, bytes_max: int) -> None:
        self._connections_max = connections_max
        # A quarter stays free for readers, else each of them waits for a bulk request to end.
        self._fill_connections_max = connections_max - connections_max // 4
        self._bytes_max = bytes_max
        self._origin_bytes_max = bytes_max - bytes_max // 4
        self._own_bytes = bytes_max // 8
        self._in_use: Counter[str] = Counter()
        self._bytes_of: Counter[str] = Counter()
        self._demand: deque[_Waiting] = deque()
        self._fill: deque[_Waiting] = deque()

    @property
    def bytes_in_flight(self) -> int:
        """How many bytes the granted requests have."""
        return self._bytes_of.total()

    @asynccontextmanager
    async def slot(self, origin: str, length_bytes: int, *, demand: bool) -> AsyncIterator[None]:
        """Wait for a slot and hold it.

        Args:
            origin: the tier's name; each origin has its own connections.
            length_bytes: the most that will be fetched.
            demand: a reader is blocked on it.
        """
        waiting = _Waiting(origin, length_bytes)
        queue = self._demand if demand else self._fill
        queue.append(waiting)
        self._grant()
        try:
            await waiting.granted.wait()
            yield
        finally:
            if waiting.granted.is_set():
                self._in_use[origin] -= 1
                self._bytes_of[origin] -= length_bytes
                if not self._in_use[origin]:
                    del self._in_use[origin], self._bytes_of[origin]
            else:
                queue.remove(waiting)
            self._grant()

    def _grant(self) -> None:
        self._grant_from(self._demand, self._connections_max, self._bytes_max)
        fill_bytes_max = self._bytes_max - self._bytes_max // 4
        self._grant_from(self._fill, self._fill_connections_max, fill_bytes_max)

    def _grant_from(self, queue: deque[_Waiting], connections_max: int, bytes_max: int) -> None:
        """Grant in order; an origin that is busy does not hold up the others behind it."""
        # Who waits is not overtaken by a smaller request of the same origin, or of another one
        # beyond what is that one's own: else large requests would wait for ever.
        passed_over: set[str] = set()
        for waiting in tuple(queue):
            origin = waiting.origin
            if origin in passed_over:
                continue
            if self._in_use[origin] < connections_max and self._fits(waiting, bytes_max):
                queue.remove(waiting)
                self._in_use[origin] += 1
                self._bytes_of[origin] += waiting.length_bytes
                waiting.granted.set()
                continue
            passed_over.add(origin)
            if self.bytes_in_flight + waiting.length_bytes > bytes_max:
                bytes_max = 0

    def _fits(self, waiting: _Waiting, bytes_max: int) -> bool:
        held = self._bytes_of[waiting.origin]
        wanted = held + waiting.length_bytes
        if held == 0 or wanted <= self._own_bytes:
            return True
        together = self.bytes_in_flight + waiting.length_bytes
        return wanted <= self._origin_bytes_max and together <= bytes_max
