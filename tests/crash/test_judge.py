"""The judge of the campaign finds what it is there to find."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.crash import judge, told
from tests.crash.judge import KINDS, Verdict
from tests.crash.life import Report
from tests.crash.origins import Holding
from tests.crash.told import Told

A, B = "a" * 32, "b" * 32
PATH = "render/x.0001.exr"


def judged(
    events: list[tuple[str, dict[str, object]]],
    objects: dict[str, str],
    place: Path,
    queue: list[dict[str, str]] | None = None,
    **more: dict[str, list[str]] | list[str],
) -> Verdict:
    """Judge a writer that was told *events* of `PATH`, and an origin with *objects*."""
    notes = Told(place / "told")
    for event, values in events:
        notes.note(event, PATH, **values)
    holding = Holding(objects, **more)  # type: ignore[arg-type]
    return judge.judge(told.read(place / "told"), holding, Report(queue=queue or [], read=objects))


def found(verdict: Verdict) -> set[str]:
    return {kind for kind in KINDS if getattr(verdict, kind)}


CLOSED: list[tuple[str, dict[str, object]]] = [
    ("writing", {}),
    ("closing", {"digest": A}),
    ("closed", {"digest": A}),
]


def test_what_was_closed_and_is_there_once_is_right(tmp_path: Path) -> None:
    assert not judged(CLOSED, {PATH: A}, tmp_path)


@pytest.mark.parametrize("objects", [{}, {PATH: A}])
def test_a_close_without_an_answer_leaves_both_outcomes(
    tmp_path: Path, objects: dict[str, str]
) -> None:
    assert not judged(CLOSED[:2], objects, tmp_path)


def test_a_closed_file_that_is_not_in_the_origin_is_lost(tmp_path: Path) -> None:
    assert found(judged(CLOSED, {}, tmp_path)) == {"lost"}


def test_an_earlier_content_is_a_change(tmp_path: Path) -> None:
    again = [("writing", {}), ("closing", {"digest": B}), ("closed", {"digest": B})]
    assert found(judged([*CLOSED, *again], {PATH: A}, tmp_path)) == {"changed"}


def test_a_file_that_was_written_again_has_to_be_listed(tmp_path: Path) -> None:
    events = [*CLOSED, ("writing", {})]
    assert found(judged(events, {}, tmp_path)) == {"lost"}


@pytest.mark.parametrize("queue", [[], [{"path": PATH, "state": "open", "error": "partial"}]])
def test_an_earlier_content_is_right_where_the_writer_overwrote_a_later_one_and_it_is_listed(
    tmp_path: Path, queue: list[dict[str, str]]
) -> None:
    again = [("writing", {"mutable": True}), ("closing", {"digest": B}), ("closed", {"digest": B})]
    events = [*CLOSED, *again, ("writing", {"mutable": True})]
    assert found(judged(events, {PATH: A}, tmp_path, queue)) == (set() if queue else {"changed"})


def test_bytes_that_nobody_closed_are_half_published(tmp_path: Path) -> None:
    assert found(judged(CLOSED[:1], {PATH: B}, tmp_path)) == {"half_published"}


def test_what_was_removed_and_is_there_is_a_change(tmp_path: Path) -> None:
    events = [*CLOSED, ("unlinking", {}), ("unlinked", {})]
    assert found(judged(events, {PATH: A}, tmp_path)) == {"changed"}


def test_a_refused_removal_changes_nothing(tmp_path: Path) -> None:
    events = [*CLOSED, ("unlinking", {}), ("refused", {})]
    assert found(judged(events, {}, tmp_path)) == {"lost"}


def test_two_generations_and_two_names_are_duplicates(tmp_path: Path) -> None:
    twice = judged(CLOSED, {PATH: A}, tmp_path, made={PATH: [A, A]})
    assert found(twice) == {"duplicated"}
    renamed = [("renaming", {"to": "render/y.0001.exr"}), ("renamed", {"to": "render/y.0001.exr"})]
    both = judged(renamed, {PATH: A, "render/y.0001.exr": A}, tmp_path)
    assert found(both) == {"changed", "duplicated"}


def test_scratch_names_unknown_names_and_unfinished_uploads_are_orphans(tmp_path: Path) -> None:
    objects = {PATH: A, f"{PATH}.tmp": B, "render/": "c" * 32}
    verdict = judged(CLOSED, objects, tmp_path, leftovers=["upload"])
    assert found(verdict) == {"orphans"}
    assert len(verdict.orphans) == 3
