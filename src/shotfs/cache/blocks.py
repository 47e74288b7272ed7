"""Which blocks of a file that streams in are missing, on their way, or present.

Pure. One byte a block of 1 MiB: 40 KiB for a 40 GB file, searched at the speed of `memchr`.
A sorted list of ranges was rejected: random readers would make it long, and every request is
aligned to blocks anyway.
"""

from __future__ import annotations

from dataclasses import dataclass

from shotfs.tiers.base import Span

BLOCK_BYTES = 1024 * 1024
"""The smallest request to an origin: below it, latency outweighs transfer on any network."""

_MISSING, _CLAIMED, _PRESENT = 0, 1, 2


@dataclass(frozen=True, slots=True)
class Run:
    """Consecutive blocks ``[first, stop)``."""

    first: int
    stop: int


class BlockMap:
    """The state of each block of a file of *size_bytes*.

    A block is claimed by whoever is fetching it, so that it is fetched once.
    """

    __slots__ = ("_size_bytes", "_states", "present_bytes")

    def __init__(self, size_bytes: int) -> None:
        self._size_bytes = size_bytes
        self._states = bytearray(-(-size_bytes // BLOCK_BYTES))
        self.present_bytes = 0

    @property
    def complete(self) -> bool:
        """Whether every block is present."""
        return self.present_bytes == self._size_bytes

    def blocks_of(self, span: Span) -> Run:
        """Return the blocks that *span* touches."""
        if span.length_bytes == 0:
            return Run(0, 0)
        return Run(span.start // BLOCK_BYTES, -(-span.stop // BLOCK_BYTES))

    def span_of(self, run: Run) -> Span:
        """Return the bytes of *run*; the last block of a file may be short."""
        return Span(run.first * BLOCK_BYTES, min(run.stop * BLOCK_BYTES, self._size_bytes))

    def holds(self, span: Span) -> bool:
        """Whether every byte of *span* is present."""
        return self.absent_count(span) == 0

    def absent_count(self, span: Span) -> int:
        """Return how many blocks of *span* are not present yet."""
        run = self.blocks_of(span)
        return (run.stop - run.first) - self._states.count(_PRESENT, run.first, run.stop)

    def misses(self, run: Run) -> bool:
        """Whether a block of *run* is neither here nor on its way."""
        return self._states.find(_MISSING, run.first, run.stop) >= 0

    def claim(self, within: Run, blocks_max: int) -> Run | None:
        """Claim the first missing blocks of *within*, at most *blocks_max*; None: none are."""
        first = self._states.find(_MISSING, within.first, within.stop)
        if first < 0:
            return None
        stop = first + 1
        limit = min(first + blocks_max, within.stop)
        while stop < limit and self._states[stop] == _MISSING:
            stop += 1
        self._mark(Run(first, stop), _CLAIMED)
        return Run(first, stop)

    def claim_from(self, block: int, blocks_max: int) -> Run | None:
        """Claim missing blocks at or after *block*, wrapping to the start of the file."""
        count = len(self._states)
        return self.claim(Run(block, count), blocks_max) or self.claim(Run(0, count), blocks_max)

    def settle(self, run: Run) -> int:
        """Record that the claimed *run* has arrived; return how many bytes it has."""
        self._mark(run, _PRESENT)
        length_bytes = self.span_of(run).length_bytes
        self.present_bytes += length_bytes
        return length_bytes

    def release(self, run: Run) -> None:
        """Give the claimed *run* back: its fetch failed or was cancelled."""
        self._mark(run, _MISSING)

    def _mark(self, run: Run, state: int) -> None:
        self._states[run.first : run.stop] = bytes([state]) * (run.stop - run.first)
