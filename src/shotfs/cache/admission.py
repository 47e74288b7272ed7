"""Admission: how bytes become a blob, and what happens to those that do not.

Implements what a stream needs (`keeper.Keeper`). Order for each file: reserve room, write the
partial, hash what is on the disk, compare, name the origins, rename, row in the index. A crash
between any two of these leaves a partial (gone on with, or removed, after the next start) or a blob
without a row (taken in by the scan after an unclean end); never a row for bytes that were not
verified. Small files come from memory and take all steps but the row in one visit to a thread; the
row of any file follows while its readers read.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial as bind

import trio

from shotfs.cache.blobs import FSYNC_BYTES_MIN, BlobStore, copy_file
from shotfs.cache.database import Database, IndexUnavailable
from shotfs.cache.descriptor import Descriptor
from shotfs.cache.evictor import Evictor
from shotfs.cache.failures import disk_stalled
from shotfs.cache.hashing import Hashing
from shotfs.cache.index import Index, NewRow, Row, Totals, identity_of
from shotfs.cache.landing import hash_partial, hash_path, land, mismatch, move_in, move_out, unlink
from shotfs.cache.memory import HotRows, Leases
from shotfs.cache.partials import Partial, Partials, make_file, open_file
from shotfs.cache.room import Room
from shotfs.cache.stream import Stream
from shotfs.digest import Buffer, Checksums, Digest, digest_bytes
from shotfs.errors import CacheStalled
from shotfs.observe.metrics import Metrics
from shotfs.tiers.base import Revision

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class AdmissionParts:
    """What admission works with."""

    partials: Partials
    blobs: BlobStore
    database: Database
    evictor: Evictor
    room: Room
    hot: HotRows
    leases: Leases
    disk: trio.CapacityLimiter
    hashing: Hashing
    metrics: Metrics
    nursery: trio.Nursery
    on_totals: Callable[[Totals], None]
    on_corrupt: Callable[[Revision], None] | None


SAVE_S = 2.0
"""How often the maps of what is coming in are saved: as much is fetched again after kill -9."""


RECORDING_MAX = 512
"""Blobs whose rows are being written; more than that, and new content waits for the index."""


SYNC_BYTES_PER_S_MIN = 8 * 1024 * 1024
"""How long bringing a file to the disk may take beyond the deadline: fsync tells of no progress,
and what it waits for may be as large as memory."""


@dataclass(slots=True, eq=False)
class _Coming:
    """What a stream has: reserved room, and for all but small files a file.

    `lock` is held while the room is brought in line with what the stream is going to hold.
    """

    reserved_bytes: int
    partial: Partial | None = None
    written_bytes: int = 0
    lock: trio.Lock = field(default_factory=trio.Lock)


class Admission:
    """Takes content in. Event loop only; files and hashes go to threads."""

    def __init__(self, parts: AdmissionParts) -> None:
        self._parts = parts
        self._coming: dict[Stream, _Coming] = {}
        self._recording: dict[Digest, trio.Event] = {}
        self.verify_failures = 0
        self.unkept = 0

    async def save_forever(self) -> None:
        """Save the maps of what is coming in, now and then."""
        while True:
            await trio.sleep(SAVE_S)
            for stream, coming in tuple(self._coming.items()):
                if coming.partial is not None:
                    await self._parts.partials.save(coming.partial, stream.blocks.pack())

    # --- streams (keeper.Keeper) -----------------------------------------------------------------

    async def reserve(self, stream: Stream) -> bool:
        """Reserve room for a small file; False: there is none."""
        return await self._enter(stream, stream.revision.size_bytes)

    async def prepare(self, stream: Stream) -> Descriptor | None:
        """Make the file, or go on with one that waits; with room for the whole if it is wanted.

        Returns:
            None: there is no room, or no disk to write to.
        """
        descriptor = None
        partial = self._parts.partials.take(stream.revision.identity)
        with trio.CancelScope(shield=partial is not None):
            if partial is not None:
                held_bytes = partial.held_bytes
                self._coming[stream] = _Coming(held_bytes, partial, held_bytes)
                descriptor = await self._go_on(stream, partial)
            elif not await self._enter(stream, 0):
                return None
            if not await self.make_room(stream):
                if descriptor is not None:
                    descriptor.release()
                self.ended(stream)
                return None
        if descriptor is None:
            with trio.CancelScope(shield=True):
                descriptor = await self._make(stream)
        return descriptor

    def may_be_whole(self, stream: Stream) -> bool:
        """Whether an empty cache has room for the whole."""
        return not self._parts.room.never_fits(stream.revision.size_bytes)

    async def make_room(self, stream: Stream) -> bool:
        """Reserve room for what *stream* is going to hold, and give back what it will not.

        A file that never fits as a whole may hold as much as may wait of it: it is all that a
        reader of parts will find again, and one pass over it must not flush the cache.
        """
        coming = self._coming[stream]
        async with coming.lock:
            wanted_bytes = stream.to_hold_bytes
            step = wanted_bytes - coming.reserved_bytes
            if step > 0:
                limit = self._parts.partials.idle_bytes_max
                if not self.may_be_whole(stream) and wanted_bytes > limit:
                    self.unkept += 1
                    return False
                if not await self._find_room(step, files=0):
                    return False
            else:
                self._parts.room.reserve(step, files=0)
            coming.reserved_bytes += step
        return True

    async def _enter(self, stream: Stream, size_bytes: int) -> bool:
        while len(self._recording) >= RECORDING_MAX:
            await next(iter(self._recording.values())).wait()
        if not await self._find_room(size_bytes, files=1):
            return False
        self._coming[stream] = _Coming(size_bytes)
        return True

    async def _find_room(self, size_bytes: int, *, files: int) -> bool:
        """Reserve room; nothing is awaited after it was. False: there is none."""
        try:
            found = await self._free_room(size_bytes, files=files)
        except OSError as error:
            log.warning("cannot ask the disk what is free", extra={"reason": str(error)})
            found = False
        self.unkept += not found
        return found

    async def _free_room(self, size_bytes: int, *, files: int) -> bool:
        evictor = self._parts.evictor
        if self._parts.room.never_fits(size_bytes):
            return False
        # Unfinished files that nobody reads go before any blob does.
        await self._parts.partials.drop_for(size_bytes, files=files)
        if await evictor.make_room(size_bytes, files=files):
            return True
        # Blobs without a row yet cannot be chosen to go.
        await self.flush()
        return await evictor.make_room(size_bytes, files=files)

    async def _go_on(self, stream: Stream, partial: Partial) -> Descriptor | None:
        number = await self._open(partial)
        if number is None:
            self._coming[stream].partial = None
        else:
            stream.blocks.unpack(partial.blocks)
        # None of it, or what its last block lacks: the map counts whole ones.
        self.wrote(stream, stream.blocks.present_bytes - partial.held_bytes)
        return None if number is None else Descriptor(number)

    async def _make(self, stream: Stream) -> Descriptor | None:
        partials, revision = self._parts.partials, stream.revision
        partial = Partial(partials.new_path(), revision.identity, revision.size_bytes)
        self._coming[stream].partial = partial
        try:
            number = await trio.to_thread.run_sync(
                make_file, partial.path, partial.size_bytes, limiter=self._parts.disk
            )
        except OSError as error:
            log.warning("cannot write the cache", extra={"reason": str(error)})
            self.ended(stream)
            self.unkept += 1
            return None
        return Descriptor(number)

    async def _open(self, partial: Partial) -> int | None:
        try:
            return await trio.to_thread.run_sync(
                open_file, partial.path, partial.size_bytes, limiter=self._parts.disk
            )
        except OSError as error:
            log.warning("cannot go on with a partial", extra={"reason": str(error)})
            await self._parts.partials.discard(partial)
            return None

    def wrote(self, stream: Stream, length_bytes: int) -> None:
        """Account for bytes that reached the disk."""
        self._coming[stream].written_bytes += length_bytes
        self._parts.room.wrote(length_bytes)

    async def admit_small(self, stream: Stream, content: Buffer) -> Digest | None:
        """Make *content* a blob; None: the bytes are not what was promised.

        Raises:
            OSError, CacheError: it cannot be kept.
        """
        parts, revision = self._parts, stream.claims.completed(stream.revision)
        # Named before it is written, so that no eviction of the same content comes between.
        digest = digest_bytes(content)
        with self._leased(stream, digest), trio.CancelScope(shield=True):
            await parts.evictor.wait_gone(digest)
            found, wrong = await trio.to_thread.run_sync(
                land, parts.blobs, parts.partials.new_path(), content, digest, revision,
                limiter=parts.disk,
            )  # fmt: skip
            if wrong is None:
                self._admitted(stream, found)
        if wrong is not None:
            # Not before the lease has ended: who has left `_coming` inside it is a blob.
            self._report(stream, wrong)
            self._release(stream)
            return None
        return digest

    async def verify_and_admit(self, stream: Stream) -> Digest | None:
        """Make the complete file a blob; None: the bytes are not what was promised.

        Raises:
            OSError, CacheError: it cannot be kept.
        """
        revision, progress = stream.claims.completed(stream.revision), stream.verification
        partial = self._coming[stream].partial
        assert partial is not None
        found = await self._parts.hashing.run(
            partial.path, bind(hash_partial, partial.path, revision), progress
        )
        wrong = mismatch(found, revision.checksums)
        if wrong is not None:
            self._report(stream, wrong)
            return None
        digest = found.xxh128
        assert digest is not None
        with self._leased(stream, digest), trio.CancelScope(shield=True):
            async with partial.lock:
                if _is_synced(revision):
                    progress.step(silent_s=revision.size_bytes / SYNC_BYTES_PER_S_MIN)
                await self._move_in(partial.path, digest, revision, sync=_is_synced(revision))
                partial.gone = True
                if partial.blocks:
                    # After the rename: content without a map is garbage, and so is the opposite.
                    await trio.to_thread.run_sync(
                        unlink, partial.map_path, limiter=self._parts.disk
                    )
            self._admitted(stream, found)
        return digest

    async def paused(self, stream: Stream) -> None:
        """Nobody reads it for now: keep what is here, without the room that it would fill."""
        coming = self._release(stream)
        if coming is not None and coming.partial is not None:
            await self._parts.partials.keep(
                coming.partial, stream.blocks.pack(), stream.blocks.present_bytes
            )

    def ended(self, stream: Stream) -> None:
        """Take back what a stream that did not become a blob has: room and file."""
        stream.claims.clear()  # they are of the bytes that go
        coming = self._release(stream)
        if coming is not None and coming.partial is not None:
            self._parts.nursery.start_soon(self._parts.partials.discard, coming.partial)

    @property
    def unrecorded(self) -> int:
        """How many blobs wait for their rows."""
        return len(self._recording)

    async def recorded(self, digest: Digest) -> None:
        """Return when the blob has its row, or gets none.

        Raises:
            CacheStalled: the disk of the index does not answer.
        """
        limit_s = self._parts.hashing.deadline_s
        with trio.move_on_after(limit_s) as scope:
            await self._recorded(digest)
        if scope.cancelled_caught:
            raise disk_stalled(f"the row of {digest}", limit_s)

    async def _recorded(self, digest: Digest) -> None:
        while digest in self._recording:
            await self._recording[digest].wait()

    async def flush(self) -> None:
        """Return when every blob of now has its row, or gets none."""
        for digest in tuple(self._recording):
            await self._recorded(digest)

    # --- other ways in ---------------------------------------------------------------------------

    async def adopt(self, path: str, digest: Digest, revision: Revision) -> bool:
        """Make a sealed file a blob; see `Cache.adopt`."""
        parts = self._parts
        size_bytes = revision.size_bytes
        try:
            same_disk = os.stat(path).st_dev == os.stat(parts.partials.directory).st_dev
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

    async def _adopt(
        self, path: str, digest: Digest, revision: Revision, *, same_disk: bool
    ) -> bool:
        parts, source = self._parts, path
        try:
            if not same_disk:
                source = parts.partials.new_path()
                await trio.to_thread.run_sync(copy_file, path, source, limiter=self._parts.disk)
            found = await parts.hashing.run_or_stall(
                source, bind(hash_path, source, revision.size_bytes)
            )
            if found != digest:
                self.count_failure()
                log.error("a published file changed before it was adopted", extra={"path": path})
                return False
            await parts.evictor.wait_gone(digest)
            was_here = parts.blobs.exists(digest)
            await self._move_in(source, digest, revision, sync=True)
            row = NewRow(identity_of(revision), Checksums(xxh128=digest), revision.size_bytes, True)
            try:
                parts.on_totals(await parts.database.call_behind(Index.admit, [row]))
            except IndexUnavailable:
                # Else it has a row of its own, or is about to.
                if not was_here and digest not in self._recording:
                    await trio.to_thread.run_sync(
                        move_out, parts.blobs, digest, source, limiter=parts.disk
                    )
                raise
            parts.hot.put(row.identity, Row(digest, row.size_bytes, proven=True))
        except (OSError, IndexUnavailable, CacheStalled) as error:
            log.warning("cannot adopt a file", extra={"path": path, "reason": str(error)})
            return False
        finally:
            if source != path:
                await trio.to_thread.run_sync(unlink, source, limiter=parts.disk)
        return True

    # --- steps -----------------------------------------------------------------------------------

    @contextmanager
    def _leased(self, stream: Stream, digest: Digest) -> Iterator[None]:
        """Keep the blob from eviction while it becomes one, and then for each reader."""
        leases = self._parts.leases
        leases.add(digest)
        try:
            yield
            # Nothing is awaited from here until the stream is COMPLETE.
            if stream not in self._coming:
                leases.add(digest, stream.readers)
        finally:
            leases.remove(digest)

    async def _move_in(
        self, source: str, digest: Digest, revision: Revision, *, sync: bool
    ) -> None:
        """Rename a verified file into place."""
        parts = self._parts
        await parts.evictor.wait_gone(digest)
        await trio.to_thread.run_sync(
            move_in, parts.blobs, source, digest, revision, sync, limiter=parts.disk
        )

    def _admitted(self, stream: Stream, found: Checksums) -> None:
        """It is a blob: known from now on, while its row is being written."""
        coming, revision = self._coming.pop(stream), stream.revision
        digest = found.xxh128
        assert digest is not None
        self._parts.hot.put(identity_of(revision), Row(digest, revision.size_bytes, proven=True))
        recorded = self._recording[digest] = trio.Event()
        self._parts.nursery.start_soon(self._record_later, coming, found, revision, recorded)

    async def _record_later(
        self, coming: _Coming, found: Checksums, revision: Revision, recorded: trio.Event
    ) -> None:
        digest = found.xxh128
        assert digest is not None
        try:
            with trio.CancelScope(shield=True):
                row = NewRow(
                    identity_of(revision), found, revision.size_bytes, _is_synced(revision)
                )
                self._parts.on_totals(await self._parts.database.call_behind(Index.admit, [row]))
        except IndexUnavailable as error:
            self._parts.hot.drop_blob(digest)
            log.warning("not kept", extra={"key": revision.key, "reason": str(error)})
        finally:
            # Its row counts it, or nothing does: room that was reserved is not counted twice.
            self._parts.room.release(coming.reserved_bytes, coming.written_bytes)
            if self._recording.get(digest) is recorded:  # not of the same content once more
                del self._recording[digest]
            recorded.set()

    def _release(self, stream: Stream) -> _Coming | None:
        coming = self._coming.pop(stream, None)
        if coming is not None:
            self._parts.room.release(coming.reserved_bytes, coming.written_bytes)
        return coming

    def _report(self, stream: Stream, wrong: str) -> None:
        revision = stream.revision
        self.count_failure()
        log.error(
            "content does not match what the origin promises",
            extra={
                "tier": revision.tier, "key": revision.key, "version": revision.version,
                "attempt": stream.attempt, "reason": wrong,
            },
        )  # fmt: skip
        if self._parts.on_corrupt is not None:
            self._parts.on_corrupt(revision)

    def count_failure(self) -> None:
        """Count content that was wrong."""
        self.verify_failures += 1
        self._parts.metrics.cache_verify_failures.inc()


def _is_synced(revision: Revision) -> bool:
    """Whether a fetched file is fsynced before it is a blob."""
    return revision.size_bytes >= FSYNC_BYTES_MIN
