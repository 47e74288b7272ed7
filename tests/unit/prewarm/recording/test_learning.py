"""What several runs say together, and what they say of frames that nobody rendered."""

from __future__ import annotations

from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shotfs.prewarm.manifest.entry import Entry, Source, Use
from shotfs.prewarm.recording.generalise import TRUST, generalise, moved_path
from shotfs.prewarm.recording.learning import KEPT_RUNS, by_path, learn, runs_in
from shotfs.prewarm.recording.roles import roles_of

from .telling import SHOT, SPEC

ROLES = roles_of(SPEC)


def read(*paths: str, runs: int = 1) -> dict[str, Entry]:
    """What a run read."""
    return by_path(Entry(path, sources=(Source.RECORDED,), use=Use(runs=runs)) for path in paths)


def confidences(entries: dict[str, Entry]) -> dict[str, float]:
    return {path: entry.confidence for path, entry in entries.items()}


def after(runs: Iterable[dict[str, Entry]]) -> dict[str, Entry]:
    known: dict[str, Entry] = {}
    for run in runs:
        known = learn(known, run)
    return known


def test_confidence_is_the_share_of_the_runs_that_read_a_file() -> None:
    known = after([read("a", "b"), read("a"), read("a", "b"), read("a", "c")])
    assert confidences(known) == {"a": 1.0, "b": 0.5, "c": 0.25}
    assert runs_in(known) == 4


def test_it_is_the_same_whether_runs_come_one_by_one_or_merged() -> None:
    runs = [read("a", "b"), read("a"), read("a", "b"), read("a", "c")]
    together = learn(after(runs[:2]), after(runs[2:]))
    assert confidences(together) == pytest.approx(confidences(after(runs)), abs=0.001)


def test_what_is_read_no_more_fades_and_goes() -> None:
    known = after([read("a", "old")] * 30)
    gone = 0
    while "old" in known:
        known = learn(known, read("a"))
        gone += 1
    assert 20 <= gone <= 30
    assert confidences(known) == {"a": 1.0}


def test_a_new_file_is_believed_after_a_few_runs_however_many_came_before() -> None:
    known = after([read("a")] * 100)
    known = after([known, *([read("a", "new")] * KEPT_RUNS)])
    assert known["new"].confidence > 0.6


def test_use_adds_up_and_ranges_of_another_content_are_dropped() -> None:
    first = Entry("a", size_bytes=9, use=Use(1, 1, 0.5, 2.0, ((0, 4),)))
    again = Entry("a", size_bytes=9, use=Use(1, 0, 0.25, 1.0, ((4, 6),)))
    both = learn({"a": first}, {"a": again})["a"]
    assert both.use == Use(2, 1, 0.75, 1.0, ((0, 6),))
    larger = Entry("a", size_bytes=10, use=Use(1, 0, 0.0, 3.0, ((8, 10),)))
    changed = learn({"a": both}, {"a": larger})["a"]
    assert changed.use == Use(3, 1, 0.75, 1.0, ((8, 10),))
    assert changed.size_bytes == 10


@given(st.lists(st.sets(st.sampled_from("abcdef"), min_size=1), min_size=1, max_size=20))
def test_confidences_are_probabilities_and_nothing_read_now_is_forgotten(
    runs: list[set[str]],
) -> None:
    known = after([read(*paths) for paths in runs])
    assert all(0 < one <= 1 for one in confidences(known).values())
    assert runs[-1] <= known.keys() <= set.union(*runs)


# --- frames that nobody rendered -----------------------------------------------------------------


def plate(frame: int) -> str:
    return f"ant/plates/{SHOT}/bg.{frame}.exr"


def moved(path: str, to_frame: int) -> str | None:
    return moved_path(path, SPEC, ROLES, 1001, to_frame)


def test_a_path_with_the_frame_moves_with_it_and_a_tile_stays() -> None:
    assert moved(plate(1001), 1005) == plate(1005)
    assert moved(plate(1002), 1005) == plate(1006)
    assert moved(plate(1050), 1005) == plate(1050)
    assert moved("ant/tex/wood.1001.exr", 1005) == "ant/tex/wood.1001.exr"
    assert moved("ant/library/tex.1001.exr", 1005) == "ant/library/tex.1001.exr"
    assert moved("ant/nowhere/at/all", 1005) == "ant/nowhere/at/all"


def test_a_part_of_a_frame_is_not_concluded() -> None:
    assert moved(f"ant/caches/{SHOT}/cloth.1001.25.abc", 1005) is None
    assert moved(f"ant/caches/{SHOT}/cloth.1001.abc", 1005) == f"ant/caches/{SHOT}/cloth.1005.abc"


def test_neighbours_speak_for_a_frame_with_the_mean_of_what_they_say() -> None:
    recorded = {
        1001: [Entry(plate(1001), size_bytes=5), Entry("ant/library/a.tx", size_bytes=7)],
        1002: [Entry(plate(1002)), Entry("ant/library/b.tx", confidence=0.5)],
    }
    found = generalise(recorded, SPEC, ROLES, 1010)
    assert {path: one.confidence for path, one in found.items()} == {
        plate(1010): TRUST,
        "ant/library/a.tx": TRUST / 2,
        "ant/library/b.tx": TRUST / 4,
    }
    assert (found[plate(1010)].size_bytes, found["ant/library/a.tx"].size_bytes) == (None, 7)
    assert {one.frames for one in found.values()} == {"1010"}
