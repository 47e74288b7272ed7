"""Taking versions back: what `shotfs version retract` and `restore` ask a service to do.

A version that was taken back stays published: its manifest, and its number, are never used again. A
second object beside the manifest says that nobody is to see it. Each step can be repeated after a
crash: `docs/design/versions.md` has the table.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass

import trio

from shotfs.errors import (
    InvalidArgument,
    NotPermitted,
    ObjectNotFound,
    PreconditionFailed,
    ShotfsError,
    VersionBusy,
)
from shotfs.namespace import TierPool
from shotfs.namespace.retraction_document import Retraction, Standing
from shotfs.namespace.versions import Seal, SealState
from shotfs.observe.metrics import Metrics
from shotfs.pathspec import Retract
from shotfs.tiers.base import Revision, Tier
from shotfs.vfs.cached_paths import CachedPaths
from shotfs.vfs.finder import NodeFinder
from shotfs.vfs.terms import Terms
from shotfs.vfs.version_aliases import AliasDesk, MovedAlias
from shotfs.vfs.version_reports import differences
from shotfs.vfs.version_targets import VersionTarget, target_of

log = logging.getLogger(__name__)

DELETES_AT_ONCE = 16
"""Objects that are deleted at the same time."""

NAMED_MAX = 1_000
"""Files that a report names; their number is always told."""

PINS_PAGE = 1_000


@dataclass(frozen=True, slots=True)
class Role:
    """Who asks.

    Attributes:
        by: as histories name him, like ``anna@node17``.
        admin: root, the service's user, or the admin group.
    """

    by: str
    admin: bool

    def published(self, seal: Seal) -> bool:
        """Whether he, be it on another node, has published the version."""
        return self.by.rpartition("@")[0] == seal.by.rpartition("@")[0]


@dataclass(frozen=True, slots=True)
class RetractedVersion:
    """A version that was taken back, or restored, or would be.

    Attributes:
        path: mount-relative.
        state: retracted, restored, deleting, deleted; of a dry run what it would be.
        by, at, why: who did it, when, and in which words; of a dry run ``at`` is "".
        already: it was so before; only what was left was done.
        dry_run: nothing was done.
        files, bytes: in its manifest.
        aliases: those that follow what is published.
        staying: aliases that still point to it: nobody moves them but by hand.
        deleted: how many of its objects were deleted now.
        kept: how many objects were found that are not of it, and stay.
        named: the first of them: (what, path within the version).
        pinned: how many of its files a pin of this node's cache holds.
    """

    path: str
    state: str
    by: str
    at: str
    why: str
    already: bool
    dry_run: bool
    files: int
    bytes: int
    aliases: tuple[MovedAlias, ...]
    staying: tuple[str, ...]
    deleted: int = 0
    kept: int = 0
    named: tuple[tuple[str, str], ...] = ()
    pinned: int = 0


class RetractDesk:
    """Takes versions back, for this node.

    Args:
        finder: what became of versions.
        terms: whether this mount may be written.
        aliases: moves those that follow what is published.
        cached: pins and content of this node's cache.
        tiers: the origins.
        metrics: counts what is done.
    """

    def __init__(
        self,
        finder: NodeFinder,
        terms: Terms,
        aliases: AliasDesk,
        *,
        cached: CachedPaths,
        tiers: TierPool,
        metrics: Metrics,
    ) -> None:
        self._finder = finder
        self._terms = terms
        self._aliases = aliases
        self._cached = cached
        self._tiers = tiers
        self._metrics = metrics

    # --- taking back -----------------------------------------------------------------------------

    async def retract(
        self,
        path: str,
        role: Role,
        *,
        why: str,
        delete: bool = False,
        alias_to: str | None = None,
        pinned_too: bool = False,
        dry_run: bool = False,
    ) -> RetractedVersion:
        """Take the published version directory *path* back: nobody sees it any more.

        Args:
            path: mount-relative.
            role: who asks.
            why: kept in the histories.
            delete: delete its objects, too.
            alias_to: the version that aliases that follow what is published are to point to
                instead; None: where they pointed before.
            pinned_too: delete also what a pin of this node's cache holds.
            dry_run: only say what would be done.

        Raises:
            InvalidArgument: it is no version directory, or not published.
            NotPermitted, ReadOnly: who asks may not, or the mount is read-only.
            PathNotFound: there is no version *alias_to*.
            VersionBusy: it is being published, or pinned.
            TierError: the origin could not answer; the next attempt carries on.
        """
        self._terms.check_writable(path)
        target = self._target(path)
        seal = await self._finder.versions.ask(target.origin, target.version)
        self._check_published(target, seal)
        _check_role(target, seal, role, delete=delete)
        to = None if alias_to is None else await self._aliases.check_published(target, alias_to)
        pinned = len(await self._pinned(target)) if delete else 0
        if pinned and not pinned_too:
            raise VersionBusy(
                f"{target.path}: {pinned} of its files are pinned in this node's cache",
                fix="unpin them (shotfs cache pins), or give --yes to delete them all the same",
            )
        wanted = Standing.DELETED if delete else Standing.RETRACTED
        if dry_run:
            aliases = await self._aliases.would_leave(target, to)
            extra = await self._others(target, seal) if delete else []
            return await self._report(
                target, seal, Retraction(wanted, "", role.by, why), aliases, extra,
                dry_run=True, pinned=pinned,
            )  # fmt: skip

        def choose(last: Retraction | None) -> Standing | None:
            if last is not None and (last.final or (last.hides and not delete)):
                return None
            return Standing.DELETING if delete else Standing.RETRACTED

        line, new = await self._add(target, choose, role, why)
        aliases = await self._aliases.leave(target, role.by, to)
        for alias in await self._aliases.staying(target):
            log.warning("%s: still points to %s, which was %s", alias, target.path, line)
        deleted, extra = 0, list[tuple[str, str]]()
        if delete and line.final:
            # Also what is deleted already: whoever did it may have died before he was through.
            deleted, extra = await self._delete(target, seal)
            line, _ = await self._add(target, _when_deleting, role, why)
        return await self._report(
            target, seal, line, aliases, extra, already=not new, deleted=deleted, pinned=pinned
        )

    def _target(self, path: str) -> VersionTarget:
        if self._finder.alias(path) is not None:
            raise InvalidArgument(
                f"{path}: is an alias, which may point elsewhere by the time that you read this",
                fix=f"name the version: shotfs version show {path}",
            )
        return target_of(self._finder, path)

    def _check_published(self, target: VersionTarget, seal: Seal) -> None:
        if seal.state is SealState.OPEN:
            raise InvalidArgument(
                f"{target.path}: is not published, so there is nothing to take back",
                fix="remove its files, or write them again",
            )
        if seal.snapshot is None:
            raise VersionBusy(
                f"{target.path}: {seal.by} is publishing it, since {seal.at}",
                fix="try again when that is over; a publish that died: shotfs version publish",
            )

    async def _add(
        self,
        target: VersionTarget,
        choose: Callable[[Retraction | None], Standing | None],
        role: Role,
        why: str,
    ) -> tuple[Retraction, bool]:
        line, new = await self._finder.retractions.add(
            target.origin, target.version, choose, by=role.by, why=why
        )
        assert line is not None, "nobody asks for no line where there is none"
        if new:
            self._metrics.retractions[line.standing.value].inc()
        return line, new

    # --- and again -------------------------------------------------------------------------------

    async def restore(self, path: str, role: Role, *, why: str) -> RetractedVersion:
        """Let a version that was taken back count again.

        Args:
            path: mount-relative.
            role: who asks.
            why: kept in the histories.

        Raises:
            InvalidArgument: it is no version directory, or was not taken back.
            NotPermitted, ReadOnly: who asks may not, or the mount is read-only, or its bytes are
                not there any more.
            TierError: the origin could not answer; the next attempt carries on.
        """
        self._terms.check_writable(path)
        target = self._target(path)
        seal = await self._finder.versions.ask(target.origin, target.version)
        self._check_published(target, seal)
        _check_role(target, seal, role, delete=False)

        def choose(last: Retraction | None) -> Standing | None:
            if last is None:
                raise InvalidArgument(f"{target.path}: was not taken back")
            if last.final:
                raise NotPermitted(
                    f"{target.path}: its objects were deleted: it was {last}",
                    fix=f"publish them as the next version: shotfs version new {target.path}",
                )
            return Standing.RESTORED if last.hides else None

        # Before anything is asked of the whole tree.
        choose(await self._finder.retractions.ask(target.origin, target.version))
        await self._check_whole(target, seal)
        line, new = await self._add(target, choose, role, why)
        aliases = await self._aliases.come_back(target, role.by, why)
        return await self._report(target, seal, line, aliases, [], already=not new)

    async def _check_whole(self, target: VersionTarget, seal: Seal) -> None:
        found = await target.files(await self._tiers.get(target.origin))
        missing, changed, _ = await trio.to_thread.run_sync(differences, target, seal, found)
        if missing or changed:
            raise NotPermitted(
                f"{target.path}: {len(missing)} of its files are missing and {len(changed)} are"
                f" other ones, like {[*missing, *changed][0]!r}",
                fix=f"shotfs version verify {target.path} lists them; a bucket that keeps versions"
                " has them still",
            )

    # --- deleting --------------------------------------------------------------------------------

    async def _delete(self, target: VersionTarget, seal: Seal) -> tuple[int, list[tuple[str, str]]]:
        """Delete the objects of the version; return how many, and what else is there."""
        assert seal.snapshot is not None
        snapshot = seal.snapshot
        tier = await self._tiers.get(target.origin)
        revisions = [found for name in snapshot if (found := snapshot.find(name)) is not None]
        deleted = 0
        problems: list[ShotfsError] = []
        limiter = trio.CapacityLimiter(DELETES_AT_ONCE)

        async def one(revision: Revision) -> None:
            nonlocal deleted
            try:
                gone = await delete_exactly(tier, revision)
                deleted += gone
            except ShotfsError as exc:
                problems.append(exc)
                nursery.cancel_scope.cancel()
            finally:
                limiter.release_on_behalf_of(revision.key)

        async with trio.open_nursery() as nursery:
            for revision in revisions:
                await limiter.acquire_on_behalf_of(revision.key)
                nursery.start_soon(one, revision)
        if problems:
            raise problems[0]
        # What is open or pinned stays until nobody needs it.
        await self._cached.drop(revisions)
        return deleted, await self._others(target, seal)

    async def _others(self, target: VersionTarget, seal: Seal) -> list[tuple[str, str]]:
        """Return what lies in the version's directory and is not of it: (what, path within)."""
        found = await target.files(await self._tiers.get(target.origin))
        _, changed, extra = await trio.to_thread.run_sync(differences, target, seal, found)
        return [("changed", name) for name in changed] + [("extra", name) for name in extra]

    async def _pinned(self, target: VersionTarget) -> set[str]:
        """Return the files of the version that a pin of this node's cache holds."""
        found: set[str] = set()
        after: str | None = ""
        while after is not None:
            page, after = await self._cached.pins("", after, PINS_PAGE)
            found.update(one.path for one in page if one.path and target.has(one.path))
        return found

    async def _report(
        self,
        target: VersionTarget,
        seal: Seal,
        line: Retraction,
        aliases: tuple[MovedAlias, ...],
        extra: list[tuple[str, str]],
        *,
        already: bool = False,
        dry_run: bool = False,
        deleted: int = 0,
        pinned: int = 0,
    ) -> RetractedVersion:
        assert seal.snapshot is not None
        hidden = line.hides
        return RetractedVersion(
            path=target.path,
            state=line.standing.value,
            by=line.by,
            at=line.at,
            why=line.why,
            already=already,
            dry_run=dry_run,
            files=len(seal.snapshot),
            bytes=seal.snapshot.size_bytes,
            aliases=aliases,
            staying=await self._aliases.staying(target) if hidden else (),
            deleted=deleted,
            kept=len(extra),
            named=tuple(extra[:NAMED_MAX]),
            pinned=pinned,
        )


async def delete_exactly(tier: Tier, revision: Revision) -> int:
    """Delete exactly this revision; return 1, or 0 if another one or nothing is there."""
    try:
        await tier.delete(revision.key, expect=revision)
    except (ObjectNotFound, PreconditionFailed):
        return 0
    return 1


def _when_deleting(last: Retraction | None) -> Standing | None:
    deleting = last is not None and last.standing is Standing.DELETING
    return Standing.DELETED if deleting else None


def _check_role(target: VersionTarget, seal: Seal, role: Role, *, delete: bool) -> None:
    """Return if who asks may take the version back, or restore it.

    Raises:
        NotPermitted: the specification says that he may not.
    """
    rule = target.match.retract
    if rule is Retract.NEVER:
        raise NotPermitted(
            f'{target.path}: nobody may take it back: its templates say "retract": "never"',
            fix='write "retract": "admin" or "publisher" into them, or into "defaults", and'
            " shotfs spec reload",
        )
    if role.admin or (rule is Retract.PUBLISHER and not delete and role.published(seal)):
        return
    who = "an admin of this node" if rule is Retract.ADMIN or delete else f"{seal.by} or an admin"
    what = "delete it" if delete else "take it back or restore it"
    raise NotPermitted(
        f'{target.path}: only {who} may {what} ("retract": "{rule}")',
        fix="ask somebody of control.admin_group, or root",
    )
