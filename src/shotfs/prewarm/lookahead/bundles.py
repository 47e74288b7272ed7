"""Bundles: files that are always opened together, and which of them tells of the others. Pure.

Within a run (of a process, or of a frame) each file that is opened is a trigger of what is opened
soon after it. Who was followed by the same in nearly each of several runs predicts it, and that one
predicts the next, so a bundle is found from whichever of its files is opened first. A frame in a
name is kept as the distance from the trigger's, so what was learned at one frame holds at others.

Bounded: `TRIGGERS_MAX` triggers, each with `COMPANIONS_MAX` companions; about 10 MB.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Iterator
from dataclasses import dataclass, field

from shotfs.prewarm.lookahead.shapes import Number, Seen, Shape

TRIGGERS_MAX = 4_096
COMPANIONS_MAX = 16
RUNS_MAX = 512
"""Runs that are followed at once."""

WINDOW = 8
"""Files after a trigger that may belong to it: threads of a renderer open in any order."""

SUPPORT_MIN = 2
"""Runs that have seen it; in one everything comes together."""

CONFIDENCE_MIN = 0.75
"""In so many of the runs that opened the trigger; along a chain the shares are multiplied."""

PREDICTED_MAX = 256
"""Files of one bundle."""

COUNTS_MAX = 64
"""Counts are halved here: what has changed is learned anew."""


@dataclass(frozen=True, slots=True)
class Member:
    """A file of a bundle: a path, or with *by* the frame that lies so far from the trigger's."""

    path: str
    shape: Shape
    by: Number | None


@dataclass(slots=True, eq=False)
class _Companion:
    member: Member
    count: float = 0.0


@dataclass(slots=True, eq=False)
class _Trigger:
    count: float = 0.0
    companions: dict[tuple[str, Number | None], _Companion] = field(default_factory=dict)


class Bundles:
    """What was learned of files that come together."""

    def __init__(self) -> None:
        self._triggers: OrderedDict[str, _Trigger] = OrderedDict()
        self._runs: OrderedDict[object, deque[Seen]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._triggers)

    def opened(self, run: object, path: str, seen: Seen) -> None:
        """Learn from *run*, which opens *path* for the first time."""
        recent = self._runs.get(run)
        if recent is None:
            recent = self._runs[run] = deque(maxlen=WINDOW)
            if len(self._runs) > RUNS_MAX:
                self._runs.popitem(last=False)
        for what in recent:
            self._pair(what, path, seen)
        recent.append(seen)
        trigger = self._trigger(seen)
        trigger.count += 1
        if trigger.count >= COUNTS_MAX:
            trigger.count /= 2
            for companion in trigger.companions.values():
                companion.count /= 2

    def with_it(self, seen: Seen) -> Iterator[tuple[str, Shape]]:
        """Yield path and shape of what is opened with the file *seen*, the likeliest soonest."""
        told = {seen.shape.key}
        waiting: deque[tuple[Shape, Number | None, float]] = deque([(seen.shape, seen.frame, 1.0)])
        while waiting and len(told) <= PREDICTED_MAX:
            shape, frame, share = waiting.popleft()
            trigger = self._triggers.get(shape.key)
            if trigger is None or trigger.count < SUPPORT_MIN:
                continue
            for companion in trigger.companions.values():
                member = companion.member
                likely = share * min(1.0, companion.count / trigger.count)
                if companion.count < SUPPORT_MIN or likely < CONFIDENCE_MIN:
                    continue
                to = None if member.by is None or frame is None else frame + member.by
                path = member.path if to is None else member.shape.at(to)
                if path is None or path in told:
                    continue
                told.add(path)
                yield path, member.shape
                waiting.append((member.shape, to, likely))

    def _pair(self, what: Seen, path: str, seen: Seen) -> None:
        if what.shape.key == seen.shape.key:
            return  # of one sequence: that is what strides are for
        by = None if what.frame is None or seen.frame is None else seen.frame - what.frame
        companions = self._trigger(what).companions
        # Of a file that has a frame where its trigger has none, each frame is another file.
        key = (seen.shape.key if by is not None else path, by)
        companion = companions.get(key)
        if companion is None:
            if len(companions) >= COMPANIONS_MAX:
                weakest = min(companions, key=lambda one: companions[one].count)
                if companions[weakest].count > 1:
                    companions[weakest].count -= 1
                    return
                del companions[weakest]
            companion = companions[key] = _Companion(Member(path, seen.shape, by))
        companion.count += 1

    def _trigger(self, seen: Seen) -> _Trigger:
        key = seen.shape.key
        trigger = self._triggers.get(key)
        if trigger is None:
            trigger = self._triggers[key] = _Trigger()
            if len(self._triggers) > TRIGGERS_MAX:
                self._triggers.popitem(last=False)
        self._triggers.move_to_end(key)
        return trigger
