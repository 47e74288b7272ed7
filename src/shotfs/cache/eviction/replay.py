"""The queues in memory, with which policies are measured (`tools/bench/eviction`) and tested.

`ReplayCache` is a whole cache that holds names and sizes only.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass

from shotfs.cache.eviction.policy import USES_MAX, Amount, Policy, Queue, Resident


@dataclass(slots=True)
class _Blob:
    size_bytes: int
    queue: Queue
    uses: int = 0


class ReplayCache:
    """A cache of *bytes_max*, accessed one file after the other.

    Attributes:
        queues: names in the order in which they came.
        hits, hit_bytes: accesses that found their file, and its sizes together.
        accesses, accessed_bytes: all of them.
    """

    def __init__(self, policy: Policy, bytes_max: int) -> None:
        self._policy = policy
        self._bytes_max = bytes_max
        self._blobs: dict[str, _Blob] = {}
        self.queues: dict[Queue, OrderedDict[str, None]] = {one: OrderedDict() for one in Queue}
        self._bytes = dict.fromkeys(Queue, 0)
        self._used: OrderedDict[str, None] = OrderedDict()
        self._ghosts: OrderedDict[str, None] = OrderedDict()
        self.hits = self.hit_bytes = self.accesses = self.accessed_bytes = 0

    def __contains__(self, name: str) -> bool:
        return name in self._blobs

    @property
    def ghosts(self) -> int:
        """How many names of files that went are remembered."""
        return len(self._ghosts)

    def access(self, name: str, size_bytes: int) -> bool:
        """Use a file, fetch it if it is not here; return whether it was."""
        self.accesses += 1
        self.accessed_bytes += size_bytes
        blob = self._blobs.get(name)
        if blob is not None:
            blob.uses = min(blob.uses + 1, USES_MAX)
            self._used.move_to_end(name)
            self.hits += 1
            self.hit_bytes += size_bytes
            return True
        if size_bytes <= self._bytes_max:
            over = sum(self._bytes.values()) + size_bytes - self._bytes_max
            self._policy.choose(self, Amount(max(over, 0), 0), 2**62)
            while len(self._ghosts) > max(
                len(self._blobs), 1
            ):  # once for all victims, as the index
                self._ghosts.popitem(last=False)
            self._insert(name, size_bytes)
        return False

    def _insert(self, name: str, size_bytes: int) -> None:
        known = name in self._ghosts
        self._ghosts.pop(name, None)
        self._put(name, _Blob(size_bytes, Queue.MAIN if known else Queue.SMALL))
        self._used[name] = None

    def _put(self, name: str, blob: _Blob) -> None:
        self._blobs[name] = blob
        self.queues[blob.queue][name] = None
        self._bytes[blob.queue] += blob.size_bytes

    def _pull(self, name: str) -> _Blob:
        blob = self._blobs.pop(name)
        del self.queues[blob.queue][name]
        self._bytes[blob.queue] -= blob.size_bytes
        return blob

    # --- policy.Queues ---------------------------------------------------------------------------

    def held(self, queue: Queue) -> Amount:
        """See `Queues.held`."""
        return Amount(self._bytes[queue], len(self.queues[queue]))

    def oldest(self, queue: Queue) -> Resident | None:
        """See `Queues.oldest`."""
        return self._resident(next(iter(self.queues[queue]), None))

    def longest_unused(self) -> Resident | None:
        """See `Queues.longest_unused`."""
        return self._resident(next(iter(self._used), None))

    def promote(self, resident: Resident) -> None:
        """See `Queues.promote`."""
        self._pull(resident.name)
        self._put(resident.name, _Blob(resident.size_bytes, Queue.MAIN))

    def again(self, resident: Resident) -> None:
        """See `Queues.again`."""
        self._pull(resident.name)
        self._put(resident.name, _Blob(resident.size_bytes, Queue.MAIN, resident.uses - 1))

    def take(self, resident: Resident) -> None:
        """See `Queues.take`."""
        blob = self._pull(resident.name)
        del self._used[resident.name]
        if blob.queue is Queue.SMALL:
            self._ghosts[resident.name] = None

    def _resident(self, name: str | None) -> Resident | None:
        if name is None:
            return None
        blob = self._blobs[name]
        return Resident(name, blob.size_bytes, blob.uses)
