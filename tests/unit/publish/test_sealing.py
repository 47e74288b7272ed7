"""What an output waits for before it is published: its close, its rename, the end of its job."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from trio.testing import MockClock

from shotfs.errors import Stale
from shotfs.pathspec import SealOn
from shotfs.publish import Spool, SpoolEntry, State
from shotfs.publish.provenance import Writer
from shotfs.publish.sealing import Awaited, awaited, due_at, may_seal
from tests.unit.publish.fakes import breathe, site_in, spool_in, terms, write_file
from tests.unit.publish.test_draining import records

PATH, SCRATCH = "show/a.exr", "show/a.exr.tmp"
ENDS = {"seal": SealOn.JOB_END, "job": "7", "uid": 1000}


async def closed(directory: Path, **changes: Any) -> SpoolEntry:
    """An entry that was written and closed, with these terms."""
    async with spool_in(directory) as spool:
        return await write_file(spool, PATH, b"pixels", **changes)


async def settle(spool: Spool, entry: SpoolEntry) -> None:
    """Let the publisher do what there is to do now."""
    for _ in range(20):
        await breathe()
    assert spool.get(entry.path) is entry


async def test_what_is_awaited_follows_from_the_terms_alone(tmp_path: Path) -> None:
    entry = await closed(tmp_path)
    assert entry.terms is not None
    for changes, expected in (
        ({}, None),
        ({"seal": SealOn.RENAME}, Awaited.RENAME),
        ({"seal": SealOn.RENAME, "renamed": True}, None),
        (ENDS, Awaited.JOB),
        ({**ENDS, "released": True}, None),
        ({**ENDS, "job": ""}, None),
        ({**ENDS, "job": None}, None),
        ({**ENDS, "durability_origin": True}, None),
        ({"seal": SealOn.RENAME, "durability_origin": True}, None),
        ({**ENDS, "scratch": True}, None),
    ):
        entry.terms = replace(terms("a.exr"), **changes)
        assert awaited(entry) is expected, changes
        assert may_seal(entry) is (expected is None)


async def test_a_drain_waits_for_no_job_and_publishes_nothing_that_was_not_renamed(
    tmp_path: Path,
) -> None:
    entry = await closed(tmp_path, grace_s=100.0, **ENDS)
    assert due_at(entry) is None
    assert due_at(entry, draining=True) == entry.closed_at
    entry.terms = terms("a.exr", seal=SealOn.RENAME)
    assert due_at(entry, draining=True) is None


async def test_on_rename_a_file_under_its_final_name_stays_until_it_is_renamed(
    tmp_path: Path,
) -> None:
    waits = {"seal": SealOn.RENAME}
    async with site_in(tmp_path) as site:
        entry = await write_file(site.spool, PATH, b"half of a frame?", **waits)
        await settle(site.spool, entry)
        await site.publisher.drain(0.0)
        assert entry.state is State.OPEN
        with pytest.raises(Stale, match="waits for its rename"):
            await site.publisher.publish_now(entry)
        (one,) = await site.publisher.jobs.missing(job=None, paths=())
        assert one.why.startswith("waits for its rename")
        await site.spool.rename(PATH, SCRATCH, terms("a.exr.tmp", scratch=True, **waits))
        await site.spool.rename(SCRATCH, PATH, terms("a.exr", **waits))
        await site.until_empty()
        assert site.tier.content("a.exr") == b"half of a frame?"


async def test_an_emergency_copy_of_what_was_never_renamed_is_marked_as_partial(
    tmp_path: Path,
) -> None:
    async with site_in(tmp_path) as site:
        await write_file(site.spool, PATH, b"half of a frame?", seal=SealOn.RENAME)
        await write_file(site.spool, "show/b.exr", b"whole", **ENDS)
        (left,) = await site.publisher.drain(5.0, emergency=True)
        assert (left.path, left.error) == (PATH, "waits for its rename")
        assert records(site) == {PATH: True}
        assert site.tier.puts == ["b.exr"]


async def test_on_job_end_several_passes_of_a_job_make_one_file(tmp_path: Path) -> None:
    async with site_in(tmp_path) as site:
        entry = await write_file(site.spool, PATH, b"pass 1", **ENDS)
        await settle(site.spool, entry)
        file = await site.spool.open(entry, writable=True, writer=Writer("7", 1000))
        await file.write(0, b"pass 2")
        await file.flush()
        await file.close()
        await settle(site.spool, entry)
        assert site.tier.puts == []
        ended = await site.publisher.jobs.end("7", scratch=True)
        assert ended.released == 1
        await site.until_empty()
        assert site.tier.content("a.exr") == b"pass 2"


async def test_the_grace_begins_with_the_end_of_the_job(
    tmp_path: Path, mock_clock: MockClock
) -> None:
    async with site_in(tmp_path) as site:
        entry = await write_file(site.spool, PATH, b"pixels", grace_s=100.0, **ENDS)
        mock_clock.jump(1000)
        await site.publisher.jobs.end("7", scratch=False)
        mock_clock.jump(90)
        await settle(site.spool, entry)
        mock_clock.jump(20)
        await site.until_empty()


async def test_who_writes_after_the_end_of_a_job_is_waited_for_again(
    tmp_path: Path, mock_clock: MockClock
) -> None:
    async with site_in(tmp_path) as site:
        entry = await write_file(site.spool, PATH, b"old", grace_s=100.0, **ENDS)
        await site.publisher.jobs.end("7", scratch=False)
        file = await site.spool.open(entry, writable=True, writer=Writer("8", 1000))
        await file.write(0, b"new")
        await file.flush()
        await file.close()
        assert awaited(entry) is Awaited.JOB
        mock_clock.jump(1000)
        await settle(site.spool, entry)
        assert (await site.publisher.jobs.end("7", scratch=True)).released == 0
        assert (await site.publisher.jobs.end("8", scratch=True)).released == 1
        mock_clock.jump(1000)
        await site.until_empty()
        assert site.tier.content("a.exr") == b"new"


async def test_s05_what_waits_for_its_job_or_its_rename_waits_after_a_restart_too(
    tmp_path: Path,
) -> None:
    async with site_in(tmp_path) as site:
        await write_file(site.spool, PATH, b"pixels", **ENDS)
        await write_file(site.spool, "show/b.exr", b"pixels", seal=SealOn.RENAME)
    async with site_in(tmp_path) as site:
        for path in (PATH, "show/b.exr"):
            entry = site.spool.get(path)
            assert entry is not None
            await settle(site.spool, entry)
        assert site.publisher.jobs.watched() == ({"7": frozenset({1000})}, {})
        await site.publisher.jobs.end("7", scratch=True)
        await site.until(lambda: site.spool.get(PATH) is None)
        assert site.tier.puts == ["a.exr"]


async def test_s05_the_end_of_a_job_is_not_forgotten_by_a_restart(tmp_path: Path) -> None:
    async with site_in(tmp_path, run=False) as site:
        await write_file(site.spool, PATH, b"pixels", **ENDS)
        await site.publisher.jobs.end("7", scratch=True)
    async with site_in(tmp_path) as site:
        await site.until_empty()
        assert site.tier.content("a.exr") == b"pixels"


async def test_s05_the_last_writer_is_known_after_a_restart(tmp_path: Path) -> None:
    async with site_in(tmp_path, run=False) as site:
        entry = await write_file(site.spool, PATH, b"pixels", **ENDS)
        file = await site.spool.open(entry, writable=True, writer=Writer("8", 1001))
        await file.close()
    async with site_in(tmp_path, run=False) as site:
        again = site.spool.get(PATH)
        assert again is not None
        assert again.terms is not None
        assert (again.terms.job, again.terms.uid) == ("8", 1001)
        assert again.terms.metadata["shotfs-job"] == "8"
