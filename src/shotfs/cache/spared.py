"""Spared: blobs that eviction takes only when nothing else may go: what prewarms have just brought.

A prewarm of more files than are free must not push out its own first files for its last ones. Which
they are is remembered in a few bits of a table of fixed size (a Bloom filter), so a million cost
what one does; with a million in it one blob in sixty is spared by mistake, and goes a little later.
The event loop adds, the index's thread asks.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from shotfs.digest import Digest

TABLE_BYTES = 2 * 1024 * 1024
"""Of one group: 16 bits for each of a million blobs."""

_BITS = TABLE_BYTES * 8


class Group:
    """Blobs that belong together. May say yes of a few that do not."""

    def __init__(self) -> None:
        self._table = bytearray(TABLE_BYTES)

    def add(self, digest: Digest) -> None:
        """Take *digest* in."""
        for place in _places(digest):
            self._table[place >> 3] |= 1 << (place & 7)

    def __contains__(self, digest: object) -> bool:
        assert isinstance(digest, str)
        return all(self._table[place >> 3] >> (place & 7) & 1 for place in _places(digest))


class Spared:
    """The groups of now."""

    def __init__(self) -> None:
        self._groups: tuple[Group, ...] = ()

    def __bool__(self) -> bool:
        return bool(self._groups)

    def __contains__(self, digest: object) -> bool:
        return any(digest in group for group in self._groups)

    @contextmanager
    def group(self) -> Iterator[Group]:
        """Yield a group that is spared for the block. Event loop only."""
        made = Group()
        self._groups = (*self._groups, made)
        try:
            yield made
        finally:
            self._groups = tuple(one for one in self._groups if one is not made)


class Either:
    """What is in one container or the other."""

    def __init__(self, one: frozenset[Digest], other: Spared) -> None:
        self._one = one
        self._other = other

    def __contains__(self, digest: object) -> bool:
        return digest in self._one or digest in self._other


def _places(digest: str) -> tuple[int, int, int, int]:
    number = int(digest, 16)
    return (
        number % _BITS,
        (number >> 32) % _BITS,
        (number >> 64) % _BITS,
        (number >> 96) % _BITS,
    )
