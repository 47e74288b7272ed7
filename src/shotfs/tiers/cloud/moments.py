"""Times as stores tell them, and many small questions at once."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from datetime import UTC, datetime

import trio

from shotfs.errors import ObjectNotFound, ShotfsError
from shotfs.tiers.cloud.origin import Origin

_PROBES_AT_ONCE = 8
"""Half of the default of `network.connections_max`: look-ups go on meanwhile."""

PROBED_PREFIXES = 64
"""Sub-directories that one page of a listing of the past looks into: few enough for its deadline,
at 200 ms each they take under 2 s."""


def epoch_ns(moment: datetime) -> int:
    """Return a time in nanoseconds since the epoch; one without a zone is UTC."""
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    since = moment - datetime(1970, 1, 1, tzinfo=UTC)
    return (since.days * 86400 + since.seconds) * 10**9 + since.microseconds * 1000


def not_there_at(origin: Origin, key: str, at_ns: int) -> ObjectNotFound:
    """Return the error for a key that had no object at a time."""
    moment = datetime.fromtimestamp(at_ns // 10**9, UTC).isoformat().replace("+00:00", "Z")
    return ObjectNotFound(f"{origin.url(key)} did not exist at {moment}")


async def those_that(
    names: Iterable[str], holds: Callable[[str], Awaitable[bool]]
) -> tuple[str, ...]:
    """Return those of *names* for which *holds*, in their order; several are asked at once.

    Raises:
        ShotfsError: what the first one that failed raised.
    """
    ordered = tuple(names)
    found: set[str] = set()
    problems: list[ShotfsError] = []
    limiter = trio.CapacityLimiter(_PROBES_AT_ONCE)

    async def ask(name: str) -> None:
        # Kept for the caller instead of raised: an exception group says less.
        try:
            async with limiter:
                if await holds(name):
                    found.add(name)
        except ShotfsError as exc:
            problems.append(exc)
            nursery.cancel_scope.cancel()

    async with trio.open_nursery() as nursery:
        for name in ordered:
            nursery.start_soon(ask, name)
    if problems:
        raise problems[0]
    return tuple(name for name in ordered if name in found)
