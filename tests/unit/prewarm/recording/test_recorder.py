"""What a run notes, which frame it belongs to, and when it ends."""

from __future__ import annotations

import tracemalloc
from dataclasses import replace

import pytest

from shotfs.errors import InvalidArgument
from shotfs.prewarm.manifest.entry import Source
from shotfs.prewarm.manifest.subject import Subject
from shotfs.prewarm.recording import recorder as recorder_module
from shotfs.prewarm.recording.outcome import by_frame, outcome_of
from shotfs.prewarm.recording.ranges import RANGES_MAX, Ranges
from shotfs.prewarm.recording.recorder import Jobs, cleaned
from shotfs.prewarm.recording.run import FRAMES_EACH_MAX

from .telling import JOB, SHOT, Desk, frames_of, opened


def beauty(frame: int) -> str:
    return f"render/{SHOT}/lighting/beauty.left.{frame}.exr"


def plate(frame: int) -> str:
    return f"plates/{SHOT}/bg.{frame}.exr"


def test_a_file_is_noted_with_its_revision_ranges_and_waits() -> None:
    desk = Desk()
    desk.now_s = 103.5
    assert desk.open("library/a.usd") is not None  # the run begins
    desk.now_s = 105.0
    notes = desk.open("library/wood.tx", warm=False, digest="ab" * 16)
    assert notes is not None
    notes.read(0, 4, 0.5)
    notes.read(4, 6, 0.0)
    notes.read(8, 9, 0.25)
    notes.closed()
    desk.open("library/wood.tx")
    (outcome,) = desk.finish()
    first, entry = outcome.entries
    assert (first.path, first.digest, first.use and first.use.first_s) == (
        "ant/library/a.usd",
        None,
        0,
    )
    assert (entry.digest, entry.size_bytes, entry.mtime_ns) == ("ab" * 16, 10, 5)
    assert entry.sources == (Source.RECORDED,)
    assert entry.use is not None
    assert (entry.use.cold, entry.use.stall_s, entry.use.first_s) == (1, 0.75, 1.5)
    assert entry.use.ranges == ((0, 6), (8, 9))
    assert (outcome.opens, outcome.cold, outcome.stall_s, outcome.bytes) == (3, 1, 0.75, 20)


def test_a_process_without_a_job_is_not_recorded() -> None:
    desk = Desk()
    assert desk.open("library/a.usd", Subject(shot=SHOT)) is None
    assert desk.finish() == []


def test_off_records_nothing_and_refuses_to_start() -> None:
    desk = Desk(Jobs.OFF)
    assert not desk.recorder.wants
    with pytest.raises(InvalidArgument, match=r"record\.jobs is 'off'"):
        desk.recorder.start(JOB, uid=1)


def test_named_records_what_was_started_and_stops_being_told_afterwards() -> None:
    desk = Desk(Jobs.NAMED)
    assert not desk.recorder.wants
    started = desk.recorder.start(JOB, uid=1)
    assert desk.recorder.wants
    assert desk.open("library/a.usd", replace(JOB, frame="1001")) is not None
    assert desk.open("library/a.usd", Subject(job="other")) is None
    ((run,), before) = desk.recorder.stop(started.number)
    assert before == []
    assert (run.subject.frame, desk.ended, desk.recorder.wants) == ("1001", [], False)
    with pytest.raises(InvalidArgument, match="no recording number"):
        desk.recorder.stop(started.number)


def test_what_a_job_read_before_it_was_started_is_another_run() -> None:
    desk = Desk()
    desk.open("library/prolog.txt")
    started = desk.recorder.start(JOB, uid=1)
    desk.open("library/a.usd")
    ((run,), _) = desk.recorder.stop(started.number)
    assert (list(run.files), [list(one.files) for one in desk.ended]) == (
        ["ant/library/a.usd"],
        [["ant/library/prolog.txt"]],
    )


def test_a_run_of_two_recordings_is_in_both_and_counts_once() -> None:
    desk = Desk()
    room_files = desk.recorder._room.files
    mine = desk.recorder.start(JOB, uid=1)
    everything = desk.recorder.start(Subject(), uid=0)
    desk.open("library/a.usd")
    (run,), before = desk.recorder.stop(everything.number)
    assert (list(run.files), before) == (["ant/library/a.usd"], [])
    desk.open("library/b.usd")
    assert desk.recorder._room.files == room_files - 2
    ((later,), before) = desk.recorder.stop(mine.number)
    assert (list(later.files), before) == (["ant/library/b.usd"], [run])
    assert desk.recorder._room.files == room_files


def test_frames_that_no_manifest_can_name_are_none() -> None:
    desk = Desk()
    desk.write(beauty(20261122013000))
    desk.open("library/a.usd")
    (outcome,) = desk.finish()
    assert (outcome.frames, frames_of(outcome)) == ("", {"library/a.usd": ""})


def test_too_many_scattered_frames_are_told_as_their_span() -> None:
    desk = Desk()
    frames = [1000 + 7 * number + number % 3 for number in range(4000)]
    for frame in frames:
        desk.write(beauty(frame))
    desk.open("library/a.usd")
    (outcome,) = desk.finish()
    assert outcome.frames == f"1000-{frames[-1]}"
    ((subject, entries),) = by_frame(outcome)
    assert (subject.frame, len(entries)) == (str(frames[-1]), 1)


def test_a_run_ends_when_all_its_processes_are_gone() -> None:
    desk = Desk()
    desk.alive = {7, 8}
    desk.recorder._alive = lambda pid: pid in desk.alive
    desk.open("library/a.usd", pid=7)
    desk.open("library/b.usd", pid=8)
    desk.alive.discard(7)
    desk.recorder.sweep()
    assert desk.ended == []
    desk.alive.discard(8)
    desk.recorder.sweep()
    assert [list(run.files) for run in desk.ended] == [["ant/library/a.usd", "ant/library/b.usd"]]


def test_a_run_of_unknown_processes_ends_after_a_while_whatever_the_time_of_day_does() -> None:
    desk = Desk()
    desk.open("library/a.usd", pid=0)
    desk.now_s += recorder_module.IDLE_UNKNOWN_S - 1
    desk.recorder.sweep()
    assert desk.ended == []
    desk.now_s += 1
    desk.recorder.sweep()
    assert len(desk.ended) == 1


def test_a_recording_whose_exec_was_killed_is_learned_all_the_same() -> None:
    desk = Desk()
    desk.alive |= {99}
    desk.recorder.start(JOB, uid=1, pid=99)
    desk.open("library/a.usd")
    desk.recorder.sweep()
    assert desk.ended == []
    desk.alive.discard(99)
    desk.recorder.sweep()
    assert ([list(run.files) for run in desk.ended], desk.recorder.started()) == (
        [["ant/library/a.usd"]],
        [],
    )


def test_the_end_of_the_service_hands_every_run_on() -> None:
    desk = Desk()
    desk.open("library/a.usd")
    desk.open("library/b.usd", Subject(job="j2"))
    desk.recorder.end_all()
    assert (len(desk.ended), desk.recorder.runs()) == (2, [])


# --- frames --------------------------------------------------------------------------------------


def test_reads_between_two_outputs_belong_to_the_frame_and_those_before_to_all() -> None:
    desk = Desk()
    desk.open("library/scene.usd")
    for frame in (1001, 1002, 1003):
        desk.write(beauty(frame))
        desk.open(plate(frame))
        desk.open("library/wood.tx" if frame == 1002 else "library/scene.usd")
    (outcome,) = desk.finish()
    assert (outcome.subject.shot, outcome.subject.task, outcome.subject.view) == (
        SHOT, "lighting", "left",
    )  # fmt: skip
    assert outcome.frames == "1001-1003"
    assert frames_of(outcome) == {
        "library/scene.usd": "",
        plate(1001): "1001",
        plate(1002): "1002",
        plate(1003): "1003",
        "library/wood.tx": "1002",
    }
    parts = {subject.frame: len(entries) for subject, entries in by_frame(outcome)}
    assert parts == {"1001": 1, "1002": 2, "1003": 1, "": 1}


def test_a_program_that_reads_before_it_writes_has_its_reads_in_the_next_frame() -> None:
    desk = Desk()
    for frame in (1001, 1002, 1003):
        desk.open(plate(frame))
        desk.open(f"library/only{frame}.tx")
        desk.write(beauty(frame))
    (outcome,) = desk.finish()
    frames = frames_of(outcome)
    assert [frames[plate(frame)] for frame in (1001, 1002, 1003)] == ["1001", "1002", "1003"]
    assert [frames[f"library/only{frame}.tx"] for frame in (1002, 1003)] == ["1002", "1003"]


def test_of_one_frame_all_that_was_read_belongs_to_it() -> None:
    desk = Desk()
    desk.open("library/scene.usd")
    desk.write(beauty(1001))
    (outcome,) = desk.finish()
    assert (outcome.frames, frames_of(outcome)) == ("1001", {"library/scene.usd": "1001"})


def test_the_frame_of_the_environment_counts_unless_outputs_say_another() -> None:
    for written, frames in ((None, "1005"), (1005, "1005"), (1009, "1009")):
        desk = Desk()
        subject = Subject(job="j1", frame="1005")
        desk.open("library/scene.usd", subject)
        if written is not None:
            desk.write(beauty(written), subject)
        (outcome,) = desk.finish()
        assert (outcome.frames, frames_of(outcome)) == (frames, {"library/scene.usd": frames})


def test_two_processes_of_a_job_each_have_their_own_frame() -> None:
    desk = Desk()
    desk.write(beauty(1001), pid=7)
    desk.write(beauty(1002), pid=8)
    desk.open(plate(1001), pid=7)
    desk.open(plate(1002), pid=8)
    desk.open("library/scene.usd", pid=7)
    desk.open("library/scene.usd", pid=8)
    (outcome,) = desk.finish()
    assert frames_of(outcome) == {
        plate(1001): "1001",
        plate(1002): "1002",
        "library/scene.usd": "1001-1002",
    }


def test_a_file_of_very_many_frames_is_for_all() -> None:
    desk = Desk()
    for frame in range(1001, 1001 + FRAMES_EACH_MAX + 10):
        desk.write(beauty(frame))
        desk.open("library/scene.usd")
    (outcome,) = desk.finish()
    assert frames_of(outcome) == {"library/scene.usd": ""}


def test_the_shot_is_that_of_the_outputs_else_that_of_most_files_that_are_read() -> None:
    desk = Desk()
    for number in range(5):
        desk.open(f"plates/ab_1_1_1_1/bg.{1001 + number}.exr")
    desk.open(plate(1001))
    assert desk.finish()[0].subject.shot == "ab_1_1_1_1"
    desk = Desk()
    for number in range(5):
        desk.open(f"plates/ab_1_1_1_1/bg.{1001 + number}.exr")
    desk.write(beauty(1001))
    assert desk.finish()[0].subject.shot == SHOT
    desk = Desk()
    desk.open("plates/ab_1_1_1_1/bg.1001.exr")
    desk.open(plate(1001))
    assert desk.finish()[0].subject.shot == ""


def test_what_the_environment_says_is_not_overruled() -> None:
    desk = Desk()
    subject = Subject(job="j1", shot="s", task="t", view="right")
    desk.open(plate(1001), subject)
    desk.write(beauty(1001), subject)
    found = desk.finish()[0].subject
    assert (found.shot, found.task, found.view, found.show) == ("s", "t", "right", "ant")


# --- limits --------------------------------------------------------------------------------------


def test_s10_files_runs_and_ranges_are_bounded() -> None:
    desk = Desk(files_max=3)
    for number in range(5):
        desk.open(f"library/{number}.tx")
    for number in range(recorder_module.RUNS_MAX + 5):
        desk.open("library/a.tx", Subject(job=f"job{number}"))
    assert len(desk.recorder.runs()) == recorder_module.RUNS_MAX
    assert desk.metrics.snapshot()["shotfs_recorded_missed_total"] == 2 + 6
    outcome = outcome_of(desk.recorder.runs()[0])
    assert (len(outcome.entries), outcome.opens, outcome.missed) == (3, 5, 2)
    ranges = Ranges()
    for number in range(1000):
        ranges.add(number * 10, number * 10 + 1 + number % 7)
    assert len(ranges.all()) == RANGES_MAX
    assert (ranges.all()[0][0], ranges.all()[-1][1]) == (0, 9990 + 1 + 999 % 7)


def test_s10_the_files_of_all_runs_together_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recorder_module, "FILES_TOTAL_MAX", 5)
    desk = Desk()
    for number in range(4):
        for job in ("j1", "j2"):
            desk.open(f"library/{number}.tx", Subject(job=job))
    assert [len(run.files) for run in desk.recorder.runs()] == [3, 2]
    desk.recorder.end_all()
    for number in range(9):
        desk.open(f"library/{number}.tx")
    assert [len(run.files) for run in desk.recorder.runs()] == [5]


def test_ranges_are_joined_where_they_touch_in_any_order() -> None:
    ranges = Ranges()
    for start, stop in ((10, 20), (30, 40), (0, 5), (20, 30), (39, 45), (5, 5), (2, 3)):
        ranges.add(start, stop)
    assert ranges.all() == ((0, 5), (10, 45))


def test_s10_a_hundred_thousand_files_of_a_job_fit_in_the_memory_that_is_promised() -> None:
    desk = Desk(files_max=100_000)
    one = opened("library/0.tx")
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        for number in range(100_000):
            notes = desk.recorder.opened(replace(one, path=f"ant/library/{number}.tx"))
            assert notes is not None
        bytes_each = (tracemalloc.get_traced_memory()[0] - before) / 100_000
    finally:
        tracemalloc.stop()
    # 500 are promised; paths and revisions, which the file system has too, are some of it.
    assert bytes_each < 600
    (outcome,) = desk.finish()
    assert len(outcome.entries) == 100_000


def test_names_from_an_environment_are_cut_as_the_file_system_cuts_them() -> None:
    subject = cleaned(Subject(job="a\nb" + "x" * 500, shot="ok"))
    assert (subject.job, subject.shot) == ("ab" + "x" * 126, "ok")
