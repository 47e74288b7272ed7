"""Rescue: publishes what other nodes left in an emergency place.

Takes each record over into this node's spool: the bytes are read, hashed, made durable here, and
then go the way of every output, with all its rules: create-only, comparing whoever loses, conflicts
into quarantine. The copy goes when that has come to its end. Two rescuers at once end with one
object: the same bytes are a success of both.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import aclosing
from dataclasses import dataclass, replace

import trio
import xxhash

from shotfs.errors import ObjectNotFound, PublishConflict, ShotfsError, Stale, TierCorrupt
from shotfs.publish import rows
from shotfs.publish.compare import same_content
from shotfs.publish.emergency import (
    RECORD_SUFFIX,
    EmergencyRecord,
    node_prefix,
    read_record,
    remove_copy,
)
from shotfs.publish.entry import EmergencyCopy, PublishTerms, SpoolEntry
from shotfs.publish.publisher import Publisher
from shotfs.publish.spool import Spool
from shotfs.publish.spool_file import SpoolFile
from shotfs.publish.upload import Tiers
from shotfs.tiers.base import Revision, Span, Tier

log = logging.getLogger(__name__)

AT_ONCE = 4
"""Records that are taken over at the same time."""

BLOCK_BYTES = 8 * 1024 * 1024

RECORDS_MAX = 100_000
"""The most records that one rescue looks at; the next one goes on."""

TermsOf = Callable[[str, Revision | None], PublishTerms]
"""Under which terms this node publishes a path that replaces a revision; raises if it may not."""


@dataclass(frozen=True, slots=True)
class Rescued:
    """What became of one record.

    Attributes:
        node, serial: who left it.
        path: mount-relative; "" where nobody knows it.
        size_bytes: of its data.
        outcome: published; same (the origin has these bytes); conflict (the origin has others, ours
            are in quarantine here); waits (in this node's spool, not in the origin yet); would (a
            dry run); partial, own, busy, refused, failed (left as it was).
        message: why, where that is to be said.
    """

    node: str
    serial: int
    path: str
    size_bytes: int
    outcome: str
    message: str | None = None


class Rescuer:
    """Takes over what lies in one emergency place.

    Args:
        spool: of this node.
        publisher: of that spool.
        tiers: opens or finds the tier of a root URL.
        terms_of: what this node's specification says of a path.
        url: root URL of the place.
    """

    def __init__(
        self, spool: Spool, publisher: Publisher, tiers: Tiers, terms_of: TermsOf, url: str
    ) -> None:
        self._spool = spool
        self._publisher = publisher
        self._tiers = tiers
        self._terms_of = terms_of
        self._url = url

    async def run(self, node: str | None, *, dry_run: bool) -> list[Rescued]:
        """Take over what *node* left (None: every node); return what became of each record.

        Raises:
            TierError: the place cannot be listed.
        """
        tier = await self._tiers(self._url)
        results: list[Rescued] = []
        limiter = trio.CapacityLimiter(AT_ONCE)

        async def one(revision: Revision) -> None:
            async with limiter:
                results.append(await self._one(tier, revision, dry_run=dry_run))

        found = await self._records(tier, node)
        async with trio.open_nursery() as nursery:
            for revision in found:
                nursery.start_soon(one, revision)
        return sorted(results, key=lambda result: (result.path, result.node, result.serial))

    async def _records(self, tier: Tier, node: str | None) -> list[Revision]:
        nodes = await _prefixes(tier, "") if node is None else [node_prefix(node)]
        records: list[Revision] = []
        for name in nodes:
            for identity in await _prefixes(tier, name):
                async with aclosing(tier.list(f"{name}/{identity}")) as pages:
                    async for page in pages:
                        records.extend(
                            one for one in page.objects if one.key.endswith(RECORD_SUFFIX)
                        )
                        if len(records) >= RECORDS_MAX:
                            return records[:RECORDS_MAX]
        return records

    async def _one(self, tier: Tier, revision: Revision, *, dry_run: bool) -> Rescued:
        key = revision.key.removesuffix(RECORD_SUFFIX)
        try:
            record = await read_record(tier, revision)
        except ObjectNotFound:
            return Rescued("", 0, revision.key, 0, "same", "somebody else was faster")
        except ShotfsError as error:
            return Rescued("", 0, revision.key, 0, "failed", error.message)
        try:
            outcome, message = await self._decide(tier, key, record, dry_run=dry_run)
        except Stale as error:
            outcome, message = "busy", error.message
        except ShotfsError as error:
            outcome, message = "failed", error.message
        size_bytes = record.content.size_bytes
        return Rescued(record.node, record.serial, record.path, size_bytes, outcome, message)

    async def _decide(
        self, tier: Tier, key: str, record: EmergencyRecord, *, dry_run: bool
    ) -> tuple[str, str | None]:
        if record.partial:
            return "partial", record.error or "nobody closed it"
        if record.identity == self._spool.identity and self._is_here(record.serial):
            return "own", "this node publishes it from its spool"
        try:
            terms = self._terms(record)
        except ShotfsError as error:
            return "refused", error.message
        if dry_run:
            return "would", record.error
        if await self._in_origin(terms, record):
            await remove_copy(tier, key)
            return "same", None
        try:
            entry = await self._take_over(tier, key, record, terms)
        except ObjectNotFound as error:
            if await self._in_origin(terms, record):
                return "same", "somebody else was faster"
            return "failed", f"its data is missing: {error.message}"
        return await self._publish(entry)

    def _is_here(self, serial: int) -> bool:
        entries = (*self._spool.entries(), *self._spool.aside())
        return any(entry.serial == serial for entry in entries)

    def _terms(self, record: EmergencyRecord) -> PublishTerms:
        """Return under which terms it is published: this node's, if they lead to the same object.

        A record may come from anybody who can write the emergency place. So it cannot say where
        to publish, only for which path.
        """
        if record.terms is None:
            raise Stale("nobody knows under which terms it was written")
        terms = self._terms_of(record.path, record.terms.base)
        theirs = record.terms.origin, record.terms.key
        if terms.scratch or (terms.origin, terms.key) != theirs:
            raise Stale(
                f"this node's specification has it at {terms.origin}/{terms.key}, the other"
                f" node's at {theirs[0]}/{theirs[1]}"
            )
        return replace(
            terms,
            metadata=record.terms.metadata,
            grace_s=0.0,
            # A copy that is not partial is finished, whatever its template waits for; and it is
            # nothing that a job on this node made.
            renamed=True,
            released=True,
            job="",
        )

    async def _in_origin(self, terms: PublishTerms, record: EmergencyRecord) -> bool:
        tier = await self._tiers(terms.origin)
        try:
            there = await tier.stat(terms.key)
        except ObjectNotFound:
            return False
        return await same_content(tier, there, record.content, self._spool.core.hashing)

    async def _take_over(
        self, tier: Tier, key: str, record: EmergencyRecord, terms: PublishTerms
    ) -> SpoolEntry:
        """Make the record an output of this node, closed and durable; return its entry.

        Raises:
            Stale: this node has an output under that path.
            TierError, SpoolFull, SpoolBroken: nothing was changed.
        """
        if self._spool.get(record.path) is not None:
            raise Stale("this node has an output of its own under that path")
        data = await tier.stat(key)
        if data.size_bytes != record.content.size_bytes:
            raise TierCorrupt(f"{tier.name}/{key}: has {data.size_bytes} bytes, not those written")

        async def fill(file: SpoolFile) -> None:
            digest = xxhash.xxh3_128()
            for start in range(0, data.size_bytes, BLOCK_BYTES):
                span = Span(start, min(start + BLOCK_BYTES, data.size_bytes))
                block = await tier.read(data, span)
                digest.update(block)
                await file.write(start, block)
            if digest.hexdigest() != record.content.checksums.xxh128:
                raise TierCorrupt(f"{tier.name}/{key}: is not what was written: wrong digest")

        # Without a name until it is filled, so that nobody here opens half of it.
        file = await self._spool.create_copy(
            record.path, mode=record.mode, uid=record.uid, gid=record.gid, terms=terms, fill=fill
        )
        entry, core = file.entry, self._spool.core
        with trio.CancelScope(shield=True):
            try:
                await self._spool.set_attributes(entry, mtime_ns=record.mtime_ns)
                entry.tried = record.tried
                await file.flush()
                # Once published it takes the copy away, also after a restart.
                entry.emergency = (EmergencyCopy(self._url, key, record.path, done=True),)
                await core.journal.commit(rows.emergency_changed(entry))
            finally:
                await file.close()
        return entry

    async def _publish(self, entry: SpoolEntry) -> tuple[str, str | None]:
        try:
            await self._publisher.publish_now(entry)
        except PublishConflict as error:
            await self._publisher.forget_copies(entry)
            return "conflict", error.message
        except ShotfsError as error:
            return "waits", error.message
        return "published", None


async def _prefixes(tier: Tier, prefix: str) -> list[str]:
    names: list[str] = []
    async with aclosing(tier.list(prefix)) as pages:
        async for page in pages:
            names.extend(page.prefixes)
    return names
