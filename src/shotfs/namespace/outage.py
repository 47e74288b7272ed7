"""Outages: what was learned before may be shown while its origin is away, as the policy says."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable

import trio

from shotfs.errors import TierUnavailable
from shotfs.namespace.catalog import Entry
from shotfs.observe.metrics import Metrics
from shotfs.pathspec import Immutable, Policy

log = logging.getLogger(__name__)

STALE_WAIT_S = 3.0
"""How long a look-up waits for an origin where its policy lets the old answer count instead
(`stale_if_error`): longer than a busy store takes, and short beside an application's patience."""

PAUSE_S = 5.0
"""How long such answers are then given at once. When the breaker of the origin opens it is quicker;
until then, each look-up would wait as long as the first one."""


class Outages:
    """Decides what counts while an origin is away.

    Args:
        metrics: counts the answers of before.
        monotonic_s: a clock for pauses.
        wall_s: the time of day, seconds since the epoch.
    """

    def __init__(
        self,
        metrics: Metrics,
        *,
        monotonic_s: Callable[[], float],
        wall_s: Callable[[], float],
    ) -> None:
        self._metrics = metrics
        self._now_s = monotonic_s
        self._wall_s = wall_s
        self._pauses: dict[str, float] = {}

    def outlives(self, policy: Policy, checked_s: float) -> bool:
        """Whether what was learned at *checked_s* may be shown now if its origin is away.

        Args:
            policy: of its template.
            checked_s: seconds since the epoch.
        """
        if policy.immutable is Immutable.ON_CLOSE:
            return True
        return 0 <= self._wall_s() - checked_s < policy.ttl_s + policy.stale_if_error_s

    async def ask_or_keep(
        self, origin: str, path: str, entry: Entry, ask: Callable[[], Awaitable[Entry | None]]
    ) -> Entry | None:
        """Return what *ask* returns; if the origin is away or slow, *entry*, which outlives that.

        Args:
            origin: root URL.
            path: for the log.
            entry: what was known.
            ask: asks the origin.
        """
        if self._now_s() < self._pauses.get(origin, 0.0):
            self._metrics.stale_answers.inc()
            return entry
        try:
            with trio.move_on_after(STALE_WAIT_S):
                return await ask()
            why = f"no answer within {STALE_WAIT_S:g} s"
            self._pauses[origin] = self._now_s() + PAUSE_S
        except TierUnavailable as exc:
            why = exc.message
        log.debug("shown as it was (stale_if_error): %s", why, extra={"path": path})
        self._metrics.stale_answers.inc()
        return entry
