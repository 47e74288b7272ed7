"""Checking blobs: does the disk still have the content that a blob's name promises?

Reads past the kernel's page cache where the file system lets it (O_DIRECT): what counts is what the
disk has, and a check of the whole cache must not push out the pages that jobs use. Synchronous; an
object is used by one thread at a time.
"""

from __future__ import annotations

import errno
import logging
import mmap
import os
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

import xxhash

from shotfs.cache.blobs import BlobStore
from shotfs.digest import Digest

log = logging.getLogger(__name__)

READ_BYTES = 1024 * 1024
"""One read. xxh3 takes 0.1 ms for it, so the disk decides the speed."""

FILE_COST_BYTES = 4096
"""What a file counts for at least: a million tiny files are work, too."""

_DISK_LOST_IT = frozenset({errno.EIO, errno.EUCLEAN, errno.EBADMSG})
"""What the kernel says when a disk cannot give back what it was given."""


class Outcome(StrEnum):
    """What a check found."""

    SOUND = "sound"
    CORRUPT = "corrupt"
    """Other bytes than the name promises, or bytes that the disk cannot read."""
    GONE = "gone"
    """Evicted meanwhile."""
    UNCHECKED = "unchecked"
    """It could not be looked at; the log says why."""


@dataclass(frozen=True, slots=True)
class Checked:
    """One blob that was looked at.

    Attributes:
        digest: its name.
        size_bytes: of the file; 0 if it is gone.
        outcome: what was found.
        reason: what is wrong with it; "" if nothing is.
    """

    digest: Digest
    size_bytes: int
    outcome: Outcome
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Slice:
    """What one call of `Walk.advance` did.

    Attributes:
        cost_bytes: bytes that were read, at least `FILE_COST_BYTES` a file.
        checked: blobs that were finished.
    """

    cost_bytes: int
    checked: tuple[Checked, ...]


class Walk:
    """Checks blobs one after the other, a slice at a time.

    Args:
        blobs: where they are.
        digests: which ones, in which order; taken one by one as the walk gets there.
    """

    def __init__(self, blobs: BlobStore, digests: Iterable[Digest]) -> None:
        self._blobs = blobs
        self._digests = iter(digests)
        self._reader: _Reader | None = None
        self._buffer: mmap.mmap | None = None

    def advance(self, bytes_max: int) -> Slice | None:
        """Go on for about *bytes_max* bytes; None: everything was checked."""
        cost = 0
        checked: list[Checked] = []
        while cost < bytes_max:
            if self._reader is None:
                digest = next(self._digests, None)
                if digest is None:
                    return Slice(cost, tuple(checked)) if checked else None
                self._reader = _Reader(self._blobs.path(digest), digest)
                cost += FILE_COST_BYTES
            if self._buffer is None:
                self._buffer = mmap.mmap(-1, READ_BYTES)  # aligned, as O_DIRECT demands
            taken, done = self._reader.advance(self._buffer, bytes_max - cost)
            cost += taken
            if done is not None:
                checked.append(done)
                self._reader = None
        return Slice(cost, tuple(checked))

    def close(self) -> None:
        """Let go of the file that it was in the middle of."""
        if self._reader is not None:
            self._reader.close()
            self._reader = None
        if self._buffer is not None:
            self._buffer.close()
            self._buffer = None


class _Reader:
    """Hashes one blob."""

    def __init__(self, path: str, digest: Digest) -> None:
        self._path = path
        self._digest = digest
        self._hash = xxhash.xxh3_128()
        self._number = -1
        self._offset = 0
        self._size_bytes = 0
        self._direct = True

    def advance(self, buffer: mmap.mmap, bytes_max: int) -> tuple[int, Checked | None]:
        """Read about *bytes_max* more; return how much that was, and the result at the end."""
        before = self._offset
        try:
            if self._number < 0:
                self._open()
            while self._offset < self._size_bytes:
                if self._offset - before >= max(bytes_max, 1):
                    return self._offset - before, None
                self._offset += self._hash_more(buffer)
        except OSError as error:
            self.close()
            return self._offset - before, self._failed(error)
        self.close()
        return self._offset - before, self._compare()

    def close(self) -> None:
        if self._number >= 0:
            os.close(self._number)
            self._number = -1

    def _open(self) -> None:
        try:
            self._number = os.open(self._path, os.O_RDONLY | os.O_CLOEXEC | os.O_DIRECT)
        except OSError as error:
            if error.errno != errno.EINVAL:
                raise
            self._direct = False
            self._number = os.open(self._path, os.O_RDONLY | os.O_CLOEXEC)
        self._size_bytes = os.fstat(self._number).st_size

    def _hash_more(self, buffer: mmap.mmap) -> int:
        count = self._read(buffer)
        if count == 0:
            raise OSError(errno.EIO, "it ends before its size")
        with memoryview(buffer) as view:
            self._hash.update(view[:count])
        return count

    def _read(self, buffer: mmap.mmap) -> int:
        try:
            return os.preadv(self._number, [buffer], self._offset)
        except OSError as error:
            if error.errno != errno.EINVAL or not self._direct:
                raise
        # A read that gave less than was asked for, or a file system that refuses only now.
        self.close()
        self._direct = False
        self._number = os.open(self._path, os.O_RDONLY | os.O_CLOEXEC)
        return os.preadv(self._number, [buffer], self._offset)

    def _compare(self) -> Checked:
        found = self._hash.hexdigest()
        if found == self._digest:
            return Checked(self._digest, self._offset, Outcome.SOUND)
        return Checked(
            self._digest, self._offset, Outcome.CORRUPT, f"its content hashes to {found}"
        )

    def _failed(self, error: OSError) -> Checked:
        if error.errno == errno.ENOENT:
            return Checked(self._digest, 0, Outcome.GONE)
        if error.errno in _DISK_LOST_IT:
            reason = f"the disk cannot read it: {error.strerror}"
            return Checked(self._digest, self._offset, Outcome.CORRUPT, reason)
        log.warning("cannot check a blob", extra={"path": self._path, "reason": str(error)})
        return Checked(self._digest, self._offset, Outcome.UNCHECKED, str(error.strerror))
