"""Traps in stores: a request of an upload that ends the process which sent it.

``before``: the store never did it. ``after``: it did, and its answer is never sent. ``late``: the
sender is dead when the store does it, as with a request that was on its way.
"""

from __future__ import annotations

import contextlib
import signal
import threading
import time
from dataclasses import dataclass
from typing import Literal

Moment = Literal["before", "after", "late"]

BEGIN, PART, COMMIT, SINGLE = "upload-begin", "upload-part", "upload-commit", "upload-single"
"""A session or multipart upload begins; one of its parts but the last that makes the object, or any
of S3; its object is made; an upload in one request."""

LATE_S = 0.1
"""How long after its sender's death the store does what was asked."""


@dataclass(frozen=True, slots=True)
class StoreTrap:
    """Where a process is to end.

    Attributes:
        name: of the request.
        nth: which of them, from 1.
        when: see above.
    """

    name: str
    nth: int
    when: Moment


class Watch:
    """The requests of one round: counts them, and springs its trap. Thread-safe.

    Args:
        trap: None for none.
        victim: descriptor of the process that is to end (pidfd_open(2)).
    """

    def __init__(self, trap: StoreTrap | None, victim: int) -> None:
        self._trap = trap
        self.victim = victim
        self._lock = threading.Lock()
        self._seen = 0
        self._running = 0
        self.sprung = False

    @property
    def in_flight(self) -> bool:
        """Whether a request of an upload is being served."""
        return self._running > 0

    def begin(self, name: str) -> Moment | None:
        """Note a request; return when to call `kill`, None: not for this one."""
        with self._lock:
            self._running += 1
            if self._trap is None or self._trap.name != name or self.sprung:
                return None
            self._seen += 1
            return self._trap.when if self._seen == self._trap.nth else None

    def end(self) -> None:
        """Note that a request was served."""
        with self._lock:
            self._running -= 1

    def kill(self, *, late: bool = False) -> None:
        """End the process that sent the request."""
        with contextlib.suppress(ProcessLookupError):  # it ended by itself, a moment ago
            signal.pidfd_send_signal(self.victim, signal.SIGKILL)
            self.sprung = True
        if late:
            time.sleep(LATE_S)
