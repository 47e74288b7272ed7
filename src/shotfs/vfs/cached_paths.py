"""What is cached, by path: listing it, pinning it, fetching it ahead, and letting it go.

Paths become revisions here, and blobs become paths again; what pins and evicts is the cache.
"""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator, Iterable, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field

import trio

from shotfs.cache import Asker, Cache, FetchClass
from shotfs.cache.index import Entry, Pin, identity_of
from shotfs.digest import Digest
from shotfs.errors import InvalidArgument, PathNotFound, ShotfsError
from shotfs.namespace import TierPool
from shotfs.namespace.paths_of import paths_of
from shotfs.tiers.base import Revision
from shotfs.vfs import paths
from shotfs.vfs.directories import Directories
from shotfs.vfs.finder import NodeFinder
from shotfs.vfs.nodes import Missing, Published
from shotfs.vfs.published_files import published_below

PAGE = 1_000
"""Rows that are asked for at once."""

SCANNED_MAX = 10_000
"""Blobs that one answer looks at for those below a path; the cursor says where to go on."""

FETCHES_AT_ONCE = 32
"""Files of one command that are fetched at the same time; the scheduler decides about requests."""

OWNERS_MAX = 100
"""Owners of pins of one file that are told."""

ERRORS_MAX = 20
"""Files that a report names; how many failed is always told."""


@dataclass(frozen=True, slots=True)
class CachedEntry:
    """One blob of the cache.

    Attributes:
        digest: its name.
        size_bytes: of its content.
        paths: that show it, mount-relative, sorted; () where no specification has it any more.
        pinned, open, proven: as `cache.index.Entry`.
    """

    digest: Digest
    size_bytes: int
    paths: tuple[str, ...]
    pinned: bool
    open: bool
    proven: bool


@dataclass(frozen=True, slots=True)
class EntryPage:
    """Part of a listing.

    Attributes:
        entries: in the order that was asked for.
        after: cursor of what follows; None: that was all.
    """

    entries: tuple[CachedEntry, ...]
    after: str | None


@dataclass(frozen=True, slots=True)
class PinnedPath:
    """A pin.

    Attributes:
        path: mount-relative; None where no specification has it any more.
        key, tier, size_bytes, owner, until_s, cached: as `cache.index.Pin`.
    """

    path: str | None
    tier: str
    key: str
    size_bytes: int
    owner: str
    until_s: float | None
    cached: bool


@dataclass(frozen=True, slots=True)
class Kept:
    """What was pinned: how many files and bytes, and how many of these are here already."""

    files: int
    bytes: int
    cached_files: int
    cached_bytes: int


@dataclass(frozen=True, slots=True)
class Dropped:
    """What was evicted, and what was not: nobody takes what is open or pinned.

    Attributes:
        files, bytes: evicted.
        open, pinned, absent: files that were not, because of that.
    """

    files: int
    bytes: int
    open: int
    pinned: int
    absent: int


@dataclass(slots=True)
class Fetching:
    """A command that fetches ahead.

    Attributes:
        files, bytes: that it wants.
        done_files, done_bytes: that are here.
        failed_files: that did not come.
        errors: (path, why) of the first of them.
        ended: it has nothing more to do.
    """

    files: int
    bytes: int
    done_files: int = 0
    done_bytes: int = 0
    failed_files: int = 0
    errors: list[tuple[str, str]] = field(default_factory=list)
    ended: bool = False


class CachedPaths:
    """Answers by path what the cache knows by revision and digest.

    Args:
        finder: what lies under a path.
        directories: what lies in one.
        cache: published content.
        tiers: the origins.
    """

    def __init__(
        self, finder: NodeFinder, directories: Directories, *, cache: Cache, tiers: TierPool
    ) -> None:
        self._finder = finder
        self._directories = directories
        self._cache = cache
        self._tiers = tiers
        self._thread = trio.CapacityLimiter(1)

    # --- what is here ----------------------------------------------------------------------------

    async def entries(self, below: str, after: str, limit: int, order: str) -> EntryPage:
        """Return a page of what is here.

        Args:
            below: only what is shown at or below this path; "" for everything.
            after: cursor of the page before, "" to begin.
            limit: of the page.
            order: "digest"; "size", the largest first; "used", the latest first.

        Raises:
            InvalidArgument: *after* is no cursor of that order.
        """
        found: list[CachedEntry] = []
        scanned = 0
        while len(found) < limit and scanned < SCANNED_MAX:
            wanted = PAGE if below else min(PAGE, limit - len(found))
            rows = await self._rows(after, wanted, order)
            for row, shown in zip(rows, await self._shown(rows), strict=True):
                after = row.cursor
                if not below or any(lies_in(path, below) for path in shown):
                    found.append(_entry(row, shown))
                    if len(found) == limit:
                        return EntryPage(tuple(found), after)
            scanned += len(rows)
            if len(rows) < wanted:
                return EntryPage(tuple(found), None)
        return EntryPage(tuple(found), after)

    async def _rows(self, after: str, limit: int, order: str) -> list[Entry]:
        if order not in ("digest", "size", "used"):
            raise InvalidArgument(f"{order!r} is no order", fix="use digest, size or used")
        try:
            return await self._cache.entries(after, limit, order)  # type: ignore[arg-type]  # checked above
        except ValueError as exc:
            raise InvalidArgument(
                f"{after!r} is no place in a listing by {order}", fix="begin without 'after'"
            ) from exc

    async def _shown(self, rows: Sequence[Entry]) -> list[tuple[str, ...]]:
        """Return the paths of each blob. In a thread: each takes 33 us and more (field notes)."""
        origins = await self._cache.inspector.origins([row.digest for row in rows])
        return await trio.to_thread.run_sync(
            lambda: [self._paths(one) for one in origins], limiter=self._thread
        )

    def _paths(self, origins: Iterable[Revision]) -> tuple[str, ...]:
        shows = self._finder.shows
        return tuple(sorted({path for one in origins for path, _ in paths_of(shows, one)}))

    # --- pins ------------------------------------------------------------------------------------

    async def pin(
        self, wanted: Sequence[str], owner: str, until_s: float | None, limit: int
    ) -> tuple[Kept, list[Published]]:
        """Pin the files *wanted*, and those below the directories among them.

        Args:
            wanted: mount-relative.
            owner: who wants it.
            until_s: until when, seconds since the epoch; None: until it is unpinned.
            limit: how many files at most.

        Raises:
            PathNotFound: there is no such file in its origin.
            InvalidArgument: more files than *limit*.
            CacheError: there are too many pins. Those before it are pinned: unpin them.
        """
        nodes = await self._published(wanted, limit)
        cached = [node for node in nodes if await self._cache.known(node.entry.revision)]
        for node in nodes:
            await self._cache.pin(node.entry.revision, owner, until_s)
        return Kept(len(nodes), _bytes(nodes), len(cached), _bytes(cached)), nodes

    async def unpin(self, wanted: Sequence[str], owner: str) -> int:
        """Remove the pins of *owner* at or below *wanted* ([""]: all); return how many.

        What the origin has now does not matter: a pin is of what it had then.
        """
        roots = frozenset(wanted)
        chosen = [
            pin
            async for pin in self._pins()
            if pin.owner == owner
            and any(lies_in_any(f"{show}/{pin.key}", roots) for show in self._finder.shows.names)
        ]
        for pin in chosen:
            await self._cache.unpin(pin, owner)
        return len(chosen)

    async def pins(self, owner: str, after: str, limit: int) -> tuple[list[PinnedPath], str | None]:
        """Return a page of pins, those of *owner* only unless it is "", and the next cursor."""
        found: list[Pin] = []
        cursor: str | None = None
        async with aclosing(self._pins(_pin_at(after))) as pins:
            async for pin in pins:
                if owner and pin.owner != owner:
                    continue
                found.append(pin)
                if len(found) == limit:
                    cursor = f"{pin.identity}/{pin.owner}"
                    break
        shown = await trio.to_thread.run_sync(
            lambda: [self._pinned(pin) for pin in found], limiter=self._thread
        )
        return shown, cursor

    async def pins_of(self, revision: Revision) -> list[Pin]:
        """Return the pins of *revision*, at most `OWNERS_MAX`."""
        identity = identity_of(revision)
        found = await self._cache.pins(_pin_at(f"{identity}/"), OWNERS_MAX)
        return [pin for pin in found if pin.identity == identity]

    def _pinned(self, pin: Pin) -> PinnedPath:
        revision = Revision(pin.tier, pin.key, pin.size_bytes, "", 0)
        shown = self._paths([revision])
        return PinnedPath(
            shown[0] if shown else None, pin.tier, pin.key, pin.size_bytes, pin.owner,
            pin.until_s, pin.cached,
        )  # fmt: skip

    async def _pins(self, after: Pin | None = None) -> AsyncGenerator[Pin, None]:
        while page := await self._cache.pins(after, PAGE):
            for pin in page:
                yield pin
            after = page[-1]

    # --- letting go ------------------------------------------------------------------------------

    async def evict(self, wanted: Sequence[str], limit: int) -> Dropped:
        """Evict what is cached of the files *wanted* and below the directories among them.

        Raises:
            PathNotFound, InvalidArgument: as `pin`.
        """
        nodes = await self._published(wanted, limit)
        return await self.drop([node.entry.revision for node in nodes])

    async def drop(self, revisions: Iterable[Revision]) -> Dropped:
        """Evict what is cached of *revisions*."""
        pinned = {pin.identity async for pin in self._pins()}
        digests: dict[Digest, int] = {}
        absent = 0
        for revision in revisions:
            digest = await self._cache.digest_of(revision)
            if digest is not None and await self._cache.known(revision):
                digests[digest] = revision.size_bytes
            else:
                absent += 1
        # Content that is shared is pinned by a pin of any of its revisions.
        shared = await self._cache.inspector.origins(list(digests))
        free = [
            digest
            for digest, revisions in zip(digests, shared, strict=True)
            if pinned.isdisjoint(map(identity_of, revisions))
        ]
        dropped = await self._cache.drop(free)
        return Dropped(
            files=len(dropped),
            bytes=sum(digests[one] for one in dropped),
            open=len(free) - len(dropped),
            pinned=len(digests) - len(free),
            absent=absent,
        )

    # --- fetching ahead --------------------------------------------------------------------------

    def fetching(self, nodes: Sequence[Published]) -> Fetching:
        """Return the report of a command that fetches *nodes*, before it has begun."""
        return Fetching(len(nodes), _bytes(nodes))

    async def fetch(self, nodes: Sequence[Published], asker: Asker, report: Fetching) -> None:
        """Fetch *nodes* with class prewarm, and note in *report* how far it is."""
        waiting = iter(nodes)

        async def work() -> None:
            for node in waiting:
                await self._fetch(node, asker, report)

        try:
            async with trio.open_nursery() as nursery:
                for _ in range(FETCHES_AT_ONCE):
                    nursery.start_soon(work)
        finally:
            report.ended = True

    async def _fetch(self, node: Published, asker: Asker, report: Fetching) -> None:
        revision = node.entry.revision
        try:
            tier = await self._tiers.reader(node.resolution.template.policy)
            await self._cache.fetch(tier, revision, fetch_class=FetchClass.PREWARM, asker=asker)
        except ShotfsError as error:
            report.failed_files += 1
            if len(report.errors) < ERRORS_MAX:
                report.errors.append((node.path, error.message))
            return
        report.done_files += 1
        report.done_bytes += revision.size_bytes

    # --- from paths to revisions -----------------------------------------------------------------

    async def _published(self, wanted: Sequence[str], limit: int) -> list[Published]:
        """Return the published files at and below *wanted*, each once.

        Raises:
            PathNotFound: one of *wanted* is not there.
            InvalidArgument: there are more than *limit*.
        """
        found: dict[str, Published] = {}
        for path in wanted:
            node = await self._finder.find(path)
            if isinstance(node, Missing):
                raise PathNotFound(
                    f"{path}: there is no such file or directory", fix=f"look: shotfs why {path}"
                )
            async with aclosing(published_below(self._finder, self._directories, node)) as files:
                async for one in files:
                    found[one.path] = one
                    if len(found) > limit:
                        raise InvalidArgument(
                            f"{path}: there are more than {limit} files",
                            fix="name a smaller directory, or allow more with --limit",
                        )
        return list(found.values())


def lies_in(path: str, directory: str) -> bool:
    """Whether *path* is *directory* or lies in it."""
    return path == directory or path.startswith(f"{directory}/")


def lies_in_any(path: str, directories: frozenset[str]) -> bool:
    """As `lies_in`, of several; "" is the mount itself. As fast for a thousand as for one."""
    while path and path not in directories:
        path = paths.parent(path)
    return path in directories


def _pin_at(cursor: str) -> Pin | None:
    """Return what stands at the place of a listing of pins where a page ended."""
    identity, _, owner = cursor.partition("/")
    if cursor and not re.fullmatch("[0-9a-f]{32}", identity):
        raise InvalidArgument(f"{cursor!r} is no place in a listing of pins")
    return Pin(identity, "", "", 0, owner, None, cached=False) if cursor else None


def _entry(row: Entry, shown: tuple[str, ...]) -> CachedEntry:
    return CachedEntry(row.digest, row.size_bytes, shown, row.pinned, row.open, row.proven)


def _bytes(nodes: Sequence[Published]) -> int:
    return sum(node.entry.revision.size_bytes for node in nodes)
