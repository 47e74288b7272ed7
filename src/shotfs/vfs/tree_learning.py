"""Trees: what many directories have of what is wanted, from a few pages of a store's keys in order.

Where a job reads a few files of each of hundreds of directories, a question for each costs as many
round trips as there are connections to share them. A store lists a thousand keys a request,
whatever directories they lie in, from any key on. Event loop only.
"""

from __future__ import annotations

import time
from bisect import bisect_right
from collections.abc import Callable, Mapping

from shotfs.errors import ShotfsError
from shotfs.namespace import TierPool
from shotfs.pathspec import Resolution
from shotfs.tiers.base import Revision, TreeLister, tree_lister
from shotfs.vfs.finder import NodeFinder

TREES_FROM = 64
"""From so many questions on one page is tried: they would take some round trips."""

TOLD_MIN = 32
"""A page that tells of fewer wanted files is the last: the others are asked for. So what nobody
wants costs one page in each search, however much of it lies between."""


class TreeLearning:
    """Has the catalog learn files that lie in many directories.

    Args:
        finder: knows the catalog.
        tiers: the origins.
        wall_s: the time of day, seconds since the epoch.
    """

    def __init__(
        self, finder: NodeFinder, tiers: TierPool, *, wall_s: Callable[[], float] = time.time
    ) -> None:
        self._finder = finder
        self._tiers = tiers
        self._wall_s = wall_s

    async def learn(self, wanted: Mapping[str, Resolution]) -> set[str]:
        """Have the catalog know what can be learned of *wanted*; return what it knows now.

        Args:
            wanted: files that are published by themselves, by their paths. What is not known
                afterwards is missing, or has to be asked for.
        """
        origins: dict[str, list[tuple[bytes, str]]] = {}
        for path, resolution in wanted.items():
            keys = origins.setdefault(resolution.template.policy.origin, [])
            keys.append((resolution.key.encode("utf-8", "surrogatepass"), path))
        known: set[str] = set()
        for origin, keys in origins.items():
            try:
                lister = tree_lister(await self._tiers.get(origin))
                if lister is not None:
                    await self._learn_of(lister, sorted(keys), wanted, known)
            except ShotfsError:
                continue  # asked one by one, each says what is wrong
        return known

    async def _learn_of(
        self,
        lister: TreeLister,
        keys: list[tuple[bytes, str]],
        wanted: Mapping[str, Resolution],
        known: set[str],
    ) -> None:
        place, told = 0, TOLD_MIN
        while told >= TOLD_MIN <= len(keys) - place:
            listed_at_s = self._wall_s()
            page = await lister.list_from(wanted[keys[place][1]].key)
            if not page.objects:
                return
            last = page.objects[-1].key.encode("utf-8", "surrogatepass")
            stop = bisect_right(keys, last, key=lambda one: one[0])
            revisions = {one.key: one for one in page.objects}
            paths = [path for _, path in keys[place:stop] if wanted[path].key in revisions]
            await self._note(paths, wanted, revisions, listed_at_s)
            known.update(paths)
            place, told = stop, len(paths)

    async def _note(
        self,
        paths: list[str],
        wanted: Mapping[str, Resolution],
        revisions: Mapping[str, Revision],
        listed_at_s: float,
    ) -> None:
        namespace = self._finder.namespace
        await namespace.recall(paths)
        for path in paths:
            resolution = wanted[path]
            policy = resolution.template.policy
            namespace.listed(path, revisions[resolution.key], policy, listed_at_s=listed_at_s)
