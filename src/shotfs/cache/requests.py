"""The requests of one stream: how many, of what class, and what each fetches.

A request is put into the scheduler's queue for a class, and what it fetches is decided when its
turn has come: the most urgent of what is still missing then. So a reader who blocks takes over
the request that waits there for the background, in its place, and nothing is asked for twice.
Requests that nothing is wanted of any more leave the queue at once. Event loop only.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from itertools import islice

import trio

from shotfs.cache.blocks import BLOCK_BYTES, BlockMap, Run
from shotfs.cache.scheduling import FetchClass, FetchScheduler, Slot
from shotfs.cache.wanted import Need, Wanted
from shotfs.errors import ShotfsError
from shotfs.tiers.base import Revision, Span

RAMP_BLOCKS = 8
"""The first requests of the background are this large, later ones as large as what is here by
then: a reader who follows them sees progress when they end, not before."""


@dataclass(frozen=True, slots=True)
class UnderWay:
    """A request that is being answered.

    Attributes:
        span: what it fetches.
        fetch_class: why.
        since_s: how long it has been under way, in seconds.
    """

    span: Span
    fetch_class: FetchClass
    since_s: float


@dataclass(slots=True, eq=False)
class _Request:
    slot: Slot
    fetch_class: FetchClass
    scope: trio.CancelScope = field(default_factory=trio.CancelScope)
    run: Run | None = None
    began: float = 0.0


class Requests:
    """Keeps as many requests under way as are of use.

    Args:
        revision: what is fetched.
        blocks: what is missing.
        wanted: what to fetch of it, and in which order.
        scheduler: grants requests.
        whole: everything comes in one request.
        fetch: fetches a claimed run; False: it failed, and whoever waits for it was told.
        refused: told that no request of a class may be made, and why.
    """

    def __init__(
        self,
        revision: Revision,
        blocks: BlockMap,
        wanted: Wanted,
        scheduler: FetchScheduler,
        fetch: Callable[[Run, Slot], Awaitable[bool]],
        refused: Callable[[ShotfsError, FetchClass], None],
        *,
        whole: bool,
    ) -> None:
        self._revision = revision
        self._blocks = blocks
        self._wanted = wanted
        self._scheduler = scheduler
        self._fetch = fetch
        self._refused = refused
        self._whole = whole
        self._nursery: trio.Nursery | None = None
        self._queued: set[_Request] = set()
        self._under_way: set[_Request] = set()

    @property
    def window_bytes_max(self) -> int:
        """How far ahead of a reader it is worth being: what fills the way to the origin."""
        pace = self._scheduler.pace(self._revision.tier)
        return pace.range_bytes(FetchClass.LOOKAHEAD) * pace.parallel()

    def under_way(self) -> list[UnderWay]:
        """Return what is being fetched, the oldest first."""
        now = trio.current_time()
        found = [
            UnderWay(self._blocks.span_of(one.run), one.fetch_class, now - one.began)
            for one in self._under_way
            if one.run is not None
        ]
        return sorted(found, key=lambda one: -one.since_s)

    async def run_until(self, done: trio.Event) -> None:
        """Make requests until *done*; what is under way then is cancelled."""
        async with trio.open_nursery() as nursery:
            self._nursery = nursery
            try:
                self.pump()
                await done.wait()
            finally:
                self._nursery = None
                nursery.cancel_scope.cancel()

    def pump(self) -> None:
        """Bring the requests in line with what is wanted now."""
        if self._nursery is None:
            return
        parallel = self._scheduler.pace(self._revision.tier).parallel()
        self._pump_demand(parallel)
        self._pump_rest(parallel)

    def _pump_demand(self, parallel: int) -> None:
        limit = self._blocks_max(FetchClass.DEMAND)
        needs = list(islice(self._wanted.demands(limit), parallel))
        waiting = [one for one in self._queued if one.fetch_class is FetchClass.DEMAND]
        for surplus in waiting[len(needs) :]:
            surplus.scope.cancel()
            self._queued.discard(surplus)
        for need in needs[len(waiting) :]:
            others = [one for one in self._queued if one.fetch_class is not FetchClass.DEMAND]
            if others:
                self._promote(min(others, key=_age), FetchClass.DEMAND)
            else:
                self._start(need)

    def _pump_rest(self, parallel: int) -> None:
        limit = self._blocks_max(FetchClass.LOOKAHEAD)
        waiting = [one for one in self._queued if one.fetch_class is not FetchClass.DEMAND]
        if not self._blocks.present_bytes and any(
            one.fetch_class is FetchClass.DEMAND for one in (*self._under_way, *self._queued)
        ):
            return  # what somebody waits for has the link to itself; its arrival starts the rest
        busy = sum(one.fetch_class is not FetchClass.DEMAND for one in self._under_way)
        needs = list(islice(self._wanted.rest(limit), max(0, parallel - busy)))
        for surplus in waiting[len(needs) :]:
            surplus.scope.cancel()
            self._queued.discard(surplus)
        for one, need in zip(waiting, needs, strict=False):
            self._promote(one, need.fetch_class)
        for need in needs[len(waiting) :]:
            self._start(need)

    def _promote(self, request: _Request, fetch_class: FetchClass) -> None:
        if fetch_class < request.fetch_class:
            request.fetch_class = fetch_class
            request.slot.promote(fetch_class)

    def _start(self, need: Need) -> None:
        assert self._nursery is not None
        slot = self._scheduler.request(
            self._revision.tier,
            self._blocks.span_of(need.run).length_bytes,
            need.fetch_class,
            asker=need.asker,
            what=self._revision.key,
        )
        request = _Request(slot, need.fetch_class)
        self._queued.add(request)
        self._nursery.start_soon(self._run, request)

    async def _run(self, request: _Request) -> None:
        try:
            with request.scope:
                async with request.slot as slot:
                    run = self._claim(request)
                    self._queued.discard(request)
                    if run is not None:
                        await self._fetch(run, slot)
        except ShotfsError as error:  # the scheduler refused; `fetch` tells of its own errors
            self._refused(error, request.fetch_class)
        finally:
            self._queued.discard(request)
            self._under_way.discard(request)
            self.pump()

    def _claim(self, request: _Request) -> Run | None:
        """Return what is fetched with a slot: nothing that is less urgent than it was queued."""
        limit = max(1, -(-request.slot.length_bytes // BLOCK_BYTES))
        need = next(self._wanted.demands(limit), None)
        if need is None and request.fetch_class is not FetchClass.DEMAND:
            need = next(self._wanted.rest(limit), None)
        if need is None or need.fetch_class > request.fetch_class:
            return None
        run = self._blocks.claim(need.run, need.run.stop - need.run.first)
        request.fetch_class = need.fetch_class
        request.run, request.began = run, trio.current_time()
        self._under_way.add(request)
        if run is not None:
            self._wanted.position = run.stop
        return run

    def _blocks_max(self, fetch_class: FetchClass) -> int:
        if self._whole:
            return max(1, self._blocks.count)
        best = self._scheduler.pace(self._revision.tier).range_bytes(fetch_class) // BLOCK_BYTES
        if fetch_class is FetchClass.DEMAND:
            return max(1, best)
        if self._wanted.fill_class is FetchClass.PREWARM:
            return max(1, best)
        here = self._blocks.present_bytes // BLOCK_BYTES
        return max(1, min(best, max(RAMP_BLOCKS, here)))


def _age(request: _Request) -> int:
    return request.slot.serial
