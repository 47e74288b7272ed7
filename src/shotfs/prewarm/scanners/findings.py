"""Findings: what a scan says in the end, and where it is gathered. Bounded, and for threads."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from itertools import chain, islice
from typing import TypeVar

from shotfs.errors import ShotfsError
from shotfs.prewarm.manifest import Entry, Source
from shotfs.prewarm.manifest.frames import frames_text
from shotfs.prewarm.scanners.base import Edge
from shotfs.prewarm.scanners.expansion import Facts, Listings

K = TypeVar("K")
V = TypeVar("V")

REPORTS_MAX = 10_000
"""Of each kind of report that many are kept; all are counted."""

THREADS = 8
CHUNK = 64
CHUNKS = 64
"""Files whose facts a thread asks for in one go, and how often before they become entries."""

Frames = frozenset[int] | None
Views = frozenset[str] | None
"""None: all."""


@dataclass(frozen=True, slots=True)
class Unresolved:
    """A path in a scene that is not known to be any file's.

    Attributes:
        file: the scene, absolute.
        line: in it, from 1; None in a binary file.
        target: as the scene writes it.
    """

    file: str
    line: int | None
    target: str
    scanner: str
    reason: str


@dataclass(frozen=True, slots=True)
class Missing:
    """A file that a scene names, and that is not there.

    Attributes:
        path: absolute; with tokens where several files lack.
        frames: which numbers of a frame token lack; "" where it has none, or nothing is there.
        file: the first scene that names it, and *line* in it.
        confidence: of the edge.
    """

    path: str
    frames: str
    file: str
    line: int | None
    scanner: str
    confidence: float


@dataclass(frozen=True, slots=True)
class Output:
    """A path that a scene writes: absolute, with tokens."""

    path: str
    file: str
    line: int | None
    scanner: str


@dataclass(frozen=True, slots=True)
class Trouble:
    """A scene that was not read, or not to its end."""

    path: str
    reason: str

    @property
    def told(self) -> str:
        """The whole of it for people: a reason may begin with the path, and the line in it."""
        said = self.reason.startswith(f"{self.path}:")
        return self.reason if said else f"{self.path}: {self.reason}"


@dataclass(frozen=True, slots=True)
class Counts:
    """How many there are of each, also of those that are not kept."""

    unresolved: int
    missing: int
    outputs: int
    troubles: int
    outside: int


@dataclass(frozen=True, slots=True)
class Closure:
    """What scenes need.

    Attributes:
        entries: files that are there, sorted by path, which is relative to the root.
        starts: what the scan began with, absolute: as given, and the files of what has tokens.
        scenes: those that were read, by absolute path, and the scanner of each.
        unresolved: what nobody can know from the scene alone.
        missing: what is not there.
        outputs: what is written.
        troubles: scenes that are damaged, too large, or that nothing here reads.
        outside: files that are there, but not below the root; absolute.
    """

    entries: tuple[Entry, ...]
    starts: frozenset[str]
    scenes: Mapping[str, str]
    unresolved: tuple[Unresolved, ...]
    missing: tuple[Missing, ...]
    outputs: tuple[Output, ...]
    troubles: tuple[Trouble, ...]
    outside: tuple[str, ...]
    counts: Counts


@dataclass(slots=True)
class _Needed:
    frames: Frames
    views: Views
    confidence: float
    scanners: tuple[str, ...]


@lru_cache(maxsize=65_536)
def one_frame(number: int) -> frozenset[int]:
    """Return the set of *number* only; the same object each time."""
    return frozenset((number,))


class Findings:
    """Gathers what is found."""

    def __init__(self, root: str, listings: Listings, files_max: int) -> None:
        self._prefix = root.rstrip("/") + "/"
        self._listings = listings
        self._files_max = files_max
        self._lock = threading.Lock()
        self._files: dict[str, _Needed] = {}
        self._unresolved: dict[Unresolved, None] = {}
        self._missing: dict[tuple[str, str], Missing] = {}
        self._outputs: dict[str, Output] = {}
        self._troubles: dict[Trouble, None] = {}
        self._beyond = {"unresolved": 0, "missing": 0, "outputs": 0, "troubles": 0}

    # --- from scans, in threads ------------------------------------------------------------------

    def unresolved(self, scene: str, scanner: str, edge: Edge, reason: str) -> None:
        """Note that *edge* of *scene* leads nowhere that is known."""
        one = Unresolved(edge.named_by or scene, edge.line, edge.target, scanner, reason)
        with self._lock:
            if one not in self._unresolved:
                self._keep("unresolved", self._unresolved, one, None)

    def missing(self, scene: str, scanner: str, edge: Edge, path: str, frames: str) -> None:
        """Note that *path* is not there, or *frames* of it."""
        file = edge.named_by or scene
        one = Missing(path, frames, file, edge.line, scanner, edge.confidence)
        with self._lock:
            if (path, frames) not in self._missing:
                self._keep("missing", self._missing, (path, frames), one)

    def output(self, scene: str, scanner: str, edge: Edge, path: str) -> None:
        """Note that *path* is written."""
        with self._lock:
            if path not in self._outputs:
                one = Output(path, edge.named_by or scene, edge.line, scanner)
                self._keep("outputs", self._outputs, path, one)

    def trouble(self, path: str, reason: str) -> None:
        """Note that the scene *path* was not read, or not to its end."""
        one = Trouble(path, reason)
        with self._lock:
            if one not in self._troubles:
                self._keep("troubles", self._troubles, one, None)

    def _keep(self, kind: str, kept: dict[K, V], key: K, value: V) -> None:
        if len(kept) < REPORTS_MAX:
            kept[key] = value
        else:
            self._beyond[kind] += 1

    # --- at the end, in one thread ---------------------------------------------------------------

    def file(
        self, path: str, frames: Frames, views: Views, confidence: float, scanner: str
    ) -> None:
        """Note that the file *path* is needed, and for what; None is all."""
        known = self._files.get(path)
        if known is None:
            if len(self._files) < self._files_max:
                self._files[path] = _Needed(frames, views, confidence, (scanner,))
            elif len(self._files) == self._files_max:
                self.trouble(path, f"and more: there are more than {self._files_max} files")
            return
        known.frames = united(known.frames, frames)
        known.views = united(known.views, views)
        known.confidence = max(known.confidence, confidence)
        if scanner not in known.scanners:
            known.scanners = tuple(sorted((*known.scanners, scanner)))

    def closure(self, starts: frozenset[str], scenes: Mapping[str, str]) -> Closure:
        """Return everything that was noted."""
        entries: list[Entry] = []
        outside: list[str] = []
        paths = iter(sorted(self._files))
        with ThreadPoolExecutor(THREADS, "shotfs-scan") as pool:
            while chunks := [one for _ in range(CHUNKS) if (one := list(islice(paths, CHUNK)))]:
                found = chain.from_iterable(pool.map(self._facts_of, chunks))
                for path, facts in zip(chain.from_iterable(chunks), found, strict=True):
                    if facts is None:
                        continue  # a directory that is named like a file, or it went meanwhile
                    if path.startswith(self._prefix):
                        entries.append(self._entry(path, facts))
                    else:
                        outside.append(path)
        return Closure(
            entries=tuple(entries),
            starts=starts,
            scenes=scenes,
            unresolved=tuple(self._unresolved),
            missing=tuple(self._missing.values()),
            outputs=tuple(self._outputs.values()),
            troubles=tuple(self._troubles),
            outside=tuple(outside[:REPORTS_MAX]),
            counts=Counts(
                unresolved=len(self._unresolved) + self._beyond["unresolved"],
                missing=len(self._missing) + self._beyond["missing"],
                outputs=len(self._outputs) + self._beyond["outputs"],
                troubles=len(self._troubles) + self._beyond["troubles"],
                outside=len(outside),
            ),
        )

    def _facts_of(self, paths: list[str]) -> list[Facts | None]:
        return [self._facts(path) for path in paths]

    def _facts(self, path: str) -> Facts | None:
        try:
            return self._listings.facts(path)
        except (ShotfsError, OSError):
            return Facts(None, None)  # it was there; its origin does not answer any more

    def _entry(self, path: str, facts: Facts) -> Entry:
        needed = self._files[path]
        return Entry(
            path=path[len(self._prefix) :],
            size_bytes=facts.size_bytes,
            mtime_ns=facts.mtime_ns,
            frames=_text(needed.frames),
            views=() if needed.views is None else tuple(sorted(needed.views)),
            sources=(Source.SCANNED,),
            scanners=needed.scanners,
            confidence=round(needed.confidence, 4),
        )


def _text(frames: Frames) -> str:
    if frames is None:
        return ""
    return str(*frames) if len(frames) == 1 else frames_text(frames)


def united(one: frozenset[V] | None, other: frozenset[V] | None) -> frozenset[V] | None:
    """Return what is in either; None is everything."""
    if one is None or other is None:
        return None
    return one if other <= one else one | other


def common(one: frozenset[V] | None, other: frozenset[V] | None) -> frozenset[V] | None:
    """Return what is in both; None is everything."""
    if one is None or other is None:
        return other if one is None else one
    return one & other
