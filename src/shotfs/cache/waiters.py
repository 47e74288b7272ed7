"""Who waits for a range of a stream. Each is woken by what concerns it. Event loop only."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import trio

from shotfs.cache.asker import Asker
from shotfs.cache.blocks import Run
from shotfs.cache.failures import disk_stalled, no_progress
from shotfs.cache.hashing import Progress
from shotfs.cache.reader import Reader
from shotfs.cache.scheduling import FetchClass
from shotfs.errors import ShotfsError
from shotfs.tiers.base import Revision, Span


@dataclass(frozen=True, slots=True)
class Wait:
    """Somebody who waits, for reports.

    Attributes:
        span: what for.
        since_s: how long, in seconds.
        fetch_class: how urgent it is to him.
        asker: who it is.
    """

    span: Span
    since_s: float
    fetch_class: FetchClass
    asker: Asker


@dataclass(slots=True, eq=False)
class Waiter:
    """Somebody who waits for *run*. `error` is what he is told when it does not come."""

    span: Span
    run: Run
    reader: Reader
    fetch_class: FetchClass
    began: float = field(default_factory=trio.current_time)
    error: ShotfsError | None = None
    _woken: trio.Event = field(default_factory=trio.Event)

    def touches(self, run: Run) -> bool:
        """Whether he waits for a part of *run*."""
        return self.run.first < run.stop and run.first < self.run.stop

    async def bytes_came(self, revision: Revision, limit_s: float) -> None:
        """Return when something happened that concerns him.

        Raises:
            TierTimeout: nothing did for *limit_s*.
        """
        with trio.move_on_after(limit_s) as scope:
            await self._woken.wait()
        self._woken = trio.Event()
        if scope.cancelled_caught:
            raise no_progress(revision, self.span, limit_s)

    async def verified(self, work: Progress, revision: Revision, limit_s: float) -> None:
        """Return when something happened, however long *work* takes while it moves.

        Raises:
            CacheStalled: it stood still for *limit_s*.
        """
        if not await work.wait(self._woken, limit_s):
            raise disk_stalled(f"{revision.tier}/{revision.key}", limit_s)
        self._woken = trio.Event()

    def wake(self) -> None:
        """Have him look again."""
        self._woken.set()


class Waiters:
    """All who wait for one stream."""

    __slots__ = ("_waiters",)

    def __init__(self) -> None:
        self._waiters: set[Waiter] = set()

    @contextmanager
    def waiting(self, waiter: Waiter) -> Iterator[None]:
        """Count him in for the block."""
        self._waiters.add(waiter)
        try:
            yield
        finally:
            self._waiters.discard(waiter)

    def wake(self, run: Run | None = None) -> None:
        """Wake who waits for a part of *run*; None: everybody."""
        for waiter in self._waiters:
            if run is None or waiter.touches(run):
                waiter.wake()

    def tell(self, run: Run, error: ShotfsError, *, demand: bool = True) -> None:
        """Tell who waits for a part of *run* that it does not come.

        Args:
            run: what does not come.
            error: why.
            demand: also who is blocked; else he is only woken, to ask for it again.
        """
        for waiter in self._waiters:
            if waiter.touches(run):
                if demand or waiter.fetch_class is not FetchClass.DEMAND:
                    waiter.error = error
                waiter.wake()

    def report(self) -> list[Wait]:
        """Return who waits for what, the longest waiting first."""
        now = trio.current_time()
        found = [
            Wait(one.span, now - one.began, one.fetch_class, one.reader.asker)
            for one in self._waiters
        ]
        return sorted(found, key=lambda one: -one.since_s)
