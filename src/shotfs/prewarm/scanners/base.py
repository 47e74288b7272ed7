"""Scanners: what a scene file says that it needs. The protocol, and its values.

A scanner is one module with a class that has the form of `Scanner`, and one line in `registry`.
It runs in a thread (or in a process of a command), gets a file on a local disk and yields what that
file names; following into other files, expanding tokens and choosing among scanners is `closure`'s.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol


class Kind(StrEnum):
    """What an edge leads to."""

    SCENE = "scene"
    """Another file that a scanner reads: it is followed."""
    FILE = "file"
    """A texture, cache, plate or lookup table."""
    OUTPUT = "output"
    """What the scene writes: never fetched."""


@dataclass(frozen=True, slots=True)
class Edge:
    """A file that a scene names.

    Attributes:
        target: its path as it should be read: absolute, or relative to the directory of the file
            that names it. May have tokens (``<UDIM>``, ``####``, ``%04d``, ``%V``), which `closure`
            expands.
        kind: what it leads to.
        frames: for which frames it is needed, like ``1001-1010``; "" for all, or unknown.
        file_frames: which numbers a frame token in *target* takes, where the scene says so; "":
            the frames that are asked for, each needing the file of its own number. If *frames* has
            as many, the two pair up in order (a plate that is shifted in time); else each of these
            files is needed for all of *frames*.
        views: for which views; () for all.
        confidence: how likely a render reads it, 0 to 1: 1.0 is "the scene cannot do without".
        line: where it stands, from 1; None in a binary file.
        unresolved: why *target* is not the path that will be read (an expression, an unset
            variable); "" where it is.
        search: directories in which a relative *target* is looked for, in order, and the first that
            has it counts; "" is the directory of the file that names it, and a relative one lies
            below that. (): there, then in the scope's `search_paths`. What a SCENE was looked for
            in comes first in the `search_paths` of the scope that it is scanned with.
        named_by: the file that names it, where a scanner read that one on the way (a layer that a
            stage is composed of); relative paths start there then. "" for the scanned file.
    """

    target: str
    kind: Kind = Kind.FILE
    frames: str = ""
    file_frames: str = ""
    views: tuple[str, ...] = ()
    confidence: float = 1.0
    line: int | None = None
    unresolved: str = ""
    search: tuple[str, ...] = ()
    named_by: str = ""


@dataclass(frozen=True, slots=True)
class Scope:
    """What is asked of a scan.

    Attributes:
        frames: those that will be rendered, like ``1001-1086``; "" for all that there are.
        views: those that will be rendered; () for all.
        variables: of the environment that the render will have: ``$OCIO``, ``${JOB}``.
        search_paths: directories where names without one are looked for, in order.
        all_variants: of variants and switches take each branch, not only the chosen one.
        in_place: the file lies where scenes name it, and so does all that it names (a mount);
            False: it is a copy somewhere else, so relative paths lead nowhere.
    """

    frames: str = ""
    views: tuple[str, ...] = ()
    variables: dict[str, str] = field(default_factory=dict)
    search_paths: tuple[str, ...] = ()
    all_variants: bool = False
    in_place: bool = True


class Scanner(Protocol):
    """Reads one kind of scene file.

    Attributes:
        name: in manifests and reports: ``usd``, ``nuke``.
        suffixes: of the files that it reads, lower case with the dot.
        extra: of the package that has to be installed for it (`pip install shotfs[usd]`); "" where
            nothing has to be.
    """

    name: str
    suffixes: tuple[str, ...]
    extra: str

    def available(self) -> str:
        """Return "" if it can work here, else what is missing and how to get it."""
        ...

    def recognises(self, head: bytes) -> bool:
        """Whether a file that begins with *head* (at most 4 KiB) is of its kind; for files whose
        suffix several scanners have, or none.
        """
        ...

    def scan(self, path: str, scope: Scope) -> Iterator[Edge]:
        """Yield what the file *path*, on a local disk, names.

        Raises:
            ScanFailed: it is damaged, or not of this kind. What was yielded before still counts.
        """
        ...
