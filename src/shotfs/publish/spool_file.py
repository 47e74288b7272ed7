"""A handle of a spool file: reads, writes, and the promises of close.

Each handle has a descriptor of its own, so that it outlives a rename and an unlink. Writes to one
entry run one after another; reads run beside them.
"""

from __future__ import annotations

import contextlib
import os

import trio

from shotfs.digest import Buffer
from shotfs.errors import InvalidArgument, NotPermitted, ShotfsError
from shotfs.publish import half_written
from shotfs.publish.core import Core, log, now_ns, translated
from shotfs.publish.entry import SpoolEntry
from shotfs.publish.happenings import Happening
from shotfs.publish.lane import SMALL_BYTES
from shotfs.publish.states import Event, State
from shotfs.tiers.base import Span


class SpoolFile:
    """An open file of the spool.

    Attributes:
        entry: what it is a handle of; its path follows renames.
        writable: `write` and `truncate` work.
    """

    def __init__(self, core: Core, entry: SpoolEntry, descriptor: int, *, writable: bool) -> None:
        self.entry = entry
        self.writable = writable
        self._core = core
        self._descriptor = descriptor
        self._epoch = entry.finished_handles
        self._lent = False
        entry.open_handles += 1
        entry.writers += writable

    def __repr__(self) -> str:
        how = "closed" if self._descriptor < 0 else ("writable" if self.writable else "read-only")
        return f"<SpoolFile {self.entry.path!r} {self.entry.state} {how}>"

    def fileno(self) -> int:
        """Return the descriptor of the data file."""
        return self._open_descriptor()

    def lendable(self) -> bool:
        """Whether the kernel may write the data file of this new entry by itself (`lending`)."""
        return self.writable and self._core.lending.allows(self.entry)

    def lend(self) -> None:
        """Note that what is done through this handle, until it is closed, is not seen here."""
        self._lent = True
        self._core.lending.begin(self.entry)

    def read_now(self, span: Span) -> Buffer | None:
        """Return the bytes of *span* up to the end of the file, or None if that would block."""
        wanted = self._available(span)
        if wanted == 0:
            return b""
        block = bytearray(wanted)
        try:
            count = os.preadv(self._open_descriptor(), [block], span.start, os.RWF_NOWAIT)
        except (BlockingIOError, OSError):
            # Not in the page cache, or a file system without RWF_NOWAIT: `read` will wait.
            return None
        return block if count == wanted else None

    async def read(self, span: Span) -> Buffer:
        """Return the bytes of *span*; fewer where the file ends before.

        Raises:
            SpoolBroken: the disk failed.
        """
        wanted = self._available(span)
        if wanted == 0:
            return b""
        try:
            return await trio.to_thread.run_sync(
                _read_all, self._open_descriptor(), wanted, span.start, limiter=self._core.disk
            )
        except OSError as error:
            raise translated(self.entry.path, error) from error

    async def write(self, offset: int, data: Buffer) -> int:
        """Store *data* at *offset*, all of it; beyond the end the gap reads as zeros.

        Returns:
            The length of *data*.

        Raises:
            SpoolFull: the spool or its disk is full. The entry counts as damaged until the same
                bytes are written again or cut off, and close says so too (SpoolBroken).
            SpoolBroken: the disk failed; likewise.
            NotPermitted: the handle is read-only, or its content was sealed (durability origin).
        """
        entry = self.entry
        span = Span(offset, offset + len(data))
        async with entry.lock:
            self._check_writable()
            growth = max(0, span.stop - entry.size_bytes)
            try:
                await self._core.room.admit(entry.path, growth, span.length_bytes)
                await self._core.begin_writing(entry)
                await self._store(span, data)
            except ShotfsError as error:
                self._core.damage(entry, span, error)
                raise
            _heal(entry, span)
        return span.length_bytes

    async def _store(self, span: Span, data: Buffer) -> None:
        entry = self.entry
        entry.dirty = entry.written = True
        with trio.CancelScope(shield=True):
            if span.stop <= SMALL_BYTES:
                stored, error = await self._core.lane.run(
                    _write_all, self._open_descriptor(), data, span.start
                )
            else:
                stored, error = await trio.to_thread.run_sync(
                    _write_all, self._open_descriptor(), data, span.start, limiter=self._core.disk
                )
            self._set_size(max(entry.size_bytes, span.start + stored if stored else 0))
            _touch(entry)
            self._know_writes()
        if error is not None:
            raise translated(entry.path, error) from error

    async def truncate(self, size_bytes: int) -> None:
        """Cut off or extend with zeros.

        Raises:
            SpoolFull, SpoolBroken, NotPermitted: as `write`.
        """
        entry = self.entry
        async with entry.lock:
            self._check_writable()
            self._core.room.check_limit(entry.path, size_bytes - entry.size_bytes)
            await self._core.begin_writing(entry)
            entry.dirty = entry.written = True
            with trio.CancelScope(shield=True):
                try:
                    await trio.to_thread.run_sync(
                        os.ftruncate, self._open_descriptor(), size_bytes, limiter=self._core.disk
                    )
                except OSError as error:
                    raise translated(entry.path, error) from error
                self._set_size(size_bytes)
                _touch(entry)
                self._know_writes()
            _cut_damage(entry, size_bytes)

    async def flush(self) -> bool:
        """Make what was written durable, as close() promises (S4).

        Returns:
            Whether anything was written since the last flush, fsynced meanwhile or not. With
            `durability_origin` the caller then calls `Publisher.publish_now`.

        Raises:
            SpoolFull, SpoolBroken: the data is not safe; close must not return 0.
        """
        if not self.writable or self.entry.unlinked:
            return False
        async with self.entry.lock:
            self._see_writes()
            had_data = self.entry.written
            self._core.raise_damage(self.entry)
            if self.entry.state is State.OPEN:
                with trio.CancelScope(shield=True):
                    await self._core.persist(
                        self.entry, self._descriptor, closing=True, measured=self.entry.lent > 0
                    )
                self.entry.written &= not self.entry.clean
                # Whoever was killed before: this writer says that it is whole.
                self.entry.abandoned &= not self.entry.clean
        return had_data

    async def cut_off(self) -> None:
        """Note that the writer was killed: what it wrote since the last close is half of something.

        In the place of `flush`, for a descriptor that the kernel closed for a dead process.
        """
        if not self.writable or self.entry.unlinked:
            return
        async with self.entry.lock:
            self._see_writes()
            half_written.cut_off(self.entry)

    async def fsync(self) -> None:
        """Put what was written on disk. Unlike `flush` it does not say that the file is done.

        Raises:
            SpoolFull, SpoolBroken: the data is not safe.
        """
        if self.entry.unlinked:
            return
        async with self.entry.lock:
            self._see_writes()
            if self.entry.state is State.OPEN:
                await self._core.persist(
                    self.entry, self._descriptor if self.writable else None, closing=False
                )

    async def close(self) -> None:
        """RELEASE: give the handle up. Idempotent, never raises; the last writer starts the grace.

        Data that arrived after the last flush (mmap) is made durable here.
        """
        await self._give_up(finish=True)
        self._core.table.notify(self.entry)

    async def abandon(self) -> None:
        """Give the handle up without the application having closed it. Idempotent, never raises.

        For the end of the kernel's session: nothing counts as closed that was not flushed, here
        or after a restart, as if the process had been killed (S5).
        """
        await self._give_up(finish=False)

    def _see_writes(self) -> None:
        """Learn what was written to a lent file."""
        entry = self.entry
        if not entry.lent or not self.writable:
            return
        self._core.lending.measure(entry)
        if entry.written and (problem := self._core.lending.doubt(entry)):
            self._core.damage(entry, Span(0, max(entry.size_bytes, 1)), problem)

    def _know_writes(self) -> None:
        """Keep what was written by here from being taken for something that was not seen."""
        if self.entry.lent_stamp is not None:
            self._core.lending.restamp(self.entry)

    async def _give_up(self, *, finish: bool) -> None:
        entry = self.entry
        with trio.CancelScope(shield=True):
            async with entry.lock:
                if self._descriptor < 0:
                    return
                if self._lent:
                    self._core.lending.end(entry)
                descriptor, self._descriptor = self._descriptor, -1
                entry.open_handles -= 1
                entry.writers -= self.writable
                entry.abandoned |= self.writable and not finish
                last = self.writable and entry.writers == 0 and not entry.unlinked
                try:
                    if last and entry.pristine:
                        self._core.take_name(entry)  # the published file is all there is to it
                    elif last and finish:
                        await self._finish(descriptor)
                finally:
                    with contextlib.suppress(OSError):  # nothing is lost: it was fsynced
                        os.close(descriptor)
                if entry.unlinked and entry.open_handles == 0:
                    await self._core.remove_data(entry)

    async def _finish(self, descriptor: int) -> None:
        """The last writer is gone: the content is whole, or it never will be."""
        entry = self.entry
        entry.closed_at = trio.current_time()
        if entry.state is not State.OPEN:
            return
        try:
            if entry.half_written:
                await half_written.end(self._core, entry)
            else:
                await self._core.persist(entry, descriptor, closing=True, measured=self._lent)
        except Exception as error:  # noqa: BLE001 - RELEASE has nobody to tell
            reason = error.message if isinstance(error, ShotfsError) else repr(error)
            log.error("%s is not published: %s", entry.path, reason)
            entry.clean = False
            if entry.state is State.OPEN:
                self._core.table.apply(entry, Event.FAIL)
            entry.error = reason
            self._core.tell(Happening.FAILED, entry)

    def _open_descriptor(self) -> int:
        if self._descriptor < 0:
            raise InvalidArgument(f"{self.entry.path}: the handle is closed")
        return self._descriptor

    def _available(self, span: Span) -> int:
        return max(0, min(span.stop, self.entry.size_bytes) - span.start)

    def _check_writable(self) -> None:
        entry = self.entry
        if not self.writable:
            raise NotPermitted(f"{entry.path}: the handle is read-only")
        finished = self._epoch < entry.finished_handles
        fixed = entry.immutable and entry.state not in (State.OPEN, State.FAILED)
        if finished or fixed or entry.sealing or entry.state is State.QUARANTINED:
            raise NotPermitted(f"{entry.path}: sealed by an earlier close; nothing may be added")

    def _set_size(self, size_bytes: int) -> None:
        self._core.table.charge(size_bytes - self.entry.size_bytes)
        self.entry.size_bytes = size_bytes


def _touch(entry: SpoolEntry) -> None:
    entry.mtime_ns = entry.ctime_ns = now_ns()


def _heal(entry: SpoolEntry, span: Span) -> None:
    """A write that succeeded repairs what it covers of the damage, from either end."""
    hole = entry.damaged
    if hole is None or span.stop <= hole.start or span.start >= hole.stop:
        return
    start = span.stop if span.start <= hole.start else hole.start
    stop = span.start if span.stop >= hole.stop and span.start > hole.start else hole.stop
    _set_damage(entry, start, stop)


def _cut_damage(entry: SpoolEntry, size_bytes: int) -> None:
    if entry.damaged is not None:
        _set_damage(entry, entry.damaged.start, min(entry.damaged.stop, size_bytes))


def _set_damage(entry: SpoolEntry, start: int, stop: int) -> None:
    entry.damaged = Span(start, stop) if start < stop else None
    if entry.damaged is None:
        entry.error = entry.problem = None


def _read_all(descriptor: int, wanted: int, offset: int) -> bytearray:
    block = bytearray(wanted)
    view = memoryview(block)
    done = 0
    while done < wanted:
        count = os.preadv(descriptor, [view[done:]], offset + done)
        if count == 0:
            break
        done += count
    return block if done == wanted else block[:done]


def _write_all(descriptor: int, data: Buffer, offset: int) -> tuple[int, OSError | None]:
    """Return how many bytes were stored, and the error that stopped it."""
    view = memoryview(data)
    done = 0
    while done < len(view):
        try:
            done += os.pwrite(descriptor, view[done:], offset + done)
        except OSError as error:
            return done, error
    return done, None
