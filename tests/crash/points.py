"""Named fault points of a node, without a hook in the product: see `points.c`.

A point is a function of the C library and a pattern of paths: `journal-fsync` is a sync of the
log of the spool's journal. Python, sqlite and our own C code all call these functions, so a library
that is preloaded sees each call, counts it, and ends the process with SIGKILL at the one that was
asked for. What it cannot see: writes of the kernel itself to lent files, and system calls that are
made without the C library.
"""

from __future__ import annotations

import mmap
import struct
import subprocess
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path

SOURCE = Path(__file__).with_name("points.c")

PATTERN_BYTES = 120
_HEAD = struct.Struct("=IIII")
_POINT = struct.Struct(f"=II{PATTERN_BYTES}s")


class Function(IntEnum):
    """The functions of the C library that can be points; the order is that of `points.c`."""

    SYNC = 0
    WRITE = 1
    TRUNCATE = 2
    RENAME = 3
    UNLINK = 4
    LINK = 5
    XATTR = 6
    CREATE = 7
    CHMOD = 8


class When(IntEnum):
    """Whether to end before or after the call; the numbers are those of `points.c`."""

    NEVER = 0
    BEFORE = 1
    AFTER = 2


@dataclass(frozen=True, slots=True)
class Point:
    """A kind of call.

    Attributes:
        function: which.
        pattern: of the file's path; of "old -> new" for renames and links, of "path:attribute" for
            extended attributes. `*` takes slashes, too. The first point that fits has the call.
    """

    function: Function
    pattern: str


POINTS = {
    # The data of outputs.
    "data-create": Point(Function.CREATE, "*/spool/files/[0-9]*"),
    "data-path-mark": Point(Function.XATTR, "*/spool/files/[0-9]*:user.shotfs.path"),
    "data-copy-mark": Point(Function.XATTR, "*/spool/files/[0-9]*:user.shotfs.copy"),
    "data-closed-mark": Point(Function.XATTR, "*/spool/files/[0-9]*:user.shotfs.closed"),
    "data-write": Point(Function.WRITE, "*/spool/files/[0-9]*"),
    "data-truncate": Point(Function.TRUNCATE, "*/spool/files/[0-9]*"),
    "data-fsync": Point(Function.SYNC, "*/spool/files/[0-9]*"),
    "data-seal": Point(Function.CHMOD, "*/spool/files/[0-9]*"),
    "data-unlink": Point(Function.UNLINK, "*/spool/files/[0-9]*"),
    "directory-fsync": Point(Function.SYNC, "*/spool/files"),
    "rename-quarantine": Point(
        Function.RENAME, "*/spool/files/[0-9]* -> */spool/quarantine/[0-9]*"
    ),
    "rename-aside": Point(Function.RENAME, "*/spool/files/[0-9]* -> */spool/aside/[0-9]*"),
    # Their journal.
    "journal-write": Point(Function.WRITE, "*/spool/journal.sqlite-wal"),
    "journal-fsync": Point(Function.SYNC, "*/spool/journal.sqlite-wal"),
    "journal-checkpoint": Point(Function.WRITE, "*/spool/journal.sqlite"),
    "journal-checkpoint-fsync": Point(Function.SYNC, "*/spool/journal.sqlite"),
    "spool-fsync": Point(Function.SYNC, "*/spool"),
    # Into the cache.
    "adopt-mark": Point(Function.XATTR, "*/spool/files/[0-9]*:user.shotfs.origins"),
    "adopt-rename": Point(Function.RENAME, "*/spool/files/[0-9]* -> */blobs/*"),
    "index-write": Point(Function.WRITE, "*/cache/index/*"),
    # An origin that is a directory.
    "origin-write": Point(Function.WRITE, "*/.shotfs-tmp-*"),
    "origin-mark": Point(Function.XATTR, "*/.shotfs-tmp-*:user.shotfs.xxh128"),
    "origin-fsync": Point(Function.SYNC, "*/.shotfs-tmp-*"),
    "origin-link": Point(Function.LINK, "*/.shotfs-tmp-* -> *"),
    "origin-rename": Point(Function.RENAME, "*/.shotfs-tmp-* -> *"),
    "origin-unlink": Point(Function.UNLINK, "*/.shotfs-tmp-*"),
    "origin-directory-fsync": Point(Function.SYNC, "*/origin/*"),
}
"""Every named point of a process, in the order in which patterns are tried."""

NAMES = tuple(POINTS)


@dataclass(frozen=True, slots=True)
class Trap:
    """Where a process is to end.

    Attributes:
        name: of the point.
        nth: at which call, from 1.
        when: before or after it.
    """

    name: str
    nth: int
    when: When


class Page:
    """The file that a process with the library maps: traps go in, counts come out.

    Args:
        path: made; it goes into the environment of the processes.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        size_bytes = _HEAD.size + len(POINTS) * _POINT.size
        with open(path, "wb") as file:
            file.truncate(size_bytes)
        with open(path, "r+b") as file:
            self._mapped = mmap.mmap(file.fileno(), size_bytes)
        self.arm(None)

    def arm(self, trap: Trap | None) -> None:
        """Set *trap*, None for none, and count from zero. Nobody may be running under it."""
        self._mapped[: _HEAD.size] = _HEAD.pack(0, 0, 0, 0)
        for index, point in enumerate(POINTS.values()):
            self._mapped[_at(index) : _at(index + 1)] = _POINT.pack(
                0, point.function, point.pattern.encode()
            )
        armed = 0 if trap is None else NAMES.index(trap.name)
        nth, when = (0, When.NEVER) if trap is None else (trap.nth, trap.when)
        self._mapped[: _HEAD.size] = _HEAD.pack(len(POINTS), armed, nth, when)

    def reached(self) -> dict[str, int]:
        """Return how often each point was reached since `arm`; only those that were."""
        found = {}
        for index, name in enumerate(NAMES):
            count, _, _ = _POINT.unpack(self._mapped[_at(index) : _at(index + 1)])
            if count:
                found[name] = count
        return found

    def sprung(self, trap: Trap) -> bool:
        """Whether a process got as far as *trap*."""
        return self.reached().get(trap.name, 0) >= trap.nth


def _at(index: int) -> int:
    return _HEAD.size + index * _POINT.size


def build(directory: Path) -> Path:
    """Compile the library into *directory*; return where it is.

    Raises:
        subprocess.CalledProcessError, FileNotFoundError: there is no compiler that can.
    """
    library = directory / "points.so"
    command = ["cc", "-shared", "-fPIC", "-O1", "-Wall", "-Werror", "-o", library, SOURCE]
    subprocess.run(command, check=True, capture_output=True)
    return library


def environment(library: Path, page: Page) -> dict[str, str]:
    """Return what the environment of a process needs to have the points."""
    return {"LD_PRELOAD": str(library), "SHOTFS_TEST_POINTS": str(page.path)}
