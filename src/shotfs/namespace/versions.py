"""Versions: whether a version directory is open, being sealed, or sealed for ever.

A version is published as a whole (`Immutable.ON_VERSION_PUBLISH`): its manifest is put into the
origin, first as "sealing", then as "sealed". A sealed version is its manifest: what is in it is
answered from memory, or from this node's disk after a restart, and nobody is asked again. One event
loop; every question goes out once, however many wait for it.
"""

from __future__ import annotations

import contextlib
import logging
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from enum import StrEnum, auto

import trio

from shotfs.errors import ObjectNotFound, PreconditionFailed, RecordInvalid
from shotfs.namespace.alias_document import parse_time
from shotfs.namespace.beside import beside_the_event_loop
from shotfs.namespace.manifests import BYTES_MAX, Manifest, decode, encode, key_of, snapshot_of
from shotfs.namespace.own_objects import put_own, read_own, stat_own
from shotfs.namespace.records import Records
from shotfs.namespace.retraction_document import Retraction
from shotfs.namespace.single_flight import SingleFlight
from shotfs.namespace.snapshots import TreeSnapshot
from shotfs.namespace.tier_pool import TierSource
from shotfs.tiers.base import Revision, Tier

log = logging.getLogger(__name__)

OPEN_MAX = 20_000
"""Versions of which it is remembered that they are open."""

DAMAGED_MAX = 1_000
"""Manifests of which it is remembered that they are damaged."""

SEALED_FILES_MAX = 200_000
"""Files of all sealed versions in memory together; one takes about 600 bytes. The version that was
used last stays, however large; the others are read from this node's disk again."""


class SealState(StrEnum):
    """How far a version is."""

    OPEN = auto()
    """Whoever may write it can change it."""
    SEALING = auto()
    """Somebody publishes it: nobody writes, and what it will be is not known yet."""
    SEALED = auto()
    """Published: it is its manifest, for ever."""


@dataclass(frozen=True, slots=True)
class Seal:
    """What is known of a version directory.

    Attributes:
        state: how far it is.
        by: who publishes it or has published it; "" while it is open.
        at: since when nobody may write it, as the manifest says; "" while it is open.
        why: in the words of whoever published it.
        attempt: of the manifest; see `Manifest`.
        revision: of the manifest's object; None without one, or where it came from our disk.
        snapshot: what is in it; None unless it is sealed.
        retracted: why it is not to be seen; None: it is, or nobody asked.
    """

    state: SealState
    by: str = ""
    at: str = ""
    why: str = ""
    attempt: str = ""
    revision: Revision | None = None
    snapshot: TreeSnapshot | None = None
    retracted: Retraction | None = None

    @property
    def at_ns(self) -> int:
        """`at` in nanoseconds since the epoch; 0 while it is open."""
        return int(parse_time(self.at) * 1e6) * 1000 if self.at else 0


OPEN = Seal(SealState.OPEN)

_Key = tuple[str, str]


@dataclass(frozen=True, slots=True)
class _Damaged:
    """What was found instead of a manifest: its revision, when it was asked for, what is wrong."""

    revision: Revision
    asked_s: float
    message: str
    fix: str | None

    def error(self) -> RecordInvalid:
        """Return a new error: one that is raised again and again would grow."""
        return RecordInvalid(self.message, fix=self.fix)


class Versions:
    """Answers how far versions are, and puts their manifests.

    A version is named by the root URL of its origin and its directory's path below that (which is
    its path relative to the show).

    Args:
        tiers: whom to ask.
        nursery: where questions run; it must outlive every caller.
        records: where manifests of sealed versions outlive a restart.
        monotonic_s: a clock for times to live that a test may replace.
        wall_s: the time of day, seconds since the epoch; likewise.
    """

    def __init__(
        self,
        tiers: TierSource,
        nursery: trio.Nursery,
        records: Records,
        *,
        monotonic_s: Callable[[], float] = time.monotonic,
        wall_s: Callable[[], float] = time.time,
    ) -> None:
        self._tiers = tiers
        self._records = records
        self._now_s = monotonic_s
        self._wall_s = wall_s
        self._unsealed: OrderedDict[_Key, tuple[Seal, float]] = OrderedDict()
        self._sealed: OrderedDict[_Key, Seal] = OrderedDict()
        self._sealed_files = 0
        self._damaged: OrderedDict[_Key, _Damaged] = OrderedDict()
        self._closed_here: dict[_Key, Seal] = {}
        self._questions: SingleFlight[_Key, Seal] = SingleFlight(nursery)

    # --- asking ----------------------------------------------------------------------------------

    def peek(self, origin: str, version: str) -> Seal | None:
        """Return the sealed version if it is in memory; None says nothing."""
        return self._sealed.get((origin, version))

    async def seal_of(self, origin: str, version: str, ttl_s: float) -> Seal:
        """Return how far the version is, as of at most *ttl_s* seconds ago.

        Raises:
            TierError: its origin had to be asked and could not answer.
            RecordInvalid: its manifest is damaged.
        """
        key = (origin, version)
        sealed = self._sealed.get(key)
        if sealed is not None:
            self._sealed.move_to_end(key)
            return sealed
        closed = self._closed_here.get(key)
        if closed is not None:
            return closed
        known = self._unsealed.get(key)
        if known is not None and self._now_s() - known[1] < ttl_s:
            return known[0]
        damaged = self._damaged.get(key)
        if damaged is not None and self._now_s() - damaged.asked_s < ttl_s:
            raise damaged.error()
        return await self._questions.do(key, lambda: self._find(key))

    async def ask(self, origin: str, version: str) -> Seal:
        """Return how far the version is now: only a sealed one is known without a question.

        Raises: as `seal_of`.
        """
        key = (origin, version)
        sealed = self._sealed.get(key) or await self._recalled(key)
        # Not shared with those who asked before: their answer may be older than this question.
        return sealed if sealed is not None else await self._ask(key)

    async def look(self, origin: str, version: str) -> Seal:
        """Return what the origin says now, whatever is known. Learns nothing from it.

        Raises: as `seal_of`.
        """
        tier = await self._tiers.get(origin)
        revision = await stat_own(tier, key_of(version))
        found = None if revision is None else await read_own(tier, revision, bytes_max=BYTES_MAX)
        return OPEN if found is None else await trio.to_thread.run_sync(_seal, *found, version)

    async def has_manifest(self, origin: str, version: str) -> bool:
        """Whether the origin has a manifest of the version now, whatever it says.

        Raises:
            TierError: the origin could not answer.
        """
        tier = await self._tiers.get(origin)
        return await stat_own(tier, key_of(version)) is not None

    async def _find(self, key: _Key) -> Seal:
        recalled = None if key in self._unsealed else await self._recalled(key)
        return recalled or await self._ask(key)

    async def _ask(self, key: _Key) -> Seal:
        origin, version = key
        tier = await self._tiers.get(origin)
        asked_s = self._now_s()
        revision = await stat_own(tier, key_of(version))
        known, damaged = self._unsealed.get(key), self._damaged.pop(key, None)
        if revision is None:
            seal = OPEN
        elif known is not None and known[0].revision == revision:
            seal = known[0]
        elif damaged is not None and damaged.revision == revision:
            self._damaged[key] = replace(damaged, asked_s=asked_s)
            raise damaged.error()
        else:
            try:
                seal = await self._read(tier, key, revision)
            except RecordInvalid as exc:
                self._note_damaged(key, _Damaged(revision, asked_s, exc.message, exc.fix))
                raise
        return self._learned(key, seal, asked_s)

    def _note_damaged(self, key: _Key, damaged: _Damaged) -> None:
        """Remember it: each look-up below the version would read the whole manifest again."""
        self._unsealed.pop(key, None)
        self._damaged[key] = damaged
        if len(self._damaged) > DAMAGED_MAX:
            self._damaged.popitem(last=False)

    async def _read(self, tier: Tier, key: _Key, revision: Revision) -> Seal:
        found = await read_own(tier, revision, bytes_max=BYTES_MAX)
        if found is None:
            return OPEN
        data, revision = found
        seal = await trio.to_thread.run_sync(_seal, data, revision, key[1])
        if seal.state is SealState.SEALED:
            await self._records.write(_record(key), data)
        return seal

    async def _recalled(self, key: _Key) -> Seal | None:
        """Return the sealed version from this node's disk; no origin is asked."""
        data = await self._records.read(_record(key))
        if data is None:
            return None
        origin, version = key
        tier = await self._tiers.get(origin)
        where = Revision(tier.name, key_of(version), len(data), "", 0)
        try:
            seal = await trio.to_thread.run_sync(_seal, data, where, version)
        except RecordInvalid as exc:
            log.warning("the origin is asked instead: %s", exc.message)
            return None
        return self._learned(key, replace(seal, revision=None), self._now_s())

    def _learned(self, key: _Key, seal: Seal, asked_s: float) -> Seal:
        sealed = self._sealed.get(key)
        if sealed is not None:
            return sealed  # whatever an older answer says
        if seal.snapshot is None:
            known = self._unsealed.get(key)
            if known is not None and known[1] > asked_s:
                return known[0]
            self._unsealed[key] = (seal, asked_s)
            self._unsealed.move_to_end(key)
            if len(self._unsealed) > OPEN_MAX:
                self._unsealed.popitem(last=False)
            return seal
        self._unsealed.pop(key, None)
        self._sealed[key] = seal
        self._sealed_files += _weight(seal)
        while self._sealed_files > SEALED_FILES_MAX and len(self._sealed) > 1:
            _, dropped = self._sealed.popitem(last=False)
            self._sealed_files -= _weight(dropped)
        return seal

    # --- publishing ------------------------------------------------------------------------------

    @contextmanager
    def closed_here(self, origin: str, version: str, *, by: str, at: str) -> Iterator[None]:
        """Let nothing new be written below the version on this node for the block.

        What was written before is still uploaded: `ask` does not see this.
        """
        key = (origin, version)
        assert key not in self._closed_here, "one publish of a version at a time"
        self._closed_here[key] = Seal(SealState.SEALING, by=by, at=at)
        try:
            yield
        finally:
            del self._closed_here[key]

    async def put_manifest(
        self, origin: str, manifest: Manifest, *, expect: Revision | None
    ) -> Seal:
        """Put the manifest of a version, in place of exactly the one that *expect* is.

        Raises:
            PreconditionFailed: somebody else put another one.
            RecordInvalid: nobody could read it again; nothing was put.
            TierError: as the tier says; it may be there or not.
        """
        key = (origin, manifest.path)
        tier = await self._tiers.get(origin)
        content = await trio.to_thread.run_sync(_encode, manifest)
        at_s = self._wall_s()
        asked_s = self._now_s()
        where = Revision(tier.name, key_of(manifest.path), len(content), "", 0)
        if len(content) > BYTES_MAX:
            raise RecordInvalid(
                f"{tier.name}/{where.key}: would have {len(content)} bytes, at most {BYTES_MAX}"
                " are read",
                fix="let the specification make version directories of parts of it",
            )
        # Before it is put: a sealed version whose manifest cannot be read would be lost.
        seal = await trio.to_thread.run_sync(_seal, content, where, manifest.path)
        revision = await put_own(tier, where.key, content, expect=expect, at_s=at_s)
        seal = replace(seal, revision=revision)
        if seal.state is SealState.SEALED:
            await self._records.write(_record(key), content)
        return self._learned(key, seal, asked_s)

    async def withdraw(self, origin: str, version: str, marker: Seal) -> None:
        """Remove the manifest *marker*, which says that the version is being published.

        Raises:
            TierError: it may be there still. Not if somebody else replaced or removed it.
        """
        assert marker.state is SealState.SEALING
        tier = await self._tiers.get(origin)
        self._unsealed.pop((origin, version), None)
        with contextlib.suppress(ObjectNotFound, PreconditionFailed):
            await tier.delete(key_of(version), expect=marker.revision)


def _encode(manifest: Manifest) -> bytes:
    with beside_the_event_loop():
        return encode(manifest)


def _seal(data: bytes, revision: Revision, version: str) -> Seal:
    where = f"{revision.tier}/{revision.key}"
    with beside_the_event_loop():
        manifest = decode(data, where, tier=revision.tier)
        if manifest.path != version:
            raise RecordInvalid(
                f"{where}: is the manifest of {manifest.path[:200]!r}, not of {version!r}"
            )
        return Seal(
            state=SealState.SEALED if manifest.sealed else SealState.SEALING,
            by=manifest.by,
            at=manifest.at,
            why=manifest.why,
            attempt=manifest.attempt,
            revision=revision,
            snapshot=snapshot_of(manifest, where) if manifest.sealed else None,
        )


def _weight(seal: Seal) -> int:
    return 1 + (0 if seal.snapshot is None else len(seal.snapshot))


def _record(key: _Key) -> str:
    return f"version {key[0]} {key[1]}"
