"""Opens that are told in batches, and worked up later, are recorded as those told one by one."""

from __future__ import annotations

from dataclasses import replace
from itertools import groupby

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shotfs.prewarm.manifest.subject import Subject
from shotfs.prewarm.recording import run as run_module
from shotfs.prewarm.recording.outcome import Outcome
from shotfs.prewarm.recording.recorder import Jobs
from shotfs.prewarm.watching import Reader, WholeFile

from .telling import JOB, SHOT, SPEC, Desk, opened

PLATES = [f"plates/{SHOT}/bg.{frame}.exr" for frame in range(1001, 1004)]
OUTPUTS = [f"render/{SHOT}/light/beauty.left.{frame}.exr" for frame in range(1001, 1004)]
FILES = ("library/a.tx", "library/b.tx", *PLATES)

STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("open"), st.sampled_from(FILES), st.sampled_from((7, 8))),
        st.tuples(st.just("write"), st.sampled_from(OUTPUTS), st.sampled_from((7, 8))),
        st.tuples(st.just("look"), st.just(""), st.just(0)),
    ),
    max_size=40,
)

_WHOLE: dict[str, WholeFile] = {}


def whole(path: str) -> WholeFile:
    """The one object that stands for *path*, as the mount has it."""
    one = opened(path)
    return _WHOLE.setdefault(path, WholeFile(one.path, one.revision, one.resolution))


def tell_again(desk: Desk, *paths: str, pid: int = 7, subject: Subject = JOB) -> None:
    """Tell of opens that the native thread answered."""
    files = [whole(path) for path in paths]
    reader = Reader(pid, "render", subject)
    desk.recorder.opened_again(reader, files, [desk.now_s] * len(files))


def told(steps: list[tuple[str, str, int]], *, native: bool) -> list[Outcome]:
    desk = Desk()
    for (kind, pid), group in groupby(steps, lambda step: (step[0], step[2])):
        paths = [path for _, path, _ in group]
        desk.now_s += 1
        if kind == "look":
            desk.recorder.runs()
        elif kind == "write":
            for path in paths:
                desk.write(path, pid=pid)
        elif native:
            tell_again(desk, *paths, pid=pid)
        else:
            for path in paths:
                desk.open(path, pid=pid)
    return desk.finish()


def comparable(outcomes: list[Outcome]) -> list[Outcome]:
    """Files that were opened at the same moment come in any order."""
    return [
        replace(one, entries=tuple(sorted(one.entries, key=lambda entry: entry.path)))
        for one in outcomes
    ]


@given(STEPS)
def test_a_batch_of_opens_is_recorded_as_each_of_them_would_be(
    steps: list[tuple[str, str, int]],
) -> None:
    assert comparable(told(steps, native=True)) == comparable(told(steps, native=False))


def test_a_file_that_both_ways_opened_was_first_opened_when_the_earlier_one_did() -> None:
    desk = Desk()
    desk.open("library/scene.usd")
    early, late = whole("library/a.tx"), whole("library/b.tx")
    desk.now_s += 5
    desk.open("library/a.tx")  # told at once; the batch with the one before comes a moment later
    desk.open("library/scene.usd")
    desk.recorder.opened_again(Reader(7, "render", JOB), [early, late], [102.0, 103.0])
    (outcome,) = desk.finish()
    assert [(entry.path, entry.use and entry.use.first_s) for entry in outcome.entries] == [
        ("ant/library/scene.usd", 0.0),
        ("ant/library/a.tx", 2.0),
        ("ant/library/b.tx", 3.0),
    ]
    assert outcome.opens == 5


def test_a_file_that_was_published_again_meanwhile_counts_as_the_newest() -> None:
    desk = Desk()
    notes = desk.open("library/a.tx")
    assert notes is not None
    notes.read(0, 8, 0.0)
    newer = opened("library/a.tx").revision
    newer = replace(newer, version="2", size_bytes=99)
    file = WholeFile("ant/library/a.tx", newer, SPEC.parse("library/a.tx"))
    desk.recorder.opened_again(Reader(7, "render", JOB), [file], [desk.now_s])
    (outcome,) = desk.finish()
    (entry,) = outcome.entries
    assert entry.size_bytes == 99
    assert entry.use is not None
    assert entry.use.ranges == ()


def test_an_open_of_the_revision_before_that_is_told_late_changes_nothing() -> None:
    desk = Desk()
    desk.open("library/scene.usd")
    desk.now_s += 1
    tell_again(desk, "library/a.tx")
    desk.now_s += 1
    old = opened("library/a.tx")
    newer = replace(old.revision, version="2", size_bytes=99)
    desk.recorder.opened(replace(old, revision=newer, at_s=desk.now_s))
    (outcome,) = desk.finish()
    _, entry = outcome.entries
    assert entry.size_bytes == 99
    assert entry.use is not None
    assert entry.use.first_s == 1.0


def test_s10_what_waits_to_be_worked_up_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run_module, "AGAIN_FILES_MAX", 3)
    monkeypatch.setattr(run_module, "LATER_MAX", 3)
    desk = Desk(files_max=6)
    tell_again(desk, "library/1.tx", "library/2.tx", "library/1.tx")
    (run,) = desk.recorder._runs.values()
    assert run.files == {}
    tell_again(desk, "library/3.tx", "library/4.tx")
    assert [path.rpartition("/")[2] for path in run.files] == ["1.tx", "2.tx", "3.tx", "4.tx"]
    for number in range(5, 9):
        desk.open(f"library/{number}.tx")
        assert len(run._later) < 3
    tell_again(desk, "library/9.tx", "library/9.tx")
    (outcome,) = desk.finish()
    # Of 7, 8 and 9 there was no place.
    assert (len(outcome.entries), outcome.opens, outcome.missed) == (6, 11, 4)
    assert desk.metrics.snapshot()["shotfs_recorded_missed_total"] == 4


def test_s10_processes_whose_opens_wait_are_bounded() -> None:
    desk = Desk()
    for pid in range(1, 3 * run_module.PROCESSES_MAX):
        tell_again(desk, "library/a.tx", pid=pid)
        (run,) = desk.recorder._runs.values()
        assert len(run._again) <= run_module.PROCESSES_MAX
    (outcome,) = desk.finish()
    assert (len(outcome.entries), outcome.opens) == (1, 3 * run_module.PROCESSES_MAX - 1)


def test_a_process_of_which_only_the_native_thread_knows_keeps_its_run_alive() -> None:
    desk = Desk()
    tell_again(desk, "library/a.tx")
    desk.recorder.sweep()
    assert desk.ended == []
    desk.alive.clear()
    desk.recorder.sweep()
    assert [list(run.files) for run in desk.ended] == [["ant/library/a.tx"]]


def test_who_watches_is_told_when_somebody_starts_and_stops_a_recording() -> None:
    desk = Desk(Jobs.NAMED)
    changes: list[bool] = []
    desk.recorder.tell_changes(lambda: changes.append(desk.recorder.wants))
    one = desk.recorder.start(JOB, uid=1)
    other = desk.recorder.start(Subject(job="j2"), uid=1)
    desk.recorder.stop(other.number)
    desk.recorder.stop(one.number)
    assert changes == [True, False]


def test_a_run_that_was_taken_away_is_told_nothing_more() -> None:
    desk = Desk()
    desk.open("library/a.tx")
    started = desk.recorder.start(JOB, uid=1)
    desk.open("library/b.tx")
    (run,), _ = desk.recorder.stop(started.number)
    desk.open("library/c.tx")
    assert list(run.files) == ["ant/library/b.tx"]
    assert [list(one.files) for one in desk.recorder.runs()] == [["ant/library/c.tx"]]


def test_files_of_a_run_that_two_recordings_share_are_counted_once_it_is_worked_up() -> None:
    desk = Desk()
    room_files = desk.recorder._room.files
    numbers = [desk.recorder.start(JOB, uid=1).number for _ in range(2)]
    tell_again(desk, "library/1.tx", "library/2.tx")
    for number in numbers:
        desk.recorder.stop(number)
    assert desk.recorder._room.files == room_files
