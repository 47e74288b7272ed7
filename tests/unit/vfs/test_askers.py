"""From the thread of a request to a process and a job: on real processes, and a false /proc."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import trio
import trio.testing

from shotfs.cache import NOBODY, Asker
from shotfs.prewarm.manifest.subject import Subject
from shotfs.publish import Writer
from shotfs.vfs import Caller
from shotfs.vfs.askers import ENVIRONMENT_S, STUCK_MAX, THREADS_MAX, Askers
from shotfs.vfs.process_work import TEXT_CHARACTERS_MAX, work_of


def caller(pid: int) -> Caller:
    return Caller(os.getuid(), os.getgid(), pid)


@contextmanager
def process(**environment: str) -> Iterator[subprocess.Popen[bytes]]:
    """A process that waits for its standard input to end."""
    child = subprocess.Popen(
        [sys.executable, "-c", "print(flush=True); input()"],
        env={**os.environ, **environment},
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


def _comm(pid: int) -> str:
    return Path(f"/proc/{pid}/comm").read_text().strip()


async def test_a_process_is_found_with_its_job_and_remembered() -> None:
    askers = Askers(["FARM_JOB"])
    with process(FARM_JOB="ant/xy_010 #1234") as child:
        name = _comm(child.pid)
        found = await askers.of(caller(child.pid))
        assert found == Asker(child.pid, name, "ant/xy_010 #1234")
        assert await askers.of(caller(child.pid)) is found


async def test_a_thread_is_told_as_its_process() -> None:
    ready, done = threading.Event(), threading.Event()
    number = 0

    def wait() -> None:
        nonlocal number
        number = threading.get_native_id()
        ready.set()
        done.wait(10)

    thread = threading.Thread(target=wait)
    thread.start()
    try:
        ready.wait(10)
        found = await Askers([]).of(caller(number))
    finally:
        done.set()
        thread.join()
    assert number != os.getpid()
    assert found.pid == os.getpid()


async def test_nobody_is_nobody_and_who_has_ended_too() -> None:
    askers = Askers(["SHOTFS_JOB"])
    with process() as child:
        pass
    for one in (None, caller(0), caller(child.pid)):
        assert await askers.of(one) is NOBODY


def _proc(root: Path, pid: int, name: str, started: int, environment: bytes = b"") -> None:
    directory = root / str(pid)
    directory.mkdir(parents=True, exist_ok=True)
    numbers = " ".join(["S", *["0"] * 18, str(started), "0"])
    (directory / "stat").write_text(f"{pid} ({name}) {numbers}\n")
    (directory / "status").write_text(f"Name:\t{name}\nTgid:\t{pid}\nPid:\t{pid}\n")
    (directory / "comm").write_text(f"{name}\n")
    (directory / "environ").write_bytes(environment)


async def test_a_number_that_is_used_again_is_another_process(tmp_path: Path) -> None:
    askers = Askers(["JOB"], proc=str(tmp_path))
    _proc(tmp_path, 7, "pov ray) 1 (x", 100, b"PATH=/bin\0JOB=one\0")
    assert await askers.of(caller(7)) == Asker(7, "pov ray) 1 (x", "one")
    _proc(tmp_path, 7, "maya", 200, b"JOB=two\0")
    assert await askers.of(caller(7)) == Asker(7, "maya", "two")
    # An exec keeps number and start.
    _proc(tmp_path, 7, "kick", 200, b"JOB=three\0")
    assert await askers.of(caller(7)) == Asker(7, "kick", "three")


@pytest.mark.parametrize(
    ("environment", "job"),
    [
        (b"", ""),
        (b"XJOB=no\0JOBX=no\0JOB\0", ""),
        (b"JOB=a=b\0", "a=b"),
        (b"JOB=a\n\x1b[31mb\xff\0", "a[31mb\ufffd"),
        (b"JOB=" + b"x" * 1000, "x" * TEXT_CHARACTERS_MAX),
    ],
    ids=["none", "others", "equals", "control characters", "long"],
)
async def test_a_job_is_one_short_line(tmp_path: Path, environment: bytes, job: str) -> None:
    _proc(tmp_path, 7, "maya", 100, environment)
    assert (await Askers(["JOB"], proc=str(tmp_path)).of(caller(7))).job == job


async def test_the_first_variable_that_says_something_counts(tmp_path: Path) -> None:
    for number, environment, job in (
        (1, b"JOB_ID=3\0SLURM_JOB_ID=2\0SHOTFS_JOB=1\0", "1"),
        (2, b"JOB_ID=3\0SLURM_JOB_ID=2\0SHOTFS_JOB=\0", "2"),
        (3, b"JOB_ID=3\0", "3"),
    ):
        _proc(tmp_path, number, "maya", 100, environment)
        askers = Askers(["SHOTFS_JOB", "SLURM_JOB_ID", "JOB_ID"], proc=str(tmp_path))
        assert (await askers.of(caller(number))).job == job


async def test_a_writer_in_no_job_is_told_from_one_of_which_that_is_not_known(
    tmp_path: Path,
) -> None:
    _proc(tmp_path, 7, "maya", 100, b"X=1\0")
    _proc(tmp_path, 8, "maya", 100)
    (tmp_path / "8/environ").unlink()
    askers = Askers(["JOB"], proc=str(tmp_path))
    assert await askers.writer(caller(7)) == Writer("", os.getuid())
    assert await askers.writer(caller(8)) == Writer(None, os.getuid())
    assert await askers.writer(caller(9)) == Writer(None, os.getuid()), "it has ended"
    assert await askers.writer(None) == Writer(None, None)
    assert await Askers([], proc=str(tmp_path)).writer(caller(7)) == Writer(None, os.getuid())


async def test_an_environment_that_may_not_be_read_is_no_error(tmp_path: Path) -> None:
    _proc(tmp_path, 7, "maya", 100)
    (tmp_path / "7/environ").unlink()
    assert await Askers(["JOB"], proc=str(tmp_path)).of(caller(7)) == Asker(7, "maya", "")


@pytest.fixture
def locked(tmp_path: Path) -> Iterator[Callable[[int], None]]:
    """Processes whose memory map is locked, as while they wait for an answer of ours."""
    pipes = []

    def lock(pid: int) -> None:
        _proc(tmp_path, pid, "maya", 100)
        (tmp_path / f"{pid}/environ").unlink()
        os.mkfifo(tmp_path / f"{pid}/environ")
        pipes.append(tmp_path / f"{pid}/environ")

    yield lock
    for pipe in pipes:  # lets the readers' threads end
        with contextlib.suppress(OSError):
            os.close(os.open(pipe, os.O_WRONLY | os.O_NONBLOCK))


async def test_s07_an_environment_that_cannot_be_read_now_holds_nobody_up(
    tmp_path: Path,
    locked: Callable[[int], None],
    mock_clock: trio.testing.MockClock,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    askers = Askers(["JOB"], proc=str(tmp_path))
    begun: list[str] = []

    def noted(directory: str, variables: tuple[bytes, ...]) -> Subject | None:
        begun.append(directory)
        return work_of(directory, variables)

    monkeypatch.setattr("shotfs.vfs.askers.work_of", noted)
    for pid in range(1, STUCK_MAX + 1):
        locked(pid)
    _proc(tmp_path, 99, "maya", 100, b"JOB=j\0")

    async def look(pid: int) -> None:
        assert await askers.of(caller(pid)) == Asker(pid, "maya", "")

    async with trio.open_nursery() as nursery:
        for pid in range(1, STUCK_MAX + 1):
            nursery.start_soon(look, pid)
        while len(begun) < STUCK_MAX:
            await trio.lowlevel.checkpoint()
        mock_clock.jump(ENVIRONMENT_S)
    # The clock stands: nobody waits from here on.
    await look(1)
    await look(99)
    os.close(os.open(tmp_path / "2/environ", os.O_WRONLY))
    while not (await askers.of(caller(99))).job:  # one that ended makes room
        await trio.lowlevel.checkpoint()


async def test_what_is_remembered_is_bounded(tmp_path: Path) -> None:
    askers = Askers([], proc=str(tmp_path))
    for pid in range(1, THREADS_MAX + 20):
        _proc(tmp_path, pid, "x", 1)
        await askers.of(caller(pid))
    assert len(askers) == THREADS_MAX
