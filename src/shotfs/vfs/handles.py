"""Handles: open files.

A handle is of one revision or of one spool entry for as long as it is open, and never mixes two.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Protocol

import trio

from shotfs.cache import CachedFile, FileState
from shotfs.digest import Buffer
from shotfs.errors import NotPermitted, ObjectNotFound, RevisionChanged, TierUnavailable
from shotfs.prewarm.watching import ReadNotes
from shotfs.publish import SpoolEntry, SpoolFile
from shotfs.tiers.base import Span
from shotfs.vfs.attributes import Attributes
from shotfs.vfs.waiting import ReadWatch

EMPTY = b""

REPEATED_READ_S = 1.0
"""How long a failure answers reads of the same bytes. When a read-ahead fails, the kernel asks for
its first page once more, at once: without this an application waits for two deadlines."""

FAILURES_MAX = 16
"""Failures of one open file that are remembered; the kernel reads ahead a few requests at most."""


@dataclass(frozen=True, slots=True)
class _Failure:
    """A read that the origin did not answer.

    Attributes:
        span: what was read.
        at_s: when it failed, on the event loop's clock.
        error: what the reader was told.
    """

    span: Span
    at_s: float
    error: TierUnavailable


class Handle(Protocol):
    """An open file, whatever is behind it. Offsets and sizes are bytes."""

    def attributes(self) -> Attributes:
        """Return what fstat shows."""
        ...

    def read_now(self, offset: int, size: int) -> Buffer | None:
        """Return up to *size* bytes without waiting, or None if that is not possible."""
        ...

    async def read(self, offset: int, size: int) -> Buffer:
        """Return up to *size* bytes; fewer only at the end of the file."""
        ...

    def backing(self, *, bytes_min: int, creating: bool) -> int | None:
        """Return a descriptor of the whole content, for a kernel that reads and writes it itself.

        Args:
            bytes_min: smaller content is not worth it.
            creating: the file was just made by this handle, and nobody else has it open.

        Returns:
            None where every access must come by here. The descriptor is the handle's.
        """
        ...

    def join_backing(self) -> None:
        """Note that what this handle does to the content is not seen here."""
        ...

    async def write(self, offset: int, data: Buffer) -> int:
        """Store *data* and return how many bytes that were."""
        ...

    async def truncate(self, size_bytes: int) -> None:
        """Cut or extend the file to *size_bytes*."""
        ...

    async def flush(self) -> None:
        """Do what close() promises (S4)."""
        ...

    async def cut_off(self) -> None:
        """Note that a process which had it open was killed, instead of closing it."""
        ...

    async def fsync(self) -> None:
        """Make what was written durable on this node."""
        ...

    async def close(self) -> None:
        """Give up the handle."""
        ...

    async def abandon(self) -> None:
        """Give up the handle of an application that did not close it: its output is not whole."""
        ...


class PublishedHandle:
    """Reads one revision from the cache.

    Args:
        cached: the lease on its content.
        attributes: what fstat shows.
        on_stale: called when the origin does not have this revision any more.
        watch: told of reads that wait.
        immutable: its path never has another revision.
        notes: told of what is read.
    """

    def __init__(
        self,
        cached: CachedFile,
        attributes: Attributes,
        on_stale: Callable[[], None],
        watch: ReadWatch,
        *,
        immutable: bool = False,
        notes: ReadNotes | None = None,
    ) -> None:
        self._cached = cached
        self._immutable = immutable
        self._watch = watch
        self._notes = notes
        self._attributes = attributes
        self._size_bytes = attributes.size_bytes
        self._on_stale = on_stale
        self._failures: deque[_Failure] = deque(maxlen=FAILURES_MAX)

    @property
    def cached(self) -> CachedFile:
        """The lease on the content."""
        return self._cached

    def attributes(self) -> Attributes:
        """Return what fstat shows."""
        return self._attributes

    def read_now(self, offset: int, size: int) -> Buffer | None:
        """Return bytes that are in the kernel's page cache, or None."""
        stop = min(offset + size, self._size_bytes)
        if offset >= stop:
            return EMPTY
        data = self._cached.read_now(Span(offset, stop))
        if data is not None and self._notes is not None:
            self._notes.read(offset, stop, 0.0)
        return data

    async def read(self, offset: int, size: int) -> Buffer:
        """Return the bytes, fetched first if need be.

        Raises:
            RevisionChanged, ObjectNotFound: the origin does not have this revision any more.
            TierError: it cannot be fetched now.
            DigestMismatch: what arrives is not what was promised.
        """
        stop = min(offset + size, self._size_bytes)
        if offset >= stop:
            return EMPTY
        span = Span(offset, stop)
        self._fail_again(span)
        try:
            return await self._read(span)
        except TierUnavailable as exc:
            self._failures.append(_Failure(span, trio.current_time(), exc))
            raise
        except ObjectNotFound as exc:
            self._on_stale()
            raise RevisionChanged(f"{exc.message}: deleted while it was open") from exc
        except RevisionChanged:
            self._on_stale()
            raise

    async def _read(self, span: Span) -> Buffer:
        waited_s = 0.0
        if self._cached.state is FileState.COMPLETE:
            data = await self._cached.read(span)
        else:
            began_s = trio.current_time()
            with self._watch.waits(span):
                data = await self._cached.read(span)
            waited_s = trio.current_time() - began_s
        if self._notes is not None:
            self._notes.read(span.start, span.stop, waited_s)
        return data

    def _end_notes(self) -> None:
        if self._notes is not None:
            self._notes.closed()
            self._notes = None

    def _fail_again(self, span: Span) -> None:
        while self._failures and trio.current_time() - self._failures[0].at_s > REPEATED_READ_S:
            self._failures.popleft()
        for failure in self._failures:
            if failure.span.start <= span.start and span.stop <= failure.span.stop:
                raise failure.error

    def backing(self, *, bytes_min: int, creating: bool) -> int | None:
        """Return the descriptor of the blob: whole and verified (S6), never written again."""
        if creating or self._size_bytes < bytes_min:
            return None
        return self._cached.blob_descriptor()

    def join_backing(self) -> None:
        """Reads leave no trace; the lease holds until the handle is closed."""

    def lasting_descriptor(self) -> int | None:
        """Return the descriptor of content that serves everybody who opens the path later.

        None where it does not: the path may get another revision, or not all is here.
        """
        return self._cached.blob_descriptor() if self._immutable else None

    def serve_all(self) -> None:
        """Note that it is kept for all who open the path next, and for nobody in particular."""
        self._cached.disown()
        self._end_notes()

    def touch(self) -> None:
        """Note a use that did not come by here."""
        self._cached.touch()

    def end(self) -> None:
        """Give the lease back at once."""
        self._end_notes()
        self._cached.close()

    async def write(self, offset: int, data: Buffer) -> int:
        """Refuse: the handle was opened for reading."""
        raise NotPermitted(f"write of {len(data)} bytes at {offset} to a handle that only reads")

    async def truncate(self, size_bytes: int) -> None:
        """Refuse: the handle was opened for reading."""
        raise NotPermitted(f"truncate to {size_bytes} bytes of a handle that only reads")

    async def flush(self) -> None:
        """There is nothing to flush."""

    async def cut_off(self) -> None:
        """Who only reads leaves nothing half-written."""

    async def fsync(self) -> None:
        """There is nothing to sync."""

    async def close(self) -> None:
        """Give the lease back."""
        self._end_notes()
        self._cached.close()

    async def abandon(self) -> None:
        """Give the lease back."""
        self._end_notes()
        self._cached.close()


class SpoolHandle:
    """Reads and writes one entry of the spool.

    Args:
        file: the spool's own handle.
        attributes: says what fstat shows of the entry now.
        publish: waits until an entry is in the origin (`durability: origin`).
    """

    def __init__(
        self,
        file: SpoolFile,
        attributes: Callable[[], Attributes],
        publish: Callable[[SpoolEntry], Awaitable[object]],
    ) -> None:
        self._file = file
        self._attributes = attributes
        self._publish = publish

    @property
    def file(self) -> SpoolFile:
        """The spool's handle."""
        return self._file

    def attributes(self) -> Attributes:
        """Return what fstat shows of the entry now."""
        return self._attributes()

    def read_now(self, offset: int, size: int) -> Buffer | None:
        """Return bytes that are in the kernel's page cache, or None."""
        stop = min(offset + size, self._file.entry.size_bytes)
        return self._file.read_now(Span(offset, stop)) if offset < stop else EMPTY

    async def read(self, offset: int, size: int) -> Buffer:
        """Return the bytes."""
        stop = min(offset + size, self._file.entry.size_bytes)
        return await self._file.read(Span(offset, stop)) if offset < stop else EMPTY

    def backing(self, *, bytes_min: int, creating: bool) -> int | None:
        """Return the descriptor of the data file, where `publish` can do without seeing writes."""
        del bytes_min  # of a new file nobody knows how large it will be
        return self._file.fileno() if creating and self._file.lendable() else None

    def join_backing(self) -> None:
        """From here on the data file itself says how large and how old it is."""
        self._file.lend()

    async def write(self, offset: int, data: Buffer) -> int:
        """Store *data* in the spool.

        Raises:
            SpoolFull: no room.
            NotPermitted: the file is sealed.
        """
        return await self._file.write(offset, data)

    async def truncate(self, size_bytes: int) -> None:
        """Cut or extend the file."""
        await self._file.truncate(size_bytes)

    async def flush(self) -> None:
        """Do what close() promises (S4): fsync and journal, or publish."""
        had_data = await self._file.flush()
        terms = self._file.entry.terms
        if had_data and terms is not None and terms.durability_origin and not terms.scratch:
            await self._publish(self._file.entry)

    async def cut_off(self) -> None:
        """Note that the writer was killed: what it wrote counts as half of something."""
        await self._file.cut_off()

    async def fsync(self) -> None:
        """Make what was written durable on this node."""
        await self._file.fsync()

    async def close(self) -> None:
        """Give up the handle; the last one starts the grace period."""
        await self._file.close()

    async def abandon(self) -> None:
        """Give up the handle; what was written since its last close() does not count as closed."""
        await self._file.abandon()
