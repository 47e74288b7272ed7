"""Temporary files of puts to a plain directory, of which a killed service leaves none behind.

Their names follow from the key, and each is locked (flock) while its writer lives. So the next put
of that key finds what a dead one left, in one look, and removes it; nobody has to read whole
directories for that, or to guess from its age whether somebody still writes a file.

A file is removed, or its name given up, only under its lock and while the name is still its own:
whoever has the lock knows that no other writer lives, and a name that exists is never replaced.
"""

from __future__ import annotations

import errno
import fcntl
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import xxhash

from shotfs.tiers.cloud.beneath import Place

PREFIX = ".shotfs-tmp-"

SLOTS_MAX = 16
"""So many nodes may put one key side by side; more of them use names that nobody can find again."""

_NO_LOCKS = frozenset({errno.ENOLCK, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL})


@contextmanager
def temporary(directory: int, key: str, mode: int) -> Iterator[tuple[Place, int]]:
    """Make an empty file for a put of *key*; yield its place and a descriptor for writing.

    Its name is gone afterwards, unless it was renamed meanwhile. What dead writers left is gone
    too.

    Raises:
        OSError: as the operating system says.
    """
    name, descriptor = _make(directory, key, mode)
    try:
        yield Place(directory, name), descriptor
    finally:
        try:
            if _is_still(descriptor, directory, name):
                os.unlink(name, dir_fd=directory)
        finally:
            os.close(descriptor)


def sweep(directory: int, key: str) -> None:
    """Remove what dead writers of *key* left."""
    for slot in range(SLOTS_MAX):
        _remove_left(directory, _name(key, slot))


def _name(key: str, slot: int) -> str:
    return f"{PREFIX}{xxhash.xxh3_64_hexdigest(key.encode())}-{slot}"


def _make(directory: int, key: str, mode: int) -> tuple[str, int]:
    for slot in range(SLOTS_MAX):
        name = _name(key, slot)
        while True:
            descriptor = _make_locked(directory, name, mode)
            if descriptor is not None:
                # Who writes beside somebody has the next name; nobody else would look there.
                if slot + 1 < SLOTS_MAX:
                    _remove_left(directory, _name(key, slot + 1))
                return name, descriptor
            if not _remove_left(directory, name):
                break
    name = f"{PREFIX}{secrets.token_hex(8)}"
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    return name, os.open(name, flags, mode, dir_fd=directory)


def _make_locked(directory: int, name: str, mode: int) -> int | None:
    """Return a descriptor of the new file *name*, with its lock; None if the name is taken."""
    flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        descriptor = os.open(name, flags, mode, dir_fd=directory)
    except FileExistsError:
        return None
    try:
        _lock(descriptor)
        if _is_still(descriptor, directory, name):
            return descriptor
    except BlockingIOError:
        pass  # somebody looked before we had the lock; he takes it for a dead one's
    except BaseException:
        os.close(descriptor)
        raise
    os.close(descriptor)
    return None


def _lock(descriptor: int) -> bool:
    """Take the lock of a file; False where its file system has none.

    Raises:
        BlockingIOError: somebody has it.
    """
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise
    except OSError as exc:
        if exc.errno not in _NO_LOCKS:
            raise
        return False
    return True


def _remove_left(directory: int, name: str) -> bool:
    """Remove *name* if its writer is dead; return whether the name is free."""
    # For writing, because NFS locks only what is open so.
    flags = os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    try:
        descriptor = os.open(name, flags, dir_fd=directory)
    except FileNotFoundError:
        return True
    except PermissionError:
        return False  # another user's
    try:
        if not _lock(descriptor):
            return False
        if _is_still(descriptor, directory, name):
            os.unlink(name, dir_fd=directory)
    except BlockingIOError:
        return False
    finally:
        os.close(descriptor)
    return True


def _is_still(descriptor: int, directory: int, name: str) -> bool:
    """Whether *name* is the file that *descriptor* is open on."""
    with suppress(FileNotFoundError):
        there = os.stat(name, dir_fd=directory, follow_symlinks=False)
        return os.path.samestat(there, os.fstat(descriptor))
    return False
