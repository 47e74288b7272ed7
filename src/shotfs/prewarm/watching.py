"""Watching: what the file system tells of the files that applications open. Protocols and values.

Called in the event loop, in the way of an open: nothing here may wait, or take longer than a few
microseconds. Opens that the native thread answers (ADR 0020) are told a moment later, in a batch.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from shotfs.pathspec import Resolution
from shotfs.prewarm.manifest.subject import Subject
from shotfs.tiers.base import Revision


@dataclass(frozen=True, slots=True)
class Reader:
    """Who opens a file.

    Attributes:
        pid: of the process (thread group); 0 if it is not known.
        name: its command, as the kernel tells it.
        subject: what it works on, as its environment or its cgroup says.
    """

    pid: int
    name: str
    subject: Subject


@dataclass(frozen=True, slots=True)
class Opened:
    """A published file was opened for reading.

    Attributes:
        path: mount-relative.
        revision: that is read.
        resolution: what the specification says of it.
        reader: who opened it.
        at_s: when, on the event loop's clock, in seconds.
        warm: it was whole on this node.
    """

    path: str
    revision: Revision
    resolution: Resolution
    reader: Reader
    at_s: float
    warm: bool


@dataclass(frozen=True, slots=True)
class Created:
    """An output was created, or opened for writing: tells which frame a process works on.

    Attributes:
        path: mount-relative.
        resolution: what the specification says of it.
        reader: who writes it.
    """

    path: str
    resolution: Resolution
    reader: Reader


class ReadNotes(Protocol):
    """Is told what is read of one open file."""

    def read(self, start: int, stop: int, waited_s: float) -> None:
        """Note that the bytes *start* to *stop* were read, and how many seconds of that were spent
        waiting for what was not here.
        """
        ...

    def closed(self) -> None:
        """Note that it was closed."""
        ...


class OpenWatch(Protocol):
    """Is told of what applications open."""

    @property
    def wants(self) -> bool:
        """Whether anything is to be told now; False costs an open nothing."""
        ...

    def opened(self, opened: Opened) -> ReadNotes | None:
        """Note an open; return who is told of its reads, None where nobody wants to know."""
        ...

    def opened_again(self, opened: Sequence[Opened]) -> None:
        """Note opens of files that are whole here, which were answered without the event loop."""
        ...

    def created(self, created: Created) -> None:
        """Note an output."""
        ...


class Watches:
    """Several who are told, as one.

    Args:
        watches: in the order in which they are told.
    """

    def __init__(self, watches: Sequence[OpenWatch] = ()) -> None:
        self._watches = tuple(watches)

    def __bool__(self) -> bool:
        return bool(self._watches)

    @property
    def wants(self) -> bool:
        """Whether somebody wants to be told."""
        return any(watch.wants for watch in self._watches)

    def opened(self, opened: Opened) -> ReadNotes | None:
        """Tell of an open."""
        told = [watch.opened(opened) for watch in self._watches if watch.wants]
        notes = [one for one in told if one is not None]
        if len(notes) > 1:
            return _AllNotes(tuple(notes))
        return notes[0] if notes else None

    def opened_again(self, opened: Sequence[Opened]) -> None:
        """Tell of opens that were answered without the event loop."""
        for watch in self._watches:
            if watch.wants:
                watch.opened_again(opened)

    def created(self, created: Created) -> None:
        """Tell of an output."""
        for watch in self._watches:
            if watch.wants:
                watch.created(created)


class _AllNotes:
    def __init__(self, notes: tuple[ReadNotes, ...]) -> None:
        self._notes = notes

    def read(self, start: int, stop: int, waited_s: float) -> None:
        for one in self._notes:
            one.read(start, stop, waited_s)

    def closed(self) -> None:
        for one in self._notes:
            one.closed()
