"""Groups: threads that take all the jobs that wait, work on them together, and answer all at once.

A hop to a thread and back by `trio.to_thread` costs more than most of what the spool does with a
small file: a wake-up of each side, and a switch of the interpreter's lock. Here many tasks share
one hop: while a thread works on a group, the next one gathers.

Jobs are begun in the order in which they were given, by one thread; with several threads, groups
overlap. Used by the event loop; `close` before it ends.
"""

from __future__ import annotations

import contextlib
import queue
import threading
from collections.abc import Callable
from typing import Generic, TypeVar

import trio

J = TypeVar("J")

GROUP_MAX = 128
"""Jobs of one group: the first of them waits for the last."""


class Groups(Generic[J]):
    """A few threads and the jobs that wait for them.

    Args:
        name: of the threads.
        work: called in one of them with the jobs of a group, in their order. It notes what came of
            each in the job; what it raises, all tasks of the group raise.
        threads: how many.
    """

    def __init__(self, name: str, work: Callable[[list[J]], None], *, threads: int = 1) -> None:
        self._name = name
        self._work = work
        self._wanted = threads
        self._threads: list[threading.Thread] = []
        self._gathered: list[_Waiting[J]] = []
        self._given: queue.SimpleQueue[list[_Waiting[J]] | None] = queue.SimpleQueue()

    async def do(self, job: J) -> None:
        """Give *job* to a thread; return when its group is done.

        A cancelled call leaves the job to its thread.
        """
        waiting = _Waiting(job)
        self._gathered.append(waiting)
        # Who comes in this turn of the loop is of the same group: one wake-up for all.
        await trio.lowlevel.cancel_shielded_checkpoint()
        if self._gathered:
            self._give()
        await waiting.done.wait()
        if waiting.failure is not None:
            raise waiting.failure

    def gather(self, job: J) -> None:
        """Let *job* be of the next group that somebody waits for, or that `close` gives."""
        self._gathered.append(_Waiting(job))

    async def close(self) -> None:
        """Return when all jobs are done and the threads gone."""
        if self._gathered:
            self._give()
        for _ in self._threads:
            self._given.put(None)
        with trio.CancelScope(shield=True):
            for thread in self._threads:
                await trio.to_thread.run_sync(thread.join)
        self._threads.clear()

    def _give(self) -> None:
        gathered, self._gathered = self._gathered, []
        if len(self._threads) < self._wanted:
            # Daemons: a disk that hangs must not keep a process that was told to end.
            token = trio.lowlevel.current_trio_token()
            thread = threading.Thread(target=self._run, args=(token,), name=self._name, daemon=True)
            self._threads.append(thread)
            thread.start()
        self._given.put(gathered)

    def _run(self, token: trio.lowlevel.TrioToken) -> None:
        more = True
        while more:
            group, more = self._take()
            failure: BaseException | None = None
            try:
                if group:
                    self._work([waiting.job for waiting in group])
            except BaseException as error:  # noqa: BLE001 - raised again by those who wait
                failure = error
            with contextlib.suppress(trio.RunFinishedError):  # nobody waits any more
                token.run_sync_soon(_announce, group, failure)

    def _take(self) -> tuple[list[_Waiting[J]], bool]:
        """Wait for jobs; return all that are there, and whether there may be more later."""
        group: list[_Waiting[J]] = []
        given = self._given.get()
        while given is not None:
            group += given
            if len(group) >= GROUP_MAX:
                return group, True
            try:
                given = self._given.get_nowait()
            except queue.Empty:
                return group, True
        return group, False


class _Waiting(Generic[J]):
    __slots__ = ("done", "failure", "job")

    def __init__(self, job: J) -> None:
        self.job = job
        self.done = trio.Event()
        self.failure: BaseException | None = None


def _announce(group: list[_Waiting[J]], failure: BaseException | None) -> None:
    for waiting in group:
        waiting.failure = failure
        waiting.done.set()
