"""How fast bytes come in. Pure."""

from __future__ import annotations

from collections import deque

WINDOW_S = 5.0
"""Long enough to cover a few requests, short enough to show that they stopped."""

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
        """Return the rate of the last `WINDOW_S` seconds before *now*."""
        recent = sum(length for at, length in self._arrivals if now - at < WINDOW_S)
        return recent / WINDOW_S
