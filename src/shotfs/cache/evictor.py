"""Making room: what goes when the limits are reached, and what never does.

Victims are chosen in the database thread, condemned in the event loop (where leases are known,
so nothing open can be taken), and unlinked in a disk thread. While a blob is condemned, nobody
finds it and no blob of the same digest is admitted.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import islice

import trio

from shotfs.cache.blobs import BlobStore
from shotfs.cache.database import Database, IndexUnavailable
from shotfs.cache.index import Index, Totals, Victim
from shotfs.cache.room import Room, Shortage
from shotfs.digest import Digest
from shotfs.observe.metrics import Metrics

log = logging.getLogger(__name__)

BATCH_FILES = 256
"""Victims of one round: a transaction of some tens of milliseconds at most."""

SPARE_PARTS = 64
"""Each round frees this fraction of the limit more than it must, so that a full cache does not
evict for each file that comes."""


@dataclass(frozen=True, slots=True)
class EvictionResult:
    """What an eviction freed."""

    files: int
    bytes: int


@dataclass(frozen=True, slots=True)
class EvictorParts:
    """What the evictor works with; `leased` and `condemned` answer from memory."""

    database: Database
    blobs: BlobStore
    room: Room
    disk: trio.CapacityLimiter
    metrics: Metrics
    leases: Callable[[], frozenset[Digest]]
    on_condemned: Callable[[Digest], None]
    on_totals: Callable[[Totals], None]


class Evictor:
    """Frees room, one round at a time."""

    def __init__(self, parts: EvictorParts) -> None:
        self._parts = parts
        self._lock = trio.Lock()
        self._condemned: dict[Digest, trio.Event] = {}
        self.evicted_files = 0

    def condemned(self, digest: Digest) -> bool:
        """Whether a blob is being removed."""
        return digest in self._condemned

    async def wait_gone(self, digest: Digest) -> None:
        """Return when no removal of this blob is under way."""
        while digest in self._condemned:
            await self._condemned[digest].wait()

    async def make_room(self, size_bytes: int, *, on_disk: bool = False) -> bool:
        """Evict until one more file fits, and reserve room for it; False: it does not fit."""
        room = self._parts.room
        if room.never_fits(size_bytes):
            return False
        if not room.shortage(size_bytes, on_disk=on_disk).none:
            async with self._lock:
                await self._free(size_bytes, on_disk=on_disk)
        # Nothing is awaited between this look and the reservation.
        if not room.shortage(size_bytes, on_disk=on_disk).none:
            return False
        room.reserve(size_bytes)
        return True

    async def evict(self, bytes_wanted: int | None) -> EvictionResult:
        """Free at least *bytes_wanted*, None: all that may go."""
        files = freed = 0
        async with self._lock:
            while bytes_wanted is None or freed < bytes_wanted:
                wanted = Shortage(2**62 if bytes_wanted is None else bytes_wanted - freed, 0)
                result = await self._round(wanted)
                files, freed = files + result.files, freed + result.bytes
                if not result.files:
                    break
        return EvictionResult(files, freed)

    async def trim(self) -> None:
        """Evict what is over the limits."""
        while not self._parts.room.excess().none:
            async with self._lock:
                if not (await self._round(self._parts.room.excess())).files:
                    return

    async def remove(self, digests: Iterable[Digest]) -> EvictionResult:
        """Remove these blobs, whoever has them open: they are bad, or gone already."""
        chosen = [digest for digest in digests if digest not in self._condemned]
        return await self._remove([Victim(digest, 0) for digest in chosen])

    async def _free(self, size_bytes: int, *, on_disk: bool) -> None:
        room = self._parts.room
        while not (shortage := room.shortage(size_bytes, on_disk=on_disk)).none:
            if shortage.bytes > room.used_bytes:
                return  # somebody else fills the disk: emptying the cache would not help
            spare = Shortage(
                shortage.bytes and shortage.bytes + room.bytes_max // SPARE_PARTS,
                shortage.files and shortage.files + room.files_max // SPARE_PARTS,
            )
            if not (await self._round(spare)).files:
                return

    async def _round(self, wanted: Shortage) -> EvictionResult:
        parts = self._parts
        leased = parts.leases() | frozenset(self._condemned)
        try:
            victims = await parts.database.call(_choose, wanted, leased)
        except IndexUnavailable as error:
            log.warning("cannot evict", extra={"reason": error.message})
            return EvictionResult(0, 0)
        # Files may have been opened while the thread was choosing.
        leased = parts.leases() | frozenset(self._condemned)
        result = await self._remove([one for one in victims if one.digest not in leased])
        self.evicted_files += result.files
        parts.metrics.cache_evictions.inc(result.files)
        return result

    async def _remove(self, victims: list[Victim]) -> EvictionResult:
        digests = [victim.digest for victim in victims]
        gone = trio.Event()
        for digest in digests:
            self._condemned[digest] = gone
            self._parts.on_condemned(digest)
        try:
            # Cancelled halfway, rows and files would differ until the next scan.
            with trio.CancelScope(shield=True):
                result = await self._remove_condemned(victims, digests)
        finally:
            for digest in digests:
                del self._condemned[digest]
            gone.set()
        return result

    async def _remove_condemned(
        self, victims: list[Victim], digests: list[Digest]
    ) -> EvictionResult:
        parts = self._parts
        try:
            totals = await parts.database.call(Index.remove, digests)
        except IndexUnavailable as error:
            log.warning("cannot evict", extra={"reason": error.message})
            return EvictionResult(0, 0)
        parts.on_totals(totals)
        await trio.to_thread.run_sync(_unlink_all, parts.blobs, digests, limiter=parts.disk)
        return EvictionResult(len(victims), sum(victim.size_bytes for victim in victims))


def _choose(index: Index, wanted: Shortage, leased: frozenset[Digest]) -> list[Victim]:
    chosen: list[Victim] = []
    missing_bytes, missing_files = wanted.bytes, wanted.files
    for victim in islice(index.oldest(leased.__contains__), BATCH_FILES):
        if missing_bytes <= 0 and missing_files <= 0:
            break
        chosen.append(victim)
        missing_bytes -= victim.size_bytes
        missing_files -= 1
    return chosen


def _unlink_all(blobs: BlobStore, digests: list[Digest]) -> None:
    for digest in digests:
        try:
            blobs.remove(digest)
        except OSError as error:
            log.warning("cannot unlink a blob", extra={"digest": digest, "reason": str(error)})
