"""What the index says and is told. Values only."""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass

import xxhash

from shotfs.digest import Checksums, Digest
from shotfs.errors import CacheError
from shotfs.tiers.base import Revision

FOREIGN_ERRORS = (sqlite3.Error, ValueError, TypeError, KeyError, AttributeError, OSError)
"""What reading a damaged index may raise out of sqlite3 and json."""


class IndexDamaged(Exception):
    """A row is not what this package writes."""


class PinsFull(CacheError):
    """There are as many pins as the cache remembers."""


@dataclass(frozen=True, slots=True)
class Row:
    """A blob that is here.

    Attributes:
        digest: of its content.
        size_bytes: likewise.
        proven: nothing has happened since its bytes were verified.
        linked: just now, to a revision that the blob itself does not name yet.
    """

    digest: Digest
    size_bytes: int
    proven: bool
    linked: bool = False


@dataclass(frozen=True, slots=True)
class NewRow:
    """A verified blob and one revision whose content it is.

    Attributes:
        identity: `identity_of` the revision.
        checksums: of the content; the digest is never None.
        size_bytes: of the content.
        sound: it survives a power cut without being hashed again.
    """

    identity: str
    checksums: Checksums
    size_bytes: int
    sound: bool

    @property
    def digest(self) -> Digest:
        """The name of the blob."""
        assert self.checksums.xxh128 is not None
        return self.checksums.xxh128


@dataclass(frozen=True, slots=True)
class Victim:
    """A blob that may go."""

    digest: Digest
    size_bytes: int


@dataclass(frozen=True, slots=True)
class Entry:
    """One blob, for whoever lists them.

    Attributes:
        digest: its name.
        size_bytes: of its content.
        used_serial: grows with every change of the cache; the larger, the later it was used.
        pinned: eviction never takes it.
        open: somebody has it open.
        proven: nothing has happened since its bytes were verified.
        cursor: `after` of the page that begins behind it, in the order that was asked for.
    """

    digest: Digest
    size_bytes: int
    used_serial: int
    pinned: bool
    open: bool
    proven: bool
    cursor: str


@dataclass(frozen=True, slots=True)
class Pin:
    """A revision that must stay once it is here.

    Attributes:
        identity: `identity_of` the revision.
        tier, key, size_bytes: of the revision.
        owner: who wants it; one revision may have several.
        until_s: wall clock, seconds since the epoch; None: until it is unpinned.
        cached: its content is here.
    """

    identity: str
    tier: str
    key: str
    size_bytes: int
    owner: str
    until_s: float | None
    cached: bool


@dataclass(slots=True)
class Totals:
    """Running totals.

    Attributes:
        bytes: content of all blobs.
        files: blobs.
        small_bytes: content of those in the small queue of the eviction.
        small_files: how many these are.
        pinned_bytes: content of blobs that are pinned.
        pinned_files: how many these are.
        pins: owners' pins, of whatever revision.
        pins_bytes: sizes of all pinned revisions, here or not.
        revisions: revisions whose digest is known.
        ghosts: names of evicted blobs that are remembered.
        serial: grows with every change; also the clock of the order of use.
        epoch: grows when a power cut may have taken content that was written.
        boot: the run of the kernel that last wrote.
    """

    bytes: int = 0
    files: int = 0
    small_bytes: int = 0
    small_files: int = 0
    pinned_bytes: int = 0
    pinned_files: int = 0
    pins: int = 0
    pins_bytes: int = 0
    revisions: int = 0
    ghosts: int = 0
    serial: int = 0
    epoch: int = 0
    boot: str = ""


def identity_of(revision: Revision) -> str:
    """Return the short name of a revision in the index, 32 hex digits."""
    return name_of(revision.identity).hex()


def name_of(identity: str) -> bytes:
    """Return the short name of what `Revision.identity` says, 16 bytes."""
    return xxhash.xxh3_128_digest(identity.encode("utf-8", "surrogateescape"))
