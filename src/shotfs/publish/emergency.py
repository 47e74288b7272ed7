"""The emergency place: where outputs go that cannot reach their origin before this node goes.

A copy is two objects: the data, named by node, spool, serial and digest, and then a record in JSON
beside it that says what it is. The record comes last, and both are put create-only, so that a
record means a whole copy. Nothing is published from here but by `rescue`; what this node publishes
after all takes its copies away. The journal knows of a copy before its first byte is sent.
"""

from __future__ import annotations

import json
import logging
import os
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

import trio

from shotfs.digest import Checksums
from shotfs.errors import (
    ObjectNotFound,
    PreconditionFailed,
    RecordInvalid,
    ShotfsError,
    SpoolBroken,
    TierCorrupt,
    TierError,
)
from shotfs.namespace.own_objects import put_own
from shotfs.observe.metrics import Metrics
from shotfs.publish import rows
from shotfs.publish.compare import same_content, verify_upload
from shotfs.publish.core import Core
from shotfs.publish.data_files import hash_data
from shotfs.publish.entry import (
    Content,
    EmergencyCopy,
    PublishTerms,
    SpoolEntry,
    dump_content,
    dump_contents,
    dump_terms,
    load_content,
    load_contents,
    load_terms,
)
from shotfs.publish.sealing import Awaited, awaited
from shotfs.publish.states import State
from shotfs.publish.upload import Tiers
from shotfs.tiers.base import Revision, Span, Tier

log = logging.getLogger(__name__)

FORMAT = "shotfs-emergency/1"
RECORD_SUFFIX = ".json"

RECORD_BYTES_MAX = 1024 * 1024
"""The largest record that is read; ours have some KiB."""


@dataclass(frozen=True, slots=True)
class EmergencyRecord:
    """What lies in an emergency place: all that is needed to publish it from another node.

    Attributes:
        node: which wrote it.
        identity: of that node's spool.
        serial: in that spool.
        path: mount-relative; "" where nobody knows it.
        partial: nobody has closed these bytes: they are never published.
        state: of the output when it was copied.
        error: why it was not in the origin, if there was a reason.
        content: size and checksums of the data.
        tried: contents that uploads may have stored in the origin.
        terms: under which it was written; None where nobody knows them.
        mode, uid, gid, mtime_ns: its attributes.
        at: when it was copied, ISO 8601.
    """

    node: str
    identity: str
    serial: int
    path: str
    partial: bool
    state: str
    error: str | None
    content: Content
    tried: tuple[Content, ...]
    terms: PublishTerms | None
    mode: int
    uid: int
    gid: int
    mtime_ns: int
    at: str


class EmergencyPlace:
    """Makes, and takes away, copies of one spool's outputs.

    Args:
        core: of the spool.
        tiers: opens or finds the tier of a root URL.
        url: root URL of the place; None: nothing is copied, but earlier copies are taken away.
        node: this node's name.
        metrics: counts copies.

    Attributes:
        url: as given.
    """

    def __init__(
        self, core: Core, tiers: Tiers, url: str | None, node: str, metrics: Metrics
    ) -> None:
        self.url = url
        self._core = core
        self._tiers = tiers
        self._node = node
        self._metrics = metrics

    def has(self, entry: SpoolEntry) -> bool:
        """Whether a whole copy of *entry*, as it is now, was made."""
        name = _name(entry.serial, entry.digest) if entry.digest is not None else None
        return name is not None and any(
            one.done and one.path == entry.path and one.key.endswith(f"/{name}")
            for one in entry.emergency
        )

    def is_partial(self, entry: SpoolEntry) -> bool:
        """Whether nobody has said that the bytes of *entry*, as they are now, are all there are."""
        if entry.content is not None:
            return False
        whole = entry.clean and not entry.writers and entry.damaged is None
        whole &= awaited(entry) is not Awaited.RENAME
        return not whole or entry.half_written or entry.aside or entry.state is State.FAILED

    async def copy(self, entry: SpoolEntry) -> None:
        """Copy *entry* as it is now. Nothing is copied twice.

        Raises:
            TierError: as the place says; there may be data without a record.
            SpoolFull, SpoolBroken: the file cannot be read, or the journal not be written.
        """
        assert self.url is not None
        try:
            if self.is_partial(entry):
                async with self._snapshot(entry) as (path, content):
                    await self._store(entry, path, content, partial=True)
            else:
                content = entry.content or await self._core.hash_content(entry)
                await self._store(entry, self._core.data_path(entry), content, partial=False)
        except OSError as error:
            self._metrics.emergency_copies["failed"].inc()
            if entry.state is State.PUBLISHED:
                return
            raise SpoolBroken(f"{entry.path}: cannot be read: {error}") from error
        except ShotfsError:
            self._metrics.emergency_copies["failed"].inc()
            raise

    async def _store(
        self, entry: SpoolEntry, source: str, content: Content, *, partial: bool
    ) -> None:
        assert self.url is not None
        digest = content.checksums.xxh128
        assert digest is not None
        key = f"{directory_of(self._node, self._core.identity)}/{_name(entry.serial, digest)}"
        copy = EmergencyCopy(self.url, key, entry.path, done=False)
        if any(replace(one, done=False) == copy and one.done for one in entry.emergency):
            return
        others = tuple(one for one in entry.emergency if one.key != key or one.url != self.url)
        entry.emergency = (*others, copy)
        if entry.journalled and not entry.unlinked:
            await self._core.journal.commit(rows.emergency_changed(entry))
        record = self._record(entry, content, partial=partial)
        tier = await self._tiers(self.url)
        await self._put_data(tier, key, source, content, entry.mtime_ns)
        await put_record(tier, f"{key}{RECORD_SUFFIX}", record)
        if copy in entry.emergency:
            entry.emergency = (*others, replace(copy, done=True))
            self._note(entry)
        else:  # published, or unlinked, while it was being copied
            await remove_copy(tier, key)
            return
        self._metrics.emergency_copies["partial" if partial else "whole"].inc()
        self._metrics.emergency_bytes.inc(content.size_bytes)
        log.warning("%s: copied to %s/%s", entry.path, tier.name, key)

    async def _put_data(
        self, tier: Tier, key: str, source: str, content: Content, mtime_ns: int
    ) -> None:
        try:
            revision = await tier.put(
                key,
                source,
                expect=None,
                checksums=content.checksums,
                mtime_ns=mtime_ns,
                metadata={},
            )
            await verify_upload(tier, revision, content)
        except PreconditionFailed as lost:
            there = await tier.stat(key)
            if not await same_content(tier, there, content, self._core.hashing):
                raise TierCorrupt(f"{tier.name}/{key}: other bytes lie there") from lost

    def _record(self, entry: SpoolEntry, content: Content, *, partial: bool) -> EmergencyRecord:
        return EmergencyRecord(
            node=self._node,
            identity=self._core.identity,
            serial=entry.serial,
            path=entry.path,
            partial=partial,
            state=entry.state.value,
            error=entry.error,
            content=content,
            tried=entry.tried,
            terms=entry.terms,
            mode=entry.mode,
            uid=entry.uid,
            gid=entry.gid,
            mtime_ns=entry.mtime_ns,
            at=datetime.fromtimestamp(time.time(), UTC).isoformat(timespec="seconds"),
        )

    @asynccontextmanager
    async def _snapshot(self, entry: SpoolEntry) -> AsyncIterator[tuple[str, Content]]:
        """Yield a file that holds what *entry* holds now, though somebody may be writing it."""
        await self._core.room.admit(entry.path, 0, entry.size_bytes)
        source, directory = self._core.data_path(entry), self._core.directory
        with tempfile.TemporaryFile(dir=directory) as file:  # without a name: a crash leaves none
            path = f"/proc/self/fd/{file.fileno()}"
            size_bytes = await trio.to_thread.run_sync(
                _copy_bytes, source, file.fileno(), limiter=self._core.disk
            )
            checksums = await trio.to_thread.run_sync(
                hash_data, path, size_bytes, limiter=self._core.hashing
            )
            yield path, Content(size_bytes, checksums)

    # --- taking copies away ----------------------------------------------------------------------

    async def forget(self, entry: SpoolEntry) -> None:
        """Remove the copies of *entry*, which is published or not wanted any more.

        Raises:
            TierUnavailable: some are there still; try again. What the place refuses for good stays
                there, and is forgotten here.
        """
        for copy in entry.emergency:
            try:
                await remove_copy(await self._tiers(copy.url), copy.key)
                self._metrics.emergency_copies["removed"].inc()
            except TierError as error:
                if error.retryable:
                    raise
                log.warning("the emergency copy %s/%s stays: %s", copy.url, copy.key, error.message)
            entry.emergency = tuple(one for one in entry.emergency if one is not copy)
            self._note(entry)

    def _note(self, entry: SpoolEntry) -> None:
        if entry.journalled and not entry.unlinked:
            self._core.journal.post(rows.emergency_changed(entry))


# --- objects -------------------------------------------------------------------------------------


def directory_of(node: str, identity: str) -> str:
    """Return the prefix, below the place, of the copies of one spool."""
    return f"{node_prefix(node)}/{identity}"


def node_prefix(node: str) -> str:
    """Return the prefix, below the place, of a node's copies; any name makes one path element."""
    return quote(node, safe="").replace(".", "%2E") if not node.strip(".") else quote(node, safe="")


def _name(serial: int, digest: str) -> str:
    return f"{serial}-{digest}"


async def put_record(tier: Tier, key: str, record: EmergencyRecord) -> None:
    """Put *record*; in place of an earlier one of the same data under another path.

    Raises:
        PreconditionFailed: somebody else changes it now.
        TierError: as the tier says.
    """
    content = encode(record)
    at_s = time.time()
    try:
        await put_own(tier, key, content, expect=None, at_s=at_s)
    except PreconditionFailed:
        there = await tier.stat(key)
        if (await read_record(tier, there)).path != record.path:
            await put_own(tier, key, content, expect=there, at_s=at_s)


async def read_record(tier: Tier, revision: Revision) -> EmergencyRecord:
    """Return the record that *revision* is.

    Raises:
        RecordInvalid: it is none, or one of a newer shotfs.
        TierError: as the tier says.
    """
    where = f"{tier.name}/{revision.key}"
    if revision.size_bytes > RECORD_BYTES_MAX:
        raise RecordInvalid(f"{where}: has {revision.size_bytes} bytes, which no record has")
    return decode(bytes(await tier.read(revision, Span(0, revision.size_bytes))), where)


async def remove_copy(tier: Tier, key: str) -> None:
    """Remove data and record, in this order: a record without data can still be understood.

    Raises:
        TierError: some of it is there still. That something is absent is no error.
    """
    for one in (key, f"{key}{RECORD_SUFFIX}"):
        try:
            await tier.delete(one, expect=None)
        except ObjectNotFound:
            log.debug("%s/%s: is gone already", tier.name, one)


def encode(record: EmergencyRecord) -> bytes:
    """Return *record* as JSON."""
    document: dict[str, Any] = {name: getattr(record, name) for name in EmergencyRecord.__slots__}
    document["content"] = json.loads(dump_content(record.content) or "null")
    document["tried"] = json.loads(dump_contents(record.tried) or "[]")
    document["terms"] = json.loads(dump_terms(record.terms) or "null")
    return json.dumps({"emergency": FORMAT, **document}, indent=1).encode()


def decode(content: bytes, where: str) -> EmergencyRecord:
    """Return the record that `encode` wrote.

    Raises:
        RecordInvalid: it did not.
    """
    try:
        document = json.loads(content)
        if document.pop("emergency") != FORMAT:
            raise RecordInvalid(f"{where}: is not a record of {FORMAT}")
        sealed = load_content(json.dumps(document.pop("content")))
        tried = load_contents(json.dumps(document.pop("tried")))
        terms = document.pop("terms")
        record = EmergencyRecord(
            content=_checked(sealed),
            tried=tried,
            terms=None if terms is None else load_terms(json.dumps(terms)),
            path=str(document.pop("path")),
            serial=int(document.pop("serial")),
            **document,
        )
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise RecordInvalid(
            f"{where}: is not an emergency record: {error!r}",
            fix="a newer shotfs may have written it; else remove it by hand",
        ) from error
    return record


def _checked(content: Content | None) -> Content:
    if content is None or not isinstance(content.checksums, Checksums):
        raise TypeError("content")
    if not isinstance(content.size_bytes, int) or not isinstance(content.checksums.xxh128, str):
        raise TypeError("content")
    return content


def _copy_bytes(source: str, target: int) -> int:
    """Copy what *source* holds now; return how much that was. Shares blocks where the disk can."""
    descriptor = os.open(source, os.O_RDONLY | os.O_CLOEXEC)
    try:
        left = os.fstat(descriptor).st_size
        done = 0
        while left > done:
            count = os.copy_file_range(descriptor, target, left - done)
            if count == 0:
                break
            done += count
        return done
    finally:
        os.close(descriptor)
