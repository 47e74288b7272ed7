"""Writable copies of published mutable files, and those of them that nobody changes."""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
import trio
import trio.testing

from shotfs.errors import SpoolFull, Stale
from shotfs.publish import Spool, SpoolFile, State
from shotfs.tiers.base import Revision, Span
from tests.unit.publish.fakes import (
    FakeTier,
    Site,
    breathe,
    make,
    read_entry,
    site_in,
    spool_in,
    terms,
)

PATH = "show/notes.txt"


async def pour(file: SpoolFile) -> None:
    """Fill a copy with what the origin has."""
    await file.write(0, b"one")
    await file.flush()


async def copy(
    spool: Spool, base: Revision, fill: Callable[[SpoolFile], Awaitable[None]] | None = pour
) -> SpoolFile:
    """Make a copy of the published *base*."""
    of = terms("notes.txt", immutable=False, base=base)
    return await spool.create_copy(PATH, mode=0o644, uid=1, gid=2, terms=of, fill=fill)


def left_behind(directory: Path) -> list[str]:
    """Data files of the spool."""
    return os.listdir(directory / "spool" / "files")


@pytest.mark.parametrize("fill", [pour, None], ids=["opened r+", "O_TRUNC whose opener is gone"])
async def test_a_copy_that_nobody_changes_publishes_nothing(
    tmp_path: Path, fill: Callable[[SpoolFile], Awaitable[None]] | None
) -> None:
    async with site_in(tmp_path) as site:
        base = site.tier.add("notes.txt", b"one")
        commits = site.spool.core.journal.commits
        file = await copy(site.spool, base, fill)
        other = await site.spool.open(file.entry, writable=True)
        assert not await other.flush()
        await other.fsync()
        await other.close()
        assert site.spool.get(PATH) is file.entry
        await file.close()
        assert site.spool.get(PATH) is None
        assert site.spool.used_bytes == 0
        assert left_behind(tmp_path) == []
        for _ in range(10):
            await breathe()
        assert not site.tier.puts
        assert site.spool.core.journal.commits == commits
        assert site.tier.objects["notes.txt"][0] == base


async def test_s16_a_copy_shows_the_time_of_what_it_copies(tmp_path: Path) -> None:
    async with spool_in(tmp_path) as spool:
        file = await copy(spool, FakeTier().add("notes.txt", b"one"))
        assert file.entry.mtime_ns == 10**18
        await file.close()


async def write(_site: Site, file: SpoolFile) -> bytes:
    await file.write(0, b"O")
    return b"One"


async def truncate(_site: Site, file: SpoolFile) -> bytes:
    await file.truncate(3)
    return b"one"


async def change_mode(site: Site, file: SpoolFile) -> bytes:
    await site.spool.set_attributes(file.entry, mode=0o600)
    return b"one"


@pytest.mark.parametrize("change", [write, truncate, change_mode])
async def test_a_copy_that_somebody_changes_is_published(
    tmp_path: Path, change: Callable[[Site, SpoolFile], Awaitable[bytes]]
) -> None:
    async with site_in(tmp_path) as site:
        base = site.tier.add("notes.txt", b"one")
        file = await copy(site.spool, base)
        content = await change(site, file)
        await file.close()
        await site.until_empty()
        assert site.tier.content("notes.txt") == content
        assert site.tier.puts == ["notes.txt"]


async def test_an_emptied_copy_is_published_when_its_opener_truncates_it(tmp_path: Path) -> None:
    async with site_in(tmp_path) as site:
        file = await copy(site.spool, site.tier.add("notes.txt", b"one"), None)
        writer = await site.spool.open(file.entry, writable=True)
        await file.close()
        await writer.truncate(0)
        await writer.flush()
        await writer.close()
        await site.until_empty()
        assert site.tier.content("notes.txt") == b""


async def test_a_renamed_copy_is_an_output(tmp_path: Path) -> None:
    async with site_in(tmp_path) as site:
        file = await copy(site.spool, site.tier.add("notes.txt", b"one"))
        await site.spool.rename(PATH, "show/other.txt", terms("other.txt", immutable=False))
        await file.close()
        await site.until_empty()
        assert site.tier.content("other.txt") == b"one"


async def test_a_copy_has_no_name_while_it_is_filled_and_gives_way(tmp_path: Path) -> None:
    async with spool_in(tmp_path) as spool:
        base = FakeTier().add("notes.txt", b"one")

        async def fill(file: SpoolFile) -> None:
            await pour(file)
            assert spool.get(PATH) is None
            other = await make(spool, PATH, immutable=False)
            await other.write(0, b"newer")
            await other.close()

        with pytest.raises(Stale):
            await copy(spool, base, fill)
        entry = spool.get(PATH)
        assert entry is not None
        assert await read_entry(spool, entry) == b"newer"
        assert left_behind(tmp_path) == [str(entry.serial)]
        assert spool.used_bytes == 5


async def test_a_copy_that_cannot_be_filled_leaves_nothing(tmp_path: Path) -> None:
    async with spool_in(tmp_path, bytes_max=10) as spool:
        base = FakeTier().add("notes.txt", b"one")

        async def too_much(file: SpoolFile) -> None:
            await file.write(0, b"12345")
            await file.write(5, b"123456")

        with pytest.raises(SpoolFull):
            await copy(spool, base, too_much)

        async def never(file: SpoolFile) -> None:
            await file.write(0, b"12345")
            scope.cancel()
            await trio.sleep_forever()

        with trio.CancelScope() as scope:
            await copy(spool, base, never)
        assert scope.cancelled_caught
        assert (len(spool), spool.used_bytes, left_behind(tmp_path)) == (0, 0, [])


async def refused(spool: Spool) -> None:
    """Unlink the path while its entry goes."""
    with pytest.raises(Stale):
        await spool.unlink(PATH)


async def test_a_reader_of_a_dropped_copy_goes_on_and_names_are_looked_up_again(
    tmp_path: Path,
) -> None:
    async with spool_in(tmp_path) as spool:
        file = await copy(spool, FakeTier().add("notes.txt", b"one"))
        reader = await spool.open(file.entry, writable=False)
        entry = file.entry
        # Whoever comes now waits for the lock, in this order.
        async with trio.open_nursery() as nursery, entry.lock:
            nursery.start_soon(file.close)
            await trio.testing.wait_all_tasks_blocked()
            nursery.start_soon(refused, spool)
            await trio.testing.wait_all_tasks_blocked()
        assert spool.get(PATH) is None
        assert bytes(await reader.read(Span(0, 9))) == b"one"
        await reader.close()
        assert left_behind(tmp_path) == []


async def test_s05_a_crash_leaves_no_copy_that_nobody_changed(tmp_path: Path) -> None:
    base = FakeTier().add("notes.txt", b"one")
    async with spool_in(tmp_path) as spool:
        await copy(spool, base)  # and never closed
        assert left_behind(tmp_path)
    async with spool_in(tmp_path) as spool:
        assert not list(spool.aside())
        assert left_behind(tmp_path) == []
        changed = await copy(spool, base)
        await changed.write(3, b" more")
    async with spool_in(tmp_path) as spool:
        (kept,) = spool.aside()
        assert kept.state is State.FAILED
        assert await read_entry(spool, kept) == b"one more"
