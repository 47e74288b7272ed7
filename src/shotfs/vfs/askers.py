"""Askers: which process a request of the kernel comes from, and which render job it belongs to.

The kernel names a thread; people, budgets and limits count by process and by job. Looked up when an
origin is about to be asked and when a file is opened for writing, never for reading what is here
already: an open from the cache costs nothing more. Reads /proc, which may refuse: then less is
known, and nothing fails.
"""

from __future__ import annotations

import logging
import os
from collections import OrderedDict
from collections.abc import Sequence
from typing import NamedTuple

import trio

from shotfs.cache import NOBODY, Asker
from shotfs.publish import Writer
from shotfs.vfs.attributes import Caller

log = logging.getLogger(__name__)

THREADS_MAX = 4_096
"""Threads that are remembered; one takes about 400 bytes."""

ENVIRONMENT_BYTES_MAX = 1024 * 1024
ENVIRONMENT_S = 0.2
"""How long reading an environment may take. It usually takes 0.1 ms; but the kernel makes the
reader wait for the memory map of that process, which may be locked for as long as it waits for one
of our own answers. So it is read in a thread, and given up soon."""

JOB_CHARACTERS_MAX = 128


class _Thread(NamedTuple):
    """What tells a thread from a later one with the same number, and from itself before an exec."""

    name: bytes
    started: bytes


class _Known(NamedTuple):
    """Who it is, and whether the environment was read: then no job means that it is in none."""

    asker: Asker
    job_read: bool


_NOBODY = _Known(NOBODY, False)


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
        self._reading = trio.CapacityLimiter(2)

    def __len__(self) -> int:
        return len(self._known)

    async def of(self, caller: Caller | None) -> Asker:
        """Return who *caller* is; `NOBODY` if that cannot be told."""
        return (await self._look_up(caller)).asker

    async def writer(self, caller: Caller | None) -> Writer:
        """Return whose output it is what *caller* writes."""
        known = await self._look_up(caller)
        return Writer(known.asker.job if known.job_read else None, caller.uid if caller else None)

    async def _look_up(self, caller: Caller | None) -> _Known:
        if caller is None or caller.pid <= 0:
            return _NOBODY
        thread = self._thread(caller.pid)
        if thread is None:
            return _NOBODY
        known = self._known.get(caller.pid)
        if known is not None and known[0] == thread:
            self._known.move_to_end(caller.pid)
            return known[1]
        pid = self._process(caller.pid)
        name = (self._read(f"{pid}/comm") or thread.name).strip()
        job, in_time = await self._job(pid)
        found = _Known(Asker(pid, name.decode("utf-8", "replace"), job or ""), job is not None)
        if not in_time:
            return found  # it may be read the next time
        self._known[caller.pid] = (thread, found)
        self._known.move_to_end(caller.pid)
        if len(self._known) > THREADS_MAX:
            self._known.popitem(last=False)
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

    async def _job(self, pid: int) -> tuple[str | None, bool]:
        """Return the job, None if it may not be read; and whether there was an answer in time."""
        if not self._variables:
            return None, True
        job = None
        with trio.move_on_after(ENVIRONMENT_S) as scope:
            job = await trio.to_thread.run_sync(
                job_in,
                f"{self._proc}/{pid}/environ",
                self._variables,
                abandon_on_cancel=True,
                limiter=self._reading,
            )
        if scope.cancelled_caught:
            log.debug("the environment of process %d could not be read in time", pid)
        return job, not scope.cancelled_caught


def job_in(path: str, variables: Sequence[bytes]) -> str | None:
    """Return the job that the environment of a process names; blocks.

    Args:
        path: of its `environ`.
        variables: the first of these that it has, and that says something, counts.

    Returns:
        "" if it names none; None if it may not be read, or has ended.
    """
    try:
        with open(path, "rb") as file:
            environment = file.read(ENVIRONMENT_BYTES_MAX)
    except OSError as error:
        # Another user's, and we are not root: that is how it is, and no news each time.
        log.debug("no job: %s", error)
        return None
    set_here = dict.fromkeys(variables, b"")
    for entry in environment.split(b"\0"):
        key, found, value = entry.partition(b"=")
        if found and key in set_here and not set_here[key]:
            set_here[key] = value
    for value in filter(None, set_here.values()):
        text = value.decode("utf-8", "replace")
        return "".join(sign for sign in text if sign.isprintable())[:JOB_CHARACTERS_MAX]
    return ""
