"""Timeline: which frame a process works on, told by the outputs that it creates. Pure.

A renderer that does several frames in one process says nowhere which one it is at, but it writes
one output after the other. Some create the output and then read for it (Nuke's Write, display
drivers), some read and then create it. Which of both a process does is told by the files that carry
a frame in their own name: if more of them have the frame of the next output than that of the last
one, its reads belong to the output that follows.
"""

from __future__ import annotations

STEPS_MAX = 100_000
"""Changes of the frame that one process is followed through."""

AHEAD_MAX = 256
"""Different frames in the names of files that are remembered between two outputs."""


class Timeline:
    """The frames of one process, in the order in which it began to write them.

    Attributes:
        steps: the frames; between step i and i + 1 lies the interval i + 1, interval 0 comes before
            the first of them.
    """

    __slots__ = ("_after", "_ahead", "_before", "steps")

    def __init__(self) -> None:
        self.steps: list[int] = []
        self._ahead: set[int] = set()
        self._before = 0
        self._after = 0

    @property
    def interval(self) -> int:
        """The number of the interval that lasts now."""
        return len(self.steps)

    def wrote(self, frame: int) -> None:
        """Note that an output of *frame* was begun; again of the same frame changes nothing."""
        if self.steps and self.steps[-1] == frame:
            return
        if len(self.steps) >= STEPS_MAX:
            return
        if frame in self._ahead:
            self._before += 1
        self._ahead.clear()
        self.steps.append(frame)

    def read(self, frame: int, count: int = 1) -> None:
        """Note that a file was read, *count* times, that has *frame* in its name."""
        if self.steps and self.steps[-1] == frame:
            self._after += count
        elif len(self._ahead) < AHEAD_MAX:
            self._ahead.add(frame)

    @property
    def reads_first(self) -> bool:
        """Whether its reads belong to the output that follows them."""
        return self._before > self._after

    def settled(self) -> Settled:
        """Return what can be said now of all that was read."""
        return Settled(tuple(self.steps), reads_first=self.reads_first)


class Settled:
    """What a timeline says of the files that its process read."""

    __slots__ = ("_frames", "_reads_first", "_steps")

    def __init__(self, steps: tuple[int, ...], *, reads_first: bool) -> None:
        self._steps = steps
        self._frames = frozenset(steps)
        self._reads_first = reads_first

    def frame_of(self, interval: int, own: int | None) -> int | None:
        """Return the frame that what was read in *interval* belongs to; None: to all of them.

        Args:
            interval: as `Timeline.interval` was at that time.
            own: the frame in the name of the file that was read; None for none.
        """
        steps = self._steps
        if len(self._frames) == 1:
            # All that it read was for this one, whenever it read it.
            return steps[0]
        if interval == 0:
            # Before its first output: what every frame needs, unless the name says otherwise.
            return own if own in self._frames else None
        if not self._reads_first:
            return steps[interval - 1]
        return steps[interval] if interval < len(steps) else steps[-1]
