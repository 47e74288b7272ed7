"""The kernel's session ends while files are open for writing."""

from __future__ import annotations

from pathlib import Path

import pytest

from shotfs.errors import Stale
from shotfs.publish import State
from shotfs.tiers.base import Span
from tests.unit.publish.fakes import make, read_entry, site_in, write_file


async def test_s05_a_half_written_file_that_is_abandoned_is_never_published(
    tmp_path: Path,
) -> None:
    async with site_in(tmp_path) as site:
        file = await make(site.spool, "show/a.exr")
        await file.write(0, b"half")
        await file.abandon()
        await file.abandon()
        await file.close()
        entry = file.entry
        assert (entry.open_handles, entry.writers, entry.clean) == (0, 0, False)
        (item,) = await site.publisher.drain(1.0)
        assert (item.path, item.state) == ("show/a.exr", State.OPEN)
        with pytest.raises(Stale):
            await site.publisher.publish_now(entry)
        assert not site.tier.puts
    async with site_in(tmp_path) as site:
        (kept,) = site.spool.aside()
        assert await read_entry(site.spool, kept) == b"half"
        assert await site.publisher.drain(1.0)
        assert not site.tier.puts


async def test_s05_what_was_flushed_before_it_was_abandoned_counts_as_closed(
    tmp_path: Path,
) -> None:
    async with site_in(tmp_path, run=False) as site:
        file = await make(site.spool, "show/a.exr")
        await file.write(0, b"whole")
        await file.flush()
        await file.abandon()
    async with site_in(tmp_path) as site:
        await site.until_empty()
        assert site.tier.content("a.exr") == b"whole"


async def test_s05_a_closed_file_that_is_being_rewritten_when_abandoned_is_partial(
    tmp_path: Path,
) -> None:
    async with site_in(tmp_path, run=False) as site:
        entry = await write_file(site.spool, "show/a.exr", b"whole", grace_s=100.0)
        first = await site.spool.open(entry, writable=True)
        second = await site.spool.open(entry, writable=True)
        await first.write(0, b"W")
        await first.fsync()
        await first.abandon()
        await second.close()  # RELEASE of another descriptor, which wrote nothing
        assert not entry.clean
    async with site_in(tmp_path) as site:
        assert [item.state for item in site.publisher.queue()] == [State.FAILED]
        assert not site.tier.puts


async def test_an_abandoned_reader_keeps_nothing(tmp_path: Path) -> None:
    async with site_in(tmp_path, run=False) as site:
        file = await make(site.spool, "show/a.exr")
        await file.write(0, b"body")
        reader = await site.spool.open(file.entry, writable=False)
        assert bytes(await reader.read(Span(0, 4))) == b"body"
        await site.spool.unlink("show/a.exr")
        await file.abandon()
        await reader.abandon()
        assert site.spool.used_bytes == 0
