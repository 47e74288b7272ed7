"""The data files of the spool: what a thread does with one path or descriptor. No state."""

from __future__ import annotations

import contextlib
import ctypes
import errno
import fcntl
import os
import signal
import tempfile
import time
from dataclasses import dataclass

from shotfs.digest import Checksums, hash_file

PATH_ATTRIBUTE = "user.shotfs.path"
"""Extended attribute of each data file: the path under which it was created."""

COPY_ATTRIBUTE = "user.shotfs.copy"
"""Extended attribute of copies that nobody has changed: of no use after a crash."""

CLOSED_ATTRIBUTE = "user.shotfs.closed"
"""Extended attribute of data files that the kernel wrote by itself: size and mtime at the close."""

Stamp = tuple[int, int]
"""Size in bytes and mtime in nanoseconds: two states of a data file never have the same one, where
`lending_obstacle` finds none."""

CLOSING_S = (0.0, 0.001, 0.01, 0.05)
"""Pauses before each look for writers: RELEASE of a passthrough file may come before the kernel has
let go of the data file (seen on Linux 6.18, of several in 40 files)."""

LOOKS = 16
"""How many writes must bear different times; all in one tick of a clock that has ticks."""


_WRITE = 2  # SYNC_FILE_RANGE_WRITE of <linux/fs.h>; what comes of it the fsync tells
_sync_file_range = ctypes.CDLL(None, use_errno=True).sync_file_range
_sync_file_range.argtypes = (ctypes.c_int, ctypes.c_int64, ctypes.c_int64, ctypes.c_uint)


def create_data(data_path: str, path: str) -> int:
    """Make an empty data file for *path*, return a descriptor for reading and writing."""
    descriptor = os.open(data_path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    # It only names the file if that ends up without a record, so a file system that has no
    # extended attributes will do.
    with contextlib.suppress(OSError):
        os.setxattr(descriptor, PATH_ATTRIBUTE, path.encode())
    return descriptor


def create_copy_data(data_path: str, path: str) -> int:
    """Make an empty data file for a copy of the published *path*; as `create_data`."""
    descriptor = create_data(data_path, path)
    # Without it a crash would leave the copy among the partial files, where it does no harm.
    with contextlib.suppress(OSError):
        os.setxattr(descriptor, COPY_ATTRIBUTE, b"")
    return descriptor


def keep_data(data_path: str) -> None:
    """Note that a copy is changed now, so that a crash leaves it."""
    try:
        os.removexattr(data_path, COPY_ATTRIBUTE)
    except OSError as error:
        if error.errno not in (errno.ENODATA, errno.ENOTSUP):
            raise


def is_copy(data_path: str) -> bool:
    """Whether a data file is a copy that nobody has changed."""
    with contextlib.suppress(OSError):
        return os.getxattr(data_path, COPY_ATTRIBUTE) is not None
    return False


def open_data(data_path: str, writable: bool) -> int:
    """Return a descriptor; a sealed file that is opened for writing is made writable again."""
    if not writable:
        return os.open(data_path, os.O_RDONLY | os.O_CLOEXEC)
    os.chmod(data_path, 0o600)
    return os.open(data_path, os.O_RDWR | os.O_CLOEXEC)


def created_as(data_path: str) -> str:
    """Return the path under which a data file was created; "" where that is not known."""
    try:
        return os.getxattr(data_path, PATH_ATTRIBUTE).decode(errors="replace")
    except OSError:
        return ""


def sync_data(data_path: str) -> None:
    """Fsync a data file that nobody has open."""
    descriptor = os.open(data_path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def stamp_of(data_path: str) -> Stamp:
    """Return size and mtime of a data file."""
    status = os.stat(data_path)
    return status.st_size, status.st_mtime_ns


def sync_closed(data_path: str, descriptor: int | None, stamp: Stamp) -> None:
    """Fsync a data file, and with it that it was closed with *stamp*."""
    opened = os.open(data_path, os.O_RDWR | os.O_CLOEXEC) if descriptor is None else descriptor
    try:
        os.setxattr(opened, CLOSED_ATTRIBUTE, f"{stamp[0]} {stamp[1]}".encode())
        os.fsync(opened)
    finally:
        if descriptor is None:
            os.close(opened)


@dataclass(slots=True, eq=False)
class Unsynced:
    """A small data file whose fsync the thread of the journal does, with those of others.

    Attributes:
        data_path: of the file.
        descriptor: one through which it was written, so that errors of the disk's write-back are
            seen; None opens the file. It stays open until the journal has answered.
        stamp: of a lent file at its close; None: it is not lent, or not closed.
        found: the stamp after the fsync, where there was one before.
    """

    data_path: str
    descriptor: int | None
    stamp: Stamp | None
    found: Stamp | None = None

    def begin(self) -> None:
        """Let the disk begin to write."""
        if self.descriptor is not None:
            _sync_file_range(self.descriptor, 0, 0, _WRITE)

    def finish(self) -> dict[str, int]:
        """Fsync it, and with it that it was closed, as far as it still has the same stamp."""
        if self.stamp is None:
            if self.descriptor is None:
                sync_data(self.data_path)
            else:
                os.fsync(self.descriptor)
            return {}
        sync_closed(self.data_path, self.descriptor, self.stamp)
        # The kernel may have gone on writing for another descriptor meanwhile.
        self.found = stamp_of(self.data_path)
        return {} if self.found == self.stamp else {"writing": 1}


def closed_stamp(data_path: str) -> Stamp | None:
    """Return the stamp of `sync_closed`; None where the kernel never wrote the file by itself."""
    try:
        size_bytes, mtime_ns = os.getxattr(data_path, CLOSED_ATTRIBUTE).split()
        return int(size_bytes), int(mtime_ns)
    except (OSError, ValueError):
        return None


def keeps_writers(data_path: str) -> bool:
    """As `has_writers`, but of who is about to close it: the kernel tells us a moment too early."""
    return all(_still_has_writers(data_path, pause_s) for pause_s in CLOSING_S)


def _still_has_writers(data_path: str, pause_s: float) -> bool:
    time.sleep(pause_s)
    return has_writers(data_path)


def has_writers(data_path: str) -> bool:
    """Whether any process has a data file open for writing, or mapped so that it can write.

    The kernel grants a read lease on a file only if nobody can write it (fcntl(2), F_SETLEASE).

    Raises:
        OSError: it cannot be asked.
    """
    descriptor = os.open(data_path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        # If somebody opened it just now: SIGIO, the default, would end this process.
        fcntl.fcntl(descriptor, fcntl.F_SETSIG, signal.SIGURG)
        fcntl.fcntl(descriptor, fcntl.F_SETLEASE, fcntl.F_RDLCK)
        fcntl.fcntl(descriptor, fcntl.F_SETLEASE, fcntl.F_UNLCK)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


def lending_obstacle(directory: str) -> str:
    """Return why the kernel may not write files in *directory* by itself; "" if it may.

    What it wrote must be told from what was there before, also after a crash.
    """
    try:
        with tempfile.NamedTemporaryFile(dir=directory, buffering=0) as file:
            os.setxattr(file.fileno(), CLOSED_ATTRIBUTE, b"0 0")
            seen = set()
            for _ in range(LOOKS):
                file.write(b"x")
                seen.add(os.stat(file.name).st_mtime_ns)
            if not has_writers(file.name):
                return f"the file system of {directory} does not tell who has a file open"
    except OSError as error:
        return f"the file system of {directory} lacks leases or extended attributes: {error}"
    if len(seen) < LOOKS:
        return f"times of files in {directory} are too coarse (fine ones: Linux 6.13, ext4 or xfs)"
    return ""


def hash_data(data_path: str, size_bytes: int) -> Checksums:
    """Return all checksums of a data file.

    Raises:
        EOFError: it has not *size_bytes* bytes.
        OSError: it cannot be read.
    """
    descriptor = os.open(data_path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        found_bytes = os.fstat(descriptor).st_size
        if found_bytes != size_bytes:
            raise EOFError(f"it has {found_bytes} bytes, expected {size_bytes}")
        return hash_file(descriptor, size_bytes, md5=True, crc32c=True)
    finally:
        os.close(descriptor)


def seal_data(
    data_path: str, size_bytes: int, stamp: Stamp | None, *, immutable: bool
) -> Checksums | None:
    """Return all checksums of a data file, which nobody can write any more if it is *immutable*.

    Args:
        data_path: of the file.
        size_bytes: that it has.
        stamp: of a file that the kernel wrote by itself, as it was when it was closed; else None.
        immutable: take the right to write it away.

    Returns:
        None if somebody can write it without us at this moment, or did.

    Raises:
        EOFError: it has not *size_bytes* bytes.
        OSError: it cannot be read.
    """
    if stamp is not None and (has_writers(data_path) or stamp_of(data_path) != stamp):
        return None
    checksums = hash_data(data_path, size_bytes)
    if immutable:
        os.chmod(data_path, 0o400)
    return checksums


def remove_if_there(data_path: str) -> None:
    """Unlink a data file; nothing happens when there is none."""
    with contextlib.suppress(FileNotFoundError):
        os.unlink(data_path)
