"""Recorded: what other runs have read, also on other nodes, as a model of the first run here."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Protocol

from shotfs.cache.stream import SMALL_BYTES_MAX
from shotfs.prewarm.finding import Finder
from shotfs.prewarm.lookahead.large import LargeFiles
from shotfs.prewarm.lookahead.shapes import Shapes
from shotfs.prewarm.lookahead.works import RUN_READS_MAX, Read, Run
from shotfs.prewarm.manifest.entry import Entry
from shotfs.prewarm.manifest.frames import parse_frames
from shotfs.prewarm.manifest.subject import Subject
from shotfs.prewarm.recording.recordings import Learned


class Recordings(Protocol):
    """What other runs, of this node and of others, have read."""

    async def for_subject(self, subject: Subject) -> Learned:
        """Return what *subject*, with a show, a shot and a frame, will most likely read."""
        ...


def run_of(entries: Sequence[Entry], frame: int, finder: Finder, shapes: Shapes) -> Run | None:
    """Return what *entries* say of *frame*, or of the recorded frame that is nearest to it.

    Args:
        entries: of all frames that were recorded.
        frame: that is about to be rendered.
        finder: says which templates paths have.
        shapes: say where frames stand.

    Returns:
        A run with the reads in the order in which they were opened; None: there are none.
    """
    recorded = {number for entry in entries for number in parse_frames(entry.frames)}
    nearest = min(recorded, key=lambda number: (abs(number - frame), number), default=frame)
    run = Run(nearest)
    for entry in sorted(entries, key=_first_s):
        if len(run.reads) >= RUN_READS_MAX:
            break
        if entry.frames and nearest not in parse_frames(entry.frames):
            continue
        resolution = finder.resolve(entry.path)
        if resolution is not None:
            seen = shapes.of(entry.path, resolution)
            ahead = resolution.template.policy.prewarm.frames
            run.reads[entry.path] = Read(entry.path, seen.shape, seen.frame, ahead)
    return run if run.reads else None


def learn_ranges(entries: Iterable[Entry], run: Run, large: LargeFiles) -> None:
    """Have *large* know what was read of the files of *run*, where recordings say it."""
    for entry in entries:
        read, use = run.reads.get(entry.path), entry.use
        if read is None or use is None or not use.ranges or entry.size_bytes is None:
            continue
        if entry.size_bytes <= SMALL_BYTES_MAX:
            continue
        ranges = large.file(read.shape.key, entry.path, entry.size_bytes).ranges
        for start, stop in use.ranges:
            ranges.add(start, stop)


def _first_s(entry: Entry) -> float:
    return 0.0 if entry.use is None else entry.use.first_s
