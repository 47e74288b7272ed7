"""The cache: verified content by digest, streams for what is not here yet, limits that hold.

`opening.open_cache` makes it and owns the directory. Nothing here knows of paths, mounts or
policies. Runs in the event loop; disk, hash and index work go to threads.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator, Callable, Iterable, Sequence
from contextlib import AbstractContextManager
from functools import partial

import trio

from shotfs.cache.access import AccessPattern, Fill
from shotfs.cache.admission import Admission, AdmissionParts
from shotfs.cache.asker import NOBODY, Asker
from shotfs.cache.batches import Batches, BatchParts
from shotfs.cache.blobs import BlobStore, FoundBlob
from shotfs.cache.direct import WindowBudget
from shotfs.cache.directory import CacheDirectory, boot_identity
from shotfs.cache.eviction import POLICIES
from shotfs.cache.evictor import EvictionResult, Evictor, EvictorParts
from shotfs.cache.files import CachedFile
from shotfs.cache.hashing import Hashing
from shotfs.cache.holdings import Holdings
from shotfs.cache.index import Entry, EntryOrder, Index, Pin, identity_of
from shotfs.cache.inspect import Inspector
from shotfs.cache.keeper import Fetching
from shotfs.cache.lending import Lending, LendingParts
from shotfs.cache.pages import Page, Told
from shotfs.cache.partials import Partials
from shotfs.cache.parts import Parts
from shotfs.cache.phase import ENDED
from shotfs.cache.pins import PAGE_PINS, Pins
from shotfs.cache.proving import ProofParts, Proofs
from shotfs.cache.reader import Reader
from shotfs.cache.rebuild import scan_blobs
from shotfs.cache.room import Room
from shotfs.cache.scheduling import (
    Egress,
    EgressKeeper,
    FetchClass,
    FetchScheduler,
    HedgeBudget,
    OriginLimits,
    UploadTurns,
    moment_of,
    network_limits,
)
from shotfs.cache.scrub import Scrub
from shotfs.cache.spared import Group
from shotfs.cache.stats import CacheStats, RevisionStatus
from shotfs.cache.streams import Streams
from shotfs.cache.verify import Verifier
from shotfs.config.network_models import NetworkSettings
from shotfs.config.storage_models import CacheSettings
from shotfs.digest import Digest
from shotfs.errors import ShotfsError
from shotfs.observe.metrics import Metrics
from shotfs.tiers.base import Revision, Tier
from shotfs.tiers.columns import RevisionColumns

log = logging.getLogger(__name__)

DISK_THREADS = 8


class Cache:
    """What is here, and what is coming. Made by `opening.open_cache`.

    Attributes:
        inspector: says what it is doing.
        parts: fetches parts of large files that nobody has opened yet.
        uploads: gives the publisher its turns.
    """

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
        on_damaged: Callable[[Revision], None] | None,
        limits_of: Callable[[str], OriginLimits] | None,
    ) -> None:
        self._directory = directory
        self._nursery = nursery
        self._metrics = metrics
        self._deadline_s = deadline_s
        self._disk = trio.CapacityLimiter(DISK_THREADS)
        self._hashing = Hashing(deadline_s)
        self._blobs = BlobStore(directory.blobs)
        self._room = Room(
            settings.bytes_max, settings.files_max, settings.free_bytes_min, directory.free_bytes
        )
        self._holdings = Holdings(
            partial(
                Index, directory.index, revisions_max=4 * settings.files_max,
                boot=boot_identity(), was_clean=directory.was_clean,
            ),
            directory.move_index_aside,
            self._blobs, self._room, self._disk, metrics, nursery,
        )  # fmt: skip
        egress = Egress(directory.egress, moment_of(boot_identity()))
        self._egress_keeper = EgressKeeper(egress)
        self._scheduler = FetchScheduler(
            limits_of or (lambda _: network_limits(network)),
            network.memory_bytes_max // 2,
            egress=egress,
            metrics=metrics,
            hedges=HedgeBudget(network.hedge_budget, network.memory_bytes_max // 8),
        )
        self._streams = Streams(Fetching(self._scheduler, deadline_s), nursery)
        self._partials = Partials(directory.partials, self._room, self._disk, boot_identity())
        self.uploads = UploadTurns(self._scheduler, network.upload_part_bytes)
        self._opens_seen = 0
        self._evictor = Evictor(
            EvictorParts(
                policy=POLICIES[settings.eviction], database=self._holdings.database,
                blobs=self._blobs, room=self._room, disk=self._disk, metrics=metrics,
                leases=self._holdings.leases.snapshot, on_left=self._holdings.left_behind,
                on_condemned=self._holdings.hot.drop_blob, on_totals=self._holdings.count,
            )
        )  # fmt: skip
        self._pins = Pins(self._holdings.database, self._room, self._holdings.count)
        self._admission = Admission(
            AdmissionParts(
                partials=self._partials, blobs=self._blobs, database=self._holdings.database,
                evictor=self._evictor, room=self._room, hot=self._holdings.hot,
                leases=self._holdings.leases, disk=self._disk,
                hashing=self._hashing, metrics=metrics, nursery=nursery,
                on_totals=self._holdings.count, on_corrupt=on_corrupt,
            )
        )  # fmt: skip
        self._proofs = Proofs(
            ProofParts(
                blobs=self._blobs, database=self._holdings.database, evictor=self._evictor,
                hot=self._holdings.hot, leases=self._holdings.leases, hashing=self._hashing,
                nursery=nursery, on_damaged=self._admission.count_failure,
            )
        )  # fmt: skip
        self._batches = Batches(
            BatchParts(
                new_path=self._partials.new_path, blobs=self._blobs,
                database=self._holdings.database, evictor=self._evictor, room=self._room,
                hot=self._holdings.hot, leases=self._holdings.leases, scheduler=self._scheduler,
                disk=self._disk, nursery=nursery, on_totals=self._holdings.count,
                streams=self._streams.__contains__,
            )
        )  # fmt: skip
        self._on_damaged = on_damaged
        self._lending = Lending(
            LendingParts(
                blobs=self._blobs, holdings=self._holdings, evictor=self._evictor,
                streams=self._streams, admission=self._admission, scheduler=self._scheduler,
                windows=WindowBudget(network.memory_bytes_max // 4), disk=self._disk,
                nursery=nursery, metrics=metrics, deadline_s=deadline_s,
            )
        )  # fmt: skip
        self.parts = Parts(self._open, self._streams, self._partials)
        self.inspector = Inspector(
            self._streams, self._scheduler, self._lending.askers_of, self._blobs, self._disk
        )
        self._settings = settings
        self.verifier = Verifier(
            self._blobs,
            self._drop_damaged,
            lambda: (self._room.used_bytes, self._room.used_files),
            metrics,
            nursery,
        )

    async def start(self) -> None:
        """Open the index and start what runs in the background."""
        await self._holdings.start(self._evictor.trim, was_clean=self._directory.was_clean)
        await self._partials.start(was_clean=self._directory.was_clean)
        await self._egress_keeper.start()
        self._nursery.start_soon(self._egress_keeper.keep_for_ever)
        self._nursery.start_soon(self._admission.save_forever)
        self._nursery.start_soon(self._hashing.watch)
        self._nursery.start_soon(self._evictor.keep_floor, self._streams.keep_nothing)
        self._nursery.start_soon(self._pins.expire_forever)
        if self._settings.scrub_days:
            scrub = Scrub(
                self.verifier,
                self._directory.scrub_position,
                days=self._settings.scrub_days,
                bytes_per_s=self._settings.scrub_bytes_per_s,
                busy=self._busy,
                metrics=self._metrics,
            )
            self._nursery.start_soon(scrub.run)

    async def stop(self) -> bool:
        """Cancel fetches, write what memory holds, close the index.

        Returns:
            Whether each blob has its row; else the next start must look for those without.
        """
        with trio.CancelScope(shield=True):
            await self._batches.stop()
            await self._streams.stop()
            await self._egress_keeper.flush()
            await self._admission.flush()
            await self._holdings.stop()
        return not self._holdings.rebuilds_unfinished

    # --- the interface ---------------------------------------------------------------------------

    async def open(
        self,
        tier: Tier,
        revision: Revision,
        *,
        asker: Asker = NOBODY,
        fill: Fill = Fill.AUTO,
    ) -> CachedFile:
        """Open the content of *revision*; it stays until the file is closed.

        A full cache is no error: then the file reads from the tier without keeping. No thread
        and no system call is involved when the row is in memory.

        Args:
            tier: where to fetch from; `revision.tier` is its name.
            revision: what to open, and nothing else ever.
            asker: who opens it.
            fill: whether the rest is fetched too when a part was read.

        Raises:
            CacheStalled: it has to be hashed first, after a power cut, and the disk hangs.
        """
        reader = Reader(AccessPattern(revision.size_bytes), asker, fill)
        return await self._open(tier, revision, reader)

    async def _open(self, tier: Tier, revision: Revision, reader: Reader) -> CachedFile:
        holdings = self._holdings
        identity = identity_of(revision)
        if identity in self._batches:
            await self._batches.give_way(identity)
        row = holdings.hot.find(identity)
        if row is None and identity not in self._streams:
            row = await holdings.find(identity, revision, self._evictor.condemned)
        if row is not None and not row.proven:
            row = await self._proofs.prove(identity, row)
        # Nothing is awaited from here to the lease.
        digest = None if row is None or self._evictor.condemned(row.digest) else row.digest
        return self._lending.lend(tier, revision, reader, digest)

    async def fetch(
        self,
        tier: Tier,
        revision: Revision,
        *,
        fetch_class: FetchClass = FetchClass.PREWARM,
        asker: Asker = NOBODY,
    ) -> Digest:
        """Have the whole content here, verified; return its digest.

        Joins a stream that runs already. Cancelled: the stream goes on only if others want it.

        Args:
            tier: where to fetch from; `revision.tier` is its name.
            revision: what to fetch.
            fetch_class: how it is queued; a reader who comes meanwhile promotes it in place.
            asker: who wants it.

        Raises:
            CacheFull: there is no room to keep it.
            TierError: the origin failed.
            DigestMismatch: the bytes were wrong twice.
        """
        small = Batches.suits(tier, revision, fetch_class)
        identity = identity_of(revision)
        if small is not None and identity not in self._streams:
            row = self._holdings.hot.find(identity)
            if row is None:
                digest = await self._batches.fetch(small, revision, identity, asker)
                if digest is not None:
                    return digest
        return await self._fetch(tier, revision, fetch_class, asker)

    async def _fetch(
        self, tier: Tier, revision: Revision, fetch_class: FetchClass, asker: Asker
    ) -> Digest:
        """As `fetch`, by a stream."""
        pattern = AccessPattern(revision.size_bytes)
        file = await self._open(tier, revision, Reader(pattern, asker, Fill.WHOLE, fetch_class))
        try:
            return await file.complete()
        finally:
            file.close()

    async def fetch_all(
        self,
        wanted: Sequence[tuple[Tier, Revision]],
        told: Told,
        *,
        fetch_class: FetchClass = FetchClass.PREWARM,
        asker: Asker = NOBODY,
    ) -> None:
        """Have the whole contents of many files here, verified: as `fetch` for each, and cheaper.

        Cancelled, what has come stays, and what was begun is finished if somebody else wants it.

        Args:
            wanted: where to fetch from, and what; a few thousand at most, which are in memory
                until they are here. They come in about this order.
            told: called once for each of them, by its position, with what `fetch` returns or
                raises. It must not raise.
            fetch_class: how they are queued.
            asker: who wants them.
        """
        page = Page(
            self._batches,
            lambda tier, revision: self._fetch(tier, revision, fetch_class, asker),
            wanted,
            told,
            asker,
        )
        await page.fetch(fetch_class)

    def is_warm(self, revision: Revision) -> bool:
        """Whether memory knows that the content is here, so that `open` asks nobody."""
        return self._holdings.hot.find(identity_of(revision)) is not None

    async def known(self, revision: Revision) -> bool:
        """Whether the content is here, whole and verified."""
        identity = identity_of(revision)
        row = self._holdings.hot.find(identity) or await self._holdings.find(
            identity, revision, self._evictor.condemned
        )
        return row is not None and row.proven and not self._evictor.condemned(row.digest)

    async def known_many(self, revisions: Iterable[Revision]) -> list[bool]:
        """Return for each of *revisions*, in their order, what `known` says of it.

        For a million of them the index takes about 6 s, a page at a time; nothing is kept of them.
        """
        return await self._holdings.hold(revisions)

    async def known_columns(self, revisions: RevisionColumns) -> list[bool]:
        """As `known_many`, of columns: no object for each."""
        return await self._holdings.hold_columns(revisions)

    def rejection(self, revision: Revision) -> ShotfsError | None:
        """Return why the content is not asked for now: it was wrong twice; None: it may be."""
        return self._streams.rejection(identity_of(revision))

    async def digest_of(self, revision: Revision) -> Digest | None:
        """Return the digest that was seen for a revision, whether its blob is here or not."""
        return await self._holdings.digest_of(identity_of(revision))

    async def status_of(self, revision: Revision) -> RevisionStatus:
        """Return how much of a revision is here."""
        if await self.known(revision):
            return RevisionStatus("cached", revision.size_bytes, revision.size_bytes)
        stream = self._streams.get(identity_of(revision))
        if stream is not None and stream.phase not in ENDED:
            return RevisionStatus("partial", stream.blocks.present_bytes, revision.size_bytes)
        held_bytes = self._partials.held_bytes(revision.identity)
        if held_bytes is not None:
            return RevisionStatus("partial", held_bytes, revision.size_bytes)
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

    def blob_path(self, digest: Digest) -> str:
        """Return where the blob is; it stays there while a file of it is open."""
        return self._blobs.path(digest)

    def scan(self) -> AsyncGenerator[list[FoundBlob], None]:
        """Yield what the blobs on the disk say of themselves; see `rebuild.scan_blobs`."""
        return scan_blobs(self._blobs, self._disk)

    async def evict(self, bytes_wanted: int | None = None) -> EvictionResult:
        """Evict what `cache.eviction` chooses, nothing pinned or open; None: all that may go."""
        await self._admission.flush()
        await self._holdings.flush_touches()
        await self._streams.pause_idle()
        await self._partials.drop_all()
        return await self._evictor.evict(bytes_wanted)

    def sparing(self) -> AbstractContextManager[Group]:
        """Return a group of blobs for a block: what is added goes only if nothing else may."""
        return self._evictor.spared.group()

    def on_shortage(self, give_back: Callable[[], None]) -> None:
        """Have *give_back* called before blobs are chosen that go: it may close idle files."""
        self._evictor.give_back = give_back

    async def pin(self, revision: Revision, owner: str, until_s: float | None) -> None:
        """Have *revision* stay once it is here; see `pins.Pins.add`."""
        await self._pins.add(revision, owner, until_s)

    async def pin_all(
        self, revisions: Sequence[Revision], owner: str, until_s: float | None
    ) -> None:
        """Have some hundred *revisions* stay, all or none; else as `pin`."""
        await self._pins.add_all(revisions, owner, until_s)

    async def unpin(self, pinned: Revision | Pin, owner: str) -> bool:
        """Remove a pin; False: there is none."""
        return await self._pins.remove(pinned, owner)

    async def pins(self, after: Pin | None = None, limit: int = PAGE_PINS) -> list[Pin]:
        """Return pins behind *after*, at most *limit*, in the order of revision and owner."""
        return await self._pins.page(after, limit)

    async def entries(
        self, after: str = "", limit: int = 1000, order: EntryOrder = "digest"
    ) -> list[Entry]:
        """Return blobs behind the cursor *after*; see `index.Index.entries`."""
        return await self._holdings.entries(after, limit, order)

    async def drop(self, digests: Iterable[Digest]) -> list[Digest]:
        """Evict these blobs; see `Evictor.drop`."""
        await self._admission.flush()
        return await self._evictor.drop(digests)

    def stats(self) -> CacheStats:
        """Return numbers of the moment, from memory and one statvfs."""
        room = self._room
        full, totals = self._evictor.full, self._holdings.totals
        return CacheStats(
            bytes=room.used_bytes,
            bytes_max=room.bytes_max,
            files=room.used_files,
            files_max=room.files_max,
            bytes_reserved=room.reserved_bytes,
            bytes_in_flight=self._scheduler.bytes_in_flight,
            streams=len(self._streams) + self._admission.unrecorded,
            open_blobs=len(self._holdings.leases),
            disk_free_bytes=room.free_bytes(),
            disk_free_bytes_min=room.free_bytes_min,
            hits=self._lending.hits,
            misses=self._lending.misses,
            unkept=self._admission.unkept,
            evictions=self._evictor.evicted_files,
            verify_failures=self._admission.verify_failures,
            full="" if full is None else full.reason.value,
            pinned_bytes=totals.pinned_bytes,
            pinned_files=totals.pinned_files,
            pins=totals.pins,
            pins_bytes=totals.pins_bytes,
        )

    async def _drop_damaged(self, digest: Digest, origins: tuple[Revision, ...]) -> None:
        """Drop a blob that the disk has damaged. Who read from it gets EIO, others good bytes.

        Whom the kernel lets read it without asking us finds the end of the file.
        """
        affected = {identity_of(revision): revision for revision in origins}
        affected |= {identity_of(one): one for one in self._lending.spoil(digest)}
        try:
            with self._blobs.cutting_off(digest):
                await self._evictor.remove([digest])
                # Also where the index cannot be written: its reader finds a row without a blob.
                await trio.to_thread.run_sync(self._blobs.remove, digest, limiter=self._disk)
        finally:
            if self._on_damaged is not None:
                for revision in affected.values():
                    self._on_damaged(revision)

    def _busy(self) -> bool:
        """Whether somebody wants the disk: bytes come in, or files were opened since last asked."""
        opens = self._lending.hits + self._lending.misses
        busy = opens != self._opens_seen or len(self._streams) > 0
        self._opens_seen = opens
        return busy
