"""One attempt to bring one sealed file to its origin, and what its outcome means.

Owns the rules of S2 and S18: create-only or replace exactly one revision, decided by the store;
whoever loses compares. Scheduling and retrying is `publish.publisher`'s.
"""

from __future__ import annotations

import contextlib
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager, nullcontext

import trio

from shotfs.errors import (
    AccessDenied,
    BucketNotFound,
    ObjectNotFound,
    PreconditionFailed,
    PublishConflict,
    RevisionChanged,
    ShotfsError,
    SpoolBroken,
    Stale,
    TierReadOnly,
    TierUnavailable,
    VersionSealing,
)
from shotfs.namespace.versions import OPEN, Seal, SealState
from shotfs.observe.metrics import Metrics
from shotfs.publish.begun import Aborter, EntrySession, give_up
from shotfs.publish.compare import same_content, verify_upload
from shotfs.publish.core import Core, now_ns
from shotfs.publish.entry import Content, PublishTerms, SpoolEntry, Upload
from shotfs.publish.rival import Rival, look
from shotfs.publish.states import Event, State
from shotfs.tiers.base import Revision, Tier

Tiers = Callable[[str], Awaitable[Tier]]
"""From a root URL to its open tier."""

SealOf = Callable[[str, str], Awaitable[Seal]]
"""`Versions.ask`: how far the version below a root URL is published, as of now."""

UploadTurn = Callable[[str, int, str], AbstractAsyncContextManager[None]]
"""`UploadTurns.turn`: from an origin's name, a size in bytes and what it is, to the turn to send
it."""

NOTHING_STORED = (AccessDenied, BucketNotFound, TierReadOnly, VersionSealing)
"""After these the object is certainly not in the origin; after others it may be."""


class Uploader:
    """Runs uploads and records what came of them.

    Args:
        core: of the spool.
        tiers: opens or finds the tier of an origin.
        metrics: counts outcomes.
        seal_of: says whether a version that is published as a whole still takes files.
        turn: waits until an upload may be sent.
        aborter: has stores forget uploads that nobody goes on with.
    """

    def __init__(
        self,
        core: Core,
        tiers: Tiers,
        metrics: Metrics,
        seal_of: SealOf,
        turn: UploadTurn,
        aborter: Aborter,
    ) -> None:
        self._core = core
        self._tiers = tiers
        self._metrics = metrics
        self._seal_of = seal_of
        self._turn = turn
        self._aborter = aborter

    async def upload(self, entry: SpoolEntry) -> Revision:
        """Upload a sealed (or refused) entry once. Recording the outcome is the caller's.

        Raises:
            PublishConflict: the origin has other bytes; the entry is in quarantine now.
            Stale: it was changed, renamed or removed meanwhile.
            TierError: as the tier said; the entry is sealed again, or failed when the error will
                not go away by itself.
            SpoolFull, SpoolBroken: the file cannot be read, or the journal not be written.
        """
        core = self._core
        async with entry.lock:
            content, terms = self._check_ready(entry)
            core.table.apply(entry, Event.UPLOAD)
            entry.attempts += 1
            upload = entry.upload = Upload(trio.CancelScope(), trio.Event())
            source, mtime_ns = core.data_path(entry), entry.mtime_ns
        revision: Revision | None = None
        problem: ShotfsError | None = None
        try:
            with upload.scope:
                session = EntrySession(core, entry, terms)
                revision = await self._put(terms, content, source, mtime_ns, entry.tried, session)
        except PublishConflict as error:
            problem = error
            upload.rival = await self._rival(terms)
        except ShotfsError as error:
            problem = error
        except OSError as error:
            problem = SpoolBroken(f"{entry.path}: {source} cannot be read: {error}")
        finally:
            # No checkpoint from here to `done`: whoever cancelled us sees the outcome whole.
            self._settle(entry, content, revision, problem)
            entry.upload = None
            upload.done.set()
        if revision is not None:
            return revision
        if isinstance(problem, PublishConflict):
            await self._quarantine(entry, content, problem, upload.rival)
        raise problem or Stale(f"{entry.path}: changed while it was being published")

    def _check_ready(self, entry: SpoolEntry) -> tuple[Content, PublishTerms]:
        ready = entry.state in (State.SEALED, State.FAILED) and not entry.unlinked
        if not ready or entry.content is None or entry.terms is None:
            raise Stale(f"{entry.path}: is {entry.state}, nothing to publish")
        return entry.content, entry.terms

    async def _put(
        self,
        terms: PublishTerms,
        content: Content,
        source: str,
        mtime_ns: int,
        tried: tuple[Content, ...],
        session: EntrySession,
    ) -> Revision:
        tier = await self._tiers(terms.origin)
        if terms.version:
            sealed = await self._in_sealed_version(tier, terms, content, tried)
            if sealed is not None:
                return sealed

        async def put(expect: Revision | None) -> Revision:
            async with self._turn(tier.name, content.size_bytes, terms.key):
                revision = await tier.put(
                    terms.key,
                    source,
                    expect=expect,
                    checksums=content.checksums,
                    mtime_ns=mtime_ns,
                    metadata=terms.metadata,
                    session=session,
                )
            await verify_upload(tier, revision, content)
            if terms.version:
                await self._check_not_late(tier, terms, revision)
            self._metrics.published["published"].inc()
            return revision

        await self._aborter.before(terms)
        try:
            return await put(None if terms.immutable else terms.base)
        except PreconditionFailed as lost:
            revision, same = await self._compare(tier, terms, content, tried, lost)
        if same:
            if terms.version:
                # Whoever stored these bytes may have come too late, as we may have ourselves.
                await self._check_not_late(tier, terms, revision)
            self._metrics.published["same"].inc()
            return revision
        # Ours, from an attempt whose answer never arrived, and mutable: replace it.
        return await put(revision)

    async def _in_sealed_version(
        self, tier: Tier, terms: PublishTerms, content: Content, tried: tuple[Content, ...]
    ) -> Revision | None:
        """Return what a published version has in our place; None while it still takes files.

        Raises:
            VersionSealing: somebody publishes it now; then we shall see.
            PublishConflict: it has other bytes or nothing there; nothing is uploaded any more.
        """
        seal = await self._seal_of(terms.origin, terms.version)
        if seal.state is SealState.OPEN:
            return None
        if seal.snapshot is None:
            raise VersionSealing(
                f"{terms.version}: is being published by {seal.by} since {seal.at}",
                fix=f"if that never ends: shotfs version publish {terms.version}",
            )
        if seal.retracted is not None:
            raise PublishConflict(
                f"{tier.name}/{terms.key}: too late: its version was {seal.retracted}",
                fix="publish them in another version",
            )
        theirs = seal.snapshot.find(_within(terms))
        if theirs is not None and await same_content(tier, theirs, content, self._core.hashing):
            self._metrics.published["same"].inc()
            return theirs
        if theirs is None and content in tried:
            await self._withdraw(tier, terms, content)
        raise _too_late(tier, terms, seal)

    async def _check_not_late(self, tier: Tier, terms: PublishTerms, revision: Revision) -> None:
        """Return if the version was not published while we uploaded, or has what we uploaded.

        Whoever publishes it says so before he looks what there is. So if nobody has said it by
        now, he will find our object.

        Raises:
            TierUnavailable: that is not known yet.
            PublishConflict: it was published without our object.
        """
        seal = await self._seal_of(terms.origin, terms.version)
        if seal.state is SealState.OPEN:
            return
        if seal.snapshot is None:
            raise TierUnavailable(
                f"{terms.version}: is being published by {seal.by} since {seal.at}; whether with"
                f" {terms.key} is not known yet"
            )
        if seal.snapshot.find(_within(terms)) == revision:
            return
        if terms.base is None:
            with contextlib.suppress(ObjectNotFound, PreconditionFailed):
                await tier.delete(terms.key, expect=revision)
        raise _too_late(tier, terms, seal)

    async def _withdraw(self, tier: Tier, terms: PublishTerms, content: Content) -> None:
        """Remove what an earlier attempt stored too late; the version does not have it."""
        with contextlib.suppress(ObjectNotFound, PreconditionFailed, RevisionChanged):
            revision = await tier.stat(terms.key)
            if await same_content(tier, revision, content, self._core.hashing):
                await tier.delete(terms.key, expect=revision)

    async def _compare(
        self,
        tier: Tier,
        terms: PublishTerms,
        content: Content,
        tried: tuple[Content, ...],
        lost: PreconditionFailed,
    ) -> tuple[Revision, bool]:
        """Return what the origin has, and whether that is our content (else an earlier one)."""
        where = f"{tier.name}/{terms.key}"
        try:
            revision = await tier.stat(terms.key)
        except ObjectNotFound as error:
            if terms.base is None:
                raise TierUnavailable(f"{where}: existed a moment ago and is gone") from error
            raise PublishConflict(
                f"{where}: was deleted after this node opened it", fix="publish under a new name"
            ) from lost
        if await same_content(tier, revision, content, self._core.hashing):
            return revision, True
        for earlier in () if terms.immutable else reversed(tried):
            if await same_content(tier, revision, earlier, self._core.hashing):
                return revision, False
        raise PublishConflict(
            f"{where}: the origin has other bytes: {revision.size_bytes} bytes, version"
            f" {revision.version}; ours are {content.size_bytes} bytes, digest"
            f" {content.checksums.xxh128}",
            fix="compare the two, then publish ours under another version",
        ) from lost

    def _settle(
        self,
        entry: SpoolEntry,
        content: Content,
        revision: Revision | None,
        problem: ShotfsError | None,
    ) -> None:
        """Move the state on; pure memory."""
        table = self._core.table
        if revision is not None or isinstance(problem, PublishConflict):
            give_up(self._core, entry)  # the store could not be told that it has ended
        if revision is not None:
            table.apply(entry, Event.PUBLISH)
            entry.revision = revision
            entry.error = None
            for other in tuple(table.renamed_away(entry.path)):
                self._core.forget_objects(other, entry.path)  # this object took its place
            return
        if not isinstance(problem, (*NOTHING_STORED, PublishConflict)):
            entry.note_attempt(content)
        if problem is None or problem.retryable or isinstance(problem, PublishConflict):
            table.apply(entry, Event.RETRY)
        else:
            table.apply(entry, Event.REFUSE)
        entry.error = None if problem is None else problem.message
        self._core.note_state(entry)

    async def _quarantine(
        self,
        entry: SpoolEntry,
        content: Content,
        problem: PublishConflict,
        rival: Rival | None,
    ) -> None:
        async with entry.lock:
            if entry.state is State.SEALED and entry.content is content and not entry.unlinked:
                await self._core.quarantine(entry, problem.message, rival)
                self._metrics.published["conflict"].inc()

    async def _rival(self, terms: PublishTerms) -> Rival | None:
        """Return what the origin has in our place, for people; nothing is decided by it."""
        try:
            return await look(await self._tiers(terms.origin), terms.key, now_ns())
        except ShotfsError as error:
            return Rival(now_ns(), problem=error.message)


def at_once(_origin: str, _size_bytes: int, _what: str) -> AbstractAsyncContextManager[None]:
    """Let every upload go: for publishers that nothing else shares the network with."""
    return nullcontext()


async def all_open(_origin: str, _version: str) -> Seal:
    """Answer for specifications without versions that are published as a whole."""
    return OPEN


def _within(terms: PublishTerms) -> str:
    return terms.key.removeprefix(f"{terms.version}/")


def _too_late(tier: Tier, terms: PublishTerms, seal: Seal) -> PublishConflict:
    return PublishConflict(
        f"{tier.name}/{terms.key}: too late: its version was published by {seal.by} at {seal.at}"
        " without these bytes",
        fix="publish them in another version",
    )
