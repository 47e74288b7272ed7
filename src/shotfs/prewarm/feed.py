"""The feed: entries that come in order and are looked at as they come, so that nothing keeps them.

A check needs no plan: it has no limits, and who sends a manifest in its own order names no path
twice. Event loop only.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence

import trio

from shotfs.errors import InvalidArgument
from shotfs.prewarm.manifest import Entry
from shotfs.prewarm.plan import ENTRIES_MAX

WAITING_MAX = 2
"""Parts that wait to be looked at, of some thousand entries each; who sends more waits, too."""


class Feed:
    """Entries on their way from who sends a manifest to who looks at it.

    Attributes:
        count: entries that came.
    """

    def __init__(self) -> None:
        self.count = 0
        self._last = ""
        self._give, self._take = trio.open_memory_channel[Sequence[Entry]](WAITING_MAX)

    async def add(self, entries: Sequence[Entry]) -> None:
        """Let *entries* follow those before; waits while too many are not looked at yet.

        Raises:
            InvalidArgument: they are not sorted by path, each once, or are too many.
        """
        last = self._last
        for entry in entries:
            if entry.path <= last:
                raise InvalidArgument(
                    f"{entry.path[:200]!r} comes after {last[:200]!r}",
                    fix="send entries sorted by path, each once; or a prewarm that is not in order",
                )
            last = entry.path
        if self.count + len(entries) > ENTRIES_MAX:
            raise InvalidArgument(
                f"more than {ENTRIES_MAX} files are wanted", fix="name fewer targets at once"
            )
        self._last = last
        self.count += len(entries)
        try:
            await self._give.send(entries)
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            raise InvalidArgument("it has ended already") from None

    def end(self) -> None:
        """Let nothing follow."""
        self._give.close()

    def close(self) -> None:
        """Drop what nobody has looked at; `add` raises from now on."""
        self._give.close()
        self._take.close()

    async def pages(self, entries: int) -> AsyncGenerator[Sequence[Entry], None]:
        """Yield what comes, as lists of at most *entries*."""
        async for part in self._take:
            for start in range(0, len(part), entries):
                yield part[start : start + entries]
