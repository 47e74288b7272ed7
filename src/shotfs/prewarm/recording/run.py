"""Run: what was seen of one piece of work while it ran. In memory, bounded.

Told in the way of opens, so noting one takes a dictionary look-up and a few additions; what it
means (which frame, which shot) is worked out when the run has ended, by `outcome`. Event loop only
until then; afterwards nobody changes it, but for reads of files that are still open, which may or
may not count.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

from shotfs.pathspec import Resolution
from shotfs.prewarm.manifest.subject import Subject
from shotfs.prewarm.recording.ranges import Ranges
from shotfs.prewarm.recording.roles import Roles, frame_of, text_of
from shotfs.prewarm.recording.timeline import Timeline
from shotfs.prewarm.watching import Created, Opened
from shotfs.tiers.base import Revision

FRAMES_EACH_MAX = 64
"""Frames that are kept apart for one file: what is read for more is taken to be for all."""

PROCESSES_MAX = 256
"""Processes of one run that are told apart; what others read belongs to all frames."""

NAMES_MAX = 256
"""Different shots, tasks and views whose files are counted."""

RolesOf = Callable[[str], Roles]
"""From a show's name to the roles of its fields."""

EVERY = -1
"""Stands for an interval of no process, and for too many of them."""


class FileNotes:
    """What a run saw of one file; is told of its reads (`watching.ReadNotes`)."""

    __slots__ = (
        "cold", "first_s", "intervals", "own_frame", "path", "ranges", "revision", "stall_s",
    )  # fmt: skip

    def __init__(self, opened: Opened, first_s: float, own_frame: int | None) -> None:
        self.path = opened.path
        self.revision: Revision = opened.revision
        self.first_s = first_s
        self.own_frame = own_frame
        self.intervals: tuple[tuple[int, int], ...] = ()
        """(process, interval of its timeline) in which it was opened."""
        self.cold = 0
        self.stall_s = 0.0
        self.ranges: Ranges | None = None

    def read(self, start: int, stop: int, waited_s: float) -> None:
        """Note that bytes were read."""
        self.stall_s += waited_s
        if self.ranges is None:
            self.ranges = Ranges()
        self.ranges.add(start, stop)

    def closed(self) -> None:
        """Nothing depends on it."""


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

    Attributes:
        files: by path, in the order in which they were first opened.
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

    @property
    def pids(self) -> list[int]:
        """The processes that it knows."""
        return [pid for pid in self.timelines if pid > 0]

    def opened(self, opened: Opened) -> FileNotes | None:
        """Note an open; None where there is no room for another file."""
        self.opens += 1
        self.last_s = opened.at_s
        notes = self.files.get(opened.path)
        if notes is None:
            if len(self.files) >= self._files_max or self._room.files <= 0:
                self.missed += 1
                return None
            notes = self._first(opened)
        elif notes.revision is not opened.revision and notes.revision != opened.revision:
            # Published again meanwhile: the newest counts, of which nothing has been read.
            notes.revision, notes.ranges = opened.revision, None
        if not opened.warm:
            notes.cold += 1
        pid = opened.reader.pid
        timeline = self._timeline(pid)
        if timeline is None:
            where = (0, EVERY)
        else:
            if notes.own_frame is not None:
                timeline.read(notes.own_frame)
            where = (pid, timeline.interval)
        intervals = notes.intervals
        if where not in intervals and len(intervals) <= FRAMES_EACH_MAX:
            notes.intervals = (*intervals, where)
        return notes

    def _first(self, opened: Opened) -> FileNotes:
        show, _, _ = opened.path.partition("/")
        roles = self._roles_of(show)
        fields = opened.resolution.fields
        notes = FileNotes(opened, max(opened.at_s - self.began_s, 0.0), frame_of(fields, roles))
        self.files[opened.path] = notes
        self._room.files -= 1
        self.read.note(show, opened.resolution, roles)
        return notes

    def created(self, created: Created, at_s: float) -> None:
        """Note an output: the frame that is written, and which shot and task it belongs to."""
        self.last_s = at_s
        show, _, _ = created.path.partition("/")
        roles = self._roles_of(show)
        fields = created.resolution.fields
        self.written.note(show, created.resolution, roles)
        frame = frame_of(fields, roles)
        timeline = self._timeline(created.reader.pid)
        if timeline is not None and frame is not None:
            timeline.wrote(frame)

    def _timeline(self, pid: int) -> Timeline | None:
        timeline = self.timelines.get(pid)
        if timeline is None and len(self.timelines) < PROCESSES_MAX:
            timeline = self.timelines[pid] = Timeline()
        return timeline


class Names:
    """Counts how many files belong to which show, shot, task and view; bounded."""

    __slots__ = ("_counts",)

    def __init__(self) -> None:
        self._counts: tuple[Counter[str], ...] = (Counter(), Counter(), Counter(), Counter())

    def note(self, show: str, resolution: Resolution, roles: Roles) -> None:
        """Count a file."""
        fields = resolution.fields
        texts = (
            show,
            text_of(fields, roles.shot),
            text_of(fields, roles.task),
            text_of(fields, roles.view),
        )
        for counts, text in zip(self._counts, texts, strict=True):
            if text and (text in counts or len(counts) < NAMES_MAX):
                counts[text] += 1

    def dominant(self) -> tuple[str, str, str, str]:
        """Return the show, shot, task and view that more than half of those files have that have
        one; "" where none does.
        """
        show, shot, task, view = (_dominant(one) for one in self._counts)
        return show, shot, task, view


def _dominant(counts: Counter[str]) -> str:
    for text, count in counts.most_common(1):
        if 2 * count > counts.total():
            return text
    return ""
