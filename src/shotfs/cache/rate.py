"""How fast bytes come in. Pure."""

from __future__ import annotations

from collections import deque

WINDOW_S = 5.0
"""Long enough to cover a few requests, short enough to show that they stopped."""

QUIET_S = 3.0
"""If nothing came for so long, what came before says nothing about when the rest is here."""

ARRIVALS_MAX = 256


class RateMeter:
    """Bytes a second over the last seconds."""

    __slots__ = ("_arrivals",)

    def __init__(self) -> None:
        self._arrivals: deque[tuple[float, int]] = deque(maxlen=ARRIVALS_MAX)

    def add(self, now: float, length_bytes: int) -> None:
        """Count bytes that came at *now*, in seconds of any clock."""
        self._arrivals.append((now, length_bytes))

    def bytes_per_s(self, now: float) -> float:
        """Return the rate of the last `WINDOW_S` seconds before *now*.

        It is 0 once nothing came for `QUIET_S`.
        """
        if not self._arrivals or now - self._arrivals[-1][0] >= QUIET_S:
            return 0.0
        recent = sum(length for at, length in self._arrivals if now - at < WINDOW_S)
        return recent / WINDOW_S
