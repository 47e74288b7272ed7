"""LRU: the longest unused goes first. Simple, and flushed by one pass over many files."""

from __future__ import annotations

from shotfs.cache.eviction.policy import Amount, Queues, Resident, take_until


class Lru:
    """Least recently used, over both queues."""

    name = "lru"

    def choose(self, queues: Queues, wanted: Amount, files_max: int) -> list[Resident]:
        """See `Policy.choose`."""
        return take_until(wanted, files_max, queues, lambda _: queues.longest_unused())
