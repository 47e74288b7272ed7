"""Turns of uploads: one slot of class PUBLISH for each part, so demand goes between two parts.

A tier reads the source of a put in parts (`tiers.source`) and asks for a turn before each. Tiers
that copy a file whole get the turn of its first part and keep it.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

import trio

from shotfs.cache.scheduling.classes import FetchClass
from shotfs.cache.scheduling.scheduler import FetchScheduler
from shotfs.cache.scheduling.slot import Slot
from shotfs.tiers.source import BEFORE_PART


class UploadTurns:
    """Gives uploads their turns.

    Args:
        scheduler: whose class PUBLISH they are.
        part_bytes: of one part, as tiers send it.
    """

    def __init__(self, scheduler: FetchScheduler, part_bytes: int) -> None:
        self._scheduler = scheduler
        self._part_bytes = part_bytes

    @asynccontextmanager
    async def turn(self, origin: str, size_bytes: int, what: str) -> AsyncIterator[None]:
        """Wait for the first turn; the put in the block waits for the others.

        Args:
            origin: the tier's name.
            size_bytes: of the whole.
            what: what it is about, for reports.
        """
        async with AsyncExitStack() as stack:
            upload = _Upload(self._scheduler, origin, what, stack)
            await upload.next_turn(min(size_bytes, self._part_bytes))
            token = BEFORE_PART.set(upload.before_part)
            try:
                yield
                upload.sent()
            finally:
                BEFORE_PART.reset(token)


class _Upload:
    def __init__(
        self, scheduler: FetchScheduler, origin: str, what: str, stack: AsyncExitStack
    ) -> None:
        self._scheduler = scheduler
        self._origin = origin
        self._what = what
        self._stack = stack
        self._slot: Slot | None = None
        self._began = 0.0
        self._fresh = False

    async def before_part(self, length_bytes: int) -> None:
        if self._fresh:
            self._fresh = False
            return
        self.sent()
        await self._stack.aclose()
        await self.next_turn(length_bytes)
        self._fresh = False

    async def next_turn(self, length_bytes: int) -> None:
        slot = self._scheduler.slot(self._origin, length_bytes, FetchClass.PUBLISH, what=self._what)
        self._slot = await self._stack.enter_async_context(slot)
        self._began = trio.current_time()
        self._fresh = True

    def sent(self) -> None:
        if self._slot is not None:
            self._slot.record(self._slot.length_bytes, trio.current_time() - self._began)
