"""Data files that the kernel writes by itself: what the spool knows, promises and publishes."""

from __future__ import annotations

import errno
import mmap
import os
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
import trio
from trio.testing import MockClock

from shotfs.errors import OutputBusy, SpoolFull
from shotfs.publish import State, lending
from shotfs.publish.data_files import (
    closed_stamp,
    has_writers,
    lending_obstacle,
    stamp_of,
)
from shotfs.publish.entry import SpoolEntry
from shotfs.publish.spool import Spool
from shotfs.publish.spool_file import SpoolFile
from tests.unit.publish.fakes import Site, breathe, make, read_entry, site_in, spool_in, terms
from tests.unit.publish.lent import (
    PATH,
    data_path,
    data_serials,
    kernel_of,
    make_lent,
    require_lending,
    write_lent,
)


@pytest.fixture(autouse=True)
def spool_that_lends(tmp_path: Path) -> None:
    require_lending(tmp_path)


# --- what is lent --------------------------------------------------------------------------------


async def test_only_a_new_file_is_lent(tmp_path: Path) -> None:
    async with spool_in(tmp_path) as spool:
        file = await make(spool, PATH)
        assert file.lendable()
        reader = await spool.open(file.entry, writable=False)
        assert not reader.lendable()
        await file.flush()
        assert not file.lendable()
        await reader.close()
        await file.close()


async def test_a_file_of_durability_origin_is_never_lent(tmp_path: Path) -> None:
    async with spool_in(tmp_path) as spool:
        file = await make(spool, PATH, durability_origin=True)
        assert not file.lendable()
        await file.close()


async def test_a_file_is_lent_only_with_room_to_spare(tmp_path: Path) -> None:
    async with spool_in(tmp_path, bytes_max=lending.SPARE_BYTES_MIN + 10) as spool:
        first = await make(spool, PATH)
        assert first.lendable()
        await first.write(0, b"eleven bytes")
        second = await make(spool, "show/b.exr")
        assert not second.lendable()
        await first.close()
        await second.close()


async def test_nothing_is_lent_close_to_the_floor_of_the_disk(tmp_path: Path) -> None:
    async with spool_in(tmp_path, free_bytes_min=2**60) as spool:
        file = await make(spool, PATH)
        assert not file.lendable()
        await file.close()


async def test_nothing_is_lent_where_writers_cannot_be_seen(tmp_path: Path) -> None:
    async with spool_in(tmp_path) as spool:
        spool.core.lending.obstacle = "the file system does not tell who has a file open"
        file = await make(spool, PATH)
        assert not file.lendable()
        await file.close()


def test_a_file_system_without_what_lending_needs_is_an_obstacle(tmp_path: Path) -> None:
    assert lending_obstacle(str(tmp_path)) == ""
    assert "lacks leases or extended attributes" in lending_obstacle("/proc")
    assert not list(tmp_path.iterdir())


def test_coarse_times_are_an_obstacle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.stat(tmp_path)
    monkeypatch.setattr(os, "stat", lambda *_arguments, **_keywords: real)
    assert "too coarse" in lending_obstacle(str(tmp_path))


def test_who_can_write_is_seen_also_through_a_mapping(tmp_path: Path) -> None:
    path = str(tmp_path / "data")
    with open(path, "w+b") as file:
        file.write(bytes(4096))
        file.flush()
        assert has_writers(path)
        mapping = mmap.mmap(file.fileno(), 4096)
    assert has_writers(path)
    mapping.close()
    assert not has_writers(path)
    with open(path, "rb"):
        assert not has_writers(path)


# --- while it is lent ----------------------------------------------------------------------------


async def test_size_and_time_are_those_of_the_data_file(tmp_path: Path) -> None:
    async with spool_in(tmp_path) as spool:
        file = await make_lent(spool)
        with kernel_of(spool, file) as kernel:
            for content in (b"half", b"half and whole"):
                kernel.write(content)
                spool.measure(file.entry)
                stamp = file.entry.size_bytes, file.entry.mtime_ns
                assert stamp == stamp_of(data_path(spool, file.entry))
                assert spool.used_bytes == len(content)
        await file.close()


async def test_s04_what_was_written_past_the_spool_is_closed_and_published(tmp_path: Path) -> None:
    async with site_in(tmp_path) as site:
        entry = await write_lent(site.spool, b"whole")
        assert (entry.clean, entry.lent, len(site.spool.core.lending)) == (True, 0, 0)
        await site.until_empty()
        assert site.tier.content("a.exr") == b"whole"
        assert site.spool.used_bytes == 0


async def test_an_empty_lent_file_is_published_too(tmp_path: Path) -> None:
    async with site_in(tmp_path) as site:
        await write_lent(site.spool, b"")
        await site.until_empty()
        assert site.tier.content("a.exr") == b""


async def test_a_flush_says_whether_anything_was_written(tmp_path: Path) -> None:
    async with spool_in(tmp_path) as spool:
        file = await make_lent(spool)
        assert not await file.flush()
        with kernel_of(spool, file) as kernel:
            kernel.write(b"x")
            assert await file.flush()
            assert not await file.flush()
            kernel.write(b"y")  # as long as before
            assert await file.flush()
        await file.close()


async def test_the_journal_says_what_was_flushed(tmp_path: Path) -> None:
    async with spool_in(tmp_path) as spool:
        file = await make_lent(spool, grace_s=1e9)
        with kernel_of(spool, file) as kernel:
            kernel.write(b"whole")
            await file.flush()
        path = data_path(spool, file.entry)
        assert closed_stamp(path) == stamp_of(path)
        await file.close()
    async with spool_in(tmp_path) as spool:
        entry = spool.get(PATH)
        assert entry is not None
        assert (entry.size_bytes, entry.clean, entry.state) == (5, True, State.OPEN)


async def test_fsync_does_not_say_that_it_is_closed(tmp_path: Path) -> None:
    async with spool_in(tmp_path) as spool:
        file = await make_lent(spool)
        with kernel_of(spool, file) as kernel:
            kernel.write(b"half")
            await file.fsync()
        assert (file.entry.clean, file.entry.closed_once) == (False, False)
        assert closed_stamp(data_path(spool, file.entry)) is None
        await file.abandon()
    async with spool_in(tmp_path) as spool:
        (kept,) = spool.aside()
        assert await read_entry(spool, kept) == b"half"


async def test_a_time_that_was_set_holds_until_the_next_write(tmp_path: Path) -> None:
    async with spool_in(tmp_path) as spool:
        file = await make_lent(spool)
        with kernel_of(spool, file) as kernel:
            kernel.write(b"x")
            await spool.set_attributes(file.entry, mtime_ns=10**18)
            spool.measure(file.entry)
            assert file.entry.mtime_ns == 10**18
            await file.flush()
            assert file.entry.mtime_ns == 10**18
            kernel.write(b"y")
            spool.measure(file.entry)
            assert file.entry.mtime_ns != 10**18
        await file.close()


async def test_truncating_keeps_size_and_account(tmp_path: Path) -> None:
    async with spool_in(tmp_path) as spool:
        file = await make_lent(spool)
        with kernel_of(spool, file) as kernel:
            kernel.write(b"0123456789")
            await file.truncate(4)
            assert (file.entry.size_bytes, spool.used_bytes) == (4, 4)
            kernel.write(b"ab", 4)
            spool.measure(file.entry)
            assert (file.entry.size_bytes, spool.used_bytes) == (6, 6)
            await spool.truncate(file.entry, 2)  # by its path, through a handle of its own
            assert (file.entry.size_bytes, spool.used_bytes) == (2, 2)
        await file.close()
        assert await read_entry(spool, file.entry) == b"01"


async def test_an_append_beside_a_truncate_is_not_forgotten(tmp_path: Path) -> None:
    async with spool_in(tmp_path) as spool:
        file = await make_lent(spool)
        with kernel_of(spool, file) as kernel:
            kernel.write(b"0123456789")
            await file.truncate(0)
            kernel.write(b"abc")  # before anybody looked
            spool.core.lending.restamp(file.entry)
            assert (file.entry.size_bytes, spool.used_bytes) == (3, 3)
            await file.flush()
        await file.close()


async def test_unlinked_while_lent_it_goes_with_its_last_handle(tmp_path: Path) -> None:
    async with site_in(tmp_path) as site:
        file = await make_lent(site.spool)
        with kernel_of(site.spool, file) as kernel:
            kernel.write(b"gone")
            await file.flush()
            await site.spool.unlink(PATH)
            kernel.write(b"gone for good")
            await file.flush()
        await file.close()
        assert site.spool.used_bytes == 0
        assert file.entry.serial not in data_serials(site.spool)
        assert not site.tier.puts


async def test_renamed_while_lent_it_is_published_under_its_new_name(tmp_path: Path) -> None:
    async with site_in(tmp_path) as site:
        file = await make_lent(site.spool, "show/a.tmp", scratch=True)
        with kernel_of(site.spool, file) as kernel:
            kernel.write(b"wh")
            await site.spool.rename("show/a.tmp", PATH, terms("a.exr"))
            kernel.write(b"whole")
            await file.flush()
        await file.close()
        await site.until_empty()
        assert site.tier.content("a.exr") == b"whole"


async def test_renamed_to_durability_origin_its_close_fails_and_it_is_published_later(
    tmp_path: Path,
) -> None:
    async with site_in(tmp_path) as site:
        file = await make_lent(site.spool, "show/a.tmp", scratch=True)
        with kernel_of(site.spool, file) as kernel:
            kernel.write(b"whole")
            await site.spool.rename("show/a.tmp", PATH, terms("a.exr", durability_origin=True))
            assert await file.flush()
            with pytest.raises(OutputBusy) as caught:
                await site.publisher.publish_now(file.entry)
            assert caught.value.errno == errno.EBUSY
        await file.close()
        await site.until_empty()
        assert site.tier.content("a.exr") == b"whole"


async def test_it_is_sealed_after_the_last_of_several_handles(tmp_path: Path) -> None:
    async with site_in(tmp_path) as site:
        first = await make_lent(site.spool)
        second = await site.spool.open(first.entry, writable=True)
        second.lend()
        reader = await site.spool.open(first.entry, writable=False)
        reader.lend()
        with kernel_of(site.spool, first) as kernel:
            kernel.write(b"wh")
            await first.flush()
            await first.close()
            kernel.write(b"whole")
            assert first.entry.lent == 2
            assert not await reader.flush()
            await reader.close()
            await second.flush()
        assert not site.tier.puts
        await second.close()
        await site.until_empty()
        assert site.tier.content("a.exr") == b"whole"


async def test_a_writer_that_joins_a_sealed_file_has_it_published_anew(tmp_path: Path) -> None:
    async with site_in(tmp_path) as site:
        file = await make_lent(site.spool, immutable=False)
        reader = await site.spool.open(file.entry, writable=False)
        reader.lend()
        with kernel_of(site.spool, file) as kernel:
            kernel.write(b"one")
            await file.flush()
        await file.close()
        await site.until(lambda: site.published)
        assert file.entry.state is State.PUBLISHED
        # The inode is still open passthrough, so the kernel makes every other open so, too.
        writer = await site.spool.open(file.entry, writable=True)
        writer.lend()
        assert file.entry.state is State.OPEN
        with kernel_of(site.spool, writer) as kernel:
            kernel.write(b"two!")
            assert await writer.flush()
        await writer.close()
        await reader.close()
        await site.until_empty()
        assert site.tier.content("a.exr") == b"two!"


# --- the watcher ---------------------------------------------------------------------------------


def is_writing(spool: Spool, entry: SpoolEntry) -> bool:
    """What the journal says. For any thread."""
    with closing(sqlite3.connect(os.path.join(spool.directory, "journal.sqlite"))) as connection:
        query = "SELECT writing FROM entries WHERE serial = ?"
        return bool(connection.execute(query, (entry.serial,)).fetchone()[0])


async def test_s05_the_journal_learns_that_a_closed_file_is_written_again(
    tmp_path: Path, mock_clock: MockClock
) -> None:
    async with site_in(tmp_path, run=False) as site, trio.open_nursery() as nursery:
        nursery.start_soon(site.spool.watch_lent)
        file = await make_lent(site.spool)
        with kernel_of(site.spool, file) as kernel:
            kernel.write(b"whole")
            await file.flush()  # one of two descriptors
            entry = file.entry
            assert not await trio.to_thread.run_sync(is_writing, site.spool, entry)
            kernel.write(b"W")
            await site.until_passed(mock_clock, lambda: not entry.clean)
            while not await trio.to_thread.run_sync(is_writing, site.spool, entry):
                await breathe()
            await file.flush()
            assert not await trio.to_thread.run_sync(is_writing, site.spool, entry)
        await file.close()
        nursery.cancel_scope.cancel()


async def test_s05_a_second_close_is_not_recorded_before_its_bytes_are_on_the_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with spool_in(tmp_path) as spool:
        file = await make_lent(spool)
        with kernel_of(spool, file) as kernel:
            kernel.write(b"whole")
            await file.flush()
            kernel.write(b"again")
            said: list[bool] = []
            fsync = os.fsync

            def look(descriptor: int) -> None:
                said.append(is_writing(spool, file.entry))
                fsync(descriptor)

            monkeypatch.setattr(os, "fsync", look)
            await file.flush()
            monkeypatch.undo()
            assert said[0] is True
            assert not await trio.to_thread.run_sync(is_writing, spool, file.entry)
        await file.close()


async def test_a_flush_during_which_the_kernel_writes_does_not_close_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with spool_in(tmp_path) as spool:
        file = await make_lent(spool)
        with kernel_of(spool, file) as kernel:
            kernel.write(b"one")
            fsync = os.fsync

            def meanwhile(descriptor: int) -> None:
                fsync(descriptor)
                kernel.write(b"three")

            monkeypatch.setattr(os, "fsync", meanwhile)
            await file.flush()
            monkeypatch.undo()
            assert (file.entry.clean, file.entry.closed_once) == (False, True)
            assert await trio.to_thread.run_sync(is_writing, spool, file.entry)
            assert await file.flush()
            assert file.entry.clean
        await file.close()


@pytest.fixture
def full_disk(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Free bytes that lending finds; empty: as many as there are."""
    free: list[int] = []
    real = lending.Lending._free_bytes

    def free_bytes(self: lending.Lending) -> int:
        return free[0] if free else real(self)

    monkeypatch.setattr(lending.Lending, "_free_bytes", free_bytes)
    monkeypatch.setattr(lending, "FREE_KEPT_S", -1.0)
    return free


async def check_not_published(site: Site, file: SpoolFile) -> None:
    with pytest.raises(SpoolFull) as caught:
        await file.flush()
    assert caught.value.errno == errno.ENOSPC
    await file.close()
    assert file.entry.state is State.FAILED
    (item,) = await site.publisher.drain(1.0)
    assert "not whole" in str(item.error)
    assert not site.tier.puts


async def test_s05_close_fails_on_a_full_disk_and_nothing_is_published(
    tmp_path: Path, full_disk: list[int]
) -> None:
    """Of an application that ignores ENOSPC of its writes."""
    async with site_in(tmp_path) as site:
        file = await make_lent(site.spool)
        with kernel_of(site.spool, file) as kernel:
            kernel.write(b"stump")
            full_disk.append(lending.FLOOR_BYTES - 1)
            await check_not_published(site, file)


async def test_s05_a_disk_that_was_full_for_a_moment_is_remembered(
    tmp_path: Path, full_disk: list[int], mock_clock: MockClock
) -> None:
    async with site_in(tmp_path) as site, trio.open_nursery() as nursery:
        nursery.start_soon(site.spool.watch_lent)
        file = await make_lent(site.spool)
        with kernel_of(site.spool, file) as kernel:
            kernel.write(b"stump")
            full_disk.append(0)
            await site.until_passed(mock_clock, lambda: file.entry.damaged is not None)
            full_disk.clear()
            await check_not_published(site, file)
        nursery.cancel_scope.cancel()


async def test_the_watcher_outlives_a_journal_that_fails(
    tmp_path: Path, mock_clock: MockClock
) -> None:
    async with site_in(tmp_path, run=False) as site, trio.open_nursery() as nursery:
        failed = trio.Event()

        async def writing_again(_entry: SpoolEntry) -> None:
            failed.set()
            raise SpoolFull("the journal")

        nursery.start_soon(site.spool.core.lending.run, writing_again, site.spool.core.damage)
        file = await make_lent(site.spool)
        with kernel_of(site.spool, file) as kernel:
            kernel.write(b"whole")
            await file.flush()
            kernel.write(b"again")
            await site.until_passed(mock_clock, failed.is_set)
            kernel.write(b"longer")
            await site.until_passed(mock_clock, lambda: file.entry.size_bytes == 6)
        await file.close()
        nursery.cancel_scope.cancel()
