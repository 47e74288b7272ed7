"""The four classes of requests."""

from __future__ import annotations

from enum import IntEnum


class FetchClass(IntEnum):
    """Why bytes move; the smaller goes first."""

    DEMAND = 0
    """An application is blocked on it."""
    LOOKAHEAD = 1
    """The rest of what somebody reads, and what he will read next."""
    PREWARM = 2
    """A manifest names it; nobody has opened it yet."""
    PUBLISH = 3
    """An output on its way to its origin."""

    @property
    def label(self) -> str:
        """Its name in metrics and reports: demand, lookahead, prewarm, publish."""
        return self.name.lower()
