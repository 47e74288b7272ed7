"""A pyfuse3 file system that does nothing: what the kernel, pyfuse3 and trio cost by themselves.

    python -m bench.ops_floor MOUNTPOINT FILE ENTRIES

The root holds `small` with any file whose name begins with "s" (all are FILE), `many` with ENTRIES
files, and `out`, where files may be made that keep nothing. Names and attributes are never kept by
the kernel, so that each system call asks. Ends when it is unmounted.
"""

# ruff: noqa: ARG002, D102  # the signatures are pyfuse3's, and so is what they mean
from __future__ import annotations

import errno
import os
import stat
import sys
from typing import Any

import pyfuse3
import trio

ROOT, SMALL, MANY, OUT, FILE = 1, 2, 3, 4, 5
DIRECTORIES = {b"small": SMALL, b"many": MANY, b"out": OUT}


class Floor(pyfuse3.Operations):
    """Answers at once, from constants."""

    supports_dot_lookup = False
    enable_writeback_cache = False

    def __init__(self, path: str, entries: int) -> None:
        super().__init__()
        self._descriptor = os.open(path, os.O_RDONLY)
        self._directory = _entry(SMALL, stat.S_IFDIR | 0o755, 0)
        self._file = _entry(FILE, stat.S_IFREG | 0o644, os.fstat(self._descriptor).st_size)
        self._missing = _entry(0, 0, 0)
        self._entries = entries

    async def lookup(self, parent_inode: Any, name: bytes, ctx: Any) -> Any:
        if parent_inode == ROOT:
            number = DIRECTORIES.get(name)
            return self._missing if number is None else _entry(number, stat.S_IFDIR | 0o755, 0)
        return self._file if name.startswith((b"s", b"e")) else self._missing

    async def forget(self, inode_list: Any) -> None:
        pass

    async def getattr(self, inode: Any, ctx: Any) -> Any:
        return self._file if inode == FILE else _entry(inode, stat.S_IFDIR | 0o755, 0)

    async def setattr(self, inode: Any, attr: Any, fields: Any, fh: Any, ctx: Any) -> Any:
        return self._file

    async def open(self, inode: Any, flags: Any, ctx: Any) -> Any:
        return pyfuse3.FileInfo(fh=1, keep_cache=True)

    async def create(self, parent_inode: Any, name: Any, mode: Any, flags: Any, ctx: Any) -> Any:
        return pyfuse3.FileInfo(fh=1, keep_cache=True), self._file

    async def read(self, fh: Any, off: int, size: int) -> bytes:
        return os.pread(self._descriptor, size, off)

    async def write(self, fh: Any, off: int, buf: bytes) -> int:
        return len(buf)

    async def flush(self, fh: Any) -> None:
        pass

    async def release(self, fh: Any) -> None:
        pass

    async def opendir(self, inode: Any, ctx: Any) -> Any:
        return 1

    async def readdir(self, fh: Any, start_id: int, token: Any) -> None:
        for index in range(start_id, self._entries):
            if not pyfuse3.readdir_reply(token, b"e%06d.bin" % index, self._file, index + 1):
                return

    async def releasedir(self, fh: Any) -> None:
        pass

    async def getxattr(self, inode: Any, name: Any, ctx: Any) -> bytes:
        raise pyfuse3.FUSEError(errno.ENODATA)


def _entry(number: int, mode: int, size: int) -> Any:
    entry = pyfuse3.EntryAttributes()
    entry.st_ino, entry.st_mode, entry.st_size = number, mode, size
    entry.entry_timeout = entry.attr_timeout = 0
    return entry


def main(mountpoint: str, path: str, entries: str) -> None:
    """Mount and serve."""
    options = {"fsname=floor", "subtype=floor", "default_permissions"}
    pyfuse3.init(Floor(path, int(entries)), mountpoint, options)
    try:
        trio.run(lambda: pyfuse3.main(min_tasks=8, max_tasks=99))
    finally:
        pyfuse3.close(unmount=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
