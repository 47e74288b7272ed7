"""A crash while a file that was closed before is written again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from shotfs.publish import State
from tests.unit.publish.fakes import breathe, make, read_entry, site_in, spool_in, write_file

PATH = "show/render.log"


async def leave_unfinished(directory: Path, **changes: Any) -> None:
    """Close a file, append to it, and end as by kill -9."""
    async with spool_in(directory) as spool:
        entry = await write_file(spool, PATH, b"closed", **changes)
        file = await spool.open(entry, writable=True)
        await file.write(6, b", half")


@pytest.mark.parametrize("scratch", [False, True])
async def test_s05_a_crash_in_an_append_leaves_a_mutable_file_under_its_name(
    tmp_path: Path, *, scratch: bool
) -> None:
    await leave_unfinished(tmp_path, immutable=False, scratch=scratch)
    for _ in range(2):
        async with spool_in(tmp_path) as spool:
            entry = spool.get(PATH)
            assert entry is not None
            assert entry.state is State.OPEN
            assert await read_entry(spool, entry) == b"closed, half"
            assert not list(spool.aside())
            assert spool.used_bytes == 12


async def test_s05_what_is_half_written_is_published_when_it_is_closed_again(
    tmp_path: Path,
) -> None:
    await leave_unfinished(tmp_path, immutable=False)
    async with site_in(tmp_path) as site:
        (item,) = await site.publisher.drain(1.0)
        assert (item.path, item.state) == (PATH, State.OPEN)
        assert "opens it for writing and closes it" in (item.error or "")
        assert not site.tier.puts
        entry = site.spool.get(PATH)
        assert entry is not None
        file = await site.spool.open(entry, writable=True)
        await file.write(12, b" and whole")
        assert await file.flush()
        await file.close()
        await site.until_empty()
        assert site.tier.content("render.log") == b"closed, half and whole"


async def test_s05_a_second_crash_right_after_the_close_loses_nothing(tmp_path: Path) -> None:
    await leave_unfinished(tmp_path, immutable=False)
    async with spool_in(tmp_path) as spool:
        entry = spool.get(PATH)
        assert entry is not None
        await (await spool.open(entry, writable=True)).flush()
    async with site_in(tmp_path) as site:
        await site.until_empty()
        assert site.tier.content("render.log") == b"closed, half"


async def test_s05_an_immutable_file_that_was_closed_once_stays_aside_for_ever(
    tmp_path: Path,
) -> None:
    await leave_unfinished(tmp_path)
    for _ in range(2):
        async with site_in(tmp_path) as site:
            (kept,) = site.spool.aside()
            assert kept.closed_once
            assert await read_entry(site.spool, kept) == b"closed, half"
            await site.spool.expire(before_ns=2**62)
            assert list(site.spool.aside()) == [kept]


async def test_a_file_that_was_only_synced_was_never_closed(tmp_path: Path) -> None:
    async with spool_in(tmp_path) as spool:
        file = await make(spool, PATH, immutable=False)
        await file.write(0, b"half")
        await file.fsync()
        assert not file.entry.closed_once
    async with site_in(tmp_path) as site:
        assert site.spool.get(PATH) is None
        for _ in range(5):
            await breathe()
        assert not site.tier.puts
