"""Recorder: notes what jobs open, run by run (`watching.OpenWatch`).

A run is one piece of work on this node: what the processes of one job open that say the same shot,
task, frame and view. It ends when its processes are gone, or when whoever started it says so. Then
it is handed on whole; nothing of it waits on a disk before that, so a service that is killed loses
the runs that were going on, and no others. Event loop only.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from shotfs.errors import InvalidArgument
from shotfs.observe.metrics import Metrics
from shotfs.prewarm.manifest.subject import Subject
from shotfs.prewarm.recording.run import FileNotes, RolesOf, Room, Run
from shotfs.prewarm.watching import Created, Opened, Reader, WholeFile

RUNS_MAX = 256
"""Runs at the same time. What comes on top is not recorded, and counted."""

FILES_TOTAL_MAX = 400_000
"""Files of all runs together; one takes about 500 bytes."""

STARTED_MAX = 1_000
"""Recordings that were started by hand and not stopped."""

IDLE_S = 3600.0
"""A run that nobody told anything for so long is over, whatever lives."""

IDLE_UNKNOWN_S = 300.0
"""Likewise if none of its processes is known."""


class Jobs(StrEnum):
    """Which processes are recorded."""

    ALL = "all"
    """Those that have a job."""
    NAMED = "named"
    """Those of jobs that somebody started a recording of."""
    OFF = "off"


@dataclass(frozen=True, slots=True)
class Started:
    """A recording that was started by hand.

    Attributes:
        number: to stop it by.
        asked: what is recorded: "" in a field fits anything. All of it "": everything.
        began_s: on the event loop's clock, in seconds.
        uid: who started it.
        pid: the process that will stop it; when that has gone it ends by itself. 0: nobody.
    """

    number: int
    asked: Subject
    began_s: float
    uid: int
    pid: int


Ended = Callable[[Run], None]


class Recorder:
    """Implements `watching.OpenWatch`.

    Args:
        jobs: which processes are recorded.
        files_max: files of one run.
        roles_of: what the fields of a show mean.
        metrics: counts what is left out.
        ended: is given each run that has ended.
        clock: the event loop's, in seconds.
        alive: whether a process is there.
    """

    def __init__(
        self,
        jobs: Jobs,
        *,
        files_max: int,
        roles_of: RolesOf,
        metrics: Metrics,
        ended: Ended,
        clock: Callable[[], float],
        alive: Callable[[int], bool] | None = None,
    ) -> None:
        self._jobs = jobs
        self._files_max = files_max
        self._roles_of = roles_of
        self._metrics = metrics
        self._ended = ended
        self._clock = clock
        self._alive = alive or process_alive
        self._runs: dict[Subject, Run] = {}
        # One process opens many files in a row.
        self._last_reader: Reader | None = None
        self._last_run: Run | None = None
        self._told: list[Callable[[], None]] = []
        self._room = Room(FILES_TOTAL_MAX)
        self._started: dict[int, Started] = {}
        self._shared: dict[int, list[Run]] = {}
        """Of recordings that go on: runs that ended with another one."""
        self._numbers = 0
        self._wants = jobs is Jobs.ALL

    # --- being told ------------------------------------------------------------------------------

    @property
    def wants(self) -> bool:
        """Whether anything may be recorded now."""
        return self._wants

    def tell_changes(self, changed: Callable[[], None]) -> None:
        """Call *changed* from now on whenever `wants` has changed."""
        self._told.append(changed)

    def opened(self, opened: Opened) -> FileNotes | None:
        """Note an open; return who is told of its reads."""
        reader = opened.reader
        if reader is self._last_reader and self._last_run is not None:
            return self._last_run.opened(opened)
        run = self._runs.get(reader.subject) or self._begun(reader.subject)
        self._last_reader, self._last_run = reader, run
        return None if run is None else run.opened(opened)

    def opened_again(
        self, reader: Reader, files: Sequence[WholeFile], at_s: Sequence[float]
    ) -> None:
        """Note opens that were answered without the event loop."""
        run = self._runs.get(reader.subject) or self._begun(reader.subject, len(files))
        if run is not None:
            run.opened_again(reader.pid, files, at_s)

    def created(self, created: Created) -> None:
        """Note an output."""
        run = self._runs.get(created.reader.subject) or self._begun(created.reader.subject)
        if run is not None:
            run.created(created, self._clock())

    def _begun(self, subject: Subject, opens: int = 1) -> Run | None:
        """Return a new run of *subject*, which begins with so many *opens*; None if it is not
        recorded, or there is no room.
        """
        if not (subject.job and self._jobs is Jobs.ALL) and not self._is_asked_for(subject):
            return None
        if len(self._runs) >= RUNS_MAX:
            self._metrics.recorded_missed.inc(opens)
            return None
        run = self._runs[subject] = Run(
            subject,
            self._clock(),
            files_max=self._files_max,
            room=self._room,
            roles_of=self._roles_of,
            missed=self._metrics.recorded_missed.inc,
        )
        return run

    def _is_asked_for(self, subject: Subject) -> bool:
        return any(fits(one.asked, subject) for one in self._started.values())

    # --- starting and stopping -------------------------------------------------------------------

    def start(self, asked: Subject, *, uid: int, pid: int = 0) -> Started:
        """Record what fits *asked* from now on.

        Raises:
            InvalidArgument: recording is off, or too many were started and not stopped.
        """
        if self._jobs is Jobs.OFF:
            raise InvalidArgument(
                "this service records nothing: record.jobs is 'off'",
                fix="set record.jobs to 'named' or 'all' and start the service again",
            )
        if len(self._started) >= STARTED_MAX:
            raise InvalidArgument(
                f"{STARTED_MAX} recordings were started and not stopped",
                fix="shotfs record show lists them, shotfs record stop ends them",
            )
        for run in [one for one in self._runs.values() if fits(asked, one.subject)]:
            # What was read before belongs to another run, unless somebody records that too.
            if not self._is_asked_for(run.subject):
                self._ended(self._taken(run))
        self._numbers += 1
        started = Started(self._numbers, asked, self._clock(), uid, pid)
        self._started[started.number] = started
        self._set_wants()
        return started

    def stop(self, number: int) -> tuple[list[Run], list[Run]]:
        """Stop what `start` began.

        Returns:
            The runs that it was about, which are not handed on; and those that `stop` has returned
            before, of another recording that was about them, too.

        Raises:
            InvalidArgument: there is no such recording.
        """
        started = self._started.pop(number, None)
        if started is None:
            raise InvalidArgument(
                f"there is no recording number {number}", fix="shotfs record show lists them"
            )
        self._set_wants()
        runs = [
            self._taken(run)
            for run in list(self._runs.values())
            if fits(started.asked, run.subject)
        ]
        for other in self._started.values():
            shared = [run for run in runs if fits(other.asked, run.subject)]
            self._shared.setdefault(other.number, []).extend(shared)
            self._room.files -= sum(len(run.files) for run in shared)
        before = self._shared.pop(number, [])
        self._room.files += sum(len(run.files) for run in before)
        return runs, before

    def _set_wants(self) -> None:
        wants = self._jobs is Jobs.ALL or bool(self._started)
        if wants != self._wants:
            self._wants = wants
            for changed in self._told:
                changed()

    def started(self) -> list[Started]:
        """Return what was started by hand, the oldest first."""
        return list(self._started.values())

    @property
    def run_count(self) -> int:
        """How many runs go on."""
        return len(self._runs)

    def runs(self) -> list[Run]:
        """Return the runs that go on, the oldest first, with all that they were told."""
        for run in self._runs.values():
            run.settle()
        return list(self._runs.values())

    # --- ending ----------------------------------------------------------------------------------

    def sweep(self) -> None:
        """Hand on the runs whose processes are gone. To be called every some seconds."""
        for started in [one for one in self._started.values() if one.pid]:
            if not self._alive(started.pid):
                # `shotfs exec` was killed: what its command read still counts.
                for run in self.stop(started.number)[0]:
                    self._ended(run)
        now_s = self._clock()
        for run in list(self._runs.values()):
            if self._is_over(run, now_s):
                self._ended(self._taken(run))

    def _is_over(self, run: Run, now_s: float) -> bool:
        idle_s = now_s - run.last_s
        if self._is_asked_for(run.subject):
            return False  # whoever started it ends it
        pids = run.pids
        if not pids:
            return idle_s >= IDLE_UNKNOWN_S
        # The newest first, which most likely lives: one look for most runs.
        return idle_s >= IDLE_S or not any(map(self._alive, reversed(pids)))

    def end_all(self) -> None:
        """Hand on every run: the service ends."""
        for run in list(self._runs.values()):
            self._ended(self._taken(run))

    def _taken(self, run: Run) -> Run:
        """Take *run* away: it has ended."""
        run.settle()
        self._last_reader = self._last_run = None
        del self._runs[run.subject]
        self._room.files += len(run.files)
        return run


def fits(asked: Subject, subject: Subject) -> bool:
    """Whether *subject* is what is *asked* for; "" in *asked* is anything."""
    return all(
        not wanted or wanted == said
        for wanted, said in (
            (asked.job, subject.job),
            (asked.show, subject.show),
            (asked.shot, subject.shot),
            (asked.task, subject.task),
            (asked.frame, subject.frame),
            (asked.view, subject.view),
        )
    )


def process_alive(pid: int) -> bool:
    """Whether the process *pid* is there; a zombie, which reads no more, is not."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            state = file.read(4096).rpartition(b")")[2].split()[:1]
    except OSError:
        return False
    return state != [b"Z"]


def cleaned(subject: Subject) -> Subject:
    """Return *subject* as the environment of its processes will be read: printable, bounded."""
    return replace(
        subject,
        **{
            name: "".join(sign for sign in getattr(subject, name) if sign.isprintable())[:TEXT_MAX]
            for name in ("show", "shot", "task", "frame", "view", "job")
        },
    )


TEXT_MAX = 128
"""Characters of each name of a subject, as `vfs` reads them from an environment."""
