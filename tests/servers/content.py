"""Immutable object content: small in memory, large in an unlinked file, with its checksums.

Large content never enters the interpreter on its way out: `os.sendfile` copies it in the kernel.
"""

from __future__ import annotations

import base64
import hashlib
import os
import socket
import tempfile
import weakref
from collections.abc import Iterator

import google_crc32c

MEMORY_BYTES_MAX = 4 << 20
"""Larger content goes to a file. A descriptor each: a thousand of them stay below ulimit -n."""

CHUNK_BYTES = 1 << 20


class Content:
    """Bytes with md5 and crc32c; shared by all versions and sessions that refer to them.

    Args:
        data: the bytes, or None when they are in *descriptor*.
        descriptor: an open file that this object owns and closes when it is collected.
        md5: None for content that was composed of parts, as at Google.
    """

    def __init__(
        self,
        *,
        data: bytes | None,
        descriptor: int | None,
        size_bytes: int,
        md5: bytes | None,
        crc32c: int,
    ) -> None:
        self._data = data
        self._descriptor = descriptor
        self.size_bytes = size_bytes
        self.md5 = md5
        self.crc32c = crc32c
        if descriptor is not None:
            weakref.finalize(self, os.close, descriptor)

    @property
    def md5_base64(self) -> str | None:
        return None if self.md5 is None else base64.b64encode(self.md5).decode()

    @property
    def crc32c_base64(self) -> str:
        return base64.b64encode(self.crc32c.to_bytes(4, "big")).decode()

    def read(self, start: int = 0, stop: int | None = None) -> bytes:
        """Return the bytes of ``[start, stop)``; *stop* None means the end."""
        stop = self.size_bytes if stop is None else min(stop, self.size_bytes)
        if self._data is not None:
            return self._data[start:stop]
        assert self._descriptor is not None
        return os.pread(self._descriptor, stop - start, start)

    def chunks(self, start: int = 0, stop: int | None = None) -> Iterator[bytes]:
        """Yield ``[start, stop)`` in pieces of at most `CHUNK_BYTES`."""
        stop = self.size_bytes if stop is None else stop
        while start < stop:
            piece = self.read(start, min(start + CHUNK_BYTES, stop))
            if not piece:
                raise EOFError("the file behind this content became shorter")
            yield piece
            start += len(piece)

    def send(self, connection: socket.socket, start: int, stop: int) -> None:
        """Send ``[start, stop)``; EOFError if the file behind it became shorter."""
        if self._data is not None:
            connection.sendall(memoryview(self._data)[start:stop])
            return
        assert self._descriptor is not None
        while start < stop:
            moved = os.sendfile(connection.fileno(), self._descriptor, start, stop - start)
            if moved == 0:
                raise EOFError("the file behind this content became shorter")
            start += moved

    def without_md5(self) -> Content:
        """Return the same content as Google describes composed objects: crc32c only."""
        descriptor = None if self._descriptor is None else os.dup(self._descriptor)
        return Content(
            data=self._data,
            descriptor=descriptor,
            size_bytes=self.size_bytes,
            md5=None,
            crc32c=self.crc32c,
        )


class ContentWriter:
    """Collects bytes into a `Content`. Not thread-safe: one request or session owns it."""

    def __init__(self, directory: str | None = None) -> None:
        self._directory = directory
        self._memory = bytearray()
        self._file: int | None = None
        self._md5 = hashlib.md5()
        self._crc = google_crc32c.Checksum()
        self.size_bytes = 0

    def write(self, data: bytes | memoryview) -> None:
        self._md5.update(data)
        self._crc.update(bytes(data) if isinstance(data, memoryview) else data)
        self.size_bytes += len(data)
        if self._file is None and self.size_bytes > MEMORY_BYTES_MAX:
            self._file = _anonymous_file(self._directory)
            _write_all(self._file, self._memory)
            self._memory = bytearray()
        if self._file is None:
            self._memory += data
        else:
            _write_all(self._file, data)

    def finish(self) -> Content:
        """Return what was written; the writer is not used afterwards."""
        descriptor, self._file = self._file, None
        return Content(
            data=bytes(self._memory) if descriptor is None else None,
            descriptor=descriptor,
            size_bytes=self.size_bytes,
            md5=self._md5.digest(),
            crc32c=int.from_bytes(self._crc.digest(), "big"),
        )

    def discard(self) -> None:
        """Throw away what was written."""
        if self._file is not None:
            os.close(self._file)
            self._file = None
        self._memory = bytearray()


def content_of(data: bytes) -> Content:
    """Return *data* as content."""
    writer = ContentWriter()
    writer.write(data)
    return writer.finish()


def content_of_file(path: str) -> Content:
    """Return the file at *path* as content, without copying it. It must not change afterwards."""
    md5, crc, size_bytes = hashlib.md5(), google_crc32c.Checksum(), 0
    descriptor = os.open(path, os.O_RDONLY)
    while piece := os.pread(descriptor, CHUNK_BYTES, size_bytes):
        md5.update(piece)
        crc.update(piece)
        size_bytes += len(piece)
    return Content(
        data=None,
        descriptor=descriptor,
        size_bytes=size_bytes,
        md5=md5.digest(),
        crc32c=int.from_bytes(crc.digest(), "big"),
    )


def _anonymous_file(directory: str | None) -> int:
    descriptor, path = tempfile.mkstemp(prefix="gcs-", dir=directory)
    os.unlink(path)
    return descriptor


def _write_all(descriptor: int, data: bytes | bytearray | memoryview) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]
