"""Listings as generators that survive an error.

An async generator function is finished by the first exception that leaves it, so a retry in the
middle of 100,000 entries would start over. `Pages` keeps its place: ask again after an error and
it repeats the page that failed. Closing it holds nothing back and waits for nothing.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable
from types import TracebackType
from typing import Any, Generic, TypeVar

from shotfs.tiers.base import ListPage

Place = TypeVar("Place")


class Pages(AsyncGenerator[ListPage, None], Generic[Place]):
    """Pages from a function that fetches one and says where the next one is.

    Args:
        first: where to start.
        fetch: takes a place, returns its page and the next place (None: that was the last).
    """

    def __init__(
        self, first: Place, fetch: Callable[[Place], Awaitable[tuple[ListPage, Place | None]]]
    ) -> None:
        self._place: Place | None = first
        self._fetch = fetch

    async def asend(self, _: None) -> ListPage:
        """Return the next page."""
        if self._place is None:
            raise StopAsyncIteration
        page, self._place = await self._fetch(self._place)
        return page

    async def athrow(
        self,
        typ: type[BaseException] | BaseException,
        val: BaseException | object = None,
        tb: TracebackType | None = None,  # noqa: ARG002  # the generator protocol
    ) -> Any:
        """End the listing with an exception; `aclose` comes here with GeneratorExit."""
        self._place = None
        error = typ if isinstance(typ, BaseException) else typ()
        raise error if val is None or not isinstance(val, BaseException) else val
