"""Hashing: large files are hashed in a few threads, and whether these get ahead is watched.

A disk that hangs keeps a thread for as long as it likes, and no thread can be ended. So nobody
waits for a thread: whoever wants a digest waits as long as its hash moves (`Progress.wait`). A
thread that stands still uses no processor, so after a while its place is given to another file.
`Progress.report` is called in threads; everything else is for the event loop.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TypeVar

import trio

from shotfs.cache.failures import disk_stalled

log = logging.getLogger(__name__)

T = TypeVar("T")

OnBlock = Callable[[], None]
"""Called in the thread for each block that was hashed."""

HASH_THREADS = 2
"""Files that are hashed at once: one thread outruns most disks."""

STUCK_MAX = 8
"""Threads that hang beyond those that work. More hang in the places of those that work; then
other hashes stand in line until the disk answers, and who waits for them is told."""

STUCK_PARTS = 2
"""A thread gives its place away after this fraction of the deadline: the file that waited for
the place still has the rest of it."""

LOOKS = 8
"""Looks at all threads in a deadline; a file that stands still is noticed so much later at most."""


class _Dropped(Exception):
    """Nobody wants the digest any more; ends the thread at its next block."""


class Progress:
    """Whether a hash gets ahead. Made in the event loop, with its clock."""

    __slots__ = ("_dropped", "_moved_s", "_reports", "_seen")

    def __init__(self) -> None:
        self._reports = self._seen = 0
        self._dropped = False
        self._moved_s = trio.current_time()

    def report(self) -> None:
        """Note, in the thread, that another block was hashed.

        Raises:
            _Dropped: nobody wants the rest.
        """
        if self._dropped:
            raise _Dropped
        self._reports += 1

    @property
    def dropped(self) -> bool:
        """Whether nobody wants it any more."""
        return self._dropped

    def drop(self) -> None:
        """Have the thread end when it reports next."""
        self._dropped = True

    def step(self, *, silent_s: float = 0.0) -> None:
        """Note that it got ahead; what comes next may tell of no progress for *silent_s*."""
        self._moved_s = trio.current_time() + silent_s

    def idle_s(self) -> float:
        """Return since when it stands still, as far as anybody looked, in seconds."""
        if self._seen != self._reports:
            self._seen = self._reports
            self.step()
        return trio.current_time() - self._moved_s

    async def wait(self, event: trio.Event, limit_s: float) -> bool:
        """Wait for *event* as long as the hash moves; False: it stood still for *limit_s*.

        One that has stood still for that long already is not waited for.
        """
        while not event.is_set() and (left_s := limit_s - self.idle_s()) > 0:
            with trio.move_on_after(left_s):
                await event.wait()
        return event.is_set()


class _Job:
    """One file in a thread, or in line for one."""

    __slots__ = ("ended", "name", "progress", "started", "stuck")

    def __init__(self, name: str, progress: Progress) -> None:
        self.name = name
        self.progress = progress
        self.started = self.ended = self.stuck = False

    def run(self, work: Callable[[OnBlock], T]) -> T:
        """Hash, in the thread."""
        self.started = True
        try:
            self.progress.report()
            return work(self.progress.report)
        finally:
            self.ended = True


class Hashing:
    """The threads.

    Args:
        deadline_s: how long a hash may stand still until those who wait for it are told.
    """

    def __init__(self, deadline_s: float) -> None:
        self.deadline_s = deadline_s
        self._threads = trio.CapacityLimiter(HASH_THREADS)
        self._jobs: set[_Job] = set()

    @property
    def stuck(self) -> int:
        """How many threads hang."""
        return sum(job.stuck for job in self._jobs)

    async def watch(self) -> None:
        """Look, for ever, which threads stand still."""
        while True:
            await trio.sleep(self.deadline_s / LOOKS)
            self._look()

    async def run(self, name: str, work: Callable[[OnBlock], T], progress: Progress) -> T:
        """Run *work* in a thread when there is one, however long that takes.

        Cancelled: returns at once; the thread ends at its next block and is counted until then.

        Args:
            name: of the file, for the log.
            work: hashes it; opens and closes what it reads. Its errors are raised here.
            progress: for those who wait.
        """
        job = _Job(name, progress)
        self._jobs.add(job)
        try:
            found = await trio.to_thread.run_sync(
                job.run, work, limiter=self._threads, abandon_on_cancel=True
            )
        except trio.Cancelled:
            progress.drop()
            raise
        finally:
            if job.ended:
                self._jobs.discard(job)
        progress.step()
        return found

    async def run_or_stall(self, name: str, work: Callable[[OnBlock], T]) -> T:
        """Run *work* as long as it moves; for who has nobody to share it with.

        Raises:
            CacheStalled: it stood still for the deadline.
        """
        progress, ended = Progress(), trio.Event()

        async def guard() -> None:
            if not await progress.wait(ended, self.deadline_s):
                scope.cancel()

        async with trio.open_nursery() as nursery:
            nursery.start_soon(guard)
            with trio.CancelScope() as scope:
                found = await self.run(name, work, progress)
            ended.set()
        if scope.cancelled_caught:
            raise disk_stalled(name, self.deadline_s)
        return found

    def _look(self) -> None:
        # Dropped in line: it gets no thread any more.
        self._jobs = {
            job for job in self._jobs if not job.ended and (job.started or not job.progress.dropped)
        }
        look_s = self.deadline_s / LOOKS
        moved = False
        for job in self._jobs:
            if job.started:
                idle_s = job.progress.idle_s()
                moved |= idle_s < look_s
                self._judge(job, idle_s)
        if moved:
            for job in self._jobs:
                if not job.started:
                    job.progress.step()
        self._threads.total_tokens = HASH_THREADS + min(self.stuck, STUCK_MAX)

    def _judge(self, job: _Job, idle_s: float) -> None:
        stuck = idle_s >= self.deadline_s / STUCK_PARTS
        if stuck and not job.stuck:
            log.warning(
                "the cache's disk does not answer while a file is hashed",
                extra={"path": job.name, "seconds": round(idle_s)},
            )
        elif job.stuck and not stuck:
            log.info("the cache's disk answers again", extra={"path": job.name})
        job.stuck = stuck
