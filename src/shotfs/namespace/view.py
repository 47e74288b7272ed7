"""Views: what `--at` and `--pin` change of what a mount shows.

As of a time, mutable paths are what their origin had then, for ever within the mount; immutable
ones are as ever. In the trees of a pin file everything is what the file says. What a view pins
cannot be written through it. Decides which answer counts for a path; who asks are `Namespace`,
`Aliases` and `Versions` of the past, which keep what they learn apart from those of today.
"""

from __future__ import annotations

import logging
import math
import os
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

import trio

from shotfs.config.moments import format_moment
from shotfs.errors import AccessDenied, CacheError, ConfigInvalid, Problem, ReadOnly, Unsupported
from shotfs.namespace.alias_document import Move, parse_time
from shotfs.namespace.aliases import UNSET, Aliases, AliasOf, Pointer, Unset
from shotfs.namespace.pins import Pins
from shotfs.namespace.records import Records
from shotfs.namespace.shows import ShowSet
from shotfs.namespace.tier_pool import TierSource, tier_name
from shotfs.namespace.versions import Seal, Versions
from shotfs.pathspec import AliasMatch, DirectoryMatch, Immutable, Policy
from shotfs.tiers.base import Revision

log = logging.getLogger(__name__)

VIEWS_KEPT = 4
"""Catalogs of views that stay on disk beside that of today; the one used longest ago goes."""


class WithoutVersions(StrEnum):
    """What a view as of a time does with origins that keep no versions."""

    REFUSE = "refuse"
    """The mount does not start."""
    LIVE = "live"
    """Mutable paths there are as they are now, and change."""
    DENY = "deny"
    """Mutable paths there do not exist."""


class Mode(StrEnum):
    """How the mutable paths of one origin are seen."""

    PAST = "as of the time"
    LIVE = "live: it keeps no versions"
    DENIED = "denied: it keeps no versions"


@dataclass(frozen=True, slots=True)
class PinnedPath:
    """A path that a pin file decides.

    Attributes:
        pins: of its show.
        rest: the path, relative to the show.
    """

    pins: Pins
    rest: str


class View:
    """What is pinned, and to what.

    Args:
        shows: the specifications in force.
        at_ns: as of which time mutable paths are seen, nanoseconds since the epoch; None: now.
        without_versions: what happens where an origin keeps no versions.
        pins: what a pin file says; None: there is none.
    """

    def __init__(
        self,
        shows: ShowSet,
        *,
        at_ns: int | None = None,
        without_versions: WithoutVersions = WithoutVersions.REFUSE,
        pins: Pins | None = None,
    ) -> None:
        self._shows = shows
        self.at_ns = at_ns
        self._without_versions = without_versions
        self._pins = pins
        self._modes: dict[str, Mode] = {}

    @property
    def live(self) -> bool:
        """Whether nothing is pinned at all."""
        return self.at_ns is None and self._pins is None

    # --- origins ---------------------------------------------------------------------------------

    async def learn_origins(self, tiers: TierSource) -> None:
        """Ask the origins of all mutable paths whether they keep versions.

        Raises:
            Unsupported: one does not, and a setting says that the mount is to be refused then.
            AccessDenied, TierError: one does not say.
            ConfigInvalid: the pin file is of a show that is not mounted.
        """
        if self._pins is not None and self._pins.show not in self._shows.names:
            raise ConfigInvalid(
                self._pins.source,
                [Problem("/show", f"{self._pins.show!r} is not one of the mounted shows")],
            )
        if self.at_ns is None:
            return
        policies = (
            template.policy for show in self._shows for template in show.spec.templates.values()
        )
        for policy in policies:
            if policy.immutable is not Immutable.ON_CLOSE:
                await self.mode(policy.origin, tiers)

    async def mode(self, origin: str, tiers: TierSource) -> Mode:
        """Return how the mutable paths of *origin* are seen; asked once. Raises as above."""
        known = self._modes.get(origin)
        if known is None:
            known = self._modes[origin] = await self._ask_mode(origin, tiers)
            if known is not Mode.PAST:
                log.warning("mutable paths of %s are %s", origin, known.value)
        return known

    def known_mode(self, origin: str) -> Mode | None:
        """Return how the mutable paths of *origin* are seen; None: it was not asked yet."""
        return self._modes.get(origin)

    async def _ask_mode(self, origin: str, tiers: TierSource) -> Mode:
        tier = await tiers.get(origin)
        try:
            if tier.properties.history and await tier.keeps_versions():
                return Mode.PAST
        except AccessDenied as exc:
            raise AccessDenied(
                f"{tier.name}: may not ask whether it keeps versions: {exc.message}",
                fix="let the account read the bucket's settings (GCS: storage.buckets.get; S3:"
                " s3:GetBucketVersioning and s3:ListBucketVersions)",
            ) from exc
        match self._without_versions:
            case WithoutVersions.LIVE:
                return Mode.LIVE
            case WithoutVersions.DENY:
                return Mode.DENIED
        raise Unsupported(
            f"{tier.name} keeps no versions of its objects, so its mutable paths cannot be seen as"
            f" of {self._at_text}",
            fix=f"{_how_to_keep(tier.name)}; or say what to do without: --at-without-versions live"
            " or deny (mount.at_without_versions)",
        )

    def mode_of(self, policy: Policy) -> Mode:
        """Return how the files of *policy* are seen; before their origin was asked, the past."""
        if self.at_ns is None or policy.immutable is Immutable.ON_CLOSE:
            return Mode.LIVE
        return self._modes.get(policy.origin, Mode.PAST)

    def is_past(self, origin: str) -> bool:
        """Whether the mutable paths of *origin* are seen as of the time."""
        return self.at_ns is not None and self._modes.get(origin, Mode.PAST) is Mode.PAST

    # --- paths -----------------------------------------------------------------------------------

    def pinned(self, path: str) -> PinnedPath | None:
        """Return what decides *path*, if a pin file does.

        Args:
            path: mount-relative.
        """
        pins = self._pins
        if pins is None:
            return None
        show, _, rest = path.partition("/")
        return PinnedPath(pins, rest) if show == pins.show and pins.covers(rest) else None

    def above_pins(self, path: str) -> PinnedPath | None:
        """Return *path* as one that leads to pinned trees; None if it does not, or lies in one."""
        pins = self._pins
        if pins is None:
            return None
        show, _, rest = path.partition("/")
        if show != pins.show or pins.covers(rest) or not pins.leads_to_tree(rest):
            return None
        return PinnedPath(pins, rest)

    def holds(self, path: str) -> bool:
        """Whether *path* does not change here, because a time or a pin file decides it."""
        return self.refusal(path) is not None

    def refusal(self, path: str) -> ReadOnly | None:
        """Return the error for changing *path*; None if the view has nothing against it."""
        if self.live:
            return None
        pinned = self.pinned(path)
        if pinned is not None:
            return ReadOnly(
                f"{path}: pinned by {pinned.pins.source}, which decides all of that tree",
                fix="write elsewhere, or mount without --pin",
            )
        if self.at_ns is None or not self._is_past_path(path):
            return None
        return ReadOnly(
            f"{path}: a mutable path, shown as of {self._at_text}",
            fix="write to a path of an immutable template, or mount without --at",
        )

    def _is_past_path(self, path: str) -> bool:
        place = self._shows.split(path)
        if place is None:
            return False
        show, rest = place
        resolution = show.spec.resolve(rest)
        if resolution is not None and not resolution.scratch:
            return self.mode_of(resolution.template.policy) is not Mode.LIVE
        match = show.spec.directory(rest)
        if match is None or resolution is not None:
            return False
        only_mutable = Immutable.ON_CLOSE not in match.immutable
        return only_mutable and all(self._modes.get(one) is not Mode.LIVE for one in match.origins)

    @property
    def _at_text(self) -> str:
        return "now" if self.at_ns is None else format_moment(self.at_ns)

    def status(self) -> Mapping[str, Any] | None:
        """Return what `shotfs status` shows of it; None if nothing is pinned."""
        if self.live:
            return None
        shown: dict[str, Any] = {}
        if self.at_ns is not None:
            shown["at"] = self._at_text
            shown["mutable_paths"] = {url: mode.value for url, mode in self._modes.items()}
        if self._pins is not None:
            head = self._pins.head
            shown["pin"] = {
                "file": self._pins.source,
                "show": head.show,
                "made_at": head.made_at,
                "by": head.by,
                "at": head.at,
                "trees": len(head.trees),
                "files": len(self._pins.files),
                "aliases": len(self._pins.aliases),
                "same_spec": self._same_spec(self._pins),
            }
        return shown

    def _same_spec(self, pins: Pins) -> bool:
        return any(
            show.name == pins.show and show.spec.digest == pins.head.spec for show in self._shows
        )


def _how_to_keep(name: str) -> str:
    kind, _, rest = name.partition("://")
    bucket = rest.partition("/")[0]
    if kind == "gs":
        return f"gcloud storage buckets update gs://{bucket} --versioning"
    if kind == "s3":
        return (
            f"aws s3api put-bucket-versioning --bucket {bucket}"
            " --versioning-configuration Status=Enabled"
        )
    return "use a bucket of gs:// or s3:// that keeps versions for these templates"


def pinned_pointer(pinned: PinnedPath, match: AliasMatch) -> Pointer | None:
    """Return where a pinned alias points; None: nowhere.

    Args:
        pinned: the alias's path.
        match: what the specification says of it.
    """
    version = pinned.pins.aliases.get(pinned.rest)
    if version is None:
        return None
    target = match.target(version)
    if target in (".", "..") or "/" in target:
        return None
    revision = Revision(tier_name(match.origin), match.key, 0, f"pinned {version}", 0)
    return Pointer(version, target, pinned.pins.made_s, revision)


# --- what is asked of the past -------------------------------------------------------------------


class SteadyAliases(Aliases):
    """Aliases as of a time: what they say once, they say for ever.

    Args:
        tiers: the origins as of the time.
        nursery: as of `Aliases`.
        records: kept apart from those of today.
        at_ns: nanoseconds since the epoch.
    """

    def __init__(
        self, tiers: TierSource, nursery: trio.Nursery, records: Records, *, at_ns: int
    ) -> None:
        def choose(history: Sequence[Move]) -> Move | None:
            past = [move for move in history if parse_time(move.at) * 10**9 <= at_ns]
            return past[-1] if past else None

        super().__init__(tiers, nursery, records, choose=choose, view=f"at {at_ns}")

    async def find(self, path: str, match: AliasMatch) -> Pointer | None:
        """As `Aliases.find`."""
        return await super().find(path, _forever(match))

    def fresh_for_s(self, path: str, ttl_s: float, *, max_s: float) -> float:  # noqa: ARG002  # as of `Aliases`
        """As `Aliases.fresh_for_s`: for ever."""
        return max_s

    async def listed(
        self, path: str, rest: str, origins: Sequence[str], ttl_s: float, alias_of: AliasOf
    ) -> Mapping[str, Pointer]:
        """As `Aliases.listed`."""
        del ttl_s

        def steady(name: str) -> AliasMatch | None:
            match = alias_of(name)
            return None if match is None else _forever(match)

        return await super().listed(path, rest, origins, math.inf, steady)

    async def move(
        self,
        path: str,
        match: AliasMatch,
        version: str | None,
        *,
        by: str,
        why: str = "",
        expect: str | Unset | None = UNSET,
        after: str = "",
    ) -> tuple[Move, bool]:
        """Refuse: here the alias stays what it was.

        Raises:
            ReadOnly: always.
        """
        del match, version, by, why, expect, after
        raise ReadOnly(
            f"{path}: this service shows aliases as of a time, and moves none",
            fix="move it through a service that runs without --at",
        )


def _forever(match: AliasMatch) -> AliasMatch:
    return replace(match, ttl_s=math.inf, negative_ttl_s=math.inf)


class SteadyVersions(Versions):
    """Published versions as of a time: what was open then stays open.

    Args:
        tiers: the origins as of the time.
        nursery: as of `Versions`.
        records: kept apart from those of today.
        past: says of which origins the past is seen.
    """

    def __init__(
        self,
        tiers: TierSource,
        nursery: trio.Nursery,
        records: Records,
        *,
        past: Callable[[str], bool],
    ) -> None:
        super().__init__(tiers, nursery, records)
        self._past = past

    async def seal_of(self, origin: str, version: str, ttl_s: float) -> Seal:
        """As `Versions.seal_of`."""
        return await super().seal_of(origin, version, math.inf if self._past(origin) else ttl_s)


# --- where it is kept ----------------------------------------------------------------------------


async def view_directory(cache_directory: str, at_ns: int) -> str:
    """Return the directory for what is learned of one moment; old ones of others go.

    Args:
        cache_directory: that of `cache.directory`, which only this process uses.
        at_ns: nanoseconds since the epoch.

    Raises:
        CacheError: the disk does not let us.
    """
    parent = os.path.join(cache_directory, "views")
    try:
        return await trio.to_thread.run_sync(_make_directory, parent, f"at-{at_ns}")
    except OSError as exc:
        raise CacheError(f"{parent}: {exc.strerror}", fix="look at cache.directory") from exc


def _make_directory(parent: str, name: str) -> str:
    os.makedirs(parent, mode=0o700, exist_ok=True)
    path = os.path.join(parent, name)
    os.makedirs(path, mode=0o700, exist_ok=True)
    os.utime(path, (time.time(), time.time()))
    with os.scandir(parent) as entries:
        others = [(one.stat().st_mtime, one.path) for one in entries if one.name != name]
    for _, old in sorted(others, reverse=True)[VIEWS_KEPT - 1 :]:
        shutil.rmtree(old, ignore_errors=True)
    return path


def past_match(match: DirectoryMatch, origins: Sequence[str]) -> DirectoryMatch:
    """Return *match* for the past of *origins*: what is learned counts for ever."""
    return replace(match, origins=tuple(origins), ttl_s=math.inf, negative_ttl_s=math.inf)
