"""The cache: verified content by digest, streams for what is not here yet, limits that hold.

`open_cache` owns the directory, the index, all streams and their tasks. Nothing here knows of
paths, mounts or policies. Runs in the event loop; disk, hash and index work go to threads.
"""

from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial

import trio

from shotfs.cache.admission import Admission, AdmissionParts
from shotfs.cache.blobs import BlobStore
from shotfs.cache.blocks import BLOCK_BYTES
from shotfs.cache.database import Database, IndexUnavailable
from shotfs.cache.descriptor import Descriptor
from shotfs.cache.direct import DirectReader, WindowBudget
from shotfs.cache.directory import CacheDirectory, boot_identity, own_directory
from shotfs.cache.evictor import EvictionResult, Evictor, EvictorParts
from shotfs.cache.files import CachedFile
from shotfs.cache.index import Index, Row, Totals, identity_of
from shotfs.cache.memory import HotRows, Leases, Touches
from shotfs.cache.phase import ENDED
from shotfs.cache.rebuild import adopt_unknown_blobs
from shotfs.cache.room import Room
from shotfs.cache.slots import FetchSlots
from shotfs.cache.stats import CacheStats, RevisionStatus
from shotfs.cache.stream import Fetching, Stream
from shotfs.config.models import CacheSettings, NetworkSettings
from shotfs.digest import Digest
from shotfs.errors import ShotfsError
from shotfs.observe.metrics import Metrics
from shotfs.tiers.base import Revision, Span, Tier

log = logging.getLogger(__name__)

DEADLINE_S = 60.0
TOUCH_INTERVAL_S = 5.0
PARALLEL_MAX = 8
"""Requests of one stream at once: with 8 MiB each, enough for 10 Gbit/s at 50 ms."""

BYTES_IN_FLIGHT_MAX = 128 * 1024 * 1024
WINDOW_BYTES_MAX = 64 * 1024 * 1024
"""Windows of all files that are read without keeping."""

FINISH_BYTES_MAX = 64 * 1024 * 1024
"""A stream up to this size is finished although everybody closed it."""

GRACE_S = 5.0
"""A larger stream goes on for this long after its last reader closed it."""

REJECTED_S = 10.0
"""How long content that was wrong twice is not asked for again."""

FLUSH_S = 20.0
"""How long closing waits for the disk; without it, recent blobs are hashed after a power cut."""

IDLE_STREAMS_MAX = 64
"""Unfinished large streams that wait for their next reader."""

DISK_THREADS = 8
HASH_THREADS = 2


@asynccontextmanager
async def open_cache(
    settings: CacheSettings,
    network: NetworkSettings,
    metrics: Metrics,
    *,
    deadline_s: float = DEADLINE_S,
    on_corrupt: Callable[[Revision], None] | None = None,
) -> AsyncIterator[Cache]:
    """Own the cache directory for the block.

    Args:
        settings: where, and how much.
        network: how much at once.
        metrics: where to count.
        deadline_s: how long a reader waits without progress.
        on_corrupt: told of a revision whose bytes were wrong after some may have been read, so
            that the kernel's pages can be dropped. Called in the event loop; must not block.

    Raises:
        CacheUnsafe: others could write the directory.
        CacheBusy: another process owns it.
        CacheError: it cannot be made.
    """
    directory = await trio.to_thread.run_sync(own_directory, settings.directory)
    try:
        await trio.to_thread.run_sync(directory.empty_partials)
        async with trio.open_nursery() as nursery:
            cache = Cache(
                directory, nursery, settings, network, metrics,
                deadline_s=deadline_s, on_corrupt=on_corrupt,
            )  # fmt: skip
            await cache.start()
            try:
                yield cache
            finally:
                await cache.stop()
                nursery.cancel_scope.cancel()
        # The tasks have ended and nothing uses the files any more.
    finally:
        directory.release()


class Cache:
    """What is here, and what is coming. Made by `open_cache`."""

    def __init__(
        self,
        directory: CacheDirectory,
        nursery: trio.Nursery,
        settings: CacheSettings,
        network: NetworkSettings,
        metrics: Metrics,
        *,
        deadline_s: float,
        on_corrupt: Callable[[Revision], None] | None,
    ) -> None:
        self._directory = directory
        self._nursery = nursery
        self._metrics = metrics
        self._deadline_s = deadline_s
        self._disk = trio.CapacityLimiter(DISK_THREADS)
        self._blobs = BlobStore(directory.blobs)
        self._room = Room(
            settings.bytes_max, settings.files_max, settings.free_bytes_min, directory.free_bytes
        )
        self._database = Database(
            partial(
                Index, directory.index, revisions_max=4 * settings.files_max,
                boot=boot_identity(), was_clean=directory.was_clean,
            ),
            directory.move_index_aside,
            self._start_rebuild,
        )  # fmt: skip
        self._slots = FetchSlots(network.connections_max, BYTES_IN_FLIGHT_MAX)
        self._fetching = Fetching(
            slots=self._slots,
            range_blocks=max(1, network.range_bytes // BLOCK_BYTES),
            parallel=min(PARALLEL_MAX, network.connections_max),
            deadline_s=deadline_s,
        )
        self._windows = WindowBudget(WINDOW_BYTES_MAX)
        self._hot = HotRows()
        self._leases = Leases()
        self._touches = Touches()
        self._streams: dict[str, Stream] = {}
        self._idle: OrderedDict[str, Stream] = OrderedDict()
        self._proving: dict[Digest, trio.Event] = {}
        self._totals_serial = -1
        self._hits = self._misses = 0
        self._rebuilds_unfinished = 0
        self._evictor = Evictor(
            EvictorParts(
                database=self._database, blobs=self._blobs, room=self._room, disk=self._disk,
                metrics=metrics, leases=self._leases.snapshot, on_condemned=self._hot.drop_blob,
                on_totals=self._count,
            )
        )  # fmt: skip
        self._admission = Admission(
            AdmissionParts(
                partials=directory.partials, blobs=self._blobs, database=self._database,
                evictor=self._evictor, room=self._room, hot=self._hot, leases=self._leases,
                disk=self._disk, hashing=trio.CapacityLimiter(HASH_THREADS), metrics=metrics,
                nursery=nursery, drop_idle_for=self._drop_idle_for, on_totals=self._count,
                on_corrupt=on_corrupt,
            )
        )  # fmt: skip

    async def start(self) -> None:
        """Open the index and start what runs in the background."""
        await self._database.start()
        totals = await self._database.call(Index.current)
        self._count(totals)
        # An index that knows of nothing may have been deleted; looking costs nothing if it was not.
        if not self._directory.was_clean or totals.files == 0:
            self._start_rebuild()
        self._nursery.start_soon(self._flush_touches_forever)

    async def stop(self) -> None:
        """Cancel fetches, write what memory holds, close the index, mark the directory clean."""
        with trio.CancelScope(shield=True):
            for stream in tuple(self._streams.values()):
                stream.abandon()
                await stream.finished.wait()
            await self._flush_touches()
            await self._database.aclose()
            await self._mark_clean()

    async def _mark_clean(self) -> None:
        if self._rebuilds_unfinished:
            return  # the next start must look for blobs without a row again
        try:
            with trio.move_on_after(FLUSH_S) as scope:
                await trio.to_thread.run_sync(self._directory.flush, abandon_on_cancel=True)
            if not scope.cancelled_caught:
                await trio.to_thread.run_sync(self._directory.mark_clean)
        except OSError as error:
            log.warning("cannot mark the cache clean", extra={"reason": str(error)})

    # --- the interface ---------------------------------------------------------------------------

    async def open(self, tier: Tier, revision: Revision) -> CachedFile:
        """Open the content of *revision*; it stays until the file is closed.

        A full cache is no error: then the file reads from the tier without keeping. No thread
        and no system call is involved when the row is in memory.

        Args:
            tier: where to fetch from; `revision.tier` is its name.
            revision: what to open, and nothing else ever.
        """
        identity = identity_of(revision)
        row = self._hot.find(identity)
        if row is None and identity not in self._streams:
            row = await self._look_up(identity, revision)
        if row is not None and not row.proven:
            row = await self._prove(identity, row)
        # Nothing is awaited from here to the lease.
        file = CachedFile(self, tier, revision)
        if row is not None and not self._evictor.condemned(row.digest):
            self._lend_blob(file, row.digest)
        else:
            self._misses += 1
            self._metrics.cache_misses.inc()
            self._lend_stream(file, identity)
        return file

    async def known(self, revision: Revision) -> bool:
        """Whether the content is here, whole and verified."""
        identity = identity_of(revision)
        row = self._hot.find(identity) or await self._look_up(identity, revision)
        return row is not None and row.proven and not self._evictor.condemned(row.digest)

    def rejection(self, revision: Revision) -> ShotfsError | None:
        """Return why the content is not asked for now: it was wrong twice; None: it may be."""
        stream = self._streams.get(identity_of(revision))
        return stream.error if stream is not None and stream.rejected else None

    async def digest_of(self, revision: Revision) -> Digest | None:
        """Return the digest that was seen for a revision, whether its blob is here or not."""
        identity = identity_of(revision)
        row = self._hot.find(identity)
        if row is not None:
            return row.digest
        try:
            return await self._database.call(Index.digest_of, identity)
        except IndexUnavailable:
            return None

    async def status_of(self, revision: Revision) -> RevisionStatus:
        """Return how much of a revision is here."""
        if await self.known(revision):
            return RevisionStatus("cached", revision.size_bytes, revision.size_bytes)
        stream = self._streams.get(identity_of(revision))
        if stream is not None and stream.phase not in ENDED:
            return RevisionStatus("partial", stream.blocks.present_bytes, revision.size_bytes)
        return RevisionStatus("remote", 0, revision.size_bytes)

    async def adopt(self, path: str, digest: Digest, size_bytes: int, revision: Revision) -> bool:
        """Make a sealed, published file a blob: moved if on the same disk, else copied.

        Args:
            path: nobody has it open for writing. Gone afterwards if it was moved; a copied file
                is the caller's to remove.
            digest: of its content, computed when it was sealed.
            size_bytes: of its content.
            revision: what the origin says it is now.

        Returns:
            False: there is no room, the disk failed, or the content is not what *digest* and
            *size_bytes* say; the file is left alone.
        """
        if size_bytes != revision.size_bytes:
            log.error("a published file has another size than its revision", extra={"path": path})
            return False
        return await self._admission.adopt(path, digest, revision)

    async def evict(self, bytes_wanted: int | None = None) -> EvictionResult:
        """Evict the longest unused blobs that nobody has open; None: all that may go."""
        await self._flush_touches()
        for stream in tuple(self._idle.values()):
            await self._drop(stream)
        return await self._evictor.evict(bytes_wanted)

    def stats(self) -> CacheStats:
        """Return numbers of the moment, from memory and one statvfs."""
        room = self._room
        return CacheStats(
            bytes=room.used_bytes,
            bytes_max=room.bytes_max,
            files=room.used_files,
            files_max=room.files_max,
            bytes_reserved=room.reserved_bytes,
            bytes_in_flight=self._slots.bytes_in_flight,
            streams=len(self._streams),
            open_blobs=len(self._leases),
            disk_free_bytes=room.free_bytes(),
            disk_free_bytes_min=room.free_bytes_min,
            hits=self._hits,
            misses=self._misses,
            unkept=self._admission.unkept,
            evictions=self._evictor.evicted_files,
            verify_failures=self._admission.verify_failures,
        )

    # --- what open files need (files.Lender) -----------------------------------------------------

    def blob_path(self, digest: Digest) -> str:
        """Return where the blob is."""
        return self._blobs.path(digest)

    def direct(self, tier: Tier, revision: Revision) -> DirectReader:
        """Return a reader that keeps nothing."""
        return DirectReader(tier, revision, self._slots, self._windows, self._deadline_s)

    async def read_blob(self, descriptor: Descriptor, span: Span) -> bytearray:
        """Read in a disk thread."""
        with descriptor.using():
            return await trio.to_thread.run_sync(descriptor.read, span, limiter=self._disk)

    async def lost(self, file: CachedFile) -> None:
        """Stream a file again whose blob is not on the disk any more."""
        digest = file.blob
        assert digest is not None
        if not self._evictor.condemned(digest):
            if self._blobs.exists(digest):
                return  # another reader of the same content has brought it back
            log.warning("a blob is gone; it is fetched again", extra={"digest": digest})
            await self._evictor.remove([digest])
        await self._evictor.wait_gone(digest)
        # Two reads of one file may come here; the first has done it.
        if file.blob is not None:
            self._leases.remove(digest)
            file.blob = None
            self._lend_stream(file, identity_of(file.revision))

    def give_back(self, file: CachedFile) -> None:
        """End a lease."""
        if file.blob is not None:
            self._leases.remove(file.blob)
        stream = file.stream
        if stream is None:
            return
        stream.readers -= 1
        if stream.digest is not None:
            self._leases.remove(stream.digest)
        if stream.readers == 0:
            self._unread(identity_of(file.revision), stream)

    # --- leases ----------------------------------------------------------------------------------

    def _lend_blob(self, file: CachedFile, digest: Digest) -> None:
        self._hits += 1
        self._metrics.cache_hits.inc()
        self._touches.add(digest)
        self._leases.add(digest)
        file.blob = digest

    def _lend_stream(self, file: CachedFile, identity: str) -> None:
        stream = self._streams.get(identity)
        if stream is None or (stream.phase in ENDED and not stream.rejected):
            stream = Stream(file.tier, file.revision, self._fetching, self._admission)
            self._streams[identity] = stream
            self._nursery.start_soon(self._run, identity, stream)
        stream.readers += 1
        self._idle.pop(identity, None)
        file.stream = stream

    async def _run(self, identity: str, stream: Stream) -> None:
        try:
            await stream.run()
            if stream.rejected:
                # Each open would fetch it twice more; a wall of nodes would do so all day.
                await trio.sleep(REJECTED_S)
        finally:
            if self._streams.get(identity) is stream:
                del self._streams[identity]
            self._idle.pop(identity, None)

    def _unread(self, identity: str, stream: Stream) -> None:
        """Decide what becomes of a stream that nobody has open any more."""
        if stream.phase in ENDED:
            stream.close_descriptor()
        elif not stream.started:
            stream.abandon()
        elif stream.revision.size_bytes <= FINISH_BYTES_MAX:
            stream.start_fill()
        else:
            self._nursery.start_soon(self._set_idle, identity, stream)

    async def _set_idle(self, identity: str, stream: Stream) -> None:
        await trio.sleep(GRACE_S)
        if stream.readers or stream.phase in ENDED:
            return
        stream.stop_fill()
        self._idle[identity] = stream
        if len(self._idle) > IDLE_STREAMS_MAX:
            await self._drop(next(iter(self._idle.values())))

    async def _drop_idle_for(self, size_bytes: int) -> None:
        while self._idle and not self._room.shortage(size_bytes).none:
            await self._drop(next(iter(self._idle.values())))

    async def _drop(self, stream: Stream) -> None:
        self._idle.pop(identity_of(stream.revision), None)
        stream.abandon()
        await stream.finished.wait()

    # --- the index -------------------------------------------------------------------------------

    async def _look_up(self, identity: str, revision: Revision) -> Row | None:
        try:
            row = await self._database.call(
                Index.find, identity, revision.checksums, revision.size_bytes
            )
        except IndexUnavailable as error:
            log.warning("cannot ask the index", extra={"reason": error.message})
            return None
        # It may have been admitted, or condemned, while the thread was looking.
        hot = self._hot.find(identity)
        if hot is not None or row is None or self._evictor.condemned(row.digest):
            return hot
        self._hot.put(identity, row)
        return row

    async def _prove(self, identity: str, row: Row) -> Row | None:
        """Return the row once the blob was hashed; None: it was bad and is gone."""
        if row.digest in self._proving:
            await self._proving[row.digest].wait()
            now = self._hot.find(identity)
            return now if now is not None and now.proven else None
        done = self._proving[row.digest] = trio.Event()
        self._leases.add(row.digest)
        try:
            if await self._admission.prove(row):
                proven = Row(row.digest, row.size_bytes, proven=True)
                self._hot.put(identity, proven)
                return proven
            await self._evictor.remove([row.digest])
        except IndexUnavailable as error:
            log.warning("cannot record a proof", extra={"reason": error.message})
        finally:
            self._leases.remove(row.digest)
            del self._proving[row.digest]
            done.set()
        return None

    def _count(self, totals: Totals) -> None:
        """Take over totals; results of the thread may reach the loop out of order."""
        if totals.serial < self._totals_serial:
            return
        self._totals_serial = totals.serial
        self._room.used_bytes = totals.bytes
        self._room.used_files = totals.files
        self._metrics.cache_bytes.set(totals.bytes)
        self._metrics.cache_files.set(totals.files)

    def _start_rebuild(self) -> None:
        self._totals_serial = -1
        self._rebuilds_unfinished += 1
        self._nursery.start_soon(self._rebuild)

    async def _rebuild(self) -> None:
        try:
            await adopt_unknown_blobs(
                self._blobs, self._database, self._disk, self._count, self._evictor.trim
            )
        except IndexUnavailable as error:
            log.warning("rebuild of the index stopped", extra={"reason": error.message})
        else:
            self._rebuilds_unfinished -= 1

    async def _flush_touches_forever(self) -> None:
        while True:
            await trio.sleep(TOUCH_INTERVAL_S)
            await self._flush_touches()

    async def _flush_touches(self) -> None:
        touched = self._touches.take()
        try:
            if touched:
                await self._database.call(Index.touch, touched)
        except IndexUnavailable as error:
            log.warning("uses of blobs were not recorded", extra={"reason": error.message})
