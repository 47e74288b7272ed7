"""Telling a recorder of opens, as the file system does."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from shotfs.digest import Checksums
from shotfs.observe.metrics import Metrics
from shotfs.pathspec import Specification, load
from shotfs.prewarm.manifest.subject import Subject
from shotfs.prewarm.recording.outcome import Outcome, outcome_of
from shotfs.prewarm.recording.recorder import Jobs, Recorder
from shotfs.prewarm.recording.roles import roles_of
from shotfs.prewarm.recording.run import FileNotes, Run
from shotfs.prewarm.watching import Created, Opened, Reader
from shotfs.tiers.base import Revision

SHOT = "xy_1_100_030_00"
JOB = Subject(job="j1")

DOCUMENT: dict[str, Any] = {
    "spec": "shotfs-path/1",
    "show": "ant",
    "roots": {"main": "mem://main/ant"},
    "defaults": {"origin": "main"},
    "fields": {
        "shot": {"type": "str", "pattern": "[a-z]{2}(_[0-9]+){4}"},
        "task": {"type": "str", "pattern": "[a-z]+"},
        "name": {"type": "str", "pattern": "[a-z0-9]+"},
        "frame": {"type": "frame", "pad": 4},
        "part": {"type": "frame", "pad": 4, "subframes": 2},
        "udim": {"type": "udim"},
        "view": {"type": "view", "choices": ["left", "right"]},
        "rest": {"type": "tree"},
    },
    "templates": {
        "library": {"path": "library/{rest}", "immutable": "on-close"},
        "textures": {"path": "tex/{name}.{udim}.exr", "immutable": "on-close"},
        "plates": {"path": "plates/{shot}/{name}.{frame}.exr", "immutable": "on-close"},
        "caches": {"path": "caches/{shot}/{name}.{part}.abc", "immutable": "on-close"},
        "renders": {
            "path": "render/{shot}/{task}/{name}.{view}.{frame}.exr",
            "flow": "out",
            "immutable": "on-close",
        },
    },
}

SPEC: Specification = load(json.dumps(DOCUMENT), source="spec.json")


@dataclass
class Desk:
    """A recorder, and the clock and processes that it believes in.

    Attributes:
        ended: the runs that it handed on.
    """

    jobs: Jobs = Jobs.ALL
    files_max: int = 1000
    now_s: float = 100.0
    alive: set[int] = field(default_factory=lambda: {7})
    ended: list[Run] = field(default_factory=list)
    metrics: Metrics = field(default_factory=Metrics)

    def __post_init__(self) -> None:
        roles = roles_of(SPEC)
        self.recorder = Recorder(
            self.jobs,
            files_max=self.files_max,
            roles_of=lambda _: roles,
            metrics=self.metrics,
            ended=self.ended.append,
            clock=lambda: self.now_s,
            alive=self.alive.__contains__,
        )

    def open(
        self,
        path: str,
        subject: Subject = JOB,
        *,
        pid: int = 7,
        warm: bool = True,
        digest: str | None = None,
    ) -> FileNotes | None:
        """Open the file *path* of the show."""
        return self.recorder.opened(
            opened(path, subject, pid, self.now_s, warm=warm, digest=digest)
        )

    def write(self, path: str, subject: Subject = JOB, *, pid: int = 7) -> None:
        """Create the output *path* of the show."""
        found = SPEC.parse(path)
        self.recorder.created(Created(f"ant/{path}", found, Reader(pid, "render", subject)))

    def finish(self) -> list[Outcome]:
        """End all processes; return what their runs say."""
        self.alive.clear()
        self.recorder.sweep()
        return [outcome_of(run) for run in self.ended]


def opened(
    path: str,
    subject: Subject = JOB,
    pid: int = 7,
    at_s: float = 100.0,
    *,
    warm: bool = True,
    digest: str | None = None,
) -> Opened:
    sums = Checksums(xxh128=digest)
    revision = Revision("mem://main/ant", path, 10, "1", 5, sums)
    reader = Reader(pid, "render", subject)
    return Opened(f"ant/{path}", revision, SPEC.parse(path), reader, at_s, warm)


def frames_of(outcome: Outcome) -> dict[str, str]:
    """Return the frames that each file was read for, by its path in the show."""
    return {entry.path.removeprefix("ant/"): entry.frames for entry in outcome.entries}


def run_of(
    paths: Iterable[str], subject: Subject, told: Callable[[Desk], None] | None = None
) -> Outcome:
    """Return what a run says that opened *paths*."""
    desk = Desk()
    for path in paths:
        desk.open(path, subject)
    if told is not None:
        told(desk)
    (outcome,) = desk.finish()
    return outcome
