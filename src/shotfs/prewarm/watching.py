"""Watching: what the file system tells of the files that applications open. Protocols and values.

Called in the event loop, in the way of an open: nothing here may wait, or take longer than a few
microseconds. Opens that the native thread answers (ADR 0020) are told a moment later, in a batch:
for each thread a list of files and one of times, so that taking them in costs no step for each.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
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


@dataclass(slots=True)
class Opened:
    """A published file was opened for reading. Nobody changes one; it is not frozen because making
    a frozen one takes four times as long, and each open makes one.

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


@dataclass(slots=True, eq=False)
class WholeFile:
    """A published file that is whole here and opened again and again: one object stands for all of
    its opens, and equals nothing but itself, so that tables of them are fast.

    Attributes:
        path: mount-relative.
        revision: that is read.
        resolution: what the specification says of it.
    """

    path: str
    revision: Revision
    resolution: Resolution


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

    def opened_again(
        self, reader: Reader, files: Sequence[WholeFile], at_s: Sequence[float]
    ) -> None:
        """Note opens of files that are whole here, which were answered without the event loop.

        Args:
            reader: who opened them.
            files: in the order in which he did.
            at_s: when, of each, on the event loop's clock.
        """
        ...

    def created(self, created: Created) -> None:
        """Note an output."""
        ...

    def tell_changes(self, changed: Callable[[], None]) -> None:
        """Call *changed* from now on whenever `wants` has changed."""
        ...


class Watches:
    """Several who are told, as one.

    Args:
        watches: in the order in which they are told.

    Attributes:
        wants: whether somebody wants to be told now.
        opened: tells of an open; as `OpenWatch.opened`.
    """

    def __init__(self, watches: Sequence[OpenWatch] = ()) -> None:
        self._watches = tuple(watches)
        self._wanting: tuple[OpenWatch, ...] = ()
        self._told: list[Callable[[], None]] = []
        self.wants = False
        self.opened: Callable[[Opened], ReadNotes | None] = self._opened
        for watch in self._watches:
            watch.tell_changes(self._changed)
        self._changed()

    def __bool__(self) -> bool:
        return bool(self._watches)

    def tell_changes(self, changed: Callable[[], None]) -> None:
        """Call *changed* from now on whenever `wants` may have changed, before anything is told."""
        self._told.append(changed)

    def _changed(self) -> None:
        # Asked once for each change, not once for each open.
        self._wanting = tuple(watch for watch in self._watches if watch.wants)
        self.wants = bool(self._wanting)
        # One who watches is told without anybody between.
        self.opened = self._wanting[0].opened if len(self._wanting) == 1 else self._opened
        for changed in self._told:
            changed()

    def _opened(self, opened: Opened) -> ReadNotes | None:
        """Tell of an open."""
        notes: ReadNotes | None = None
        for watch in self._wanting:
            one = watch.opened(opened)
            if one is not None:
                notes = one if notes is None else _BothNotes(notes, one)
        return notes

    def opened_again(
        self, reader: Reader, files: Sequence[WholeFile], at_s: Sequence[float]
    ) -> None:
        """Tell of opens that were answered without the event loop."""
        for watch in self._wanting:
            watch.opened_again(reader, files, at_s)

    def created(self, created: Created) -> None:
        """Tell of an output."""
        for watch in self._wanting:
            watch.created(created)


class _BothNotes:
    __slots__ = ("_one", "_other")

    def __init__(self, one: ReadNotes, other: ReadNotes) -> None:
        self._one = one
        self._other = other

    def read(self, start: int, stop: int, waited_s: float) -> None:
        self._one.read(start, stop, waited_s)
        self._other.read(start, stop, waited_s)

    def closed(self) -> None:
        self._one.closed()
        self._other.closed()
