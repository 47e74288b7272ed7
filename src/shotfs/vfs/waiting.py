"""Who waits: operations of applications that cannot be answered from memory, while they wait.

For `shotfs why` and `shotfs top`, and for the histograms of waiting. Every open and look-up of
the kernel is in the table while it lasts, which costs a microsecond. Event loop only.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice

import trio

from shotfs.cache import NOBODY, Asker
from shotfs.observe.metrics import Metrics
from shotfs.tiers.base import Span
from shotfs.vfs.attributes import Caller

OPERATIONS = ("lookup", "open", "list", "read")
"""What can wait."""


@dataclass(frozen=True, slots=True)
class Waiting:
    """An operation that waits.

    Attributes:
        operation: lookup, open, list or read.
        path: mount-relative.
        asker: whose it is; `NOBODY` where that is not known, or not yet.
        caller: who asked the kernel, where that is all that is known.
        start, stop: of a read: the bytes that it wants; else None.
        since_s: how long it has waited, in seconds.
    """

    operation: str
    path: str
    asker: Asker
    start: int | None
    stop: int | None
    since_s: float
    caller: Caller | None = None


@dataclass(slots=True, eq=False)
class Entry:
    """An operation while it waits: what `WaitTable.begin` gives and `WaitTable.end` takes."""

    operation: str
    path: str
    caller: Caller | None
    asker: Asker
    span: Span | None
    began_s: float


class WaitTable:
    """What waits now; it has as many entries as there are requests of the kernel."""

    def __init__(self) -> None:
        # A dict keeps the order in which they came.
        self._entries: dict[Entry, None] = {}

    def __len__(self) -> int:
        return len(self._entries)

    def begin(
        self,
        operation: str,
        path: str,
        caller: Caller | None = None,
        asker: Asker = NOBODY,
        span: Span | None = None,
    ) -> Entry:
        """Note that an operation may wait, until `end`.

        Who *caller* is takes system calls to find out, so that is left to whoever wants to know.
        """
        entry = Entry(operation, path, caller, asker, span, trio.current_time())
        self._entries[entry] = None
        return entry

    def end(self, entry: Entry) -> None:
        """Note that it does not wait any more."""
        del self._entries[entry]

    def counts(self) -> dict[str, int]:
        """Return how many operations of each kind wait."""
        counts: dict[str, int] = {}
        for entry in self._entries:
            counts[entry.operation] = counts.get(entry.operation, 0) + 1
        return counts

    def longest(self, limit: int) -> list[Waiting]:
        """Return the *limit* that have waited longest, the longest first."""
        now_s = trio.current_time()
        return [_waiting(entry, now_s) for entry in islice(self._entries, limit)]

    def of(self, path: str, limit: int) -> list[Waiting]:
        """Return at most *limit* that wait for *path*, the longest first."""
        now_s = trio.current_time()
        found = (entry for entry in self._entries if entry.path == path)
        return [_waiting(entry, now_s) for entry in islice(found, limit)]

    def looks_in(self, directory: str) -> bool:
        """Whether somebody waits for the answer to a look-up in *directory*."""
        prefix = f"{directory}/" if directory else ""
        return any(
            entry.operation == "lookup" and entry.path.rpartition("/")[0] == directory
            for entry in self._entries
            if entry.path.startswith(prefix)
        )


class ReadWatch:
    """Notes and measures the reads of one open file that wait.

    Args:
        table: what waits now.
        metrics: where to count.
        path: mount-relative.
        asker: who has it open.
        opened_s: when his open began, on the event loop's clock; None: it was here then.
    """

    __slots__ = ("_asker", "_metrics", "_opened_s", "_path", "_table")

    def __init__(
        self,
        table: WaitTable,
        metrics: Metrics,
        path: str,
        asker: Asker,
        *,
        opened_s: float | None,
    ) -> None:
        self._table = table
        self._metrics = metrics
        self._path = path
        self._asker = asker
        self._opened_s = opened_s

    @contextmanager
    def waits(self, span: Span) -> Iterator[None]:
        """Note that the block waits for *span*; measure it if it ends well."""
        entry = self._table.begin("read", self._path, asker=self._asker, span=span)
        try:
            yield
        finally:
            self._table.end(entry)
        now_s = trio.current_time()
        self._metrics.wait_seconds["read"].observe(now_s - entry.began_s)
        if self._opened_s is not None:
            self._metrics.wait_seconds["first byte"].observe(now_s - self._opened_s)
            self._opened_s = None


def _waiting(entry: Entry, now_s: float) -> Waiting:
    span = entry.span
    return Waiting(
        entry.operation,
        entry.path,
        entry.asker,
        None if span is None else span.start,
        None if span is None else span.stop,
        now_s - entry.began_s,
        entry.caller,
    )
