"""Lookup: what the origins have under a path, asked as seldom as the policy allows.

Owns the catalog's use, negative entries, and listings; what an application may do with an answer
decides `vfs`. One event loop; every question that goes out is asked once, however many wait. An
answer that this node has overtaken by publishing or deleting meanwhile is corrected first.
"""

from __future__ import annotations

import logging
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace

import trio

from shotfs.errors import ObjectNotFound
from shotfs.namespace.catalog import Catalog, Entry
from shotfs.namespace.kept_listings import KeptListings
from shotfs.namespace.known_directories import KnownDirectories, ancestors
from shotfs.namespace.listing import (
    Listing,
    ListingCache,
    ListingChanges,
    ListingStamp,
    list_origins,
)
from shotfs.namespace.outage import Outages
from shotfs.namespace.single_flight import SingleFlight
from shotfs.namespace.tier_pool import TierSource, tier_name
from shotfs.observe.metrics import Metrics
from shotfs.pathspec import DirectoryMatch, Immutable, Policy, Resolution
from shotfs.tiers.base import Revision

log = logging.getLogger(__name__)

NEGATIVE_ENTRIES_MAX = 50_000
"""Missing paths remembered; one takes about 200 bytes."""

REMOVED_MAX = 5_000
"""Removed paths remembered, so that a listing that began before does not bring them back."""


class Namespace:
    """Answers what the origins have, from the catalog where the policy allows it.

    Args:
        catalog: what was learned before.
        tiers: whom to ask.
        nursery: where questions run; it must outlive every caller.
        metrics: counts answers from negative entries.
        kept: where listings outlive their time and a restart, for outages; None: nowhere.
        monotonic_s: a clock for times to live that a test may replace.
        wall_s: the time of day, seconds since the epoch; likewise.
    """

    def __init__(
        self,
        catalog: Catalog,
        tiers: TierSource,
        nursery: trio.Nursery,
        metrics: Metrics,
        *,
        kept: KeptListings | None = None,
        monotonic_s: Callable[[], float] = time.monotonic,
        wall_s: Callable[[], float] = time.time,
    ) -> None:
        self._catalog = catalog
        self._tiers = tiers
        self._metrics = metrics
        self._kept = kept
        self._outages = Outages(metrics, monotonic_s=self._clock_s, wall_s=self._clock_wall_s)
        self._now_s = monotonic_s
        self._wall_s = wall_s
        self._generation = 0
        self._stats: SingleFlight[str, Entry | None] = SingleFlight(nursery)
        self._lists: SingleFlight[str, Listing] = SingleFlight(nursery)
        self._listings = ListingCache()
        self._changes = ListingChanges()
        self._missing: OrderedDict[str, float] = OrderedDict()
        self._directories = KnownDirectories(
            catalog, tiers, nursery, listed=self._listed_directory, monotonic_s=self._clock_s
        )
        self._removed: OrderedDict[str, float] = OrderedDict()
        # What was published (None: removed) while a question about the directory is under way.
        self._since_listing: dict[str, list[tuple[str, Revision | None]]] = {}

    @property
    def catalog(self) -> Catalog:
        """What this node knows of paths, for those who look at it as a whole."""
        return self._catalog

    def _clock_s(self) -> float:
        return self._now_s()

    def _clock_wall_s(self) -> float:
        return self._wall_s()

    def respecified(self, show: str) -> None:
        """Note that another specification is in force for *show*.

        Forgets what was believed about names. Revisions stay known: they are of a tier and a key.
        """
        self._generation += 1
        self._changes.note_all()
        self._stats.restart()
        self._lists.restart()
        self._directories.respecified(show)
        self._listings.forget_below(show)
        prefix = f"{show}/"
        for path in [one for one in self._missing if one == show or one.startswith(prefix)]:
            del self._missing[path]

    # --- files -----------------------------------------------------------------------------------

    def fresh_for_s(self, entry: Entry, policy: Policy, *, max_s: float) -> float:
        """Return how long *entry* may still be trusted, in seconds, at most *max_s*."""
        if policy.immutable is Immutable.ON_CLOSE and entry.settled:
            return max_s
        age_s = self._wall_s() - entry.checked_s
        return max(0.0, min(max_s, policy.ttl_s - age_s)) if age_s >= 0 else 0.0

    async def known(self, path: str, policy: Policy) -> Entry | None:
        """Return the entry of *path* if there is one and the policy trusts it. Asks no origin."""
        entry = await self._catalog.get(path)
        return entry if entry is not None and self._fresh(entry, policy) else None

    def recalled(self, path: str, policy: Policy) -> Entry | None:
        """As `known`, of what is in memory."""
        entry = self._catalog.peek(path)
        return entry if entry is not None and self._fresh(entry, policy) else None

    async def glance(self, wanted: Mapping[str, Policy]) -> dict[str, Entry]:
        """Return what `known` does of each path that has it, and keep nothing of it in memory."""
        found = await self._catalog.look(list(wanted))
        return {path: one for path, one in found.items() if self._fresh(one, wanted[path])}

    def known_missing(self, path: str) -> bool:
        """Whether the origin had nothing under *path*, and that counts: nor has the catalog."""
        until_s = self._missing.get(path)
        if until_s is None or self._now_s() >= until_s:
            return False
        self._metrics.negative_hits.inc()
        return True

    async def find(self, path: str, resolution: Resolution) -> Entry | None:
        """Return what the origin has under *path*, or None if it has nothing.

        Args:
            path: mount-relative, the catalog's key.
            resolution: what the specification says of it.

        Raises:
            TierError: the origin had to be asked and could not answer.
        """
        policy = resolution.template.policy
        if self.known_missing(path):
            return None
        entry = await self._catalog.get(path)
        if entry is not None and self._fresh(entry, policy):
            return entry
        if entry is None and self._listed_missing(path, policy):
            self._metrics.negative_hits.inc()
            return None
        kept = entry if entry is not None and self._known_from(entry, policy) else None
        if kept is None or not self.outlives(policy, kept.checked_s):
            return await self._stats.do(path, lambda: self._ask(path, resolution))
        return await self._outages.ask_or_keep(
            policy.origin,
            path,
            kept,
            lambda: self._stats.do(path, lambda: self._ask(path, resolution)),
        )

    def outlives(self, policy: Policy, checked_s: float) -> bool:
        """Whether what was learned then may be shown now if its origin is away: `Outages`."""
        return self._outages.outlives(policy, checked_s)

    async def confirm(self, path: str, resolution: Resolution) -> Entry | None:
        """Ask the origin now, whatever is known, listings too. Returns and raises as `find`."""
        entry = await self._stats.do(path, lambda: self._ask(path, resolution))
        if entry is not None:
            for directory in self._listings.lacking(path, entry.revision):
                self._listings.forget(directory)
                self._changes.note(directory)
        return entry

    def missing_for_s(self, path: str, ttl_s: float) -> float:
        """Return how long *path*, which was just found missing, may still be believed to be.

        Args:
            path: mount-relative, as a file, a directory or both.
            ttl_s: its negative time to live, which began when its origin was asked.
        """
        now_s = self._now_s()
        ends_s = [self._missing.get(path, 0.0)]
        until_s = self._directories.missing_until_s(path)
        if until_s is not None:
            ends_s.append(until_s)
        listing = self._listings.get(path.rpartition("/")[0])
        if listing is not None:
            ends_s.append(listing.listed_s + ttl_s)
        # An end that is past says nothing: another source answered.
        return min([ttl_s, *(end_s - now_s for end_s in ends_s if end_s > now_s)])

    async def recall(self, paths: Iterable[str]) -> None:
        """Bring what is known of *paths* into memory; call before `listed`, for a few hundred."""
        await self._catalog.load(paths)
        await self._catalog.settle()

    def listed(self, path: str, revision: Revision, policy: Policy, *, listed_at_s: float) -> Entry:
        """Return the entry of a file that a listing shows, and learn it if the listing is news.

        Args:
            path: mount-relative; `recall` was called for it.
            revision: what the listing said.
            policy: of its template.
            listed_at_s: when the listing began, seconds since the epoch; -inf: of a kept listing,
                from which nothing is learned.
        """
        known = self._catalog.peek(path)
        settled = policy.immutable is Immutable.ON_CLOSE
        if known is not None and known.revision.tier == revision.tier:
            if listed_at_s <= known.checked_s <= self._wall_s():
                return known
            if known.revision == revision and settled and known.settled:
                # Nothing to learn, and no write for each entry of each listing.
                return known
        if known is not None and known.revision == revision:
            # Equal, but a stat may have brought checksums that listings do not carry.
            revision = known.revision
        settled = settled and listed_at_s > float("-inf")
        entry = Entry(revision, listed_at_s, _kept_identity(known, revision), settled)
        if self._removed.get(path, float("-inf")) < listed_at_s:
            self._catalog.put(path, entry)
            self._missing.pop(path, None)
            self._directories.note_above(path)
        return entry

    def sealed(self, path: str, revision: Revision) -> Entry:
        """Return the entry of a file of a sealed version, whatever was known of it before.

        Args:
            path: mount-relative; `recall` was called for it.
            revision: what the version's manifest says that it is, for ever.
        """
        known = self._catalog.peek(path)
        if known is not None and known.revision == revision:
            return known
        entry = Entry(revision, self._wall_s())
        self._catalog.put(path, entry)
        self._missing.pop(path, None)
        return entry

    def published(self, path: str, revision: Revision, *, identity: int) -> None:
        """Note that this node put *revision* under *path*; its directories exist now.

        *revision* is what the `put` returned; for *identity* see `Entry.identity`.
        """
        self._catalog.put(path, Entry(revision, self._wall_s(), identity))
        self._missing.pop(path, None)
        self._directories.published(path)
        if self._kept is not None:
            self._kept.changed(path, revision)
        self._correct_listings(path, revision)
        for directory in ancestors(path):
            self._listings.forget(directory)
            self._changes.note(directory)

    async def renumber(
        self, path: str, revision: Revision, identity: int, renewed: Callable[[int], int]
    ) -> int:
        """Give what is known of *path* another `Entry.identity`, if it still is *revision*.

        Args:
            path: mount-relative.
            revision: whose identity changes.
            identity: of the revision, where the entry has none of its own.
            renewed: from the identity that it has to the one that it gets.

        Returns:
            The identity that it had.
        """
        entry = await self._catalog.get(path)
        if entry is None or entry.revision != revision:
            return identity
        had = identity if entry.identity is None else entry.identity
        self._changes.note(path.rpartition("/")[0])
        self._catalog.put(path, replace(entry, identity=renewed(had)))
        return had

    def removed(self, path: str) -> None:
        """Note that *path* is gone from its origin, or has another revision than we thought."""
        self._catalog.forget(path)
        self._missing.pop(path, None)
        self._removed[path] = self._wall_s()
        self._removed.move_to_end(path)
        if len(self._removed) > REMOVED_MAX:
            self._removed.popitem(last=False)
        if self._kept is not None:
            self._kept.changed(path, None)
        self._correct_listings(path, None)
        for directory in ancestors(path):
            # Whatever lay in them, it may have been the last.
            self._listings.forget(directory)
            self._changes.note(directory)
            self._directories.forget(directory)

    def forget_file(self, path: str) -> None:
        """Drop what is known of the file *path*, because a directory of that name hides it."""
        self._changes.note(path.rpartition("/")[0])
        self._catalog.forget(path)

    @staticmethod
    def _known_from(entry: Entry, policy: Policy) -> bool:
        """Whether *entry* was not learned when the specification said another origin."""
        return entry.revision.tier == tier_name(policy.origin)

    def _fresh(self, entry: Entry, policy: Policy) -> bool:
        known = self._known_from(entry, policy)
        return known and self.trusts(policy, entry.checked_s, settled=entry.settled)

    def trusts(self, policy: Policy, checked_s: float, *, settled: bool) -> bool:
        """Whether what its origin said then of a file counts; for *settled* see `Entry`."""
        for_ever = settled and policy.immutable is Immutable.ON_CLOSE
        # An entry from the future was written when the clock was ahead: it is worth nothing.
        return for_ever or 0 <= self._wall_s() - checked_s < policy.ttl_s

    def _listed_missing(self, path: str, policy: Policy) -> bool:
        parent, _, name = path.rpartition("/")
        listing = self._listings.get(parent)
        if listing is None or self._now_s() - listing.listed_s >= policy.negative_ttl_s:
            return False
        return listing.covers(policy.origin) and listing.revision(policy.origin, name) is None

    async def _ask(self, path: str, resolution: Resolution) -> Entry | None:
        policy = resolution.template.policy
        generation = self._generation
        tier = await self._tiers.get(policy.origin)
        while True:
            before, removed_before = self._catalog.peek(path), self._removed.get(path)
            asked_at_s = self._wall_s()
            revision: Revision | None
            try:
                revision = await tier.stat(resolution.key)
            except ObjectNotFound:
                revision = None
            known = self._catalog.peek(path)
            if known is not None and known is not before and known.checked_s >= asked_at_s:
                # Published from here while the origin was thinking.
                return known
            if self._removed.get(path) == removed_before:
                break
        if revision is None:
            if known is not None or self._listings.shows(path, policy.origin):
                # Listings of before would bring it back; an immutable path even for ever.
                self.removed(path)
            if generation == self._generation:
                self._remember_missing(path, policy.negative_ttl_s)
            return None
        settled = policy.immutable is Immutable.ON_CLOSE
        entry = Entry(revision, asked_at_s, _kept_identity(known, revision), settled)
        if known is None or known.revision != revision:
            self._changes.note(path.rpartition("/")[0])  # a listing shows its inode, too
        self._catalog.put(path, entry)
        self._missing.pop(path, None)
        self._directories.note_above(path)
        return entry

    def _remember_missing(self, path: str, ttl_s: float) -> None:
        self._missing[path] = self._now_s() + ttl_s
        self._missing.move_to_end(path)
        if len(self._missing) > NEGATIVE_ENTRIES_MAX:
            self._missing.popitem(last=False)

    # --- directories -----------------------------------------------------------------------------

    def knows_directory(self, path: str) -> bool:
        """Whether an origin had objects below *path* when it was asked, and that still counts."""
        return self._directories.knows(path)

    async def has_directory(self, path: str, prefix: str, match: DirectoryMatch) -> bool:
        """Whether an origin has an object below *prefix*.

        A directory that was there last time is taken for granted while its origin is slow or gone.

        Args:
            path: mount-relative path of the directory.
            prefix: its key in the origins.
            match: what the specification says of the directory.

        Raises:
            TierError: an origin had to be asked and could not answer.
        """
        return await self._directories.has(path, prefix, match)

    async def must_guess(self, match: DirectoryMatch) -> bool:
        """Whether some origin of *match* cannot say what directories it has."""
        for origin in match.origins:
            if not (await self._tiers.get(origin)).properties.listable:
                return True
        return False

    def has_listing(self, path: str, match: DirectoryMatch) -> bool:
        """Whether `listing` would answer from memory."""
        listing = self._listings.get(path)
        return listing is not None and self._now_s() - listing.listed_s < match.ttl_s

    async def listing(self, path: str, prefix: str, match: DirectoryMatch) -> Listing:
        """Return the children of *prefix* in every origin that may hold some.

        Raises:
            TierError: an origin could not answer, or the directory is too large to list.
        """
        listing = self._listings.get(path)
        if listing is not None and self._now_s() - listing.listed_s < match.ttl_s:
            return listing
        return await self._lists.do(path, lambda: self._list(path, prefix, match))

    def stamp(self, path: str, listing: Listing | None, match: DirectoryMatch) -> ListingStamp:
        """Return what tells whether *listing* is what *path* shows; None: no origin matters."""
        if listing is None:
            return ListingStamp(self._changes.of(path), float("inf"))
        return ListingStamp(listing.change, listing.listed_s + match.ttl_s)

    def unchanged(self, path: str, stamp: ListingStamp) -> bool:
        """Whether a listing of *path* with that *stamp* is what it shows now."""
        return self._changes.of(path) == stamp.change and self._now_s() < stamp.until_s

    async def kept_listing(self, path: str, match: DirectoryMatch) -> Listing | None:
        """Return what *path* held when it was listed last; None if that is not known whole.

        For when its origins are away: it may be of any age, and is not learned from.
        """
        kept = self._listings.get(path)
        if kept is None and self._kept is not None:
            kept = await self._kept.get(path)
        if kept is None:
            return None
        opened = {origin: self._tiers.opened(origin) for origin in match.origins}
        mute = {one for one, tier in opened.items() if tier and not tier.properties.listable}
        return kept.of_origins(match.origins, mute)

    async def list_again(self, path: str, prefix: str, match: DirectoryMatch) -> Listing:
        """As `listing`, but ask the origins now, whatever is known."""
        listing = await self._lists.do(path, lambda: self._list(path, prefix, match))
        # What was known of the directory itself is older than that.
        self._directories.forget(path)
        return listing

    def forget_missing_below(self, path: str) -> None:
        """Ask again about whatever is believed to be missing below the directory *path*."""
        prefix = f"{path}/"
        for missing in [one for one in self._missing if one.startswith(prefix)]:
            del self._missing[missing]
        self._directories.forget_missing_below(path)

    def _listed_directory(self, path: str, match: DirectoryMatch) -> bool | None:
        """Return what a recent listing of its parent says of *path*; None if it cannot say."""
        parent, _, name = path.rpartition("/")
        listing = self._listings.get(parent)
        if listing is None or self._now_s() - listing.listed_s >= match.negative_ttl_s:
            return None
        if listing.has_directory(name):
            return True
        return False if all(listing.covers(origin) for origin in match.origins) else None

    async def _list(self, path: str, prefix: str, match: DirectoryMatch) -> Listing:
        generation, listed_s, listed_at_s = self._generation, self._now_s(), self._wall_s()
        since = self._since_listing[path] = []
        try:
            parts = await list_origins(self._tiers, match.origins, prefix)
        finally:
            del self._since_listing[path]
        for part in parts:
            tier = self._tiers.opened(part.origin)
            assert tier is not None
            for name, revision in since:
                part.correct(name, revision, tier=tier.name)
        listing = Listing(tuple(parts), listed_s, listed_at_s, self._changes.note(path))
        if generation == self._generation:
            self._listings.put(path, listing)
            if self._kept is not None:
                self._kept.note(path, listing)
        return listing

    def _correct_listings(self, path: str, revision: Revision | None) -> None:
        """Tell the listings that are under way what this node has just done."""
        parent, _, name = path.rpartition("/")
        if parent in self._since_listing:
            self._since_listing[parent].append((name, revision))
        while revision is not None and parent:
            parent, _, name = parent.rpartition("/")
            if parent in self._since_listing:
                self._since_listing[parent].append((f"{name}/", revision))


def _kept_identity(known: Entry | None, revision: Revision) -> int | None:
    return known.identity if known is not None and known.revision == revision else None
