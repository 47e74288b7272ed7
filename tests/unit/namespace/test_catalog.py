"""The catalog: bounded in memory and on disk, written behind, never worse than knowing nothing."""

from __future__ import annotations

import os
import sqlite3
import stat
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import trio

from shotfs.digest import Checksums, Digest
from shotfs.errors import CacheError
from shotfs.namespace import catalog as catalogs
from shotfs.namespace import catalog_store
from shotfs.namespace.catalog import Catalog, Entry, open_catalog
from shotfs.tiers.base import Revision


def revision(key: str, version: str = "1") -> Revision:
    sums = Checksums(md5="0" * 32, crc32c="12345678", xxh128=Digest("a" * 32))
    return Revision("mem://main", key, 5, version, 123, sums)


def entry(key: str, checked_s: float = 10.0, identity: int | None = None) -> Entry:
    return Entry(revision(key), checked_s, identity)


@asynccontextmanager
async def reopened(directory: Path, paths_max: int = 1000) -> AsyncIterator[Catalog]:
    async with open_catalog(str(directory / "catalog"), paths_max=paths_max) as catalog:
        yield catalog


async def rows_on_disk(catalog: Catalog) -> int:
    await catalog.flush()
    return await catalog._thread.run(len, catalog._store)


@pytest.fixture
async def catalog(tmp_path: Path) -> AsyncIterator[Catalog]:
    async with reopened(tmp_path) as opened:
        yield opened


# --- remembering ---------------------------------------------------------------------------------


async def test_nothing_is_known_at_first(catalog: Catalog) -> None:
    assert catalog.peek("ant/a") is None
    assert await catalog.get("ant/a") is None


async def test_an_entry_comes_back_whole_after_reopening(tmp_path: Path) -> None:
    written = Entry(replace(revision("a"), pin="v1"), 12.5, identity=2**127 + 1)
    async with reopened(tmp_path) as catalog:
        catalog.put("ant/a", written)
        assert await catalog.get("ant/a") == written
    async with reopened(tmp_path) as catalog:
        assert catalog.peek("ant/a") is None, "start-up reads nothing"
        found = await catalog.get("ant/a")
        assert found == written
        assert found.revision.checksums == written.revision.checksums
        assert found.revision.pin == "v1"
        assert catalog.peek("ant/a") == written


async def test_a_row_from_before_revisions_had_pins_is_read(catalog: Catalog) -> None:
    row = catalogs._encode(entry("a"))[:-1]
    await catalog._thread.run(catalog._store.write, {"ant/a": row})
    assert await catalog.get("ant/a") == entry("a")


async def test_what_is_forgotten_stays_forgotten_after_reopening(tmp_path: Path) -> None:
    async with reopened(tmp_path) as catalog:
        catalog.put("ant/a", entry("a"))
        await catalog.flush()
        catalog.forget("ant/a")
        assert await catalog.get("ant/a") is None
    async with reopened(tmp_path) as catalog:
        assert await catalog.get("ant/a") is None


async def test_directories_are_kept_beside_files_of_the_same_name(tmp_path: Path) -> None:
    async with reopened(tmp_path) as catalog:
        catalog.put("ant/a", entry("a"))
        catalog.put_directory("ant/a", exists=True)
        catalog.put_directory("ant/gone", exists=True)
        assert await catalog.had_directory("ant/a")
        await catalog.flush()
        catalog.put_directory("ant/gone", exists=False)
        assert not await catalog.had_directory("ant/gone")
    async with reopened(tmp_path) as catalog:
        assert await catalog.had_directory("ant/a")
        assert not await catalog.had_directory("ant/gone")
        assert not await catalog.had_directory("ant/never")
        assert (await catalog.get("ant/a")) == entry("a")


async def test_the_directory_is_private(tmp_path: Path, catalog: Catalog) -> None:
    assert stat.S_IMODE((tmp_path / "catalog").stat().st_mode) == 0o700


# --- bounds --------------------------------------------------------------------------------------


async def test_s10_only_so_many_entries_stay_in_memory(
    catalog: Catalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(catalogs, "HOT_ENTRIES_MAX", 10)
    for number in range(25):
        catalog.put(f"ant/{number}", entry(str(number)))
    assert len(catalog) == 10
    await catalog.flush()
    assert catalog.peek("ant/3") is None
    assert await catalog.get("ant/3") == entry("3")
    assert len(catalog) == 10


async def test_the_entry_that_was_used_last_is_the_last_to_leave_memory(
    catalog: Catalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(catalogs, "HOT_ENTRIES_MAX", 3)
    for name in "abc":
        catalog.put(name, entry(name))
    await catalog.flush()
    catalog.peek("a")
    catalog.put("d", entry("d"))
    assert catalog.peek("a") is not None
    assert catalog.peek("b") is None


async def test_an_entry_that_left_memory_unwritten_is_still_known(
    catalog: Catalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(catalogs, "HOT_ENTRIES_MAX", 1)
    catalog.put("a", entry("a"))
    catalog.put("b", entry("b"))
    assert await catalog.get("a") == entry("a")


async def test_a_backlog_is_written_before_more_is_learned(
    catalog: Catalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(catalogs, "PENDING_ENTRIES_MAX", 5)
    for number in range(4):
        catalog.put(str(number), entry(str(number)))
    await catalog.settle()
    assert len(catalog._pending) == 4, "below the limit nobody waits"
    catalog.put("4", entry("4"))
    await catalog.settle()
    assert len(catalog._pending) == 0


async def test_s10_only_so_many_rows_stay_on_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(catalog_store, "DROP_BATCH", 3)
    async with reopened(tmp_path, paths_max=20) as catalog:
        for number in range(20):
            catalog.put(f"ant/{number:03}", entry(str(number)))
            await catalog.flush()
        assert await rows_on_disk(catalog) == 20
        catalog.put("ant/new", entry("new"))
        assert await rows_on_disk(catalog) == 17, "the excess and a batch go at once"
    async with reopened(tmp_path, paths_max=20) as catalog:
        assert await catalog.get("ant/000") is None
        assert await catalog.get("ant/019") == entry("19")
        assert await catalog.get("ant/new") == entry("new")


# --- writing behind ------------------------------------------------------------------------------


async def test_entries_reach_the_disk_without_being_asked_to(
    tmp_path: Path, autojump_clock: trio.testing.MockClock
) -> None:
    async with reopened(tmp_path) as catalog:
        catalog.put("ant/a", entry("a"))
        catalog.put("ant/b", entry("b"))
        await trio.sleep(1.5 * catalogs.FLUSH_INTERVAL_S)
        assert not catalog._pending
        await catalog.had_directory("")  # the database thread works in order
        assert await trio.to_thread.run_sync(_stored_keys, tmp_path) == {"ant/a", "ant/b"}


def _stored_keys(directory: Path) -> set[str]:
    database = sqlite3.connect(directory / "catalog" / "cache.db")
    try:
        return {key for (key,) in database.execute("SELECT key FROM Cache")}
    finally:
        database.close()


async def test_what_is_forgotten_while_it_is_read_does_not_come_back(catalog: Catalog) -> None:
    catalog.put("ant/a", entry("a"))
    await catalog.flush()
    catalog._hot.clear()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(catalog.get, "ant/a")
        await trio.testing.wait_all_tasks_blocked()
        catalog.forget("ant/a")
        nursery.start_soon(catalog.flush)
    assert catalog.peek("ant/a") is None
    assert await catalog.get("ant/a") is None


async def test_what_is_put_while_an_older_row_is_read_wins(catalog: Catalog) -> None:
    catalog.put("ant/a", entry("a", checked_s=1.0))
    await catalog.flush()
    catalog._hot.clear()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(catalog.get, "ant/a")
        await trio.testing.wait_all_tasks_blocked()
        catalog.put("ant/a", entry("a", checked_s=2.0))
    assert await catalog.get("ant/a") == entry("a", checked_s=2.0)


async def test_many_paths_are_loaded_in_one_go(catalog: Catalog) -> None:
    for number in range(50):
        catalog.put(str(number), entry(str(number)))
    await catalog.flush()
    catalog._hot.clear()
    await catalog.load([str(number) for number in range(100)])
    assert [catalog.peek(str(number)) for number in range(50)] == [
        entry(str(number)) for number in range(50)
    ]
    assert catalog.peek("50") is None


async def test_more_paths_than_one_query_takes_are_loaded(catalog: Catalog) -> None:
    paths = [f"ant/{number:04d}" for number in range(2 * catalog_store.READ_BATCH + 1)]
    for path in paths[::2]:
        catalog.put(path, entry(path))
    await catalog.flush()
    catalog._hot.clear()
    await catalog.load(paths)
    assert [path for path in paths if catalog.peek(path) == entry(path)] == paths[::2]


# --- a damaged or failing database ---------------------------------------------------------------


async def test_a_damaged_database_is_replaced_at_the_start(tmp_path: Path) -> None:
    async with reopened(tmp_path) as catalog:
        catalog.put("ant/a", entry("a"))
    (tmp_path / "catalog" / "cache.db").write_bytes(b"this is no database" * 1000)
    async with reopened(tmp_path) as catalog:
        assert await catalog.get("ant/a") is None
        catalog.put("ant/b", entry("b"))
    async with reopened(tmp_path) as catalog:
        assert await catalog.get("ant/b") == entry("b")
    assert (tmp_path / "catalog.damaged").is_dir(), "it is kept for whoever wants to look"


async def test_a_database_that_breaks_while_serving_is_replaced(
    tmp_path: Path, catalog: Catalog
) -> None:
    for number in range(2000):
        catalog.put(f"ant/{number}", entry(str(number)))
    await catalog.flush()
    catalog._hot.clear()
    await catalog._thread.run(_break, tmp_path / "catalog", catalog._store)
    for number in range(2000):
        assert await catalog.get(f"ant/{number}") in (None, entry(str(number)))
    assert (tmp_path / "catalog.damaged").is_dir()
    catalog.put("ant/new", entry("new"))
    await catalog.flush()
    catalog._hot.clear()
    assert await catalog.get("ant/new") == entry("new"), "it remembers again"


def _break(directory: Path, store: Any) -> None:
    """Overwrite all pages but the first, behind the back of the connection that is open."""
    store._store._sql("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    store._store._sql("PRAGMA mmap_size=0").fetchall()
    with open(directory / "cache.db", "r+b") as file:
        size = os.fstat(file.fileno()).st_size
        file.seek(4096)
        file.write(os.urandom(size - 4096))
    # The page cache would hide it.
    store._store._sql("PRAGMA shrink_memory").fetchall()


@pytest.mark.parametrize("row", [[], "text", 7, [1, 2, 3], {"a": 1}, ["x"] * 8])
async def test_a_row_of_another_version_is_ignored(catalog: Catalog, row: object) -> None:
    await catalog._thread.run(catalog._store.write, {"ant/a": row})
    assert await catalog.get("ant/a") is None
    catalog.put("ant/a", entry("a"))
    await catalog.flush()
    catalog._hot.clear()
    assert await catalog.get("ant/a") == entry("a")


class FullDisk:
    """A store whose writes fail as on a full disk while `full` is set."""

    def __init__(self, store: catalog_store.CatalogStore) -> None:
        self.store = store
        self.full = True

    def write(self, rows: Any) -> bool:
        return False if self.full else self.store.write(rows)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.store, name)


async def test_a_full_disk_costs_what_was_learned_and_never_revives_what_was_removed(
    catalog: Catalog,
) -> None:
    catalog.put("ant/old", entry("old"))
    await catalog.flush()
    disk = FullDisk(catalog._store)
    catalog._store = disk
    catalog.forget("ant/old")
    catalog.put("ant/new", entry("new"))
    await catalog.flush()
    catalog._hot.clear()
    assert await catalog.get("ant/old") is None
    assert await catalog.get("ant/new") is None
    disk.full = False
    await catalog.flush()
    assert await catalog._thread.run(catalog._store.read, ["ant/old"]) == {}


async def test_a_directory_that_cannot_be_made_is_an_error_with_a_fix(tmp_path: Path) -> None:
    (tmp_path / "catalog").write_text("a file is in the way")
    with pytest.raises(CacheError, match="catalog cannot be opened") as caught:
        async with reopened(tmp_path):
            raise AssertionError
    assert caught.value.fix is not None
