"""Documents made to be slow or large are refused before they are. Each once took minutes or GBs.

What bounds them counts steps, not seconds, so the tests need no clock.
"""

from __future__ import annotations

import json
from typing import Any

import pytest

from shotfs.errors import Problem, SpecInvalid
from shotfs.pathspec import implied, load, mismatch, overlap, problems, readings, templates

from .documents import document, spec


def star(count: int, first: int = 0x4E00) -> str:
    """A short pattern whose automaton has *count* times *count* edges."""
    return "(?:" + "|".join(chr(first + number) for number in range(count)) + ")+"


def mistakes(paths: dict[str, Any], fields: dict[str, Any]) -> list[Problem]:
    with pytest.raises(SpecInvalid) as caught:
        load(json.dumps(document(paths, fields)), source="test.json")
    return caught.value.problems


def test_length_of_a_branching_pattern_does_not_multiply_its_automaton_without_end() -> None:
    field = {"type": "str", "pattern": star(500), "length": {"min": 1, "max": 190}}
    (problem,) = mistakes({"t": "{f}"}, {"f": field})
    assert "too many paths to prove" in problem.message


def test_many_branching_patterns_are_refused_together() -> None:
    fields = {f"f{n}": {"type": "str", "pattern": star(500, 0x4E00 + n)} for n in range(8)}
    (problem,) = mistakes({f"t{n}": f"{n}/{{f{n}}}" for n in range(8)}, fields)
    assert "too many paths to prove" in problem.message


def test_two_branching_patterns_beside_each_other_are_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(overlap, "STEPS_MAX", 20_000)
    fields = {
        "a": {"type": "str", "pattern": star(30) + "[a-z]"},
        "b": {"type": "str", "pattern": star(29) + "[0-9]"},
    }
    (problem,) = mistakes({"t": "{a}", "u": "{b}"}, fields)
    assert "too many paths to prove" in problem.message


def test_reference_that_thousands_of_templates_multiply_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(templates, "SIGNS_MAX", 50_000)
    paths: dict[str, Any] = {
        "base": {"path": "/".join(["{e}"] * 60) + "[x][y][z]", "abstract": True},
        **{f"t{n}": f"{n}/{{@base}}" for n in range(10)},
    }
    first = mistakes(paths, {"e": {"type": "enum", "choices": ["a"]}})[0]
    assert first.where == "/templates/t2/path"
    assert "come to too much" in first.message


def test_optional_parts_that_thousands_of_templates_have_are_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(templates, "SIGNS_MAX", 5_000)
    found = mistakes({f"t{n}": f"{n}a[b][c][d][e]/f" for n in range(20)}, {})
    assert "come to too much" in found[0].message
    assert spec({f"t{n}": f"{n}a[b]/f" for n in range(20)}) is not None


def test_plain_templates_may_be_as_many_as_the_document_has_text_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(templates, "SIGNS_MAX", 0)
    paths = {f"t{n}": f"render/{{a}}/file_{{b}}_{n}.exr" for n in range(50)}
    assert spec(paths, {"a": {"type": "int"}, "b": {"type": "int"}}) is not None


def test_field_of_many_choices_in_many_different_elements_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(readings, "SIGNS_MAX", 5_000)
    fields = {"e": {"type": "enum", "choices": [f"{n * 7919:07d}" for n in range(100)]}}
    first = mistakes({f"t{n}": f"{{e}}_{n}" for n in range(50)}, fields)[0]
    assert 'the element "{e}_' in first.message
    assert "one too many" in first.message
    # Shared elements are compiled once.
    assert spec({f"t{n}": f"{{e}}/{n}" for n in range(50)}, fields) is not None


def test_suggestions_compare_few_names_sign_by_sign(monkeypatch: pytest.MonkeyPatch) -> None:
    compared: list[int] = []

    def close(word: str, known: list[str], **_: object) -> list[str]:
        compared.append(len(known))
        return known[:1]

    monkeypatch.setattr(problems.difflib, "get_close_matches", close)
    known = [f"{n:03d}abcdefghij" for n in range(1000)]
    assert problems.nearest("123abcdefgjih", known) == "123abcdefghij"
    assert compared == [problems.MATCHED_MAX]


def test_choices_that_would_fill_a_listing_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(implied, "NAMES_MAX", 250)
    ten = [f"{n:02d}" for n in range(10)]
    fields = {name: {"type": "enum", "choices": ten} for name in "abc"}
    paths = {f"t{n}": f"top/{{a}}{{b}}_{n}/x" for n in range(2)}
    assert len(spec(paths, fields).implied_children("top")) == 200
    assert spec({**paths, "file": "top/{a}{b}_2"}, fields) is not None
    (problem,) = mistakes({**paths, "t2": "top/{a}{b}_2/x"}, fields)
    assert problem.where == "/templates/t2/path"
    assert "more than 250 directories exist by themselves" in problem.message


def test_explanation_among_thousands_compares_the_likely_templates_only(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    fields = {"a": {"type": "str", "pattern": "[a-z]+"}, "frame": {"type": "frame"}}
    paths = {f"t{n}": f"d/{{a}}_{n:03d}x.{{frame}}" for n in range(500)}
    made = spec({**paths, "other": "e/{a}", "near": "e/{a}.{frame}"}, fields)
    monkeypatch.setattr(mismatch, "TEMPLATES_MAX", 5)
    assert made.explain("d/aa_321x.10").misses[0].template == "t321"
    assert made.explain("e/aa.101").misses[0].template == "near"
    assert len(made.explain("d/aa_321x.10").misses) == 5
