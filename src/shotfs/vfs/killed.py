"""Killed: whether the process that closes a file does so because a signal ended it.

The kernel closes what a dead process had open, and that looks like close(). But nobody was told
that the file is safe, and what a killed renderer had written may be half a frame. Reads /proc,
for each close of a writable file.

References: proc(5), `/proc/PID/stat`; PF_EXITING and PF_SIGNALED in <linux/sched.h>.
"""

from __future__ import annotations

import os

PF_EXITING = 0x4
PF_SIGNALED = 0x400

STATE, FLAGS, EXIT_CODE = 0, 6, 49
"""Positions in /proc/PID/stat, counted from the field after the name."""

SIGNAL_BITS = 0x7F
"""Of an exit code as waitpid(2) reports it: the signal that ended the process."""


def was_killed(thread: int, *, proc: str = "/proc") -> bool:
    """Whether *thread* is closing its files because a signal ends its process.

    False where that cannot be told: a process in another pid namespace, or gone by now. A program
    that calls exit() with files open closes them on purpose, whatever its exit code.

    Args:
        thread: as the kernel's request names it; 0 for none.
        proc: where /proc is.
    """
    if thread <= 0:
        return False
    own = _stat(f"{proc}/{thread}/stat")
    if own is None or not int(own[FLAGS]) & PF_EXITING:
        return False
    # The last thread to go closes the files. When a program with several threads exits, the kernel
    # ends all but the one that called exit() by a signal: only the process as a whole can tell.
    process = _process_of(thread, proc)
    whole = own if process == thread else _stat(f"{proc}/{process}/stat")
    if whole is None:
        return False
    code = int(whole[EXIT_CODE])
    if code or os.geteuid() == 0:
        return bool(code & SIGNAL_BITS)
    # Other users' exit codes read as 0. The first thread of a process is usually the one that calls
    # exit(), and is there until all others are gone.
    return bool(int(whole[FLAGS]) & PF_SIGNALED)


def _stat(path: str) -> list[bytes] | None:
    try:
        with open(path, "rb", buffering=0) as file:
            text = file.read(4096)
    except OSError:
        return None
    # A name may have spaces and parentheses; after its last one come the fields.
    fields = text.rpartition(b")")[2].split()
    return fields if len(fields) > EXIT_CODE else None


def _process_of(thread: int, proc: str) -> int:
    try:
        with open(f"{proc}/{thread}/status", "rb", buffering=0) as file:
            for line in file.read(4096).splitlines():
                if line.startswith(b"Tgid:"):
                    return int(line[5:])
    except OSError:
        pass  # gone: it was its only thread, or nothing can be told
    return thread
