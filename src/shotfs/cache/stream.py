"""A stream: one revision that is coming in, shared by all its readers.

Owns a sparse file and the map of its blocks. Readers wait for their range, not for the file;
what they wait for is fetched first, the rest follows from the last place that was wanted.
Decides nothing about room, blobs or the index: its `Keeper` does. Everything here runs in the
event loop; bytes move in the tier's threads.
"""

from __future__ import annotations

import logging
from collections import deque
from dataclasses import dataclass
from typing import Protocol

import trio

from shotfs.cache.blocks import BLOCK_BYTES, BlockMap, Run
from shotfs.cache.descriptor import Descriptor
from shotfs.cache.phase import ENDED, Event, Phase, transition
from shotfs.cache.scheduling import FetchClass, FetchScheduler, Slot
from shotfs.digest import Digest
from shotfs.errors import (
    CacheError,
    CacheFull,
    DigestMismatch,
    ObjectNotFound,
    RevisionChanged,
    ShotfsError,
    TierTimeout,
)
from shotfs.tiers.base import Revision, Span, Tier

log = logging.getLogger(__name__)

REQUEST_S = 4.0
"""A background request is made to last about this long at most: it holds a connection, and its
readers see no progress before its end."""

RATE_MIN_BYTES_PER_S = 64 * 1024
"""A request slower than this, beyond the deadline, is given up: something is stuck. Tiers watch
the progress of their requests themselves; this is the net below."""

ATTEMPTS = 2
"""Bytes that were wrong are fetched once more."""


@dataclass(frozen=True, slots=True)
class Fetching:
    """How streams fetch.

    Attributes:
        scheduler: shared by all streams.
        range_blocks: blocks of one bulk request at most.
        parallel: requests of one stream at once.
        deadline_s: how long a reader waits without progress.
    """

    scheduler: FetchScheduler
    range_blocks: int
    parallel: int
    deadline_s: float


class Keeper(Protocol):
    """What a stream needs of the cache."""

    async def prepare(self, stream: Stream) -> Descriptor | None:
        """Reserve room and make the file; None: there is no room."""
        ...

    def wrote(self, stream: Stream, length_bytes: int) -> None:
        """Account for bytes that reached the disk."""
        ...

    async def verify_and_admit(self, stream: Stream) -> Digest | None:
        """Make the complete file a blob; None: the bytes are not what was promised.

        Raises:
            OSError, CacheError: it cannot be kept.
        """
        ...

    def ended(self, stream: Stream) -> None:
        """The stream has come to an end, or its file was given up: take everything back."""
        ...


@dataclass(slots=True, eq=False)
class _Waiter:
    run: Run
    error: ShotfsError | None = None


class Stream:
    """One revision coming in. `run` is its life; the cache starts it once.

    Attributes:
        revision: what is fetched, and nothing else ever.
        phase: see `phase`.
        attempt: 1, or 2 after the first bytes were wrong.
        digest: None until COMPLETE.
        readers: open files that use it.
        fetch_class: the most urgent one of those who joined it.
        finished: set when `run` has ended and everything was given back.
        descriptor: of the file; None before the first STREAMING and when it was given up.
    """

    def __init__(self, tier: Tier, revision: Revision, fetching: Fetching, keeper: Keeper) -> None:
        self._tier = tier
        self._fetching = fetching
        self._keeper = keeper
        self.revision = revision
        self.blocks = BlockMap(revision.size_bytes)
        self.phase = Phase.PREPARING
        self.attempt = 1
        self.digest: Digest | None = None
        self.error: ShotfsError | None = None
        self.descriptor: Descriptor | None = None
        self.readers = 0
        self.fetch_class = FetchClass.PUBLISH
        self.fill_wanted = False
        self._scope = trio.CancelScope()
        self._nursery: trio.Nursery | None = None
        self._waiters: set[_Waiter] = set()
        self._wanted: deque[Run] = deque()
        self._wanting = 0
        self._filling = 0
        self._position = 0
        self._seconds_per_block = 0.0
        self._changed = trio.lowlevel.ParkingLot()
        self._turn = trio.Event()
        self.finished = trio.Event()

    def __repr__(self) -> str:
        done, size = self.blocks.present_bytes, self.revision.size_bytes
        return (
            f"<Stream {self.revision.key} {self.phase.value} {done}/{size} readers={self.readers}>"
        )

    @property
    def whole_at_once(self) -> bool:
        """Whether one request fetches it all."""
        return self.revision.size_bytes <= self._fetching.range_blocks * BLOCK_BYTES

    @property
    def rejected(self) -> bool:
        """Whether its bytes were wrong as often as they are fetched."""
        return isinstance(self.error, DigestMismatch)

    @property
    def started(self) -> bool:
        """Whether anything of it was asked for."""
        return self.whole_at_once or self.fill_wanted or self.blocks.present_bytes > 0

    # --- for readers -----------------------------------------------------------------------------

    def serves(self, span: Span) -> bool:
        """Whether *span* can be read from the file now.

        A file of one block is verified before its first byte is served: it costs a fraction of a
        millisecond, and nobody ever sees wrong bytes of a small file.
        """
        if self.phase is Phase.COMPLETE:
            return True
        if self.revision.size_bytes <= BLOCK_BYTES:
            return False
        return self.phase in (Phase.STREAMING, Phase.VERIFYING) and self.blocks.holds(span)

    async def wait_for(self, span: Span, *, demand: bool = True) -> None:
        """Return when *span* can be read from the file, or when the stream keeps nothing.

        Args:
            span: what is waited for.
            demand: fetch it before everything that nobody waits for.

        Raises:
            TierTimeout: nothing of it came for the deadline.
            TierError: the origin failed; others may have more luck.
            DigestMismatch: the bytes were wrong twice.
        """
        waiter = _Waiter(self.blocks.blocks_of(span))
        self._waiters.add(waiter)
        try:
            await self._wait(waiter, span, demand=demand)
        finally:
            self._waiters.discard(waiter)

    async def wait_complete(self) -> Digest:
        """Return the digest once the whole is verified.

        Raises:
            CacheFull: it is not kept.
            As `wait_for` otherwise.
        """
        whole = Span(0, self.revision.size_bytes)
        while self.phase is not Phase.COMPLETE:
            self.start_fill()
            await self.wait_for(whole, demand=self.whole_at_once)
            if self.phase is Phase.UNKEPT or self.phase is Phase.DROPPED:
                raise CacheFull(
                    f"{self.revision.key}: the cache has no room to keep it",
                    fix="raise cache.bytes_max, or lower cache.free_bytes_min",
                )
            if self.phase is Phase.VERIFYING:
                await self._changed.park()
        assert self.digest is not None
        return self.digest

    def start_fill(self) -> None:
        """Fetch what nobody waits for, too."""
        self.fill_wanted = True
        # What a reader waits for is asked for first; its arrival starts the rest.
        if not self._wanted and not self._wanting:
            self._spawn_fill()

    def stop_fill(self) -> None:
        """Start no more requests that nobody waits for."""
        self.fill_wanted = False

    def abandon(self) -> None:
        """Give up: the cache closes, or needs the room."""
        self._scope.cancel()

    async def _wait(self, waiter: _Waiter, span: Span, *, demand: bool) -> None:
        clock = trio.current_time
        absent = self.blocks.absent_count(span)
        give_up_at = clock() + self._fetching.deadline_s
        while not self.serves(span):
            if waiter.error is not None:
                raise waiter.error
            if self.error is not None:
                raise self.error
            if self.phase in ENDED:
                return
            if demand:
                self._want(waiter.run)
            with trio.move_on_at(give_up_at) as scope:
                await self._changed.park()
            if scope.cancelled_caught:
                raise TierTimeout(
                    f"{self.revision.tier}/{self.revision.key}: no byte of"
                    f" [{span.start}, {span.stop}) came within {self._fetching.deadline_s:g} s",
                    fix="see `shotfs status`; mount.request_deadline_s is the limit",
                )
            now_absent = self.blocks.absent_count(span)
            if now_absent != absent:
                absent, give_up_at = now_absent, clock() + self._fetching.deadline_s

    # --- life ------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Live: prepare, stream, verify; again once if the bytes were wrong."""
        try:
            with self._scope:
                while self.phase not in ENDED:
                    await self._attempt()
        except Exception:  # its readers go on without it; the mount must not end with it
            log.exception("a stream failed unexpectedly", extra={"key": self.revision.key})
        finally:
            if self.phase not in ENDED:
                self._move(Event.ABANDONED)
            self._end()

    async def _attempt(self) -> None:
        self.descriptor = await self._keeper.prepare(self)
        if self.descriptor is None:
            self._move(Event.NO_ROOM)
            return
        self._move(Event.ADMITTED)
        if self.blocks.complete:
            self._move(Event.ALL_PRESENT)
        else:
            await self._stream()
        if self.phase is Phase.VERIFYING:
            await self._verify()

    async def _stream(self) -> None:
        self._turn = trio.Event()
        async with trio.open_nursery() as nursery:
            self._nursery = nursery
            try:
                for run in self._take_wanted():
                    self._want(run)
                if self.whole_at_once:
                    self._want(self.blocks.blocks_of(Span(0, self.revision.size_bytes)))
                if not self._wanting:
                    self._spawn_fill()
                await self._turn.wait()
            finally:
                self._nursery = None
                nursery.cancel_scope.cancel()
        self._wanting = self._filling = 0

    async def _verify(self) -> None:
        try:
            digest = await self._keeper.verify_and_admit(self)
        except (OSError, CacheError) as error:
            log.warning("not kept", extra={"key": self.revision.key, "reason": str(error)})
            self._move(Event.NO_ROOM)
            return
        if digest is not None:
            self.digest = digest
            self._move(Event.VERIFIED)
        elif self.attempt == ATTEMPTS:
            self.error = DigestMismatch(
                f"{self.revision.tier}/{self.revision.key}: the bytes that arrived do not match"
                f" what the origin promises (tried {ATTEMPTS} times)",
                fix="check the object in the origin: its content, md5, crc32c or xxh128 is wrong",
            )
            self._move(Event.MISMATCH_AGAIN)
        else:
            self._give_up_file()
            self.attempt += 1
            self.blocks = BlockMap(self.revision.size_bytes)
            self._move(Event.MISMATCH)

    def _move(self, event: Event) -> None:
        self.phase = transition(self.phase, event)
        self._turn.set()
        self._changed.unpark_all()

    def _end(self) -> None:
        if self.phase is not Phase.COMPLETE:
            self._give_up_file()
        else:
            self._keeper.ended(self)
            if not self.readers:
                self.close_descriptor()
        self._changed.unpark_all()
        self.finished.set()

    def _give_up_file(self) -> None:
        self._keeper.ended(self)
        self.close_descriptor()

    def close_descriptor(self) -> None:
        """Let go of the file; reads that are under way finish first."""
        if self.descriptor is not None:
            self.descriptor.release()
            self.descriptor = None

    # --- fetching --------------------------------------------------------------------------------

    def _take_wanted(self) -> list[Run]:
        wanted = list(self._wanted)
        self._wanted.clear()
        return wanted

    def _want(self, run: Run) -> None:
        """Have *run* fetched before everything that nobody waits for."""
        if self.whole_at_once:
            run = self.blocks.blocks_of(Span(0, self.revision.size_bytes))
        if run in self._wanted or not self.blocks.misses(run):
            return
        self._wanted.append(run)
        if self._nursery is not None and self._wanting < self._fetching.parallel:
            self._wanting += 1
            self._nursery.start_soon(self._fetch_wanted)

    def _spawn_fill(self) -> None:
        if self._nursery is None or not self.fill_wanted or self.whole_at_once:
            return
        while self._filling < self._fetching.parallel:
            self._filling += 1
            self._nursery.start_soon(self._fetch_rest)

    async def _fetch_wanted(self) -> None:
        try:
            while self._wanted:
                await self._fetch_one_wanted()
        finally:
            self._wanting -= 1

    async def _fetch_one_wanted(self) -> None:
        # The place in the queue of slots is taken first; which run it is for is decided when the
        # slot is there, and a run stays in `_wanted` until it is claimed, so it is asked for once.
        first = self._wanted[0]
        limit = min(self._fetching.range_blocks, first.stop - first.first)
        async with self._slot(limit, self.fetch_class) as slot:
            claimed = self._claim_wanted(limit)
            if claimed is not None:
                self._position = claimed.stop
                if await self._fetch(claimed, slot):
                    self._spawn_fill()

    def _claim_wanted(self, limit: int) -> Run | None:
        if not self._wanted:
            return None
        run = self._wanted.popleft()
        claimed = self.blocks.claim(run, limit)
        if claimed is not None and claimed.stop < run.stop:
            self._wanted.appendleft(Run(claimed.stop, run.stop))
        return claimed

    async def _fetch_rest(self) -> None:
        try:
            more = True
            while more and self.fill_wanted:
                limit = self._fill_blocks()
                async with self._slot(limit, max(self.fetch_class, FetchClass.LOOKAHEAD)) as slot:
                    more = await self._fetch_next(limit, slot)
        finally:
            self._filling -= 1

    async def _fetch_next(self, limit: int, slot: Slot) -> bool:
        # It may have been stopped while this task waited for the slot.
        run = self.blocks.claim_from(self._position, limit) if self.fill_wanted else None
        if run is None:
            return False
        self._position = run.stop
        return await self._fetch(run, slot)

    def _fill_blocks(self) -> int:
        if not self._seconds_per_block:
            return self._fetching.range_blocks
        return max(1, min(self._fetching.range_blocks, int(REQUEST_S / self._seconds_per_block)))

    def _slot(self, blocks: int, fetch_class: FetchClass) -> Slot:
        revision = self.revision
        length_bytes = min(blocks * BLOCK_BYTES, revision.size_bytes)
        return self._fetching.scheduler.slot(
            revision.tier, length_bytes, fetch_class, what=revision.key
        )

    async def _fetch(self, run: Run, slot: Slot) -> bool:
        """Fetch the claimed *run*; False: it failed and whoever waits for it has been told."""
        assert self.descriptor is not None
        span = self.blocks.span_of(run)
        limit_s = self._fetching.deadline_s + span.length_bytes / RATE_MIN_BYTES_PER_S
        started = trio.current_time()
        arrived = False
        try:
            with self.descriptor.using() as number, trio.fail_after(limit_s):
                await self._tier.read_to_file(self.revision, span, number)
            arrived = True
            slot.record(span.length_bytes, trio.current_time() - started)
        except (ObjectNotFound, RevisionChanged) as error:
            self._origin_changed(error)
        except ShotfsError as error:
            self._tell_waiters(run, error)
        except trio.TooSlowError:
            where = f"{self.revision.tier}/{self.revision.key}"
            self._tell_waiters(run, TierTimeout(f"{where}: a request took over {limit_s:.0f} s"))
        except OSError as error:
            log.warning(
                "the cache's disk failed; streaming without keeping",
                extra={"key": self.revision.key, "reason": str(error)},
            )
            self._move_once(Event.NO_ROOM)
        except Exception as error:  # one broken file must not end the mount
            log.exception("fetch failed unexpectedly", extra={"key": self.revision.key})
            self._tell_waiters(run, CacheError(f"{self.revision.key}: {error!r}"))
        finally:
            if not arrived:
                self.blocks.release(run)
        if arrived:
            self._arrived(run, trio.current_time() - started)
        return arrived

    def _arrived(self, run: Run, took_s: float) -> None:
        per_block = took_s / (run.stop - run.first)
        before = self._seconds_per_block or per_block
        self._seconds_per_block = 0.7 * before + 0.3 * per_block
        self._keeper.wrote(self, self.blocks.settle(run))
        if self.blocks.complete:
            self._move_once(Event.ALL_PRESENT)
        else:
            self._changed.unpark_all()

    def _origin_changed(self, error: ShotfsError) -> None:
        # A deleted object is ENOENT to whoever looks for it, and stale to whoever has it open.
        self.error = RevisionChanged(
            f"{self.revision.tier}/{self.revision.key} changed while it was read: {error.message}",
            fix="open the file again",
        )
        self.error.__cause__ = error
        self._move_once(Event.ORIGIN_CHANGED)

    def _tell_waiters(self, run: Run, error: ShotfsError) -> None:
        self.stop_fill()
        for waiter in self._waiters:
            if waiter.run.first < run.stop and run.first < waiter.run.stop:
                waiter.error = error
        self._changed.unpark_all()
        if not self.readers:
            # It was being finished for later; an origin in trouble is not asked for that again.
            self.abandon()

    def _move_once(self, event: Event) -> None:
        """Several requests may meet the same end; the first decides."""
        if self.phase is Phase.STREAMING:
            self._move(event)
