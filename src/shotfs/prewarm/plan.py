"""The plan: what one prewarm wants, each path once, in the order in which it shall come.

Lies in a file on disk, so that a million entries take no memory; SQLite sorts them. What several
targets want is wanted once, as surely as the surest of them says. One thread at a time.
"""

from __future__ import annotations

import contextlib
import os
import re
import sqlite3
from collections.abc import Iterable, Iterator

from shotfs.digest import Digest
from shotfs.errors import CacheError, InvalidArgument
from shotfs.prewarm.manifest import Entry, Use

ENTRIES_MAX = 5_000_000
"""Of one prewarm; each takes about 300 bytes on the disk of the cache."""

_FIRST = re.compile(r"-?[0-9]{1,10}")

_TABLE = """CREATE TABLE wanted (
    path BLOB PRIMARY KEY, digest TEXT, size_bytes INTEGER, confidence REAL NOT NULL,
    first_s REAL, frame INTEGER, taken INTEGER NOT NULL DEFAULT 0
) WITHOUT ROWID"""

_ADD = """INSERT INTO wanted VALUES (?, ?, ?, ?, ?, ?, 0) ON CONFLICT (path) DO UPDATE SET
    digest = coalesce(digest, excluded.digest),
    size_bytes = coalesce(size_bytes, excluded.size_bytes),
    confidence = max(confidence, excluded.confidence),
    first_s = min(coalesce(first_s, excluded.first_s), coalesce(excluded.first_s, first_s)),
    frame = min(coalesce(frame, excluded.frame), coalesce(excluded.frame, frame))"""

_ORDER = "confidence DESC, first_s IS NULL, first_s, frame, path"

_IN_ORDER = f"""SELECT path, digest, size_bytes, confidence, first_s FROM wanted
    ORDER BY {_ORDER}"""  # noqa: S608  # all of it is ours

_WAITING = f"CREATE INDEX IF NOT EXISTS waiting ON wanted ({_ORDER}) WHERE taken = 0"

_NEXT = f"""SELECT path, digest, size_bytes, confidence, first_s FROM wanted WHERE taken = 0
    ORDER BY {_ORDER} LIMIT ?"""  # noqa: S608  # as above


class Plan:
    """What is wanted.

    Args:
        path: of a file that is made for the first entry, and removed by `close`.
    """

    def __init__(self, path: str) -> None:
        self._path = path
        self._added = 0
        self._made: sqlite3.Connection | None = None
        self._closed = False

    def add(self, entries: Iterable[Entry]) -> None:
        """Want *entries*, too.

        Raises:
            InvalidArgument: that would be more than `ENTRIES_MAX`.
            CacheError: the disk is full or fails.
        """
        rows = list(map(_row, entries))
        self._added += len(rows)
        with _translated(self._path):
            database = self._database()
            database.execute("BEGIN")
            try:
                database.executemany(_ADD, rows)
            finally:
                database.execute("COMMIT")
        if self._added > ENTRIES_MAX and self.count() > ENTRIES_MAX:
            raise InvalidArgument(
                f"more than {ENTRIES_MAX} files are wanted", fix="name fewer targets at once"
            )

    def count(self) -> int:
        """Return how many paths are wanted."""
        if self._made is None:
            return 0
        with _translated(self._path):
            (count,) = self._database().execute("SELECT count(*) FROM wanted").fetchone()
        return int(count)

    def pages(self, entries: int) -> Iterator[list[Entry]]:
        """Yield what is wanted in its order: the surest first, then what is opened first, then by
        frame; as lists of *entries*.
        """
        if self._made is None:
            return
        with _translated(self._path):
            rows = self._database().execute(_IN_ORDER)
            while page := rows.fetchmany(entries):
                yield [_entry(*row) for row in page]

    def take(self, entries: int) -> list[Entry]:
        """Return at most *entries* of what was not taken yet, in the order of `pages`; [] if there
        is nothing for now. What is added again later was taken all the same.
        """
        if self._made is None:
            return []
        with _translated(self._path):
            database = self._database()
            database.execute(_WAITING)
            rows = database.execute(_NEXT, (entries,)).fetchall()
            database.execute("BEGIN")
            try:
                database.executemany(
                    "UPDATE wanted SET taken = 1 WHERE path = ?", [row[:1] for row in rows]
                )
            finally:
                database.execute("COMMIT")
        return [_entry(*row) for row in rows]

    def close(self) -> None:
        """Remove the file."""
        self._closed = True
        if self._made is None:
            return
        self._made.close()
        with contextlib.suppress(OSError):
            os.unlink(self._path)

    def _database(self) -> sqlite3.Connection:
        """Return the file's connection; make the file if there is none."""
        if self._closed:
            raise sqlite3.ProgrammingError("it was closed")
        if self._made is None:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(self._path)
            os.makedirs(os.path.dirname(self._path), mode=0o700, exist_ok=True)
            made = sqlite3.connect(self._path, isolation_level=None, check_same_thread=False)
            self._made = made
            # Nothing of it outlives the service.
            made.execute("PRAGMA journal_mode = OFF")
            made.execute("PRAGMA synchronous = OFF")
            made.execute("PRAGMA cache_size = -8192")
            made.execute(_TABLE)
        return self._made


@contextlib.contextmanager
def _translated(path: str) -> Iterator[None]:
    try:
        yield
    except (sqlite3.Error, OSError) as error:
        raise CacheError(
            f"{path}: cannot keep what is wanted: {error}",
            fix="make room on the disk of the cache; cache.free_bytes_min keeps some of it free",
        ) from error


def _row(entry: Entry) -> tuple[object, ...]:
    first = _FIRST.match(entry.frames)
    return (
        # Names that are no UTF-8 come as lone surrogates, which are no text for SQLite.
        entry.path.encode("utf-8", "surrogatepass"),
        entry.digest,
        entry.size_bytes,
        entry.confidence,
        None if entry.use is None else entry.use.first_s,
        None if first is None else int(first[0]),
    )


def _entry(
    path: bytes,
    digest: str | None,
    size_bytes: int | None,
    confidence: float,
    first_s: float | None,
) -> Entry:
    return Entry(
        path.decode("utf-8", "surrogatepass"),
        None if digest is None else Digest(digest),
        size_bytes,
        confidence=confidence,
        use=None if first_s is None else Use(first_s=first_s),
    )
