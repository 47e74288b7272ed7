"""The data files of the spool: what a thread does with one path or descriptor. No state."""

from __future__ import annotations

import contextlib
import errno
import os

from shotfs.digest import Checksums, hash_file

PATH_ATTRIBUTE = "user.shotfs.path"
"""Extended attribute of each data file: the path under which it was created."""

COPY_ATTRIBUTE = "user.shotfs.copy"
"""Extended attribute of copies that nobody has changed: of no use after a crash."""


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


def remove_if_there(data_path: str) -> None:
    """Unlink a data file; nothing happens when there is none."""
    with contextlib.suppress(FileNotFoundError):
        os.unlink(data_path)
