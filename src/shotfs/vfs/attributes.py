"""Attributes: what stat shows of a file, a directory or a symbolic link."""

from __future__ import annotations

import enum
import stat
from dataclasses import dataclass
from typing import NamedTuple

import xxhash

from shotfs.tiers.base import Revision


class Kind(enum.IntEnum):
    """What something is; the values are the file type bits of `st_mode`."""

    FILE = stat.S_IFREG
    DIRECTORY = stat.S_IFDIR
    SYMLINK = stat.S_IFLNK


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks.

    Attributes:
        uid: user id.
        gid: primary group id.
        pid: thread id of the request; 0 if the caller is not in our pid namespace.
    """

    uid: int
    gid: int
    pid: int


class Attributes(NamedTuple):
    """One answer to stat.

    Attributes:
        identity: 128 bits that name the path and its revision; inode numbers derive from it.
        kind: file, directory or symbolic link.
        mode: permission bits.
        uid: owner.
        gid: group.
        size_bytes: length of the content; of a symbolic link, of its target; 0 for directories.
        mtime_ns: modification time, nanoseconds since the epoch.
        ctime_ns: change time, likewise.
        ttl_s: how long the kernel may keep this answer, seconds.
    """

    identity: int
    kind: Kind
    mode: int
    uid: int
    gid: int
    size_bytes: int
    mtime_ns: int
    ctime_ns: int
    ttl_s: float


@dataclass(frozen=True, slots=True)
class Change:
    """What setattr changes. None leaves an attribute as it is."""

    mode: int | None = None
    uid: int | None = None
    gid: int | None = None
    size_bytes: int | None = None
    atime_ns: int | None = None
    mtime_ns: int | None = None


def revision_identity(path: str, revision: Revision) -> int:
    """Return the identity of *revision* under *path*; the same on every node and every mount."""
    return xxhash.xxh3_128_intdigest(f"{path}\0{revision.identity}".encode())


def next_identity(identity: int) -> int:
    """Return another identity for a file whose bytes the kernel may have wrong."""
    return xxhash.xxh3_128_intdigest(f"again\0{identity:x}".encode())


def directory_identity(path: str) -> int:
    """Return the identity of the directory *path*."""
    return xxhash.xxh3_128_intdigest(f"{path}/".encode("utf-8", "surrogatepass"))


def spool_identity(spool_id: str, serial: int) -> int:
    """Return the identity of the spool's entry *serial*, which a rename does not change."""
    return xxhash.xxh3_128_intdigest(f"spool\0{spool_id}\0{serial}".encode())
