"""Data files that the kernel writes by itself: what the spool knows, promises and publishes.

The kernel's part is played by a descriptor of the data file that writes without asking the spool,
which is all that FUSE passthrough is.
"""

from __future__ import annotations

import errno
import mmap
import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
import trio
from trio.testing import MockClock

from shotfs.errors import OutputBusy, ShotfsError, SpoolFull
from shotfs.publish import State, lending
from shotfs.publish.core import WRITTEN_ON
from shotfs.publish.data_files import (
    CLOSED_ATTRIBUTE,
    closed_stamp,
    has_writers,
    lending_obstacle,
    stamp_of,
)
from shotfs.publish.entry import SpoolEntry
from shotfs.publish.spool import Spool
from shotfs.publish.spool_file import SpoolFile
from tests.unit.publish.fakes import Site, breathe, make, read_entry, site_in, spool_in, terms

PATH = "show/a.exr"


@pytest.fixture(autouse=True)
def spool_that_lends(tmp_path: Path) -> None:
    """Skip where nothing is ever lent: an old kernel, or a simple file system."""
    if obstacle := lending_obstacle(str(tmp_path)):
        pytest.skip(obstacle)


def data_path(spool: Spool, entry: SpoolEntry) -> str:
    return spool.core.data_path(entry)


def data_serials(spool: Spool) -> set[int]:
    """Serials of the data files that are there."""
    return {int(name) for name in os.listdir(os.path.join(spool.directory, "files"))}


class Kernel:
    """Writes a data file by itself, for as long as it has it open."""

    def __init__(self, spool: Spool, file: SpoolFile) -> None:
        self.descriptor = os.open(data_path(spool, file.entry), os.O_RDWR)

    def write(self, content: bytes, offset: int = 0) -> None:
        assert os.pwrite(self.descriptor, content, offset) == len(content)

    def close(self) -> None:
        if self.descriptor >= 0:
            os.close(self.descriptor)
        self.descriptor = -1


@contextmanager
def kernel_of(spool: Spool, file: SpoolFile) -> Iterator[Kernel]:
    kernel = Kernel(spool, file)
    try:
        yield kernel
    finally:
        kernel.close()


async def make_lent(spool: Spool, path: str = PATH, **changes: object) -> SpoolFile:
    """Create a file as an application does whose writes the kernel keeps to itself."""
    file = await make(spool, path, **changes)
    assert file.lendable()
    file.lend()
    return file


async def write_lent(
    spool: Spool, content: bytes, path: str = PATH, **changes: object
) -> SpoolEntry:
    """Create, write past the spool, flush, close."""
    file = await make_lent(spool, path, **changes)
    with kernel_of(spool, file) as kernel:
        kernel.write(content)
        await file.flush()
    await file.close()
    return file.entry


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


# --- who still can write after the close ---------------------------------------------------------


async def test_s05_what_is_mapped_is_not_sealed_before_it_is_unmapped(
    tmp_path: Path, mock_clock: MockClock
) -> None:
    async with site_in(tmp_path) as site:
        file = await make_lent(site.spool)
        with kernel_of(site.spool, file) as kernel:
            kernel.write(bytes(4096))
            mapping = mmap.mmap(kernel.descriptor, 4096)
            await file.flush()
        await file.close()
        entry = file.entry
        await site.until(lambda: entry.error is not None)
        assert "open or mapped for writing" in str(entry.error)
        (item,) = await site.publisher.drain(0.0)
        assert (item.state, item.error) == (State.OPEN, entry.error)
        mapping[:5] = b"whole"
        mapping.close()
        await site.until_passed(mock_clock, site.empty)
        assert site.tier.content("a.exr") == b"whole" + bytes(4091)


async def leave_written_on(directory: Path, how: str, **changes: object) -> None:
    """Close a file and have somebody write on after the service is gone."""
    async with spool_in(directory) as spool:
        file = await make_lent(spool, **changes)
        kernel = Kernel(spool, file)
        kernel.write(b"closed")
        await file.flush()
        await file.abandon()
    kernel.write(b"C" if how == "in place" else b"closed and more")
    kernel.close()


@pytest.mark.parametrize("how", ["in place", "appended"])
async def test_s05_a_closed_file_that_is_written_after_a_crash_is_kept_aside(
    tmp_path: Path, how: str
) -> None:
    await leave_written_on(tmp_path, how)
    for _ in range(2):
        async with site_in(tmp_path) as site:
            (kept,) = site.spool.aside()
            assert (kept.state, kept.error) == (State.FAILED, WRITTEN_ON)
            await site.publisher.drain(1.0)
            assert not site.tier.puts


@pytest.mark.parametrize("how", ["in place", "appended"])
async def test_s05_a_mutable_one_keeps_its_name_and_is_not_published(
    tmp_path: Path, how: str
) -> None:
    await leave_written_on(tmp_path, how, immutable=False)
    for _ in range(2):
        async with site_in(tmp_path) as site:
            entry = site.spool.get(PATH)
            assert entry is not None
            await site.publisher.drain(1.0)
            assert not site.tier.puts
    async with site_in(tmp_path) as site:
        entry = site.spool.get(PATH)
        assert entry is not None
        file = await site.spool.open(entry, writable=True)
        await file.write(0, b"again")
        await file.flush()
        await file.close()
        await site.until_empty()
        assert site.tier.content("a.exr").startswith(b"again")


async def test_s05_who_outlives_the_service_holds_the_seal_back(
    tmp_path: Path, mock_clock: MockClock
) -> None:
    async with spool_in(tmp_path) as spool:
        file = await make_lent(spool)
        kernel = Kernel(spool, file)
        kernel.write(b"closed")
        await file.flush()
        await file.abandon()
    async with site_in(tmp_path) as site:
        entry = site.spool.get(PATH)
        assert entry is not None
        await site.until(lambda: entry.error is not None)
        assert not site.tier.puts
        kernel.close()
        await site.until_passed(mock_clock, site.empty)
        assert site.tier.content("a.exr") == b"closed"


async def test_s05_who_outlives_the_service_and_writes_spoils_what_was_closed(
    tmp_path: Path, mock_clock: MockClock
) -> None:
    async with spool_in(tmp_path) as spool:
        file = await make_lent(spool)
        kernel = Kernel(spool, file)
        kernel.write(b"closed")
        await file.flush()
        await file.abandon()
    async with site_in(tmp_path) as site:
        entry = site.spool.get(PATH)
        assert entry is not None
        kernel.write(b"C")
        kernel.close()
        await site.until_passed(mock_clock, lambda: entry.error == WRITTEN_ON)
        (item,) = await site.publisher.drain(1.0)
        assert item.state is State.OPEN
        assert not site.tier.puts
    async with spool_in(tmp_path) as spool:
        (kept,) = spool.aside()
        assert await read_entry(spool, kept) == b"Closed"


async def test_s05_a_lent_file_that_is_abandoned_is_never_published(tmp_path: Path) -> None:
    async with site_in(tmp_path) as site:
        file = await make_lent(site.spool)
        with kernel_of(site.spool, file) as kernel:
            kernel.write(b"half")
            await file.abandon()
        assert (file.entry.lent, file.entry.half_written) == (0, True)
        await site.publisher.drain(1.0)
        assert not site.tier.puts


async def test_s05_a_crash_before_the_first_close_keeps_what_was_written(tmp_path: Path) -> None:
    async with spool_in(tmp_path) as spool:
        file = await make_lent(spool)
        kernel = Kernel(spool, file)
        kernel.write(b"half")
    async with spool_in(tmp_path) as spool:
        (kept,) = spool.aside()
        kernel.write(b"half and more")  # whoever has it open goes on; it moved
        kernel.close()
        assert kept.state is State.FAILED
    async with site_in(tmp_path) as site:
        (kept,) = site.spool.aside()
        assert await read_entry(site.spool, kept) == b"half and more"
        assert not site.tier.puts


async def test_a_writer_that_is_not_lent_keeps_its_times(tmp_path: Path) -> None:
    """Of a file that was lent before: what it writes comes by here again."""
    async with spool_in(tmp_path) as spool:
        entry = await write_lent(spool, b"one", immutable=False, grace_s=1e9)
        file = await spool.open(entry, writable=True)
        await file.write(0, b"three")
        await spool.set_attributes(entry, mtime_ns=10**18)
        await file.flush()
        await file.close()
        path = data_path(spool, entry)
        assert (entry.mtime_ns, entry.size_bytes, spool.used_bytes) == (10**18, 5, 5)
        assert closed_stamp(path) == stamp_of(path)


async def test_a_stamp_that_nobody_can_read_is_none(tmp_path: Path) -> None:
    path = tmp_path / "data"
    path.touch()
    os.setxattr(path, CLOSED_ATTRIBUTE, b"what")
    assert closed_stamp(str(path)) is None


async def test_a_data_file_that_cannot_be_asked_about_is_not_sealed(tmp_path: Path) -> None:
    async with spool_in(tmp_path) as spool:
        entry = await write_lent(spool, b"whole")
        os.unlink(data_path(spool, entry))
        with pytest.raises(ShotfsError, match="cannot be sealed"):
            await spool.core.seal(entry)
