"""Who still can write a lent file after its close, and after the service is gone."""

from __future__ import annotations

import mmap
import os
from pathlib import Path

import pytest
from trio.testing import MockClock

from shotfs.errors import ShotfsError
from shotfs.publish import State
from shotfs.publish.core import WRITTEN_ON
from shotfs.publish.data_files import (
    CLOSED_ATTRIBUTE,
    closed_stamp,
    stamp_of,
)
from tests.unit.publish.fakes import read_entry, site_in, spool_in
from tests.unit.publish.lent import (
    PATH,
    Kernel,
    data_path,
    kernel_of,
    make_lent,
    require_lending,
    write_lent,
)


@pytest.fixture(autouse=True)
def spool_that_lends(tmp_path: Path) -> None:
    require_lending(tmp_path)


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
