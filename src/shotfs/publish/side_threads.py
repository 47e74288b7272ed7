"""Threads beside a thread: a few calls that wait for the disk, several of them at a time.

For the thread of the journal, which has a group of small files to fsync: one after another they
would take as long as all together. Not for the event loop.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterable
from queue import SimpleQueue

Call = Callable[[], None]

ALONE_MAX = 2
"""So many calls are made without help: to wake a thread takes as long as a good disk does."""

_Share = tuple[deque[Call], "SimpleQueue[None]"]


class SideThreads:
    """Threads that help the one that calls `run`.

    Args:
        count: how many, at most; each starts when it is needed.
    """

    def __init__(self, count: int) -> None:
        self._count = count
        self._threads: list[threading.Thread] = []
        self._shares: SimpleQueue[_Share | None] = SimpleQueue()

    def run(self, calls: Iterable[Call]) -> None:
        """Make all *calls*, which raise nothing; return when the last has returned."""
        left = deque(calls)
        helpers = min(self._count, len(left) - 1) if len(left) > ALONE_MAX else 0
        while len(self._threads) < helpers:
            # Daemons: a disk that hangs must not keep a process that was told to end.
            thread = threading.Thread(target=self._help, name="spool fsync", daemon=True)
            self._threads.append(thread)
            thread.start()
        done: SimpleQueue[None] = SimpleQueue()
        for _ in range(helpers):
            self._shares.put((left, done))
        _make(left)
        for _ in range(helpers):
            done.get()

    def close(self) -> None:
        """End the threads; none has anything to do."""
        for _ in self._threads:
            self._shares.put(None)
        for thread in self._threads:
            thread.join()
        self._threads.clear()

    def _help(self) -> None:
        while (share := self._shares.get()) is not None:
            left, done = share
            try:
                _make(left)
            finally:
                done.put(None)


def _make(left: deque[Call]) -> None:
    while left:
        try:
            call = left.popleft()
        except IndexError:  # somebody else was faster
            return
        call()
