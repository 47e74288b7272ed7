"""Fetching: from what is expected to what is here. Owns the queue of wishes and what waits behind.

The nearest first: what a run that has begun will open, then the next frame, then the one after;
within a frame in the order in which the model opened it. Wishes are looked at many at a time
(`Finder.find_many`), so that a directory of frames costs one listing; what is there and not here
waits for its turn to be fetched, again the nearest first. Whoever opens a file
meanwhile takes it over in its place: the fetch is the same stream. Nothing here fails: what cannot
be fetched is left to whoever opens it.
"""

from __future__ import annotations

import heapq
import logging
from collections import OrderedDict
from dataclasses import dataclass
from enum import Enum
from itertools import count

import trio

from shotfs.cache import Asker, Cache
from shotfs.cache.scheduling import FetchClass
from shotfs.errors import ShotfsError
from shotfs.observe.metrics import Metrics
from shotfs.pathspec import Resolution
from shotfs.prewarm.finding import Finder, Found
from shotfs.prewarm.lookahead.budget import Budget
from shotfs.prewarm.lookahead.large import LargeFiles, covers, joined
from shotfs.prewarm.lookahead.ledger import Ahead, Ledger, Track
from shotfs.prewarm.lookahead.shapes import Shape

log = logging.getLogger(__name__)

WISHES_MAX = 20_000
"""Wishes that wait; one takes about 400 bytes. Beyond it the furthest are refused."""

FOUND_AT_ONCE = 256
LOOKS_AT_ONCE = 8
"""Directories that are looked at at the same time. One of 100,000 files takes seconds to list, and
a server without an index of sizes is asked for each of its files."""

FETCHES_AT_ONCE = 24
"""Files that come at once: behind 20 ms, 24 small ones are 1,200 a second. How many requests that
are, the scheduler decides: three quarters of an origin's connections."""

IN_PARTS_MAX = 16
"""Large files of which parts wait: a quarter of the unfinished files that the cache keeps."""

RECENT_MAX = 32_768
RECENT_S = 30.0
"""What was asked for lately is not asked for again."""

SWEEP_S = 30.0
SWEEP_FILES = 1_000


class Reason(Enum):
    """Which guess a wish comes from."""

    FRAME = "frame"
    TILE = "tile"
    BUNDLE = "bundle"


@dataclass(frozen=True, slots=True, eq=False)
class Wish:
    """A file that is expected to be opened.

    Attributes:
        path: mount-relative.
        shape: of it.
        reason: why it is expected.
        distance: 0: by what runs now; otherwise by the so manieth next frame.
        track: for whom.
        due: the tick of *track* after which nobody will come.
        asker: for whom it is fetched.
    """

    path: str
    shape: Shape
    reason: Reason
    distance: int
    track: Track
    due: int
    asker: Asker


class Fetches:
    """Fetches what is wished.

    Args:
        finder: says what a path is.
        cache: where it goes.
        budget: what may be spent.
        ledger: where it is noted.
        metrics: counts what was refused.
        large: says which parts of a large file are worth it.
    """

    def __init__(
        self,
        finder: Finder,
        cache: Cache,
        budget: Budget,
        ledger: Ledger,
        metrics: Metrics,
        large: LargeFiles,
    ) -> None:
        self._large = large
        self._in_parts: dict[str, tuple[Wish, Found]] = {}
        self._finder = finder
        self._cache = cache
        self._budget = budget
        self._ledger = ledger
        self._metrics = metrics
        self._wishes: list[tuple[int, int, Wish]] = []
        self._ready: list[tuple[int, int, Wish, Found]] = []
        self._serials = count()
        self._recent: OrderedDict[str, float] = OrderedDict()
        self._opened: OrderedDict[str, float] = OrderedDict()
        self._wished = trio.Event()
        self._found = trio.Event()
        self._looking = 0
        self._looks = trio.CapacityLimiter(LOOKS_AT_ONCE)
        self._turns = trio.CapacityLimiter(FETCHES_AT_ONCE)

    @property
    def idle(self) -> bool:
        """Whether nothing is wished, looked at or fetched."""
        waiting = self._wishes or self._looking or self._ready
        return not waiting and not self._turns.borrowed_tokens

    def wish(self, wish: Wish) -> None:
        """Have *wish* fetched, if it is not here, not on its way and within the budget."""
        now_s = trio.current_time()
        asked_s = self._recent.get(wish.path, float("-inf"))
        if wish.path in self._ledger or now_s - asked_s < RECENT_S or self._is_open(wish.path):
            return
        if len(self._wishes) + len(self._ready) >= WISHES_MAX:
            self._refuse("crowd")
            return
        self._recent[wish.path] = now_s
        self._recent.move_to_end(wish.path)
        if len(self._recent) > RECENT_MAX:
            self._recent.popitem(last=False)
        heapq.heappush(self._wishes, (wish.distance, next(self._serials), wish))
        self._wished.set()

    def opened(self, path: str) -> None:
        """Note that *path* is open: whoever reads it brings it here."""
        self._opened[path] = trio.current_time()
        self._opened.move_to_end(path)
        if len(self._opened) > RECENT_MAX:
            self._opened.popitem(last=False)

    def learned(self, shape: str) -> None:
        """Note that more is known of what is read of the files of *shape*.

        What was fetched of the next ones before that was known may be too little.
        """
        self._forget_judged()
        for wish, found in self._in_parts.values():
            if wish.shape.key == shape:
                heapq.heappush(self._ready, (wish.distance, next(self._serials), wish, found))
                self._found.set()

    async def run(self) -> None:
        """Fetch for ever."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._look_for_ever, nursery)
            nursery.start_soon(self._fetch_for_ever, nursery)
            await self._sweep()

    async def _look_for_ever(self, nursery: trio.Nursery) -> None:
        while True:
            await self._wished.wait()
            self._wished = trio.Event()
            while self._wishes:
                for directory in self._next_wishes():
                    self._looking += 1
                    await self._looks.acquire_on_behalf_of(id(directory))
                    nursery.start_soon(self._look, directory)
                await trio.lowlevel.checkpoint()

    def _next_wishes(self) -> list[dict[str, Wish]]:
        """Return the most urgent wishes, by directory: one may have to be listed, and take long."""
        directories: dict[str, dict[str, Wish]] = {}
        for _ in range(min(FOUND_AT_ONCE, len(self._wishes))):
            wish = heapq.heappop(self._wishes)[2]
            if self._wanted(wish):
                directories.setdefault(wish.path.rpartition("/")[0], {})[wish.path] = wish
        return list(directories.values())

    async def _look(self, wishes: dict[str, Wish]) -> None:
        """Find out which of *wishes* exist and are not here."""
        try:
            answers = await self._finder.find_many(list(wishes))
            found = [one for one in answers if isinstance(one, Found)]
            here = await self._cache.known_many([one.revision for one in found])
            for one, known in zip(found, here, strict=True):
                # An alias on the way gives it another path; then nobody waits for its budget.
                wish = None if known else wishes.get(one.path)
                if wish is not None:
                    entry = (wish.distance, next(self._serials), wish, one)
                    heapq.heappush(self._ready, entry)
            self._found.set()
        except ShotfsError as error:
            log.debug("look-ahead cannot look", extra={"reason": error.message})
        except Exception:  # a guess must not end the mount
            log.exception("look-ahead failed unexpectedly")
        finally:
            self._looking -= 1
            self._looks.release_on_behalf_of(id(wishes))

    async def _fetch_for_ever(self, nursery: trio.Nursery) -> None:
        while True:
            await self._found.wait()
            self._found = trio.Event()
            while self._ready:
                turn = object()
                await self._turns.acquire_on_behalf_of(turn)
                _, _, wish, found = heapq.heappop(self._ready)
                ahead = self._begin(found, wish)
                if ahead is None:
                    self._turns.release_on_behalf_of(turn)
                else:
                    nursery.start_soon(self._fetch, found, ahead, wish.asker, turn)

    def _is_open(self, path: str) -> bool:
        """Whether *path* was opened lately."""
        opened_s = self._opened.get(path)
        return opened_s is not None and trio.current_time() - opened_s < RECENT_S

    def _wanted(self, wish: Wish) -> bool:
        resolution = self._finder.resolve(wish.path)
        if resolution is None or not _allowed(wish, resolution):
            return False
        if wish.path in self._ledger:
            return False
        if self._ledger.suspended(wish.track, wish.shape.key, trio.current_time()):
            self._refuse("suspended")
            return False
        return True

    def _begin(self, found: Found, wish: Wish) -> Ahead | None:
        """Decide to fetch *found*, within the budget; None: not any more, or not now."""
        now_s, shape = trio.current_time(), wish.shape.key
        before = self._ledger.get(found.path)
        if wish.track.ticks > wish.due or (before is not None and not before.parts):
            return None
        if self._is_open(found.path):
            return None  # its reader was faster; nobody will open it once more to prove us right
        revision = found.revision
        ahead = Ahead(found.path, revision, wish.track, shape, wish.due, now_s)
        fill = found.resolution.template.policy.fill
        parts = self._large.wanted(shape, fill, revision.size_bytes)
        if before is not None:
            if parts is not None and covers(before.parts, parts):
                return None
            ahead.read, ahead.wider = before.read, True
        if parts is not None:
            both = parts if before is None else (*before.parts, *parts)
            ahead.parts = joined(((one.start, one.stop) for one in both), revision.size_bytes)
        refusal = self._refusal(found, ahead, before, now_s)
        if refusal:
            self._refuse(refusal)
            self._recent.pop(found.path, None)
            return None
        if self._cache.is_warm(revision):
            return None
        self._ledger.begin(ahead)
        if ahead.parts:
            self._in_parts[found.path] = wish, found
        return ahead

    def _refusal(self, found: Found, ahead: Ahead, before: Ahead | None, now_s: float) -> str:
        if ahead.parts and before is None:
            self._forget_judged()
            if len(self._in_parts) >= IN_PARTS_MAX:
                return "crowd"
        more_bytes = ahead.size_bytes - (0 if before is None else before.size_bytes)
        return self._budget.refusal(found, ahead.track, now_s, more_bytes)

    def _forget_judged(self) -> None:
        """Forget what does not wait in parts any more: what is open is judged by its reads."""
        waiting = self._in_parts.items()
        self._in_parts = {
            path: one for path, one in waiting if path in self._ledger and not self._is_open(path)
        }

    async def _fetch(self, found: Found, ahead: Ahead, asker: Asker, turn: object) -> None:
        try:
            if ahead.parts:
                await self._fetch_parts(found, ahead, asker)
            else:
                await self._cache.fetch(
                    found.tier, found.revision, fetch_class=FetchClass.LOOKAHEAD, asker=asker
                )
            ahead.here = True
        except ShotfsError as error:
            self._refuse("failed")
            self._ledger.failed(ahead)
            log.debug(
                "look-ahead could not fetch", extra={"path": found.path, "reason": error.message}
            )
        except Exception:  # a guess must not end the mount
            self._ledger.failed(ahead)
            log.exception("look-ahead failed unexpectedly", extra={"path": found.path})
        finally:
            self._turns.release_on_behalf_of(turn)

    async def _fetch_parts(self, found: Found, ahead: Ahead, asker: Asker) -> None:
        came_bytes = await self._cache.parts.fetch(
            found.tier, found.revision, ahead.parts,
            fetch_class=FetchClass.LOOKAHEAD, asker=asker,
        )  # fmt: skip
        if not came_bytes and not ahead.wider:
            self._ledger.failed(ahead)  # it was here before: nothing was spent on the guess

    def _refuse(self, reason: str) -> None:
        self._metrics.lookahead_refused[reason].inc()

    async def _sweep(self) -> None:
        """See from time to time what left the cache unopened."""
        while True:
            await trio.sleep(SWEEP_S)
            self._ledger.expire(trio.current_time())
            waiting = list(self._ledger.here())
            for start in range(0, len(waiting), SWEEP_FILES):
                part = waiting[start : start + SWEEP_FILES]
                known = await self._cache.known_many([one.revision for one in part])
                for one, here in zip(part, known, strict=True):
                    if not here and not (one.parts and self._cache.parts.held_bytes(one.revision)):
                        self._ledger.evicted(one, trio.current_time())


def _allowed(wish: Wish, resolution: Resolution) -> bool:
    """Whether the template of the file lets it be fetched for this reason."""
    policy = resolution.template.policy.prewarm
    if resolution.scratch or policy.off:
        return False
    if wish.reason is Reason.FRAME and wish.distance and policy.frames is not None:
        return wish.distance <= policy.frames
    return wish.reason is not Reason.TILE or policy.udims != 0
