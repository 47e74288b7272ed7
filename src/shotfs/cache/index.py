"""The index: which revision has which digest, and which blobs are here, oldest use first.

Kept in diskcache, in one transaction a change, with a `Disk` that stores integers, text and JSON
only: diskcache pickles by default, and then whoever can write the directory runs code here
(CVE-2025-69872). Synchronous, and always called from the one database thread.

Rows::

    <serial>            digest. Integers sort first, so the first row is the longest unused blob
    b/<digest>          {"size", "used": serial, "epoch", "md5", "crc32c"}
    r/<identity>        {"digest", "order"}; stays when the blob goes
    z/<order>           identity. Text "z" sorts last and orders fall, so the last row is the
                        revision that was recorded first
    totals              {"bytes", "files", "revisions", "serial", "epoch", "boot"}

Both ends of the key order are reached in logarithmic time, whatever the size of the cache.
"""

from __future__ import annotations

import contextlib
import errno
import json
import sqlite3
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass
from typing import Any

import diskcache
import xxhash

from shotfs.digest import Checksums, Digest
from shotfs.errors import CacheError
from shotfs.tiers.base import Revision

_ORDERS = 10**18
_FOREVER = -1

FOREIGN_ERRORS = (sqlite3.Error, ValueError, TypeError, KeyError, AttributeError, OSError)
"""What reading a damaged index may raise out of diskcache, sqlite3 and json."""


_DISK_CODES = frozenset(
    {
        sqlite3.SQLITE_FULL,
        sqlite3.SQLITE_IOERR,
        sqlite3.SQLITE_CANTOPEN,
        sqlite3.SQLITE_READONLY,
        sqlite3.SQLITE_NOMEM,
    }
)
"""What SQLite says of a disk that is full or failing: the database itself may be whole."""


class IndexDamaged(Exception):
    """A row is not what this module writes."""


@dataclass(frozen=True, slots=True)
class Row:
    """A blob that is here. `proven`: nothing has happened since its bytes were verified."""

    digest: Digest
    size_bytes: int
    proven: bool


@dataclass(frozen=True, slots=True)
class Victim:
    """A blob that may go."""

    digest: Digest
    size_bytes: int


@dataclass(slots=True)
class Totals:
    """Running totals.

    Attributes:
        bytes: content of all blobs.
        files: blobs.
        revisions: revisions whose digest is known.
        serial: grows with every change; also the clock of the order of use.
        epoch: grows when a power cut may have taken content that was written.
        boot: the run of the kernel that last wrote.
    """

    bytes: int = 0
    files: int = 0
    revisions: int = 0
    serial: int = 0
    epoch: int = 0
    boot: str = ""


class PlainDisk(diskcache.Disk):  # type: ignore[misc]  # diskcache ships no types
    """Integers and text as keys, JSON as values, everything in the database, nothing pickled."""

    def put(self, key: object) -> tuple[int | str, bool]:
        """Return *key* as it is stored."""
        if type(key) is int or type(key) is str:
            return key, True
        raise TypeError(f"an index key is an int or a str, not {type(key).__name__}")

    def get(self, key: object, raw: object) -> int | str:
        """Return the key that was stored as *key*."""
        if raw and (type(key) is int or type(key) is str):
            return key
        raise IndexDamaged(f"key {key!r}")

    def store(  # the base class fixes the parameters
        self,
        value: object,
        read: object,
        key: object = None,  # noqa: ARG002  # files would be named after it, and there are none
    ) -> tuple[int, int, None, str]:
        """Return the columns of *value*: always JSON, never a file of its own."""
        if read:
            raise TypeError("the index keeps no files")
        return 0, 1, None, json.dumps(value, separators=(",", ":"))

    def fetch(
        self,
        mode: object,
        filename: object,
        value: object,
        read: object,  # noqa: ARG002  # asks for an open file, and there are none
    ) -> Any:
        """Return the value of the columns that `store` made."""
        if mode != 1 or filename is not None or type(value) is not str:
            raise IndexDamaged(f"value of mode {mode!r}")
        return json.loads(value)


def _is_of_the_disk(error: Exception) -> bool:
    if isinstance(error, sqlite3.Error):
        # The extended codes have the kind in their low byte.
        return getattr(error, "sqlite_errorcode", 0) & 0xFF in _DISK_CODES
    return isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EROFS)


def identity_of(revision: Revision) -> str:
    """Return the short name of a revision in the index, 32 hex digits."""
    return xxhash.xxh3_128_hexdigest(revision.identity.encode("utf-8", "surrogateescape"))


class Index:
    """The index in *directory*, made if it is not there.

    Args:
        directory: 0700 and ours; whoever made the `Index` has checked.
        revisions_max: how many revisions are remembered, with or without their blobs.
        boot: identity of this run of the kernel.
        was_clean: the last owner flushed the disk and said so.

    Raises:
        IndexDamaged: what is there cannot be read.
        CacheError: its disk is full or fails.
    """

    def __init__(self, directory: str, *, revisions_max: int, boot: str, was_clean: bool) -> None:
        self._revisions_max = revisions_max
        try:
            self._rows = diskcache.Cache(
                directory,
                disk=PlainDisk,
                eviction_policy="none",
                cull_limit=0,
                size_limit=2**62,
                statistics=0,
                tag_index=0,
                sqlite_auto_vacuum=0,
                # 8 MiB each: the default 32 + 64 MiB are a third of what the daemon may take.
                sqlite_cache_size=2048,
                sqlite_mmap_size=8 * 1024 * 1024,
            )
            stored = self._rows.get("totals")
            self._totals = Totals() if stored is None else Totals(**stored)
            with self._change():
                self._start_epoch(boot, was_clean=was_clean)
        except IndexDamaged:
            raise
        except FOREIGN_ERRORS as error:
            if _is_of_the_disk(error):
                # Moving it aside would lose an index for want of a few kilobytes.
                raise CacheError(
                    f"cannot open the index of the cache {directory}: {error}",
                    fix="free space on the disk of cache.directory, and look at its health",
                ) from error
            raise IndexDamaged(f"{directory}: {error}") from error

    def current(self) -> Totals:
        """Return a copy of the running totals."""
        return Totals(**asdict(self._totals))

    def close(self) -> None:
        """Close the database. Call it from the database thread."""
        self._rows.close()

    def find(self, identity: str, checksums: Checksums, size_bytes: int) -> Row | None:
        """Return the blob of a revision, None when it is not here.

        A revision that was never seen is the blob that its recorded digest names, if the store's
        own md5 proves it: a copy made by a publish into a new version costs no fetch. The recorded
        digest alone is a claim by whoever wrote the object, and settles nothing.
        """
        known = self._rows.get(f"r/{identity}")
        if known is not None:
            return self._row(known["digest"], self._blob(known["digest"]))
        digest = checksums.xxh128
        blob = None if digest is None else self._blob(digest)
        if digest is None or blob is None or not _proves(blob, checksums, size_bytes):
            return None
        with self._change():
            self._remember(identity, digest)
        return self._row(digest, blob)

    def digest_of(self, identity: str) -> Digest | None:
        """Return the digest that was seen for a revision, whether its blob is here or not."""
        known = self._rows.get(f"r/{identity}")
        return None if known is None else Digest(known["digest"])

    def admit(
        self, identities: Iterable[str], checksums: Checksums, size_bytes: int, *, sound: bool
    ) -> Totals:
        """Record that the blob ``checksums.xxh128`` is here, verified, and of these revisions.

        Args:
            identities: revisions whose content it is.
            checksums: of the content; the digest is never None.
            size_bytes: of the content.
            sound: it survives a power cut without being hashed again.
        """
        digest = checksums.xxh128
        assert digest is not None
        with self._change():
            self._insert(digest, size_bytes, self._epoch_for(sound=sound), checksums)
            for identity in identities:
                self._remember(identity, digest)
        return self.current()

    def adopt_found(
        self, digest: Digest, size_bytes: int, identities: Iterable[str], *, sound: bool
    ) -> bool:
        """Record a blob that a scan found, unless it is known; False: it was."""
        if self._blob(digest) is not None:
            return False
        with self._change():
            epoch = _FOREVER if sound else self._totals.epoch - 1
            self._insert(digest, size_bytes, epoch, Checksums())
            for identity in identities:
                if f"r/{identity}" not in self._rows:
                    self._remember(identity, digest)
        return True

    def prove(self, digest: Digest) -> None:
        """Record that the bytes of a blob were hashed just now and are right."""
        blob = self._blob(digest)
        if blob is not None:
            with self._change():
                blob["epoch"] = self._totals.epoch
                self._rows[f"b/{digest}"] = blob

    def touch(self, digests: Iterable[Digest]) -> None:
        """Record that these blobs were used, in this order."""
        with self._change():
            for digest in digests:
                blob = self._blob(digest)
                if blob is not None:
                    self._use(digest, blob)

    def oldest(self, skip: Callable[[Digest], bool]) -> Iterator[Victim]:
        """Yield blobs, the longest unused first, without those that *skip* names.

        Rows that are skipped stay where they are; the caller stops when it has enough.
        """
        for key in self._rows.iterkeys():
            if type(key) is not int:
                return
            digest = Digest(self._rows[key])
            blob = self._blob(digest)
            if blob is not None and not skip(digest):
                yield Victim(digest, blob["size"])

    def remove(self, digests: Iterable[Digest]) -> Totals:
        """Forget that these blobs are here; what their revisions' digests are stays known."""
        with self._change():
            for digest in digests:
                blob = self._blob(digest)
                if blob is None:
                    continue
                del self._rows[f"b/{digest}"]
                self._rows.pop(blob["used"])
                self._totals.bytes -= blob["size"]
                self._totals.files -= 1
        return self.current()

    # --- inside a transaction --------------------------------------------------------------------

    @contextlib.contextmanager
    def _change(self) -> Iterator[None]:
        """One transaction: the rows and the totals change together or not at all."""
        before = self.current()
        try:
            with self._rows.transact(retry=True):
                self._totals.serial += 1
                yield
                self._rows["totals"] = asdict(self._totals)
        except BaseException:
            self._totals = before
            raise

    def _start_epoch(self, boot: str, *, was_clean: bool) -> None:
        # Killing the process loses nothing that was written, the kernel still has it. Only
        # another run of the kernel without a flush before it leaves doubt.
        if not was_clean and (not boot or boot != self._totals.boot):
            self._totals.epoch += 1
        self._totals.boot = boot

    def _epoch_for(self, *, sound: bool) -> int:
        return _FOREVER if sound else self._totals.epoch

    def _blob(self, digest: str) -> dict[str, Any] | None:
        blob: dict[str, Any] | None = self._rows.get(f"b/{digest}")
        return blob

    def _row(self, digest: str, blob: dict[str, Any] | None) -> Row | None:
        if blob is None:
            return None
        proven = blob["epoch"] in (_FOREVER, self._totals.epoch)
        return Row(Digest(digest), blob["size"], proven)

    def _insert(self, digest: Digest, size_bytes: int, epoch: int, checksums: Checksums) -> None:
        blob = self._blob(digest)
        if blob is None:
            blob = {"size": size_bytes, "used": 0}
            self._totals.bytes += size_bytes
            self._totals.files += 1
        blob["epoch"] = epoch
        for name in ("md5", "crc32c"):
            value = getattr(checksums, name)
            if value is not None:
                blob[name] = value
        self._use(digest, blob)

    def _use(self, digest: Digest, blob: dict[str, Any]) -> None:
        self._totals.serial += 1
        if blob["used"]:
            self._rows.pop(blob["used"])
        blob["used"] = self._totals.serial
        self._rows[blob["used"]] = digest
        self._rows[f"b/{digest}"] = blob

    def _remember(self, identity: str, digest: Digest) -> None:
        known = self._rows.get(f"r/{identity}")
        if known is not None and known["digest"] == digest:
            return
        if known is not None:
            self._rows.pop(f"z/{known['order']}")
            self._totals.revisions -= 1
        self._record(identity, digest)
        # Two for one: a long list shrinks although rows whose blobs are here only move.
        for _ in range(2):
            if self._totals.revisions > self._revisions_max:
                self._forget_oldest()

    def _record(self, identity: str, digest: str) -> None:
        self._totals.serial += 1
        order = f"{_ORDERS - self._totals.serial:018d}"
        self._rows[f"r/{identity}"] = {"digest": digest, "order": order}
        self._rows[f"z/{order}"] = identity
        self._totals.revisions += 1

    def _forget_oldest(self) -> None:
        key = next(self._rows.iterkeys(reverse=True))
        identity = self._rows.pop(key)
        known = self._rows.pop(f"r/{identity}")
        self._totals.revisions -= 1
        if known is not None and self._blob(known["digest"]) is not None:
            self._record(identity, known["digest"])


def _proves(blob: dict[str, Any], checksums: Checksums, size_bytes: int) -> bool:
    """Whether what the store computed of an object proves that it has the bytes of *blob*."""
    if checksums.md5 is None or checksums.md5 != blob.get("md5"):
        return False
    return blob["size"] == size_bytes and checksums.crc32c in (None, blob.get("crc32c"))
