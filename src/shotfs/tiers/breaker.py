"""Circuit breaker: an origin that is gone is not asked, so that nobody waits for it.

One for each origin. It counts failures in a row of the transport (refused, no route, no answer,
5xx); what the store says (not found, forbidden, another revision, "slow down") is an answer and
sets the count back. Enough of them make it suspicious, and it asks the origin itself: objects that
stall while the rest of the bucket works open nothing. If that fails too it opens. While it is open
every call fails at once with `OriginDown` (ENETDOWN), and the origin is probed, at growing pauses,
until it answers. One event loop.

    closed ──failures_max failures, and a probe fails──► open ◄──probe fails──┐
       ▲                                                  │ pause is over     │
       └────────any answer, of the probe or another───────┴──► half-open ─────┘

Reference: M. Nygard, "Release It!", Circuit Breaker.
"""

from __future__ import annotations

import logging
import random
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum, auto
from typing import cast

import trio

from shotfs.config import NetworkSettings
from shotfs.digest import Buffer, Checksums
from shotfs.errors import OriginDown, ShotfsError, TierBusy, TierError, TierUnavailable
from shotfs.observe.metrics import Metrics
from shotfs.tiers.base import (
    ListPage,
    Revision,
    Span,
    Tier,
    TierProperties,
    TreeLister,
    small_reader,
)
from shotfs.tiers.pages import Pages
from shotfs.tiers.probing import probing
from shotfs.tiers.sessions import Token, UploadSession

log = logging.getLogger(__name__)

CONFIRM_S = 5.0
"""How long the probe may take that decides whether a suspicion is true. Requests fail slowly until
then, and one that takes longer than this is no origin that anybody wants to wait for."""

PAUSE_S = 0.5
"""The first pause between probes; each next one is twice as long, up to `network.probe_s_max`."""

ORIGINS_MAX = 10_000
"""Suspicions that wait to be looked into: one for each origin at most."""


class BreakerState(StrEnum):
    """Whether calls are let through."""

    CLOSED = auto()
    """They are."""
    OPEN = auto()
    """They fail at once."""
    HALF_OPEN = auto()
    """They fail at once, and the origin is being asked whether it is back."""


@dataclass(frozen=True, slots=True)
class Reachability:
    """What a breaker knows of its origin.

    Attributes:
        reachable: calls are let through.
        since_s: for how long that is so, seconds since the epoch.
        last_error: of the transport, the latest one, be it over or not; "" if there was none.
        outages: how often the origin was found to be gone.
    """

    reachable: bool
    since_s: float
    last_error: str
    outages: int


class Breaker:
    """Decides whether one origin is asked.

    Args:
        origin: its name.
        probe: asks it something cheap; `Tier.check`, without retries.
        network: how patient we are.
        metrics: told of outages and of calls that were refused.
        suspect: called when somebody shall run `watch`. Must not block.
        clock: seconds since the epoch, for people.
        uniform: draws a number between two.

    Attributes:
        origin: as given.
        state: whether calls are let through.
        since_s: when it became closed, or stopped being closed; seconds since the epoch.
        last_error: of the transport, the latest one; "" if there was none.
        opens_total: how often it opened.
    """

    def __init__(
        self,
        origin: str,
        probe: Callable[[], Awaitable[None]],
        network: NetworkSettings,
        metrics: Metrics,
        *,
        suspect: Callable[[Breaker], None],
        clock: Callable[[], float] = time.time,
        uniform: Callable[[float, float], float] = random.uniform,
    ) -> None:
        self.origin = origin
        self.state = BreakerState.CLOSED
        self.since_s = clock()
        self.last_error = ""
        self.opens_total = 0
        self._probe = probe
        self._network = network
        self._metrics = metrics
        self._suspect = suspect
        self._clock = clock
        self._uniform = uniform
        self._failures = 0
        self._answers = 0
        self._watched = False
        self._closed = trio.Event()
        self._waiting: set[trio.CancelScope] = set()
        metrics.origin_up[origin].set(1)

    def __repr__(self) -> str:
        return f"Breaker({self.origin!r}, {self.state}, {self._failures} failures)"

    @property
    def reachability(self) -> Reachability:
        """What is known of the origin."""
        return Reachability(
            self.state is BreakerState.CLOSED, self.since_s, self.last_error, self.opens_total
        )

    @contextmanager
    def call(self, what: str, *, interrupt: bool) -> Iterator[None]:
        """Let the block ask the origin, or refuse; learn from how it ends.

        Args:
            what: for the error's message.
            interrupt: the block waits for an answer that is not coming once the breaker opens, so
                it is ended then. Not for what moves bytes: that may still be getting on.

        Raises:
            OriginDown: the breaker is open, or opened meanwhile.
        """
        if self.state is not BreakerState.CLOSED:
            raise self._refusal(what)
        scope = trio.CancelScope()
        if interrupt:
            self._waiting.add(scope)
        try:
            with scope:
                yield
                self.answered()
        except TierError as exc:
            if isinstance(exc, TierUnavailable) and not isinstance(exc, TierBusy):
                self.failed(exc)
            else:
                self.answered()
            raise
        finally:
            self._waiting.discard(scope)
        if scope.cancelled_caught:
            raise self._refusal(what)

    def _refusal(self, what: str) -> OriginDown:
        self._metrics.origin_refused[self.origin].inc()
        return OriginDown(
            f"origin {self.origin} cannot be reached since"
            f" {time.strftime('%H:%M:%S', time.localtime(self.since_s))} ({self.last_error}):"
            f" {what} was not tried",
            fix="what is cached works meanwhile; it is probed every few seconds"
            " (network.probe_s_max), see `shotfs status`",
        )

    def answered(self) -> None:
        """Note that the origin said something."""
        self._answers += 1
        self._failures = 0
        if self.state is not BreakerState.CLOSED:
            self._close()

    def failed(self, error: ShotfsError) -> None:
        """Note that the origin said nothing, or that it is broken."""
        self.last_error = error.message
        self._failures += 1
        limit = self._network.breaker_failures
        if limit and self._failures >= limit:
            self.doubt()

    def doubt(self) -> None:
        """Have the origin probed: there is reason to believe that it is gone."""
        if not self._watched and self._network.breaker_failures:
            self._watched = True
            self._suspect(self)

    async def watch(self) -> None:
        """Find out whether a suspicion is true; if it is, open, and probe until it is not."""
        try:
            patience_s = min(CONFIRM_S, self._network.metadata_timeout_s)
            if self.state is BreakerState.CLOSED and not await self._is_answered(patience_s):
                self._open()
                await self._probe_until_closed()
        finally:
            self._watched = False
            self._failures = 0

    async def _probe_until_closed(self) -> None:
        pause_s = PAUSE_S
        while True:
            # Not all nodes of a farm at the same moment.
            with trio.move_on_after(self._uniform(pause_s / 2, pause_s)):
                await self._closed.wait()
            if self.state is BreakerState.CLOSED:
                return
            self.state = BreakerState.HALF_OPEN
            if await self._is_answered(self._network.metadata_timeout_s):
                return
            self.state = BreakerState.OPEN
            pause_s = min(pause_s * 2, self._network.probe_s_max)

    async def _is_answered(self, patience_s: float) -> bool:
        """Ask the origin; whether it answered that, or some other call meanwhile."""
        before = self._answers
        try:
            with probing(), trio.move_on_after(patience_s) as scope:
                await self._probe()
                self.answered()
            if scope.cancelled_caught:
                self.last_error = f"a probe was not answered within {patience_s:g} s"
        except ShotfsError as exc:
            if isinstance(exc, TierUnavailable) and not isinstance(exc, TierBusy):
                self.last_error = exc.message
            else:
                self.answered()
        # A mistake in an adapter must not end the task that would close the breaker again.
        except Exception as exc:
            log.exception("a probe of origin %s failed", self.origin)
            self.last_error = f"{type(exc).__name__}: {exc}"
        return self._answers != before

    def _open(self) -> None:
        self.state = BreakerState.OPEN
        self.since_s = self._clock()
        self.opens_total += 1
        self._closed = trio.Event()
        self._metrics.origin_up[self.origin].set(0)
        self._metrics.origin_outages[self.origin].inc()
        log.warning(
            "origin %s is gone; what is cached still works, everything else fails at once: %s",
            self.origin,
            self.last_error,
        )
        for scope in self._waiting:
            scope.cancel()

    def _close(self) -> None:
        gone_s = self._clock() - self.since_s
        self.state = BreakerState.CLOSED
        self.since_s = self._clock()
        self._closed.set()
        self._metrics.origin_up[self.origin].set(1)
        log.warning("origin %s is back after %.1f s", self.origin, gone_s)


class BreakerWatch:
    """The breakers of a node, and the tasks that probe for them."""

    def __init__(self) -> None:
        self._breakers: dict[str, Breaker] = {}
        self._suspects_in, self._suspects_out = trio.open_memory_channel[Breaker](ORIGINS_MAX)

    def add(self, breaker: Breaker) -> None:
        """Note a new breaker."""
        self._breakers[breaker.origin] = breaker

    def of(self, origin: str) -> Breaker | None:
        """Return the breaker of the origin with that name; None: it has none, or is not open."""
        return self._breakers.get(origin)

    def refuses(self, origin: str) -> bool:
        """Whether the origin with that name is gone, so that it is not asked."""
        breaker = self._breakers.get(origin)
        return breaker is not None and breaker.state is not BreakerState.CLOSED

    def doubt(self, origin: str) -> None:
        """Note that there is reason to believe that the origin with that name is gone."""
        breaker = self._breakers.get(origin)
        if breaker is not None:
            breaker.doubt()

    def suspected(self, breaker: Breaker) -> None:
        """Have *breaker* look whether its origin is gone. Without `run` nobody ever does."""
        self._suspects_in.send_nowait(breaker)

    async def run(self) -> None:
        """Probe for ever. Run in a nursery; cancel to stop."""
        async with trio.open_nursery() as nursery:
            async for breaker in self._suspects_out:
                nursery.start_soon(breaker.watch)


class BreakerTier:
    """A tier that is not asked while its origin is gone. Inside the retries, around the traces."""

    def __init__(self, inner: Tier, breaker: Breaker) -> None:
        self._inner = inner
        self._breaker = breaker

    def __repr__(self) -> str:
        return f"BreakerTier({self._inner!r})"

    @property
    def name(self) -> str:
        """As `Tier.name`."""
        return self._inner.name

    @property
    def properties(self) -> TierProperties:
        """As `Tier.properties`."""
        return self._inner.properties

    async def stat(self, key: str) -> Revision:
        """As `Tier.stat`."""
        with self._breaker.call(f"stat {key}", interrupt=True):
            return await self._inner.stat(key)

    def list(self, prefix: str) -> AsyncGenerator[ListPage, None]:
        """As `Tier.list`."""
        return self._listed(prefix, self._inner.list(prefix))

    def _listed(
        self, prefix: str, pages: AsyncGenerator[ListPage, None]
    ) -> AsyncGenerator[ListPage, None]:
        async def fetch(_: bool) -> tuple[ListPage, bool | None]:
            page: ListPage | None = None
            with self._breaker.call(f"list {prefix}", interrupt=True):
                page = await anext(pages, None)
            if page is None:
                raise StopAsyncIteration
            return page, True

        return Pages(True, fetch)

    async def list_from(self, start: str) -> ListPage:
        """As `TreeLister.list_from`."""
        with self._breaker.call(f"list {start}", interrupt=True):
            return await cast(TreeLister, self._inner).list_from(start)

    async def keeps_versions(self) -> bool:
        """As `Tier.keeps_versions`."""
        with self._breaker.call("keeps_versions", interrupt=True):
            return await self._inner.keeps_versions()

    async def stat_at(self, key: str, at_ns: int) -> Revision:
        """As `Tier.stat_at`."""
        with self._breaker.call(f"stat {key}", interrupt=True):
            return await self._inner.stat_at(key, at_ns)

    def list_at(self, prefix: str, at_ns: int) -> AsyncGenerator[ListPage, None]:
        """As `Tier.list_at`."""
        return self._listed(prefix, self._inner.list_at(prefix, at_ns))

    async def recorded(self, revision: Revision) -> Mapping[str, str]:
        """As `Tier.recorded`."""
        with self._breaker.call(f"stat {revision.key}", interrupt=True):
            return await self._inner.recorded(revision)

    async def read(self, revision: Revision, span: Span) -> Buffer:
        """As `Tier.read`."""
        with self._breaker.call(f"read {revision.key}", interrupt=False):
            return await self._inner.read(revision, span)

    async def read_small(self, revisions: Sequence[Revision]) -> Sequence[Buffer | None]:
        """As `SmallReader.read_small`."""
        inner = small_reader(self._inner)
        if inner is None:
            return [None]
        with self._breaker.call(f"read {revisions[0].key}", interrupt=False):
            return await inner.read_small(revisions)

    async def read_to_file(self, revision: Revision, span: Span, descriptor: int) -> None:
        """As `Tier.read_to_file`."""
        with self._breaker.call(f"read {revision.key}", interrupt=False):
            await self._inner.read_to_file(revision, span, descriptor)

    async def put(
        self,
        key: str,
        source: bytes | str,
        *,
        expect: Revision | None,
        checksums: Checksums,
        mtime_ns: int,
        metadata: Mapping[str, str],
        session: UploadSession | None = None,
    ) -> Revision:
        """As `Tier.put`."""
        with self._breaker.call(f"put {key}", interrupt=False):
            return await self._inner.put(
                key,
                source,
                expect=expect,
                checksums=checksums,
                mtime_ns=mtime_ns,
                metadata=metadata,
                session=session,
            )

    async def give_up(self, key: str, token: Token) -> None:
        """As `Tier.give_up`."""
        with self._breaker.call(f"give up {key}", interrupt=True):
            await self._inner.give_up(key, token)

    async def delete(self, key: str, *, expect: Revision | None) -> None:
        """As `Tier.delete`."""
        with self._breaker.call(f"delete {key}", interrupt=False):
            await self._inner.delete(key, expect=expect)

    async def check(self) -> None:
        """As `Tier.check`."""
        with self._breaker.call("check", interrupt=True):
            await self._inner.check()

    async def aclose(self) -> None:
        """As `Tier.aclose`."""
        await self._inner.aclose()
