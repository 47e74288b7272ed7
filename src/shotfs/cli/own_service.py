"""A service for a command: the one that runs, else one for as long as the command takes."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import TYPE_CHECKING

from shotfs.cli import output

if TYPE_CHECKING:
    from shotfs.config import Loaded
    from shotfs.control.client import Client

START_S = 90.0
"""How long it may take to come up: its origins may be slow."""

END_S = 30.0
"""How long it may take to end, outputs that an earlier service left included."""

POLL_S = 0.02

ENDING = (signal.SIGTERM, signal.SIGHUP)
"""What ends a command besides Ctrl-C: `timeout`, a render manager, a terminal that is closed."""

SIGNALLED = 128
"""Exit code of a command that a signal ended, and its number."""


@contextmanager
def service_of(config: str | None) -> Iterator[Client]:
    """Yield a client of the service with the configuration *config*.

    Where none runs, `shotfs serve` is started, and stopped at the end of the block, also if a
    signal ends the command. Other commands can use it meanwhile, and are cut off when it goes: for
    more than one, start a service.

    Raises:
        StartFailed: it did not come up.
    """
    from shotfs.config import load
    from shotfs.control.client import Client
    from shotfs.errors import ServiceNotRunning

    loaded = load(config, os.environ)
    with Client(loaded.settings.control.socket) as client:
        try:
            client.status()
        except ServiceNotRunning:
            pass
        else:
            yield client
            return
        with _ended_in_order():
            pid = _start(config, loaded)
            output.error_console.print(f"shotfs: no service runs: started one (pid {pid})")
            try:
                yield client
            finally:
                with suppress(ServiceNotRunning):
                    client.stop(drain=True, deadline_s=END_S)
                _wait(pid)


@contextmanager
def _ended_in_order() -> Iterator[None]:
    """Have signals that would kill this process raise SystemExit instead."""
    before = {number: signal.signal(number, _end) for number in ENDING}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _end(number: int, _frame: FrameType | None) -> None:
    # One is enough: a second must not keep us from ending the service.
    for other in ENDING:
        signal.signal(other, signal.SIG_IGN)
    raise SystemExit(SIGNALLED + number)


def _start(config: str | None, loaded: Loaded) -> int:
    from shotfs.control.daemon import launch

    settings = loaded.settings
    path = loaded.path or config
    return launch(
        "serve",
        [] if path is None else ["--config", os.path.abspath(path)],
        log_path=settings.log.file or os.path.join(settings.cache.directory, "service.log"),
        log_is_ours=settings.log.file is None,
        deadline_s=START_S,
    )


def _wait(pid: int) -> None:
    """Wait until our own child *pid* has ended; the next command needs its cache and its socket."""
    end_s = time.monotonic() + END_S
    while time.monotonic() < end_s:
        try:
            if os.waitpid(pid, os.WNOHANG)[0]:
                return
        except ChildProcessError:
            return
        time.sleep(POLL_S)
    output.warn(f"the service (pid {pid}) does not end: its log tells what it does")
