"""S3-FIFO: what is used once leaves soon, what is used again stays.

J. Yang, Y. Zhang, Z. Qiu, Y. Yue, R. Vinayak: "FIFO queues are all you need for cache eviction",
SOSP 2023, algorithm 1. New blobs enter a small queue (a tenth of the cache); those used again
before they reach its end move to the main queue, the others go and leave their name in a ghost
list. Who comes back while its name is there enters the main queue at once. At the end of the main
queue a blob that was used since is put back with one use less.

Differences, all because files are of 1 KB to 40 GB and a full visit must be short:

- shares are of what is here, in bytes if bytes are missing, else in files (the paper has objects
  of one size); a file larger than the small queue's share enters it all the same and is the next
  to go;
- one more use leads to the main queue, not two: a use is an open, not a request for a page; what
  `tools/bench/eviction` measured of both is in ADR 0016;
- after `EXAMINED_MAX` blobs the oldest goes whatever its uses;
- the ghost list has as many names as the cache has files (the paper: as the main queue has).
"""

from __future__ import annotations

from dataclasses import dataclass

from shotfs.cache.eviction.policy import (
    EXAMINED_MAX,
    Amount,
    Queue,
    Queues,
    Resident,
    take_until,
)

SMALL_PARTS = 10
"""The small queue's share of the cache is one part of so many."""

PROMOTED_USES = 1
"""Uses after the first with which a blob leaves the small queue for the main one."""


class S3Fifo:
    """See the module. *small_parts* and *promoted_uses* are arguments for measurements."""

    name = "s3-fifo"

    def __init__(self, small_parts: int = SMALL_PARTS, promoted_uses: int = PROMOTED_USES) -> None:
        self._small_parts = small_parts
        self._promoted_uses = promoted_uses

    def choose(self, queues: Queues, wanted: Amount, files_max: int) -> list[Resident]:
        """See `Policy.choose`."""
        choice = _Choice(queues, self._small_parts, self._promoted_uses)
        return take_until(wanted, files_max, queues, choice.next)


@dataclass(slots=True)
class _Choice:
    queues: Queues
    small_parts: int
    promoted_uses: int
    examined: int = 0

    def next(self, by_bytes: bool, /) -> Resident | None:
        if self._small_is_over(by_bytes=by_bytes):
            return self._from_small() or self._from_main()
        return self._from_main() or self._from_small()

    def _small_is_over(self, *, by_bytes: bool) -> bool:
        small, main = self.queues.held(Queue.SMALL), self.queues.held(Queue.MAIN)
        part, rest = (small.bytes, main.bytes) if by_bytes else (small.files, main.files)
        return part * self.small_parts >= part + rest

    def _from_small(self) -> Resident | None:
        while (one := self.queues.oldest(Queue.SMALL)) is not None:
            if one.uses < self.promoted_uses or self._patience_is_over():
                return one
            self.queues.promote(one)
        return None

    def _from_main(self) -> Resident | None:
        while (one := self.queues.oldest(Queue.MAIN)) is not None:
            if one.uses == 0 or self._patience_is_over():
                return one
            self.queues.again(one)
        return None

    def _patience_is_over(self) -> bool:
        self.examined += 1
        return self.examined > EXAMINED_MAX
