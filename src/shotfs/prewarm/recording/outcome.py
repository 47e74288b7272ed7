"""Outcome: what a run that has ended says of which frames need which files. Pure; may take long
for many files, so it is worked out in a thread.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from shotfs.prewarm.manifest.entry import Entry, Source, Use
from shotfs.prewarm.manifest.frames import frames_text, parse_frames, short_text
from shotfs.prewarm.manifest.subject import Subject
from shotfs.prewarm.recording.run import EVERY, FRAMES_EACH_MAX, FileNotes, Run
from shotfs.prewarm.recording.timeline import Settled


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one run read.

    Attributes:
        subject: what it worked on; what its environment did not say is inferred. With one frame,
            several, or "" where that is not known.
        entries: each file once, in the order of first opens. `Entry.frames` are those of the run
            that read it; "": all of them, or not known which.
        frames: those that it rendered, as text; "" if not known.
        opens: how many there were.
        missed: how many of files that were not noted, since there were too many.
    """

    subject: Subject
    entries: tuple[Entry, ...]
    frames: str
    opens: int
    missed: int

    @property
    def bytes(self) -> int:
        """Of all files together."""
        return sum(entry.size_bytes or 0 for entry in self.entries)

    @property
    def cold(self) -> int:
        """Opens that found the file not on the node."""
        return sum(entry.use.cold for entry in self.entries if entry.use is not None)

    @property
    def stall_s(self) -> float:
        """How long readers waited, in seconds."""
        return sum(entry.use.stall_s for entry in self.entries if entry.use is not None)


def outcome_of(run: Run) -> Outcome:
    """Return what *run* says; nobody changes it meanwhile.

    The environment of its processes counts first. Where it does not say show, shot, task or view,
    those of the outputs that were written do, if one dominates; else those of the files read.
    """
    subject = _inferred(run)
    settled = {pid: one.settled() for pid, one in run.timelines.items()}
    rendered = frozenset(step for one in run.timelines.values() for step in one.steps)
    said = parse_frames(subject.frame)
    # An index of an array job is no frame always: outputs know better, and which of a range it was.
    if rendered and (len(said) != 1 or rendered.isdisjoint(said)):
        said = rendered
    frames = short_text(said)
    one = frames if len(said) == 1 else ""
    views = (subject.view,) if subject.view else ()
    entries = tuple(
        _entry(notes, one or _frames(notes, settled, rendered), views)
        for notes in sorted(run.files.values(), key=lambda one: one.first_s)
    )
    return Outcome(replace(subject, frame=frames), entries, frames, run.opens, run.missed)


def _inferred(run: Run) -> Subject:
    said = run.subject
    show, shot, task, view = run.written.dominant()
    read_show, read_shot, _, _ = run.read.dominant()
    # A task or view of files that are read says little: a render of lighting reads animation.
    return replace(
        said,
        show=said.show or show or read_show,
        shot=said.shot or shot or read_shot,
        task=said.task or task,
        view=said.view or view,
    )


def _frames(notes: FileNotes, settled: Mapping[int, Settled], rendered: frozenset[int]) -> str:
    """Return for which frames a file was read; "" for all."""
    if not rendered or len(notes.intervals) > FRAMES_EACH_MAX:
        return ""
    found: set[int] = set()
    for pid, interval in notes.intervals:
        timeline = settled.get(pid)
        if interval == EVERY or timeline is None:
            return ""
        frame = timeline.frame_of(interval, notes.own_frame)
        if frame is None:
            return ""
        found.add(frame)
    return frames_text(found)


def _entry(notes: FileNotes, frames: str, views: tuple[str, ...]) -> Entry:
    revision = notes.revision
    return Entry(
        path=notes.path,
        digest=revision.checksums.xxh128,
        size_bytes=revision.size_bytes,
        mtime_ns=revision.mtime_ns,
        frames=frames,
        views=views,
        sources=(Source.RECORDED,),
        use=Use(
            runs=1,
            cold=notes.cold,
            stall_s=round(notes.stall_s, 6),
            first_s=round(notes.first_s, 3),
            ranges=notes.ranges(),
        ),
    )


def by_frame(outcome: Outcome) -> Iterator[tuple[Subject, tuple[Entry, ...]]]:
    """Yield what *outcome* says of each frame, and at last of all frames (frame "").

    A file without frames belongs to the last one; where the run rendered one frame only, to that.
    """
    rendered = sorted(parse_frames(outcome.frames))
    if len(rendered) == 1:
        entries = tuple(replace(entry, frames=str(rendered[0])) for entry in outcome.entries)
        yield replace(outcome.subject, frame=str(rendered[0])), entries
        return
    parts: dict[int, list[Entry]] = {}
    everywhere: list[Entry] = []
    for entry in outcome.entries:
        frames = parse_frames(entry.frames)
        if not frames or len(frames) == len(rendered):
            everywhere.append(replace(entry, frames=""))
            continue
        for frame in frames:
            parts.setdefault(frame, []).append(replace(entry, frames=str(frame)))
    for frame, found in sorted(parts.items()):
        yield replace(outcome.subject, frame=str(frame)), tuple(found)
    if everywhere:
        yield replace(outcome.subject, frame=""), tuple(everywhere)
