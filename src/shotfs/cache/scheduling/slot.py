"""A slot: the place of one request, while it waits and while it is under way."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from types import TracebackType
from typing import Protocol, Self

import trio

from shotfs.cache.asker import Asker
from shotfs.cache.scheduling.classes import FetchClass
from shotfs.errors import ShotfsError
from shotfs.tiers.arrival import IS_WAITED_FOR, ON_FIRST_BYTE


@dataclass(frozen=True, slots=True)
class Queued:
    """A request that waits or is under way, for reports.

    Attributes:
        origin: the tier's name.
        fetch_class: its class now.
        length_bytes: the most that it fetches.
        what: what it is about, as its owner calls it; "" if he said nothing.
        since_s: how long it has waited, or has been under way, in seconds.
        position: how many of its class and origin go before it; 0 for one under way.
        asker: for whom.
    """

    origin: str
    fetch_class: FetchClass
    length_bytes: int
    what: str
    since_s: float
    position: int
    asker: Asker


class Desk(Protocol):
    """What a slot needs of the scheduler."""

    def enqueue(self, slot: Slot) -> None:
        """Put it into its queue; it may be granted at once."""
        ...

    def moved_up(self, slot: Slot, before: FetchClass) -> None:
        """It has a more urgent class than *before*."""
        ...

    def give_up(self, slot: Slot) -> None:
        """Take it out of its queue."""
        ...

    def give_back(self, slot: Slot) -> None:
        """Its request has ended."""
        ...

    def retry(self) -> None:
        """Time has passed: bandwidth may have become free."""
        ...


class Slot:
    """One request: ``async with slot:`` waits for its turn and holds it to the end of the block.

    Used once. Everything but the waiting is synchronous, in the event loop.

    Attributes:
        origin: the tier's name.
        length_bytes: the most that it fetches.
        fetch_class: the most urgent class that it was given.
        asker: for whom.
        what: what it is about, for reports.
        serial: its place among all requests, by when it came.
        granted: whether it may go, or has gone.
        fetched_bytes: how much it fetched; None until `record`.
        first_byte_s: when its first byte came, in seconds; None: nobody has told.
        at_once: how many requests of the origin were under way with it, at most, itself included.
        requests: how many requests it was for, one after the other.
    """

    __slots__ = (
        "_began", "_desk", "_refused", "_retry_at", "_scope", "_turn", "asker",
        "at_once", "fetch_class", "fetched_bytes", "first_byte_s", "granted", "length_bytes",
        "origin", "requests", "serial", "since", "took_s", "what",
    )  # fmt: skip

    def __init__(
        self,
        desk: Desk,
        serial: int,
        origin: str,
        length_bytes: int,
        fetch_class: FetchClass,
        asker: Asker,
        what: str,
    ) -> None:
        self._desk = desk
        self._turn = trio.Event()
        self.serial = serial
        self.origin = origin
        self.length_bytes = length_bytes
        self.fetch_class = fetch_class
        self.asker = asker
        self.what = what
        self.granted = False
        self.fetched_bytes: int | None = None
        self.took_s = 0.0
        self.first_byte_s: float | None = None
        self.at_once = 1
        self.requests = 1
        self._began = 0.0
        self._refused: ShotfsError | None = None
        self._retry_at = math.inf
        self._scope: trio.CancelScope | None = None
        self.since = trio.current_time()

    def __repr__(self) -> str:
        state = "under way" if self.granted else "waits"
        return f"<Slot {self.what or self.origin} {self.fetch_class.label} {state}>"

    def promote(self, fetch_class: FetchClass) -> None:
        """Make it as urgent as *fetch_class*, if it is not yet; it keeps its turn by age."""
        before = self.fetch_class
        if fetch_class < before:
            self.fetch_class = fetch_class
            self._desk.moved_up(self, before)

    def record(self, length_bytes: int, seconds: float, *, requests: int = 1) -> None:
        """Tell what the request brought, after it ended well; the last call counts.

        Args:
            length_bytes: how much it fetched.
            seconds: how long it took.
            requests: how many it was in truth, alike and one after the other.
        """
        self.fetched_bytes, self.took_s, self.requests = length_bytes, seconds, requests

    def joined_by(self, at_once: int) -> None:
        """Note that *at_once* requests of its origin are under way now, itself included."""
        self.at_once = max(self.at_once, at_once)

    # --- for the scheduler -----------------------------------------------------------------------

    def grant(self) -> None:
        """Let it go."""
        self.granted = True
        self.since = trio.current_time()
        self._turn.set()

    def refuse(self, error: ShotfsError) -> None:
        """Have it raise *error* instead of going. It is in no queue any more."""
        self._refused = error
        self._turn.set()

    def retry_at(self, at: float) -> None:
        """Look again at this time of the event loop's clock, if it has not been granted."""
        self._retry_at = at
        if self._scope is not None:
            self._scope.deadline = at

    # --- waiting and holding ---------------------------------------------------------------------

    async def __aenter__(self) -> Self:
        self.since = trio.current_time()
        self._desk.enqueue(self)
        try:
            await self._wait()
        except BaseException:
            if self.granted:
                self._desk.give_back(self)
            elif self._refused is None:
                self._desk.give_up(self)
            raise
        if self._refused is not None:
            raise self._refused
        self._began = time.perf_counter()
        ON_FIRST_BYTE.set(self._first_byte)
        IS_WAITED_FOR.set(self._is_waited_for)
        return self

    async def _wait(self) -> None:
        while True:
            with trio.move_on_at(self._retry_at) as self._scope:
                await self._turn.wait()
            if self._turn.is_set():
                return
            self._retry_at = math.inf
            self._desk.retry()

    def _first_byte(self) -> None:
        self.first_byte_s = time.perf_counter() - self._began

    def _is_waited_for(self) -> bool:
        return self.fetch_class is FetchClass.DEMAND

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        ON_FIRST_BYTE.set(None)
        IS_WAITED_FOR.set(None)
        self._desk.give_back(self)
