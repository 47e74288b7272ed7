"""Other processes that use a mount: a test that read it itself could not outlive a hang."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

_STRERRORS = {
    os.strerror(number): number
    for number in range(1, 134)
    if not os.strerror(number).startswith("Unknown")
}


def cat(path: Path) -> subprocess.Popen[bytes]:
    """Start a process that reads *path* to its end."""
    return subprocess.Popen(
        ["cat", str(path)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        env={"PATH": os.environ["PATH"], "LC_ALL": "C"},
    )


def errno_of(process: subprocess.Popen[bytes], *, timeout_s: float) -> int:
    """Wait for a process that `cat` started; return the errno that it was given, 0 for none."""
    return errnos_of([process], timeout_s=timeout_s)[0]


def errnos_of(processes: Sequence[subprocess.Popen[bytes]], *, timeout_s: float) -> list[int]:
    """Wait for *processes*, all of them together for *timeout_s* seconds; return their errnos."""
    end = time.monotonic() + timeout_s
    try:
        return [_errno(process, end - time.monotonic()) for process in processes]
    finally:
        for process in processes:
            process.kill()
        for process in processes:
            process.communicate()


def _errno(process: subprocess.Popen[bytes], timeout_s: float) -> int:
    _, said = process.communicate(timeout=max(0.01, timeout_s))
    return errno_said_by(said) if process.returncode else 0


def errno_said_by(said: bytes) -> int:
    """Return the errno that the last words of a program's message stand for."""
    return _STRERRORS[said.decode().strip().rpartition(": ")[2]]
