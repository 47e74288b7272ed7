"""The feed: entries that come in order and are looked at as they come, so that nothing keeps them.

A check needs no plan: it has no limits, and who sends a manifest in its own order names no path
twice. Event loop only.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator

import trio

from shotfs.errors import InvalidArgument
from shotfs.prewarm.manifest.files import Files, are_ordered
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
        self._give, self._take = trio.open_memory_channel[Files](WAITING_MAX)

    async def add(self, files: Files) -> None:
        """Let *files* follow those before; waits while too many are not looked at yet.

        Raises:
            InvalidArgument: they are not sorted by path, each once, or are too many.
        """
        if not are_ordered(files.paths, self._last):
            last = self._last
            for path in files.paths:
                if path <= last:
                    raise InvalidArgument(
                        f"{path[:200]!r} comes after {last[:200]!r}",
                        fix="send entries sorted by path, each once; or a prewarm that is not in"
                        " order",
                    )
                last = path
        if self.count + len(files) > ENTRIES_MAX:
            raise InvalidArgument(
                f"more than {ENTRIES_MAX} files are wanted", fix="name fewer targets at once"
            )
        if not len(files):
            return
        self._last = files.paths[-1]
        self.count += len(files)
        try:
            await self._give.send(files)
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            raise InvalidArgument("it has ended already") from None

    def end(self) -> None:
        """Let nothing follow."""
        self._give.close()

    def close(self) -> None:
        """Drop what nobody has looked at; `add` raises from now on."""
        self._give.close()
        self._take.close()

    async def pages(self, entries: int) -> AsyncGenerator[Files, None]:
        """Yield what comes, at most *entries* at once."""
        async for files in self._take:
            for start in range(0, len(files), entries):
                yield files.part(start, start + entries)
