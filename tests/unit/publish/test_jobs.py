"""The job barrier: what is missing of a job, and what the end of a job does."""

from __future__ import annotations

from pathlib import Path

import pytest
import trio
from trio.testing import MockClock

from shotfs.errors import NotPermitted, PathNotFound
from shotfs.pathspec import SealOn
from shotfs.publish import SpoolEntry, State
from shotfs.publish.arrival import RENAME_S
from tests.unit.publish.fakes import FakeTier, Site, breathe, site_in, terms, write_file


async def missing(site: Site, job: str | None = "7", *paths: str) -> dict[str, tuple[str, bool]]:
    """From the path of what is missing to why, and whether it is stuck."""
    found = await site.publisher.jobs.missing(job=job, paths=paths)
    return {one.path: (one.why, one.stuck) for one in found}


async def test_nothing_is_missing_when_everything_of_a_job_is_in_the_origin(tmp_path: Path) -> None:
    tier = FakeTier()
    async with site_in(tmp_path, tier) as site:
        tier.gate = trio.Event()
        await write_file(site.spool, "show/a.exr", b"1", job="7")
        await site.until(lambda: tier.in_flight == 1)
        assert await missing(site) == {"show/a.exr": ("is being uploaded", False)}
        assert await missing(site, "8") == {}
        tier.gate.set()
        await site.until_empty()
        assert await missing(site) == {}


async def test_why_something_is_missing_and_whether_it_gets_there(
    tmp_path: Path, mock_clock: MockClock
) -> None:
    tier = FakeTier()
    tier.add("conflict.exr", b"other")

    def refuse(key: str) -> None:
        if key == "refused.exr":
            raise NotPermitted("no permission")

    tier.before = refuse
    async with site_in(tmp_path, tier) as site:
        for name in ("conflict", "refused"):
            await write_file(site.spool, f"show/{name}.exr", b"ours", job="7")
        await write_file(site.spool, "show/late.exr", b"1", job="7", seal=SealOn.RENAME)
        await write_file(site.spool, "show/job.exr", b"1", job="7", seal=SealOn.JOB_END)
        await write_file(site.spool, "show/grace.exr", b"1", job="7", grace_s=1e6)
        await write_file(site.spool, "show/x.tmp", b"1", job="7", scratch=True)
        writing = await site.spool.create(
            "show/open.exr", mode=0o644, uid=0, gid=0, terms=terms("open.exr", job="7")
        )
        await site.until(lambda: bool(site.conflicts))
        refused = site.spool.get("show/refused.exr")
        assert refused is not None
        await site.until(lambda: refused.state is State.FAILED)
        found = await missing(site)
        assert found.pop("show/late.exr") == (
            "waits for its rename: it was written under its final name", False
        )  # fmt: skip
        why, stuck = found.pop("show/conflict.exr")
        assert (why[:9], stuck) == ("conflict:", True)
        assert found == {
            "show/refused.exr": ("refused: no permission", True),
            "show/job.exr": ("waits for the end of job 7", False),
            "show/grace.exr": ("closed a moment ago", False),
            "show/open.exr": ("open for writing", False),
        }
        mock_clock.jump(RENAME_S)
        assert (await missing(site))["show/late.exr"][1]
        await writing.close()


async def test_what_is_of_an_unknown_job_is_missing_of_every_job(tmp_path: Path) -> None:
    async with site_in(tmp_path, run=False) as site:
        await write_file(site.spool, "show/a.exr", b"1", job=None)
        await write_file(site.spool, "show/b.exr", b"1", job="")
        assert list(await missing(site)) == ["show/a.exr"]


async def test_paths_are_files_and_directories_and_not_beginnings_of_names(tmp_path: Path) -> None:
    async with site_in(tmp_path, run=False) as site:
        for path in ("show/v1/a.exr", "show/v10/a.exr", "show/v1.exr"):
            await write_file(site.spool, path, b"1")
        assert list(await missing(site, None, "show/v1")) == ["show/v1/a.exr"]
        assert list(await missing(site, None, "show/v10/a.exr")) == ["show/v10/a.exr"]
        assert len(await missing(site, None, "show")) == len(await missing(site, None, "")) == 3
        assert await missing(site, "7", "other") == {}


async def test_the_end_of_a_job_removes_its_scratch_files_that_nobody_has_open(
    tmp_path: Path,
) -> None:
    async with site_in(tmp_path) as site:
        for name, job in (("a", "7"), ("b", "7"), ("c", "8"), ("d", None)):
            await write_file(site.spool, f"show/{name}.tmp", b"123", scratch=True, job=job)
        opened = site.spool.get("show/b.tmp")
        assert opened is not None
        reader = await site.spool.open(opened, writable=False)
        ended = await site.publisher.jobs.end("7", scratch=True)
        assert (ended.removed, ended.removed_bytes) == (["show/a.tmp"], 3)
        assert ended.kept == ["show/b.tmp"]
        await reader.close()
        assert site.spool.get("show/a.tmp") is None
        assert site.spool.get("show/c.tmp") is not None
        assert site.spool.get("show/d.tmp") is not None


async def test_what_belongs_to_somebody_else_is_left_alone(tmp_path: Path) -> None:
    def mine(entry: SpoolEntry) -> bool:
        return entry.terms is not None and entry.terms.uid == 1000

    async with site_in(tmp_path) as site:
        for name, uid in (("a", 1000), ("b", 1001)):
            made = {"job": "7", "uid": uid}
            await write_file(site.spool, f"show/{name}.exr", b"1", seal=SealOn.JOB_END, **made)
            await write_file(site.spool, f"show/{name}.tmp", b"1", scratch=True, **made)
        ended = await site.publisher.jobs.end("7", scratch=True, allowed=mine)
        assert (ended.released, ended.removed, ended.refused) == (1, ["show/a.tmp"], 2)
        await site.until(lambda: site.tier.puts == ["a.exr"])
        assert site.spool.get("show/b.tmp") is not None


async def test_a_rename_keeps_the_job(tmp_path: Path) -> None:
    made = {"job": "7", "uid": 1000}
    async with site_in(tmp_path) as site:
        await write_file(site.spool, "show/a.tmp", b"1", scratch=True, **made)
        await site.spool.rename("show/a.tmp", "show/a.exr", terms("a.exr", grace_s=1e6))
        assert list(await missing(site, "7")) == ["show/a.exr"]
        entry = site.spool.get("show/a.exr")
        assert entry is not None
        assert entry.terms is not None
        assert (entry.terms.metadata["shotfs-job"], entry.terms.uid) == ("7", 1000)


async def test_only_jobs_that_something_waits_for_are_watched(tmp_path: Path) -> None:
    async with site_in(tmp_path) as site:
        jobs = site.publisher.jobs
        assert jobs.watched() == ({}, {})
        with trio.move_on_after(0) as nothing:
            await jobs.wait_watched()
        assert nothing.cancelled_caught
        await write_file(site.spool, "show/a.exr", b"1", job="7", uid=5, seal=SealOn.JOB_END)
        await write_file(site.spool, "show/a.tmp", b"1", job="8", uid=6, scratch=True)
        await write_file(site.spool, "show/b.exr", b"1", job="9", uid=7)
        await jobs.wait_watched()
        for _ in range(10):
            await breathe()
        assert jobs.watched() == ({"7": frozenset({5})}, {"8": frozenset({6})})
        await jobs.end("7", scratch=True)
        await jobs.end("8", scratch=True)
        assert jobs.watched() == ({}, {})


async def test_a_scratch_file_that_went_by_itself_is_no_error(tmp_path: Path) -> None:
    async with site_in(tmp_path) as site:
        await write_file(site.spool, "show/a.tmp", b"1", job="7", scratch=True)
        await site.spool.unlink("show/a.tmp")
        ended = await site.publisher.jobs.end("7", scratch=True)
        assert (ended.removed, ended.kept) == ([], [])
        with pytest.raises(PathNotFound):
            await site.spool.unlink("show/a.tmp")
