"""Listings: the direct children of a directory, as the origins had them at one moment."""

from __future__ import annotations

import errno
from collections import OrderedDict
from collections.abc import Collection, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field

import trio

from shotfs.errors import TierError
from shotfs.namespace.tier_pool import TierSource
from shotfs.tiers.base import Revision, Tier

LISTED_ENTRIES_MAX = 1_000_000
"""The largest directory that is listed at all; a larger one is an error that says so."""

KEPT_ENTRIES_MAX = 20_000
"""Entries of all listings kept in memory; one takes about 500 bytes."""

CHANGED_DIRECTORIES_MAX = 20_000
"""Directories whose last change is remembered; one takes about 200 bytes."""


@dataclass(slots=True)
class OriginListing:
    """What one origin has directly below one prefix.

    Attributes:
        origin: the origin's URL, as the specification writes it.
        objects: file name to revision.
        prefixes: names of directories.
    """

    origin: str
    objects: dict[str, Revision] = field(default_factory=dict)
    prefixes: set[str] = field(default_factory=set)

    def __len__(self) -> int:
        return len(self.objects) + len(self.prefixes)

    def correct(self, name: str, revision: Revision | None, *, tier: str) -> None:
        """Apply what was done while the listing was under way.

        Args:
            name: of a file, or with a slash at its end of a directory with something new in it.
            revision: what was published; None: the file was removed.
            tier: name of the tier of this origin.
        """
        if revision is None:
            self.objects.pop(name, None)
        elif revision.tier == tier:
            if name.endswith("/"):
                self.prefixes.add(name[:-1])
            else:
                self.objects[name] = revision


@dataclass(frozen=True, slots=True)
class Listing:
    """A directory's children in every origin that may hold some.

    Attributes:
        parts: one for each origin that can be listed.
        listed_s: when, on the monotonic clock, the first question was asked.
        listed_at_s: the same moment, seconds since the epoch.
        change: of the directory when it was listed, see `ListingChanges`.
    """

    parts: tuple[OriginListing, ...]
    listed_s: float
    listed_at_s: float
    change: int = -1

    def __len__(self) -> int:
        return sum(len(part) for part in self.parts)

    def has_directory(self, name: str) -> bool:
        """Whether some origin has objects below *name*."""
        return any(name in part.prefixes for part in self.parts)

    def covers(self, origin: str) -> bool:
        """Whether *origin* was listed, so that what is not here does not exist there."""
        return any(part.origin == origin for part in self.parts)

    def directories(self, origin: str) -> set[str]:
        """Return the names of the directories that *origin* has."""
        return next((part.prefixes for part in self.parts if part.origin == origin), set())

    def of_origins(self, origins: Sequence[str], mute: Collection[str]) -> Listing | None:
        """Return the part of it that *origins* have; None: one was not listed, though not *mute*.

        Args:
            origins: root URLs.
            mute: those that cannot be listed.
        """
        parts = {part.origin: part for part in self.parts}
        if any(origin not in parts and origin not in mute for origin in origins):
            return None
        found = tuple(parts[origin] for origin in origins if origin in parts)
        return Listing(found, self.listed_s, self.listed_at_s, self.change)

    def revision(self, origin: str, name: str) -> Revision | None:
        """Return the revision of the file *name* in *origin*."""
        for part in self.parts:
            if part.origin == origin:
                return part.objects.get(name)
        return None


@dataclass(frozen=True, slots=True)
class ListingStamp:
    """Tells whether a listing that somebody has is what the directory shows now.

    Attributes:
        change: see `ListingChanges`.
        until_s: when its time to live ends, on the monotonic clock.
    """

    change: int
    until_s: float


class ListingChanges:
    """Counts changes of listings, by directory; bounded.

    A directory has the number of its last change. Those that are not remembered any more, or never
    changed, have the number of the last one that was forgotten: then a listing counts as changed
    that did not, never the other way round.
    """

    def __init__(self, directories_max: int = CHANGED_DIRECTORIES_MAX) -> None:
        self._directories_max = directories_max
        self._last: OrderedDict[str, int] = OrderedDict()
        self._count = 0
        self._forgotten = 0

    def of(self, directory: str) -> int:
        """Return the number of the last change of *directory*."""
        return self._last.get(directory, self._forgotten)

    def note(self, directory: str) -> int:
        """Note that a listing of *directory* may show something else now; return its number."""
        self._count += 1
        self._last[directory] = self._count
        self._last.move_to_end(directory)
        if len(self._last) > self._directories_max:
            _, self._forgotten = self._last.popitem(last=False)
        return self._count

    def note_all(self) -> None:
        """Note that any listing may show something else now."""
        self._last.clear()
        self._count += 1
        self._forgotten = self._count


async def list_origin(tier: Tier, origin: str, prefix: str) -> OriginListing:
    """Return all direct children of *prefix* in *tier*.

    Raises:
        TierError: as `Tier.list`; EOVERFLOW for more than `LISTED_ENTRIES_MAX` entries.
    """
    listing = OriginListing(origin)
    async with aclosing(tier.list(prefix)) as pages:
        async for page in pages:
            for revision in page.objects:
                listing.objects[revision.key.rpartition("/")[2]] = revision
            listing.prefixes.update(page.prefixes)
            if len(listing) > LISTED_ENTRIES_MAX:
                raise TierError(
                    f"{tier.name}/{prefix} has more than {LISTED_ENTRIES_MAX} entries",
                    fix="split it: deeper directories in the templates of the specification",
                    errno=errno.EOVERFLOW,
                )
    return listing


async def list_origins(
    tiers: TierSource, origins: Sequence[str], prefix: str
) -> list[OriginListing]:
    """Return all direct children of *prefix* in each of *origins* that can be listed.

    What a store has that cannot list is found by asking for it.

    Raises:
        TierError: as `list_origin`, for the first one that failed.
    """
    parts: dict[str, OriginListing] = {}
    failures: list[TierError] = []

    async def one(origin: str) -> None:
        # Kept for the caller instead of raised: an exception group says less.
        try:
            tier = await tiers.get(origin)
            if tier.properties.listable:
                parts[origin] = await list_origin(tier, origin, prefix)
        except TierError as exc:
            failures.append(exc)

    async with trio.open_nursery() as nursery:
        for origin in origins:
            nursery.start_soon(one, origin)
    if failures:
        raise failures[0]
    return [parts[origin] for origin in origins if origin in parts]


class ListingCache:
    """Recent listings, bounded by the number of entries of all of them together."""

    def __init__(self) -> None:
        self._listings: OrderedDict[str, Listing] = OrderedDict()
        self._entries = 0

    def get(self, path: str) -> Listing | None:
        """Return the kept listing of *path*, however old."""
        return self._listings.get(path)

    def put(self, path: str, listing: Listing) -> None:
        """Keep *listing*, unless it alone is too large."""
        self.forget(path)
        if len(listing) > KEPT_ENTRIES_MAX:
            return
        self._listings[path] = listing
        self._entries += len(listing)
        while self._entries > KEPT_ENTRIES_MAX:
            _, dropped = self._listings.popitem(last=False)
            self._entries -= len(dropped)

    def forget_below(self, path: str) -> None:
        """Drop the listings of *path* and of everything in it."""
        prefix = f"{path}/"
        for kept in [kept for kept in self._listings if kept == path or kept.startswith(prefix)]:
            self.forget(kept)

    def forget(self, path: str) -> None:
        """Drop the listing of *path*."""
        dropped = self._listings.pop(path, None)
        if dropped is not None:
            self._entries -= len(dropped)

    def shows(self, path: str, origin: str) -> bool:
        """Whether the kept listing of its directory has the file *path* in *origin*."""
        parent, _, name = path.rpartition("/")
        listing = self._listings.get(parent)
        return listing is not None and listing.revision(origin, name) is not None

    def lacking(self, path: str, revision: Revision) -> list[str]:
        """Return the directories whose kept listings do not show that *path* is *revision* now."""
        found = []
        parent, _, name = path.rpartition("/")
        listing = self._listings.get(parent)
        if listing is not None:
            shown = [part.objects.get(name) for part in listing.parts]
            if not any(one is not None and _same(one, revision) for one in shown):
                found.append(parent)
        while parent:
            parent, _, name = parent.rpartition("/")
            listing = self._listings.get(parent)
            if listing is not None and not listing.has_directory(name):
                found.append(parent)
        return found


def _same(listed: Revision, known: Revision) -> bool:
    """Whether both are one revision; a listing may know fewer checksums of it."""
    return (listed.tier, listed.version) == (known.tier, known.version)
