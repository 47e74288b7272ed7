"""Pins: which revisions must stay, for whom and until when. Event loop; rows are in the index.

A pin survives restarts and holds for a revision that is not here yet from the moment it is. Its
time is the wall clock, which render nodes set late and sometimes wrongly: pins end only while the
clock has run evenly for a while, so a jump ahead loses none and a jump back lets them last longer.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence

import trio

from shotfs.cache.database import Database, IndexUnavailable
from shotfs.cache.index import Index, Pin, Totals, identity_of
from shotfs.cache.room import Room
from shotfs.errors import CacheError
from shotfs.tiers.base import Revision

log = logging.getLogger(__name__)

EXPIRY_INTERVAL_S = 60.0

JUMP_S = 30.0
"""A wall clock that moved by so much more or less than time passed has jumped. NTP slews by 0.5 ms
a second at most, 30 ms between two looks."""

STEADY_S = 600.0
"""The wall clock is believed when it has not jumped for so long, also after the start: a node that
boots with a wrong clock gets the right one within minutes."""

OWNER_LENGTH_MAX = 256
PAGE_PINS = 10_000


class SteadyClock:
    """The wall clock, as far as it can be believed.

    Args:
        wall_s: seconds since the epoch.
        passed_s: seconds that passed, also while the machine slept.
    """

    def __init__(
        self,
        wall_s: Callable[[], float] = time.time,
        passed_s: Callable[[], float] = lambda: time.clock_gettime(time.CLOCK_BOOTTIME),
    ) -> None:
        self._wall_s = wall_s
        self._passed_s = passed_s
        self._offset_s = wall_s() - passed_s()
        self._steady_since_s = passed_s()

    def now_s(self) -> float | None:
        """Return the time, None: it jumped lately. Call it every minute or so."""
        wall_s, passed_s = self._wall_s(), self._passed_s()
        if abs(wall_s - passed_s - self._offset_s) > JUMP_S:
            self._offset_s = wall_s - passed_s
            self._steady_since_s = passed_s
        return wall_s if passed_s - self._steady_since_s >= STEADY_S else None


class Pins:
    """The pins of the cache.

    Args:
        database: of the index.
        room: says what fits.
        on_totals: told the totals after each change.
        clock: for tests.
    """

    def __init__(
        self,
        database: Database,
        room: Room,
        on_totals: Callable[[Totals], None],
        clock: SteadyClock | None = None,
    ) -> None:
        self._database = database
        self._room = room
        self._on_totals = on_totals
        self._clock = clock or SteadyClock()
        self._too_many = False

    async def add(self, revision: Revision, owner: str, until_s: float | None) -> None:
        """Pin *revision* for *owner*; an earlier pin of the two is replaced.

        Args:
            revision: here or not.
            owner: printable, at most `OWNER_LENGTH_MAX` signs.
            until_s: wall clock, seconds since the epoch; None: until it is removed.

        Raises:
            PinsFull: there are as many as the cache remembers.
            CacheError: the owner cannot be one.
            IndexUnavailable: it could not be recorded.
        """
        await self.add_all([revision], owner, until_s)

    async def add_all(
        self, revisions: Sequence[Revision], owner: str, until_s: float | None
    ) -> None:
        """Pin some hundred *revisions* at once, all or none; else as `add`."""
        if not owner.isprintable() or not 0 < len(owner) <= OWNER_LENGTH_MAX:
            raise CacheError(
                f"{owner!r} cannot own a pin",
                fix=f"name the owner with 1 to {OWNER_LENGTH_MAX} printable signs",
            )
        pins = [
            Pin(identity_of(one), one.tier, one.key, one.size_bytes, owner, until_s, cached=False)
            for one in revisions
        ]
        totals = await self._database.call(_pin_all, pins)
        self._on_totals(totals)
        self._warn(totals)

    async def remove(self, pinned: Revision | Pin, owner: str) -> bool:
        """Unpin; False: *owner* has no pin of it."""
        identity = pinned.identity if isinstance(pinned, Pin) else identity_of(pinned)
        found = await self._database.call(Index.unpin, identity, owner)
        self._on_totals(await self._database.call(Index.current))
        return found

    async def page(self, after: Pin | None, limit: int) -> list[Pin]:
        """Return at most *limit* pins behind *after*, in the order of revision and owner.

        Args:
            after: the last pin that is known, gone meanwhile or not; None to begin.
            limit: `PAGE_PINS` at most.
        """
        identity, owner = ("", "") if after is None else (after.identity, after.owner)
        limit = max(1, min(limit, PAGE_PINS))
        return await self._database.call(Index.pins, identity, owner, limit)

    async def expire_forever(self) -> None:
        """Remove pins whose time is over, soon after it is."""
        while True:
            await trio.sleep(EXPIRY_INTERVAL_S)
            now_s = self._clock.now_s()
            if now_s is not None:
                await self.expire(now_s)

    async def expire(self, now_s: float) -> None:
        """Remove pins whose time is over at *now_s*."""
        try:
            while await self._database.call(Index.expire_pins, now_s):
                self._on_totals(await self._database.call(Index.current))
        except IndexUnavailable as error:
            log.warning("pins were not looked at", extra={"reason": error.message})

    def _warn(self, totals: Totals) -> None:
        too_many = totals.pins_bytes > self._room.bytes_max
        if too_many and not self._too_many:
            log.warning(
                "more is pinned than the cache may hold: what comes last streams without keeping",
                extra={"pinned_bytes": totals.pins_bytes, "bytes_max": self._room.bytes_max},
            )
        self._too_many = too_many


def _pin_all(index: Index, pins: Sequence[Pin]) -> Totals:
    with index.together():
        for pin in pins:
            index.pin(pin)
    return index.current()
