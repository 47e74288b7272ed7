"""A FUSE file system of one file, the disk image, that logs every write and every fsync in order.

    python -m tests.faults.power.recorder LOG IMAGE MOUNTPOINT

A loop device on that file turns the flushes of the file system above it into fsyncs, and its
writes arrive as they were issued (the loop device opens it with O_DIRECT). So the log is what
a disk with a volatile write cache is told. The log file has one record after another: the header
`RECORD`, then the bytes of a write. Prints ``ready`` when it is mounted; ends when unmounted.
"""

from __future__ import annotations

import ctypes
import errno
import os
import stat
import struct
import sys
import time

import pyfuse3
import trio

RECORD = struct.Struct("<qcQQ")
"""Time (nanoseconds since the epoch), `WRITE` or `FLUSH`, offset and length in bytes."""

WRITE, FLUSH = b"W", b"F"

NAME = b"disk.img"
_INODE = pyfuse3.InodeT(2)
_PR_SET_IO_FLUSHER = 57


class _OneFile(pyfuse3.Operations):  # type: ignore[misc] # has no types
    def __init__(self, log: int, image: int) -> None:
        super().__init__()
        self._log, self._image = log, image
        self._size_bytes = os.fstat(image).st_size

    async def getattr(self, inode, ctx=None):  # type: ignore[no-untyped-def]
        entry = pyfuse3.EntryAttributes()
        entry.st_ino = inode
        entry.st_mode = stat.S_IFREG | 0o600 if inode == _INODE else stat.S_IFDIR | 0o700
        entry.st_size = self._size_bytes if inode == _INODE else 0
        entry.attr_timeout = entry.entry_timeout = 3600
        return entry

    async def lookup(self, parent_inode, name, ctx=None):  # type: ignore[no-untyped-def]
        if name != NAME:
            raise pyfuse3.FUSEError(errno.ENOENT)
        return await self.getattr(_INODE)

    async def open(self, inode, flags, ctx):  # type: ignore[no-untyped-def]
        return pyfuse3.FileInfo(fh=pyfuse3.FileHandleT(inode), direct_io=True)

    async def read(self, fh, off, size):  # type: ignore[no-untyped-def]
        return os.pread(self._image, size, off)

    async def write(self, fh, off, buf):  # type: ignore[no-untyped-def]
        header = RECORD.pack(time.time_ns(), WRITE, off, len(buf))
        assert os.writev(self._log, (header, buf)) == len(header) + len(buf), "the log is cut"
        return os.pwrite(self._image, buf, off)

    async def fsync(self, fh, datasync):  # type: ignore[no-untyped-def]
        os.write(self._log, RECORD.pack(time.time_ns(), FLUSH, 0, 0))

    async def flush(self, fh):  # type: ignore[no-untyped-def]
        pass

    async def release(self, fh):  # type: ignore[no-untyped-def]
        pass


def main() -> None:
    log_path, image_path, mountpoint = sys.argv[1:]
    # Pages that wait to be written to the image must not be waited for by who writes them. It
    # matters on a machine without free memory only, and not every container may ask for it.
    ctypes.CDLL(None).prctl(_PR_SET_IO_FLUSHER, 1, 0, 0, 0)
    log = os.open(log_path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND, 0o600)
    image = os.open(image_path, os.O_RDWR)
    pyfuse3.init(_OneFile(log, image), mountpoint, {"fsname=recorder"})
    print("ready", flush=True)
    try:
        trio.run(pyfuse3.main)
    finally:
        pyfuse3.close()


if __name__ == "__main__":
    main()
