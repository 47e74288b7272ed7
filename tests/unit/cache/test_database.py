"""The thread of the index: calls share visits, rows share transactions, a crash leaves no row."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import trio
import trio.testing

from shotfs.cache.database import Database, IndexUnavailable
from shotfs.cache.index import Index, NewRow, Row
from shotfs.digest import Checksums, digest_bytes
from tests.unit.cache.fakes import KIB, FakeTier, cache_in, content_of, keep, read_all


def open_index(directory: Path) -> Index:
    return Index(str(directory), revisions_max=1000, boot="boot", was_clean=False)


@asynccontextmanager
async def database_in(directory: Path) -> AsyncIterator[Database]:
    database = Database(lambda: open_index(directory), lambda: "aside", lambda: None)
    await database.start()
    try:
        yield database
    finally:
        await database.aclose()


def new_row(number: int) -> NewRow:
    digest = digest_bytes(number.to_bytes(4))
    return NewRow(digest, Checksums(xxh128=digest), 10, sound=True)


class Gate:
    """Holds the thread, so that what is called meanwhile comes together."""

    def __init__(self) -> None:
        self._go_on = threading.Event()

    def hold(self, _: Index) -> None:
        assert self._go_on.wait(10)

    def open(self) -> None:
        self._go_on.set()


async def test_rows_that_wait_are_one_transaction_and_later_calls_find_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    together: list[int] = []
    real = Index.together

    def counted(index: Index) -> Any:
        together.append(1)
        return real(index)

    monkeypatch.setattr(Index, "together", counted)
    gate, found = Gate(), []

    async def find(database: Database, row: NewRow) -> None:
        found.append(await database.call(Index.find, row.identity, Checksums(), 10))

    async with database_in(tmp_path / "i") as database, trio.open_nursery() as nursery:
        nursery.start_soon(database.call, gate.hold)
        await trio.testing.wait_all_tasks_blocked()
        for number in range(40):
            nursery.start_soon(database.call_behind, Index.admit, [new_row(number)])
        await trio.testing.wait_all_tasks_blocked()
        nursery.start_soon(find, database, new_row(39))
        await trio.testing.wait_all_tasks_blocked()
        gate.open()
    assert found == [Row(new_row(39).digest, 10, proven=True)]
    assert len(together) == 1


async def test_a_row_that_fails_takes_no_other_with_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = Index.admit

    def picky(index: Index, rows: list[NewRow]) -> Any:
        if rows == [new_row(3)]:
            raise sqlite3.OperationalError("database or disk is full")
        return real(index, rows)

    monkeypatch.setattr(Index, "admit", picky)
    failed: list[int] = []
    gate = Gate()

    async def admit(database: Database, number: int) -> None:
        try:
            await database.call_behind(Index.admit, [new_row(number)])
        except IndexUnavailable:
            failed.append(number)

    async with database_in(tmp_path / "i") as database:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(database.call, gate.hold)
            await trio.testing.wait_all_tasks_blocked()
            for number in range(6):
                nursery.start_soon(admit, database, number)
            await trio.testing.wait_all_tasks_blocked()
            gate.open()
        assert failed == [3]
        assert database.rows_lost == 1
        assert (await database.call(Index.current)).files == 5


async def test_s08_a_blob_whose_row_cannot_be_written_is_found_at_the_next_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tier, content = FakeTier(), content_of(KIB)
    revision = tier.add("a", content)

    def full(*_: object) -> None:
        raise sqlite3.OperationalError("database or disk is full")

    async with cache_in(tmp_path / "c") as cache:
        with monkeypatch.context() as patch:
            patch.setattr(Index, "admit", full)
            assert await read_all(cache, tier, revision) == content
            await cache.evict(0)  # waits for what is being written
        assert (cache.stats().files, cache.stats().bytes_reserved) == (0, 0)
    assert not (tmp_path / "c" / "clean").exists()
    async with cache_in(tmp_path / "c") as cache:
        while not cache.stats().files:
            await trio.lowlevel.checkpoint()
        assert await read_all(cache, tier, revision) == content
    assert len(tier.reads) == 1


async def test_a_blob_that_is_dropped_while_its_row_waits_leaves_none(tmp_path: Path) -> None:
    tier = FakeTier()
    revision = tier.add("a", content_of(KIB))
    async with cache_in(tmp_path / "c") as cache:
        gate = Gate()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(cache._holdings.database.call, gate.hold)
            await trio.testing.wait_all_tasks_blocked()
            nursery.start_soon(keep, cache, tier, revision)
            await trio.testing.wait_all_tasks_blocked()
            gate.open()
        digest = digest_bytes(content_of(KIB))
        await cache._evictor.remove([digest])
        assert (await cache._holdings.database.call(Index.current)).files == 0
        assert await read_all(cache, tier, revision) == content_of(KIB)
