"""Catalog store: the rows of the catalog on disk, and the one thread that works on them.

A row that cannot be read costs a question to the tier, so nothing here raises for a broken disk or
a damaged database: a full or failing disk is logged and gone around, a damaged database is moved
aside and replaced by an empty one. `CatalogStore` is used in `DatabaseThread` only.
"""

from __future__ import annotations

import json
import logging
import os
import shutil
import sqlite3
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from typing import Any, ParamSpec, TypeVar

import diskcache
import trio

from shotfs.errors import CacheError
from shotfs.namespace.plain_disk import PlainDisk, RowDamaged, decoded

log = logging.getLogger(__name__)

P = ParamSpec("P")
T = TypeVar("T")

DROP_BATCH = 1_000
"""How many of the oldest rows go at once when there are more than the limit."""

READ_BATCH = 500
"""Keys of one query; SQLite takes 999 at least."""

FILES_MAX = 200_000
"""Files of one directory that are looked at together."""

_GOOD = "mode = 1 AND filename IS NULL AND typeof(value) = 'text' AND typeof(key) = 'text'"
"""What is true of rows that `PlainDisk` wrote."""

Row = object
"""A value that JSON can carry."""

_DISK_FAILED = (sqlite3.OperationalError, diskcache.Timeout, OSError)
"""Disk full, I/O error, locked: the database itself is whole."""

_ROW_DAMAGED = (RowDamaged, ValueError, TypeError, KeyError)
"""One row is not what this module writes."""


class DatabaseThread:
    """Runs calls in one thread, one after the other, in the order in which they came.

    diskcache keeps a connection for each thread, and trio's worker threads come and go: through
    them, each would keep a page cache of its own (field notes: 8 threads took 550 MB).
    """

    def __init__(self) -> None:
        self._executor = ThreadPoolExecutor(1, thread_name_prefix="shotfs-catalog")

    async def run(self, call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Return what *call* returns. Not cancelled halfway."""
        done = trio.Event()
        token = trio.lowlevel.current_trio_token()

        def announce(_: Future[T]) -> None:
            token.run_sync_soon(done.set)

        await trio.lowlevel.checkpoint_if_cancelled()
        future = self._executor.submit(call, *args, **kwargs)
        future.add_done_callback(announce)
        with trio.CancelScope(shield=True):
            await done.wait()
        return future.result()

    def end(self) -> None:
        """Let the thread end. Nothing may be running in it."""
        self._executor.shutdown(wait=True)


class CatalogStore:
    """Rows by key.

    Args:
        directory: only this process uses it; made 0700 if it is missing.
        rows_max: how many rows are kept.
    """

    def __init__(self, directory: str, *, rows_max: int) -> None:
        self._directory = directory
        self._rows_max = rows_max
        self._store: diskcache.Cache | None = None

    def open(self) -> None:
        """Open the database; a damaged one is replaced by an empty one.

        Raises:
            CacheError: the disk does not let us.
        """
        try:
            self._store = _open_database(self._directory)
        except _DISK_FAILED as error:
            raise CacheError(
                f"{self._directory}: the catalog cannot be opened: {error}",
                fix="look at the disk of cache.directory and at who owns that directory",
            ) from error
        except (sqlite3.Error, *_ROW_DAMAGED) as error:
            self._replace(error)

    def close(self) -> None:
        """Close the database."""
        if self._store is not None:
            self._store.close()
            self._store = None

    def __len__(self) -> int:
        return 0 if self._store is None else len(self._store)

    def read(self, keys: Iterable[str]) -> dict[str, Row]:
        """Return the rows of those *keys* that have one."""
        found: dict[str, Row] = {}
        waiting = iter(keys)
        while batch := list(islice(waiting, READ_BATCH)):
            # All at once: a listing asks for each name, and by diskcache's own `get` that is 6 us.
            marks = ",".join("?" * len(batch))
            where = f"FROM Cache WHERE raw = 1 AND key IN ({marks})"
            # As one row, too: each row more would ask for the interpreter's lock twice.
            joined = f"count(*), group_concat(key, char(0)), group_concat(value), sum({_GOOD})"
            together = _together(self._query(f"SELECT {joined} {where}", batch, path=batch[0]))
            if together is not None:
                found.update(together)
                continue
            columns = "key, mode, filename, value"
            answers = self._query(f"SELECT {columns} {where}", batch, path=batch[0])
            for key, *values in answers:
                try:
                    row = decoded(*values)
                except _ROW_DAMAGED as error:
                    log.warning("catalog row ignored: %s", error, extra={"path": key})
                    continue
                if row is not None:
                    found[key] = row
        return found

    def keys_below(self, path: str, after: str, limit: int) -> list[str]:
        """Return keys below the directory *path*, sorted, those after *after*, at most *limit*."""
        return [key for key, _ in self._select(path, after, "", limit)]

    def files_in(self, path: str) -> dict[str, Row]:
        """Return the rows of the files directly in the directory *path*, at most `FILES_MAX`."""
        direct = "AND instr(substr(key, ?), '/') = 0"
        found: dict[str, Row] = {}
        for key, value in self._select(path, "", direct, FILES_MAX, len(path) + 2):
            try:
                found[key] = json.loads(value)
            except _ROW_DAMAGED as error:
                log.warning("catalog row ignored: %s", error, extra={"path": key})
        return found

    def _select(
        self, path: str, after: str, more: str, limit: int, *parameters: object
    ) -> list[tuple[str, str]]:
        """Return keys and values of rows below *path*. diskcache itself has no ranges of keys."""
        # After "dir/" and all that begins so comes "dir0": the character that follows the slash.
        where = f"raw = 1 AND key > ? AND key > ? AND key < ? {more}"
        query = f"SELECT key, value FROM Cache WHERE {where} ORDER BY key LIMIT ?"  # noqa: S608  # nothing of it comes from outside
        bounds = (f"{path}/", after, f"{path}0", *parameters, limit)
        return self._query(query, bounds, path=path)

    def _query(self, query: str, parameters: Sequence[object], *, path: str) -> list[Any]:
        """Return what the database answers; nothing if it cannot. *path* is for the log."""
        if self._store is None:
            return []
        try:
            return list(self._store._sql(query, parameters))  # noqa: SLF001  # what its own reads use
        except _DISK_FAILED as error:
            log.warning("catalog not read: %s", error, extra={"path": path})
        except sqlite3.Error as error:
            self._replace(error)
        return []

    def write(self, rows: Mapping[str, Row | None]) -> bool:
        """Store *rows* in one transaction; None removes. Return whether they are on disk now."""
        if self._store is None:
            return False
        try:
            with self._store.transact(retry=True):
                for key, row in rows.items():
                    if row is None:
                        self._store.delete(key, retry=True)
                    else:
                        self._store.set(key, row, retry=True)
                self._cull(self._store)
        except _DISK_FAILED as error:
            # The catalog only saves questions, so go on without.
            log.warning("catalog not written: %s", error, extra={"entries": len(rows)})
            return False
        except (sqlite3.Error, *_ROW_DAMAGED) as error:
            self._replace(error)
            return False
        return True

    def _cull(self, store: diskcache.Cache) -> None:
        excess = len(store) - self._rows_max
        if excess <= 0:
            return
        # Iteration follows the first insertion, which an update does not change: what was learned
        # first goes first. An order of use would cost a write for every read.
        oldest = [key for key, _ in zip(store, range(excess + DROP_BATCH), strict=False)]
        for key in oldest:
            store.delete(key, retry=True)

    def _replace(self, reason: Exception) -> None:
        """Start an empty database beside the damaged one: everything can be learned again."""
        aside = f"{self._directory}.damaged"
        log.error("catalog is damaged (%s); starting an empty one, kept as %s", reason, aside)
        try:
            self.close()
            shutil.rmtree(aside, ignore_errors=True)
            os.rename(self._directory, aside)
            self._store = _open_database(self._directory)
        except (*_DISK_FAILED, sqlite3.Error) as error:
            self._store = None
            log.error("no catalog until the next start: %s", error)  # noqa: TRY400 - no traceback: the disk is at fault


def _together(answers: Sequence[tuple[Any, ...]]) -> dict[str, Row] | None:
    """Return the rows that are joined in *answers*, parsed at once; None: one is damaged, or says
    nothing.
    """
    if not answers:
        return {}
    count, keys, values, good = answers[0]
    if count == 0:
        return {}
    if good != count:
        return None
    names = keys.split("\0")
    try:
        rows = json.loads(f"[{values}]")
    except _ROW_DAMAGED:
        return None
    if not len(names) == len(rows) == count or None in rows:
        return None
    return dict(zip(names, rows, strict=True))


def _open_database(directory: str) -> diskcache.Cache:
    os.makedirs(directory, mode=0o700, exist_ok=True)
    store = diskcache.Cache(
        directory,
        disk=PlainDisk,
        eviction_policy="none",
        cull_limit=0,
        size_limit=2**62,
        statistics=0,
        tag_index=0,
        sqlite_auto_vacuum=0,
        sqlite_cache_size=2048,
        sqlite_mmap_size=8 * 1024 * 1024,
    )
    len(store)
    return store
