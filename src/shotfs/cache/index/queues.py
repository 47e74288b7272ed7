"""The queues of the eviction in the index: `eviction.Queues` over its rows.

One object serves one choice, inside one transaction. Pinned blobs are in none of the indexes that
it walks, so a cache full of pins costs nothing to look through; open blobs are passed over.
"""

from __future__ import annotations

from collections.abc import Container
from dataclasses import dataclass, field

from shotfs.cache.eviction import Amount, Queue, Resident
from shotfs.cache.index.schema import Rows
from shotfs.digest import Digest

PAGE_ROWS = 64

_BY_PLACE = """SELECT digest, size_bytes, uses, place FROM blob
    WHERE pinned = 0 AND queue = ? AND place > ? ORDER BY place LIMIT ?"""
_BY_USE = """SELECT digest, size_bytes, uses, used FROM blob
    WHERE pinned = 0 AND used > ? ORDER BY used LIMIT ?"""

_Found = tuple[bytes, int, int, int]


@dataclass(slots=True)
class _Walk:
    """Where one walk along a queue is. `ahead` is in reverse: its last row is the next."""

    position: int = -1
    ahead: list[_Found] = field(default_factory=list)
    current: Resident | None = None


class IndexQueues:
    """What may go, in the orders in which it came and was used.

    Args:
        rows: inside a change.
        keep: blobs that must stay because they are open.
    """

    def __init__(self, rows: Rows, keep: Container[Digest]) -> None:
        self._rows = rows
        self._keep = keep
        self._walks: dict[Queue | None, _Walk] = {
            Queue.SMALL: _Walk(),
            Queue.MAIN: _Walk(),
            None: _Walk(),
        }
        self._taken: set[str] = set()
        totals = rows.totals
        self._small_bytes, self._small_files = totals.small_bytes, totals.small_files
        self._main_bytes = totals.bytes - totals.small_bytes
        self._main_files = totals.files - totals.small_files

    def held(self, queue: Queue) -> Amount:
        """See `Queues.held`."""
        if queue is Queue.SMALL:
            return Amount(self._small_bytes, self._small_files)
        return Amount(self._main_bytes, self._main_files)

    def oldest(self, queue: Queue) -> Resident | None:
        """See `Queues.oldest`."""
        return self._next(queue)

    def longest_unused(self) -> Resident | None:
        """See `Queues.longest_unused`."""
        return self._next(None)

    def promote(self, resident: Resident) -> None:
        """See `Queues.promote`."""
        self._walks[Queue.SMALL].current = None
        self._append(resident, uses=0)
        self._rows.totals.small_bytes -= resident.size_bytes
        self._rows.totals.small_files -= 1
        self._small_bytes -= resident.size_bytes
        self._small_files -= 1
        self._main_bytes += resident.size_bytes
        self._main_files += 1

    def again(self, resident: Resident) -> None:
        """See `Queues.again`."""
        self._walks[Queue.MAIN].current = None
        self._append(resident, uses=resident.uses - 1)

    def take(self, resident: Resident) -> None:
        """See `Queues.take`. The row stays until the blob is condemned."""
        self._taken.add(resident.name)
        for queue, walk in self._walks.items():
            if walk.current is resident:
                walk.current = None
                if queue is Queue.SMALL:
                    self._small_bytes -= resident.size_bytes
                    self._small_files -= 1
                elif queue is Queue.MAIN:
                    self._main_bytes -= resident.size_bytes
                    self._main_files -= 1

    def _next(self, queue: Queue | None) -> Resident | None:
        walk = self._walks[queue]
        while walk.current is None:
            if not walk.ahead:
                walk.ahead = self._page(queue, walk.position)
                if not walk.ahead:
                    return None
            digest, size_bytes, uses, walk.position = walk.ahead.pop()
            name = digest.hex()
            if name not in self._taken and Digest(name) not in self._keep:
                walk.current = Resident(name, size_bytes, uses)
        return walk.current

    def _page(self, queue: Queue | None, position: int) -> list[_Found]:
        execute = self._rows.connection.execute
        if queue is None:
            found = execute(_BY_USE, (position, PAGE_ROWS)).fetchall()
        else:
            found = execute(_BY_PLACE, (int(queue), position, PAGE_ROWS)).fetchall()
        found.reverse()
        return found

    def _append(self, resident: Resident, *, uses: int) -> None:
        self._rows.connection.execute(
            "UPDATE blob SET queue = ?, place = ?, uses = ? WHERE digest = ?",
            (int(Queue.MAIN), self._rows.next_serial(), uses, bytes.fromhex(resident.name)),
        )
