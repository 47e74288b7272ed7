"""What applications did and were told, and what the origin must hold when the power went.

Each path has one application at a time, so the acts on it come one after another. An act that did
not answer before the cut may have happened or not; one that did must have.
"""

from __future__ import annotations

import threading
import time
from collections import defaultdict
from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field

NEVER_NS = 2**63 - 1


@dataclass(slots=True, eq=False)
class Act:
    """Something done to a path, after which it has *content*.

    Attributes:
        path: relative to the show, as the key of its object is to the origin.
        content: None: it is not there any more.
        begin_ns: when it began, nanoseconds since the epoch.
        end_ns: when the application was told that it is done; `NEVER_NS`: it was not.
        source: the path that was renamed to this one.
        closed: whether what it leaves is ever an output: False for a file that nobody closed.
    """

    path: str
    content: bytes | None
    begin_ns: int
    end_ns: int = NEVER_NS
    source: str | None = None
    closed: bool = True

    def done(self) -> None:
        """The application was told so."""
        self.end_ns = time.time_ns()


@dataclass(slots=True)
class Findings:
    """What was wrong after one cut, or many; `messages` says it in words.

    Attributes:
        lost: files that somebody closed and that are not in the origin.
        changed: with the bytes of an earlier version of them, or back after they were removed.
        half_published: with bytes that they had at no close.
        duplicated: under two names after a rename.
        broken_journals: journals that sqlite or the spool refused.
        messages: of all of them.
    """

    lost: int = 0
    changed: int = 0
    half_published: int = 0
    duplicated: int = 0
    broken_journals: int = 0
    messages: list[str] = field(default_factory=list)

    def __bool__(self) -> bool:
        """Whether anything was wrong."""
        return bool(self.messages)

    def note(self, kind: str, message: str) -> None:
        """Count a *kind* of mistake."""
        setattr(self, kind, getattr(self, kind) + 1)
        self.messages.append(f"{kind}: {message}")

    def add(self, other: Findings, prefix: str) -> None:
        """Count what *other* counted."""
        for kind in KINDS:
            setattr(self, kind, getattr(self, kind) + getattr(other, kind))
        self.messages.extend(f"{prefix}: {message}" for message in other.messages)


KINDS = ("lost", "changed", "half_published", "duplicated", "broken_journals")


class History:
    """All acts. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._acts: defaultdict[str, list[Act]] = defaultdict(list)

    def begin(
        self, path: str, content: bytes | None, *, source: str | None = None, closed: bool = True
    ) -> Act:
        """Note that an act begins."""
        with self._lock:
            act = Act(path, content, time.time_ns(), source=source, closed=closed)
            self._acts[path].append(act)
        return act

    def withdraw(self, act: Act) -> None:
        """Forget an act that was refused before it changed anything."""
        with self._lock:
            self._acts[act.path].remove(act)

    def told(self) -> list[Act]:
        """Return every act that was answered."""
        with self._lock:
            return [act for acts in self._acts.values() for act in acts if act.end_ns < NEVER_NS]

    def told_before(self, time_ns: int) -> int:
        """Return how many acts were answered before *time_ns*."""
        return sum(act.end_ns < time_ns for act in self.told())

    def compare(
        self, time_ns: int, objects: Mapping[str, bytes], listed: AbstractSet[str]
    ) -> Findings:
        """Say what is wrong with an origin after a power loss and a recovery.

        Args:
            time_ns: of the cut.
            objects: what the origin holds: path to content.
            listed: paths that the queue says are not whole, so that somebody can look after them.
        """
        found = Findings()
        for path, acts in self._acts.items():
            begun = [act for act in acts if act.begin_ns < time_ns]
            _compare(path, begun, time_ns, objects, listed, found)
        for path in objects.keys() - self._acts.keys():
            found.note("half_published", f"{path} is in the origin, and nobody made it")
        return found


def _compare(
    path: str,
    begun: list[Act],
    time_ns: int,
    objects: Mapping[str, bytes],
    listed: AbstractSet[str],
    found: Findings,
) -> None:
    there = objects.get(path)
    told = [act for act in begun if act.end_ns < time_ns]
    flying = begun[len(told) :]
    last = told[-1].content if told else None
    if there is not None and there not in [act.content for act in begun if act.closed]:
        found.note("half_published", f"{path} has {len(there)} bytes that it had at no close")
        return
    allowed = {last, *(act.content for act in flying if act.closed)}
    if flying and path in listed:  # cut off while it was written again: kept, and listed
        allowed |= {None, *(act.content for act in begun if act.closed)}
    if there not in allowed:
        kind = "lost" if there is None else "changed"
        also = " (the queue lists it)" if path in listed else ""
        size = "nothing" if last is None else f"{len(last)} bytes"
        since_s = (time_ns - told[-1].end_ns) / 1e9 if told else 0.0
        found.note(
            kind,
            f"{path} must have {size} after {len(told)} acts, the last one {since_s:.4f} s ago;"
            f" {len(flying)} not answered{also}",
        )
    for act in flying:
        if act.source is not None:
            _compare_rename(act, objects, listed, found)


def _compare_rename(
    act: Act, objects: Mapping[str, bytes], listed: AbstractSet[str], found: Findings
) -> None:
    """Of a rename that was not answered: the file has one of its names."""
    assert act.source is not None
    names = [path for path in (act.source, act.path) if path in objects]
    if not names and not {act.source, act.path} & listed:
        found.note("lost", f"{act.path} was renamed from {act.source} and has neither name")
    if len(names) > 1:
        found.note("duplicated", f"{act.path} was renamed from {act.source} and has both names")
