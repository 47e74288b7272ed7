"""Copying content on one machine: a clone that shares its blocks where the file system can do that.

Never a hard link: a blob and its copy would be one inode, so they could not have two modification
times, and whoever writes into the copy, as root may, would spoil the cache of everybody.
Standard library only; Python 3.9.
"""

from __future__ import annotations

import errno
import fcntl
import os

FICLONE = 0x40049409
"""<linux/fs.h>: _IOW(0x94, 9, int). On XFS, Btrfs, bcachefs; elsewhere EOPNOTSUPP or ENOTTY."""

BLOCK_BYTES = 4 * 1024 * 1024

_CANNOT = {errno.EXDEV, errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL, errno.EPERM, errno.EBADF}


def copy(source: int, target: int, size_bytes: int) -> str:
    """Give the empty file *target* the bytes of *source*; return how: clone, kernel, copy.

    Raises:
        OSError: it cannot be read or written; *target* has part of it.
        EOFError: *source* has less than *size_bytes*.
    """
    try:
        fcntl.ioctl(target, FICLONE, source)
    except OSError:
        pass  # it says that it cannot in many ways, and the copy fails where something is wrong
    else:
        return "clone"
    if not hasattr(os, "copy_file_range"):  # a Python that was built against glibc before 2.27
        _read_and_write(source, target, size_bytes)
        return "copy"
    done = 0
    while done < size_bytes:
        try:
            count = os.copy_file_range(source, target, min(2**30, size_bytes - done), done, done)
        except OSError as error:
            if done or error.errno not in _CANNOT:
                raise
            _read_and_write(source, target, size_bytes)
            return "copy"
        if not count:
            raise EOFError(f"ended after {done} of {size_bytes} bytes")
        done += count
    return "kernel"


def _read_and_write(source: int, target: int, size_bytes: int) -> None:
    done = 0
    while done < size_bytes:
        block = os.pread(source, min(BLOCK_BYTES, size_bytes - done), done)
        if not block:
            raise EOFError(f"ended after {done} of {size_bytes} bytes")
        write_all(target, block)
        done += len(block)


def write_all(target: int, block: bytes) -> None:
    """Write all of *block*; write(2) may take less of it."""
    view = memoryview(block)
    while view:
        view = view[os.write(target, view) :]
