"""An open file of the cache: a lease on content, wherever that is at the moment.

What `vfs` reads from. A file is COMPLETE (a blob), STREAMING (a stream that is coming in) or
UNKEPT (no room: it reads from the origin); it moves between them without its reader noticing.
"""

from __future__ import annotations

import errno
import logging
import os
from enum import StrEnum
from typing import Protocol

from shotfs.cache.asker import NOBODY, Asker
from shotfs.cache.descriptor import Descriptor
from shotfs.cache.direct import DirectReader
from shotfs.cache.failures import no_room
from shotfs.cache.phase import Phase
from shotfs.cache.reader import Reader
from shotfs.cache.stream import Stream
from shotfs.digest import Buffer, Digest
from shotfs.errors import CacheFull, DigestMismatch
from shotfs.tiers.base import Revision, Span, Tier

log = logging.getLogger(__name__)


_READ_ONLY = os.O_RDONLY | os.O_CLOEXEC | os.O_NOATIME
"""Noting the time of the first read of a blob would wait for the journal of the disk, in the event
loop; nobody asks for it, and the index has the order of use."""


class FileState(StrEnum):
    """Where the content of an open file is."""

    COMPLETE = "complete"
    STREAMING = "streaming"
    UNKEPT = "unkept"


class Lender(Protocol):
    """What an open file needs of the cache."""

    def blob_path(self, digest: Digest) -> str:
        """Return where the blob is."""
        ...

    def direct(self, file: CachedFile) -> DirectReader:
        """Return a reader of what *file* is that keeps nothing."""
        ...

    async def read_blob(self, descriptor: Descriptor, span: Span) -> bytearray:
        """Read in a disk thread."""
        ...

    async def lost(self, file: CachedFile) -> None:
        """The blob of *file* is not on the disk any more: lend it something else."""
        ...

    async def recorded(self, digest: Digest) -> None:
        """Return when the index knows the blob, or cannot be written."""
        ...

    def settle(self, file: CachedFile) -> None:
        """The stream of *file* became a blob: lend it that instead."""
        ...

    def used(self, digest: Digest) -> None:
        """Note a use of a blob that is open."""
        ...

    def unreadable(self, digest: Digest) -> None:
        """The disk cannot read a blob: drop it."""
        ...

    def give_back(self, file: CachedFile) -> None:
        """End the lease."""
        ...


class CachedFile:
    """An open file; its content is never evicted while it is open.

    Spans are cut at the end of the file, as read(2) does. Made by `Cache.open`.

    Attributes:
        revision: what was opened.
        tier: where it comes from.
        reader: who opened it, and how it reads.
        blob: digest of the blob that is leased, None while it streams.
        stream: what it reads from while it streams, and until it is closed.
    """

    __slots__ = (
        "_broken", "_closed", "_descriptor", "_direct", "_lender", "_reads", "_seen_attempt",
        "_spoiled", "blob", "reader", "revision", "stream", "tier",
    )  # fmt: skip

    def __init__(self, lender: Lender, tier: Tier, revision: Revision, reader: Reader) -> None:
        self._lender = lender
        self.tier = tier
        self.revision = revision
        self.reader = reader
        self.blob: Digest | None = None
        self.stream: Stream | None = None
        self._descriptor: Descriptor | None = None
        self._direct: DirectReader | None = None
        self._seen_attempt = 0
        self._closed = False
        self._reads = 0
        self._spoiled = False
        self._broken = False

    def __repr__(self) -> str:
        return f"<CachedFile {self.revision.key} {self.state.value}>"

    @property
    def asker(self) -> Asker:
        """Who opened it."""
        return self.reader.asker

    @property
    def state(self) -> FileState:
        """Where the content is now."""
        if self.stream is None:
            return FileState.COMPLETE if self.blob is not None else FileState.UNKEPT
        if self.stream.phase is Phase.COMPLETE:
            return FileState.COMPLETE
        if self.stream.phase in (Phase.UNKEPT, Phase.PAUSED, Phase.DROPPED):
            return FileState.UNKEPT
        return FileState.STREAMING

    @property
    def digest(self) -> Digest | None:
        """The verified digest; None while it is not known."""
        return self.blob if self.stream is None else self.stream.digest

    @property
    def bytes_fetched(self) -> int:
        """How many bytes are here, for a progress display."""
        if self._direct is not None:
            return self._direct.bytes_fetched
        return self.revision.size_bytes if self.stream is None else self.stream.blocks.present_bytes

    def read_now(self, span: Span) -> Buffer | None:
        """Return the bytes of *span* if that takes no waiting, else None. Never raises for that."""
        span = self._cut(span)
        if span.length_bytes == 0:
            return b""
        if self._direct is not None:
            return self._direct.read_now(span)
        descriptor = self._readable(span)
        return None if descriptor is None else descriptor.read_now(span)

    def disown(self) -> None:
        """Note that it is held for nobody in particular from now on."""
        self.reader.asker = NOBODY

    def touch(self) -> None:
        """Note a use of the blob."""
        if self.blob is not None:
            self._lender.used(self.blob)

    def blob_descriptor(self) -> int | None:
        """Return a descriptor of the whole verified content, which lives as long as the lease.

        None while the content is not in one file, or what was read of it proved to be wrong, or
        the disk cannot be read.
        """
        if self._closed or self._broken or self._spoiled or self.state is not FileState.COMPLETE:
            return None
        if self.stream is not None:
            if self.stream.descriptor is not None or self._seen_attempt:
                return None  # reads that are under way use the stream's own
            self._lender.settle(self)
        descriptor = None if self.blob is None else self._open_blob(self.blob)
        if descriptor is not None and (error := descriptor.failure()):
            self._disk_failed(error)  # whom the kernel lets read by himself would not be helped
            return None
        return None if descriptor is None else descriptor.number

    async def read(self, span: Span) -> Buffer:
        """Return the bytes of *span*, waiting for those that are not here yet.

        Raises:
            TierTimeout: nothing of it came for the deadline.
            TierError: the origin failed.
            RevisionChanged: the object was replaced or deleted before this range came.
            DigestMismatch: the content is not what was promised.
        """
        span = self._cut(span)
        if span.length_bytes == 0:
            return b""
        self._reads += 1
        try:
            return await self._read(span)
        finally:
            self._reads -= 1
            if self._closed and not self._reads:
                self._let_go()

    async def _read(self, span: Span) -> Buffer:
        while True:
            descriptor = self._readable(span)
            if descriptor is not None:
                return await self._read_file(descriptor, span)
            if self.state is FileState.UNKEPT or self._broken:
                return await self._read_direct(span)
            if self.stream is None:
                await self._lender.lost(self)
            else:
                await self.stream.wait_for(span, self.reader)

    async def complete(self) -> Digest:
        """Wait until the whole is here and verified; return its digest.

        Raises:
            CacheFull: there is no room to keep it.
            As `read` otherwise.
        """
        if self.stream is not None:
            digest = await self.stream.wait_complete(self.reader)
            await self._lender.recorded(digest)
            self._check_attempt()
            return digest
        if self.blob is None:
            raise CacheFull(f"{self.revision.key}: the cache has no room to keep it")
        return self.blob

    async def bring(self, span: Span) -> None:
        """Wait until *span* is here, which is a part of what its reader wants.

        Raises:
            CacheFull: there is no room to keep it.
            As `read` otherwise.
        """
        while self.stream is not None and not self.stream.serves(span):
            if self.state is FileState.UNKEPT:
                raise no_room(self.revision)
            await self.stream.wait_for(span, self.reader)
        if self.stream is None and self.blob is None:
            raise no_room(self.revision)

    def close(self) -> None:
        """End the lease. Idempotent; reads that are under way finish, and the last ends it."""
        if self._closed:
            return
        self._closed = True
        if not self._reads:
            self._let_go()

    def _let_go(self) -> None:
        if self._descriptor is not None:
            self._descriptor.release()
            self._descriptor = None
        if self._direct is not None:
            self._direct.close()
        self._lender.give_back(self)

    def spoil(self) -> None:
        """Note that the disk damaged the content: nothing is read from what is open any more.

        A file that nothing was read from gets the content that is fetched again.
        """
        self._spoiled = self._descriptor is not None or self.stream is not None

    def _cut(self, span: Span) -> Span:
        if self._closed:
            raise ValueError(f"{self.revision.key} is closed")
        size = self.revision.size_bytes
        return Span(min(span.start, size), min(span.stop, size))

    def _readable(self, span: Span) -> Descriptor | None:
        """Return the file to read *span* from, None when it is not in one now."""
        stream = self.stream
        self._check_attempt()
        if stream is not None and stream.phase is Phase.COMPLETE and stream.descriptor is None:
            self._lender.settle(self)
            stream = None
        if stream is None:
            return None if self.blob is None else self._open_blob(self.blob)
        if stream.descriptor is None or not stream.serves(span):
            return None
        stream.will_read(self.reader, span)
        self._seen_attempt = stream.attempt
        return stream.descriptor

    def _open_blob(self, digest: Digest) -> Descriptor | None:
        if self._descriptor is None:
            try:
                # A local metadata operation: cheaper than the hop to a thread and back.
                number = os.open(self._lender.blob_path(digest), _READ_ONLY)
            except FileNotFoundError:
                return None
            except OSError as error:
                self._disk_failed(error)
                return None
            self._descriptor = Descriptor(number)
        return self._descriptor

    def _check_attempt(self) -> None:
        """Refuse to mix wrong bytes and right ones: of two attempts, or of a damaged blob."""
        stream = self.stream
        restarted = stream is not None and self._seen_attempt not in (0, stream.attempt)
        if restarted or self._spoiled:
            raise DigestMismatch(
                f"{self.revision.tier}/{self.revision.key}: bytes that were read from it proved"
                " to be corrupt; it is fetched again",
                fix="open the file again",
            )

    async def _read_file(self, descriptor: Descriptor, span: Span) -> Buffer:
        found = descriptor.read_now(span)
        if found is not None:
            return found
        try:
            return await self._lender.read_blob(descriptor, span)
        except (OSError, EOFError) as error:
            self._disk_failed(error)
            return await self._read_direct(span)

    def _disk_failed(self, error: OSError | EOFError) -> None:
        """Read from the origin what the cache's disk cannot read, and keep it no longer."""
        self._broken = True
        log.warning(
            "the cache's disk cannot read a file; the origin is read instead",
            extra={"key": self.revision.key, "reason": str(error)},
        )
        if self.digest is not None and getattr(error, "errno", errno.EIO) == errno.EIO:
            self._lender.unreadable(self.digest)

    async def _read_direct(self, span: Span) -> Buffer:
        if self._direct is None:
            self._direct = self._lender.direct(self)
        return await self._direct.read(span)
