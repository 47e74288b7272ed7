"""Pages: many files that a prewarm wants, handed over at once.

Small ones go to `batches` together, so that none has a task, an event or an exception of its own;
what no batch can bring, and large ones, are fetched one by one, some at a time. Event loop only.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Sequence

import trio

from shotfs.cache.asker import Asker
from shotfs.cache.batches import Batches
from shotfs.cache.scheduling import FetchClass
from shotfs.digest import Digest
from shotfs.errors import ShotfsError
from shotfs.tiers.base import Revision, SmallReader, Tier

STREAMS_AT_ONCE = 8
"""Files of one page that are fetched by streams; the scheduler decides about requests."""

Told = Callable[[int, Digest | ShotfsError], None]
"""Told once of each file, by its position: its digest when it is here, or why it did not come."""

FetchOne = Callable[[Tier, Revision], Awaitable[Digest]]


class Page:
    """Files that are fetched together.

    Args:
        batches: for small files.
        fetch_one: fetches one file by a stream; raises ShotfsError.
        wanted: where to fetch from, and what.
        told: of each, as it ends.
        asker: who wants them.
    """

    def __init__(
        self,
        batches: Batches,
        fetch_one: FetchOne,
        wanted: Sequence[tuple[Tier, Revision]],
        told: Told,
        asker: Asker,
    ) -> None:
        self._batches = batches
        self._fetch_one = fetch_one
        self._wanted = wanted
        self._told = told
        self._asker = asker

    async def fetch(self, fetch_class: FetchClass) -> None:
        """Have all of them here; see `Cache.fetch_all`."""
        small: dict[str, tuple[SmallReader, list[int]]] = {}
        others: list[int] = []
        for position, (tier, revision) in enumerate(self._wanted):
            reader = self._batches.suits(tier, revision, fetch_class)
            if reader is None:
                others.append(position)
            else:
                small.setdefault(revision.tier, (reader, []))[1].append(position)
        async with trio.open_nursery() as nursery:
            for reader, positions in small.values():
                nursery.start_soon(self._together, reader, positions)
            if others:
                nursery.start_soon(self._one_by_one, others)

    async def _together(self, reader: SmallReader, positions: list[int]) -> None:
        left = await self._batches.fetch_page(
            reader,
            [self._wanted[position][1] for position in positions],
            self._asker,
            lambda at, digest: self._told(positions[at], digest),
        )
        if left:
            await self._one_by_one([positions[at] for at in left])

    async def _one_by_one(self, positions: Sequence[int]) -> None:
        waiting = iter(positions)
        async with trio.open_nursery() as streams:
            for _ in range(min(STREAMS_AT_ONCE, len(positions))):
                streams.start_soon(self._work, waiting)

    async def _work(self, positions: Iterator[int]) -> None:
        for position in positions:
            try:
                digest = await self._fetch_one(*self._wanted[position])
            except ShotfsError as error:
                self._told(position, error)
            else:
                self._told(position, digest)
