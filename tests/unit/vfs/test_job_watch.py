"""When the last process of a job has ended: a false /proc, and a real process."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import trio
from trio.testing import MockClock

from shotfs.pathspec import SealOn
from shotfs.publish import Spool
from shotfs.vfs.job_watch import KERNEL_THREAD, SCRATCH_AFTER_S, JobWatch
from tests.unit.publish.fakes import Site, site_in, write_file

ME = os.getuid()
VARIABLES = ("SHOTFS_JOB", "SLURM_JOB_ID")


def process(
    proc: Path, pid: int, environment: bytes | None, *, started: int = 1, flags: int = 0
) -> None:
    """Let a process run; an environment of None may not be read."""
    directory = proc / str(pid)
    directory.mkdir(parents=True, exist_ok=True)
    zeros = " ".join(["0"] * 12)
    (directory / "stat").write_text(f"{pid} (kick) S 1 0 0 0 0 {flags} {zeros} {started} 0 0\n")
    if environment is None:
        (directory / "environ").unlink(missing_ok=True)
        (directory / "environ").mkdir()  # reading it fails, for root too
    else:
        (directory / "environ").write_bytes(environment)


def gone(proc: Path, pid: int) -> None:
    for name in ("stat", "environ"):
        (proc / str(pid) / name).unlink()
    (proc / str(pid)).rmdir()


async def waiting(spool: Spool, name: str = "a", **changes: object) -> None:
    """A closed output that waits for the end of job 7."""
    terms = {"seal": SealOn.JOB_END, "job": "7", "uid": ME, "grace_s": 1e6, **changes}
    await write_file(spool, f"show/{name}.exr", b"1", **terms)


def released(site: Site, name: str = "a") -> bool:
    entry = site.spool.get(f"show/{name}.exr")
    return entry is not None and entry.terms is not None and entry.terms.released


async def noted(site: Site, count: int = 1) -> None:
    """Let the publisher see that *count* jobs are waited for, or left scratch files."""
    await site.until(lambda: sum(map(len, site.publisher.jobs.watched())) == count)


async def test_a_job_has_ended_when_no_process_names_it(tmp_path: Path) -> None:
    proc = tmp_path / "proc"
    process(proc, 10, b"SLURM_JOB_ID=7\0")
    process(proc, 11, b"SHOTFS_JOB=8\0SLURM_JOB_ID=7\0")
    async with site_in(tmp_path) as site:
        await waiting(site.spool)
        await noted(site)
        watch = JobWatch(site.publisher.jobs, VARIABLES, proc=str(proc))
        await watch.look()
        assert not released(site)
        gone(proc, 10)
        await watch.look()
        assert released(site)


async def test_a_process_that_became_one_of_the_job_by_exec_counts(tmp_path: Path) -> None:
    proc = tmp_path / "proc"
    process(proc, 10, b"SHOTFS_JOB=7\0")
    process(proc, 11, b"")
    async with site_in(tmp_path) as site:
        await waiting(site.spool)
        await noted(site)
        watch = JobWatch(site.publisher.jobs, VARIABLES, proc=str(proc))
        await watch.look()
        gone(proc, 10)
        process(proc, 11, b"SHOTFS_JOB=7\0")  # the same number, name and start
        await watch.look()
        assert not released(site)


async def test_nothing_ends_while_a_process_of_the_writer_cannot_be_looked_at(
    tmp_path: Path,
) -> None:
    proc = tmp_path / "proc"
    process(proc, 10, None)
    async with site_in(tmp_path) as site:
        await waiting(site.spool)
        await waiting(site.spool, "b", uid=ME + 1, job="9")
        await noted(site, 2)
        await JobWatch(site.publisher.jobs, VARIABLES, proc=str(proc)).look()
        assert not released(site), "the hidden process may be of the job"
        assert released(site, "b"), "it is of another user"


async def test_threads_of_the_kernel_and_the_first_process_hide_nothing(tmp_path: Path) -> None:
    proc = tmp_path / "proc"
    process(proc, 1, None)
    process(proc, 2, None, flags=KERNEL_THREAD | 0x40)
    async with site_in(tmp_path) as site:
        await waiting(site.spool)
        await noted(site)
        await JobWatch(site.publisher.jobs, VARIABLES, proc=str(proc)).look()
        assert released(site)


async def test_scratch_files_go_when_the_job_was_not_seen_for_a_while(
    tmp_path: Path, mock_clock: MockClock
) -> None:
    proc = tmp_path / "proc"
    proc.mkdir()
    async with site_in(tmp_path) as site:
        await write_file(site.spool, "show/a.tmp", b"1", job="7", uid=ME, scratch=True)
        await noted(site)
        watch = JobWatch(site.publisher.jobs, VARIABLES, proc=str(proc))
        await watch.look()
        mock_clock.jump(SCRATCH_AFTER_S / 2)
        process(proc, 10, b"SHOTFS_JOB=7\0")
        await watch.look()
        gone(proc, 10)
        await watch.look()
        mock_clock.jump(SCRATCH_AFTER_S - 1)
        await watch.look()
        assert site.spool.get("show/a.tmp") is not None
        mock_clock.jump(1)
        await watch.look()
        assert site.spool.get("show/a.tmp") is None


@contextmanager
def child_of(job: str) -> Iterator[subprocess.Popen[bytes]]:
    """A process of *job* that waits for its standard input to end."""
    child = subprocess.Popen(
        [sys.executable, "-c", "print(flush=True); input()"],
        env={**os.environ, "SHOTFS_JOB": job},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    try:
        assert child.stdout is not None
        child.stdout.readline()
        yield child
    finally:
        child.kill()
        child.wait()
        for stream in (child.stdin, child.stdout):
            assert stream is not None
            stream.close()


async def test_the_watch_looks_by_itself_while_something_waits(
    tmp_path: Path, mock_clock: MockClock
) -> None:
    proc = tmp_path / "proc"
    proc.mkdir()
    async with site_in(tmp_path) as site, trio.open_nursery() as nursery:
        watch = JobWatch(site.publisher.jobs, VARIABLES, proc=str(proc))
        nursery.start_soon(watch.run)
        await waiting(site.spool)
        await site.until_passed(mock_clock, lambda: released(site))
        await write_file(site.spool, "show/a.tmp", b"1", job="7", uid=ME, scratch=True)
        await site.until_passed(mock_clock, lambda: site.spool.get("show/a.tmp") is None)
        nursery.cancel_scope.cancel()


async def test_a_real_process_is_seen_and_its_end_too(tmp_path: Path) -> None:
    with child_of("7") as child:
        async with site_in(tmp_path) as site:
            await waiting(site.spool)
            await noted(site)
            watch = JobWatch(site.publisher.jobs, VARIABLES)
            await watch.look()
            assert not released(site)
            child.kill()
            child.wait()
            # Other processes of this user may not be readable: then nobody may say so.
            census = await watch._census()
            await watch.look()
            assert census is not None
            assert released(site) is not census.may_run("7", {ME})
