"""Admission: how bytes become a blob, and what happens to those that do not.

Implements what a stream needs (`stream.Keeper`). Order for each file: reserve room, write the
partial, hash what is on the disk, compare, name the origins, rename, row in the index. A crash
between any two of these leaves a partial (removed at start) or a blob without a row (taken in by
the scan after an unclean end); never a row for bytes that were not verified.
"""

from __future__ import annotations

import errno
import logging
import os
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from itertools import count

import trio

from shotfs.cache.blobs import FSYNC_BYTES_MIN, BlobStore, copy_file
from shotfs.cache.database import Database, IndexUnavailable
from shotfs.cache.descriptor import Descriptor
from shotfs.cache.evictor import Evictor
from shotfs.cache.index import Index, Row, Totals, identity_of
from shotfs.cache.memory import HotRows, Leases
from shotfs.cache.room import Room
from shotfs.cache.stream import Stream
from shotfs.digest import Checksums, Digest, digest_bytes, hash_file
from shotfs.observe.metrics import Metrics
from shotfs.tiers.base import Revision

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class AdmissionParts:
    """What admission works with."""

    partials: str
    blobs: BlobStore
    database: Database
    evictor: Evictor
    room: Room
    hot: HotRows
    leases: Leases
    disk: trio.CapacityLimiter
    hashing: trio.CapacityLimiter
    metrics: Metrics
    nursery: trio.Nursery
    drop_idle_for: Callable[[int], Awaitable[None]]
    on_totals: Callable[[Totals], None]
    on_corrupt: Callable[[Revision], None] | None


@dataclass(slots=True)
class _Partial:
    path: str
    size_bytes: int
    written_bytes: int = 0


class Admission:
    """Takes content in. Event loop only; files and hashes go to threads."""

    def __init__(self, parts: AdmissionParts) -> None:
        self._parts = parts
        self._partials: dict[Stream, _Partial] = {}
        self._numbers = count()
        self.verify_failures = 0
        self.unkept = 0

    # --- streams (stream.Keeper) -----------------------------------------------------------------

    async def prepare(self, stream: Stream) -> Descriptor | None:
        """Reserve room and make the file; None: there is no room, or no disk to write to."""
        size_bytes = stream.revision.size_bytes
        # Unfinished files that nobody reads go before any blob does.
        await self._parts.drop_idle_for(size_bytes)
        if not await self._parts.evictor.make_room(size_bytes):
            self.unkept += 1
            return None
        partial = _Partial(self._new_path(), size_bytes)
        self._partials[stream] = partial
        try:
            with trio.CancelScope(shield=True):
                number = await trio.to_thread.run_sync(
                    _create, partial.path, limiter=self._parts.disk
                )
        except OSError as error:
            log.warning("cannot write the cache", extra={"reason": str(error)})
            self.ended(stream)
            self.unkept += 1
            return None
        return Descriptor(number)

    def wrote(self, stream: Stream, length_bytes: int) -> None:
        """Account for bytes that reached the disk."""
        self._partials[stream].written_bytes += length_bytes
        self._parts.room.wrote(length_bytes)

    async def verify_and_admit(self, stream: Stream) -> Digest | None:
        """Make the complete file a blob; None: the bytes are not what was promised.

        Raises:
            OSError, CacheError: it cannot be kept.
        """
        revision = stream.revision
        assert stream.descriptor is not None
        with stream.descriptor.using() as number:
            found = await trio.to_thread.run_sync(
                _hash, number, revision, limiter=self._parts.hashing
            )
        wrong = _mismatch(found, revision.checksums)
        if wrong is not None:
            self._report(stream, wrong)
            return None
        digest = found.xxh128
        assert digest is not None
        self._parts.leases.add(digest)
        try:
            with trio.CancelScope(shield=True):
                await self._admit(self._partials[stream].path, found, revision)
            # Nothing is awaited from here until the stream is COMPLETE.
            self._settle(stream)
            self._parts.leases.add(digest, stream.readers)
        finally:
            self._parts.leases.remove(digest)
        return digest

    def ended(self, stream: Stream) -> None:
        """Take back what a stream that did not become a blob has: room and file."""
        partial = self._settle(stream)
        if partial is not None:
            self._parts.nursery.start_soon(self._discard, partial.path)

    # --- other ways in ---------------------------------------------------------------------------

    async def adopt(self, path: str, digest: Digest, revision: Revision) -> bool:
        """Make a sealed file a blob; see `Cache.adopt`."""
        parts = self._parts
        size_bytes = revision.size_bytes
        try:
            same_disk = os.stat(path).st_dev == os.stat(parts.partials).st_dev
        except OSError as error:
            log.warning("cannot adopt a file", extra={"path": path, "reason": str(error)})
            return False
        if not await parts.evictor.make_room(size_bytes, on_disk=same_disk):
            return False
        parts.leases.add(digest)
        try:
            with trio.CancelScope(shield=True):
                adopted = await self._adopt(path, digest, revision, same_disk=same_disk)
        finally:
            parts.leases.remove(digest)
            parts.room.release(size_bytes, 0)
        return adopted

    async def prove(self, row: Row) -> bool:
        """Hash a blob that a power cut may have damaged; False: it is gone or wrong."""
        path = self._parts.blobs.path(row.digest)
        try:
            found = await trio.to_thread.run_sync(
                _hash_path, path, row.size_bytes, limiter=self._parts.hashing
            )
        except OSError:
            return False
        if found != row.digest:
            self._count_failure()
            log.error("a blob was damaged while the machine was off", extra={"path": path})
            return False
        await self._parts.database.call(Index.prove, row.digest)
        return True

    async def _adopt(
        self, path: str, digest: Digest, revision: Revision, *, same_disk: bool
    ) -> bool:
        source = path
        try:
            if not same_disk:
                source = self._new_path()
                await trio.to_thread.run_sync(copy_file, path, source, limiter=self._parts.disk)
            found = await trio.to_thread.run_sync(
                _hash_path, source, revision.size_bytes, limiter=self._parts.hashing
            )
            if found != digest:
                self._count_failure()
                log.error("a published file changed before it was adopted", extra={"path": path})
                return False
            await self._admit(source, Checksums(xxh128=digest), revision, sync=True)
        except (OSError, IndexUnavailable) as error:
            log.warning("cannot adopt a file", extra={"path": path, "reason": str(error)})
            return False
        finally:
            if source != path:
                await self._discard(source)
        return True

    # --- steps -----------------------------------------------------------------------------------

    async def _admit(
        self, source: str, checksums: Checksums, revision: Revision, *, sync: bool | None = None
    ) -> None:
        """Rename a verified file into place and give it a row."""
        parts = self._parts
        digest = checksums.xxh128
        assert digest is not None
        if sync is None:
            sync = revision.size_bytes >= FSYNC_BYTES_MIN
        await parts.evictor.wait_gone(digest)
        await trio.to_thread.run_sync(
            _move_in, parts.blobs, source, digest, revision, sync, limiter=parts.disk
        )
        identity = identity_of(revision)
        totals = await parts.database.call(_row_in, identity, checksums, revision.size_bytes, sync)
        parts.on_totals(totals)
        parts.hot.put(identity, Row(digest, revision.size_bytes, proven=True))

    def _settle(self, stream: Stream) -> _Partial | None:
        partial = self._partials.pop(stream, None)
        if partial is not None:
            self._parts.room.release(partial.size_bytes, partial.written_bytes)
        return partial

    def _report(self, stream: Stream, wrong: str) -> None:
        revision = stream.revision
        self._count_failure()
        log.error(
            "content does not match what the origin promises",
            extra={
                "tier": revision.tier, "key": revision.key, "version": revision.version,
                "attempt": stream.attempt, "reason": wrong,
            },
        )  # fmt: skip
        if self._parts.on_corrupt is not None:
            self._parts.on_corrupt(revision)

    def _count_failure(self) -> None:
        self.verify_failures += 1
        self._parts.metrics.cache_verify_failures.inc()

    def _new_path(self) -> str:
        return f"{self._parts.partials}/{next(self._numbers)}"

    async def _discard(self, path: str) -> None:
        with trio.CancelScope(shield=True):
            await trio.to_thread.run_sync(_unlink, path, limiter=self._parts.disk)


def _create(path: str) -> int:
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)


def _unlink(path: str) -> None:
    try:
        os.unlink(path)
    except OSError as error:
        if error.errno != errno.ENOENT:
            log.warning("cannot unlink", extra={"path": path, "reason": str(error)})


def _hash(number: int, revision: Revision) -> Checksums:
    promised = revision.checksums
    try:
        return hash_file(
            number,
            revision.size_bytes,
            md5=promised.md5 is not None,
            crc32c=promised.crc32c is not None,
        )
    except EOFError:
        # Shorter than promised: as wrong as any other content. No digest equals this one's.
        return Checksums()


def _hash_path(path: str, size_bytes: int) -> Digest | None:
    """Return the digest of a file; None: it has another size."""
    number = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        if os.fstat(number).st_size != size_bytes:
            return None
        return hash_file(number, size_bytes).xxh128 if size_bytes else digest_bytes(b"")
    finally:
        os.close(number)


def _mismatch(found: Checksums, promised: Checksums) -> str | None:
    """Return what is wrong with the content, None: nothing."""
    if found.xxh128 is None:
        return "it is shorter than its revision says"
    for name in ("xxh128", "crc32c", "md5"):
        expected, actual = getattr(promised, name), getattr(found, name)
        if expected is not None and expected != actual:
            return f"{name} is {actual}, promised was {expected}"
    return None


def _move_in(
    blobs: BlobStore, source: str, digest: Digest, revision: Revision, sync: bool
) -> None:  # positional, because it is called through run_sync
    blobs.admit(source, digest, revision, sync=sync)


def _row_in(
    index: Index, identity: str, checksums: Checksums, size_bytes: int, sound: bool
) -> Totals:
    return index.admit([identity], checksums, size_bytes, sound=sound)
