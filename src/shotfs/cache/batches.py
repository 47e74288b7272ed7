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
import os
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

import trio

from shotfs.cache.asker import NOBODY, Asker
from shotfs.cache.blobs import BlobStore
from shotfs.cache.database import Database
from shotfs.cache.evictor import Evictor
from shotfs.cache.index import Index, NewRow, Row, Totals
from shotfs.cache.memory import HotRows, Leases
from shotfs.cache.room import Room
from shotfs.cache.scheduling import FetchClass, FetchScheduler, Slot
from shotfs.digest import Buffer, Checksums, Digest, digest_bytes, hash_file
from shotfs.errors import ShotfsError
from shotfs.tiers.base import Revision, SmallReader, Tier, small_reader

log = logging.getLogger(__name__)

FILE_BYTES_MAX = 256 * 1024
"""The bytes of larger files take longer than the Python around them."""

BATCH_BYTES_MAX = 1024 * 1024
"""As a block of a large file: for so long a batch keeps its connection from others."""

BATCH_FILES_MAX = 32
"""More save nothing that could be seen."""

PASSED_MAX = 64
"""How many files of other jobs are passed over to fill a batch. They keep their places."""

LANES_MIN = 4
LANES_MAX = 12
"""Batches of one origin at once: at most what prewarms may have of 16 connections. Far fewer where
the origin answers at once: threads that wait for each other and not for the network cost more than
they bring (2026-11-21, `tools/bench/cold`, 2,000 files from nginx on loopback: 4 lanes of 32 files
4,096 files/s, 12 lanes of 16 2,595)."""

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
        digest: stays None if it is left to a stream.
    """

    revision: Revision
    identity: str
    asker: Asker
    waits: bool = True
    callers: int = 0
    slot: Slot | None = None
    fetch_class: FetchClass = FetchClass.PREWARM
    ended: trio.Event = field(default_factory=trio.Event)
    digest: Digest | None = None


@dataclass(slots=True)
class _Queue:
    """What waits for one tier, and how many batches it has under way."""

    reader: SmallReader
    waiting: deque[_Item] = field(default_factory=deque)
    lanes: int = 0
    busy: int = 0


@dataclass(slots=True)
class _Come:
    """A file whose bytes are here."""

    item: _Item
    content: Buffer
    digest: Digest
    found: Checksums | None = None


@dataclass(frozen=True, slots=True)
class BatchParts:
    """What batches work with.

    Attributes:
        new_path: gives a name for a file below the partials that was never used.
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


class Batches:
    """Fetches small files of prewarms."""

    def __init__(self, parts: BatchParts) -> None:
        self._parts = parts
        self._items: dict[str, _Item] = {}
        self._queues: dict[str, _Queue] = {}
        self._lanes: dict[trio.CancelScope, trio.Event] = {}

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
        item = self._items.get(identity)
        if item is None:
            item = self._items[identity] = _Item(revision, identity, asker)
            queue = self._queues.setdefault(revision.tier, _Queue(reader))
            queue.waiting.append(item)
            if queue.lanes < self._lanes_of_use(revision.tier):
                queue.lanes += 1
                scope = trio.CancelScope()
                self._lanes[scope] = trio.Event()
                self._parts.nursery.start_soon(self._lane, revision.tier, queue, scope)
        item.callers += 1
        try:
            await item.ended.wait()
        finally:
            item.callers -= 1
            if not item.callers:
                self._take_out(item)
        return item.digest

    async def give_way(self, identity: str) -> None:
        """Return when no batch has the file, or it takes too long: a reader wants the file."""
        item = self._items.get(identity)
        if item is not None:
            self._take_out(item)
            item.fetch_class = FetchClass.DEMAND
            if item.slot is not None:
                item.slot.promote(FetchClass.DEMAND)
            with trio.move_on_after(GIVE_WAY_S):
                await item.ended.wait()

    async def stop(self) -> None:
        """End all batches. What is becoming blobs becomes blobs, with their rows."""
        for scope, ended in tuple(self._lanes.items()):
            scope.cancel()
            await ended.wait()

    def _take_out(self, item: _Item) -> None:
        """Leave *item* to a stream, or to nobody, unless its batch has begun."""
        if item.waits and not item.ended.is_set():
            self._queues[item.revision.tier].waiting.remove(item)
            self._end([item])

    # --- lanes -----------------------------------------------------------------------------------

    async def _lane(self, origin: str, queue: _Queue, scope: trio.CancelScope) -> None:
        """Fetch batches until none is left."""
        try:
            with scope:
                while queue.waiting and queue.lanes <= self._lanes_of_use(origin):
                    await self._next(origin, queue)
        finally:
            self._lanes.pop(scope).set()
            queue.lanes -= 1
            if not queue.lanes:
                self._end(queue.waiting)
                del self._queues[origin]

    def _lanes_of_use(self, origin: str) -> int:
        latency_s = self._parts.scheduler.pace(origin).latency_s
        return max(LANES_MIN, min(LANES_MAX, math.ceil(latency_s / LANE_LATENCY_S)))

    async def _next(self, origin: str, queue: _Queue) -> None:
        # Shared among the lanes that have nothing to do: behind a slow network, many requests at
        # once count for more than few visits to threads.
        share = math.ceil(len(queue.waiting) / max(1, queue.lanes - queue.busy))
        batch = _take(queue.waiting, min(share, BATCH_FILES_MAX))
        queue.busy += 1
        try:
            missing = await self._find(batch)
            if missing:
                await self._bring(origin, queue, batch, missing)
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
        """Settle what is here already; return the others."""
        wanted = [(one.identity, one.revision.checksums, one.revision.size_bytes) for one in items]
        rows = await self._parts.database.call(_find_all, wanted)
        missing = []
        for item, row in zip(items, rows, strict=True):
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
        self, origin: str, queue: _Queue, batch: list[_Item], items: list[_Item]
    ) -> None:
        room = self._parts.room
        reserved: list[_Item] = []
        # The disk is asked once where all fit: that is a system call.
        fit = room.fits(len(items), sum(item.revision.size_bytes for item in items))
        try:
            for item in items:
                if fit:
                    room.reserve(item.revision.size_bytes)
                elif not await self._parts.evictor.make_room(item.revision.size_bytes):
                    break  # a stream finds out what can be done about it
                reserved.append(item)
            if reserved:
                await self._fetch_and_keep(origin, queue, batch, reserved)
        finally:
            for item in reserved:
                room.release(item.revision.size_bytes, 0)

    async def _fetch_and_keep(
        self, origin: str, queue: _Queue, batch: list[_Item], items: list[_Item]
    ) -> None:
        length_bytes = sum(item.revision.size_bytes for item in items)
        what = items[0].revision.key if len(items) == 1 else f"{len(items)} small files"
        request = self._parts.scheduler.slot(
            origin, length_bytes, min(item.fetch_class for item in items),
            asker=items[0].asker, what=what,
        )  # fmt: skip
        for item in items:
            item.slot = request
        async with request as slot:
            began = trio.current_time()
            contents = await queue.reader.read_small([item.revision for item in items])
            # Time was up before the others were tried: they are the first of the next batch.
            tried = len(contents)
            for item in reversed(items[tried:]):
                batch.remove(item)
                item.waits, item.slot = True, None
                queue.waiting.appendleft(item)
            come = [
                _Come(item, content, digest_bytes(content))
                for item, content in zip(items[:tried], contents, strict=True)
                if content is not None
            ]
            if come:
                moved = sum(len(one.content) for one in come)
                slot.record(moved, trio.current_time() - began, requests=len(come))
                # The slot is held until the memory is free again.
                await self._keep(come)

    async def _keep(self, come: list[_Come]) -> None:
        parts = self._parts
        for one in come:
            parts.leases.add(one.digest)
        try:
            with trio.CancelScope(shield=True):
                for one in come:
                    await parts.evictor.wait_gone(one.digest)
                failure = await trio.to_thread.run_sync(
                    _land_all, parts.blobs, [(parts.new_path(), one) for one in come],
                    limiter=parts.disk,
                )  # fmt: skip
                kept = [one for one in come if one.found is not None]
                if kept:
                    parts.on_totals(await parts.database.call_behind(_rows_in, kept))
            for one in kept:
                parts.hot.put(
                    one.item.identity, Row(one.digest, one.item.revision.size_bytes, proven=True)
                )
                one.item.digest = one.digest
            if failure is not None:
                raise failure
        finally:
            for one in come:
                parts.leases.remove(one.digest)

    def _end(self, items: Iterable[_Item]) -> None:
        for item in items:
            self._items.pop(item.identity, None)
            item.ended.set()


def _take(waiting: deque[_Item], files_max: int) -> list[_Item]:
    """Take the first of *waiting*, and as many more of its job as one batch may have.

    A batch is one request for the scheduler, which counts and refuses by job.
    """
    items = [waiting.popleft()]
    job, size_bytes = items[0].asker.job, items[0].revision.size_bytes
    passed: list[_Item] = []
    while waiting and len(items) < files_max and len(passed) < PASSED_MAX:
        item = waiting.popleft()
        if item.asker.job != job:
            passed.append(item)
            continue
        size_bytes += item.revision.size_bytes
        if size_bytes > BATCH_BYTES_MAX:
            passed.append(item)
            break
        items.append(item)
    waiting.extendleft(reversed(passed))
    for item in items:
        item.waits = False
    return items


# --- in threads ----------------------------------------------------------------------------------


def _find_all(index: Index, wanted: list[tuple[str, Checksums, int]]) -> list[Row | None]:
    return [index.find(*one) for one in wanted]


def _rows_in(index: Index, kept: list[_Come]) -> Totals:
    return index.admit(
        NewRow(one.item.identity, one.found, one.item.revision.size_bytes, sound=False)
        for one in kept
        if one.found is not None
    )


def _land_all(blobs: BlobStore, places: list[tuple[str, _Come]]) -> OSError | None:
    """Make blobs of files, those that are what was promised; `found` says of which.

    Returns:
        What the disk failed with; those that became blobs before need their rows all the same.
    """
    try:
        for path, one in places:
            _land(blobs, path, one)
    except OSError as error:
        return error
    return None


def _land(blobs: BlobStore, path: str, one: _Come) -> None:
    revision = one.item.revision
    promised = revision.checksums
    number = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        try:
            written = os.pwrite(number, one.content, 0)
            if written < revision.size_bytes:  # the disk is full: the next call says so
                os.pwrite(number, memoryview(one.content)[written:], written)
            # What the disk has is what counts.
            found = hash_file(
                number,
                revision.size_bytes,
                md5=promised.md5 is not None,
                crc32c=promised.crc32c is not None,
            )
            if found.xxh128 == one.digest and _agrees(found, promised):
                blobs.admit(path, one.digest, revision, sync=False, descriptor=number)
                one.found = found
        finally:
            os.close(number)
    finally:
        if one.found is None:
            os.unlink(path)


def _agrees(found: Checksums, promised: Checksums) -> bool:
    """Whether content is what was promised, as far as anything was."""
    return all(
        promise in (None, actual)
        for promise, actual in (
            (promised.xxh128, found.xxh128),
            (promised.crc32c, found.crc32c),
            (promised.md5, found.md5),
        )
    )
