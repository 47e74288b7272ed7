"""Which blocks of a file that streams in are missing, on their way, or present.

Pure. One byte a block of 128 KiB: 300 KiB for a 40 GB file, searched at the speed of `memchr`;
on the disk one bit a block. A sorted list of ranges was rejected: random readers would make it
long, and every request is aligned to blocks anyway. ADR 0013 has the sizes that were measured.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from shotfs.tiers.base import Span

BLOCK_BYTES = 128 * 1024
"""The smallest request to an origin: what the kernel reads ahead by default. A tile of a texture
and a header fit; below it, latency outweighs transfer on any network."""

_MISSING, _CLAIMED, _PRESENT = 0, 1, 2
_TO_BIT = bytes([0, 0, 1]) + bytes(253)
_COLUMNS = tuple(
    bytes(_PRESENT if value >> bit & 1 else _MISSING for value in range(256)) for bit in range(8)
)
"""For each bit of a packed byte: the state of its block."""


@dataclass(frozen=True, slots=True)
class Run:
    """Consecutive blocks ``[first, stop)``."""

    first: int
    stop: int


class BlockMap:
    """The state of each block of a file of *size_bytes*.

    A block is claimed by whoever is fetching it, so that it is fetched once.
    """

    __slots__ = ("_size_bytes", "_states", "claimed_bytes", "present_bytes")

    def __init__(self, size_bytes: int) -> None:
        self._size_bytes = size_bytes
        self._states = bytearray(-(-size_bytes // BLOCK_BYTES))
        self.present_bytes = 0
        self.claimed_bytes = 0

    @property
    def count(self) -> int:
        """How many blocks there are."""
        return len(self._states)

    @property
    def complete(self) -> bool:
        """Whether every block is present."""
        return self.present_bytes == self._size_bytes

    def blocks_of(self, span: Span) -> Run:
        """Return the blocks that *span* touches."""
        if span.length_bytes == 0:
            return Run(0, 0)
        return Run(span.start // BLOCK_BYTES, -(-span.stop // BLOCK_BYTES))

    def runs_of(self, spans: Iterable[Span]) -> list[Run]:
        """Return the blocks that each of *spans* touches."""
        return [self.blocks_of(span) for span in spans]

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
        run = self.missing(within, blocks_max)
        if run is not None:
            self._mark(run, _CLAIMED)
            self.claimed_bytes += self.span_of(run).length_bytes
        return run

    def missing(self, within: Run, blocks_max: int) -> Run | None:
        """Return the run that `claim` would give now."""
        first = self._states.find(_MISSING, within.first, within.stop)
        if first < 0:
            return None
        limit = min(first + blocks_max, within.stop)
        ends = (self._states.find(state, first, limit) for state in (_CLAIMED, _PRESENT))
        return Run(first, min((end for end in ends if end >= 0), default=limit))

    def settle(self, run: Run) -> int:
        """Record that the claimed *run* has arrived; return how many bytes it has."""
        self._mark(run, _PRESENT)
        length_bytes = self.span_of(run).length_bytes
        self.present_bytes += length_bytes
        self.claimed_bytes -= length_bytes
        return length_bytes

    def release(self, run: Run) -> None:
        """Give the claimed *run* back: its fetch failed or was cancelled."""
        self._mark(run, _MISSING)
        self.claimed_bytes -= self.span_of(run).length_bytes

    def clear(self) -> None:
        """Record that nothing is present or claimed."""
        self._states = bytearray(len(self._states))
        self.present_bytes = self.claimed_bytes = 0

    def pack(self) -> bytes:
        """Return one bit a block, set where it is present; the first block is the lowest bit."""
        bits = self._states.translate(_TO_BIT)
        packed = 0
        for bit in range(8):
            # One strided slice a bit instead of a loop over the blocks: 1 ms for 40 GB.
            packed |= int.from_bytes(bits[bit::8], "little") << bit
        return packed.to_bytes(-(-len(bits) // 8), "little")

    def unpack(self, packed: bytes) -> None:
        """Take over what `pack` gave, for a map that holds nothing yet.

        Raises:
            ValueError: it is of another number of blocks.
        """
        count = len(self._states)
        if len(packed) != -(-count // 8):
            raise ValueError(f"{len(packed)} bytes are no map of {count} blocks")
        for bit in range(8):
            column = bytes(packed).translate(_COLUMNS[bit])[: len(self._states[bit::8])]
            self._states[bit::8] = column
        full = self._states.count(_PRESENT)
        self.present_bytes = full * BLOCK_BYTES
        if count and self._states[-1] == _PRESENT:
            self.present_bytes -= count * BLOCK_BYTES - self._size_bytes

    def _mark(self, run: Run, state: int) -> None:
        self._states[run.first : run.stop] = bytes([state]) * (run.stop - run.first)
