"""The source of a put: bytes or an unchanging file, read in parts by worker threads."""

from __future__ import annotations

import hashlib
import os
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext
from contextvars import ContextVar
from dataclasses import dataclass, replace

import google_crc32c
import trio

from shotfs.digest import Checksums, hash_file
from shotfs.errors import TierCorrupt

PartTurn = Callable[[int], AbstractAsyncContextManager[None]]
"""From the length of a part to the turn in which it is read and sent."""

PART_TURN: ContextVar[PartTurn | None] = ContextVar("part_turn", default=None)
"""Whoever paces uploads sets it. Parts may take their turns side by side."""

READ_AT_ONCE_BYTES = 256 * 1024
"""Files up to this size are read when they are opened."""

_MD5_BLOCK_BYTES = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Source:
    """What a put stores.

    Attributes:
        content: the bytes; None if they are in a file.
        descriptor: of the file; -1 if the content is in memory.
    """

    size_bytes: int
    content: bytes | None
    descriptor: int
    path: str

    @asynccontextmanager
    async def turn(self, length_bytes: int) -> AsyncIterator[None]:
        """Wait for the turn of a part, hold it to the end of the block: read and send there."""
        turn = PART_TURN.get()
        async with nullcontext() if turn is None else turn(length_bytes):
            yield

    async def part(self, offset: int, length_bytes: int) -> bytes:
        """Return exactly *length_bytes* from *offset*.

        Raises:
            TierCorrupt: the file is shorter than it was.
            OSError: it cannot be read.
        """
        if self.content is not None:
            data = self.content[offset : offset + length_bytes]
        else:
            data = await trio.to_thread.run_sync(_read, self.descriptor, offset, length_bytes)
        if len(data) != length_bytes:
            raise TierCorrupt(f"{self.path} became shorter while it was uploaded")
        return data

    async def md5(self, offset: int, length_bytes: int) -> bytes:
        """Return the md5 of *length_bytes* from *offset*, computed in a thread, block by block.

        Raises: as `part`.
        """
        return await trio.to_thread.run_sync(self._md5, offset, offset + length_bytes)

    def _md5(self, offset: int, stop: int) -> bytes:
        md5 = hashlib.md5(usedforsecurity=False)
        while offset < stop:
            length = min(_MD5_BLOCK_BYTES, stop - offset)
            if self.content is not None:
                data = self.content[offset : offset + length]
            else:
                data = _read(self.descriptor, offset, length)
            if len(data) != length:
                raise TierCorrupt(f"{self.path} became shorter while it was uploaded")
            md5.update(data)
            offset += length
        return md5.digest()

    async def with_crc32c(self, checksums: Checksums) -> Checksums:
        """Return *checksums* with the crc32c, computed in a thread if it is not there yet."""
        if checksums.crc32c is not None:
            return checksums
        crc32c = await trio.to_thread.run_sync(self._crc32c)
        return replace(checksums, crc32c=crc32c)

    def _crc32c(self) -> str | None:
        if self.content is not None:
            return f"{google_crc32c.value(self.content):08x}"
        return hash_file(self.descriptor, self.size_bytes, crc32c=True).crc32c


async def size_of(source: bytes | str) -> int:
    """Return the length of the *source* of a put. Raises OSError if it cannot be found."""
    if isinstance(source, bytes):
        return len(source)
    return (await trio.to_thread.run_sync(os.stat, source)).st_size


def _read(descriptor: int, offset: int, length_bytes: int) -> bytes:
    parts = []
    while length_bytes > 0:
        data = os.pread(descriptor, length_bytes, offset)
        if not data:
            break
        parts.append(data)
        offset += len(data)
        length_bytes -= len(data)
    return parts[0] if len(parts) == 1 else b"".join(parts)


def _open(path: str) -> Source:
    """Open a file; of a small one, read it, so that it costs one visit to a thread and not two."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        size_bytes = os.fstat(descriptor).st_size
        if size_bytes > READ_AT_ONCE_BYTES:
            return Source(size_bytes, None, descriptor, path)
        content = _read(descriptor, 0, size_bytes)
    except BaseException:
        os.close(descriptor)
        raise
    os.close(descriptor)
    return Source(size_bytes, content, -1, path)


@asynccontextmanager
async def opened(source: bytes | str) -> AsyncIterator[Source]:
    """Open the *source* of a put; the descriptor is closed on the way out.

    Raises:
        OSError: the file cannot be opened.
    """
    if isinstance(source, bytes):
        yield Source(len(source), source, -1, "")
        return
    found = await trio.to_thread.run_sync(_open, source)
    try:
        yield found
    finally:
        if found.descriptor >= 0:
            os.close(found.descriptor)
