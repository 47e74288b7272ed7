"""The supply: pages of a plan that still grows, so that fetching need not wait for looking up.

The most wanted of what is known goes first. Who has a limit or a deadline looks everything up
before he begins, since then it counts what is left. Event loop only.
"""

from __future__ import annotations

from collections.abc import (
    AsyncGenerator,
    AsyncIterable,
    AsyncIterator,
    Awaitable,
    Callable,
    Sequence,
)
from contextlib import aclosing, asynccontextmanager

import trio

from shotfs.errors import ShotfsError
from shotfs.prewarm.engine import PAGE_ENTRIES
from shotfs.prewarm.manifest import Entry
from shotfs.prewarm.plan import Plan

HUNGRY_ENTRIES = 64
"""So many are handed over together to somebody who waits for them; else a page."""


class Supply:
    """What is wanted, on its way from who looks it up to who fetches it.

    Args:
        plan: keeps it; may have entries already.
        disk: of the threads that work on it, one at a time.
    """

    def __init__(self, plan: Plan, disk: trio.CapacityLimiter) -> None:
        self._plan = plan
        self._disk = disk
        self._changed = trio.Event()
        self._unplanned: list[Entry] = []
        self._hungry = False
        self._ended = False
        self._failure: ShotfsError | None = None

    async def fill(self, entries: AsyncIterable[Entry]) -> None:
        """Want *entries*, too.

        Raises:
            ShotfsError: as `Plan.add`, and what *entries* raise.
        """
        async for entry in entries:
            self._unplanned.append(entry)
            if len(self._unplanned) >= PAGE_ENTRIES:
                await self._plan_them()
            elif self._hungry and len(self._unplanned) >= HUNGRY_ENTRIES:
                self._wake()
        await self._plan_them()

    @asynccontextmanager
    async def filled_by(
        self, look_up: Callable[[], Awaitable[None]]
    ) -> AsyncIterator[AsyncGenerator[Sequence[Entry], None]]:
        """Give the pages of what is wanted, each path once, while *look_up* adds more of it.

        Raises:
            ShotfsError: *look_up* failed; then the pages end.
        """

        async def work() -> None:
            try:
                await look_up()
            except ShotfsError as error:
                # Kept instead of raised: an exception group says less.
                self._failure = error
            self._ended = True
            self._wake()

        async with trio.open_nursery() as nursery:
            nursery.start_soon(work)
            async with aclosing(self._pages()) as pages:
                yield pages
            nursery.cancel_scope.cancel()
        if self._failure is not None:
            raise self._failure

    async def _pages(self) -> AsyncGenerator[Sequence[Entry], None]:
        while self._failure is None:
            changed, ended = self._changed, self._ended
            page = await trio.to_thread.run_sync(self._plan.take, PAGE_ENTRIES, limiter=self._disk)
            if page:
                yield page
            elif self._unplanned:
                await self._plan_them()  # who looks them up may wait for his origin
            elif ended:
                return
            else:
                self._hungry = True
                await changed.wait()
                self._hungry = False

    async def _plan_them(self) -> None:
        page, self._unplanned = self._unplanned, []
        if page:
            await trio.to_thread.run_sync(self._plan.add, page, limiter=self._disk)
            self._wake()

    def _wake(self) -> None:
        self._changed.set()
        self._changed = trio.Event()
