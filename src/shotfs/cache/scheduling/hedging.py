"""Hedging: a second request for one that is slower than its like; the first answer wins.

The first request writes to the file as always. The second one reads into memory, and its bytes
are written only when the first was cancelled and has let go of the file, which tiers promise
(`Tier.read_to_file` returns, or is cancelled, and writes nothing any more). So no two write the
same range at once, and nothing of a loser reaches a file after somebody verified it.
After Dean and Barroso, The Tail at Scale (2013).
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field

import trio

from shotfs.cache.scheduling.classes import FetchClass
from shotfs.cache.scheduling.scheduler import FetchScheduler
from shotfs.cache.scheduling.slot import Slot
from shotfs.digest import Buffer
from shotfs.tiers.base import Revision, Span, Tier


@dataclass(slots=True)
class _Attempt:
    """One of the two requests."""

    scope: trio.CancelScope = field(default_factory=trio.CancelScope)
    ended: bool = False
    error: Exception | None = None
    content: Buffer | None = None

    @property
    def won(self) -> bool:
        return self.ended and self.error is None

    @property
    def failed(self) -> bool:
        return self.error is not None


async def hedged_read_to_file(
    scheduler: FetchScheduler,
    slot: Slot,
    tier: Tier,
    revision: Revision,
    span: Span,
    descriptor: int,
) -> None:
    """As `Tier.read_to_file`; a slow demand request is sent a second time.

    Args:
        scheduler: knows what is slow, and how many second requests there may be.
        slot: of the first request, granted.
        tier: what to read from.
        revision: what to read.
        span: which bytes.
        descriptor: where to write them.
    """
    demand = slot.fetch_class is FetchClass.DEMAND
    after_s = scheduler.hedge_after_s(slot.origin, span.length_bytes) if demand else None
    if after_s is None:
        await tier.read_to_file(revision, span, descriptor)
    else:
        await _Race(scheduler, slot, tier, revision, span, descriptor).run(after_s)


class _Race:
    def __init__(
        self,
        scheduler: FetchScheduler,
        slot: Slot,
        tier: Tier,
        revision: Revision,
        span: Span,
        descriptor: int,
    ) -> None:
        self._scheduler = scheduler
        self._slot = slot
        self._tier = tier
        self._revision = revision
        self._span = span
        self._descriptor = descriptor
        self._first, self._second = _Attempt(), _Attempt()
        self._changed = trio.Event()

    async def run(self, after_s: float) -> None:
        """Return when one of them has brought the bytes; raise the first's error if none does."""
        length_bytes = self._span.length_bytes
        hedged = False
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._read_first)
                with trio.move_on_after(after_s):
                    await self._change()
                hedged = not self._first.ended and self._scheduler.hedges.take(length_bytes)
                if hedged:
                    self._scheduler.hedge_sent()
                    nursery.start_soon(self._read_second)
                    await self._decide()
            # Both have ended here; the first has let go of the file.
            if self._second.content is not None and not self._first.won:
                await trio.to_thread.run_sync(
                    _write_at, self._descriptor, self._second.content, self._span.start
                )
                self._scheduler.hedge_won()
            elif self._first.error is not None:
                raise self._first.error
        finally:
            if hedged:
                self._scheduler.hedges.give_back(length_bytes)

    async def _decide(self) -> None:
        """Wait for a winner, or for both to fail; end the other one."""
        while not (self._first.won or self._second.won):
            if self._first.failed and self._second.failed:
                return
            await self._change()
        self._first.scope.cancel()
        self._second.scope.cancel()

    async def _change(self) -> None:
        await self._changed.wait()
        self._changed = trio.Event()

    async def _read_first(self) -> None:
        with self._first.scope:
            try:
                await self._tier.read_to_file(self._revision, self._span, self._descriptor)
            except Exception as error:  # noqa: BLE001  # raised by `run`, if the second fails too
                self._first.error = error
            self._first.ended = True
        self._changed.set()

    async def _read_second(self) -> None:
        length_bytes = self._span.length_bytes
        again = self._scheduler.slot(
            self._slot.origin,
            length_bytes,
            FetchClass.DEMAND,
            asker=self._slot.asker,
            what=self._slot.what,
        )
        with self._second.scope:
            try:
                async with again:
                    again.record(length_bytes, 0.0)  # what a loser has moved is billed as well
                    began = trio.current_time()
                    self._second.content = await self._tier.read(self._revision, self._span)
                    again.record(length_bytes, trio.current_time() - began)
            except Exception as error:  # noqa: BLE001  # what the first one says is told
                self._second.error = error
            self._second.ended = True
        self._changed.set()


def _write_at(descriptor: int, content: Buffer, offset: int) -> None:
    rest = memoryview(content)
    while rest:
        count = os.pwrite(descriptor, rest, offset)
        rest, offset = rest[count:], offset + count
