"""What the cache knows without asking its index: bounded, the recently used stays."""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Hashable
from typing import Generic, TypeVar

from shotfs.cache.index import Row
from shotfs.digest import Digest

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")

HOT_ROWS_MAX = 32_768
"""Rows kept in memory, about 0.5 KB each."""

TOUCHES_MAX = 8_192
"""Uses that wait to be written; more between two flushes and the oldest are forgotten, which
costs precision of the order of use and nothing else."""


class Recent(Generic[K, V]):
    """A mapping of at most *rows_max* entries that drops the longest unused one."""

    def __init__(self, rows_max: int) -> None:
        self._rows: OrderedDict[K, V] = OrderedDict()
        self._rows_max = rows_max

    def __len__(self) -> int:
        return len(self._rows)

    def get(self, key: K) -> V | None:
        """Return the value and make it the most recently used."""
        value = self._rows.get(key)
        if value is not None:
            self._rows.move_to_end(key)
        return value

    def put(self, key: K, value: V) -> None:
        """Add or replace; the longest unused entry goes when there are too many."""
        self._rows[key] = value
        self._rows.move_to_end(key)
        if len(self._rows) > self._rows_max:
            self._rows.popitem(last=False)

    def drop(self, key: K) -> None:
        """Remove the entry if there is one."""
        self._rows.pop(key, None)

    def items(self) -> list[tuple[K, V]]:
        """Return the entries, the longest unused first."""
        return list(self._rows.items())

    def clear(self) -> None:
        """Remove all."""
        self._rows.clear()


class HotRows:
    """Recent rows of the index, by revision; a blob that goes takes its revisions along."""

    def __init__(self, rows_max: int = HOT_ROWS_MAX) -> None:
        self._digests: Recent[str, Digest] = Recent(rows_max)
        self._rows: Recent[Digest, Row] = Recent(rows_max)

    def find(self, identity: str) -> Row | None:
        """Return the row of a revision, None: ask the index."""
        digest = self._digests.get(identity)
        return None if digest is None else self._rows.get(digest)

    def put(self, identity: str, row: Row) -> None:
        """Remember a row that the index gave or was given."""
        self._digests.put(identity, row.digest)
        self._rows.put(row.digest, row)

    def drop_blob(self, digest: Digest) -> None:
        """Forget that a blob is here."""
        self._rows.drop(digest)


class Leases:
    """How many open files each blob has."""

    def __init__(self) -> None:
        self._counts: Counter[Digest] = Counter()

    def __len__(self) -> int:
        return len(self._counts)

    def add(self, digest: Digest, count: int = 1) -> None:
        """Count *count* more open files."""
        if count:
            self._counts[digest] += count

    def remove(self, digest: Digest) -> None:
        """Count one open file less."""
        self._counts[digest] -= 1
        if self._counts[digest] <= 0:
            del self._counts[digest]

    def snapshot(self) -> frozenset[Digest]:
        """Return the blobs that are open."""
        return frozenset(self._counts)


class Touches:
    """Uses that are not in the index yet, in order."""

    def __init__(self) -> None:
        self._counts: Recent[Digest, int] = Recent(TOUCHES_MAX)

    def add(self, digest: Digest) -> None:
        """Record a use."""
        self._counts.put(digest, (self._counts.get(digest) or 0) + 1)

    def take(self) -> list[tuple[Digest, int]]:
        """Return all with how often each was used, the oldest first, and start again."""
        taken = self._counts.items()
        self._counts.clear()
        return taken
