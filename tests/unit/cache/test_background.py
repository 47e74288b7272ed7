"""What goes wrong in the background ends no mount, and leaves the accounts right."""

from __future__ import annotations

import errno
import os
import shutil
import sqlite3
from pathlib import Path
from typing import Any

import pytest
import trio
import trio.testing

from shotfs.cache.access import Fill
from shotfs.cache.blobs import BlobStore
from shotfs.cache.database import Database, IndexUnavailable
from shotfs.cache.evictor import FLOOR_INTERVAL_S, EvictionResult
from shotfs.cache.index import Index, Totals
from shotfs.digest import digest_bytes
from shotfs.errors import CacheError
from shotfs.tiers.base import Span
from tests.unit.cache.fakes import (
    KIB,
    MIB,
    FakeTier,
    cache_in,
    closed_down_to,
    content_of,
    keep,
    open_descriptors,
    read_all,
    settled,
)
from tests.unit.cache.small_tier import SmallTier
from tests.unit.cache.test_database import Gate, new_row, open_index


@pytest.fixture
def tier() -> FakeTier:
    return FakeTier()


def damaged(*_: Any) -> None:
    raise sqlite3.DatabaseError("database disk image is malformed")


def full(*_: Any, **__: Any) -> Any:
    raise sqlite3.OperationalError("database or disk is full")


async def test_an_index_that_proves_damaged_among_rows_behind_is_rebuilt_as_any(
    tmp_path: Path,
) -> None:
    rebuilds: list[int] = []
    database = Database(
        lambda: open_index(tmp_path / "i"),
        lambda: shutil.move(tmp_path / "i", tmp_path / "aside") and "aside",
        lambda: rebuilds.append(1),
    )
    calls = [damaged]

    def hurt(index: Index) -> None:
        if calls:
            calls.pop()()

    await database.start()
    gate = Gate()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(database.call, gate.hold)
        await trio.testing.wait_all_tasks_blocked()
        nursery.start_soon(database.call_behind, hurt)
        nursery.start_soon(database.call_behind, Index.admit, [new_row(1)])
        await trio.testing.wait_all_tasks_blocked()
        gate.open()
    assert (await database.call(Index.current)).files == 1
    assert rebuilds == [1]
    await database.aclose()


async def test_a_damaged_index_on_a_full_disk_is_unavailable_and_no_other_error(
    tmp_path: Path,
) -> None:
    opened: list[int] = []

    def open_once() -> Index:
        opened.append(1)
        if len(opened) > 1:
            raise CacheError("cannot open the index of the cache: database or disk is full")
        return open_index(tmp_path / "i")

    database = Database(open_once, lambda: "aside", lambda: None)
    await database.start()
    with pytest.raises(IndexUnavailable):
        await database.call(damaged)
    with pytest.raises(IndexUnavailable):
        await database.call(Index.current)
    await database.aclose()


async def test_a_row_that_fails_in_an_unforeseen_way_does_not_end_the_thread(
    tmp_path: Path,
) -> None:
    def strange(_: Index) -> None:
        raise OverflowError("Python int too large to convert to SQLite INTEGER")

    database = Database(lambda: open_index(tmp_path / "i"), lambda: "aside", lambda: None)
    await database.start()
    gate = Gate()

    async def behind() -> None:
        with pytest.raises(OverflowError):
            await database.call_behind(strange)

    with trio.fail_after(10):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(database.call, gate.hold)
            await trio.testing.wait_all_tasks_blocked()
            nursery.start_soon(behind)
            nursery.start_soon(database.call_behind, Index.admit, [new_row(1)])
            await trio.testing.wait_all_tasks_blocked()
            gate.open()
        assert (await database.call(Index.current)).files == 1
    await database.aclose()


async def test_totals_of_a_damaged_index_that_come_late_do_not_stay(
    tier: FakeTier, tmp_path: Path
) -> None:
    async with cache_in(tmp_path) as cache:
        await keep(cache, tier, tier.add("f", content_of(3 * KIB)))
        holdings = cache._holdings
        holdings._replaced()
        holdings.count(Totals(bytes=7, files=7, serial=10**9))
        with trio.fail_after(10):
            while cache.stats().files != 1:
                await trio.lowlevel.checkpoint()


def no_disk(*_: Any) -> Any:
    raise OSError(errno.EIO, "the disk is gone")


async def test_s07_a_scan_that_the_disk_fails_ends_no_mount(
    tier: FakeTier, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(BlobStore, "subdirectories", no_disk)
    async with cache_in(tmp_path) as cache:
        await trio.testing.wait_all_tasks_blocked(0.05)
        revision = tier.add("f", content_of(3 * KIB))
        assert await read_all(cache, tier, revision) == content_of(3 * KIB)
    assert not (tmp_path / "clean").exists()  # the next start scans


async def test_s07_a_disk_that_cannot_say_what_is_free_ends_no_mount(
    tier: FakeTier, tmp_path: Path, mock_clock: trio.testing.MockClock
) -> None:
    async with cache_in(tmp_path, free_bytes_min=KIB) as cache:
        revision = tier.add("f", content_of(3 * KIB))
        await keep(cache, tier, revision)
        free_bytes, cache._room.free_bytes = cache._room.free_bytes, no_disk
        mock_clock.jump(2 * FLOOR_INTERVAL_S)
        await trio.testing.wait_all_tasks_blocked()
        assert await read_all(cache, tier, revision) == content_of(3 * KIB)
        cache._room.free_bytes = free_bytes


async def test_s08_blobs_that_cannot_leave_the_index_hold_nobody_up(
    tier: FakeTier, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with cache_in(tmp_path, bytes_max=4 * KIB) as cache:
        await keep(cache, tier, tier.add("a", content_of(3 * KIB)))
        monkeypatch.setattr(Index, "remove", full)
        with trio.fail_after(10):
            content = content_of(3 * KIB, 1)
            assert await read_all(cache, tier, tier.add("b", content)) == content


async def test_a_blob_that_is_dropped_under_two_names_is_dropped_once(
    tier: FakeTier, tmp_path: Path
) -> None:
    async with cache_in(tmp_path) as cache:
        revision = tier.add("f", content_of(3 * KIB))
        await keep(cache, tier, revision)
        digest = await cache.digest_of(revision)
        assert digest is not None
        assert await cache.drop([digest, digest]) == [digest]
        assert cache.stats().files == 0


async def test_s08_a_file_whose_row_cannot_be_written_is_not_adopted_and_stays_where_it_was(
    tier: FakeTier, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = content_of(3 * KIB)
    spool, revision = tmp_path / "out.exr", tier.add("out", content)
    spool.write_bytes(content)
    async with cache_in(tmp_path / "c") as cache:
        await keep(cache, tier, tier.add("other", content_of(KIB)))
        while cache._holdings.rebuilds_unfinished:
            await trio.lowlevel.checkpoint()
        monkeypatch.setattr(Index, "admit", full)
        assert not await cache.adopt(str(spool), digest_bytes(content), 3 * KIB, revision)
        assert spool.read_bytes() == content
        assert not cache._blobs.exists(digest_bytes(content))
        assert cache.stats().bytes_reserved == 0
        monkeypatch.undo()
        assert await cache.adopt(str(spool), digest_bytes(content), 3 * KIB, revision)
        assert not spool.exists()
        assert (cache.stats().files, cache.stats().bytes) == (2, 4 * KIB)


def on_another_disk(directory: Path) -> Path:
    shared = Path("/dev/shm")
    if not shared.is_dir() or shared.stat().st_dev == directory.stat().st_dev:
        pytest.skip("there is no other file system to copy from")
    return shared / f"shotfs-test-{os.getpid()}.exr"


async def test_s08_a_copy_whose_row_cannot_be_written_leaves_nothing_behind(
    tier: FakeTier, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = content_of(3 * KIB)
    spool, revision = on_another_disk(tmp_path), tier.add("out", content)
    spool.write_bytes(content)
    try:
        async with cache_in(tmp_path / "c") as cache:
            monkeypatch.setattr(Index, "admit", full)
            assert not await cache.adopt(str(spool), digest_bytes(content), 3 * KIB, revision)
            assert spool.read_bytes() == content
            assert not cache._blobs.exists(digest_bytes(content))
            assert list((tmp_path / "c/partials").iterdir()) == []
    finally:
        spool.unlink()


async def test_s08_a_blob_that_cannot_be_unlinked_goes_on_being_counted(
    tier: FakeTier, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    contents = [content_of(3 * KIB), content_of(KIB, 1)]
    async with cache_in(tmp_path) as cache:
        revisions = [tier.add(str(at), one) for at, one in enumerate(contents)]
        for revision in revisions:
            await keep(cache, tier, revision)
        while cache._holdings.rebuilds_unfinished:
            await trio.lowlevel.checkpoint()
        monkeypatch.setattr(BlobStore, "remove", no_disk)
        assert await cache.drop([digest_bytes(contents[0])]) == []
        assert (cache.stats().files, cache.stats().bytes) == (2, 4 * KIB)
        assert await cache.evict() == EvictionResult(0, 0)
        assert await cache._evictor.remove([digest_bytes(contents[1])]) == EvictionResult(0, 0)
        assert (cache.stats().files, cache.stats().bytes) == (2, 4 * KIB)
        # It may be bad, so it is hashed before it is served; what is good needs no fetch.
        tier.reads.clear()
        assert await read_all(cache, tier, revisions[0]) == contents[0]
        assert not tier.reads
    async with cache_in(tmp_path) as cache:
        assert (cache.stats().files, cache.stats().bytes) == (2, 4 * KIB)
        monkeypatch.undo()
        assert await cache.evict() == EvictionResult(2, 4 * KIB)
        assert (cache.stats().files, cache.stats().bytes) == (0, 0)


async def test_s08_a_blob_that_can_neither_be_unlinked_nor_counted_is_found_by_the_next_start(
    tier: FakeTier, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with cache_in(tmp_path) as cache:
        await keep(cache, tier, tier.add("a", content_of(3 * KIB)))
        while cache._holdings.rebuilds_unfinished:
            await trio.lowlevel.checkpoint()
        monkeypatch.setattr(BlobStore, "remove", no_disk)
        monkeypatch.setattr(Index, "adopt_found", full)
        await cache.drop([digest_bytes(content_of(3 * KIB))])
        assert cache.stats().files == 0
    monkeypatch.undo()
    async with cache_in(tmp_path) as cache:
        with trio.fail_after(10):
            while cache.stats().files != 1:
                await trio.lowlevel.checkpoint()


async def test_s07_a_disk_that_cannot_say_what_is_free_leaves_no_partial_open(
    tier: FakeTier, tmp_path: Path
) -> None:
    content = content_of(40 * MIB)
    revision = tier.add("f", content)
    async with cache_in(tmp_path, free_bytes_min=KIB) as cache:
        file = await cache.open(tier, revision, fill=Fill.RANGES)
        await file.read(Span(0, 10))
        file.close()
        await settled(cache)
        assert (await cache.status_of(revision)).state == "partial"
        free_bytes, cache._room.free_bytes = cache._room.free_bytes, no_disk
        before = open_descriptors()
        file = await cache.open(tier, revision, fill=Fill.WHOLE)
        assert await file.read(Span(0, 10)) == content[:10]
        file.close()
        cache._room.free_bytes = free_bytes
        await settled(cache)
        await closed_down_to(before)


@pytest.mark.parametrize("batched", [False, True])
async def test_s07_a_revision_that_was_linked_without_a_fetch_is_known_to_a_rebuilt_index(
    tmp_path: Path, *, batched: bool
) -> None:
    tier = SmallTier()
    content = content_of(3 * KIB)
    first, copy = tier.add("first", content), tier.add("copy", content)
    blob = tmp_path / "blobs" / digest_bytes(content)[:2] / digest_bytes(content)
    async with cache_in(tmp_path) as cache:
        await keep(cache, tier, first)
        tier.reads.clear()
        if batched:
            await cache.fetch(tier, copy)
        else:
            assert await read_all(cache, tier, copy) == content
        assert not tier.reads
        assert not tier.batches
        with trio.fail_after(10):
            while len(cache._blobs.origins(digest_bytes(content))) != 2:
                await trio.lowlevel.checkpoint()
    assert blob.stat().st_mode & 0o777 == 0o400
    shutil.rmtree(tmp_path / "index")
    async with cache_in(tmp_path) as cache:
        with trio.fail_after(10):
            while cache._holdings.rebuilds_unfinished:
                await trio.lowlevel.checkpoint()
        for revision in (first, copy):
            assert await cache.digest_of(revision) == digest_bytes(content)
