"""Publishing versions: what `shotfs version publish` asks a service to do.

A version is published in steps, each of which the origin decides by a precondition, so that a crash
anywhere leaves something that the next attempt, here or on another node, carries on from:
`docs/design/versions.md` has the table.
"""

from __future__ import annotations

import contextlib
import logging
import secrets
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace

import trio

from shotfs.digest import Checksums
from shotfs.errors import (
    DirectoryNotEmpty,
    NotPermitted,
    ObjectNotFound,
    PathNotFound,
    PreconditionFailed,
    PublishedImmutable,
    ShotfsError,
    VersionBusy,
)
from shotfs.namespace import TierPool
from shotfs.namespace.alias_document import parse_time, time_text
from shotfs.namespace.manifests import SEALED, SEALING, Manifest
from shotfs.namespace.versions import Seal, SealState
from shotfs.publish import Kind as EntryKind
from shotfs.publish import Publisher, Spool, SpoolEntry, State
from shotfs.publish.sealing import Awaited, awaited
from shotfs.tiers.base import Revision, Tier
from shotfs.vfs.finder import NodeFinder
from shotfs.vfs.terms import Terms
from shotfs.vfs.version_aliases import AliasDesk, Allowed, MovedAlias
from shotfs.vfs.version_targets import VersionTarget, target_of

log = logging.getLogger(__name__)

SETTLE_S = 1.0
"""Between saying that a version is being published and looking what is in it: uploads of other
nodes that had asked just before are over by then, if they are short."""

TAKE_OVER_S = 60.0
"""After this, a publish that another node began and did not finish is taken to have died."""

OTHERS_MAX = 1_000
"""Attempts of other nodes that this one remembers to have met."""

TAKE_BACK_S = 5.0
"""How long an attempt that failed may take to remove its marker."""

ASKED_AT_ONCE = 16
"""Listings, or questions about single files, that are under way at the same time."""

LOOK_AGAIN_S = 0.2
"""How often outputs that are on their way are looked at."""

NAMED_MAX = 20
"""Files that an error lists; their number is always told."""


@dataclass(frozen=True, slots=True)
class PublishedVersion:
    """A version that is published.

    Attributes:
        path: mount-relative.
        state: "sealed".
        files: how many.
        bytes: of all together.
        by, at, why: who published it, when, and in which words.
        aliases: those that follow it.
        already: it was published before; only aliases were looked after.
    """

    path: str
    state: str
    files: int
    bytes: int
    by: str
    at: str
    why: str
    aliases: tuple[MovedAlias, ...]
    already: bool


class VersionDesk:
    """Publishes versions, for this node.

    Args:
        finder: what lies under a path.
        terms: whether this mount may be written.
        aliases: moves those that follow what is published.
        spool: outputs of this node.
        publisher: takes them to the origin.
        tiers: the origins.
        wall_s: the time of day, seconds since the epoch.
        monotonic_s: a clock that a test may replace.
    """

    def __init__(
        self,
        finder: NodeFinder,
        terms: Terms,
        aliases: AliasDesk,
        *,
        spool: Spool,
        publisher: Publisher,
        tiers: TierPool,
        wall_s: Callable[[], float] = time.time,
        monotonic_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._finder = finder
        self._terms = terms
        self._aliases = aliases
        self._spool = spool
        self._publisher = publisher
        self._tiers = tiers
        self._wall_s = wall_s
        self._monotonic_s = monotonic_s
        self._running: dict[str, str] = {}
        self._others: dict[str, tuple[str, float]] = {}

    # --- publishing ------------------------------------------------------------------------------

    async def publish(
        self,
        path: str,
        *,
        by: str,
        why: str,
        move_aliases: bool,
        deadline_s: float,
        allowed: Allowed,
    ) -> PublishedVersion:
        """Publish the version directory *path*: nothing in it changes from then on.

        Args:
            path: mount-relative.
            by: who asks.
            why: kept in the manifest and in the history of the aliases.
            move_aliases: let the aliases that follow what is published point to it.
            deadline_s: how long outputs of this node may take to arrive in the origin.
            allowed: whether whoever asks may write the directory.

        Raises:
            InvalidArgument: it is no directory that can be published.
            PathNotFound: there is nothing in it.
            NotPermitted, ReadOnly: who asks may not, or the mount is read-only.
            VersionBusy: outputs are not finished, or somebody else publishes it.
            PublishedImmutable: it was published and taken back.
            TierError: the origin could not answer; the next attempt carries on.
        """
        self._terms.check_writable(path)
        target = target_of(self._finder, path)
        self._check_allowed(target, allowed)
        with self._once(path, by):
            seal = await self._finder.versions.ask(target.origin, target.version)
            already = seal.state is SealState.SEALED
            if already:
                await self._check_not_taken_back(target)
                await self._restore(target, seal)
            else:
                seal = await self._seal(target, seal, by, why, deadline_s)
            await self._clean_up(target, seal)
            aliases: tuple[MovedAlias, ...] = ()
            if move_aliases:
                aliases = await self._aliases.follow(target, seal, by, why, already=already)
        return _published(target, seal, aliases, already=already)

    async def _check_not_taken_back(self, target: VersionTarget) -> None:
        """Raise `PublishedImmutable` if the version was taken back: that is for ever, too."""
        line = await self._finder.retractions.ask(target.origin, target.version)
        if line is not None and line.hides:
            fix = f"publish the next version: shotfs version new {target.path}"
            if not line.final:
                fix += f"; or shotfs version restore {target.path}"
            raise PublishedImmutable(f"{target.path}: was {line}", fix=fix)

    async def _seal(
        self, target: VersionTarget, seen: Seal, by: str, why: str, deadline_s: float
    ) -> Seal:
        at = time_text(self._wall_s())
        attempt = f"{self._spool.identity}-{secrets.token_hex(8)}"
        self._check_turn(target, seen)
        manifest = Manifest(target.version, False, by, at, why, attempt, {})
        with self._finder.versions.closed_here(target.origin, target.version, by=by, at=at):
            await self._wait_for_outputs(target, deadline_s)
            try:
                marker = await self._put(target, manifest, seen.revision)
                if marker.state is SealState.SEALED:
                    return marker
                await trio.sleep(SETTLE_S)
                files = await self._tree(target)
                sealed = replace(manifest, sealed=True, files=files)
                return await self._put(target, sealed, marker.revision)
            except BaseException:  # also when this service is told to end
                await self._take_back(target)
                raise

    async def _restore(self, target: VersionTarget, seal: Seal) -> None:
        """Put the manifest of a published version back if somebody deleted it from the origin."""
        versions = self._finder.versions
        if await versions.has_manifest(target.origin, target.version):
            return
        log.warning("%s: its manifest was deleted and is put back", target.path)
        assert seal.snapshot is not None
        files = {name: one for name in seal.snapshot if (one := seal.snapshot.find(name))}
        manifest = Manifest(target.version, True, seal.by, seal.at, seal.why, seal.attempt, files)
        await self._put(target, manifest, None)

    def _check_turn(self, target: VersionTarget, seen: Seal) -> None:
        """Return if nobody else is publishing it; one of this node's before a restart may be."""
        if seen.state is SealState.OPEN or self._is_ours(seen):
            return
        age_s = max(self._wall_s() - parse_time(seen.at), self._seen_for_s(target, seen))
        if age_s < TAKE_OVER_S:
            raise VersionBusy(
                f"{target.path}: {seen.by} is publishing it, since {seen.at}",
                fix=f"if that node is gone, try again in {TAKE_OVER_S - age_s:.0f} s",
            )
        log.warning("publish of %s by %s is taken over", target.path, seen.by)

    def _seen_for_s(self, target: VersionTarget, seen: Seal) -> float:
        """Return how long this node knows that somebody else is publishing it.

        Whoever does may have died with a clock that is a year ahead.
        """
        now_s, known = self._monotonic_s(), self._others.get(target.path)
        if known is None or known[0] != seen.attempt:
            if len(self._others) >= OTHERS_MAX:
                self._others.pop(next(iter(self._others)))
            known = self._others[target.path] = (seen.attempt, now_s)
        return now_s - known[1]

    async def _put(
        self, target: VersionTarget, manifest: Manifest, expect: Revision | None
    ) -> Seal:
        versions = self._finder.versions
        try:
            return await versions.put_manifest(target.origin, manifest, expect=expect)
        except PreconditionFailed as exc:
            now = await versions.ask(target.origin, target.version)
            if now.attempt == manifest.attempt and now.state.value == _state(manifest):
                return now  # our own put, whose answer was lost
            if now.state is SealState.OPEN:
                raise VersionBusy(f"{target.path}: was published and withdrawn meanwhile") from exc
            done = "has published" if now.state is SealState.SEALED else "is publishing"
            raise VersionBusy(f"{target.path}: {now.by} {done} it, since {now.at}") from exc

    def _is_ours(self, seal: Seal) -> bool:
        """Whether this node put its manifest, now or before a restart."""
        return seal.attempt.startswith(f"{self._spool.identity}-")

    async def _take_back(self, target: VersionTarget) -> None:
        """Let writers go on after an attempt that failed; if that fails, the next one goes on.

        What is there is asked for: the answer to a put may have been lost. A version that is sealed
        in spite of the failure stays sealed.
        """
        versions = self._finder.versions
        with trio.move_on_after(TAKE_BACK_S) as scope:
            scope.shield = True
            try:
                marker = await versions.ask(target.origin, target.version)
                if marker.state is SealState.SEALING and self._is_ours(marker):
                    await versions.withdraw(target.origin, target.version, marker)
            except ShotfsError as exc:
                log.warning("%s stays closed until it is published: %s", target.path, exc.message)

    # --- this node's outputs ---------------------------------------------------------------------

    async def _wait_for_outputs(self, target: VersionTarget, deadline_s: float) -> None:
        """Return when everything below *target* that this node wrote is in the origin.

        Raises:
            VersionBusy: some is open, was refused, is in quarantine, or takes too long.
        """
        last: list[SpoolEntry] = []
        with trio.move_on_after(deadline_s):
            while True:
                last = list(self._outputs(target))
                stuck = [entry for entry in last if self._is_stuck(entry)]
                if stuck:
                    raise self._unfinished(target, stuck, "are not finished")
                if not last:
                    return
                await self._hurry([entry for entry in last if entry.state is State.OPEN])
                await trio.sleep(LOOK_AGAIN_S)
        raise self._unfinished(target, last, f"are not in the origin after {deadline_s:g} s")

    async def _hurry(self, closed: list[SpoolEntry]) -> None:
        """Publish what is *closed* without waiting for the end of its grace."""
        limiter = trio.CapacityLimiter(ASKED_AT_ONCE)

        async def one(entry: SpoolEntry) -> None:
            # What came of it is looked at by who calls; what may heal is tried again.
            with contextlib.suppress(ShotfsError):
                async with limiter:
                    await self._publisher.publish_now(entry)

        async with trio.open_nursery() as nursery:
            for entry in closed:
                nursery.start_soon(one, entry)

    def _outputs(self, target: VersionTarget) -> Iterator[SpoolEntry]:
        """Yield what stands between *path* and being whole in the origin."""
        for entry in (*self._spool.entries(), *self._spool.aside()):
            written = entry.writers > 0 and not entry.unlinked
            waits = entry.publishable and entry.state is not State.PUBLISHED
            leaves = any(target.has(one.path) for one in entry.delete_after)
            if (target.has(entry.path) and (waits or written)) or leaves:
                yield entry

    def _is_stuck(self, entry: SpoolEntry) -> bool:
        bad = entry.state in (State.QUARANTINED, State.FAILED)
        bad |= awaited(entry) is Awaited.RENAME  # nobody knows whether it is whole
        return bad or entry.aside or entry.writers > 0 or entry.half_written

    def _unfinished(
        self, target: VersionTarget, entries: list[SpoolEntry], what: str
    ) -> VersionBusy:
        rows = [
            f"  {entry.path}: {'open for writing' if entry.writers else entry.state.value}"
            + (f": {entry.error}" if entry.error else "")
            for entry in entries[:NAMED_MAX]
        ]
        if len(entries) > NAMED_MAX:
            rows.append(f"  and {len(entries) - NAMED_MAX} more")
        return VersionBusy(
            f"{target.path}: {len(entries)} outputs of this node {what}:\n" + "\n".join(rows),
            fix="close, publish or remove them (shotfs publish queue), then publish again",
        )

    async def _clean_up(self, target: VersionTarget, seal: Seal) -> None:
        """Forget directories that were made here: the manifest says which there are."""
        assert seal.snapshot is not None
        made = [
            entry.path
            for entry in self._spool.entries()
            if entry.kind is EntryKind.DIRECTORY
            and (entry.path == target.path or target.has(entry.path))
            and seal.snapshot.has_directory(entry.path[len(target.path) + 1 :])
        ]
        for path in sorted(made, key=len, reverse=True):
            try:
                await self._spool.rmdir(path)
            except (DirectoryNotEmpty, PathNotFound):
                log.debug("stays: %s", path)  # a scratch file is in it

    # --- what is in the origin -------------------------------------------------------------------

    async def _tree(self, target: VersionTarget) -> Mapping[str, Revision]:
        """Return every file of the version by its path within it.

        Raises:
            PathNotFound: there is none.
            VersionBusy: there are too many.
            TierError: the origin could not say.
        """
        tier = await self._tiers.get(target.origin)
        files = await target.files(tier)
        if not files:
            raise PathNotFound(f"{target.path}: has no files, so there is nothing to publish")
        whole = await self._with_checksums(tier, target, files)
        start = len(target.version) + 1
        return {key[start:]: one for key, one in whole.items()}

    async def _with_checksums(
        self, tier: Tier, target: VersionTarget, files: Mapping[str, Revision]
    ) -> Mapping[str, Revision]:
        """Return *files* with the checksums that listings of some stores do not carry."""
        if tier.properties.lists_checksums:
            return files
        whole = dict(files)
        limiter = trio.CapacityLimiter(ASKED_AT_ONCE)
        problems: list[ShotfsError] = []

        async def ask(key: str, listed: Revision) -> None:
            try:
                async with limiter:
                    found = await tier.stat(key)
            except ObjectNotFound:
                del whole[key]
            except ShotfsError as exc:
                problems.append(exc)
            else:
                whole[key] = found
                if found != listed:
                    log.info("was replaced while its version is published: %s", key)

        async with trio.open_nursery() as nursery:
            for key, listed in files.items():
                known = await self._known(target, key, listed)
                if known.checksums != Checksums():
                    whole[key] = known
                else:
                    nursery.start_soon(ask, key, listed)
        if problems:
            raise problems[0]
        return whole

    async def _known(self, target: VersionTarget, key: str, listed: Revision) -> Revision:
        """Return *listed*, with its checksums if this node learned them before."""
        path = f"{target.show.name}/{key}"
        resolution = self._finder.resolve(path)
        assert resolution is not None, "the listing had nothing else"
        await self._finder.namespace.recall((path,))
        entry = self._finder.namespace.listed(
            path, listed, resolution.template.policy, listed_at_s=self._wall_s()
        )
        return entry.revision if entry.revision == listed else listed

    # --- rules -----------------------------------------------------------------------------------

    @contextlib.contextmanager
    def _once(self, path: str, by: str) -> Iterator[None]:
        other = self._running.setdefault(path, by)
        if other is not by:
            raise VersionBusy(f"{path}: {other} is publishing it on this node at the moment")
        try:
            yield
        finally:
            del self._running[path]

    def _check_allowed(self, target: VersionTarget, allowed: Allowed) -> None:
        if not target.match.writable:
            raise NotPermitted(f"{target.path}: every template below it has flow 'in'")
        self._aliases.check_may(target.path, target.version, target.match, allowed)


def _state(manifest: Manifest) -> str:
    return SEALED if manifest.sealed else SEALING


def _published(
    target: VersionTarget, seal: Seal, aliases: tuple[MovedAlias, ...], *, already: bool
) -> PublishedVersion:
    assert seal.snapshot is not None
    return PublishedVersion(
        path=target.path,
        state=seal.state.value,
        files=len(seal.snapshot),
        bytes=seal.snapshot.size_bytes,
        by=seal.by,
        at=seal.at,
        why=seal.why,
        aliases=aliases,
        already=already,
    )
