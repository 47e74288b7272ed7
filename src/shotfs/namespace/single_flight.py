"""Single flight: the same question is asked once, however many callers wait for its answer.

The work runs in a task of the given nursery, not in a caller's: a caller that gives up (deadline,
cancelled request) leaves the others' answer alone. After `restart` nobody joins what is under way:
he waits until it has ended, and asks anew.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Hashable
from typing import Generic, TypeVar

import outcome
import trio

from shotfs.errors import TierUnavailable

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class _Flight(Generic[V]):
    __slots__ = ("done", "epoch", "result")

    def __init__(self, epoch: int) -> None:
        self.epoch = epoch
        self.done = trio.Event()
        self.result: outcome.Outcome[V] | None = None


class SingleFlight(Generic[K, V]):
    """Coalesces concurrent calls by key. Answers are not kept once everybody has theirs."""

    def __init__(self, nursery: trio.Nursery) -> None:
        self._nursery = nursery
        self._flights: dict[K, _Flight[V]] = {}
        self._epoch = 0

    def __len__(self) -> int:
        return len(self._flights)

    async def do(self, key: K, work: Callable[[], Awaitable[V]]) -> V:
        """Return the result of *work*, or of the call for *key* that is under way already.

        Raises:
            Exception: what *work* raised, for each of the waiting callers.
        """
        asked = self._epoch
        while True:
            flight = self._flights.get(key)
            if flight is None:
                flight = self._flights[key] = _Flight(self._epoch)
                self._nursery.start_soon(self._fly, key, flight, work)
            await flight.done.wait()
            if flight.result is None:
                raise TierUnavailable("the service is shutting down")
            if flight.epoch >= asked:
                return _unwrap(flight.result)

    def restart(self) -> None:
        """From now on the answers of calls that are under way are theirs only.

        Two calls for one key are never under way together all the same.
        """
        self._epoch += 1

    async def _fly(self, key: K, flight: _Flight[V], work: Callable[[], Awaitable[V]]) -> None:
        try:
            # Cancelled is not captured: it must unwind this task, and the result stays None.
            flight.result = await _capture(work)
        finally:
            del self._flights[key]
            flight.done.set()


async def _capture(work: Callable[[], Awaitable[V]]) -> outcome.Outcome[V]:
    try:
        return outcome.Value(await work())
    except Exception as exc:  # noqa: BLE001 - handed to every waiting caller
        return outcome.Error(exc)


def _unwrap(result: outcome.Outcome[V]) -> V:
    """Return or raise; an outcome can be unwrapped once, and here many callers share it."""
    if isinstance(result, outcome.Error):
        raise result.error
    assert isinstance(result, outcome.Value)
    value: V = result.value
    return value
