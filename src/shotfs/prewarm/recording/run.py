"""Run: what was seen of one piece of work while it ran. In memory, bounded.

Told in the way of opens, so noting one takes a dictionary look-up and a few additions; what it
means (which frame, which shot) is worked out when the run has ended, by `outcome`. Event loop only
until then; afterwards nobody changes it, but for reads of files that are still open, which may or
may not count.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Mapping, Sequence

from shotfs.pathspec import Resolution
from shotfs.prewarm.manifest.subject import Subject
from shotfs.prewarm.recording.ranges import Range, Ranges
from shotfs.prewarm.recording.roles import Roles, frame_of, text_of
from shotfs.prewarm.recording.timeline import Timeline
from shotfs.prewarm.watching import Created, Opened, WholeFile
from shotfs.tiers.base import Revision

FRAMES_EACH_MAX = 64
"""Frames that are kept apart for one file: what is read for more is taken to be for all."""

PROCESSES_MAX = 256
"""Processes of one run that are told apart; what others read belongs to all frames."""

NAMES_MAX = 1_024
"""Combinations of show, shot, task and view whose files are counted."""

RolesOf = Callable[[str], Roles]
"""From a show's name to the roles of its fields."""

LATER_MAX = 128
"""Opens that wait to be worked up. What an open means is found out for many at once: that is
cheaper, for the processor has in its caches what it needs."""

AGAIN_FILES_MAX = 8_192
"""Files of opens that were answered natively and wait until the run ends or their process writes;
more would hold up the event loop. One takes less memory while it waits than afterwards."""

EVERY = -1
"""Stands for an interval of no process, and for too many of them."""

_EVERYWHERE = ((0, EVERY),)

_NOTHING: tuple[dict[WholeFile, float], Counter[WholeFile]] = ({}, Counter())


class FileNotes:
    """What a run saw of one file; is told of its reads (`watching.ReadNotes`)."""

    __slots__ = (
        "_apart", "_start", "_stop", "cold", "first_s", "intervals", "own_frame", "path",
        "revision", "stall_s",
    )  # fmt: skip

    def __init__(self, path: str, revision: Revision, first_s: float) -> None:
        self.path = path
        self.revision = revision
        self.first_s = first_s
        self.own_frame: int | None = None
        self.intervals: tuple[tuple[int, int], ...] = ()
        """(process, interval of its timeline) in which it was opened; once that is worked up."""
        self.cold = 0
        self.stall_s = 0.0
        # Most files are read from the start on: that needs no set of ranges.
        self._start = self._stop = 0
        self._apart: Ranges | None = None

    def read(self, start: int, stop: int, waited_s: float) -> None:
        """Note that bytes were read."""
        if waited_s:
            self.stall_s += waited_s
        if self._apart is not None:
            self._apart.add(start, stop)
        elif self._start == self._stop:
            self._start, self._stop = start, stop
        elif self._start <= start <= self._stop:
            if stop > self._stop:
                self._stop = stop
        else:
            self._apart = Ranges()
            self._apart.add(self._start, self._stop)
            self._apart.add(start, stop)

    def closed(self) -> None:
        """Nothing depends on it."""

    def published_again(self, revision: Revision) -> None:
        """Note that the newest revision counts, of which nothing was read."""
        self.revision = revision
        self._start = self._stop = 0
        self._apart = None

    def ranges(self) -> tuple[Range, ...]:
        """Return what was read, sorted."""
        if self._apart is not None:
            return self._apart.all()
        return ((self._start, self._stop),) if self._start < self._stop else ()


class Room:
    """How many files all runs together may still note.

    Attributes:
        files: so many.
    """

    __slots__ = ("files",)

    def __init__(self, files: int) -> None:
        self.files = files


class Run:
    """One piece of work while it runs.

    Args:
        subject: what its processes say that they work on.
        began_s: on the event loop's clock, in seconds.
        files_max: files that are noted.
        room: for files of all runs; whoever takes the run away gives its files back.
        roles_of: what fields mean.
        missed: told how many opens were of files that are not noted.

    Attributes:
        files: by path, about in the order in which they were first opened; after `settle` all.
        opens: how many there were, also of files that are not noted.
        missed: opens of files that were not noted because there were too many.
        pids: processes that it was told of.
        last_s: when it was last told something, on the event loop's clock.
    """

    def __init__(
        self,
        subject: Subject,
        began_s: float,
        *,
        files_max: int,
        room: Room,
        roles_of: RolesOf,
        missed: Callable[[int], None] = lambda _: None,
    ) -> None:
        self.subject = subject
        self.began_s = began_s
        self.last_s = began_s
        self.files: dict[str, FileNotes] = {}
        self.opens = 0
        self.missed = 0
        self.timelines: dict[int, Timeline] = {}
        self.written = Names()
        self.read = Names()
        self._files_max = files_max
        self._room = room
        self._roles_of = roles_of
        self._missed = missed
        self._again: dict[int, tuple[dict[WholeFile, float], Counter[WholeFile]]] = {}
        """By process: when files were first opened that the native thread answered, how often."""
        self._again_files = 0
        self._later: list[_Open] = []

    @property
    def pids(self) -> list[int]:
        """The processes that it knows."""
        self._settle_later()
        return [pid for pid in self.timelines if pid > 0]

    def opened(self, opened: Opened) -> FileNotes | None:
        """Note an open; None where there is no room for another file."""
        self.opens += 1
        path, revision, at_s = opened.path, opened.revision, opened.at_s
        self.last_s = at_s
        notes = self.files.get(path)
        if notes is None:
            notes = self._first(path, revision, at_s, 1)
            if notes is None:
                return None
        elif notes.revision is not revision and notes.revision != revision:
            self.settle()  # opens of the one before, which may still wait, came first
            notes.published_again(revision)
        if not opened.warm:
            notes.cold += 1
        later = self._later
        later.append((notes, opened.resolution, opened.reader.pid, 1))
        if len(later) >= LATER_MAX:
            self._settle_later()
        return notes

    def opened_again(self, pid: int, files: Sequence[WholeFile], at_s: Sequence[float]) -> None:
        """Note opens of whole files by the process *pid*, without a step of Python's for each."""
        self.opens += len(files)
        self.last_s = max(self.last_s, at_s[-1])
        again = self._again.get(pid)
        if again is None:
            self._timeline(pid)  # it is one of the processes of the run from now on
            again = self._again[pid] = ({}, Counter())
        first_s, counts = again
        before = len(first_s)
        deque(map(first_s.setdefault, files, at_s), maxlen=0)
        counts.update(files)
        more = len(first_s) - before
        self._again_files += more
        self._room.files -= more
        much = self._again_files > AGAIN_FILES_MAX or len(self._again) > PROCESSES_MAX
        if much or self._room.files < 0:
            self.settle()

    # --- working up what was told ----------------------------------------------------------------

    def settle(self) -> None:
        """Work up all that it was told."""
        self._settle_later()
        for pid in list(self._again):
            self._settle_again(pid)

    def _settle_later(self) -> None:
        later, self._later = self._later, []
        self._place(later)

    def _settle_again(self, pid: int) -> None:
        first_s, counts = self._again.pop(pid, _NOTHING)
        self._again_files -= len(first_s)
        self._room.files += len(first_s)
        opens: list[_Open] = []
        for file, at_s in first_s.items():
            notes = self.files.get(file.path)
            if notes is None:
                notes = self._first(file.path, file.revision, at_s, counts[file])
                if notes is None:
                    continue
            else:
                first = max(at_s - self.began_s, 0.0)
                if first < notes.first_s:
                    notes.first_s = first
                elif notes.revision is not file.revision and notes.revision != file.revision:
                    notes.published_again(file.revision)
            opens.append((notes, file.resolution, pid, counts[file]))
        self._place(opens)

    def _first(self, path: str, revision: Revision, at_s: float, count: int) -> FileNotes | None:
        """Return new notes of a file that was opened *count* times; None if there is no room."""
        if len(self.files) >= self._files_max or self._room.files <= 0:
            self.missed += count
            self._missed(count)
            return None
        self._room.files -= 1
        since_s = at_s - self.began_s
        notes = self.files[path] = FileNotes(path, revision, since_s if since_s > 0 else 0.0)
        return notes

    def _place(self, opens: Sequence[_Open]) -> None:
        """Note what the names of files say, and to which interval of a process opens belong."""
        readings: dict[str, _Reading] = {}
        last_pid = EVERY
        timeline: Timeline | None = None
        where = _EVERYWHERE
        for notes, resolution, pid, count in opens:
            if pid != last_pid:
                last_pid, timeline = pid, self._timeline(pid)
                where = _EVERYWHERE if timeline is None else ((pid, timeline.interval),)
            intervals = notes.intervals
            if not intervals:
                notes.intervals = where
                path = notes.path
                show = path[: path.find("/")]
                reading = readings.get(show)
                if reading is None:
                    reading = readings[show] = _Reading(show, self._roles_of(show))
                notes.own_frame = reading.note(resolution.fields, self.read)
            elif where[0] not in intervals and len(intervals) <= FRAMES_EACH_MAX:
                notes.intervals = intervals + where
            if timeline is not None and notes.own_frame is not None:
                timeline.read(notes.own_frame, count)

    def created(self, created: Created, at_s: float) -> None:
        """Note an output: the frame that is written, and which shot and task it belongs to."""
        # What its process read before belongs to the interval that ends here.
        self._settle_later()
        self._settle_again(created.reader.pid)
        self.last_s = at_s
        show, _, _ = created.path.partition("/")
        roles = self._roles_of(show)
        frame = _Reading(show, roles).note(created.resolution.fields, self.written)
        timeline = self._timeline(created.reader.pid)
        if timeline is not None and frame is not None:
            timeline.wrote(frame)

    def _timeline(self, pid: int) -> Timeline | None:
        timeline = self.timelines.get(pid)
        if timeline is None and len(self.timelines) < PROCESSES_MAX:
            timeline = self.timelines[pid] = Timeline()
        return timeline


_Open = tuple[FileNotes, Resolution, int, int]
"""(file, what its path means, process, how often)"""


class _Reading:
    """What names in one show tell."""

    __slots__ = ("_nothing", "_roles", "_show", "_telling")

    def __init__(self, show: str, roles: Roles) -> None:
        self._show = show
        self._roles = roles
        self._telling = frozenset((*roles.shot, *roles.task, *roles.view))
        self._nothing = (show, "", "", "")

    def note(self, fields: Mapping[str, str], names: Names) -> int | None:
        """Count a file with *fields* in *names*; return its frame."""
        roles = self._roles
        if self._telling.isdisjoint(fields):
            names.count(self._nothing)
        else:
            names.count(
                (
                    self._show,
                    text_of(fields, roles.shot),
                    text_of(fields, roles.task),
                    text_of(fields, roles.view),
                )
            )
        return frame_of(fields, roles) if roles.frame else None


class Names:
    """Counts how many files belong to which show, shot, task and view; bounded."""

    __slots__ = ("_counts",)

    def __init__(self) -> None:
        self._counts: dict[tuple[str, str, str, str], int] = {}

    def count(self, texts: tuple[str, str, str, str]) -> None:
        """Count a file of this show, shot, task and view; "" for none."""
        counts = self._counts
        if texts in counts:
            counts[texts] += 1
        elif len(counts) < NAMES_MAX:
            counts[texts] = 1

    def dominant(self) -> tuple[str, str, str, str]:
        """Return the show, shot, task and view that more than half of those files have that have
        one; "" where none does.
        """
        each: tuple[Counter[str], ...] = (Counter(), Counter(), Counter(), Counter())
        for texts, count in self._counts.items():
            for counts, text in zip(each, texts, strict=True):
                if text:
                    counts[text] += count
        show, shot, task, view = (_dominant(one) for one in each)
        return show, shot, task, view


def _dominant(counts: Counter[str]) -> str:
    for text, count in counts.most_common(1):
        if 2 * count > counts.total():
            return text
    return ""
