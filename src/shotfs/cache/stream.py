"""A stream: one revision that is coming in, shared by all its readers.

Owns the map of its blocks and, but for small files, a sparse file. Readers wait for their range,
not for the file; what they wait for is fetched first. `requests` says how it is asked for,
`wanted` what goes first. Decides nothing about room, blobs or the index: its `Keeper`
does. Everything here runs in the event loop; bytes move in the tier's threads.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Awaitable, Callable
from functools import partial

import trio

from shotfs.cache.access import AccessPattern
from shotfs.cache.asker import NOBODY
from shotfs.cache.blocks import BlockMap, Run
from shotfs.cache.descriptor import Descriptor
from shotfs.cache.failures import changed, failure_of, no_room, wrong_bytes
from shotfs.cache.hashing import Progress
from shotfs.cache.keeper import Fetching, Keeper
from shotfs.cache.phase import ENDED, Event, Phase, transition
from shotfs.cache.rate import RateMeter
from shotfs.cache.reader import Reader
from shotfs.cache.requests import Requests, UnderWay
from shotfs.cache.scheduling import FetchClass, Slot, hedged_read_to_file
from shotfs.cache.waiters import Wait, Waiter, Waiters
from shotfs.cache.wanted import Wanted
from shotfs.digest import Buffer, Digest
from shotfs.errors import CacheError, DigestMismatch, ObjectNotFound, RevisionChanged, ShotfsError
from shotfs.tiers.base import Revision, Span, Tier
from shotfs.tiers.claims import Claims

log = logging.getLogger(__name__)

ATTEMPTS = 2
"""Bytes that were wrong are fetched once more."""

SMALL_BYTES_MAX = 1024 * 1024
"""A file up to this size is fetched into memory and verified before its first byte is served: it
costs a fraction of a millisecond, and nobody ever sees wrong bytes of a small file."""

_FINISHER = Reader(AccessPattern(0), fetch_class=FetchClass.LOOKAHEAD)
"""In whose name a file is finished that everybody has closed."""


class Stream:
    """One revision coming in. `run` is its life; the cache starts it once.

    Attributes:
        revision: what is fetched, and nothing else ever.
        blocks: what of it is here.
        claims: what the answers that brought it said of the whole.
        phase: see `phase`.
        attempt: 1, or 2 after the first bytes were wrong.
        digest: None until COMPLETE.
        error: why it failed.
        verification: whether its hash gets ahead, while VERIFYING.
        finished: set when `run` has ended and everything was given back.
        descriptor: of the file; None before the first STREAMING, once given up, for small files.
    """

    def __init__(
        self,
        tier: Tier,
        revision: Revision,
        fetching: Fetching,
        keeper: Keeper,
        *,
        in_ranges: bool = False,
        after: trio.Event | None = None,
    ) -> None:
        """Make one that fetches nothing before `run`.

        Args:
            tier: where to fetch from.
            revision: what to fetch.
            fetching: how.
            keeper: what keeps it.
            in_ranges: fetch no more than what is read, although one request would bring it all.
            after: what has to happen first: the end of another stream of this revision.
        """
        self._tier = tier
        self._fetching = fetching
        self._keeper = keeper
        self._after = after
        self.revision = revision
        self.claims = Claims()
        self.blocks = BlockMap(revision.size_bytes)
        self.phase = Phase.PREPARING
        self.attempt = 1
        self.digest: Digest | None = None
        self.error: ShotfsError | None = None
        self.descriptor: Descriptor | None = None
        self.verification = Progress()
        self.finished = trio.Event()
        self.small = revision.size_bytes <= SMALL_BYTES_MAX
        pace = fetching.scheduler.pace(revision.tier)
        self.whole_at_once = self.small or (
            not in_ranges and revision.size_bytes <= pace.range_bytes(FetchClass.DEMAND)
        )
        self._whole = Run(0, self.blocks.count)
        self._wanted = Wanted(self.blocks)
        self._requests = Requests(
            revision, self.blocks, self._wanted, fetching.scheduler, self._fetch, self._refused,
            whole=self.whole_at_once,
        )  # fmt: skip
        self._readers: set[Reader] = set()
        self._rate = RateMeter()
        self._scope = trio.CancelScope()
        self._pausing = False
        self._waiters = Waiters()
        self._turn = trio.Event()
        self._asked = trio.Event()
        self._slot: Slot | None = None

    def __repr__(self) -> str:
        done, size = self.blocks.present_bytes, self.revision.size_bytes
        return (
            f"<Stream {self.revision.key} {self.phase.value} {done}/{size} readers={self.readers}>"
        )

    @property
    def readers(self) -> int:
        """How many open files and fetches use it."""
        return len(self._readers)

    @property
    def fetch_class(self) -> FetchClass:
        """How urgent it is to those who use it."""
        return self._most_urgent.fetch_class

    @property
    def _most_urgent(self) -> Reader:
        return min(self._readers, key=lambda one: one.fetch_class, default=_FINISHER)

    @property
    def started(self) -> bool:
        """Whether anything of it was asked for."""
        return self.whole_at_once or self.blocks.present_bytes > 0 or bool(self.requests())

    @property
    def finishing(self) -> bool:
        """Whether it is fetched to its end although nobody may read it any more."""
        return self._wanted.fills(self)

    @property
    def to_hold_bytes(self) -> int:
        """How much is going to be kept: what is here or on its way; the whole once it is wanted."""
        if self.whole_at_once or self._wanted.fill_class is not None:
            return self.revision.size_bytes
        return self.blocks.present_bytes + self.blocks.claimed_bytes

    @property
    def rejected(self) -> bool:
        """Whether its bytes were wrong as often as they are fetched."""
        return isinstance(self.error, DigestMismatch)

    @property
    def rate_bytes_per_s(self) -> float:
        """How fast it came in over the last seconds."""
        return self._rate.bytes_per_s(trio.current_time())

    def waits(self) -> list[Wait]:
        """Return who waits for what, the longest waiting first."""
        return self._waiters.report()

    def requests(self) -> list[UnderWay]:
        """Return what is being fetched, the oldest first."""
        return self._requests.under_way()

    # --- for readers -----------------------------------------------------------------------------

    def join(self, reader: Reader) -> None:
        """One more open file, or fetch. What one request brings is asked for at once."""
        self._readers.add(reader)
        if self._slot is not None:
            self._slot.promote(reader.fetch_class)
        if self.whole_at_once:
            self._want(reader, self._whole, reader, reader.fetch_class)

    def leave(self, reader: Reader) -> None:
        """It was closed: what only it wanted is not asked for any more."""
        self._readers.discard(reader)
        self._wanted.gone(reader)
        self._wanted.demand_ended(self._whole, reader)
        self._requests.pump()

    def will_read(self, reader: Reader, span: Span) -> None:
        """Take note of a read, and fetch what will be read next."""
        if self.whole_at_once or self.phase in ENDED:
            return
        ahead = reader.pattern.observe(span, self._requests.window_bytes_max)
        if ahead:
            runs = [self.blocks.blocks_of(one) for one in ahead]
            self._wanted.ahead(runs, reader, reader.asker)
        # Much of a file that never fits as a whole is no reason to want the rest.
        present_bytes = self.blocks.present_bytes if self._keeper.may_be_whole(self) else 0
        if not self._wanted.fills(reader) and reader.wants_whole(
            self.revision.size_bytes, present_bytes
        ):
            self._wanted.fill(FetchClass.LOOKAHEAD, reader, reader.asker)
        elif not ahead:
            return
        self._requests.pump()

    def serves(self, span: Span) -> bool:
        """Whether *span* can be read now."""
        if self.phase is Phase.COMPLETE:
            return True
        if self.small:
            return False
        return self.phase in (Phase.STREAMING, Phase.VERIFYING) and self.blocks.holds(span)

    async def wait_for(self, span: Span, reader: Reader) -> None:
        """Return when *span* can be read, or when the stream keeps nothing. For an open file it is
        fetched before everything that nobody waits for.

        Raises:
            TierTimeout: nothing of it came for the deadline.
            TierError: the origin failed; others may have more luck.
            DigestMismatch: the bytes were wrong twice.
        """
        waiter = self._waiter(span, reader, reader.fetch_class)
        await self._wait(waiter, lambda: self.serves(span))

    async def wait_complete(self, reader: Reader) -> Digest:
        """Return the digest once the whole is verified; fetched at the class of *reader*.

        Raises:
            CacheFull: it is not kept.
            CacheStalled: the disk made no progress while it was hashed.
            As `wait_for` otherwise.
        """
        fetch_class = reader.fetch_class
        if not self.whole_at_once:
            fetch_class = max(fetch_class, FetchClass.LOOKAHEAD)
        waiter = self._waiter(Span(0, self.revision.size_bytes), reader, fetch_class)
        await self._wait(waiter, lambda: self.phase is Phase.COMPLETE)
        if self.digest is None:
            raise no_room(self.revision)
        return self.digest

    def finish(self) -> None:
        """Fetch the rest, also when nobody reads it any more."""
        self._wanted.fill(FetchClass.LOOKAHEAD, self, NOBODY)
        self._asked.set()
        self._requests.pump()

    def keep_nothing(self) -> None:
        """Give up the file: the disk has no room for it. Its readers read on from the origin."""
        self._move_once(Event.NO_ROOM)
        if self.small and self.phase is Phase.UNKEPT:
            self._scope.cancel()  # nothing else ends its one request, nor its wait for a reader

    def pause(self) -> None:
        """End for now: what is here waits for the next reader, as far as it is kept in parts."""
        if self.phase is Phase.STREAMING:
            self._move(Event.ABANDONED if self.small else Event.PAUSED)
        elif self.phase is Phase.PREPARING:
            self._move(Event.ABANDONED)
        self._pausing = True
        self._scope.cancel()

    def close_descriptor(self) -> None:
        """Let go of the file; reads that are under way finish first."""
        if self.descriptor is not None:
            self.descriptor.release()
            self.descriptor = None

    def _waiter(self, span: Span, reader: Reader, fetch_class: FetchClass) -> Waiter:
        run = self._whole if self.whole_at_once else self.blocks.blocks_of(span)
        return Waiter(span, run, reader, fetch_class)

    async def _wait(self, waiter: Waiter, done: Callable[[], bool]) -> None:
        try:
            with self._waiters.waiting(waiter):
                while not done():
                    if error := waiter.error or self.error:
                        raise error
                    if self.phase in ENDED:
                        return
                    self._want(waiter.reader, waiter.run, waiter, waiter.fetch_class)
                    # After what is waited for now: it is asked for first.
                    if waiter.fetch_class is FetchClass.DEMAND:
                        self.will_read(waiter.reader, waiter.span)
                    await self._progress(waiter)
        finally:
            self._wanted.demand_ended(waiter.run, waiter)
            self._requests.pump()

    def _want(self, reader: Reader, run: Run, owner: object, fetch_class: FetchClass) -> None:
        if fetch_class is FetchClass.DEMAND:
            self._wanted.demand(run, owner, reader.asker)
        elif reader.parts:
            self._wanted.ahead(self.blocks.runs_of(reader.parts), reader, reader.asker, fetch_class)
        else:
            self._wanted.fill(fetch_class, reader, reader.asker)
        self._asked.set()
        self._requests.pump()

    async def _progress(self, waiter: Waiter) -> None:
        """Return when something happened that concerns *waiter*; raises if nothing did."""
        limit_s = self._fetching.deadline_s
        if self.phase is Phase.VERIFYING and not self.small:
            await waiter.verified(self.verification, self.revision, limit_s)
        elif waiter.fetch_class is FetchClass.DEMAND:
            await waiter.bytes_came(self.revision, limit_s)
        else:  # who queues behind readers may wait for long: his requests have deadlines
            await waiter.bytes_came(self.revision, math.inf)

    # --- life ------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Live: prepare, stream, verify; again once if the bytes were wrong."""
        try:
            if self._after is not None:
                with trio.CancelScope(shield=True):  # who waits for this one waits for both
                    await self._after.wait()
            with self._scope:
                while self.phase not in ENDED:
                    await self._attempt()
        except Exception:  # its readers go on without it; the mount must not end with it
            log.exception("a stream failed unexpectedly", extra={"key": self.revision.key})
        finally:
            if self.phase not in ENDED:
                pausing = self._pausing and self.phase is Phase.VERIFYING and not self.small
                self._move(Event.PAUSED if pausing else Event.ABANDONED)
            await self._end()

    async def _attempt(self) -> None:
        if self.small:
            admitted = await self._keeper.reserve(self)
        else:
            self.descriptor = await self._keeper.prepare(self)
            admitted = self.descriptor is not None
        if self.phase in ENDED:
            return  # it was given up meanwhile
        if not admitted:
            self._move(Event.NO_ROOM)
            return
        self._move(Event.ADMITTED)
        if self.small:
            while self.phase is Phase.STREAMING:
                await self._bring_small()
            return
        if self.blocks.complete:
            self._move(Event.ALL_PRESENT)
        else:
            self._turn = trio.Event()
            await self._requests.run_until(self._turn)
        if self.phase is Phase.VERIFYING:
            await self._verify(partial(self._keeper.verify_and_admit, self))

    async def _verify(self, admit: Callable[[], Awaitable[Digest | None]]) -> None:
        try:
            digest = await admit()
        except (OSError, CacheError) as error:
            log.warning("not kept", extra={"key": self.revision.key, "reason": str(error)})
            self._move(Event.NO_ROOM)
            return
        if digest is not None:
            self.digest = digest
            self._move(Event.VERIFIED)
        elif self.attempt == ATTEMPTS:
            self.error = wrong_bytes(self.revision, ATTEMPTS)
            self._move(Event.MISMATCH_AGAIN)
        else:
            self._give_up_file()
            self.attempt += 1
            self.blocks.clear()
            self._move(Event.MISMATCH)

    def _move(self, event: Event) -> None:
        self.phase = transition(self.phase, event)
        self.verification.step()
        self._turn.set()
        self._waiters.wake()

    async def _end(self) -> None:
        if self.phase in (Phase.PAUSED, Phase.DROPPED) and not self.small:
            # Also one that was dropped before it went on with a partial.
            await self._keeper.paused(self)
            self.close_descriptor()
        elif self.phase is Phase.COMPLETE:
            if not self.readers:
                self.close_descriptor()
        else:
            self._give_up_file()
        self._waiters.wake()
        self.finished.set()

    def _give_up_file(self) -> None:
        self._keeper.ended(self)
        self.close_descriptor()

    # --- fetching --------------------------------------------------------------------------------

    async def _bring_small(self) -> None:
        """Fetch all into memory and make it a blob; the slot is held until memory is free again."""
        size_bytes = self.revision.size_bytes
        if not size_bytes:
            self._move(Event.ALL_PRESENT)
            await self._verify(partial(self._keeper.admit_small, self, b""))
            return
        await self._asked.wait()
        first = self._most_urgent
        self._slot = self._fetching.scheduler.request(
            self.revision.tier, size_bytes, first.fetch_class, asker=first.asker,
            what=self.revision.key,
        )  # fmt: skip
        content: Buffer = b""

        async def read() -> None:
            nonlocal content
            content = await self._tier.read(self.revision, Span(0, size_bytes))

        try:
            async with self._slot as slot:
                self.blocks.claim(self._whole, self.blocks.count)
                # Its last reader may have left while it arrived.
                if await self._ask(self._whole, slot, read) and self.phase not in ENDED:
                    await self._verify(partial(self._keeper.admit_small, self, content))
        except ShotfsError as error:
            self._refused(error, self._slot.fetch_class)
        finally:
            self._slot = None
            self._asked = trio.Event()

    async def _fetch(self, run: Run, slot: Slot) -> bool:
        """Fetch the claimed *run*; False: it failed and whoever waits for it has been told."""
        assert self.descriptor is not None
        span = self.blocks.span_of(run)
        with self.descriptor.using() as number:
            scheduler, tier = self._fetching.scheduler, self._tier
            read = partial(hedged_read_to_file, scheduler, slot, tier, self.revision, span, number)
            return await self._ask(run, slot, read)

    async def _ask(self, run: Run, slot: Slot, read: Callable[[], Awaitable[None]]) -> bool:
        length_bytes = self.blocks.span_of(run).length_bytes
        deadline_s = self._fetching.deadline_s
        arrived = False
        try:
            if not await self._keeper.make_room(self):
                self._move_once(Event.NO_ROOM)
                return False
            began = trio.current_time()
            failure = await failure_of(read, self.revision, length_bytes, deadline_s, self.claims)
            arrived = failure is None
        finally:
            if not arrived:
                self.blocks.release(run)
        if failure is None:
            slot.record(length_bytes, trio.current_time() - began)
            self._arrived(run)
        else:
            self._failed(run, failure)
        return arrived

    def _failed(self, run: Run, failure: ShotfsError | OSError) -> None:
        if isinstance(failure, ObjectNotFound | RevisionChanged):
            self.error = changed(self.revision, failure)
            self._move_once(Event.ORIGIN_CHANGED)
        elif isinstance(failure, ShotfsError):
            self._tell_waiters(run, failure)
        else:
            log.warning(
                "the cache's disk failed; streaming without keeping",
                extra={"key": self.revision.key, "reason": str(failure)},
            )
            self._move_once(Event.NO_ROOM)

    def _arrived(self, run: Run) -> None:
        length_bytes = self.blocks.settle(run)
        self._rate.add(trio.current_time(), length_bytes)
        if not self.small:
            self._keeper.wrote(self, length_bytes)
        if self.blocks.complete:
            self._move_once(Event.ALL_PRESENT)
        else:
            self._waiters.wake(run)

    def _refused(self, error: ShotfsError, fetch_class: FetchClass) -> None:
        """Tell who waits: what a prewarm may not fetch may be on its way to a reader."""
        self._tell_waiters(self._whole, error, demand=fetch_class is FetchClass.DEMAND)

    def _tell_waiters(self, run: Run, error: ShotfsError, *, demand: bool = True) -> None:
        self._wanted.failed(run, demand=demand)
        self._waiters.tell(run, error, demand=demand)
        if not self.readers:
            # It was being finished for later; an origin in trouble is not asked for that again.
            self.pause()

    def _move_once(self, event: Event) -> None:
        """Several requests may meet the same end; the first decides."""
        if self.phase is Phase.STREAMING:
            self._move(event)
