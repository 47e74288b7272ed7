"""Works: runs, and how many are remembered."""

from __future__ import annotations

import pytest

from shotfs.prewarm.lookahead import works as limits
from shotfs.prewarm.lookahead.shapes import Seen, Shape
from shotfs.prewarm.lookahead.works import Work, Works, name_of
from shotfs.prewarm.manifest.subject import Subject


def framed(name: str, frame: int) -> Seen:
    return Seen(Shape(f"{name}.<frame>", lambda to: f"{name}.{to}"), frame, None)


def read(work: Work, frame: int, *names: str) -> None:
    run = work.run(frame) or work.begin(frame)
    for name in names:
        seen = framed(name, frame)
        work.note(run, f"{name}.{frame}", seen)


def test_a_work_is_a_shot_and_task_and_else_a_job() -> None:
    assert name_of(Subject("ant", "030", "light", "1001", "left", "j1")) == "ant/030/light/left"
    assert name_of(Subject("ant", frame="1001", job="j1")) == "j1"
    assert name_of(Subject("ant", frame="1001")) == ""


def test_the_fullest_run_is_the_model() -> None:
    work = Work("w")
    read(work, 1001, "a", "b", "c")
    read(work, 1002, "a")
    begun = work.begin(1003)
    model = work.model(1003, besides=begun)
    assert model is not None
    assert model.frame == 1001
    moved = [work.moved(one, 1003 - model.frame) for one in model.reads.values()]
    assert [one.path for one in moved if one] == ["a.1003", "b.1003", "c.1003"]


def test_frames_that_are_worked_on_at_once_are_counted() -> None:
    work = Work("w")
    for name in "abcd":
        read(work, 1001, name)
    read(work, 1002, *"abcd")
    assert work.at_once == 1
    for name in "efgh":
        for frame in (1003, 1004, 1005):
            read(work, frame, name)
    assert work.at_once == 3


def test_memory_is_bounded_over_all_works(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "READS_MAX", 1_000)
    works = Works()
    for shot in range(40):
        work, _ = works.of(Subject("ant", f"{shot:03}"))
        for frame in (1001, 1002):
            read(work, frame, *(f"f{number}" for number in range(30)))
    forgotten = works.trim()
    assert len(works) + len(forgotten) == 40
    left = [works.of(Subject("ant", f"{shot:03}"))[0].count for shot in range(30, 40)]
    assert all(left)
    assert sum(left) <= 1_000


def test_a_single_work_that_is_too_large_keeps_its_last_run(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(limits, "READS_MAX", 1_000)
    works = Works()
    work, _ = works.of(Subject("ant", "030"))
    for frame in range(1001, 1009):
        read(work, frame, *(f"f{number}" for number in range(300)))
    assert works.trim() == []
    assert work.count == 300
