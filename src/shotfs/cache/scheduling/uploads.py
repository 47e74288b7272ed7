"""Turns of uploads: one slot of class PUBLISH for each part, so demand goes between two parts.

A tier reads the source of a put in parts (`tiers.source`), takes a turn for each, and may send some
side by side. Tiers that copy a file whole get the turn of its first part and keep it.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from types import TracebackType

import trio

from shotfs.cache.scheduling.classes import FetchClass
from shotfs.cache.scheduling.scheduler import FetchScheduler
from shotfs.tiers.source import PART_TURN


class UploadTurns:
    """Gives uploads their turns.

    Args:
        scheduler: whose class PUBLISH they are.
        part_bytes: of one part, as tiers send it.
    """

    def __init__(self, scheduler: FetchScheduler, part_bytes: int) -> None:
        self._scheduler = scheduler
        self._part_bytes = part_bytes

    def hurry(self) -> None:
        """Let uploads go before all that nobody waits for, on every connection, from now on.

        For a node that leaves: what is fetched ahead will be of no use to it.
        """
        self._scheduler.favour_uploads()

    @asynccontextmanager
    async def turn(self, origin: str, size_bytes: int, what: str) -> AsyncIterator[None]:
        """Wait for the first turn; the put in the block waits for the others.

        Args:
            origin: the tier's name.
            size_bytes: of the whole.
            what: what it is about, for reports.
        """
        upload = _Upload(self._scheduler, origin, what)
        async with AsyncExitStack() as stack:
            await upload.take_first(min(size_bytes, self._part_bytes))
            stack.push_async_exit(upload.leave)
            token = PART_TURN.set(upload.part)
            try:
                yield
            finally:
                PART_TURN.reset(token)


class _Upload:
    """The turns of one upload. The first one is taken before the put begins."""

    def __init__(self, scheduler: FetchScheduler, origin: str, what: str) -> None:
        self._scheduler = scheduler
        self._origin = origin
        self._what = what
        self._first: AsyncExitStack | None = None

    async def take_first(self, length_bytes: int) -> None:
        """Wait for a turn and keep it for the first part."""
        first = AsyncExitStack()
        await first.enter_async_context(self._slot(length_bytes))
        self._first = first

    @asynccontextmanager
    async def part(self, length_bytes: int) -> AsyncIterator[None]:
        """Hold the turn of one part; parts may do so side by side."""
        first, self._first = self._first, None
        async with self._slot(length_bytes) if first is None else first:
            yield

    async def leave(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Give the first turn back if no part has taken it: the whole went in one."""
        first, self._first = self._first, None
        if first is not None:
            await first.__aexit__(kind, error, trace)

    @asynccontextmanager
    async def _slot(self, length_bytes: int) -> AsyncIterator[None]:
        async with self._scheduler.slot(
            self._origin, length_bytes, FetchClass.PUBLISH, what=self._what
        ) as slot:
            began = trio.current_time()
            yield
            slot.record(slot.length_bytes, trio.current_time() - began)
