"""Seals: the published version that a path lies in, and whether it was taken back."""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

from shotfs.namespace.retractions import Retractions
from shotfs.namespace.versions import Seal, SealState, Versions
from shotfs.pathspec import DirectoryMatch, Resolution, Retract
from shotfs.vfs.paths import cut


class _Place(NamedTuple):
    """A version directory, and what lies in it."""

    origin: str
    version: str
    inner: str
    ttl_s: float
    retract: Retract


class Seals:
    """Answers for paths relative to their show, of which it is known what they are.

    Args:
        versions: which versions are published.
        retractions: which of them were taken back.
        ttl_s_max: the longest that the kernel is told to keep anything, seconds.
    """

    def __init__(self, versions: Versions, retractions: Retractions, ttl_s_max: float) -> None:
        self._versions = versions
        self._retractions = retractions
        self._ttl_s_max = ttl_s_max

    async def of(
        self,
        rest: str,
        resolution: Resolution | None,
        match: DirectoryMatch | None,
        *,
        now: bool = False,
    ) -> tuple[Seal, str] | None:
        """Return the seal of the version that *rest* is or lies in, and its path within it.

        None: it lies in none, or in one that nobody publishes or has published: as of its time to
        live ago, or *now*.

        Raises:
            TierError: the origin had to be asked and could not answer.
            RecordInvalid: what says whether it is published, or was taken back, is damaged.
        """
        place = _place(rest, resolution, match)
        if place is None:
            return None
        ttl_s = place.ttl_s
        seal = await self._versions.seal_of(place.origin, place.version, 0.0 if now else ttl_s)
        if seal.snapshot is not None and place.retract is not Retract.NEVER:
            line = await self._retractions.of(place.origin, place.version, ttl_s)
            seal = seal if line is None else replace(seal, retracted=line)
        return None if seal.state is SealState.OPEN else (seal, place.inner)

    async def ask_retracted(
        self, rest: str, resolution: Resolution | None, match: DirectoryMatch | None
    ) -> None:
        """Ask now whether the version that *rest* is or lies in was taken back.

        Raises:
            TierError: its origin could not answer.
        """
        place = _place(rest, resolution, match)
        if place is not None and place.retract is not Retract.NEVER:
            await self._retractions.ask(place.origin, place.version)

    async def ask_retracted_in(self, rest: str, match: DirectoryMatch) -> None:
        """Ask now which versions directly in the directory *rest* were taken back.

        Raises:
            TierError: its origin could not answer.
        """
        if match.holds_retractable:
            for origin in match.origins:
                await self._retractions.ask_within(origin, rest)

    async def retracted_in(self, rest: str, match: DirectoryMatch) -> frozenset[str]:
        """Return the names of versions directly in the directory *rest* that were taken back.

        Raises:
            TierError: an origin answers, and not this.
        """
        if not match.holds_retractable:
            return frozenset()
        found = [await self._retractions.within(one, rest, match.ttl_s) for one in match.origins]
        return frozenset().union(*found)

    def may_be_retracted(self, resolution: Resolution | None, match: DirectoryMatch | None) -> bool:
        """Whether what they are of may lie in a version that somebody takes back."""
        place = _place("", resolution, match)
        return place is not None and place.retract is not Retract.NEVER

    def peek(self, rest: str, match: DirectoryMatch) -> Seal | None:
        """Return the seal of the version that has the directory *rest*, if that is in memory."""
        place = _place(rest, None, match)
        seal = None if place is None else self._versions.peek(place.origin, place.version)
        if place is None or seal is None or seal.snapshot is None:
            return None
        return seal if seal.snapshot.has_directory(place.inner) else None

    def fresh_for_s(
        self, rest: str, resolution: Resolution | None, match: DirectoryMatch | None
    ) -> float:
        """Return for how long what a published version has under *rest* may be believed, seconds.

        For ever, unless the specification lets somebody take it back.
        """
        place = _place(rest, resolution, match)
        if place is None or place.retract is Retract.NEVER:
            return self._ttl_s_max
        return self._retractions.fresh_for_s(
            place.origin, place.version, place.ttl_s, max_s=self._ttl_s_max
        )


def _place(rest: str, resolution: Resolution | None, match: DirectoryMatch | None) -> _Place | None:
    if resolution is not None and resolution.version_depth is not None:
        policy = resolution.template.policy
        version, inner = cut(rest, resolution.version_depth)
        return _Place(policy.origin, version, inner, policy.ttl_s, policy.retract)
    if match is not None and match.version_depth is not None and match.origins:
        version, inner = cut(rest, match.version_depth)
        return _Place(match.origins[0], version, inner, match.ttl_s, match.retract)
    return None
