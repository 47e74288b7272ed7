"""Example texts and paths are real ones; right names are found for almost right ones."""

from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shotfs.errors import SpecInvalid
from shotfs.pathspec import regex, repair
from shotfs.pathspec.fields import TYPE_KEYS
from shotfs.pathspec.repair import repaired, suggest_path
from shotfs.pathspec.samples import example_path, texts_of

from .documents import spec
from .small_dna import FRAME, small
from .test_differences import PATTERNS

KINDS: dict[str, dict[str, Any]] = {
    "str": {"pattern": "[A-Z]{3}[0-9]{4}"},
    "int": {"pad": 3, "min": 500},
    "enum": {"choices": ["a", "b"]},
    "version": {"scheme": "ulid"},
    "frame": {"pad": 6, "negative": True, "max": -5},
    "udim": {"style": "uvtile"},
    "view": {},
    "timestamp": {"format": "%Y-%m-%d"},
    "uuid": {},
    "compound": {"format": "{other}x"},
    "tree": {},
}


def test_every_type_is_here() -> None:
    assert set(KINDS) == set(TYPE_KEYS)


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "compound"])
def test_example_texts_are_texts_of_the_field(kind: str) -> None:
    made = spec({"t": "x/{f}"}, {"f": {"type": kind, **KINDS[kind]}})
    texts = texts_of(made.fields["f"])
    assert texts
    assert [text for text in texts if made.fields["f"].problem(text) is not None] == []
    path = example_path(made, made.patterns["t"])
    assert path is not None
    assert made.resolve(path) is not None


@given(PATTERNS)
@settings(max_examples=100, deadline=None)
def test_example_texts_match_any_pattern(pattern: str) -> None:
    try:
        made = spec({"t": "x/{f}"}, {"f": {"type": "str", "pattern": pattern}})
    except SpecInvalid:
        return  # matches the empty text, or could be slow
    texts = texts_of(made.fields["f"])
    assert texts
    for text in texts:
        assert re.fullmatch(regex.render(regex.parse(pattern)), text, re.ASCII)


def test_examples_are_names_of_a_production_where_they_can_be() -> None:
    made = spec({"t": "{asset}/{task}/{seq_no}"}, {
        "asset": {"type": "str"}, "task": {"type": "str"}, "seq_no": {"type": "str"},
    })  # fmt: skip
    assert example_path(made, made.patterns["t"]) == "dragon/light/sq010"


def test_each_turn_gives_another_example_and_given_texts_stay() -> None:
    made = small()
    pattern = made.patterns["frames"]
    paths = {example_path(made, pattern, {"layer": "matte"}, turn=turn) for turn in range(3)}
    assert len(paths) == 3
    assert all(path is not None and "/matte/" in path for path in paths)
    assert example_path(made, pattern, {"layer": "nonsense"}) is None


@pytest.mark.parametrize(
    ("field", "text", "expected"),
    [
        ({"type": "version"}, "V12", ["v012"]),
        ({"type": "frame"}, "7", ["0007"]),
        ({"type": "int", "pad": 3, "max": 500}, "501", []),
        ({"type": "enum", "choices": ["beauty", "matte"]}, "Beauty", ["beauty"]),
        ({"type": "enum", "choices": ["beauty", "matte"]}, "baeuty", ["beauty"]),
        ({"type": "enum", "choices": ["beauty", "matte"]}, "depth", []),
        ({"type": "str", "case": "lower"}, "Dragon", ["dragon"]),
        ({"type": "str", "pattern": "[a-z_]+"}, "old house", ["old_house"]),
    ],
)
def test_text_that_is_almost_right(field: dict[str, Any], text: str, expected: list[str]) -> None:
    made = spec({"t": "x/{f}"}, {"f": field})
    assert list(repaired(made.fields["f"], text)) == expected


@given(st.integers(0, len(FRAME) - 1), st.sampled_from(["upper", "double", "drop", "space"]))
@settings(max_examples=100, deadline=None)
def test_suggestion_always_fits(index: int, how: str) -> None:
    sign = FRAME[index]
    other = {"upper": sign.upper(), "double": sign * 2, "drop": "", "space": " "}[how]
    path = FRAME[:index] + other + FRAME[index + 1 :]
    made = small()
    found = suggest_path(made, path, ("frames", "log", "scene"))
    assert found is None or made.resolve(found) is not None
    if how == "upper" and path != FRAME:
        assert found == FRAME


def test_work_on_a_hostile_name_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    tried = 0

    def counting(field: Any, text: str, *, near: bool = True) -> Any:
        nonlocal tried
        tried += 1
        return repaired(field, text, near=near)

    monkeypatch.setattr(repair, "repaired", counting)
    fields = {f"f{n}": {"type": "str", "pattern": "[a-z]+"} for n in range(8)}
    choices = [f"choice{n}" for n in range(2000)]
    made = spec(
        {"t": "_".join(f"{{f{n}}}" for n in range(8)) + "_{e}.exr"},
        {**fields, "e": {"type": "enum", "choices": choices}},
    )
    assert suggest_path(made, "abcdefgh" * 20, ("t",)) is None
    assert suggest_path(made, "A_" * 80, ("t",)) is None
    assert tried <= 2 * repair.STEPS_MAX
    assert suggest_path(made, "x" * 161, ("t",)) is None
