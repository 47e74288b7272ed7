"""The source of a put: bytes or an unchanging file, read in parts by worker threads."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from contextvars import ContextVar
from dataclasses import dataclass, replace

import google_crc32c
import trio

from shotfs.digest import Checksums, hash_file
from shotfs.errors import TierCorrupt

BEFORE_PART: ContextVar[Callable[[int], Awaitable[None]] | None] = ContextVar(
    "before_part", default=None
)
"""Awaited with its length before each part is read and sent: whoever paces uploads sets it."""


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

    async def part(self, offset: int, length_bytes: int) -> bytes:
        """Return exactly *length_bytes* from *offset*.

        Raises:
            TierCorrupt: the file is shorter than it was.
            OSError: it cannot be read.
        """
        before = BEFORE_PART.get()
        if before is not None:
            await before(length_bytes)
        if self.content is not None:
            return self.content[offset : offset + length_bytes]
        data = await trio.to_thread.run_sync(_read, self.descriptor, offset, length_bytes)
        if len(data) != length_bytes:
            raise TierCorrupt(f"{self.path} became shorter while it was uploaded")
        return data

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


@asynccontextmanager
async def opened(source: bytes | str) -> AsyncIterator[Source]:
    """Open the *source* of a put; the descriptor is closed on the way out.

    Raises:
        OSError: the file cannot be opened.
    """
    if isinstance(source, bytes):
        yield Source(len(source), source, -1, "")
        return
    descriptor = await trio.to_thread.run_sync(os.open, source, os.O_RDONLY | os.O_CLOEXEC)
    try:
        yield Source(os.fstat(descriptor).st_size, None, descriptor, source)
    finally:
        os.close(descriptor)
