"""The engine: has wanted files here, in the order in which they are named, and says how far it is.

Pages stream through it: a page of entries is resolved at once, what is here is left out with one
look into the index, and the rest goes to the cache with class prewarm, behind every demand. Nothing
grows with the number of entries. What is here is left out, so a run that was ended goes on when it
is started again. Event loop only.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator, Sequence
from contextlib import aclosing, contextmanager
from dataclasses import dataclass, field
from enum import StrEnum

import trio

from shotfs.cache import Asker, Cache, FetchClass
from shotfs.cache.spared import Group
from shotfs.cache.stats import CacheStats
from shotfs.config.units import rounded_size
from shotfs.digest import Digest
from shotfs.errors import CacheFull, EgressSpent, RevisionChanged, ShotfsError
from shotfs.prewarm.finding import Absence, Absent, Finder, Found, Visible
from shotfs.prewarm.manifest import Entry

PAGE_ENTRIES = 512
"""Entries that are resolved, and handed to the cache, together."""

PAGES_AT_ONCE = 3
"""Pages that are fetched at the same time: the next begins while the last files of one come."""

CONFIRMED_AT_ONCE = 16
"""Files that the origin is asked for again at the same time, because they are others by now."""

PROBLEMS_MAX = 100
"""Files that a report names; how many failed is always told."""

TEMPLATES_MAX = 200
"""Templates that a report tells apart."""


class Stop(StrEnum):
    """Why a run ended before it had looked at everything."""

    CANCELLED = "cancelled"
    DEADLINE = "deadline"
    LIMIT = "limit"
    CACHE_FULL = "cache full"
    """There is room for no more beside what is pinned: what is wanted and here stays."""
    EGRESS = "egress budget"
    """What is left of an origin's budget is not for prewarming."""


@dataclass(frozen=True, slots=True)
class Problem:
    """A file that did not come, or is not what was asked for."""

    path: str
    reason: str


@dataclass(slots=True)
class Share:
    """What one template has of a run."""

    files: int = 0
    bytes: int = 0
    done_files: int = 0
    done_bytes: int = 0


@dataclass(slots=True)
class Progress:
    """How far a run is.

    Attributes:
        entries: that were looked at.
        files, bytes: published files among them.
        here_files, here_bytes: of those, that were here already.
        fetched_files, fetched_bytes: that this run brought.
        missing: bytes that were not here, by the name of their origin.
        failed_files: that did not come.
        absent: entries that are no published file, by why.
        stale_files: whose content is not what the manifest says.
        problems: the first `PROBLEMS_MAX` of what went wrong.
        templates: shares, by the name of the template.
        stopped: why it ended early; None: it did not.
        reason: the same for people, where there is more to say.
        ended: it has nothing more to do.
    """

    entries: int = 0
    files: int = 0
    bytes: int = 0
    here_files: int = 0
    here_bytes: int = 0
    fetched_files: int = 0
    fetched_bytes: int = 0
    missing: Counter[str] = field(default_factory=Counter)
    failed_files: int = 0
    absent: Counter[Absence] = field(default_factory=Counter)
    stale_files: int = 0
    problems: list[Problem] = field(default_factory=list)
    templates: dict[str, Share] = field(default_factory=dict)
    stopped: Stop | None = None
    reason: str = ""
    ended: bool = False

    def note_problem(self, path: str, reason: str) -> None:
        """Remember a file that somebody should look at."""
        if len(self.problems) < PROBLEMS_MAX:
            self.problems.append(Problem(path, reason))

    def note_stale(self, path: str) -> None:
        """Note a file whose content is not what the manifest says."""
        self.stale_files += 1
        self.note_problem(path, "stale: the manifest names other content than the origin has now")

    def share_of(self, found: Found) -> Share:
        """Return the share of the template of *found*."""
        name = found.resolution.template.name
        if name not in self.templates and len(self.templates) >= TEMPLATES_MAX:
            name = ""
        return self.templates.setdefault(name, Share())


@dataclass(frozen=True, slots=True)
class Terms:
    """Under which terms a run works.

    Attributes:
        asker: who wants it.
        bytes_max: how much it may fetch; None: no limit of its own.
        files_max: likewise.
        deadline_s: when it ends, on trio's clock; inf: when all is done.
        visible: directories that who asks may see; None: all.
        readable: files there that he may read; None: all.
        fetch: bring what is missing; else it is only counted.
        found: awaited with the published files of each page before what is missing is fetched.
        pins: *found* pins them.
    """

    asker: Asker
    bytes_max: int | None = None
    files_max: int | None = None
    deadline_s: float = float("inf")
    visible: Visible | None = None
    readable: Callable[[Found], bool] | None = None
    fetch: bool = True
    found: Callable[[Sequence[Found]], Awaitable[None]] | None = None
    pins: bool = False


Count = Callable[[Sequence[Entry]], Awaitable[object]]
"""Notes of some entries whether they are here."""

Outcome = Callable[[Found, Digest | ShotfsError], None]
"""Told once of each file of a page: its digest when it is here, or why it did not come."""


async def fetch_page(cache: Cache, page: Sequence[Found], asker: Asker, note: Outcome) -> None:
    """Have the files *page* here, in this order as far as that matters; tell *note* of each.

    The one place where prewarm hands work to the cache.
    """
    await cache.fetch_all(
        [(found.tier, found.revision) for found in page],
        lambda position, outcome: note(page[position], outcome),
        fetch_class=FetchClass.PREWARM,
        asker=asker,
    )


class Prewarmer:
    """Brings files here.

    Args:
        cache: where they go.
        finder: what paths are.
    """

    def __init__(self, cache: Cache, finder: Finder) -> None:
        self._cache = cache
        self._finder = finder

    async def run(
        self, pages: AsyncGenerator[Sequence[Entry], None], terms: Terms, progress: Progress
    ) -> None:
        """Have here what *pages* name, and note in *progress* how far it is.

        Args:
            pages: in the order in which it shall come; of `PAGE_ENTRIES` entries at most. Closed
                at the end.
            terms: see there.
            progress: of this run; changed while it runs.

        Cancelled, it leaves what has come, and what came in part for who goes on with it.
        """
        with self._noted(terms, progress) as kept:
            await _Run(self._cache, self._finder, terms, progress, kept).work(pages)

    @contextmanager
    def counting(self, terms: Terms, progress: Progress) -> Iterator[Count]:
        """Return a context of a run that fetches nothing; yield what counts some entries of it."""
        with self._noted(terms, progress) as kept:
            yield _Run(self._cache, self._finder, terms, progress, kept).missing

    @contextmanager
    def _noted(self, terms: Terms, progress: Progress) -> Iterator[Group]:
        """Note in *progress* how a run ends; yield what spares its files."""
        whole = False
        try:
            with (
                trio.CancelScope(deadline=terms.deadline_s) as scope,
                self._cache.sparing() as kept,
            ):
                yield kept
            if scope.cancelled_caught:
                progress.stopped = Stop.DEADLINE
            whole = True
        finally:
            if not whole and progress.stopped is None:
                progress.stopped = Stop.CANCELLED
            progress.ended = True


class _Run:
    """One run."""

    def __init__(
        self, cache: Cache, finder: Finder, terms: Terms, progress: Progress, kept: Group
    ) -> None:
        self._cache = cache
        self._finder = finder
        self._terms = terms
        self._progress = progress
        self._kept = kept
        self._room = _room_of(cache.stats())
        self._scope = trio.CancelScope()
        self._asked_files = self._asked_bytes = 0
        self._expected: dict[str, Digest] = {}
        """Digests that manifests say, of files that are coming."""

    async def work(self, pages: AsyncGenerator[Sequence[Entry], None]) -> None:
        """Resolve page after page, and fetch what is missing of some pages at the same time."""
        # Without room: one page waits while others are fetched, and no more are resolved ahead.
        give, take = trio.open_memory_channel[list[Found]](0)
        with self._scope:
            async with trio.open_nursery() as nursery, give, aclosing(pages):
                for _ in range(PAGES_AT_ONCE):
                    nursery.start_soon(self._fetch, take.clone())
                take.close()
                async for page in pages:
                    missing = await self.missing(page)
                    if missing:
                        await give.send(missing)
                    if self._progress.stopped is not None:
                        break

    async def missing(self, page: Sequence[Entry]) -> list[Found]:
        """Return the files of *page* that are to be fetched, as many as the limits allow."""
        progress, terms = self._progress, self._terms
        found = await self._find(page)
        here = await self._cache.known_many(one.revision for _, one in found)
        admitted: list[Found] = []
        missing: list[Found] = []
        for (entry, one), is_here in zip(found, here, strict=True):
            size_bytes = one.revision.size_bytes
            if not is_here and not self._allows(size_bytes):
                progress.entries -= 1
                progress.stopped = progress.stopped or Stop.LIMIT
                continue
            is_stale = self._compare(entry, one)
            admitted.append(one)
            progress.files += 1
            progress.bytes += size_bytes
            share = progress.share_of(one)
            share.files += 1
            share.bytes += size_bytes
            if is_here:
                progress.here_files += 1
                progress.here_bytes += size_bytes
                share.done_files += 1
                share.done_bytes += size_bytes
            else:
                progress.missing[one.revision.tier] += size_bytes
                if terms.fetch and entry.digest is not None and not is_stale:
                    self._expected[one.path] = entry.digest
                missing.append(one)
        if terms.found is not None and admitted:
            await terms.found(admitted)
        return missing if terms.fetch else []

    async def _find(self, page: Sequence[Entry]) -> list[tuple[Entry, Found]]:
        progress, readable = self._progress, self._terms.readable
        answers = await self._finder.find_many([one.path for one in page], self._terms.visible)
        found: list[tuple[Entry, Found]] = []
        for entry, answer in zip(page, answers, strict=True):
            progress.entries += 1
            if isinstance(answer, Absent):
                self._note_absent(answer)
            elif readable is not None and not readable(answer):
                self._note_absent(Absent(entry.path, Absence.FORBIDDEN, "you may not read it"))
            else:
                found.append((entry, answer))
        return found

    def _allows(self, size_bytes: int) -> bool:
        terms = self._terms
        if terms.files_max is not None and self._asked_files + 1 > terms.files_max:
            return False
        if terms.bytes_max is not None and self._asked_bytes + size_bytes > terms.bytes_max:
            return False
        if not self._fits(size_bytes):
            return False
        self._asked_files += 1
        self._asked_bytes += size_bytes
        return True

    def _fits(self, size_bytes: int) -> bool:
        """Whether the cache can hold one file more, beside what is pinned or wanted and here.

        Otherwise the last files of a large prewarm would push out its first ones. Where the run
        pins what it wants, an earlier one did too: then what is here is what is pinned.
        """
        room, progress = self._room, self._progress
        both = max if self._terms.pins else _sum
        beside_bytes = both(room.pinned_bytes, progress.here_bytes)
        beside_files = both(room.pinned_files, progress.here_files)
        if not self._terms.fetch or (
            self._asked_bytes + beside_bytes + size_bytes <= room.bytes_max
            and self._asked_files + beside_files < room.files_max
        ):
            return True
        progress.stopped = Stop.CACHE_FULL
        progress.reason = (
            f"the cache holds {rounded_size(room.bytes_max)} and {room.files_max} files,"
            f" {rounded_size(room.pinned_bytes)} of it pinned"
        )
        if room.by_disk:
            progress.reason += f": {room.by_disk}"
        return False

    def _note_absent(self, absent: Absent) -> None:
        self._progress.absent[absent.absence] += 1
        if absent.absence is not Absence.OUTPUT:  # that is here
            self._progress.note_problem(absent.path, absent.reason)

    def _compare(self, entry: Entry, found: Found) -> bool:
        """Whether the origin has other content than the manifest says, which is noted."""
        revision = found.revision
        said = revision.checksums.xxh128
        differs = entry.size_bytes not in (None, revision.size_bytes) or (
            entry.digest is not None and said is not None and entry.digest != said
        )
        if differs:
            self._progress.note_stale(found.path)
        return differs

    async def _fetch(self, pages: trio.MemoryReceiveChannel[list[Found]]) -> None:
        async with pages:
            async for page in pages:
                replaced: list[Found] = []

                def note(
                    found: Found,
                    outcome: Digest | ShotfsError,
                    replaced: list[Found] = replaced,
                ) -> None:
                    if isinstance(outcome, RevisionChanged):
                        replaced.append(found)
                    else:
                        self._note(found, outcome)

                await fetch_page(self._cache, page, self._terms.asker, note)
                if replaced:
                    await self._fetch_again(replaced)

    async def _fetch_again(self, replaced: Sequence[Found]) -> None:
        """Fetch what lies where *replaced* did: what was known of it had not run out yet.

        Who opens such a file gets what is there now, so that is what is to be here.
        """
        now: list[Found] = []
        turns = trio.CapacityLimiter(CONFIRMED_AT_ONCE)

        async def confirm(one: Found) -> None:
            async with turns:
                try:
                    again = await self._finder.find_again(one)
                except ShotfsError as exc:
                    self._note(one, exc)
                    return
            self._recount(one, again)
            if again is None:
                self._expected.pop(one.path, None)
                self._note_absent(Absent(one.path, Absence.MISSING, "it was deleted meanwhile"))
            else:
                now.append(again)

        async with trio.open_nursery() as nursery:
            for one in replaced:
                nursery.start_soon(confirm, one)
        if now and self._terms.found is not None:
            await self._terms.found(now)
        await fetch_page(self._cache, now, self._terms.asker, self._note)

    def _recount(self, had: Found, again: Found | None) -> None:
        """Note that *again* is what *had* was counted as; None: there is no such file."""
        progress, share = self._progress, self._progress.share_of(had)
        more_bytes = (0 if again is None else again.revision.size_bytes) - had.revision.size_bytes
        progress.bytes += more_bytes
        progress.missing[had.revision.tier] += more_bytes
        share.bytes += more_bytes
        if again is None:
            progress.files -= 1
            share.files -= 1

    def _note(self, found: Found, outcome: Digest | ShotfsError) -> None:
        progress, size_bytes = self._progress, found.revision.size_bytes
        expected = self._expected.pop(found.path, None)
        if isinstance(outcome, ShotfsError):
            stop = _stop_of(outcome)
            if stop is not None:
                if progress.stopped is None:
                    progress.stopped, progress.reason = stop, outcome.message
                self._scope.cancel()
                return
            progress.failed_files += 1
            progress.note_problem(found.path, outcome.message)
            return
        if expected not in (None, outcome):
            self._progress.note_stale(found.path)
        self._kept.add(outcome)
        share = progress.share_of(found)
        progress.fetched_files += 1
        progress.fetched_bytes += size_bytes
        share.done_files += 1
        share.done_bytes += size_bytes


@dataclass(frozen=True, slots=True)
class _Room:
    """What the cache can hold, and how much of it is pinned; of the moment when a run began.

    `by_disk` says why its disk is the limit, and not what it may hold; "": it is not.
    """

    bytes_max: int
    files_max: int
    pinned_bytes: int
    pinned_files: int
    by_disk: str


def _sum(one: int, other: int) -> int:
    return one + other


def _room_of(stats: CacheStats) -> _Room:
    disk = stats.bytes + stats.disk_free_bytes - stats.disk_free_bytes_min
    by_disk = ""
    if disk < stats.bytes_max:
        by_disk = (
            f"its disk has {rounded_size(stats.disk_free_bytes)} free, and"
            f" {rounded_size(stats.disk_free_bytes_min)} of it stay free (cache.free_bytes_min)"
        )
    room = max(0, min(stats.bytes_max, disk))
    return _Room(room, stats.files_max, stats.pinned_bytes, stats.pinned_files, by_disk)


def _stop_of(error: ShotfsError) -> Stop | None:
    """Return why nothing more can come after *error*; None: other files may."""
    if isinstance(error, CacheFull):
        return Stop.CACHE_FULL
    return Stop.EGRESS if isinstance(error, EgressSpent) else None
