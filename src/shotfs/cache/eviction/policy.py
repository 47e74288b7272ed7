"""What an eviction policy sees of the cache, and what it may do. Pure.

A policy chooses; it keeps nothing. The order in which blobs came and were used lives in `Queues`:
in the index for the service (`index.queues`), in memory for replays and tests (`replay`). Every
policy finds the same record there, so another one can take over a cache that is full.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import Protocol

USES_MAX = 3
"""Uses after the first that are told apart: two bits, as in the S3-FIFO paper."""

EXAMINED_MAX = 2048
"""Blobs that one choice looks at before it takes what is oldest whatever its uses: bounds a visit
to the index to some tens of milliseconds when every blob of a full cache is in use."""


class Queue(IntEnum):
    """Where a blob waits. What is new is in SMALL until it was used again."""

    SMALL = 0
    MAIN = 1


@dataclass(frozen=True, slots=True)
class Amount:
    """Content, counted in both ways that are limited."""

    bytes: int = 0
    files: int = 0


@dataclass(frozen=True, slots=True)
class Resident:
    """A blob that may go.

    Attributes:
        name: its digest; anything unique in a replay.
        size_bytes: of its content.
        uses: since it came or was last passed over, at most `USES_MAX`.
    """

    name: str
    size_bytes: int
    uses: int


class Queues(Protocol):
    """The record of what came when and was used how often, without what must stay."""

    def held(self, queue: Queue) -> Amount:
        """Return what is in *queue*, also what must stay, without what was taken."""
        ...

    def oldest(self, queue: Queue) -> Resident | None:
        """Return what came to *queue* first and may go; None: there is none."""
        ...

    def longest_unused(self) -> Resident | None:
        """Return what may go and was not used for the longest time, in whatever queue."""
        ...

    def promote(self, resident: Resident) -> None:
        """Put the oldest of SMALL to the end of MAIN, its uses forgotten."""
        ...

    def again(self, resident: Resident) -> None:
        """Put the oldest of MAIN to its end, with one use less."""
        ...

    def take(self, resident: Resident) -> None:
        """Take what one of the look-ups returned last as a victim."""
        ...


class Policy(Protocol):
    """Chooses what goes."""

    @property
    def name(self) -> str:
        """What `cache.eviction` calls it."""
        ...

    def choose(self, queues: Queues, wanted: Amount, files_max: int) -> list[Resident]:
        """Take victims until *wanted* is met in bytes and files.

        Args:
            queues: where from.
            wanted: what must become free.
            files_max: victims at most.

        Returns:
            The victims in the order in which they were taken; fewer than wanted if there are no
            more that may go.
        """
        ...


class _Find(Protocol):
    def __call__(self, by_bytes: bool, /) -> Resident | None:
        """Return the next victim; *by_bytes*: bytes are missing, else only files."""


def take_until(wanted: Amount, files_max: int, queues: Queues, find: _Find) -> list[Resident]:
    """Take what *find* returns until *wanted* is met, *files_max* reached, or nothing found."""
    taken: list[Resident] = []
    missing_bytes, missing_files = wanted.bytes, wanted.files
    while (missing_bytes > 0 or missing_files > 0) and len(taken) < files_max:
        victim = find(missing_bytes > 0)
        if victim is None:
            break
        queues.take(victim)
        taken.append(victim)
        missing_bytes -= victim.size_bytes
        missing_files -= 1
    return taken
