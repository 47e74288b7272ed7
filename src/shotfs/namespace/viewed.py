"""What the origins have, as a view as of a time shows it: today's answers and those of the past.

Two `Namespace` answer: one of today for what never changes, one of the past for what does. This
decides which of them is asked, and puts the listings of directories together that hold both kinds.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Protocol

import trio

from shotfs.namespace.catalog import Catalog, Entry
from shotfs.namespace.listing import Listing, ListingStamp, OriginListing
from shotfs.namespace.lookup import Namespace
from shotfs.namespace.shows import ShowSet
from shotfs.namespace.tier_pool import TierSource
from shotfs.namespace.view import Mode, View, past_match
from shotfs.pathspec import DirectoryMatch, Immutable, Policy, Resolution, Template
from shotfs.tiers.base import Revision

_CHECKPOINT_ENTRIES = 256
"""Entries that are looked at between two chances for other tasks."""


class Lookup(Protocol):
    """What the origins have: `Namespace`, or a view of it. Its methods are described there."""

    def respecified(self, show: str) -> None:
        """As `Namespace.respecified`."""
        ...

    def fresh_for_s(self, entry: Entry, policy: Policy, *, max_s: float) -> float:
        """As `Namespace.fresh_for_s`."""
        ...

    async def known(self, path: str, policy: Policy) -> Entry | None:
        """As `Namespace.known`."""
        ...

    def recalled(self, path: str, policy: Policy) -> Entry | None:
        """As `Namespace.recalled`."""
        ...

    async def glance(self, wanted: Mapping[str, Policy]) -> dict[str, Entry]:
        """As `Namespace.glance`."""
        ...

    def trusts(self, policy: Policy, checked_s: float, *, settled: bool) -> bool:
        """As `Namespace.trusts`."""
        ...

    def known_missing(self, path: str) -> bool:
        """As `Namespace.known_missing`."""
        ...

    async def find(self, path: str, resolution: Resolution) -> Entry | None:
        """As `Namespace.find`."""
        ...

    async def confirm(self, path: str, resolution: Resolution) -> Entry | None:
        """As `Namespace.confirm`."""
        ...

    def missing_for_s(self, path: str, ttl_s: float) -> float:
        """As `Namespace.missing_for_s`."""
        ...

    async def recall(self, paths: Iterable[str]) -> None:
        """As `Namespace.recall`."""
        ...

    def listed(self, path: str, revision: Revision, policy: Policy, *, listed_at_s: float) -> Entry:
        """As `Namespace.listed`."""
        ...

    def sealed(self, path: str, revision: Revision) -> Entry:
        """As `Namespace.sealed`."""
        ...

    def published(self, path: str, revision: Revision, *, identity: int) -> None:
        """As `Namespace.published`."""
        ...

    async def renumber(
        self, path: str, revision: Revision, identity: int, renewed: Callable[[int], int]
    ) -> int:
        """As `Namespace.renumber`."""
        ...

    def removed(self, path: str) -> None:
        """As `Namespace.removed`."""
        ...

    def forget_file(self, path: str) -> None:
        """As `Namespace.forget_file`."""
        ...

    def knows_directory(self, path: str) -> bool:
        """As `Namespace.knows_directory`."""
        ...

    async def has_directory(self, path: str, prefix: str, match: DirectoryMatch) -> bool:
        """As `Namespace.has_directory`."""
        ...

    async def must_guess(self, match: DirectoryMatch) -> bool:
        """As `Namespace.must_guess`."""
        ...

    def has_listing(self, path: str, match: DirectoryMatch) -> bool:
        """As `Namespace.has_listing`."""
        ...

    async def listing(self, path: str, prefix: str, match: DirectoryMatch) -> Listing:
        """As `Namespace.listing`."""
        ...

    def stamp(self, path: str, listing: Listing | None, match: DirectoryMatch) -> ListingStamp:
        """As `Namespace.stamp`."""
        ...

    def unchanged(self, path: str, stamp: ListingStamp) -> bool:
        """As `Namespace.unchanged`."""
        ...

    async def kept_listing(self, path: str, match: DirectoryMatch) -> Listing | None:
        """As `Namespace.kept_listing`."""
        ...

    def outlives(self, policy: Policy, checked_s: float) -> bool:
        """As `Namespace.outlives`."""
        ...

    async def list_again(self, path: str, prefix: str, match: DirectoryMatch) -> Listing:
        """As `Namespace.list_again`."""
        ...

    def forget_missing_below(self, path: str) -> None:
        """As `Namespace.forget_missing_below`."""
        ...

    @property
    def catalog(self) -> Catalog:
        """As `Namespace.catalog`."""
        ...


class ViewedNamespace:
    """The answers of a view as of a time; see `Lookup`.

    Args:
        view: says what is seen as of the time.
        shows: the specifications.
        live: of today.
        past: of the time; its catalog is its own.
        tiers: the origins of today.
    """

    def __init__(
        self,
        view: View,
        shows: ShowSet,
        *,
        live: Namespace,
        past: Namespace,
        tiers: TierSource,
    ) -> None:
        self._view = view
        self._shows = shows
        self._live = live
        self._past = past
        self._tiers = tiers
        self._steady: dict[int, tuple[Template, Template]] = {}

    def respecified(self, show: str) -> None:
        """As `Namespace.respecified`."""
        self._steady.clear()
        self._live.respecified(show)
        self._past.respecified(show)

    # --- files -----------------------------------------------------------------------------------

    def fresh_for_s(self, entry: Entry, policy: Policy, *, max_s: float) -> float:
        """As `Namespace.fresh_for_s`: what is past stays."""
        if self._view.mode_of(policy) is Mode.LIVE:
            return self._live.fresh_for_s(entry, policy, max_s=max_s)
        return max_s

    async def known(self, path: str, policy: Policy) -> Entry | None:
        """As `Namespace.known`."""
        if self._view.mode_of(policy) is Mode.LIVE:
            return await self._live.known(path, policy)
        return await self._past.known(path, _steady_policy(policy))

    def recalled(self, path: str, policy: Policy) -> Entry | None:
        """As `Namespace.recalled`."""
        if self._view.mode_of(policy) is Mode.LIVE:
            return self._live.recalled(path, policy)
        return self._past.recalled(path, _steady_policy(policy))

    async def glance(self, wanted: Mapping[str, Policy]) -> dict[str, Entry]:
        """As `Namespace.glance`, of each path from its side."""
        found = {path: await self.known(path, policy) for path, policy in wanted.items()}
        return {path: entry for path, entry in found.items() if entry is not None}

    def trusts(self, policy: Policy, checked_s: float, *, settled: bool) -> bool:
        """As `Namespace.trusts`; what is past stays."""
        if self._view.mode_of(policy) is Mode.LIVE:
            return self._live.trusts(policy, checked_s, settled=settled)
        return True

    def known_missing(self, path: str) -> bool:
        """As `Namespace.known_missing`."""
        return self._live.known_missing(path) and self._past.known_missing(path)

    async def find(self, path: str, resolution: Resolution) -> Entry | None:
        """As `Namespace.find`."""
        match await self._mode(resolution.template.policy):
            case Mode.LIVE:
                return await self._live.find(path, resolution)
            case Mode.DENIED:
                return None
        return await self._past.find(path, self._steadied(resolution))

    async def confirm(self, path: str, resolution: Resolution) -> Entry | None:
        """As `Namespace.confirm`."""
        match await self._mode(resolution.template.policy):
            case Mode.LIVE:
                return await self._live.confirm(path, resolution)
            case Mode.DENIED:
                return None
        return await self._past.confirm(path, self._steadied(resolution))

    def missing_for_s(self, path: str, ttl_s: float) -> float:
        """As `Namespace.missing_for_s`."""
        return min(self._live.missing_for_s(path, ttl_s), self._past.missing_for_s(path, ttl_s))

    async def recall(self, paths: Iterable[str]) -> None:
        """As `Namespace.recall`."""
        both = list(paths)
        await self._live.recall(both)
        await self._past.recall(both)

    def listed(self, path: str, revision: Revision, policy: Policy, *, listed_at_s: float) -> Entry:
        """As `Namespace.listed`."""
        if self._view.mode_of(policy) is Mode.LIVE:
            return self._live.listed(path, revision, policy, listed_at_s=listed_at_s)
        steady = _steady_policy(policy)
        return self._past.listed(path, revision, steady, listed_at_s=listed_at_s)

    def sealed(self, path: str, revision: Revision) -> Entry:
        """As `Namespace.sealed`: sealed then, so it is what the past knows."""
        return self._past.sealed(path, revision)

    def published(self, path: str, revision: Revision, *, identity: int) -> None:
        """As `Namespace.published`: only today changes."""
        self._live.published(path, revision, identity=identity)

    async def renumber(
        self, path: str, revision: Revision, identity: int, renewed: Callable[[int], int]
    ) -> int:
        """As `Namespace.renumber`."""
        side = self._past if self._view.holds(path) else self._live
        return await side.renumber(path, revision, identity, renewed)

    def removed(self, path: str) -> None:
        """As `Namespace.removed`: only today changes. What the past shows, it shows for ever."""
        self._live.removed(path)

    def forget_file(self, path: str) -> None:
        """As `Namespace.forget_file`."""
        self._live.forget_file(path)
        self._past.forget_file(path)

    # --- directories -----------------------------------------------------------------------------

    def knows_directory(self, path: str) -> bool:
        """As `Namespace.knows_directory`."""
        return self._live.knows_directory(path) or self._past.knows_directory(path)

    async def has_directory(self, path: str, prefix: str, match: DirectoryMatch) -> bool:
        """As `Namespace.has_directory`: something of today, or of the past, is shown in it."""
        past, live = await self._split(match)
        if past and await self._past.has_directory(path, prefix, past_match(match, past)):
            return True
        if not live:
            return False
        return await self._live.has_directory(path, prefix, replace(match, origins=tuple(live)))

    async def must_guess(self, match: DirectoryMatch) -> bool:
        """As `Namespace.must_guess`."""
        return await self._live.must_guess(match)

    def has_listing(self, path: str, match: DirectoryMatch) -> bool:
        """As `Namespace.has_listing`, of each side that `listing` would ask."""
        sides = self._known_split(match)
        if sides is None:
            return False
        past, live = sides
        if past and not self._past.has_listing(path, past_match(match, past)):
            return False
        return not live or self._live.has_listing(path, match)

    async def listing(self, path: str, prefix: str, match: DirectoryMatch) -> Listing:
        """As `Namespace.listing`; each file comes from the side that it belongs to."""
        past, live = await self._split(match)
        if not live:
            return await self._past.listing(path, prefix, past_match(match, past))
        today = await self._live.listing(path, prefix, replace(match, origins=tuple(live)))
        if not past and Immutable.ON_CLOSE in match.immutable and len(match.immutable) == 1:
            return today
        parts: dict[str, OriginListing] = {}
        for part in today.parts:
            await self._take(parts, path, part, past=False)
        if past:
            then = await self._past.listing(path, prefix, past_match(match, past))
            for part in then.parts:
                await self._take(parts, path, part, past=True)
        ordered = tuple(parts[origin] for origin in match.origins if origin in parts)
        return Listing(ordered, today.listed_s, today.listed_at_s)

    def stamp(self, path: str, listing: Listing | None, match: DirectoryMatch) -> ListingStamp:
        """As `Namespace.stamp`."""
        return self._live.stamp(path, listing, match)

    def unchanged(self, path: str, stamp: ListingStamp) -> bool:  # noqa: ARG002  # as of `Namespace`
        """As `Namespace.unchanged`: two of them would have to say so."""
        return False

    async def kept_listing(self, path: str, match: DirectoryMatch) -> Listing | None:
        """As `Namespace.kept_listing`: of today's files, where no others are in it."""
        past, live = await self._split(match)
        if past:
            return None  # what is learned for a view, it remembers anyway
        return await self._live.kept_listing(path, replace(match, origins=tuple(live)))

    async def list_again(self, path: str, prefix: str, match: DirectoryMatch) -> Listing:
        """As `Namespace.list_again`, of today: the past does not change."""
        _, live = await self._split(match)
        return await self._live.list_again(path, prefix, replace(match, origins=tuple(live)))

    def forget_missing_below(self, path: str) -> None:
        """As `Namespace.forget_missing_below`, of today."""
        self._live.forget_missing_below(path)

    @property
    def catalog(self) -> Catalog:
        """As `Namespace.catalog`: of today."""
        return self._live.catalog

    def outlives(self, policy: Policy, checked_s: float) -> bool:
        """As `Namespace.outlives`."""
        return self._live.outlives(policy, checked_s)

    async def _split(self, match: DirectoryMatch) -> tuple[list[str], list[str]]:
        """Return the origins of a directory whose past, and those whose present may be shown."""
        if _is_mutable(match):
            for origin in match.origins:
                await self._view.mode(origin, self._tiers)
        sides = self._known_split(match)
        assert sides is not None
        return sides

    def _known_split(self, match: DirectoryMatch) -> tuple[list[str], list[str]] | None:
        """As `_split`, from memory; None: an origin was not asked yet how it is seen."""
        past: list[str] = []
        live: list[str] = []
        for origin in match.origins:
            mode = self._view.known_mode(origin) if _is_mutable(match) else Mode.LIVE
            if mode is None:
                return None
            if mode is Mode.PAST:
                past.append(origin)
            if Immutable.ON_CLOSE in match.immutable or mode is Mode.LIVE:
                live.append(origin)
        return past, live

    async def _take(
        self, parts: dict[str, OriginListing], path: str, part: OriginListing, *, past: bool
    ) -> None:
        """Put what *part* has, and its side shows, into *parts*."""
        into = parts.setdefault(part.origin, OriginListing(part.origin))
        for count, (name, revision) in enumerate(part.objects.items()):
            if count % _CHECKPOINT_ENTRIES == 0:
                await trio.lowlevel.checkpoint()
            if self._shows_file(f"{path}/{name}", past=past):
                into.objects[name] = revision
        for count, name in enumerate(part.prefixes):
            if count % _CHECKPOINT_ENTRIES == 0:
                await trio.lowlevel.checkpoint()
            if self._shows_directory(f"{path}/{name}", part.origin, past=past):
                into.prefixes.add(name)

    def _shows_file(self, path: str, *, past: bool) -> bool:
        place = self._shows.split(path)
        resolution = None if place is None else place[0].spec.resolve(place[1])
        if resolution is None:
            return False
        mode = self._view.mode_of(resolution.template.policy)
        return mode is (Mode.PAST if past else Mode.LIVE)

    def _shows_directory(self, path: str, origin: str, *, past: bool) -> bool:
        """Whether a directory that one side has is shown.

        One that holds mutable and immutable files is shown if either side has anything in it; it
        may turn out to be empty.
        """
        place = self._shows.split(path)
        match = None if place is None else place[0].spec.directory(place[1])
        if match is None:
            return False
        if past:
            return match.immutable != {Immutable.ON_CLOSE}
        return Immutable.ON_CLOSE in match.immutable or not self._view.is_past(origin)

    # --- of the past -----------------------------------------------------------------------------

    async def _mode(self, policy: Policy) -> Mode:
        if policy.immutable is Immutable.ON_CLOSE:
            return Mode.LIVE
        return await self._view.mode(policy.origin, self._tiers)

    def _steadied(self, resolution: Resolution) -> Resolution:
        """Return *resolution* with a policy under which what is learned counts for ever."""
        template = resolution.template
        known = self._steady.get(id(template))
        if known is None or known[0] is not template:
            made = replace(template, policy=_steady_policy(template.policy))
            known = self._steady[id(template)] = (template, made)
        return replace(resolution, template=known[1])


def _steady_policy(policy: Policy) -> Policy:
    return replace(policy, immutable=Immutable.ON_CLOSE, ttl_s=math.inf, negative_ttl_s=math.inf)


def _is_mutable(match: DirectoryMatch) -> bool:
    """Whether a directory may hold files that change."""
    return match.immutable != {Immutable.ON_CLOSE}
