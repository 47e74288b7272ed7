"""Something asynchronous, open in an event loop of its own, for the rules of a state machine."""

from __future__ import annotations

import threading
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from typing import Any, Generic, TypeVar

import trio

T = TypeVar("T")
V = TypeVar("V")


class Life(Generic[V]):
    """What *opened* gives, in a thread of its own, until `end`.

    Attributes:
        value: what was opened.
    """

    value: V

    def __init__(self, opened: AbstractAsyncContextManager[V]) -> None:
        self._ready = threading.Event()
        self._thread = threading.Thread(target=trio.run, args=(self._serve, opened))
        self._thread.start()
        self._ready.wait()

    async def _serve(self, opened: AbstractAsyncContextManager[V]) -> None:
        self._token = trio.lowlevel.current_trio_token()
        self._end = trio.Event()
        async with opened as self.value:
            self._ready.set()
            await self._end.wait()

    def run(self, call: Callable[..., Awaitable[T]], *arguments: Any) -> T:
        """Return what *call* returns there."""
        return trio.from_thread.run(call, *arguments, trio_token=self._token)

    def end(self) -> None:
        """Close it and end the thread."""
        trio.from_thread.run_sync(self._end.set, trio_token=self._token)
        self._thread.join()
