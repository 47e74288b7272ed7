"""Guesses: from what is opened to what will be opened next.

What is known lies in modules of one idea each: `works` (frames of a job), `strides` (sequences that
one process reads), `tiles`, `bundles`; `crawling` says of whom nothing is concluded.

Who is followed: a process that a job started (it has a shot, a task, or a job) by all of these.
Anybody else only as far as a template says how many frames and tiles to fetch.
"""

from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass, field, replace

import trio

from shotfs.cache import Asker
from shotfs.errors import InvalidArgument, ShotfsError
from shotfs.prewarm.finding import Finder
from shotfs.prewarm.lookahead.bundles import Bundles
from shotfs.prewarm.lookahead.crawling import Crawlers
from shotfs.prewarm.lookahead.fetching import Fetches, Reason, Wish
from shotfs.prewarm.lookahead.large import LargeFiles
from shotfs.prewarm.lookahead.ledger import Ledger, Purse, Track
from shotfs.prewarm.lookahead.recorded import Recordings, learn_ranges, run_of
from shotfs.prewarm.lookahead.shapes import Number, Seen, Shape, Shapes
from shotfs.prewarm.lookahead.strides import Stride
from shotfs.prewarm.lookahead.tiles import TILES_MAX, Place, TileSets
from shotfs.prewarm.lookahead.works import Read, Run, Work, Works, name_of
from shotfs.prewarm.manifest.frames import parse_frames
from shotfs.prewarm.manifest.subject import Subject
from shotfs.prewarm.watching import Opened, Reader

log = logging.getLogger(__name__)

PAUSE_EVERY = 32
"""Files that are expected in one go: about a millisecond of the event loop."""

FRAMES_LEARNED = 2
"""How many next frames are fetched where no template says it: one that is rendered next, and one
because frames differ in how long they take. As many more as the node works on at once."""

FRAMES_MAX = 64
PROCESSES_MAX = 128
PROCESS_FILES_MAX = 2_048
SEQUENCES_MAX = 4_096

LISTING_S = 5.0
RECORDINGS_S = 2.0
"""How long is waited for a listing of tiles, and for recordings; other opens wait to be thought
about meanwhile.
"""

LATE_TICKS = 2
"""So many frames later than expected is not coming any more."""

NEVER = 1 << 62


@dataclass(slots=True, eq=False)
class _Process:
    """A process that no frame is known of, or what is of no frame."""

    name: str
    purse: Purse
    track: Track
    opened: set[str] = field(default_factory=set)
    expected: set[str] = field(default_factory=set)
    first: bool = True


@dataclass(slots=True, eq=False)
class _Who:
    """A process that opens files in one show; `known`: something says what it works on."""

    reader: Reader
    show: str
    subject: Subject
    known: bool
    frame: int | None
    asker: Asker


@dataclass(slots=True, eq=False)
class _Sequence:
    stride: Stride
    track: Track


class Guesses:
    """Concludes what will be opened. Event loop only.

    Args:
        finder: says what a path is.
        fetches: has what is expected fetched.
        ledger: knows whether guesses were right.
        shapes: say where frames stand.
        large: learn what is read of large files.
        recordings: what others have read; None: only what this node sees.
    """

    def __init__(
        self,
        finder: Finder,
        fetches: Fetches,
        ledger: Ledger,
        shapes: Shapes,
        large: LargeFiles,
        recordings: Recordings | None,
    ) -> None:
        self._finder = finder
        self._recordings = recordings
        self._ledger = ledger
        self._fetches = fetches
        self._shapes = shapes
        self._large = large
        self._works = Works()
        self._bundles = Bundles()
        self._crawlers = Crawlers()
        self._processes: OrderedDict[int, _Process] = OrderedDict()
        self._sequences: OrderedDict[tuple[int, str], _Sequence] = OrderedDict()
        self._tiles = TileSets(finder)
        self._who: _Who | None = None

    def _who_is(self, reader: Reader, show: str) -> _Who:
        """Return what *reader* says of itself; most opens come from the same one as that before."""
        who = self._who
        if who is None or who.reader is not reader or who.show != show:
            subject = reader.subject if reader.subject.show else replace(reader.subject, show=show)
            asker = Asker(reader.pid, reader.name, subject.job)
            known = bool(name_of(subject))
            who = self._who = _Who(reader, show, subject, known, _frame_of(subject), asker)
        return who

    async def follow(self, opened: Opened) -> None:
        """Learn from an open, and wish what follows from it."""
        path, reader = opened.path, opened.reader
        self._ledger.opened(path, opened.revision, opened.at_s)
        self._fetches.opened(path)
        who = self._who_is(reader, path.partition("/")[0])
        known = who.known
        if self._crawlers.ignores(reader, path, opened.at_s, known=known):
            return
        policy = opened.resolution.template.policy.prewarm
        if not known and not policy.frames and not policy.udims:
            return
        seen = self._shapes.of(path, opened.resolution)
        asker = who.asker
        if known and who.frame is not None:
            work, run = await self._run_of(who.subject, who.frame, asker)
            read = work.note(run, path, seen, policy.frames)
            if read is None:
                return
            self._expect_next_frames(work, run, read, asker)
            await self._follow(run, opened, seen, work.track, asker, known=known)
            return
        process = self._process(opened)
        if path not in process.opened:
            process.opened.add(path)
            self._expect_sequence(process, opened, seen, asker, known=known)
            await self._follow(process, opened, seen, process.track, asker, known=known)

    async def _follow(
        self,
        run: Run | _Process,
        opened: Opened,
        seen: Seen,
        track: Track,
        asker: Asker,
        *,
        known: bool,
    ) -> None:
        """Expect what belongs to a file that *run* opened for the first time."""
        if seen.tiles is not None:
            await self._expect_tiles(opened, seen.tiles, track, asker, known=known)
        if not known:
            return
        if run.first:
            # The frames of one shot are no independent witnesses.
            self._bundles.opened(run, opened.path, seen)
        if opened.path not in run.expected:
            for path, shape in self._bundles.with_it(seen):
                run.expected.add(path)
                self._wish(path, shape, Reason.BUNDLE, 0, track, asker)

    async def _expect_tiles(
        self, opened: Opened, place: Place, track: Track, asker: Asker, *, known: bool
    ) -> None:
        """Expect the other tiles of a set of which one was opened."""
        told = opened.resolution.template.policy.prewarm.udims
        if told == 0 or (told is None and not known):
            return
        if told is None and not self._tiles.opened_again(opened.path, place):
            return  # the first tile of a set may be the only one; the second says that it is read
        with trio.move_on_after(LISTING_S):
            for path in (await self._tiles.others(opened.path, place))[: told or TILES_MAX]:
                resolution = self._finder.resolve(path)
                if resolution is not None:
                    shape = self._shapes.of(path, resolution).shape
                    self._wish(path, shape, Reason.TILE, 0, track, asker)

    def trim(self) -> None:
        """Forget what is too much to remember."""
        for forgotten in self._works.trim():
            self._ledger.ended(forgotten.track, trio.current_time())

    # --- frames of a work ------------------------------------------------------------------------

    async def _run_of(self, subject: Subject, frame: int, asker: Asker) -> tuple[Work, Run]:
        work, forgotten = self._works.of(subject)
        if forgotten is not None:
            self._ledger.ended(forgotten.track, trio.current_time())
        run = work.run(frame)
        if run is not None:
            return work, run
        if not work.asked and self._recordings is not None and subject.show and subject.shot:
            work.asked = True
            await self._learn(work, subject, frame, self._recordings)
        run = work.begin(frame)
        self._ledger.moved_on(work.track, trio.current_time())
        await self._plan(work, run, asker)
        return work, run

    async def _learn(
        self, work: Work, subject: Subject, frame: int, recordings: Recordings
    ) -> None:
        """Take over what others have recorded of *work*."""
        try:
            with trio.move_on_after(RECORDINGS_S):
                learned = await recordings.for_subject(subject)
                run = run_of(learned.entries, frame, self._finder, self._shapes)
                if run is not None:
                    work.learn(run)
                    learn_ranges(learned.entries, run, self._large)
        except ShotfsError as error:
            log.debug("no recordings", extra={"work": work.name, "reason": error.message})

    async def _plan(self, work: Work, run: Run, asker: Asker) -> None:
        """Expect all that *run* and the next ones read, as far as a run before tells."""
        model = work.model(run.frame, besides=run)
        if model is None:
            return
        learned = self._frames_learned(work)
        if not work.frames.next(1, told=False):
            learned = 0
        reads = tuple(model.reads.values())
        reach = max(
            (_limit(one.ahead, learned) for one in reads if one.frame is not None), default=0
        )
        frames = work.frames.next(min(reach, FRAMES_MAX), told=True)
        for distance, frame in enumerate((run.frame, *frames)):
            if work.plan(frame) or not distance:
                expected = await self._plan_frame(
                    work, reads, frame - model.frame, distance, learned, asker
                )
                if not distance:
                    run.expected |= expected

    async def _plan_frame(
        self,
        work: Work,
        reads: Iterable[Read],
        by: Number,
        distance: int,
        learned: int,
        asker: Asker,
    ) -> set[str]:
        """Expect *reads* in the frame that lies *by* behind theirs; return their paths there."""
        expected: set[str] = set()
        for number, read in enumerate(reads):
            if number % PAUSE_EVERY == 0:
                await trio.lowlevel.checkpoint()
            if read.frame is None:
                # What each frame reads is here when the next one begins.
                if distance:
                    continue
            elif read.ahead == 0 or distance > _limit(read.ahead, learned):
                continue
            moved = work.moved(read, by)
            if moved is not None:
                expected.add(moved.path)
                self._wish(moved.path, moved.shape, Reason.FRAME, distance, work.track, asker)
        return expected

    def _expect_next_frames(self, work: Work, run: Run, read: Read, asker: Asker) -> None:
        """Expect the files of the next frames that are to them what *read* is to *run*."""
        if read.frame is None or read.ahead == 0 or work.stays(read.shape):
            return
        told = read.ahead is not None
        limit = min(_limit(read.ahead, self._frames_learned(work)), FRAMES_MAX)
        for distance, frame in enumerate(work.frames.next(limit, told=told), 1):
            path = read.shape.at(read.frame + (frame - run.frame))
            if path is not None:
                self._wish(path, read.shape, Reason.FRAME, distance, work.track, asker)

    def _frames_learned(self, work: Work) -> int:
        return FRAMES_LEARNED + work.at_once - 1

    # --- sequences of a process ------------------------------------------------------------------

    def _expect_sequence(
        self, process: _Process, opened: Opened, seen: Seen, asker: Asker, *, known: bool
    ) -> None:
        """Expect the next files of the sequence that a process of no known frame reads."""
        ahead = opened.resolution.template.policy.prewarm.frames
        if seen.frame is None or ahead == 0 or (ahead is None and not known):
            return
        sequence = self._sequence(opened.reader.pid, process, seen.shape)
        sequence.stride.came(seen.frame)
        sequence.track.ticks += 1
        self._ledger.moved_on(sequence.track, opened.at_s)
        limit = min(_limit(ahead, FRAMES_LEARNED), FRAMES_MAX)
        allowed = _frames_of(opened.reader.subject)
        within = seen.frame in allowed
        for distance, frame in enumerate(sequence.stride.next(limit, told=ahead is not None), 1):
            # A job of several frames ends with the last of them.
            path = seen.shape.at(frame) if not within or frame in allowed else None
            if path is not None:
                self._wish(path, seen.shape, Reason.FRAME, distance, sequence.track, asker)

    def _process(self, opened: Opened) -> _Process:
        reader = opened.reader
        process = self._processes.get(reader.pid)
        if process is None or process.name != reader.name:
            if process is not None:
                self._ledger.ended(process.track, opened.at_s)
            purse = Purse()
            name = name_of(reader.subject) or reader.name
            process = _Process(reader.name, purse, Track(name, purse))
            self._processes[reader.pid] = process
            if len(self._processes) > PROCESSES_MAX:
                _, oldest = self._processes.popitem(last=False)
                self._ledger.ended(oldest.track, opened.at_s)
        self._processes.move_to_end(reader.pid)
        if len(process.opened) >= PROCESS_FILES_MAX:
            process.opened.clear()
            process.expected.clear()
        return process

    def _sequence(self, pid: int, process: _Process, shape: Shape) -> _Sequence:
        key = (pid, shape.key)
        sequence = self._sequences.get(key)
        if sequence is None:
            track = Track(process.track.name, process.purse)
            sequence = self._sequences[key] = _Sequence(Stride(), track)
            if len(self._sequences) > SEQUENCES_MAX:
                _, oldest = self._sequences.popitem(last=False)
                self._ledger.ended(oldest.track, trio.current_time())
        self._sequences.move_to_end(key)
        return sequence

    def _wish(
        self,
        path: str,
        shape: Shape,
        reason: Reason,
        distance: int,
        track: Track,
        asker: Asker,
    ) -> None:
        frames = reason is Reason.FRAME
        due = track.ticks + distance + LATE_TICKS if frames else NEVER
        self._fetches.wish(Wish(path, shape, reason, distance, track, due, asker))


def _limit(told: int | None, learned: int) -> int:
    return learned if told is None else told


def _frame_of(subject: Subject) -> int | None:
    """Return the one frame that *subject* is about; None for none or several."""
    try:
        return int(subject.frame)
    except ValueError:
        return None


def _frames_of(subject: Subject) -> frozenset[int]:
    try:
        return parse_frames(subject.frame)
    except InvalidArgument:
        return frozenset()
