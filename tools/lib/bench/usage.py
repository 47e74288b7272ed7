"""CPU time of processes, and runs of programs of which we want to know it."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass

SAID_CHARACTERS = 2000
"""How much of a program's output is shown when it failed."""

_TICKS_PER_S = os.sysconf("SC_CLK_TCK")


class ProgramFailed(Exception):
    """A program ended with an error."""


@dataclass(frozen=True, slots=True)
class Cost:
    """What something took.

    Attributes:
        seconds: by the clock.
        cpu_s: of all threads, user and system.
    """

    seconds: float
    cpu_s: float


def cpu_s(pid: int) -> float:
    """Return the CPU seconds that a running process has used so far, without its children."""
    with open(f"/proc/{pid}/stat", encoding="utf-8", errors="surrogateescape") as file:
        # The name in parentheses may contain anything; utime and stime are fields 14 and 15.
        fields = file.read().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS_PER_S


def exact_cpu_s(pid: int) -> float:
    """As `cpu_s`, to the nanosecond: the scheduler's own account, by the clock of that process."""
    return time.clock_gettime(~pid << 3 | 2)  # CPUCLOCK_SCHED, as in clock_getcpuclockid(3)


def run(command: Sequence[str], *, log: str, timeout_s: float) -> Cost:
    """Run a program to its end. Its output goes to the file *log*, made anew.

    Raises:
        ProgramFailed: it ended with an error; the message has the end of its output.
        subprocess.SubprocessError: it took longer than *timeout_s*.
    """
    with open(log, "wb") as output:
        started = time.perf_counter()
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        _wait(process, started + timeout_s)
        seconds = time.perf_counter() - started
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != 0:
        with open(log, encoding="utf-8", errors="replace") as output:
            said = output.read()[-SAID_CHARACTERS:]
        raise ProgramFailed(f"{command[:2]} ended with {process.returncode}: {said}")
    return Cost(seconds, used.ru_utime + used.ru_stime)


def _wait(process: subprocess.Popen[bytes], until_s: float) -> None:
    """Return when *process* has ended, and leave it to be waited for."""
    while os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT | os.WNOHANG) is None:
        if time.perf_counter() > until_s:
            process.kill()
            process.wait()
            raise subprocess.TimeoutExpired(process.args, until_s)
        time.sleep(0.002)
