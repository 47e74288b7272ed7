"""Comparing: what is different between two manifests. Streamed; pure."""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum

from shotfs.prewarm.manifest.entry import Entry


class Change(StrEnum):
    """What happened to a file from one manifest to another."""

    ADDED = "added"
    REMOVED = "removed"
    CHANGED = "changed"
    SAME = "same"


@dataclass(frozen=True, slots=True)
class Difference:
    """A file of two manifests.

    Attributes:
        change: what happened to it.
        old: its entry in the first one; None where it was added.
        new: its entry in the second one; None where it was removed.
    """

    change: Change
    old: Entry | None
    new: Entry | None

    @property
    def entry(self) -> Entry:
        """The newer entry that there is."""
        entry = self.new or self.old
        assert entry is not None
        return entry


def differences(old: Iterable[Entry], new: Iterable[Entry]) -> Iterator[Difference]:
    """Yield every file of *old* and *new*, both sorted by path; those that are the same, too."""
    waiting: Entry | None = None
    sides = heapq.merge(
        ((entry.path, 0, entry) for entry in old), ((entry.path, 1, entry) for entry in new)
    )
    for _, side, entry in sides:
        if side == 0:
            if waiting is not None:
                yield Difference(Change.REMOVED, waiting, None)
            waiting = entry
        elif waiting is not None and waiting.path == entry.path:
            yield Difference(change_of(waiting, entry), waiting, entry)
            waiting = None
        else:
            if waiting is not None:
                yield Difference(Change.REMOVED, waiting, None)
                waiting = None
            yield Difference(Change.ADDED, None, entry)
    if waiting is not None:
        yield Difference(Change.REMOVED, waiting, None)


def change_of(old: Entry, new: Entry) -> Change:
    """Return whether two entries of one path mean other bytes.

    Digests decide. Where one is not known, sizes do; a time alone says nothing: copies have others.
    """
    if old.digest is not None and new.digest is not None:
        return Change.SAME if old.digest == new.digest else Change.CHANGED
    sizes = {old.size_bytes, new.size_bytes} - {None}
    return Change.CHANGED if len(sizes) == 2 else Change.SAME
