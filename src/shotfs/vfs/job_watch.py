"""Job watch: sees when the last process of a render job on this node has ended.

Only while outputs wait for that, or scratch files of a job lie about. Looks through /proc in a
thread, every few seconds, and reads each process's environment once. Where processes of the users
who wrote may not be looked at, it says nothing: then only `shotfs publish finish` ends a job.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

import trio

from shotfs.errors import ShotfsError
from shotfs.publish.jobs import Jobs
from shotfs.vfs.process_work import job_of

log = logging.getLogger(__name__)

OUTPUTS_EVERY_S = 5.0
"""How often it is looked while outputs wait. Of a process that is known only `stat` is read."""

SCRATCH_EVERY_S = 60.0
"""How often while there is nothing but scratch files."""

SCRATCH_AFTER_S = 600.0
"""For how long a job must be without a process here before its scratch files go: its next task may
start on this node and go on with them."""

SCAN_S_MAX = 30.0
"""A scan that takes longer is given up; some process's memory map is locked."""

PROCESSES_MAX = 100_000
"""Processes that are remembered."""


KERNEL_THREAD = 0x0020_0000
"""PF_KTHREAD in the flags of /proc/PID/stat (<linux/sched.h>). Those have no environment."""

INIT = 1
"""The first process of a machine or container. It is in no job that ends before it does; in some
containers not even root may read its environment."""


@dataclass(frozen=True, slots=True)
class _Process:
    """What tells a process from a later one of the same number, and from itself before an exec.

    Attributes:
        stamp: its command, and when it started.
        uid: who runs it.
        job: "" for none; None if its environment may not be read.
    """

    stamp: bytes
    uid: int
    job: str | None


@dataclass(slots=True)
class Census:
    """The jobs of the processes that run now.

    Attributes:
        jobs: those that some process names.
        hidden: users with processes whose environment may not be read.
    """

    jobs: set[str] = field(default_factory=set)
    hidden: set[int] = field(default_factory=set)

    def may_run(self, job: str, uids: Collection[int]) -> bool:
        """Whether *job*, for which *uids* wrote, has a process here, as far as one can see."""
        return job in self.jobs or not self.hidden.isdisjoint(uids) or not uids


class JobWatch:
    """Tells `Jobs` of each job that has ended.

    Args:
        jobs: whose outputs wait.
        variables: names of the environment variables that name the job.
        proc: where /proc is.
    """

    def __init__(self, jobs: Jobs, variables: Sequence[str], *, proc: str = "/proc") -> None:
        self._jobs = jobs
        self._variables = tuple(os.fsencode(name) for name in variables)
        self._proc = proc
        self._known: dict[int, _Process] = {}
        self._gone_since: dict[str, float] = {}
        self._scanning = trio.CapacityLimiter(1)

    async def run(self) -> None:
        """Watch for ever; does nothing while nothing waits."""
        looked_s = trio.current_time()
        while self._variables:
            await self._jobs.wait_watched()
            await trio.sleep(OUTPUTS_EVERY_S)
            waited, _ = self._jobs.watched()
            if not waited and trio.current_time() - looked_s < SCRATCH_EVERY_S:
                continue
            looked_s = trio.current_time()
            try:
                await self.look()
            except ShotfsError as error:
                log.warning("scratch files of an ended job were not removed: %s", error.message)

    async def look(self) -> None:
        """Look once, and end the jobs that have ended.

        Raises:
            SpoolFull, SpoolBroken: the journal, while scratch files were removed.
        """
        waited, scratch = self._jobs.watched()
        census = await self._census()
        if census is None or not (waited or scratch):
            return
        ended = _ended(waited, census)
        if ended:
            # A shell that became a renderer of the same name has another environment since.
            self._known.clear()
            again = await self._census()
            ended = set() if again is None else ended & _ended(waited, again)
        for job in sorted(ended):
            report = await self._jobs.end(job, scratch=False)
            log.info("job %s has ended here: %d outputs are sealed", job, report.released)
        await self._end_scratch(scratch, census)

    async def _end_scratch(self, scratch: Mapping[str, frozenset[int]], census: Census) -> None:
        now = trio.current_time()
        gone = _ended(scratch, census)
        self._gone_since = {job: self._gone_since.get(job, now) for job in gone}
        for job in sorted(gone):
            if now - self._gone_since[job] >= SCRATCH_AFTER_S:
                report = await self._jobs.end(job, scratch=True)
                if report.removed:
                    log.info("job %s has ended: removed %d scratch files", job, len(report.removed))

    async def _census(self) -> Census | None:
        """Return who runs; None if that could not be found out in time."""
        census = None
        with trio.move_on_after(SCAN_S_MAX):
            known = dict(self._known)
            seen = await trio.to_thread.run_sync(
                _scan,
                self._proc,
                self._variables,
                known,
                abandon_on_cancel=True,
                limiter=self._scanning,
            )
            self._known = seen
            census = Census()
            for pid, process in seen.items():
                if process.job is None and pid != INIT:
                    census.hidden.add(process.uid)
                elif process.job:
                    census.jobs.add(process.job)
        return census


def _ended(jobs: Mapping[str, frozenset[int]], census: Census) -> set[str]:
    return {job for job, uids in jobs.items() if not census.may_run(job, uids)}


def _scan(
    proc: str, variables: tuple[bytes, ...], known: Mapping[int, _Process]
) -> dict[int, _Process]:
    """Return the processes that run now, without ourselves; blocks."""
    found: dict[int, _Process] = {}
    ours = str(os.getpid())
    for name in os.listdir(proc):
        if not name.isdecimal() or name == ours or len(found) >= PROCESSES_MAX:
            continue
        process = _process(f"{proc}/{name}", variables, known.get(int(name)))
        if process is not None:
            found[int(name)] = process
    return found


def _process(
    directory: str, variables: tuple[bytes, ...], known: _Process | None
) -> _Process | None:
    """Return the process, *known* if it is that one still; None: it has ended."""
    try:
        uid = os.stat(directory).st_uid
    except OSError:
        return None
    stamp = _stamp(directory)
    if stamp is None:
        return None
    if known is not None and known.stamp == stamp and known.job is not None:
        return known
    job = job_of(directory, variables)
    if job is None and _stamp(directory) is None:
        return None  # it ended just now
    return _Process(stamp, uid, job)


def _stamp(directory: str) -> bytes | None:
    """Return what `_Process.stamp` is of the process; None where there is none for a job."""
    try:
        with open(f"{directory}/stat", "rb") as file:
            stat = file.read(4096)
    except OSError:
        return None
    head, _, tail = stat.rpartition(b")")
    numbers = tail.split()
    if len(numbers) < 20 or numbers[0] == b"Z" or int(numbers[6]) & KERNEL_THREAD:
        return None  # a zombie does nothing any more, a thread of the kernel never for a job
    return head.partition(b"(")[2] + b" " + numbers[19]
