"""Being interrupted at any moment without leaving anything behind.

Ctrl-C, SIGTERM and SIGHUP become one exception, `Interrupted`, so that `finally` and `ExitStack`
do their work. It is raised at most once; while something is being started or ended (`held`), it
waits. Main thread only, as signal handlers are.
"""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Interrupted(BaseException):
    """Somebody asked this program to stop; `exit_code` is what a shell expects then."""

    def __init__(self, signal_number: int) -> None:
        super().__init__(f"interrupted by {signal.Signals(signal_number).name}")
        self.exit_code = 128 + signal_number


class _State:
    def __init__(self) -> None:
        self.depth = 0
        self.pending: int | None = None
        self.raised = False


_state = _State()


def install() -> None:
    """Turn the signals into `Interrupted` from now on, also where we were started ignoring them."""
    for number in SIGNALS:
        signal.signal(number, _received)


@contextmanager
def held() -> Iterator[None]:
    """Let no interruption in: it is raised at the end of the outermost block instead.

    For the few instructions between starting something and knowing how to end it.
    """
    _state.depth += 1
    try:
        yield
    finally:
        _state.depth -= 1
    _raise_pending()


def ignore_from_now_on() -> None:
    """Begin to clean up: further signals change nothing, since we are stopping already."""
    _state.raised = True


def _received(signal_number: int, _frame: FrameType | None) -> None:
    _state.pending = signal_number
    _raise_pending()


def _raise_pending() -> None:
    if _state.pending is None or _state.depth or _state.raised:
        return
    _state.raised = True
    raise Interrupted(_state.pending)
