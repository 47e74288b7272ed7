"""Catalog: what this node knows of paths, in memory for the hot ones and on disk for all.

Owns the catalog database. Knows nothing of specifications or tiers: `lookup` decides what an entry
is worth. Writes are collected and committed together: losing the last second costs a question to
the tier, never a wrong answer, because each entry names the revision it speaks of.

`peek` and `put` are synchronous and belong to the event loop's thread; the database is used from
one thread (diskcache's connections multiply memory with threads, field notes).
"""

from __future__ import annotations

import logging
import os
import shutil
import time
from collections import OrderedDict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import diskcache
import trio

from shotfs.cache.index import FOREIGN_ERRORS, PlainDisk
from shotfs.digest import Checksums, Digest
from shotfs.tiers.base import Revision

log = logging.getLogger(__name__)

HOT_ENTRIES_MAX = 20_000
"""Entries kept in memory; one takes about 600 bytes."""

PENDING_ENTRIES_MAX = 5_000
"""Unwritten entries at which writers wait for the database."""

FLUSH_INTERVAL_S = 1.0

DROP_BATCH = 1_000
"""How many of the oldest entries go at once when the catalog is over its limit."""


@dataclass(frozen=True, slots=True)
class Entry:
    """What is known of one path: the revision that its origin had.

    Attributes:
        revision: what the tier said.
        checked_s: when it said so, seconds since the epoch.
        identity: the inode identity that the path keeps although the revision would give another
            (a file that this node wrote keeps its inode when it is published); None otherwise.
    """

    revision: Revision
    checked_s: float
    identity: int | None = None


class Catalog:
    """Path to `Entry`, bounded in memory and on disk."""

    def __init__(self, store: diskcache.Cache, *, paths_max: int) -> None:
        self._store = store
        self._paths_max = paths_max
        self._hot: OrderedDict[str, Entry] = OrderedDict()
        self._pending: dict[str, Entry | None] = {}
        self._database = trio.CapacityLimiter(1)
        self._flushing = trio.Lock()

    def peek(self, path: str) -> Entry | None:
        """Return the entry of *path* if it is in memory."""
        entry = self._hot.get(path)
        if entry is not None:
            self._hot.move_to_end(path)
        return entry

    async def get(self, path: str) -> Entry | None:
        """Return the entry of *path*, or None if nothing is known."""
        entry = self.peek(path)
        if entry is not None:
            return entry
        if path in self._pending:
            return self._pending[path]
        row = await trio.to_thread.run_sync(self._read, path, limiter=self._database)
        if row is None or path in self._hot or path in self._pending:
            return self._hot.get(path)
        entry = _decode(path, row)
        if entry is not None:
            self._remember(path, entry)
        return entry

    def put(self, path: str, entry: Entry) -> None:
        """Record *entry*; it reaches the disk within `FLUSH_INTERVAL_S`."""
        self._remember(path, entry)
        self._pending[path] = entry

    def forget(self, path: str) -> None:
        """Drop what is known of *path*."""
        self._hot.pop(path, None)
        self._pending[path] = None

    async def settle(self) -> None:
        """Wait until the backlog of unwritten entries is below its limit."""
        if len(self._pending) >= PENDING_ENTRIES_MAX:
            await self.flush()

    async def flush(self) -> None:
        """Write what was recorded, in one transaction."""
        async with self._flushing:
            batch, self._pending = self._pending, {}
            if not batch:
                return
            with trio.CancelScope(shield=True):
                await trio.to_thread.run_sync(self._write, batch, limiter=self._database)

    async def run(self) -> None:
        """Write pending entries for ever. Run in a nursery; cancel to stop."""
        while True:
            await trio.sleep(FLUSH_INTERVAL_S)
            await self.flush()

    def __len__(self) -> int:
        return len(self._hot)

    def _remember(self, path: str, entry: Entry) -> None:
        self._hot[path] = entry
        self._hot.move_to_end(path)
        if len(self._hot) > HOT_ENTRIES_MAX:
            self._hot.popitem(last=False)

    def _read(self, path: str) -> object:
        try:
            return self._store.get(path, retry=True)
        except FOREIGN_ERRORS:
            # A damaged or unreadable catalog only costs a question to the tier.
            log.exception("catalog not read", extra={"path": path})
            return None

    def _write(self, batch: dict[str, Entry | None]) -> None:
        try:
            with self._store.transact(retry=True):
                for path, entry in batch.items():
                    if entry is None:
                        self._store.delete(path, retry=True)
                    else:
                        self._store.set(path, _encode(entry), retry=True)
                self._cull()
        except (*FOREIGN_ERRORS, diskcache.Timeout):
            # A full or failing disk: the catalog only saves questions, so go on without.
            log.exception("catalog not written", extra={"entries": len(batch)})

    def _cull(self) -> None:
        excess = len(self._store) - self._paths_max
        if excess <= 0:
            return
        # Iteration follows insertion, so the first ones are the longest untouched.
        oldest = [key for key, _ in zip(self._store, range(excess + DROP_BATCH), strict=False)]
        for key in oldest:
            self._store.delete(key, retry=True)


@asynccontextmanager
async def open_catalog(directory: str, *, paths_max: int) -> AsyncIterator[Catalog]:
    """Open the catalog in *directory*, which only this process uses, and write it behind.

    Args:
        directory: made if missing; 0700.
        paths_max: entries kept on disk.
    """
    store = await trio.to_thread.run_sync(_open_store, directory)
    catalog = Catalog(store, paths_max=paths_max)
    try:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(catalog.run)
            yield catalog
            nursery.cancel_scope.cancel()
    finally:
        with trio.CancelScope(shield=True):
            await catalog.flush()
            await trio.to_thread.run_sync(store.close)


def _open_store(directory: str) -> diskcache.Cache:
    """Open the database, or start anew beside a damaged one: it can be learned again."""
    try:
        return _open_database(directory)
    except FOREIGN_ERRORS:
        aside = f"{directory}.damaged"
        log.exception("catalog is damaged; starting an empty one", extra={"aside": aside})
        shutil.rmtree(aside, ignore_errors=True)
        os.rename(directory, aside)
        return _open_database(directory)


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


def _encode(entry: Entry) -> list[object]:
    revision, checksums = entry.revision, entry.revision.checksums
    return [
        revision.tier,
        revision.key,
        revision.size_bytes,
        revision.version,
        revision.mtime_ns,
        [checksums.md5, checksums.crc32c, checksums.xxh128],
        entry.checked_s,
        None if entry.identity is None else f"{entry.identity:x}",
    ]


def _decode(path: str, row: Any) -> Entry | None:
    """Return the entry, or None for a row that another version of shotfs may have written."""
    try:
        tier, key, size_bytes, version, mtime_ns, sums, checked_s, identity = row
        return Entry(
            Revision(
                tier=tier,
                key=key,
                size_bytes=size_bytes,
                version=version,
                mtime_ns=mtime_ns,
                checksums=Checksums(
                    md5=sums[0], crc32c=sums[1], xxh128=Digest(sums[2]) if sums[2] else None
                ),
            ),
            # A clock that was ahead when the row was written must not make it last for ever.
            checked_s=min(float(checked_s), time.time()),
            identity=None if identity is None else int(identity, 16),
        )
    except (ValueError, TypeError, IndexError):
        log.warning("catalog row ignored", extra={"path": path})
        return None
