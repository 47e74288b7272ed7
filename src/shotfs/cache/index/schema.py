"""The database of the index: its tables, how it is opened, and what a transaction is.

Digests and identities are stored as 16 bytes. All numbers that grow with the cache are kept as
running totals in one row, written in the transaction that changes them: nothing is counted at
start, and a million blobs open as fast as none.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import sqlite3
from collections.abc import Callable, Iterator
from dataclasses import asdict, replace

from shotfs.cache.index.values import FOREIGN_ERRORS, IndexDamaged, Totals
from shotfs.errors import CacheError

FILE = "cache.db"

FORMAT = 2
"""1 was a diskcache. What has another format is moved aside and rebuilt from the blobs."""

_TABLES = """
BEGIN IMMEDIATE;
CREATE TABLE totals (row INTEGER PRIMARY KEY CHECK (row = 1), text TEXT NOT NULL);
CREATE TABLE blob (
    digest BLOB NOT NULL UNIQUE,
    size_bytes INTEGER NOT NULL,
    epoch INTEGER NOT NULL,        -- in which its bytes were verified; -1: survives a power cut
    used INTEGER NOT NULL,         -- serial of its last use
    queue INTEGER NOT NULL,        -- eviction.Queue
    place INTEGER NOT NULL,        -- serial of when it came to the queue
    uses INTEGER NOT NULL,         -- since then, at most eviction.USES_MAX
    pinned INTEGER NOT NULL,
    md5 TEXT,
    crc32c TEXT
);
CREATE INDEX blob_used ON blob (used) WHERE pinned = 0;
CREATE INDEX blob_place ON blob (queue, place) WHERE pinned = 0;
CREATE INDEX blob_by_use ON blob (used DESC, digest DESC);
CREATE INDEX blob_by_size ON blob (size_bytes DESC, digest DESC);
CREATE TABLE revision (
    identity BLOB PRIMARY KEY,
    digest BLOB NOT NULL,
    place INTEGER NOT NULL
) WITHOUT ROWID;
CREATE UNIQUE INDEX revision_place ON revision (place);
CREATE TABLE ghost (digest BLOB PRIMARY KEY, place INTEGER NOT NULL) WITHOUT ROWID;
CREATE UNIQUE INDEX ghost_place ON ghost (place);
CREATE TABLE pin (
    identity BLOB NOT NULL,
    owner TEXT NOT NULL,
    digest BLOB,                   -- NULL until the digest of the revision is known
    tier TEXT NOT NULL,
    key TEXT NOT NULL,
    size_bytes INTEGER NOT NULL,
    until_s REAL,
    PRIMARY KEY (identity, owner)
) WITHOUT ROWID;
CREATE INDEX pin_digest ON pin (digest);
CREATE INDEX pin_until ON pin (until_s) WHERE until_s IS NOT NULL;
INSERT INTO totals VALUES (1, '{}');
PRAGMA user_version = 2;
COMMIT;
"""

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


class Rows:
    """The open database, and the totals as the last transaction left them.

    Args:
        directory: 0700 and ours; made if it is not there.
        on_open: makes the first change to the totals.

    Raises:
        IndexDamaged: what is there cannot be read.
        CacheError: its disk is full or fails.
    """

    def __init__(self, directory: str, on_open: Callable[[Totals], None]) -> None:
        try:
            os.makedirs(directory, mode=0o700, exist_ok=True)
            self.connection = _open(os.path.join(directory, FILE))
            try:
                self.totals = self._load()
                with self.change():
                    on_open(self.totals)
            except BaseException:
                self.connection.close()
                raise
        except FOREIGN_ERRORS as error:
            if _is_of_the_disk(error):
                # Moving it aside would lose an index for want of a few kilobytes.
                raise CacheError(
                    f"cannot open the index of the cache {directory}: {error}",
                    fix="free space on the disk of cache.directory, and look at its health",
                ) from error
            raise IndexDamaged(f"{directory}: {error}") from error

    @contextlib.contextmanager
    def change(self) -> Iterator[None]:
        """One transaction: the rows and the totals change together or not at all.

        Inside another change it is a part of that one.
        """
        if self.connection.in_transaction:
            self.totals.serial += 1
            yield
            return
        before = replace(self.totals)
        execute = self.connection.execute
        execute("BEGIN IMMEDIATE")
        try:
            self.totals.serial += 1
            yield
            execute("UPDATE totals SET text = ?", (json.dumps(asdict(self.totals)),))
            execute("COMMIT")
        except BaseException:
            self.totals = before
            with contextlib.suppress(sqlite3.Error):  # a full disk has rolled back already
                execute("ROLLBACK")
            raise

    def next_serial(self) -> int:
        """Return a number that no row has; inside a change."""
        self.totals.serial += 1
        return self.totals.serial

    def close(self) -> None:
        """Close the database."""
        self.connection.close()

    def _load(self) -> Totals:
        connection = self.connection
        (found,) = connection.execute("PRAGMA user_version").fetchone()
        (tables,) = connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()
        if not tables:
            connection.executescript(_TABLES)
        elif found != FORMAT:
            raise ValueError(f"it has format {found}, this version of shotfs has {FORMAT}")
        (text,) = connection.execute("SELECT text FROM totals").fetchone()
        return Totals(**json.loads(text))


def _open(path: str) -> sqlite3.Connection:
    connection = sqlite3.connect(path, isolation_level=None, cached_statements=256)
    try:
        # 8 MiB each: a million blobs are 300 MB of rows, of which the kernel keeps what is hot.
        connection.executescript(
            "PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL; PRAGMA temp_store = FILE;"
            "PRAGMA cache_size = -8192; PRAGMA mmap_size = 8388608;"
            "PRAGMA journal_size_limit = 16777216;"
        )
    except BaseException:
        connection.close()
        raise
    return connection


def _is_of_the_disk(error: Exception) -> bool:
    if isinstance(error, sqlite3.Error):
        # The extended codes have the kind in their low byte.
        return getattr(error, "sqlite_errorcode", 0) & 0xFF in _DISK_CODES
    return isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EROFS)
