"""The tree of localized files: ``<root>/<show>/<path>``, read-only, each file whole or not there.

Owns its directory alone: everything in it may be removed, and a directory that has other things is
refused. Several processes and threads may use it at the same time: a file appears by a rename, and
a lock only keeps two from fetching the same one. Standard library only; Python 3.9.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import stat
import threading
import time
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from .failures import LocalizeFailed, TreeFull

MARK = ".shotfs-localized"
"""Directory that says whose tree it is; locks and what is not whole yet lie in it."""

BEGUN, LOCKED = "begun", "locks"

REVISION = "user.shotfs.revision"
IMMUTABLE = "user.shotfs.immutable"

LOCKS = 64
LOCK_S = 120.0
"""How long another process may take over a file before it is fetched here as well."""

POLL_S = 0.05

MEASURED_S = 60.0
"""How long a measurement of the tree counts; other processes add to it meanwhile."""

IN_USE_S = 3600.0
"""A file that was asked for so lately is not removed to make room: a render may be about to open
it."""

TOUCH_S = 300.0
"""How exactly it is known when a file was asked for last."""

LEFT_OVER_S = 86_400.0
"""What was begun so long ago and is not whole was left by a process that died."""

PATH_PARTS_MAX = 256


@dataclass(frozen=True)
class File:
    """A file as the service has it; see `control.localize_service.LocalizeService.files`."""

    path: str
    size_bytes: int
    mtime_ns: int
    revision: str
    ttl_s: float
    immutable: bool

    @classmethod
    def of(cls, told: dict[str, Any]) -> File:
        """Return what the service told."""
        return cls(
            str(told["path"]),
            int(told["size_bytes"]),
            int(told["mtime_ns"]),
            str(told["revision"]),
            float(told["ttl_s"]),
            bool(told["immutable"]),
        )


class Tree:
    """Localized files below *root*.

    Args:
        root: made if it is not there.
        bytes_max: how much it may hold; what was not asked for longest goes first.
        free_bytes_min: how much its disk must keep free.
    """

    def __init__(self, root: str, *, bytes_max: int, free_bytes_min: int) -> None:
        self.root = os.path.abspath(root)
        self._bytes_max = bytes_max
        self._free_bytes_min = free_bytes_min
        self._used_bytes = 0
        self._measured_s = float("-inf")
        self._ready = False
        self._guard = threading.Lock()

    def prepare(self) -> None:
        """Make the directory, or check that it is one of ours.

        Raises:
            LocalizeFailed: it cannot be made, others may write to it, or it has other things.
        """
        with self._guard:
            # Somebody may have removed all of it meanwhile.
            if self._ready and os.path.isdir(os.path.join(self.root, MARK, BEGUN)):
                return
            try:
                self._make()
            except OSError as error:
                raise LocalizeFailed(
                    f"cannot use {self.root} for localized files: {error.strerror}",
                    "name another directory: --into DIR, or SHOTFS_LOCALIZE_DIR",
                ) from error
            self._ready = True

    def _make(self) -> None:
        os.makedirs(self.root, mode=0o700, exist_ok=True)
        status = os.stat(self.root)
        if status.st_mode & stat.S_IWOTH or status.st_uid not in {0, os.geteuid()}:
            raise LocalizeFailed(
                f"cannot use {self.root} for localized files: other users could put files there",
                f"name a directory of your own, like {self.root}/localized-{os.geteuid()}",
            )
        mark = os.path.join(self.root, MARK)
        names = os.listdir(self.root)  # once: another process may be making the mark
        if names and MARK not in names:
            raise LocalizeFailed(
                f"cannot use {self.root} for localized files: it has other things in it",
                "name a new or empty directory: its files are removed when room is needed",
            )
        for name in (LOCKED, BEGUN):
            os.makedirs(os.path.join(mark, name), mode=0o700, exist_ok=True)
        self._remove_left_over(os.path.join(mark, BEGUN))

    @staticmethod
    def _remove_left_over(directory: str) -> None:
        for entry in os.scandir(directory):
            with contextlib.suppress(OSError):
                if time.time() - entry.stat(follow_symlinks=False).st_mtime > LEFT_OVER_S:
                    os.unlink(entry.path)

    # --- what is here ----------------------------------------------------------------------------

    def place(self, path: str) -> str:
        """Return where the file *path* (relative to the mount) is, or will be.

        Raises:
            LocalizeFailed: it would be outside.
        """
        parts = path.split("/")
        if (
            len(parts) > PATH_PARTS_MAX
            or "\0" in path
            or parts[0] == MARK
            or any(part in ("", ".", "..") for part in parts)
        ):
            raise LocalizeFailed(f"{path[:200]!r} is no path of a show")
        return os.path.join(self.root, *parts)

    def holds(self, file: File) -> bool:
        """Whether *file* is here, in that revision; then it counts as used now."""
        place = self.place(file.path)
        try:
            status = os.lstat(place)
        except (FileNotFoundError, NotADirectoryError):
            return False
        if (
            not stat.S_ISREG(status.st_mode)
            or status.st_size != file.size_bytes
            # Microseconds: not every file system keeps more.
            or status.st_mtime_ns // 1000 != file.mtime_ns // 1000
        ):
            return False
        # Where no attributes can be kept, size and time must do.
        if _attribute(place, REVISION) not in ("", file.revision):
            return False
        _touch(place, status)
        return True

    def keeps(self, path: str) -> str:
        """Return where *path* is if it is here and never changes, else ""."""
        place = self.place(path)
        try:
            status = os.lstat(place)
        except OSError:
            return ""
        if not stat.S_ISREG(status.st_mode) or _attribute(place, IMMUTABLE) != "1":
            return ""
        _touch(place, status)
        return place

    # --- adding ----------------------------------------------------------------------------------

    def add(self, file: File, fill: Callable[[int], None]) -> bool:
        """Bring *file* here; return whether it had to be brought.

        Args:
            file: what to bring.
            fill: writes its bytes to a descriptor.

        Raises:
            TreeFull: there is no room for it.
            LocalizeFailed, and what *fill* raises; nothing is left behind.
        """
        if self.holds(file):
            return False
        with self._locked(file.path):
            if self.holds(file):
                return False
            self._make_room(file.size_bytes)
            try:
                self._write(file, fill)
            except OSError as error:
                if error.errno in (errno.ENOSPC, errno.EDQUOT):
                    raise self._full(file.size_bytes, disk_is_full=True) from error
                raise LocalizeFailed(
                    f"{file.path}: cannot be written below {self.root}: {error.strerror}",
                    f"shotfs localize --release {file.path}   removes what is in its place",
                ) from error
            with self._guard:
                self._used_bytes += file.size_bytes
        return True

    def _write(self, file: File, fill: Callable[[int], None]) -> None:
        place = self.place(file.path)
        name = f"{os.getpid()}-{threading.get_ident()}-{time.monotonic_ns()}"
        begun = os.path.join(self.root, MARK, BEGUN, name)
        descriptor = os.open(begun, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            try:
                fill(descriptor)
                size_bytes = os.fstat(descriptor).st_size
                if size_bytes != file.size_bytes:
                    raise LocalizeFailed(
                        f"{file.path}: {size_bytes} of {file.size_bytes} bytes came",
                        "try again; the log of the service tells why it broke off",
                    )
                _set_attribute(descriptor, REVISION, file.revision)
                if file.immutable:
                    _set_attribute(descriptor, IMMUTABLE, "1")
                os.fchmod(descriptor, 0o444)
                os.utime(descriptor, ns=(time.time_ns(), file.mtime_ns))
            finally:
                os.close(descriptor)
            _move(begun, place)
        except BaseException:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(begun)
            raise

    @contextlib.contextmanager
    def _locked(self, path: str) -> Iterator[None]:
        """Be the only one who fetches *path*; after `LOCK_S` others do not count any more."""
        number = zlib.crc32(os.fsencode(path)) % LOCKS
        lock = os.path.join(self.root, MARK, LOCKED, str(number))
        descriptor = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            end = time.monotonic() + LOCK_S
            while time.monotonic() < end:
                try:
                    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except BlockingIOError:
                    time.sleep(POLL_S)
                except OSError:
                    break  # this file system has no locks: then it is fetched twice
            yield
        finally:
            os.close(descriptor)

    # --- room ------------------------------------------------------------------------------------

    def _make_room(self, size_bytes: int) -> None:
        """Remove what was not asked for longest, until there is room for *size_bytes*."""
        with self._guard:
            if self._lacking(size_bytes) <= 0:
                if time.monotonic() - self._measured_s < MEASURED_S:
                    return
                self._measure()
            lacking = self._lacking(size_bytes)
            if lacking <= 0:
                return
            files = self._measure()
            # A tenth more, so that not every file of a sequence begins this again.
            lacking = self._lacking(size_bytes) + self._bytes_max // 10
            newest_s = time.time() - IN_USE_S
            for used_s, file_bytes, place in sorted(files):
                if lacking <= 0 or used_s > newest_s:
                    break
                if _unlink(place):
                    lacking -= file_bytes
                    self._used_bytes -= file_bytes
            if self._lacking(size_bytes) > 0:
                raise self._full(size_bytes)

    def _lacking(self, size_bytes: int) -> int:
        """Return how many bytes are in the way of *size_bytes* more; below 0: none."""
        disk = os.statvfs(self.root)
        free_bytes = disk.f_bavail * disk.f_frsize
        return max(
            self._used_bytes + size_bytes - self._bytes_max,
            self._free_bytes_min + size_bytes - free_bytes,
        )

    def _measure(self) -> list[tuple[float, int, str]]:
        """Return (when it was asked for, size in bytes, place) of each file."""
        files = [
            (status.st_atime, status.st_size, place) for place, status in self._walk(self.root)
        ]
        self._used_bytes = sum(size for _, size, _ in files)
        self._measured_s = time.monotonic()
        return files

    def _walk(self, directory: str) -> Iterator[tuple[str, os.stat_result]]:
        for above, directories, names in os.walk(directory):
            if above == self.root and MARK in directories:
                directories.remove(MARK)
            for name in names:
                place = os.path.join(above, name)
                with contextlib.suppress(FileNotFoundError):
                    yield place, os.lstat(place)

    def _full(self, size_bytes: int, *, disk_is_full: bool = False) -> TreeFull:
        """Return why there is no room: the disk, which others fill, or what this may hold."""
        disk = os.statvfs(self.root)
        free_bytes = disk.f_bavail * disk.f_frsize
        if disk_is_full or free_bytes < self._free_bytes_min + size_bytes:
            return TreeFull(
                f"{self.root} has no room for {size_bytes} bytes: its disk has {free_bytes} free,"
                f" and must keep {self._free_bytes_min}",
                "make room on that disk (shotfs localize --clean), name a directory on another"
                " with --into or SHOTFS_LOCALIZE_DIR, or lower SHOTFS_LOCALIZE_FREE_MIN",
            )
        return TreeFull(
            f"{self.root} has no room for {size_bytes} bytes: it holds {self._used_bytes} of "
            f"{self._bytes_max} bytes, and the rest is in use",
            "shotfs localize --clean, or raise SHOTFS_LOCALIZE_BYTES_MAX",
        )

    # --- removing --------------------------------------------------------------------------------

    def remove(self, path: str) -> tuple[int, int]:
        """Remove the file *path*, or all below that directory; "" is everything.

        Returns:
            How many files that were, and how many bytes.
        """
        if not os.path.isdir(os.path.join(self.root, MARK)):
            return 0, 0
        place = self.place(path) if path else self.root
        found = list(self._walk(place))
        with contextlib.suppress(FileNotFoundError, NotADirectoryError):
            status = os.lstat(place)
            if not stat.S_ISDIR(status.st_mode):
                found = [(place, status)]
        removed = [status.st_size for one, status in found if _unlink(one)]
        self._remove_empty(place)
        with self._guard:
            self._measured_s = float("-inf")
        return len(removed), sum(removed)

    def _remove_empty(self, place: str) -> None:
        mark = os.path.join(self.root, MARK)
        for above, directories, _ in os.walk(place, topdown=False):
            if above == mark or above.startswith(f"{mark}/"):
                continue
            for name in directories:
                with contextlib.suppress(OSError):
                    os.rmdir(os.path.join(above, name))
        while place != self.root:
            try:
                os.rmdir(place)
            except (FileNotFoundError, NotADirectoryError):
                pass
            except OSError:
                return
            place = os.path.dirname(place)


def _move(begun: str, place: str) -> None:
    """Put a whole file into its place; another process may be removing empty directories."""
    for last in (False, False, True):
        os.makedirs(os.path.dirname(place), exist_ok=True)
        try:
            os.rename(begun, place)
        except FileNotFoundError:
            if last:
                raise
        else:
            return


def _touch(place: str, status: os.stat_result) -> None:
    now_ns = time.time_ns()
    if now_ns - status.st_atime_ns > TOUCH_S * 1e9:
        with contextlib.suppress(OSError):  # somebody else's tree, or it has just gone
            os.utime(place, ns=(now_ns, status.st_mtime_ns))


def _attribute(place: str, name: str) -> str:
    try:
        return os.getxattr(place, name, follow_symlinks=False).decode("ascii", "replace")
    except OSError:
        return ""


def _set_attribute(descriptor: int, name: str, value: str) -> None:
    with contextlib.suppress(OSError):  # this file system has none
        os.setxattr(descriptor, name, value.encode("ascii"))


def _unlink(place: str) -> bool:
    try:
        os.unlink(place)
    except OSError:
        return False
    return True
