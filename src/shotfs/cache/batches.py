"""Batches: small files that nobody is blocked on, several of them for each visit to a thread.

A stream of its own costs a file half a millisecond of Python, whatever it brings: a prewarm of
10,000 textures would wait for the event loop and not for the network. Here a batch of files is
looked up, fetched, written and recorded with one visit to a thread each.

It is a fast path and nothing else. What does not come at once (an error, wrong bytes, no room) is
left to an ordinary stream, which knows about retries and can tell why. A reader does not wait for a
batch that has not begun: his file is taken out of it. One that has begun becomes as urgent as he
is. Event loop only.
"""

from __future__ import annotations

import logging
import math
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

import trio

from shotfs.cache.asker import NOBODY, Asker
from shotfs.cache.blobs import BlobStore
from shotfs.cache.database import Database, IndexUnavailable
from shotfs.cache.evictor import Evictor
from shotfs.cache.index import Index, NewRow, Row, Totals, identity_of
from shotfs.cache.landing import SmallFile, land_all
from shotfs.cache.memory import HotRows, Leases
from shotfs.cache.room import Room
from shotfs.cache.scheduling import FetchClass, FetchScheduler, Slot
from shotfs.digest import Digest, digest_bytes
from shotfs.errors import ShotfsError
from shotfs.tiers.base import Revision, SmallReader, Tier, small_reader
from shotfs.tiers.claims import Claims

log = logging.getLogger(__name__)

FILE_BYTES_MAX = 256 * 1024
"""The bytes of larger files take longer than the Python around them."""

BATCH_BYTES_MAX = 2 * 1024 * 1024
"""In memory at once, for each lane. How long it takes is bounded by the tier, not by this."""

BATCH_FILES_MAX = 64
"""More save nothing that could be seen."""

PASSED_MAX = 64
"""How many files of other jobs are passed over to fill a batch. They keep their places."""

LANES_MIN = 6
LANES_MAX = 12
"""Batches of one origin at once: at most what prewarms may have of 16 connections. Fewer where the
origin answers at once: threads wait for each other there, and not for the network."""

UNRECORDED_MAX = 256
"""Files whose rows are being written; with more than that, lanes wait for the index. They may be
one transaction, behind which a reader's look-up waits."""

LANE_LATENCY_S = 0.001
"""One lane for each of these that a file takes to come, within the limits."""

GIVE_WAY_S = 5.0
"""How long a reader waits for a batch that has begun. It takes a fraction of a second, or its
origin stands still: then he asks for himself, with a deadline of his own."""


@dataclass(slots=True, eq=False)
class _Item:
    """A file that is wanted.

    Attributes:
        waits: it is in no batch.
        callers: how many fetches wait for it.
        slot: of its batch, from when that asks for one.
        fetch_class: how urgent it is by now.
        ended: nothing more happens to it here.
        digest: stays None if it is left to a stream.
        woken: set at the end; made by who waits for that, because most items nobody waits for.
    """

    revision: Revision
    identity: str
    asker: Asker
    waits: bool = True
    callers: int = 0
    slot: Slot | None = None
    fetch_class: FetchClass = FetchClass.PREWARM
    ended: bool = False
    digest: Digest | None = None
    woken: trio.Event | None = None

    def end(self) -> None:
        """Tell everybody that it has ended."""
        self.ended = True
        if self.woken is not None:
            self.woken.set()

    async def wait(self) -> None:
        """Return when it has ended."""
        if not self.ended:
            if self.woken is None:
                self.woken = trio.Event()
            await self.woken.wait()


@dataclass(slots=True)
class _Queue:
    """What waits for one tier, and how many batches it has under way.

    `waiting` may hold items that have ended: somebody took them out.
    """

    waiting: deque[_Item] = field(default_factory=deque)
    lanes: int = 0
    busy: int = 0


@dataclass(slots=True, eq=False, kw_only=True)
class _Come(SmallFile):
    """A file whose bytes are here."""

    item: _Item


@dataclass(frozen=True, slots=True)
class BatchParts:
    """What batches work with.

    Attributes:
        new_path: gives a name for a file below the partials that was never used.
        streams: whether a stream fetches a revision, by its identity.
    """

    new_path: Callable[[], str]
    blobs: BlobStore
    database: Database
    evictor: Evictor
    room: Room
    hot: HotRows
    leases: Leases
    scheduler: FetchScheduler
    disk: trio.CapacityLimiter
    nursery: trio.Nursery
    on_totals: Callable[[Totals], None]
    streams: Callable[[str], bool]


class Batches:
    """Fetches small files of prewarms."""

    def __init__(self, parts: BatchParts) -> None:
        self._parts = parts
        self._items: dict[str, _Item] = {}
        self._queues: dict[str, _Queue] = {}
        self._lanes: dict[trio.CancelScope, trio.Event] = {}
        self._recordings: deque[trio.Event] = deque()
        self._unrecorded = 0

    def __contains__(self, identity: str) -> bool:
        return identity in self._items

    @staticmethod
    def suits(tier: Tier, revision: Revision, fetch_class: FetchClass) -> SmallReader | None:
        """Return what reads *revision* in a batch; None: it is for a stream."""
        if fetch_class < FetchClass.PREWARM or not 0 < revision.size_bytes <= FILE_BYTES_MAX:
            return None
        return small_reader(tier)

    async def fetch(
        self, reader: SmallReader, revision: Revision, identity: str, asker: Asker = NOBODY
    ) -> Digest | None:
        """Have a small file here, verified; return its digest. None: a stream has to fetch it."""
        item = self._wanted(revision, identity, asker)
        self._start_lanes(reader, revision.tier)
        try:
            await item.wait()
        finally:
            self._leave([item])
        return item.digest

    async def fetch_page(
        self,
        reader: SmallReader,
        revisions: Sequence[Revision],
        asker: Asker,
        told: Callable[[int, Digest], None],
    ) -> list[int]:
        """Have small files of one tier here, verified, in this order as far as that matters.

        Args:
            reader: reads them.
            revisions: what `suits`; some hundred, because each is in memory until it is here.
            asker: who wants them.
            told: called with the position and the digest of each that is here.

        Returns:
            The positions of those that a stream has to fetch.
        """
        items = [self._wanted(one, identity_of(one), asker) for one in revisions]
        if items:
            self._start_lanes(reader, items[0].revision.tier)
        left = []
        try:
            for position, item in enumerate(items):
                await item.wait()
                if item.digest is None:
                    left.append(position)
                else:
                    told(position, item.digest)
        finally:
            self._leave(items)
        return left

    def _wanted(self, revision: Revision, identity: str, asker: Asker) -> _Item:
        """Return the item of a revision, with one more caller; a new one waits for a lane."""
        item = self._items.get(identity)
        if item is None:
            item = self._items[identity] = _Item(revision, identity, asker)
            queue = self._queues.get(revision.tier)
            if queue is None:
                queue = self._queues[revision.tier] = _Queue()
            queue.waiting.append(item)
        item.callers += 1
        return item

    def _start_lanes(self, reader: SmallReader, origin: str) -> None:
        """Have as many lanes as are of use for what waits."""
        queue = self._queues.get(origin)
        if queue is None:
            return
        useful = min(self._lanes_of_use(origin), queue.busy + len(queue.waiting))
        while queue.lanes < useful:
            queue.lanes += 1
            scope = trio.CancelScope()
            self._lanes[scope] = trio.Event()
            self._parts.nursery.start_soon(self._lane, reader, origin, queue, scope)

    def _leave(self, items: Iterable[_Item]) -> None:
        """End what nobody waits for any more, unless its batch has begun."""
        for item in items:
            item.callers -= 1
            if not item.callers:
                self._take_out(item)

    async def give_way(self, identity: str) -> None:
        """Return when no batch has the file, or it takes too long: a reader wants the file."""
        item = self._items.get(identity)
        if item is not None:
            self._take_out(item)
            item.fetch_class = FetchClass.DEMAND
            if item.slot is not None:
                item.slot.promote(FetchClass.DEMAND)
            with trio.move_on_after(GIVE_WAY_S):
                await item.wait()

    async def stop(self) -> None:
        """End all batches. What is becoming blobs becomes blobs, with their rows."""
        for scope, ended in tuple(self._lanes.items()):
            scope.cancel()
            await ended.wait()
        while self._recordings:
            await self._recordings[0].wait()

    def _take_out(self, item: _Item) -> None:
        """Leave *item* to a stream, or to nobody, unless its batch has begun."""
        if item.waits and not item.ended:
            self._end([item])

    # --- lanes -----------------------------------------------------------------------------------

    async def _lane(
        self, reader: SmallReader, origin: str, queue: _Queue, scope: trio.CancelScope
    ) -> None:
        """Fetch batches until none is left."""
        try:
            with scope:
                while queue.waiting and queue.lanes <= self._lanes_of_use(origin):
                    await self._next(reader, origin, queue)
        finally:
            self._lanes.pop(scope).set()
            queue.lanes -= 1
            if not queue.lanes:
                self._end(one for one in queue.waiting if not one.ended)
                del self._queues[origin]

    def _lanes_of_use(self, origin: str) -> int:
        latency_s = self._parts.scheduler.pace(origin).latency_s
        return max(LANES_MIN, min(LANES_MAX, math.ceil(latency_s / LANE_LATENCY_S)))

    async def _next(self, reader: SmallReader, origin: str, queue: _Queue) -> None:
        # Shared among the lanes that have nothing to do: behind a slow network, many requests at
        # once count for more than few visits to threads.
        share = math.ceil(len(queue.waiting) / max(1, queue.lanes - queue.busy))
        batch = _take(queue.waiting, min(share, BATCH_FILES_MAX))
        if not batch:
            return
        queue.busy += 1
        try:
            while self._unrecorded > UNRECORDED_MAX:
                await self._recordings[0].wait()
            # Not for whom has left meanwhile; a reader who waits for the batch goes his own way.
            missing = [one for one in await self._find(batch) if one.callers]
            if missing:
                await self._bring(reader, queue, batch, missing)
        except ShotfsError as error:
            # A stream meets the same, tries again where that makes sense, and says so.
            log.debug("a batch failed", extra={"origin": origin, "reason": error.message})
        except OSError as error:
            log.warning("cannot keep a batch", extra={"origin": origin, "reason": str(error)})
        except Exception:  # one broken batch must not end the mount
            log.exception("a batch failed unexpectedly", extra={"origin": origin})
        finally:
            queue.busy -= 1
            self._end(batch)

    async def _find(self, items: list[_Item]) -> list[_Item]:
        """Settle what is here already, leave out what a stream fetches; return the others."""
        wanted = [(one.identity, one.revision.checksums, one.revision.size_bytes) for one in items]
        rows = await self._parts.database.call(Index.find_all, wanted)
        missing = []
        for item, row in zip(items, rows, strict=True):
            if self._parts.streams(item.identity):
                continue
            if row is None or self._parts.evictor.condemned(row.digest):
                missing.append(item)
            elif row.proven:
                if row.linked:
                    self._parts.nursery.start_soon(self._name_origin, row.digest, item.revision)
                self._parts.hot.put(item.identity, row)
                item.digest = row.digest
        return missing

    async def _name_origin(self, digest: Digest, revision: Revision) -> None:
        """Let the blob name a revision that was linked to it; see `Holdings.find`."""
        await trio.to_thread.run_sync(
            self._parts.blobs.add_origin, digest, revision, limiter=self._parts.disk
        )

    async def _bring(
        self, reader: SmallReader, queue: _Queue, batch: list[_Item], items: list[_Item]
    ) -> None:
        room = self._parts.room
        reserved: list[_Item] = []
        size_bytes = sum(item.revision.size_bytes for item in items)
        try:
            # The disk is asked once where all fit: that is a system call.
            if room.fits(len(items), size_bytes):
                room.reserve(size_bytes, files=len(items))
                reserved += items
            else:
                for item in items:
                    if not await self._parts.evictor.make_room(item.revision.size_bytes):
                        break  # a stream finds out what can be done about it
                    reserved.append(item)
            if reserved:
                await self._fetch_and_keep(reader, queue, batch, reserved)
        finally:
            self._give_back(reserved)

    def _give_back(self, reserved: list[_Item]) -> None:
        """Take back the room of files that did not become blobs, or have their rows."""
        size_bytes = sum(item.revision.size_bytes for item in reserved)
        self._parts.room.reserve(-size_bytes, files=-len(reserved))

    async def _fetch_and_keep(
        self, reader: SmallReader, queue: _Queue, batch: list[_Item], reserved: list[_Item]
    ) -> None:
        """Fetch and keep files; those that became blobs are taken out of *batch* and *reserved*."""
        items = tuple(reserved)
        length_bytes = sum(item.revision.size_bytes for item in items)
        what = items[0].revision.key if len(items) == 1 else f"{len(items)} small files"
        request = self._parts.scheduler.slot(
            items[0].revision.tier, length_bytes, min(item.fetch_class for item in items),
            asker=items[0].asker, what=what,
        )  # fmt: skip
        request.requests = len(items)
        for item in items:
            item.slot = request
        async with request as slot:
            began = trio.current_time()
            claims = Claims()
            with claims.listening():
                contents = await reader.read_small([item.revision for item in items])
            # Time was up before the others were tried: they are the first of the next batch. A
            # reader among those who wait asks for himself.
            tried = len(contents)
            for item in reversed(items[tried:]):
                batch.remove(item)
                item.waits, item.slot = True, None
                queue.waiting.appendleft(item)
                if not item.callers or item.fetch_class is FetchClass.DEMAND:
                    self._take_out(item)
            come = [
                _Come(content, digest_bytes(content), claims.completed(item.revision), item=item)
                for item, content in zip(items[:tried], contents, strict=True)
                if content is not None
            ]
            if come:
                moved = sum(len(one.content) for one in come)
                slot.record(moved, trio.current_time() - began, requests=len(come))
                # The slot is held until the memory is free again.
                await self._keep(come, batch, reserved)

    async def _keep(self, come: list[_Come], batch: list[_Item], reserved: list[_Item]) -> None:
        parts = self._parts
        for one in come:
            parts.leases.add(one.digest)
        kept: list[_Come] = []
        try:
            with trio.CancelScope(shield=True):
                for one in come:
                    if parts.evictor.condemned(one.digest):
                        await parts.evictor.wait_gone(one.digest)
                failure = await trio.to_thread.run_sync(
                    land_all, parts.blobs, parts.new_path, come, limiter=parts.disk
                )
            kept = [one for one in come if one.found is not None]
        finally:
            landed = {one.item for one in kept}
            for one in come:
                if one.item not in landed:
                    parts.leases.remove(one.digest)
        if kept:
            # Their rows follow while the lane goes on; until then they have room and leases.
            batch[:] = [item for item in batch if item not in landed]
            reserved[:] = [item for item in reserved if item not in landed]
            recorded = trio.Event()
            self._recordings.append(recorded)
            self._unrecorded += len(kept)
            parts.nursery.start_soon(self._record, kept, recorded)
        if failure is not None:
            raise failure

    async def _record(self, kept: list[_Come], recorded: trio.Event) -> None:
        """Write the rows of files that became blobs, and end their items."""
        parts = self._parts
        items = [one.item for one in kept]
        for one in kept:
            one.content = b""
        try:
            with trio.CancelScope(shield=True):
                parts.on_totals(await parts.database.call_behind(_rows_in, kept))
            for one in kept:
                size_bytes = one.item.revision.size_bytes
                parts.hot.put(one.item.identity, Row(one.digest, size_bytes, proven=True))
                one.item.digest = one.digest
        except IndexUnavailable as error:
            log.warning("a batch was not kept", extra={"reason": error.message})
        finally:
            for one in kept:
                parts.leases.remove(one.digest)
            self._give_back(items)
            self._unrecorded -= len(kept)
            self._recordings.remove(recorded)
            recorded.set()
            self._end(items)

    def _end(self, items: Iterable[_Item]) -> None:
        for item in items:
            if self._items.get(item.identity) is item:
                del self._items[item.identity]
            item.end()


def _take(waiting: deque[_Item], files_max: int) -> list[_Item]:
    """Take the first of *waiting*, and as many more of its job as one batch may have.

    A batch is one request for the scheduler, which counts and refuses by job.
    """
    items: list[_Item] = []
    passed: list[_Item] = []
    size_bytes = 0
    while waiting and len(items) < files_max and len(passed) < PASSED_MAX:
        item = waiting.popleft()
        if item.ended:
            continue
        if items and item.asker.job != items[0].asker.job:
            passed.append(item)
            continue
        size_bytes += item.revision.size_bytes
        if items and size_bytes > BATCH_BYTES_MAX:
            passed.append(item)
            break
        items.append(item)
    waiting.extendleft(reversed(passed))
    for item in items:
        item.waits = False
    return items


# --- in threads ----------------------------------------------------------------------------------


def _rows_in(index: Index, kept: list[_Come]) -> Totals:
    return index.admit(
        NewRow(one.item.identity, one.found, one.item.revision.size_bytes, sound=False)
        for one in kept
        if one.found is not None
    )
