"""Reading without keeping: for files that the cache has no room for.

Each open file has at most one window of bytes, paid for from one budget over all of them. A
sequential reader gets a large window; a random one, or one that comes when the budget is spent,
gets exactly what it asks for.
"""

from __future__ import annotations

from dataclasses import dataclass

import trio

from shotfs.cache.asker import NOBODY, Asker
from shotfs.cache.scheduling import FetchClass, FetchScheduler
from shotfs.digest import Buffer
from shotfs.errors import ObjectNotFound, RevisionChanged, TierTimeout
from shotfs.tiers.base import Revision, Span, Tier

WINDOW_BYTES = 4 * 1024 * 1024
"""What a sequential reader fetches at once."""


@dataclass(slots=True)
class WindowBudget:
    """Bytes that all windows together may have."""

    bytes_max: int
    used_bytes: int = 0

    def take(self, length_bytes: int) -> bool:
        """Take bytes from the budget; False: there are not so many left."""
        if self.used_bytes + length_bytes > self.bytes_max:
            return False
        self.used_bytes += length_bytes
        return True

    def give_back(self, length_bytes: int) -> None:
        """Return what was taken."""
        self.used_bytes -= length_bytes


class DirectReader:
    """One open file that is not kept. Reads of one reader go one after the other."""

    def __init__(
        self,
        tier: Tier,
        revision: Revision,
        scheduler: FetchScheduler,
        budget: WindowBudget,
        deadline_s: float,
        asker: Asker = NOBODY,
    ) -> None:
        self._tier = tier
        self._revision = revision
        self._scheduler = scheduler
        self._budget = budget
        self._deadline_s = deadline_s
        self._asker = asker
        self._lock = trio.Lock()
        self._window: Buffer = b""
        self._window_span = Span(0, 0)
        self._next = 0
        self._closed = False
        self.bytes_fetched = 0

    def read_now(self, span: Span) -> Buffer | None:
        """Return *span* if the window has it."""
        window = self._window_span
        if not window.start <= span.start <= span.stop <= window.stop:
            return None
        return memoryview(self._window)[span.start - window.start : span.stop - window.start]

    async def read(self, span: Span) -> Buffer:
        """Return *span*, fetching it if need be.

        Raises:
            TierTimeout: it did not come within the deadline.
            RevisionChanged: the object was replaced or deleted.
            TierError: the origin failed.
        """
        try:
            with trio.fail_after(self._deadline_s):
                async with self._lock:
                    found = self.read_now(span)
                    return found if found is not None else await self._fetch(span)
        except trio.TooSlowError:
            raise TierTimeout(
                f"{self._revision.tier}/{self._revision.key}: bytes [{span.start}, {span.stop})"
                f" did not come within {self._deadline_s:g} s"
            ) from None
        except ObjectNotFound as error:
            raise RevisionChanged(
                f"{self._revision.tier}/{self._revision.key} was deleted while it was read",
                fix="open the file again",
            ) from error

    def close(self) -> None:
        """Drop the window. Idempotent."""
        self._closed = True
        self._drop_window()

    async def _fetch(self, span: Span) -> Buffer:
        self._drop_window()
        window = self._window_for(span)
        kept = window.length_bytes > span.length_bytes
        # The window is paid for before its bytes come, and given back if they do not.
        try:
            origin = self._revision.tier
            async with self._scheduler.slot(
                origin, window.length_bytes, FetchClass.DEMAND,
                asker=self._asker, what=self._revision.key,
            ) as slot:  # fmt: skip
                began = trio.current_time()
                content = await self._tier.read(self._revision, window)
                slot.record(window.length_bytes, trio.current_time() - began)
        except BaseException:
            if kept:
                self._budget.give_back(window.length_bytes)
            raise
        self.bytes_fetched += window.length_bytes
        self._next = span.stop
        if not kept:
            return content
        if self._closed:
            self._budget.give_back(window.length_bytes)
        else:
            self._window, self._window_span = content, window
        return memoryview(content)[: span.length_bytes]

    def _window_for(self, span: Span) -> Span:
        stop = min(span.start + WINDOW_BYTES, self._revision.size_bytes)
        sequential = self._next <= span.start <= self._next + WINDOW_BYTES
        if not sequential or stop <= span.stop or not self._budget.take(stop - span.start):
            return span
        return Span(span.start, stop)

    def _drop_window(self) -> None:
        self._budget.give_back(self._window_span.length_bytes)
        self._window, self._window_span = b"", Span(0, 0)
