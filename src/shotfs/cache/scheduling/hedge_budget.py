"""How many second requests there may be, and how much memory they may hold. Synchronous."""

from __future__ import annotations


class HedgeBudget:
    """How many second requests there may be.

    Args:
        share: of the demand requests; 0: none.
        bytes_max: what all of them together may hold in memory.
    """

    BURST = 10.0
    """Second requests in a row after a quiet time."""

    def __init__(self, share: float, bytes_max: int) -> None:
        self._share = share
        self._bytes_max = bytes_max
        self._left = 1.0
        self._held_bytes = 0

    def asked(self) -> bool:
        """Count a demand request; False: there are no second ones."""
        self._left = min(self._left + self._share, self.BURST)
        return self._share > 0

    def take(self, length_bytes: int) -> bool:
        """Take one; False: it is too much now."""
        if self._left < 1 or self._held_bytes + length_bytes > self._bytes_max:
            return False
        self._left -= 1
        self._held_bytes += length_bytes
        return True

    def give_back(self, length_bytes: int) -> None:
        """Its bytes are out of memory."""
        self._held_bytes -= length_bytes
