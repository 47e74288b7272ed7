"""Retries around a tier: attempts, back-off with full jitter, and a budget for each origin.

Only errors that say `retryable` are tried again. A put whose outcome is unknown (the connection
went after the store may have committed) is never sent again before the store was asked what it
has: our bytes, proven by the store's own md5, are a success; anything else is a lost race, which
the caller settles by reading.

References: https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/ (full
jitter), and the Google SRE book, "Handling Overload" (the budget).
"""

from __future__ import annotations

import logging
import random
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from typing import TypeVar, cast

import trio

from shotfs.config import NetworkSettings
from shotfs.digest import Buffer, Checksums
from shotfs.errors import (
    ObjectNotFound,
    OriginDown,
    PreconditionFailed,
    TierError,
    TierTimeout,
)
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
from shotfs.tiers.sessions import Token, UploadSession

T = TypeVar("T")

log = logging.getLogger(__name__)

_BURST_S = 10.0
"""How many seconds of its rate a budget saves up: enough for every connection of an origin to
try again once after a short outage."""

METADATA_TIMEOUTS = 3
"""All attempts of one look-up together take at most this many `network.metadata_timeout_s`, 60 s
with the defaults: the application that waits for it has given up by then (mount.request_deadline_s)
and the next one asks again."""


class RetryBudget:
    """A token bucket: how many retries an origin gets. When it is empty, errors are reported.

    Args:
        rate_per_s: how fast it fills.
        clock: seconds, monotonic.
    """

    def __init__(self, rate_per_s: float, clock: Callable[[], float] = trio.current_time) -> None:
        self._rate_per_s = rate_per_s
        self._clock = clock
        self._tokens_max = max(1.0, rate_per_s * _BURST_S)
        self._tokens = self._tokens_max
        self._filled_at: float | None = None

    def take(self) -> bool:
        """Take one retry; False if there is none."""
        now = self._clock()
        if self._filled_at is not None:
            gained = (now - self._filled_at) * self._rate_per_s
            self._tokens = min(self._tokens_max, self._tokens + gained)
        self._filled_at = now
        if self._tokens < 1.0:
            return False
        self._tokens -= 1.0
        return True


class Retrier:
    """Runs calls until they succeed, fail for good, or use up attempts or budget."""

    def __init__(
        self,
        origin: str,
        network: NetworkSettings,
        metrics: Metrics,
        uniform: Callable[[float, float], float] = random.uniform,
    ) -> None:
        self._origin = origin
        self._network = network
        self._metrics = metrics
        self._uniform = uniform
        self._budget = RetryBudget(network.retry_budget_per_s)

    async def call(self, what: str, attempt: Callable[[], Awaitable[T]]) -> T:
        """Return what *attempt* returns, tried as often as it takes and as is allowed.

        Raises:
            What the last attempt raised.
        """
        count = 0
        while True:
            try:
                return await attempt()
            except TierError as exc:
                count += 1
                if not await self.pause(what, exc, count):
                    raise

    async def call_soon(self, what: str, attempt: Callable[[], Awaitable[T]]) -> T:
        """As `call`, for metadata: all attempts together have a deadline.

        Raises:
            TierTimeout: it passed.
        """
        total_s = METADATA_TIMEOUTS * self._network.metadata_timeout_s
        with trio.move_on_after(total_s):
            return await self.call(what, attempt)
        raise TierTimeout(
            f"{self._origin}: {what} did not succeed within {total_s:g} s",
            fix="see the log for the attempts; network.metadata_timeout_s decides, times"
            f" {METADATA_TIMEOUTS}",
        )

    async def pause(self, what: str, exc: TierError, attempts: int) -> bool:
        """After *attempts* attempts, wait for the next one; False if there shall be none."""
        if not exc.retryable or attempts >= self._network.attempts_max:
            return False
        if isinstance(exc, OriginDown):
            return False  # it is probed by somebody else; waiting here would help nobody
        if not self._budget.take():
            log.warning(
                "origin %s: retry budget used up, %s fails now (network.retry_budget_per_s = %g)",
                self._origin,
                what,
                self._network.retry_budget_per_s,
            )
            return False
        ceiling = min(self._network.backoff_s_max, self._network.backoff_s * 2.0 ** (attempts - 1))
        self._metrics.tier_retries[self._origin].inc()
        log.info("origin %s: %s is tried again: %s", self._origin, what, exc.message)
        await trio.sleep(self._uniform(0.0, ceiling))
        return True


class RetryingTier:
    """A tier whose transient errors are retried."""

    def __init__(self, inner: Tier, retrier: Retrier) -> None:
        self._inner = inner
        self._retrier = retrier

    def __repr__(self) -> str:
        return f"RetryingTier({self._inner!r})"

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
        return await self._retrier.call_soon(f"stat {key}", lambda: self._inner.stat(key))

    def list(self, prefix: str) -> AsyncGenerator[ListPage, None]:
        """As `Tier.list`. A page that fails is repeated; the listing does not start over."""
        return self._listed(prefix, self._inner.list(prefix))

    def _listed(
        self, prefix: str, pages: AsyncGenerator[ListPage, None]
    ) -> AsyncGenerator[ListPage, None]:
        async def fetch(_: bool) -> tuple[ListPage, bool | None]:
            return await self._retrier.call_soon(f"list {prefix}", pages.__anext__), True

        return Pages(True, fetch)

    async def list_from(self, start: str) -> ListPage:
        """As `TreeLister.list_from`."""
        inner = cast(TreeLister, self._inner)
        return await self._retrier.call_soon(f"list {start}", lambda: inner.list_from(start))

    async def keeps_versions(self) -> bool:
        """As `Tier.keeps_versions`."""
        return await self._retrier.call_soon("keeps_versions", self._inner.keeps_versions)

    async def stat_at(self, key: str, at_ns: int) -> Revision:
        """As `Tier.stat_at`."""
        return await self._retrier.call_soon(f"stat {key}", lambda: self._inner.stat_at(key, at_ns))

    def list_at(self, prefix: str, at_ns: int) -> AsyncGenerator[ListPage, None]:
        """As `Tier.list_at`. A page that fails is repeated."""
        return self._listed(prefix, self._inner.list_at(prefix, at_ns))

    async def recorded(self, revision: Revision) -> Mapping[str, str]:
        """As `Tier.recorded`."""
        return await self._retrier.call_soon(
            f"stat {revision.key}", lambda: self._inner.recorded(revision)
        )

    async def read(self, revision: Revision, span: Span) -> Buffer:
        """As `Tier.read`."""
        return await self._retrier.call(
            f"read {revision.key}", lambda: self._inner.read(revision, span)
        )

    async def read_small(self, revisions: Sequence[Revision]) -> Sequence[Buffer | None]:
        """As `SmallReader.read_small`, which tries nothing again."""
        inner = small_reader(self._inner)
        return [None] if inner is None else await inner.read_small(revisions)

    async def read_to_file(self, revision: Revision, span: Span, descriptor: int) -> None:
        """As `Tier.read_to_file`."""
        await self._retrier.call(
            f"read {revision.key}", lambda: self._inner.read_to_file(revision, span, descriptor)
        )

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
        attempts = 0
        while True:
            try:
                return await self._inner.put(
                    key,
                    source,
                    expect=expect,
                    checksums=checksums,
                    mtime_ns=mtime_ns,
                    metadata=metadata,
                    session=session,
                )
            except PreconditionFailed:
                # After an attempt of unknown outcome the one who won may be ourselves.
                if attempts == 0:
                    raise
                return await self._ours_or_lost(key, expect, checksums)
            except TierError as exc:
                attempts += 1
                if not exc.retryable:
                    raise
                # With a begun upload the store itself can be asked what became of it.
                if session is None or session.token is None:
                    made = await self._outcome(key, expect, checksums)
                    if made is not None:
                        return made
                if not await self._retrier.pause(f"put {key}", exc, attempts):
                    raise

    async def _outcome(
        self, key: str, expect: Revision | None, checksums: Checksums
    ) -> Revision | None:
        """Return what a put of unknown outcome made; None if it made nothing.

        Raises:
            PreconditionFailed: an object is there that is not known to be ours. It may be: the
                caller reads it and compares.
        """
        try:
            now = await self.stat(key)
        except ObjectNotFound:
            return None
        if expect is not None and now.version == expect.version:
            return None
        return self._ours(key, now, checksums)

    async def _ours_or_lost(
        self, key: str, expect: Revision | None, checksums: Checksums
    ) -> Revision:
        made = await self._outcome(key, expect, checksums)
        if made is None:
            raise PreconditionFailed(f"{self.name}/{key} came and went while we wrote it")
        return made

    def _ours(self, key: str, now: Revision, checksums: Checksums) -> Revision:
        if proven_same(now.checksums, checksums):
            log.info("origin %s: %s had arrived before its answer was lost", self.name, key)
            return now
        raise PreconditionFailed(
            f"{self.name}/{key} exists already, and its checksums do not prove that it is ours",
            fix="read it and compare",
        )

    async def give_up(self, key: str, token: Token) -> None:
        """As `Tier.give_up`."""
        await self._retrier.call_soon(f"give up {key}", lambda: self._inner.give_up(key, token))

    async def delete(self, key: str, *, expect: Revision | None) -> None:
        """As `Tier.delete`."""
        attempts = 0

        async def attempt() -> None:
            nonlocal attempts
            attempts += 1
            try:
                await self._inner.delete(key, expect=expect)
            except ObjectNotFound:
                # Gone after an attempt of unknown outcome: that was us, or it makes no difference.
                if attempts == 1:
                    raise

        await self._retrier.call_soon(f"delete {key}", attempt)

    async def check(self) -> None:
        """As `Tier.check`."""
        await self._retrier.call_soon("check", self._inner.check)

    async def aclose(self) -> None:
        """As `Tier.aclose`."""
        await self._inner.aclose()


def proven_same(theirs: Checksums, ours: Checksums) -> bool:
    """Tell whether what the store computed of its object proves that it has our bytes.

    The recorded xxh128 is a claim by whoever wrote the object and proves nothing; neither do 32
    bits of crc32c, which can only contradict.
    """
    if theirs.md5 is None or theirs.md5 != ours.md5:
        return False
    return None in (theirs.crc32c, ours.crc32c) or theirs.crc32c == ours.crc32c
