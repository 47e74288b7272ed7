"""Crawlers: processes that list whole trees are slowed down, so that nobody else feels them.

`find /shows`, a backup, an indexer: each directory that this node has not listed lately is a
request to its origin, and a farm of such nodes is an attack. So each process has a bucket of
tokens for listings that reach an origin: large enough that no renderer ever empties it, and filled
at a rate that an origin bears for ever. Who has emptied it waits for his turn; he sees slowness and
no error, up to the deadline of a request. What is listed from memory costs nothing. One event loop.
"""

from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field

import trio

from shotfs.cache import Asker
from shotfs.config import MountSettings
from shotfs.errors import DeadlineExceeded
from shotfs.observe.metrics import Metrics

log = logging.getLogger(__name__)

PROCESSES_MAX = 4_096
"""Processes whose buckets are remembered; one takes about 500 bytes."""

REPORTED_S = 600.0
"""How long after its last wait a process is still reported."""


@dataclass(frozen=True, slots=True)
class Crawler:
    """A process that lists more than its share.

    Attributes:
        asker: the process; its pid is 0 where it is in another pid namespace.
        uid: its user.
        path: what it listed last, mount-relative.
        listings: how many of its listings went to an origin.
        per_s: how many a second, since its first one.
        waiting: how many wait now.
        waited_s: how long its listings have waited, all together.
        since_s: seconds since it was slowed down for the first time.
    """

    asker: Asker
    uid: int
    path: str
    listings: int
    per_s: float
    waiting: int
    waited_s: float
    since_s: float


@dataclass(slots=True)
class _Process:
    asker: Asker
    uid: int
    tokens: float
    filled_s: float
    first_s: float
    path: str = ""
    listings: int = 0
    waiting: int = 0
    waited_s: float = 0.0
    slowed_s: float | None = None
    last_wait_s: float = field(default=float("-inf"))


class CrawlerGuard:
    """The buckets of all processes.

    Args:
        settings: how many listings, and how long one may wait.
        metrics: counts what waited.
        clock: seconds, monotonic.
    """

    def __init__(
        self,
        settings: MountSettings,
        metrics: Metrics,
        clock: Callable[[], float] = trio.current_time,
    ) -> None:
        self._rate_per_s = settings.listings_per_s
        self._burst = float(settings.listings_burst)
        self._deadline_s = settings.request_deadline_s
        self._metrics = metrics
        self._clock = clock
        self._processes: OrderedDict[tuple[int, int], _Process] = OrderedDict()

    async def admit(self, asker: Asker, uid: int, path: str) -> None:
        """Wait until *asker* may list *path* at its origin.

        Args:
            asker: who lists.
            uid: his user. Processes of other pid namespaces have no number of their own; those of
                one user share a bucket.
            path: mount-relative, for the report.

        Raises:
            DeadlineExceeded: so many of its listings wait already that this one would wait longer
                than a request may. Raised when that time is over.
        """
        if not self._rate_per_s:
            return
        process = self._process(asker, uid)
        process.path = path
        process.listings += 1
        process.tokens -= 1.0
        if process.tokens >= 0:
            return
        self._slowed(process)
        wait_s = -process.tokens / self._rate_per_s
        began_s = self._clock()
        process.waiting += 1
        kept = False
        try:
            await trio.sleep(min(wait_s, self._deadline_s))
            kept = wait_s <= self._deadline_s
        finally:
            process.waiting -= 1
            process.last_wait_s = self._clock()
            process.waited_s += process.last_wait_s - began_s
            self._metrics.listings_slowed_seconds.inc(process.last_wait_s - began_s)
            if not kept:
                process.tokens += 1.0  # its turn is somebody else's
        if not kept:
            raise DeadlineExceeded(
                f"{path}: {asker.name or 'a process'} ({asker.pid}) lists so many directories at"
                f" once that this one had no turn within {self._deadline_s:g} s",
                fix="mount.listings_per_s and mount.listings_burst are the limits",
            )

    def report(self) -> list[Crawler]:
        """Return the processes that were slowed down lately, those who wait and list most first."""
        now_s = self._clock()
        found = [
            Crawler(
                one.asker,
                one.uid,
                one.path,
                one.listings,
                one.listings / max(1.0, now_s - one.first_s),
                one.waiting,
                one.waited_s,
                now_s - one.slowed_s,
            )
            for one in self._processes.values()
            if one.slowed_s is not None and (one.waiting or now_s - one.last_wait_s < REPORTED_S)
        ]
        return sorted(found, key=lambda one: (-one.waiting, -one.listings))

    def _process(self, asker: Asker, uid: int) -> _Process:
        now_s = self._clock()
        key = (asker.pid, 0 if asker.pid else uid)
        process = self._processes.get(key)
        if process is None or (process.asker.name != asker.name and not process.waiting):
            # Another program: the number was used again, or it has called exec.
            process = _Process(asker, uid, self._burst, now_s, now_s)
            self._processes[key] = process
            if len(self._processes) > PROCESSES_MAX:
                self._processes.popitem(last=False)
        self._processes.move_to_end(key)
        gained = (now_s - process.filled_s) * self._rate_per_s
        process.tokens = min(self._burst, process.tokens + gained)
        process.filled_s = now_s
        return process

    def _slowed(self, process: _Process) -> None:
        self._metrics.listings_slowed.inc()
        if process.slowed_s is not None:
            return
        process.slowed_s = self._clock()
        log.warning(
            "process %d (%s, uid %d) lists %d directories of origins within %.0f s, now %s: it is"
            " slowed down to %g a second (mount.listings_per_s)",
            process.asker.pid,
            process.asker.name or "unknown",
            process.uid,
            process.listings,
            process.slowed_s - process.first_s,
            process.path,
            self._rate_per_s,
        )
