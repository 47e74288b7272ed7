"""What programs in tools/bench share: whatever they start ends on every way out."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from contextlib import ExitStack

import httpx
from rich.console import Console
from running import interrupts, processes, service

from bench import usage

FAILURES = (
    service.ServiceFailed,
    processes.StartFailed,
    usage.ProgramFailed,
    subprocess.SubprocessError,
    httpx.HTTPError,
    OSError,
    EOFError,
)
"""What is a message and no traceback."""


def run(
    name: str,
    console: Console,
    work: Callable[[ExitStack], None],
    *,
    failures: tuple[type[Exception], ...] = (),
) -> int:
    """Do *work*, which puts what it starts and mounts on the stack; return the exit code.

    Args:
        name: of the program, like ``tools/bench/cold``.
        console: where it says why it ended early.
        work: what it does.
        failures: of *work*, besides `FAILURES`.
    """
    interrupts.install()
    try:
        with ExitStack() as stack:
            try:
                work(stack)
            finally:
                interrupts.ignore_from_now_on()
    except interrupts.Interrupted as interrupted:
        console.print(f"{interrupted}: unmounted and stopped everything")
        return interrupted.exit_code
    except (*FAILURES, *failures) as failure:
        console.print(f"{name} failed: {failure}", style="red", markup=False)
        return 1
    return 0
