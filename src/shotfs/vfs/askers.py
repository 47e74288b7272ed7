"""Askers: which process a request of the kernel comes from, and which render job it belongs to.

The kernel names a thread; people, budgets and limits count by process and by job. Looked up when an
origin is about to be asked and when a file is opened for writing, never for reading what is here
already: an open from the cache costs nothing more. Reads /proc, which may refuse: then less is
known, and nothing fails.
"""

from __future__ import annotations

import contextlib
import logging
import os
from collections import OrderedDict
from collections.abc import Sequence
from typing import NamedTuple

import trio

from shotfs.cache import NOBODY, Asker
from shotfs.prewarm.manifest.subject import Subject
from shotfs.prewarm.watching import Reader
from shotfs.publish import Writer
from shotfs.vfs.attributes import Caller
from shotfs.vfs.process_work import work_of

log = logging.getLogger(__name__)

THREADS_MAX = 4_096
"""Threads that are remembered; one takes about 400 bytes."""

ENVIRONMENT_S = 0.2
"""How long reading an environment may take. It usually takes 0.1 ms; but the kernel makes the
reader wait for the memory map of that process, which may be locked for as long as it waits for one
of our own answers. So it is read in a thread, given up soon, and not asked for again before that
thread has ended."""

STUCK_MAX = 8
"""Processes whose environment cannot be read now; while there are so many, no other one's is tried,
since their threads are still at it."""

SURE_S = 1.0
"""For how long a thread that was looked at is taken for the same without a look at /proc. Numbers
come round only after thousands of others."""


class _Thread(NamedTuple):
    """What tells a thread from a later one with the same number, and from itself before an exec."""

    name: bytes
    started: bytes


class _Known(NamedTuple):
    """Who it is, and whether its job could be told: then no job means that it is in none."""

    asker: Asker
    reader: Reader
    job_read: bool


_NOBODY = _Known(NOBODY, Reader(0, "", Subject()), False)


class Askers:
    """From the thread id of a request to its process and job; bounded.

    Args:
        job_variables: names of the environment variables that name the job; the first that a
            process has counts. None: nobody's environment is read.
        proc: where /proc is.
    """

    def __init__(self, job_variables: Sequence[str], *, proc: str = "/proc") -> None:
        self._variables = tuple(os.fsencode(name) for name in job_variables)
        self._proc = proc
        self._known: OrderedDict[int, tuple[_Thread, _Known]] = OrderedDict()
        self._sure: dict[int, tuple[float, Reader]] = {}
        """Until when, on the event loop's clock, and who."""
        self._reading = trio.CapacityLimiter(STUCK_MAX)
        self._stuck: set[int] = set()

    def __len__(self) -> int:
        return len(self._known)

    async def of(self, caller: Caller | None) -> Asker:
        """Return who *caller* is; `NOBODY` if that cannot be told."""
        return (await self._look_up(caller)).asker

    async def writer(self, caller: Caller | None) -> Writer:
        """Return whose output it is what *caller* writes."""
        known = await self._look_up(caller)
        return _writer(known, caller)

    async def both(self, caller: Caller | None) -> tuple[Writer, Reader]:
        """Return whose output it is what *caller* writes, and what he works on."""
        known = await self._look_up(caller)
        return _writer(known, caller), known.reader

    def reader_now(self, thread: int, now_s: float) -> Reader | None:
        """Return what *thread* works on, if who it is was found out within `SURE_S`; else None.

        Args:
            thread: of a request.
            now_s: on the event loop's clock.
        """
        sure = self._sure.get(thread)
        return sure[1] if sure is not None and now_s < sure[0] else None

    async def reader(self, caller: Caller | None) -> Reader:
        """Return what *caller* works on; who it is is found out now."""
        return (await self._look_up(caller)).reader

    async def known_reader(self, thread: int) -> Reader:
        """Return what a thread works on that was looked at lately, and may have ended since."""
        known = self._known.get(thread)
        if known is not None:
            return known[1].reader
        return (await self._look_up(Caller(0, 0, thread))).reader

    async def _look_up(self, caller: Caller | None) -> _Known:
        if caller is None or caller.pid <= 0:
            return _NOBODY
        thread = self._thread(caller.pid)
        if thread is None:
            return _NOBODY
        known = self._known.get(caller.pid)
        if known is not None and known[0] == thread:
            self._known.move_to_end(caller.pid)
            self._sure[caller.pid] = (trio.current_time() + SURE_S, known[1].reader)
            return known[1]
        pid = self._process(caller.pid)
        name = (self._read(f"{pid}/comm") or thread.name).strip()
        work, in_time = await self._work(pid)
        command = name.decode("utf-8", "replace")
        subject = work or Subject()
        found = _Known(
            Asker(pid, command, subject.job), Reader(pid, command, subject), work is not None
        )
        if not in_time:
            return found  # it may be read the next time
        self._known[caller.pid] = (thread, found)
        self._known.move_to_end(caller.pid)
        self._sure[caller.pid] = (trio.current_time() + SURE_S, found.reader)
        if len(self._known) > THREADS_MAX:
            gone, _ = self._known.popitem(last=False)
            self._sure.pop(gone, None)
        return found

    def _thread(self, number: int) -> _Thread | None:
        stat = self._read(f"{number}/stat")
        if stat is None:
            return None
        # A name may have spaces and parentheses; after its last one come the numbers.
        head, _, tail = stat.rpartition(b")")
        numbers = tail.split()
        return _Thread(head.partition(b"(")[2], numbers[19]) if len(numbers) > 19 else None

    def _process(self, number: int) -> int:
        for line in (self._read(f"{number}/status") or b"").splitlines():
            if line.startswith(b"Tgid:"):
                return int(line[5:])
        return number

    def _read(self, name: str) -> bytes | None:
        """Return the start of a file of /proc, of those that the kernel answers from memory."""
        try:
            descriptor = os.open(f"{self._proc}/{name}", os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            return None  # it has ended
        try:
            return os.read(descriptor, 4096)
        except OSError:
            return None
        finally:
            os.close(descriptor)

    async def _work(self, pid: int) -> tuple[Subject | None, bool]:
        """Return what the process works on, None if that cannot be told; and whether that was known
        in time.
        """
        if not self._variables:
            return None, True
        if pid in self._stuck or len(self._stuck) >= STUCK_MAX:
            return None, False
        token = trio.lowlevel.current_trio_token()
        begun = ended = False

        def read() -> Subject | None:
            nonlocal begun
            begun = True
            try:
                return work_of(f"{self._proc}/{pid}", self._variables)
            finally:
                with contextlib.suppress(trio.RunFinishedError):  # it may be over by then
                    token.run_sync_soon(end)

        def end() -> None:
            nonlocal ended
            ended = True
            self._stuck.discard(pid)

        with trio.move_on_after(ENVIRONMENT_S):
            work = await trio.to_thread.run_sync(
                read, abandon_on_cancel=True, limiter=self._reading
            )
            return work, True
        if begun and not ended:
            self._stuck.add(pid)
        log.debug("the environment of process %d could not be read in time", pid)
        return None, False


def _writer(known: _Known, caller: Caller | None) -> Writer:
    return Writer(known.asker.job if known.job_read else None, caller.uid if caller else None)
