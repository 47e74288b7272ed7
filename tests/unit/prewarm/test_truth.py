"""What scanners miss and over-claim, and what the union of both is worth."""

from __future__ import annotations

from shotfs.prewarm.manifest.entry import Entry, Source, Use
from shotfs.prewarm.truth import (
    PRECISION_UNKNOWN,
    Weights,
    compare,
    recorded_frames,
)


def read(path: str, frames: str = "", size: int = 10) -> Entry:
    return Entry(path, size_bytes=size, frames=frames, sources=(Source.RECORDED,), use=Use())


def claimed(path: str, *scanners: str, frames: str = "", confidence: float = 1.0) -> Entry:
    return Entry(
        path, size_bytes=10, frames=frames, sources=(Source.SCANNED,), scanners=scanners,
        confidence=confidence,
    )  # fmt: skip


RECORDED = [read("ant/a"), read("ant/b"), read("ant/c", size=100), read("ant/d")]
SCANNED = [claimed("ant/a", "usd"), claimed("ant/b", "usd", "nuke"), claimed("ant/x", "nuke")]


def test_precision_and_recall_of_all_and_of_each_scanner() -> None:
    found = compare(RECORDED, SCANNED)
    total = found.total
    assert (total.claimed, total.read, total.right) == (3, 4, 2)
    assert (total.precision, total.recall) == (2 / 3, 0.5)
    assert (total.read_bytes, total.missed_bytes, total.over_bytes) == (130, 110, 10)
    assert {one.name: (one.precision, one.recall) for one in found.scanners} == {
        "usd": (1.0, 0.5),
        "nuke": (0.5, 0.25),
    }
    assert [one.path for one in found.missed] == ["ant/c", "ant/d"]
    assert [one.path for one in found.over] == ["ant/x"]


def test_it_is_told_by_template() -> None:
    found = compare(RECORDED, SCANNED, template_of=lambda path: path[-1] if path > "ant/b" else "")
    assert {one.name: (one.claimed, one.read, one.right) for one in found.templates} == {
        "": (2, 2, 2), "c": (0, 1, 0), "d": (0, 1, 0), "x": (1, 0, 0),
    }  # fmt: skip
    assert [one.recall for one in found.templates] == [1.0, 0.0, 0.0, None]


def test_only_frames_that_are_asked_for_are_compared() -> None:
    recorded = [read("ant/a", "1001"), read("ant/b", "1002")]
    scanned = [claimed("ant/a", "usd", frames="1001-1002"), claimed("ant/z", "usd", frames="1099")]
    found = compare(recorded, scanned, frames="1001")
    assert (found.total.precision, found.total.recall) == (1.0, 1.0)


def test_the_frames_of_recordings_are_those_that_they_name() -> None:
    recorded = [read("a"), read("b", "1001"), read("c", "1002-1003,1001")]
    assert recorded_frames(recorded) == "1001-1003"
    assert recorded_frames([read("a")]) == ""


def test_of_nothing_there_is_no_share() -> None:
    total = compare([], []).total
    assert (total.precision, total.recall) == (None, None)


def test_weights_follow_what_is_measured_and_forget_what_was() -> None:
    weights = Weights({})
    for _ in range(20):
        weights = weights.with_scores(compare(RECORDED, SCANNED).scanners)
    assert weights.precision("usd") > weights.precision("never seen") > weights.precision("nuke")
    for _ in range(20):
        weights = weights.with_scores(compare([], [claimed("ant/x", "usd")]).scanners)
    assert weights.precision("usd") < PRECISION_UNKNOWN
