"""Known directories: which of them have objects below, asked as seldom as the policy allows.

An object store has no directories: whether one exists is a listing. Owns what is remembered of
that, in memory for its time to live, and in the catalog for outages: a directory that was there
leads to files in the cache, and a slow or absent origin must not take them away (S7). One event
loop; every question goes out once, however many wait for it.
"""

from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import aclosing
from typing import Any

import trio

from shotfs.errors import TierUnavailable
from shotfs.namespace.catalog import Catalog
from shotfs.namespace.single_flight import SingleFlight
from shotfs.namespace.tier_pool import TierSource
from shotfs.pathspec import DirectoryMatch

log = logging.getLogger(__name__)

DIRECTORIES_MAX = 20_000
"""Directories whose existence is remembered."""

KNOWN_DIRECTORY_WAIT_S = 1.0
"""How long a look-up of a directory that was there last time waits for its origin. Files below it
may be in the cache, and a slow or absent origin must not take them away (S7)."""

UNREACHABLE_PAUSE_S = 5.0
"""How long such a directory is then taken for granted before its origin is waited for again."""


class KnownDirectories:
    """The directories of all shows, by their mount-relative paths.

    Args:
        catalog: remembers over restarts which were there.
        tiers: whom to ask.
        nursery: where questions run; it must outlive every caller.
        listed: says what a recent listing of its parent says of a directory; None: nothing.
        monotonic_s: a clock for times to live.
    """

    def __init__(
        self,
        catalog: Catalog,
        tiers: TierSource,
        nursery: trio.Nursery,
        *,
        listed: Callable[[str, DirectoryMatch], bool | None],
        monotonic_s: Callable[[], float],
    ) -> None:
        self._catalog = catalog
        self._tiers = tiers
        self._listed = listed
        self._now_s = monotonic_s
        self._generation = 0
        self._probes: SingleFlight[str, bool] = SingleFlight(nursery)
        self._known: OrderedDict[str, tuple[bool, float]] = OrderedDict()
        self._noted: OrderedDict[str, None] = OrderedDict()
        # Whether something was published below while the question is under way.
        self._since_probing: dict[str, bool] = {}

    def __len__(self) -> int:
        return len(self._known)

    @property
    def noted(self) -> int:
        """Of how many directories it is known that the catalog has them."""
        return len(self._noted)

    def respecified(self, show: str) -> None:
        """Forget what was believed of *show*, under another specification."""
        self._generation += 1
        self._probes.restart()
        prefix = f"{show}/"
        tables: tuple[OrderedDict[str, Any], ...] = (self._known, self._noted)
        for table in tables:
            for path in [path for path in table if path == show or path.startswith(prefix)]:
                del table[path]

    def knows(self, path: str) -> bool:
        """Whether an origin had objects below *path* when it was asked, and that still counts."""
        known = self._known.get(path)
        return known is not None and known[0] and self._now_s() < known[1]

    def missing_until_s(self, path: str) -> float | None:
        """Return until when *path* is known to be missing, by the clock; None: it is not."""
        known = self._known.get(path)
        return None if known is None or known[0] else known[1]

    async def has(self, path: str, prefix: str, match: DirectoryMatch) -> bool:
        """Whether an origin has an object below *prefix*; see `Namespace.has_directory`."""
        known = self._known.get(path)
        if known is None:
            existed = await self._catalog.had_directory(path)
            known = self._known.get(path, (existed, float("-inf")))
        existed, until_s = known
        if self._now_s() < until_s:
            return existed
        listed = self._listed(path, match)
        if listed is not None:
            return listed
        if not existed:
            return await self._probes.do(path, lambda: self._probe(path, prefix, match))
        self._noted[path] = None
        try:
            with trio.move_on_after(KNOWN_DIRECTORY_WAIT_S):
                return await self._probes.do(path, lambda: self._probe(path, prefix, match))
        except TierUnavailable as exc:
            log.info("taken for granted: %s", exc.message, extra={"path": path})
        self._remember(path, exists=True, ttl_s=UNREACHABLE_PAUSE_S)
        return True

    def forget(self, path: str) -> None:
        """Ask again about *path* when it is looked up next."""
        self._known.pop(path, None)

    def forget_missing_below(self, path: str) -> None:
        """Ask again about the directories below *path* that are believed to be missing."""
        prefix = f"{path}/"
        for one, (exists, _) in list(self._known.items()):
            if not exists and one.startswith(prefix):
                del self._known[one]

    def published(self, path: str) -> None:
        """Note that this node put something under *path*: its directories exist now."""
        self._noted.pop(path.rpartition("/")[0], None)
        self.note_above(path)
        for directory in ancestors(path):
            self._known.pop(directory, None)
            if directory in self._since_probing:
                self._since_probing[directory] = True

    def note_above(self, path: str) -> None:
        """Record on disk that the directories above *path* exist: they lead to what is cached."""
        for directory in ancestors(path):
            known = self._known.get(directory)
            if known is not None and not known[0]:
                del self._known[directory]  # it was made since
        for directory in ancestors(path):
            if directory in self._noted:
                self._noted.move_to_end(directory)
                break
            self._noted[directory] = None
            self._catalog.put_directory(directory, exists=True)
        while len(self._noted) > DIRECTORIES_MAX:
            self._noted.popitem(last=False)

    async def _probe(self, path: str, prefix: str, match: DirectoryMatch) -> bool:
        generation = self._generation
        self._since_probing[path] = False
        try:
            found = await self._holds_objects(prefix, match)
        finally:
            published = self._since_probing.pop(path)
        found = found or published
        if generation == self._generation:
            self._remember(path, exists=found, ttl_s=match.ttl_s if found else match.negative_ttl_s)
        return found

    async def _holds_objects(self, prefix: str, match: DirectoryMatch) -> bool:
        for origin in match.origins:
            tier = await self._tiers.get(origin)
            if not tier.properties.listable:
                # Such a store cannot say; the path is possible, so let the application try.
                return True
            async with aclosing(tier.list(prefix)) as pages:
                async for page in pages:
                    if page.objects or page.prefixes:
                        return True
        return False

    def _remember(self, path: str, *, exists: bool, ttl_s: float) -> None:
        known = self._known.get(path)
        self._known[path] = (exists, self._now_s() + ttl_s)
        self._known.move_to_end(path)
        if len(self._known) > DIRECTORIES_MAX:
            self._known.popitem(last=False)
        if exists:
            self.note_above(f"{path}/")
        elif path in self._noted or (known is not None and known[0]):
            self._noted.pop(path, None)
            self._catalog.put_directory(path, exists=False)


def ancestors(path: str) -> Iterator[str]:
    """Yield the directories that *path* lies in, the nearest first, without the mount's root."""
    parent = path.rpartition("/")[0]
    while parent:
        yield parent
        parent = parent.rpartition("/")[0]
