"""Lookup: what the origins have under a path, asked as seldom as the policy allows.

Owns the catalog's use, negative entries, and listings. Refuses to decide what an application may do
with an answer: that is `vfs`. One event loop; every question that goes out is asked once, however
many callers wait for it.
"""

from __future__ import annotations

import logging
import time
from collections import OrderedDict
from collections.abc import Callable
from contextlib import aclosing

import trio

from shotfs.errors import ObjectNotFound, TierError
from shotfs.namespace.catalog import Catalog, Entry
from shotfs.namespace.listing import Listing, ListingCache, OriginListing, list_origin
from shotfs.namespace.single_flight import SingleFlight
from shotfs.namespace.tier_pool import TierPool
from shotfs.observe.metrics import Metrics
from shotfs.pathspec import DirectoryMatch, Immutable, Policy, Resolution
from shotfs.tiers.base import Revision

log = logging.getLogger(__name__)

NEGATIVE_ENTRIES_MAX = 50_000
"""Missing paths remembered; one takes about 200 bytes."""

DIRECTORIES_MAX = 20_000
"""Directories whose existence is remembered."""


class Namespace:
    """Answers what the origins have, from the catalog where the policy allows it.

    Args:
        catalog: what was learned before.
        tiers: whom to ask.
        nursery: where questions run; it must outlive every caller.
        metrics: counts answers from negative entries.
        monotonic_s: a clock for times to live that a test may replace.
    """

    def __init__(
        self,
        catalog: Catalog,
        tiers: TierPool,
        nursery: trio.Nursery,
        metrics: Metrics,
        *,
        monotonic_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._catalog = catalog
        self._tiers = tiers
        self._metrics = metrics
        self._now_s = monotonic_s
        self._stats: SingleFlight[str, Entry | None] = SingleFlight(nursery)
        self._lists: SingleFlight[str, Listing] = SingleFlight(nursery)
        self._probes: SingleFlight[str, bool] = SingleFlight(nursery)
        self._listings = ListingCache()
        self._missing: OrderedDict[str, float] = OrderedDict()
        self._directories: OrderedDict[str, tuple[bool, float]] = OrderedDict()

    # --- files -----------------------------------------------------------------------------------

    def peek(self, path: str, policy: Policy) -> Entry | None:
        """Return the entry of *path* if it is in memory and fresh. Does not wait."""
        entry = self._catalog.peek(path)
        return entry if entry is not None and self._fresh(entry, policy) else None

    def fresh_for_s(self, entry: Entry, policy: Policy, *, max_s: float) -> float:
        """Return how long *entry* may still be trusted, in seconds, at most *max_s*."""
        if policy.immutable is not Immutable.NEVER:
            return max_s
        return max(0.0, min(max_s, entry.checked_s + policy.ttl_s - time.time()))

    async def find(self, path: str, resolution: Resolution) -> Entry | None:
        """Return what the origin has under *path*, or None if it has nothing.

        Args:
            path: mount-relative, the catalog's key.
            resolution: what the specification says of it.

        Raises:
            TierError: the origin had to be asked and could not answer.
        """
        policy = resolution.template.policy
        entry = await self._catalog.get(path)
        if entry is not None and self._fresh(entry, policy):
            return entry
        if entry is None and self._known_missing(path, policy):
            self._metrics.negative_hits.inc()
            return None
        return await self._stats.do(path, lambda: self._ask(path, resolution))

    async def refresh(self, path: str, resolution: Resolution) -> Entry | None:
        """Ask the origin now, whatever is known. Returns and raises as `find`."""
        return await self._stats.do(path, lambda: self._ask(path, resolution))

    def record(self, path: str, revision: Revision, *, identity: int | None = None) -> Entry:
        """Note that *path* has *revision* in its origin, as of now.

        Args:
            path: mount-relative.
            revision: what the tier said, or what a `put` returned.
            identity: see `Entry.identity`; None keeps the one of the same revision.
        """
        known = self._catalog.peek(path)
        if identity is None and known is not None and known.revision == revision:
            identity = known.identity
        entry = Entry(revision, time.time(), identity)
        self._catalog.put(path, entry)
        self._missing.pop(path, None)
        return entry

    def published(self, path: str, revision: Revision, *, identity: int) -> None:
        """Note that this node put *revision* under *path*; its directories exist now."""
        self.record(path, revision, identity=identity)
        parent = path.rpartition("/")[0]
        self._listings.forget(parent)
        while parent:
            self._directories.pop(parent, None)
            parent = parent.rpartition("/")[0]

    def removed(self, path: str) -> None:
        """Note that *path* is gone from its origin."""
        self._catalog.forget(path)
        parent = path.rpartition("/")[0]
        self._listings.forget(parent)
        self._directories.pop(parent, None)

    async def settle(self) -> None:
        """Let the catalog catch up; call between the batches of a large listing."""
        await self._catalog.settle()

    def _fresh(self, entry: Entry, policy: Policy) -> bool:
        if policy.immutable is not Immutable.NEVER:
            return True
        return 0 <= time.time() - entry.checked_s < policy.ttl_s

    def _known_missing(self, path: str, policy: Policy) -> bool:
        until_s = self._missing.get(path)
        if until_s is not None and self._now_s() < until_s:
            return True
        parent, _, name = path.rpartition("/")
        listing = self._listings.get(parent)
        if listing is None or self._now_s() - listing.listed_s >= policy.negative_ttl_s:
            return False
        covers = any(part.origin == policy.origin for part in listing.parts)
        return covers and listing.revision(policy.origin, name) is None

    async def _ask(self, path: str, resolution: Resolution) -> Entry | None:
        policy = resolution.template.policy
        tier = await self._tiers.get(policy.origin)
        try:
            revision = await tier.stat(resolution.key)
        except ObjectNotFound:
            self._catalog.forget(path)
            self._remember_missing(path, policy.negative_ttl_s)
            return None
        return self.record(path, revision)

    def _remember_missing(self, path: str, ttl_s: float) -> None:
        self._missing[path] = self._now_s() + ttl_s
        self._missing.move_to_end(path)
        if len(self._missing) > NEGATIVE_ENTRIES_MAX:
            self._missing.popitem(last=False)

    # --- directories -----------------------------------------------------------------------------

    async def has_directory(self, path: str, prefix: str, match: DirectoryMatch) -> bool:
        """Whether an origin has an object below *prefix*.

        Args:
            path: mount-relative path of the directory.
            prefix: its key in the origins.
            match: what the specification says of the directory.

        Raises:
            TierError: an origin had to be asked and could not answer.
        """
        known = self._directories.get(path)
        if known is not None and self._now_s() < known[1]:
            return known[0]
        parent, _, name = path.rpartition("/")
        listing = self._listings.get(parent)
        if listing is not None and self._now_s() - listing.listed_s < match.negative_ttl_s:
            return listing.has_directory(name)
        return await self._probes.do(path, lambda: self._probe(path, prefix, match))

    async def list(self, path: str, prefix: str, match: DirectoryMatch) -> Listing:
        """Return the children of *prefix* in every origin that may hold some.

        Raises:
            TierError: an origin could not answer.
            OverflowError: the directory is too large to list.
        """
        listing = self._listings.get(path)
        if listing is not None and self._now_s() - listing.listed_s < match.ttl_s:
            return listing
        return await self._lists.do(path, lambda: self._list(path, prefix, match))

    async def _probe(self, path: str, prefix: str, match: DirectoryMatch) -> bool:
        found = False
        for origin in match.origins:
            tier = await self._tiers.get(origin)
            if not tier.properties.listable:
                # Such a store cannot say; the path is possible, so let the application try.
                found = True
                break
            async with aclosing(tier.list(prefix)) as pages:
                async for page in pages:
                    if page.objects or page.prefixes:
                        found = True
                        break
            if found:
                break
        ttl_s = match.ttl_s if found else match.negative_ttl_s
        self._directories[path] = (found, self._now_s() + ttl_s)
        self._directories.move_to_end(path)
        if len(self._directories) > DIRECTORIES_MAX:
            self._directories.popitem(last=False)
        return found

    async def _list(self, path: str, prefix: str, match: DirectoryMatch) -> Listing:
        listed_s = self._now_s()
        parts: dict[str, OriginListing] = {}
        failures: list[TierError | OverflowError] = []

        async def one(origin: str) -> None:
            # Kept for the caller instead of raised: an exception group says less.
            try:
                tier = await self._tiers.get(origin)
                parts[origin] = (
                    await list_origin(tier, origin, prefix)
                    if tier.properties.listable
                    else OriginListing(origin)
                )
            except (TierError, OverflowError) as exc:
                failures.append(exc)

        async with trio.open_nursery() as nursery:
            for origin in match.origins:
                nursery.start_soon(one, origin)
        if failures:
            raise failures[0]
        listing = Listing(tuple(parts[origin] for origin in match.origins), listed_s)
        self._listings.put(path, listing)
        return listing
