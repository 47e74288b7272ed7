"""Which paths are being changed: operations on the same or nested paths wait for each other.

A change of names is checked, journalled and then applied; nothing else may change those names in
between. One lock for the whole spool would be simpler but would forbid group commits.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import trio


class Claims:
    """The paths under change. A claim covers the path and everything below it."""

    def __init__(self) -> None:
        self._claimed: set[str] = set()
        self._waiting = trio.Condition()

    @asynccontextmanager
    async def hold(self, *paths: str) -> AsyncIterator[None]:
        """Hold *paths* until the block ends; waits for holders of the same or nested ones."""
        wanted = set(paths)
        async with self._waiting:
            while any(_nested(one, other) for one in wanted for other in self._claimed):
                await self._waiting.wait()
            self._claimed |= wanted
        try:
            yield
        finally:
            self._claimed -= wanted
            with trio.CancelScope(shield=True):
                async with self._waiting:
                    self._waiting.notify_all()


def _nested(one: str, other: str) -> bool:
    return one == other or one.startswith(other + "/") or other.startswith(one + "/")
