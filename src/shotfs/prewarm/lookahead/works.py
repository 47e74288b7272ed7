"""Works: what the frames of a piece of work have read on this node, and in which order they came.

A run is one frame of it, whatever number of processes works on that. What the fullest of its last
runs read, with the frames in the names moved, is what the next one reads: in production the frames
of a shot differ in little else. Which files move with the frame and which stay is seen when two
runs are compared; until then all that carry a number are expected to move.

Pure. Bounded: `READS_MAX` over all works, and one run more.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import pairwise

from shotfs.prewarm.lookahead.ledger import Track
from shotfs.prewarm.lookahead.shapes import Number, Seen, Shape
from shotfs.prewarm.lookahead.strides import Stride
from shotfs.prewarm.manifest.subject import Subject

WORKS_MAX = 256
RUNS_MAX = 8
"""Runs of one work that are remembered: as many as may be under way at once, on most machines."""

READS_MAX = 100_000
"""Files over all runs of all works, in whatever table; one takes 100 to 200 bytes, and its path as
much.
"""

PLANNED_MAX = 64
RECENT_MAX = 32

RUN_READS_MAX = 20_000
"""Files of one run; what a frame reads beyond that is not predicted."""


@dataclass(frozen=True, slots=True)
class Read:
    """A file that a run opened.

    Attributes:
        path: mount-relative.
        shape: what of it stays when the frame moves.
        frame: in its name; None without one.
        ahead: how many following frames its template says; None: it says nothing.
    """

    path: str
    shape: Shape
    frame: Number | None
    ahead: int | None = None


@dataclass(slots=True, eq=False)
class Run:
    """One frame of a work.

    Attributes:
        frame: its number.
        reads: in the order in which they were opened first.
        expected: what was foreseen of it.
        first: no other was known when it began.
    """

    frame: Number
    reads: dict[str, Read] = field(default_factory=dict)
    expected: set[str] = field(default_factory=set)
    first: bool = False


@dataclass(slots=True, eq=False)
class Sway:
    """How often a sequence moved with the frame of the run, and how often it stayed."""

    moved: int = 0
    stayed: int = 0


class Work:
    """A shot's task, or a job.

    Args:
        name: for people and for scores.

    Attributes:
        frames: in which order they came.
        track: what was fetched for it.
        asked: whether recordings were asked for.
        planned: frames of which all that is expected was asked for.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.frames = Stride()
        self.track = Track(name)
        self.asked = False
        self.planned: OrderedDict[Number, None] = OrderedDict()
        self._runs: OrderedDict[Number, Run] = OrderedDict()
        self._recorded: Run | None = None
        self._sways: dict[str, Sway] = {}
        self._recent: list[Number] = []

    @property
    def count(self) -> int:
        """How many files are remembered, whatever of them."""
        recorded = 0 if self._recorded is None else len(self._recorded.reads)
        runs = sum(len(run.reads) + len(run.expected) for run in self._runs.values())
        return recorded + runs + len(self._sways)

    @property
    def at_once(self) -> int:
        """How many frames of it are worked on at the same time: those that came back to reading
        after another one had read.
        """
        left: set[Number] = set()
        returned: set[Number] = set()
        for before, frame in pairwise(self._recent):
            if before != frame:
                left.add(before)
                if frame in left:
                    returned.add(frame)
        return max(1, len(returned))

    def run(self, frame: Number) -> Run | None:
        """Return the run of *frame*."""
        return self._runs.get(frame)

    def begin(self, frame: Number) -> Run:
        """Begin the run of *frame*; what is learned of the ones before is settled."""
        self._compare()
        run = self._runs[frame] = Run(frame, first=not self._runs)
        self.frames.came(frame)
        self.track.ticks += 1
        if len(self._runs) > RUNS_MAX:
            self._runs.popitem(last=False)
        return run

    def learn(self, run: Run) -> None:
        """Take *run* from a recording; fuller ones of our own count more."""
        self._recorded = run

    def plan(self, frame: Number) -> bool:
        """Note that *frame* is planned; False if it was."""
        if frame in self.planned:
            return False
        self.planned[frame] = None
        if len(self.planned) > PLANNED_MAX:
            self.planned.popitem(last=False)
        return True

    def note(self, run: Run, path: str, seen: Seen, ahead: int | None = None) -> Read | None:
        """Note that *run* opened *path*; None if it has done so before."""
        if path in run.reads or len(run.reads) >= RUN_READS_MAX:
            return None
        read = run.reads[path] = Read(path, seen.shape, seen.frame, ahead)
        self._recent.append(run.frame)
        del self._recent[:-RECENT_MAX]
        return read

    def stays(self, shape: Shape) -> bool:
        """Whether the files of *shape* are the same for each frame."""
        sway = self._sways.get(shape.key)
        return sway is not None and sway.stayed > sway.moved

    def model(self, frame: Number, *, besides: Run) -> Run | None:
        """Return the run that tells best what *frame* will read; None: there is none.

        Args:
            frame: that is about to be rendered.
            besides: a run that has only begun.
        """
        models = [run for run in self._runs.values() if run is not besides and run.reads]
        if self._recorded is not None:
            models.append(self._recorded)
        return max(models, key=lambda run: (run.frame == frame, len(run.reads)), default=None)

    def moved(self, read: Read, by: Number) -> Read | None:
        """Return what takes the place of *read* in a frame that lies *by* further; None: nothing
        can.
        """
        if read.frame is None or not by or self.stays(read.shape):
            return read
        to = read.frame + by
        path = read.shape.at(to)
        return None if path is None else Read(path, read.shape, to, read.ahead)

    def forget(self) -> None:
        """Forget all but the run that began last."""
        self._recorded = None
        self._sways.clear()
        while len(self._runs) > 1:
            self._runs.popitem(last=False)

    def _compare(self) -> None:
        """See of the last run, and the one before it, which sequences moved."""
        runs = [run for run in self._runs.values() if run.reads]
        if len(runs) < 2:
            return
        earlier, later = _by_shape(runs[-2].reads.values()), _by_shape(runs[-1].reads.values())
        by = runs[-1].frame - runs[-2].frame
        for key in earlier.keys() & later.keys():
            sway = self._sways.setdefault(key, Sway())
            if later[key] == earlier[key]:
                sway.stayed += 1
            elif {frame - by for frame in later[key]} & earlier[key]:
                sway.moved += 1
        if len(self._sways) > RUN_READS_MAX:
            self._sways.clear()


def _by_shape(reads: Iterable[Read]) -> dict[str, set[Number]]:
    found: dict[str, set[Number]] = {}
    for read in reads:
        if read.frame is not None:
            found.setdefault(read.shape.key, set()).add(read.frame)
    return found


class Works:
    """All works that this node has seen lately."""

    def __init__(self) -> None:
        self._works: OrderedDict[str, Work] = OrderedDict()

    def __len__(self) -> int:
        return len(self._works)

    def of(self, subject: Subject) -> tuple[Work, Work | None]:
        """Return the work of *subject*, and one that was forgotten for it."""
        name = name_of(subject)
        work = self._works.get(name)
        forgotten = None
        if work is None:
            work = self._works[name] = Work(name)
            if len(self._works) > WORKS_MAX:
                _, forgotten = self._works.popitem(last=False)
        self._works.move_to_end(name)
        return work, forgotten

    def trim(self) -> list[Work]:
        """Forget the works that were used least lately beyond `READS_MAX`; return them."""
        over = sum(work.count for work in self._works.values()) - READS_MAX
        forgotten = []
        while over > 0 and len(self._works) > 1:
            _, work = self._works.popitem(last=False)
            over -= work.count
            forgotten.append(work)
        if over > 0:
            for work in self._works.values():
                work.forget()
        return forgotten


def name_of(subject: Subject) -> str:
    """Return what a piece of work is called here; "" where nothing says what it is.

    Of a shot and task that is the same for each job: who renders again reads the same.
    """
    if subject.shot or subject.task:
        parts = (subject.show, subject.shot, subject.task, subject.view)
        return "/".join(part for part in parts if part)
    return subject.job
