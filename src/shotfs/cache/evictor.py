"""Making room: what goes when the limits are reached, and what never does.

Victims are chosen in the database thread, condemned in the event loop (where leases are known,
so nothing open can be taken), and unlinked in a disk thread. While a blob is condemned, nobody
finds it and no blob of the same digest is admitted.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from enum import Enum

import trio

from shotfs.cache.blobs import BlobStore
from shotfs.cache.database import Database, IndexUnavailable
from shotfs.cache.eviction import Amount, Policy
from shotfs.cache.index import Index, Totals, Victim
from shotfs.cache.room import Room, Shortage
from shotfs.cache.spared import Either, Spared
from shotfs.digest import Digest
from shotfs.observe.metrics import Metrics

log = logging.getLogger(__name__)

BATCH_FILES = 256
"""Victims of one round: a transaction of some tens of milliseconds at most."""

SPARE_PARTS = 64
"""Each round frees this fraction of the limit more than it must, so that a full cache does not
evict for each file that comes."""


FULL_S = 60.0
"""A cache is called full for so long after a file could not be kept: one line in the log, not one
for each file."""

FLOOR_INTERVAL_S = 5.0
"""How often is looked whether others have filled the disk, when nothing is written here."""


class FullReason(Enum):
    """Why there is no room for a file that would fit an empty cache."""

    BUSY = "all that is here is pinned, open or coming in"
    DISK = "others have filled the disk up to cache.free_bytes_min"


@dataclass(frozen=True, slots=True)
class FullCache:
    """A file could not be kept. `last_at`: when, by trio's clock."""

    reason: FullReason
    last_at: float


@dataclass(frozen=True, slots=True)
class EvictionResult:
    """What an eviction freed."""

    files: int
    bytes: int


@dataclass(frozen=True, slots=True)
class EvictorParts:
    """What the evictor works with; `leases` answers from memory.

    `on_left`: called when good blobs are still there without a row: neither disk nor index obey.
    """

    policy: Policy
    database: Database
    blobs: BlobStore
    room: Room
    disk: trio.CapacityLimiter
    metrics: Metrics
    leases: Callable[[], frozenset[Digest]]
    on_condemned: Callable[[Digest], None]
    on_totals: Callable[[Totals], None]
    on_left: Callable[[], None]


def _nothing() -> None:
    """Nobody keeps files open for others."""


class Evictor:
    """Frees room, one round at a time.

    Attributes:
        give_back: called before victims are chosen; closes files that are kept open for nobody.
        spared: blobs that go only where nothing else may.
    """

    def __init__(self, parts: EvictorParts) -> None:
        self._parts = parts
        self.give_back: Callable[[], None] = _nothing
        self.spared = Spared()
        self._lock = trio.Lock()
        self._condemned: dict[Digest, trio.Event] = {}
        self._full: FullCache | None = None
        self._floor_reached = trio.Event()
        parts.room.on_floor = self._look_at_floor
        self.evicted_files = 0

    @property
    def full(self) -> FullCache | None:
        """Why files were not kept lately; None: all were."""
        full = self._full
        if full is not None and trio.current_time() - full.last_at > FULL_S:
            self._full = None
        return self._full

    def condemned(self, digest: Digest) -> bool:
        """Whether a blob is being removed."""
        return digest in self._condemned

    async def wait_gone(self, digest: Digest) -> None:
        """Return when no removal of this blob is under way."""
        while digest in self._condemned:
            await self._condemned[digest].wait()

    async def make_room(self, size_bytes: int, *, files: int = 1, on_disk: bool = False) -> bool:
        """Evict until one more file fits, and reserve room for it; False: it does not fit.

        Args:
            size_bytes: what is to fit.
            files: 0: it is more of a file that has room already.
            on_disk: it occupies this disk already.
        """
        room = self._parts.room
        if room.never_fits(size_bytes):
            return False
        if not room.shortage(size_bytes, files=files, on_disk=on_disk).none:
            async with self._lock:
                await self._free(size_bytes, files=files, on_disk=on_disk)
        # Nothing is awaited between this look and the reservation.
        shortage = room.shortage(size_bytes, files=files, on_disk=on_disk)
        if not shortage.none:
            self._note_full(size_bytes, shortage)
            return False
        room.reserve(size_bytes, files=files)
        return True

    async def evict(self, bytes_wanted: int | None) -> EvictionResult:
        """Free at least *bytes_wanted*, None: all that may go. Never what is pinned or open."""
        files = freed = 0
        async with self._lock:
            while bytes_wanted is None or freed < bytes_wanted:
                wanted = Amount(2**62 if bytes_wanted is None else bytes_wanted - freed, 0)
                result = await self._round(wanted)
                if result is None:
                    break
                files, freed = files + result.files, freed + result.bytes
        return EvictionResult(files, freed)

    async def trim(self) -> None:
        """Evict what is over the limits."""
        async with self._lock:
            while not (excess := self._parts.room.excess()).none:
                if await self._round(Amount(excess.bytes, excess.files)) is None:
                    return

    async def keep_floor(self, give_up: Callable[[], Awaitable[None]]) -> None:
        """Give the disk back what others need of it, for ever.

        Args:
            give_up: called when eviction does not help; what is coming in is not kept then.
        """
        while True:
            with trio.move_on_after(FLOOR_INTERVAL_S):
                await self._floor_reached.wait()
            self._floor_reached = trio.Event()
            try:
                await self._restore_floor(give_up)
            except OSError as error:  # whoever writes next meets it, too
                log.warning("cannot ask the disk what is free", extra={"reason": str(error)})

    async def drop(self, digests: Iterable[Digest]) -> list[Digest]:
        """Remove these blobs where nobody has them open and nobody pinned them; return which.

        Raises:
            IndexUnavailable: nothing was removed.
        """
        chosen = list(dict.fromkeys(digests))
        removable = await self._parts.database.call(Index.removable, chosen)
        self.give_back()
        busy = self._parts.leases() | frozenset(self._condemned)
        victims = [one for one in removable if one.digest not in busy]
        gone = await self._remove(victims, evicted=False, good=True)
        return [one.digest for one in gone]

    async def remove(self, digests: Iterable[Digest]) -> EvictionResult:
        """Remove these blobs, whoever has them open: they are bad, or gone already."""
        chosen = [one for one in dict.fromkeys(digests) if one not in self._condemned]
        victims = [Victim(digest, 0) for digest in chosen]
        return _result(await self._remove(victims, evicted=False, good=False))

    async def _restore_floor(self, give_up: Callable[[], Awaitable[None]]) -> None:
        missing = self._parts.room.floor_missing()
        if 0 < missing <= self._parts.room.used_bytes:
            await self.evict(missing)
        if self._parts.room.floor_missing():
            await give_up()

    async def _free(self, size_bytes: int, *, files: int, on_disk: bool) -> None:
        room = self._parts.room
        while not (shortage := room.shortage(size_bytes, files=files, on_disk=on_disk)).none:
            if shortage.bytes > room.used_bytes:
                return  # somebody else fills the disk: emptying the cache would not help
            wanted = Amount(
                shortage.bytes and shortage.bytes + room.bytes_max // SPARE_PARTS,
                shortage.files and shortage.files + room.files_max // SPARE_PARTS,
            )
            if await self._round(wanted) is None:
                return

    async def _round(self, wanted: Amount) -> EvictionResult | None:
        """Evict some; None: there is nothing that may go."""
        parts = self._parts
        self.give_back()
        leased = parts.leases() | frozenset(self._condemned)
        try:
            victims = await self._choose(wanted, leased)
        except IndexUnavailable as error:
            log.warning("cannot evict", extra={"reason": error.message})
            return None
        if not victims:
            return None
        # Files may have been opened while the thread was choosing.
        leased = parts.leases() | frozenset(self._condemned)
        chosen = [one for one in victims if one.digest not in leased]
        result = _result(await self._remove(chosen, evicted=True, good=True))
        if chosen and not result.files:
            return None  # index or disk cannot be written: the next round would do no better
        self.evicted_files += result.files
        parts.metrics.cache_evictions.inc(result.files)
        return result

    async def _choose(self, wanted: Amount, leased: frozenset[Digest]) -> list[Victim]:
        """Return what goes next: of what is spared something only where there is nothing else."""
        parts = self._parts
        for keep in (Either(leased, self.spared), leased) if self.spared else (leased,):
            victims = await parts.database.call(
                Index.choose, parts.policy, wanted, BATCH_FILES, keep
            )
            if victims:
                return victims
        return []

    def _note_full(self, size_bytes: int, shortage: Shortage) -> None:
        room, known = self._parts.room, self.full is not None
        disk = room.floor_missing() > 0 or shortage.bytes > room.used_bytes + room.reserved_bytes
        reason = FullReason.DISK if disk else FullReason.BUSY
        self._full = FullCache(reason, trio.current_time())
        if not known:
            log.warning(
                "the cache is full: what comes now is read without keeping",
                extra={
                    "reason": reason.value, "needed_bytes": size_bytes, "bytes": room.used_bytes,
                    "files": room.used_files, "reserved_bytes": room.reserved_bytes,
                    "open_blobs": len(self._parts.leases()),
                    "disk_free_bytes": room.free_bytes(),
                },
            )  # fmt: skip

    def _look_at_floor(self) -> None:
        self._floor_reached.set()

    async def _remove(self, victims: list[Victim], *, evicted: bool, good: bool) -> list[Victim]:
        """Remove rows and blobs; return which are gone."""
        digests = [victim.digest for victim in victims]
        ended = trio.Event()
        for digest in digests:
            self._condemned[digest] = ended
            self._parts.on_condemned(digest)
        try:
            # Cancelled halfway, rows and files would differ until the next scan.
            with trio.CancelScope(shield=True):
                gone = await self._remove_condemned(victims, digests, evicted=evicted, good=good)
        finally:
            for digest in digests:
                del self._condemned[digest]
            ended.set()
        return gone

    async def _remove_condemned(
        self, victims: list[Victim], digests: list[Digest], *, evicted: bool, good: bool
    ) -> list[Victim]:
        parts = self._parts
        try:
            totals = await parts.database.call(Index.remove, digests, evicted=evicted)
        except IndexUnavailable as error:
            log.warning("cannot evict", extra={"reason": error.message})
            return []
        parts.on_totals(totals)
        left = await trio.to_thread.run_sync(_unlink_all, parts.blobs, victims, limiter=parts.disk)
        if left:
            await self._count_left(left, good=good)
        there = {one.digest for one in left}
        return [one for one in victims if one.digest not in there]

    async def _count_left(self, left: list[Victim], *, good: bool) -> None:
        """Give blobs that are still on the disk their rows back: they take their room.

        Their bytes are in doubt: whoever opens one has it hashed first, bad ones go again then.
        """
        try:
            totals = await self._parts.database.call(_count_again, left)
        except IndexUnavailable as error:
            log.warning("cannot count what was not unlinked", extra={"reason": error.message})
            if good:
                # The next start counts them again. Bad ones it had better not find.
                self._parts.on_left()
        else:
            self._parts.on_totals(totals)


def _result(gone: list[Victim]) -> EvictionResult:
    return EvictionResult(len(gone), sum(one.size_bytes for one in gone))


def _unlink_all(blobs: BlobStore, victims: list[Victim]) -> list[Victim]:
    """Unlink them; return those that are still there, with what they take of the disk."""
    left = []
    for victim in victims:
        try:
            blobs.remove(victim.digest)
        except OSError as error:
            log.warning(
                "cannot unlink a blob", extra={"digest": victim.digest, "reason": str(error)}
            )
            left.append(Victim(victim.digest, victim.size_bytes or blobs.size_bytes(victim.digest)))
    return left


def _count_again(index: Index, left: list[Victim]) -> Totals:
    with index.together():
        for one in left:
            index.adopt_found(one.digest, one.size_bytes, (), sound=False)
    return index.current()
