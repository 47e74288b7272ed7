"""Outputs whose writer was killed before it closed them."""

from __future__ import annotations

import shutil
from pathlib import Path

from shotfs.publish import SpoolFile, State
from shotfs.publish.half_written import KILLED
from tests.unit.publish.fakes import make, read_entry, site_in, spool_in, write_file

PATH = "show/a.exr"


async def die(file: SpoolFile) -> None:
    """What the kernel does with a file of a dead process."""
    await file.cut_off()
    await file.close()


async def test_s05_an_immutable_file_gives_its_name_back_and_is_listed(tmp_path: Path) -> None:
    async with site_in(tmp_path) as site:
        file = await make(site.spool, PATH)
        await file.write(0, b"half")
        await die(file)
        assert site.spool.get(PATH) is None
        await write_file(site.spool, PATH, b"whole")
        await site.until_empty()
        assert site.tier.content("a.exr") == b"whole"
    for _ in range(2):  # it is there after a restart, too
        async with spool_in(tmp_path) as spool:
            (entry,) = spool.aside()
            assert (entry.path, entry.state, entry.error) == (PATH, State.FAILED, KILLED)
            assert await read_entry(spool, entry) == b"half"
            assert spool.used_bytes == 4


async def test_s05_a_header_that_was_being_patched_is_not_published(tmp_path: Path) -> None:
    async with site_in(tmp_path) as site:
        first = await make(site.spool, PATH, grace_s=3600.0)
        await first.write(0, b"whole")
        await first.flush()
        second = await site.spool.open(first.entry, writable=True)
        await first.close()
        await second.write(0, b"W")
        await die(second)
        assert site.spool.get(PATH) is None
        (item,) = await site.publisher.drain(1.0)
        assert (item.state, item.error) == (State.FAILED, KILLED)
        assert not site.tier.puts


async def test_s05_what_was_closed_is_published_though_its_writer_is_killed(
    tmp_path: Path,
) -> None:
    async with site_in(tmp_path) as site:
        file = await make(site.spool, PATH)
        await file.write(0, b"whole")
        await file.flush()  # of one of two descriptors
        await die(file)
        await site.until_empty()
        assert site.tier.content("a.exr") == b"whole"


async def test_s05_another_writer_that_closes_it_says_that_it_is_whole(tmp_path: Path) -> None:
    async with site_in(tmp_path) as site:
        file = await make(site.spool, PATH)
        await file.write(0, b"whole")
        await file.cut_off()  # a helper of the renderer, with the same descriptor
        await file.flush()
        await file.close()
        await site.until_empty()
        assert site.tier.content("a.exr") == b"whole"


async def test_s05_a_mutable_file_keeps_its_name_until_somebody_closes_it(tmp_path: Path) -> None:
    async with site_in(tmp_path) as site:
        entry = await write_file(site.spool, PATH, b"closed", immutable=False, grace_s=3600.0)
        file = await site.spool.open(entry, writable=True)
        await file.write(6, b", half")
        await die(file)
        assert site.spool.get(PATH) is entry
        (item,) = await site.publisher.drain(1.0)
        assert (item.state, (item.error or "").startswith(KILLED)) == (State.OPEN, True)
        file = await site.spool.open(entry, writable=True)
        await file.write(12, b" and whole")
        await file.flush()
        await file.close()
        await site.publisher.drain(10.0)
        assert site.tier.content("a.exr") == b"closed, half and whole"


async def test_an_empty_file_and_a_scratch_file_are_no_outputs(tmp_path: Path) -> None:
    async with spool_in(tmp_path) as spool:
        await die(await make(spool, PATH))
        assert spool.get(PATH) is None
        assert not list(spool.aside())
        scratch = await make(spool, "show/a.exr.tmp", scratch=True)
        await scratch.write(0, b"half")
        await die(scratch)
        assert spool.get("show/a.exr.tmp") is not None


async def test_a_file_that_was_unlinked_while_it_was_written_leaves_nothing(
    tmp_path: Path,
) -> None:
    async with spool_in(tmp_path) as spool:
        file = await make(spool, PATH)
        await file.write(0, b"half")
        await spool.unlink(PATH)
        await file.write(4, b" and more")
        # A crash now: the file stays where it was.
        shutil.copytree(tmp_path / "spool", tmp_path / "after" / "spool")
        await file.close()
    async with spool_in(tmp_path / "after") as spool:
        assert not list(spool.aside())
        assert spool.used_bytes == 0
    assert not list((tmp_path / "after" / "spool" / "files").iterdir())
