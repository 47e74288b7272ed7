"""Version directories that are published as a whole: which paths are some, and what is in them."""

from __future__ import annotations

from contextlib import aclosing
from dataclasses import dataclass

import trio

from shotfs.errors import InvalidArgument, ShotfsError, VersionBusy
from shotfs.namespace.manifests import FILES_MAX
from shotfs.namespace.shows import Show
from shotfs.pathspec import DirectoryMatch
from shotfs.tiers.base import Revision, Tier
from shotfs.vfs.finder import NodeFinder
from shotfs.vfs.paths import cut

LISTED_AT_ONCE = 16
"""Directories of one version that are listed at the same time."""


@dataclass(frozen=True, slots=True)
class VersionTarget:
    """A version directory that is published as a whole.

    Attributes:
        path: mount-relative.
        show: that it is of.
        version: its path relative to the show, which is also that below its origin.
        match: what the specification says of it.
        origin: root URL of its files and its manifest.
    """

    path: str
    show: Show
    version: str
    match: DirectoryMatch
    origin: str

    def has(self, path: str) -> bool:
        """Whether the mount-relative *path* lies below it."""
        return path.startswith(f"{self.path}/")

    def owns(self, key: str) -> bool:
        """Whether the object *key* is a file of it, and not what somebody else put there."""
        resolution = self.show.spec.resolve(key)
        return (
            resolution is not None
            and not resolution.scratch
            and resolution.template.policy.origin == self.origin
        )

    async def files(self, tier: Tier) -> dict[str, Revision]:
        """Return what its origin has of it, by key; asks one listing for each directory.

        Raises:
            VersionBusy: there are more files than a manifest takes.
            TierError: the origin could not say.
        """
        found: dict[str, Revision] = {}
        problems: list[ShotfsError] = []
        limiter = trio.CapacityLimiter(LISTED_AT_ONCE)

        async def one(prefix: str) -> None:
            # Kept for the caller instead of raised: an exception group says less.
            try:
                async with limiter:
                    deeper = await self._list(tier, prefix, found)
            except ShotfsError as exc:
                problems.append(exc)
                return
            for name in deeper:
                nursery.start_soon(one, f"{prefix}/{name}")

        async with trio.open_nursery() as nursery:
            nursery.start_soon(one, self.version)
        if problems:
            raise problems[0]
        return found

    async def _list(self, tier: Tier, prefix: str, found: dict[str, Revision]) -> list[str]:
        deeper: list[str] = []
        async with aclosing(tier.list(prefix)) as pages:
            async for page in pages:
                found.update((one.key, one) for one in page.objects if self.owns(one.key))
                deeper += [
                    name
                    for name in page.prefixes
                    if self.show.spec.directory(f"{prefix}/{name}") is not None
                ]
                if len(found) > FILES_MAX:
                    raise VersionBusy(
                        f"{self.path}: has more than {FILES_MAX} files",
                        fix="let the specification make version directories of parts of it",
                    )
        return deeper


def target_of(finder: NodeFinder, path: str) -> VersionTarget:
    """Return the version directory *path*.

    Raises:
        InvalidArgument: it is none, or not published as a whole; the message says what is.
    """
    place = finder.shows.split(path)
    match = None if place is None else place[0].spec.directory(place[1])
    if place is not None and match is not None and match.version_depth is not None:
        show, rest = place
        version, inner = cut(rest, match.version_depth)
        if not inner and match.origins:
            return VersionTarget(path, show, rest, match, match.origins[0])
        raise InvalidArgument(f"{path}: lies in a version", fix=f"name {show.name}/{version}")
    if place is not None and match is None:
        resolution = place[0].spec.resolve(place[1])
        if resolution is not None and resolution.version_depth is not None:
            version, _ = cut(place[1], resolution.version_depth)
            fix = f"name {place[0].name}/{version}"
            raise InvalidArgument(f"{path}: is a file in a version", fix=fix)
    raise InvalidArgument(
        f"{path} is no version directory that is published as a whole",
        fix='set "immutable": "on-version-publish" in the templates of its files; '
        f"`shotfs spec explain` says what {path} is",
    )
