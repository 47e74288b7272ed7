"""Catalog: what this node knows of paths, in memory for the hot ones and on disk for all.

Owns the catalog database. Knows nothing of specifications or tiers: `lookup` decides what an entry
is worth. Writes are collected and committed together: losing the last second costs a question to
the tier, never a wrong answer, because each entry names the revision it speaks of.

`peek` and `put` are synchronous and belong to the event loop's thread.
"""

from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

import trio

from shotfs.digest import Checksums
from shotfs.namespace.catalog_store import CatalogStore, DatabaseThread, Row
from shotfs.tiers.base import Revision

log = logging.getLogger(__name__)

T = TypeVar("T")

HOT_ENTRIES_MAX = 20_000
"""Entries kept in memory; one takes about 600 bytes."""

PENDING_ENTRIES_MAX = 5_000
"""Unwritten entries at which writers wait for the database."""

FLUSH_INTERVAL_S = 1.0

_RESTORED = ".restored"
"""Stands among the directories; no show has such a name."""

_EXISTS: Row = 1
"""The row of a directory. Its key ends in a slash, which no path of a file does."""


@dataclass(frozen=True, slots=True)
class Entry:
    """What is known of one path: the revision that its origin had.

    Attributes:
        revision: what the tier said.
        checked_s: when it said so, seconds since the epoch.
        identity: the inode identity that the path keeps although the revision would give another
            (a file that this node wrote keeps its inode when it is published); None otherwise.
        settled: nobody could replace it any more when that was learned. Learned of a template that
            became immutable later, it counts for the time to live only.
    """

    revision: Revision
    checked_s: float
    identity: int | None = None
    settled: bool = True


class Catalog:
    """Path to `Entry`, and the directories that were seen; bounded in memory and on disk."""

    def __init__(self, store: CatalogStore, thread: DatabaseThread) -> None:
        self._store = store
        self._thread = thread
        self._hot: OrderedDict[str, Entry] = OrderedDict()
        self._pending: dict[str, Entry | None] = {}
        self._pending_directories: dict[str, bool] = {}
        # What the database thread is writing now: still newer than what it reads.
        self._writing: dict[str, Entry | None] = {}
        self._writing_directories: dict[str, bool] = {}
        self._forgotten = 0
        self._flushing = trio.Lock()

    # --- files -----------------------------------------------------------------------------------

    def peek(self, path: str) -> Entry | None:
        """Return the entry of *path* if it is in memory."""
        entry = self._hot.get(path)
        if entry is not None:
            self._hot.move_to_end(path)
            return entry
        for unwritten in (self._pending, self._writing):
            if path in unwritten:
                return unwritten[path]
        return None

    async def get(self, path: str) -> Entry | None:
        """Return the entry of *path*, or None if nothing is known."""
        entry = self.peek(path)
        if entry is None:
            await self.load((path,))
            entry = self.peek(path)
        return entry

    async def load(self, paths: Iterable[str]) -> None:
        """Bring the entries of *paths* into memory, so that `peek` finds what is known.

        Args:
            paths: far fewer than `HOT_ENTRIES_MAX`.
        """
        while unknown := [path for path in paths if not self._in_memory(path)]:
            before = self._forgotten
            rows = await self._thread.run(self._store.read, unknown)
            if self._forgotten != before:
                # One of these rows may be gone by now, and must not come back to life.
                continue
            for path, row in rows.items():
                if not self._in_memory(path):
                    self._remember(path, _decode(path, row))
            return

    async def look(self, paths: Sequence[str]) -> dict[str, Entry]:
        """Return what is known of *paths*, and keep nothing of it in memory.

        For a million of them, a thousand at a time: what is hot stays hot.
        """
        return await self._look(paths, self._read, lambda entry: entry)

    async def rows(self, paths: Sequence[str]) -> dict[str, Row]:
        """As `look`, as `records` reads rows: no object for each; some may be damaged."""
        return await self._look(paths, self._store.read, _encode)

    async def _look(
        self,
        paths: Sequence[str],
        read: Callable[[Sequence[str]], dict[str, T]],
        made: Callable[[Entry], T],
    ) -> dict[str, T]:
        """Return what *read* finds in the thread, and *made* of what is newer in memory."""
        while True:
            before = self._forgotten
            found = await self._thread.run(read, paths)
            if self._forgotten == before:
                break  # else one of these rows may be gone by now
        wanted = set(paths)
        for unwritten in (self._writing, self._pending):
            for path in unwritten.keys() & wanted:
                entry = unwritten[path]
                if entry is None:
                    found.pop(path, None)
                else:
                    found[path] = made(entry)
        found.update((path, made(self._hot[path])) for path in self._hot.keys() & wanted)
        return found

    def _read(self, paths: Sequence[str]) -> dict[str, Entry]:
        """Return the entries of *paths* on disk. Runs in the thread."""
        read = {path: _decode(path, row) for path, row in self._store.read(paths).items()}
        return {path: entry for path, entry in read.items() if entry is not None}

    def put(self, path: str, entry: Entry) -> None:
        """Record *entry*; it reaches the disk within `FLUSH_INTERVAL_S`."""
        self._remember(path, entry)
        self._pending[path] = entry

    def forget(self, path: str) -> None:
        """Drop what is known of *path*."""
        self._hot.pop(path, None)
        self._pending[path] = None
        self._forgotten += 1

    async def restore(self, entries: Mapping[str, Entry]) -> int:
        """Record what is learned again after a loss, for paths of which nothing is known.

        Of an entry that was restored before, the newer revision stays. The directories of the
        paths are recorded, too.

        Args:
            entries: a few hundred; each one unsettled and never checked.

        Returns:
            How many were recorded.
        """
        await self.settle()
        known = await self._thread.run(self._store.read, list(entries))
        count = 0
        for path, entry in entries.items():
            if self._in_memory(path):
                before = self.peek(path)
                if before is None:
                    continue  # gone, and the disk does not know yet
            else:
                before = _decode(path, known[path]) if path in known else None
            if before is not None and _outranks(before, entry):
                continue
            self._pending[path] = entry
            count += 1
            parent = path.rpartition("/")[0]
            while parent and parent not in self._pending_directories:
                self._pending_directories[parent] = True
                parent = parent.rpartition("/")[0]
        return count

    async def was_restored(self) -> bool:
        """Whether `set_restored` was called since the catalog on disk was made."""
        return await self.had_directory(_RESTORED)

    async def set_restored(self) -> None:
        """Note that everything that can be learned again was."""
        self.put_directory(_RESTORED, exists=True)
        await self.flush()

    async def below(self, path: str, after: str, limit: int) -> list[str]:
        """Return what is known below the directory *path*, sorted: files, and directories with "/".

        Args:
            path: mount-relative.
            after: only what comes after this.
            limit: at most so many.
        """
        await self.flush()
        return await self._thread.run(self._store.keys_below, path, after, limit)

    async def files_in(self, path: str) -> dict[str, Entry]:
        """Return what is known of the files directly in the directory *path*."""
        await self.flush()
        rows = await self._thread.run(self._store.files_in, path)
        read = {one: self.peek(one) or _decode(one, row) for one, row in rows.items()}
        return {one: entry for one, entry in read.items() if entry is not None}

    # --- directories -----------------------------------------------------------------------------

    def put_directory(self, path: str, *, exists: bool) -> None:
        """Record whether the directory *path* was there when its origins were asked last."""
        self._pending_directories[path] = exists

    async def had_directory(self, path: str) -> bool:
        """Whether the directory *path* was there when its origins were asked last."""
        for unwritten in (self._pending_directories, self._writing_directories):
            if path in unwritten:
                return unwritten[path]
        key = f"{path}/"
        return key in await self._thread.run(self._store.read, (key,))

    # --- writing behind --------------------------------------------------------------------------

    async def settle(self) -> None:
        """Wait until the backlog of unwritten entries is below its limit."""
        if len(self._pending) + len(self._pending_directories) >= PENDING_ENTRIES_MAX:
            await self.flush()

    async def flush(self) -> None:
        """Write what was recorded, in one transaction."""
        async with self._flushing:
            if not self._pending and not self._pending_directories:
                return
            self._writing, self._pending = self._pending, {}
            self._writing_directories, self._pending_directories = self._pending_directories, {}
            rows: dict[str, Row | None] = {
                path: None if entry is None else _encode(entry)
                for path, entry in self._writing.items()
            }
            for path, exists in self._writing_directories.items():
                rows[f"{path}/"] = _EXISTS if exists else None
            with trio.CancelScope(shield=True):
                if not await self._thread.run(self._store.write, rows):
                    self._keep_removals()
            self._writing, self._writing_directories = {}, {}

    def _keep_removals(self) -> None:
        """An entry that was not written costs a question; one that was not removed would lie."""
        for path, entry in self._writing.items():
            if entry is None and len(self._pending) < PENDING_ENTRIES_MAX:
                self._pending.setdefault(path, None)

    async def run(self) -> None:
        """Write pending entries for ever. Run in a nursery; cancel to stop."""
        while True:
            await trio.sleep(FLUSH_INTERVAL_S)
            await self.flush()

    def __len__(self) -> int:
        return len(self._hot)

    def _in_memory(self, path: str) -> bool:
        return path in self._hot or path in self._pending or path in self._writing

    def _remember(self, path: str, entry: Entry | None) -> None:
        if entry is None:
            return
        self._hot[path] = entry
        self._hot.move_to_end(path)
        if len(self._hot) > HOT_ENTRIES_MAX:
            self._hot.popitem(last=False)


@asynccontextmanager
async def open_catalog(directory: str, *, paths_max: int) -> AsyncIterator[Catalog]:
    """Open the catalog in *directory*, which only this process uses, and write it behind.

    Args:
        directory: made if missing; 0700.
        paths_max: files and directories kept on disk.

    Raises:
        CacheError: the disk does not let us.
    """
    store = CatalogStore(directory, rows_max=paths_max)
    thread = DatabaseThread()
    try:
        await thread.run(store.open)
        catalog = Catalog(store, thread)
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(catalog.run)
                yield catalog
                nursery.cancel_scope.cancel()
        finally:
            with trio.CancelScope(shield=True):
                await catalog.flush()
                await thread.run(store.close)
    finally:
        thread.end()


def _outranks(known: Entry, restored: Entry) -> bool:
    """Whether *known*, which is on disk, says more than what was restored."""
    if known.settled or known.checked_s > 0 or known.revision.tier != restored.revision.tier:
        return True
    return known.revision.mtime_ns >= restored.revision.mtime_ns


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
        revision.pin,
        entry.settled,
    ]


def _decode(path: str, row: Any) -> Entry | None:
    """Return the entry, or None for a row that another version of shotfs may have written."""
    try:
        # Before 2026-11-21 a row had neither pin nor settled.
        tier, key, size_bytes, version, mtime_ns, sums, checked_s, identity, *later = row
        checksums = Checksums(sums[0], sums[1], sums[2] or None)
        pin = later[0] if later else None
        return Entry(
            Revision(tier, key, size_bytes, version, mtime_ns, checksums, pin),
            float(checked_s),
            None if identity is None else int(identity, 16),
            bool(later[1]) if len(later) > 1 else True,
        )
    except (ValueError, TypeError, IndexError):
        log.warning("catalog row ignored", extra={"path": path})
        return None
