"""Ledger: what was fetched ahead, and whether anybody opened it. Event loop only.

Useful is what was opened; of a large file of which parts were fetched, what was read. Wasted is
what left the cache unopened, what the job it was for has gone past, and what nobody opened for a
day. From that each guess has a score, and one that is wrong too
often is not followed for a while.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass, field

from shotfs.observe.metrics import Metrics
from shotfs.prewarm.recording.ranges import Ranges
from shotfs.tiers.base import Revision, Span

AHEAD_MAX = 32_768
"""Files that may wait to be opened; one takes about 700 bytes."""

SCORES_MAX = 8_192

RECOUNT_BYTES = 1024 * 1024
"""What was read of a large file is added up again after so much more."""

UNOPENED_S = 86_400.0
"""A frame may take hours; what a day has not opened is not coming."""

PROOF_FILES = 6
PROOF_FILES_JOB = 48
"""A guess is not judged by fewer files; a whole job not by one frame that was not rendered here."""

FORGET_AT = 64
"""Counts are halved when they reach this: a job that changes is judged by what it does now."""

USEFUL_SHARE_MIN = 0.5
"""Half of what is fetched must be opened: the other half costs network, and money at most origins,
and takes room from what others use."""

SUSPENDED_S = 300.0
SUSPENDED_S_MAX = 3_600.0
"""How long a guess that was wrong is not followed; each time twice as long."""


@dataclass(slots=True)
class Score:
    """How good one guess was: of a job, or of a sequence in one."""

    proof_files: int = PROOF_FILES
    useful: float = 0.0
    wasted: float = 0.0
    suspensions: int = 0
    suspended_until_s: float = -math.inf

    def count(self, *, useful: bool, now_s: float) -> None:
        """Note what became of one file."""
        if useful:
            self.useful += 1
        else:
            self.wasted += 1
        files = self.useful + self.wasted
        if not useful and files >= self.proof_files and self.useful < USEFUL_SHARE_MIN * files:
            pause_s = min(SUSPENDED_S * 2**self.suspensions, SUSPENDED_S_MAX)
            self.suspended_until_s = now_s + pause_s
            self.suspensions += 1
            self.useful = self.wasted = 0.0
        elif files >= max(FORGET_AT, 2 * self.proof_files):
            self.useful /= 2
            self.wasted /= 2


@dataclass(slots=True, eq=False)
class Purse:
    """What a job has of its budget.

    Attributes:
        bytes: that were fetched for it, or are being fetched, and not opened yet.
    """

    bytes: int = 0


@dataclass(slots=True, eq=False)
class Track:
    """What a guess follows: the frames of a job, or one sequence that a process reads.

    Attributes:
        name: of the work or program; scores are kept by it.
        purse: of the job; its tracks share it.
        ticks: how far it is: frames begun, or files opened.
        waiting: what was fetched for it and is not opened yet, by path.
    """

    name: str
    purse: Purse = field(default_factory=Purse)
    ticks: int = 0
    waiting: dict[str, Ahead] = field(default_factory=dict)


@dataclass(slots=True, eq=False)
class Ahead:
    """A file that was fetched, or is being fetched, before anybody opened it.

    Attributes:
        path: mount-relative.
        revision: that was fetched.
        track: for whom.
        pattern: which sequence or file; scores are kept by it.
        due: the tick of *track* after which nobody will come.
        since_s: when it was decided.
        parts: of a large file, in order; () for the whole.
        here: all that is fetched of it.
        read: of a file in parts, what was read of it.
        wider: fewer parts of it had been fetched before.
        unread_bytes: so many at least have to be read until all parts were.
    """

    path: str
    revision: Revision
    track: Track
    pattern: str
    due: int
    since_s: float
    parts: tuple[Span, ...] = ()
    here: bool = False
    read: Ranges = field(default_factory=Ranges)
    wider: bool = False
    unread_bytes: int = 0

    @property
    def size_bytes(self) -> int:
        """How much is fetched."""
        if not self.parts:
            return self.revision.size_bytes
        return sum(one.length_bytes for one in self.parts)

    @property
    def read_bytes(self) -> int:
        """How much of *parts* was read."""
        return sum(
            max(0, min(stop, part.stop) - max(start, part.start))
            for part in self.parts
            for start, stop in self.read.all()
        )


@dataclass(frozen=True, slots=True)
class LookAheadReport:
    """What became of what was fetched ahead, since the start. Bytes are those that were fetched.

    Of a large file of which parts were fetched, bytes that were read are useful and the others are
    wasted; the file itself is useful if half of them were read.

    Attributes:
        enabled: by the configuration.
        useful_share: of the files of which it is known, how many were opened; None: of none.
        useful_files, useful_bytes: opened later; of parts, read.
        wasted_files, wasted_bytes: not opened; of parts, not read.
        waiting_files, waiting_bytes: here, or on their way, and nobody knows yet.
        bytes_max: how much may wait.
        suspended: guesses that were wrong too often and are not followed for a while.
    """

    enabled: bool
    useful_share: float | None
    useful_files: int
    useful_bytes: int
    wasted_files: int
    wasted_bytes: int
    waiting_files: int
    waiting_bytes: int
    bytes_max: int
    suspended: int


class Ledger:
    """The accounts.

    Args:
        metrics: where outcomes are counted.
    """

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self._ahead: OrderedDict[str, Ahead] = OrderedDict()
        self._scores: OrderedDict[tuple[str, str], Score] = OrderedDict()
        self._bytes = 0
        self._counts = {"useful": [0, 0], "wasted": [0, 0]}

    def __len__(self) -> int:
        return len(self._ahead)

    def __contains__(self, path: str) -> bool:
        return path in self._ahead

    @property
    def bytes(self) -> int:
        """Bytes that were fetched, or are being fetched, and not opened yet."""
        return self._bytes

    def suspended(self, track: Track, pattern: str, now_s: float) -> bool:
        """Whether guesses of *pattern* for *track*, or all for *track*, are not followed now."""
        return any(
            (score := self._scores.get(key)) is not None and now_s < score.suspended_until_s
            for key in ((track.name, pattern), (track.name, ""))
        )

    def begin(self, ahead: Ahead) -> None:
        """Note that *ahead* is fetched."""
        if ahead.path in self._ahead:
            self._take(ahead.path)
        self._ahead[ahead.path] = ahead
        ahead.track.waiting[ahead.path] = ahead
        self._add(ahead, ahead.size_bytes)
        if len(self._ahead) > AHEAD_MAX:
            self._settle(next(iter(self._ahead)), useful=False, now_s=ahead.since_s)

    def failed(self, ahead: Ahead) -> None:
        """Note that it could not be fetched: nobody's guess was wrong."""
        if self._ahead.get(ahead.path) is ahead:
            self._take(ahead.path)

    def opened(self, path: str, revision: Revision, now_s: float) -> Ahead | None:
        """Note an open; return what it proves right. Of parts, reads will."""
        ahead = self._ahead.get(path)
        if ahead is None:
            return None
        same = ahead.revision == revision
        if not same or not ahead.parts:
            self._settle(path, useful=same, now_s=now_s)
        return ahead if same else None

    def read(self, path: str, revision: Revision, span: Span, now_s: float) -> None:
        """Note a read of a large file, of which parts may have been fetched."""
        ahead = self._ahead.get(path)
        if ahead is not None and ahead.parts and ahead.revision == revision:
            ahead.read.add(span.start, span.stop)
            ahead.unread_bytes -= span.length_bytes
            if ahead.unread_bytes > 0:
                return
            # Adding up takes longer than a read should; what is read twice does not count twice.
            ahead.unread_bytes = max(ahead.size_bytes - ahead.read_bytes, RECOUNT_BYTES)
            if ahead.read_bytes >= ahead.size_bytes:
                self._settle(path, useful=True, now_s=now_s)

    def closed(self, path: str, now_s: float) -> None:
        """Note that a large file was closed: what was read by half need not be waited for."""
        ahead = self._ahead.get(path)
        if ahead is not None and ahead.parts and _is_right(ahead):
            self._settle(path, useful=True, now_s=now_s)

    def get(self, path: str) -> Ahead | None:
        """Return what was fetched of *path* and is not judged yet."""
        return self._ahead.get(path)

    def moved_on(self, track: Track, now_s: float) -> None:
        """Count as wasted what *track* has gone past."""
        for path in [path for path, one in track.waiting.items() if one.due < track.ticks]:
            self._settle(path, useful=False, now_s=now_s)

    def ended(self, track: Track, now_s: float) -> None:
        """Count as wasted what waits for *track*, which nobody follows any more."""
        for path in list(track.waiting):
            self._settle(path, useful=False, now_s=now_s)

    def expire(self, now_s: float) -> None:
        """Count as wasted what nobody has opened for too long."""
        while self._ahead:
            path, oldest = next(iter(self._ahead.items()))
            if now_s - oldest.since_s < UNOPENED_S:
                return
            self._settle(path, useful=False, now_s=now_s)

    def here(self) -> Iterator[Ahead]:
        """Yield what is whole and waits, the oldest first."""
        return (one for one in tuple(self._ahead.values()) if one.here)

    def evicted(self, ahead: Ahead, now_s: float) -> None:
        """Count *ahead* as wasted: the cache has dropped it."""
        if self._ahead.get(ahead.path) is ahead:
            self._settle(ahead.path, useful=False, now_s=now_s)

    def report(self, now_s: float, *, enabled: bool, bytes_max: int) -> LookAheadReport:
        """Return the sums."""
        useful, wasted = self._counts["useful"], self._counts["wasted"]
        known = useful[0] + wasted[0]
        return LookAheadReport(
            enabled=enabled,
            useful_share=round(useful[0] / known, 4) if known else None,
            useful_files=useful[0],
            useful_bytes=useful[1],
            wasted_files=wasted[0],
            wasted_bytes=wasted[1],
            waiting_files=len(self._ahead),
            waiting_bytes=self._bytes,
            bytes_max=bytes_max,
            suspended=sum(now_s < one.suspended_until_s for one in self._scores.values()),
        )

    def _settle(self, path: str, *, useful: bool, now_s: float) -> None:
        ahead = self._take(path)
        useful_bytes = ahead.size_bytes if useful else 0
        if ahead.parts:
            useful, useful_bytes = _is_right(ahead), ahead.read_bytes
        outcome = "useful" if useful else "wasted"
        self._metrics.lookahead_files[outcome].inc()
        self._counts[outcome][0] += 1
        for kind, size_bytes in (
            ("useful", useful_bytes),
            ("wasted", ahead.size_bytes - useful_bytes),
        ):
            self._metrics.lookahead_bytes[kind].inc(size_bytes)
            self._counts[kind][1] += size_bytes
        for pattern in (ahead.pattern, ""):
            self._score(ahead.track.name, pattern).count(useful=useful, now_s=now_s)

    def _take(self, path: str) -> Ahead:
        ahead = self._ahead.pop(path)
        ahead.track.waiting.pop(path, None)
        self._add(ahead, -ahead.size_bytes)
        return ahead

    def _add(self, ahead: Ahead, size_bytes: int) -> None:
        ahead.track.purse.bytes += size_bytes
        self._bytes += size_bytes
        self._metrics.lookahead_waiting_bytes.set(self._bytes)

    def _score(self, name: str, pattern: str) -> Score:
        key = (name, pattern)
        score = self._scores.get(key)
        if score is None:
            score = self._scores[key] = Score(PROOF_FILES if pattern else PROOF_FILES_JOB)
            if len(self._scores) > SCORES_MAX:
                self._scores.popitem(last=False)
        return score


def _is_right(ahead: Ahead) -> bool:
    """Whether at least half of the parts that were fetched was read."""
    return ahead.read_bytes >= USEFUL_SHARE_MIN * ahead.size_bytes
