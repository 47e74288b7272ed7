"""References: one template's path as a part of another's."""

from __future__ import annotations

import json
from typing import Any

import pytest

from shotfs.errors import Problem, SpecInvalid
from shotfs.pathspec import load
from shotfs.pathspec.elements import text_of

from .documents import document, spec

FIELDS: dict[str, Any] = {
    "shot": {"type": "str", "pattern": "[a-z]+"},
    "version": {"type": "version"},
    "view": {"type": "view"},
}
ROOT = {"path": "render/{shot}_{version}", "abstract": True}


def mistakes(templates: dict[str, Any]) -> list[Problem]:
    with pytest.raises(SpecInvalid) as caught:
        load(json.dumps(document(templates, FIELDS), indent=1), source="test.json")
    return caught.value.problems


def written_out(templates: dict[str, Any], name: str) -> list[str]:
    pattern = spec(templates, FIELDS).patterns[name]
    return ["/".join(map(text_of, variant.elements)) for variant in pattern.variants]


def test_reference_stands_for_the_path_of_the_other_template() -> None:
    templates = {"root": ROOT, "frames": "{@root}/{shot}.png", "log": "{@root}.log"}
    assert written_out(templates, "frames") == ["render/{shot}_{version}/{shot}.png"]
    assert written_out(templates, "log") == ["render/{shot}_{version}.log"]


def test_referred_template_is_used_wherever_it_is_declared() -> None:
    templates = {"c": "{@b}/c", "b": {"path": "{@a}/b", "abstract": True}, "a": "a"}
    assert written_out(templates, "c") == ["a/b/c"]


def test_optional_parts_come_with_the_reference() -> None:
    templates = {"r": {"path": "r[/{view}]", "abstract": True}, "t": "{@r}/{shot}[_x]"}
    assert written_out(templates, "t") == [
        "r/{view}/{shot}_x", "r/{view}/{shot}", "r/{shot}_x", "r/{shot}",
    ]  # fmt: skip


def test_abstract_template_produces_no_path() -> None:
    made = spec({"root": ROOT, "frames": "{@root}/{shot}.png"}, FIELDS)
    assert list(made.templates) == ["frames"]
    assert made.resolve("render/ab_v001") is None
    assert made.directory("render/ab_v001") is not None
    assert made.templates["frames"].pattern == "{@root}/{shot}.png"


@pytest.mark.parametrize(
    ("templates", "where", "message"),
    [
        ({"a": "{@b}/x", "b": "{@a}"}, "/templates/b/path", "in a circle: a refers to b refers to"),
        ({"a": "x/{@a}"}, "/templates/a/path", "in a circle: a refers to a"),
        ({"a": "{@rott}/x", "root": ROOT}, "/templates/a/path", 'unknown template "rott"'),
        ({"a": "{@}/x"}, "/templates/a/path", "names no template (character 1)"),
        ({"a": "{@b}//x", "b": "y"}, "/templates/a/path", "empty element (character 6)"),
        ({"a": "{@b}/x", "b": "y/{shto}"}, "/templates/b/path", 'unknown field "shto"'),
        ({"a": "{@b}/x", "b": "{sh"}, "/templates/b/path", '"{" without "}"'),
        (
            {"a": "a[{@b}]", "b": {"path": "x[y]", "abstract": True}},
            "/templates/a/path",
            '"b" has optional parts and cannot be in one itself (character 3)',
        ),
        ({"root": ROOT}, "/", "all templates are abstract"),
        ({"t": "x", "r": ROOT | {"ttl": 3}}, "/templates/r/ttl", 'takes no "ttl"'),
        ({"t": "x", "r": ROOT | {"abstract": 1}}, "/templates/r/abstract", "true or false"),
        ({"t": "x", "r": {"abstract": True}}, "/templates/r", "has no path"),
        ({"t": "x", "r": {"path": "", "abstract": True}}, "/templates/r/path", "path is empty"),
        ({"t": "x", "r": {"path": "{no}", "abstract": True}}, "/templates/r/path", "unknown field"),
    ],
)
def test_mistake_is_told_once_where_it_is_written(
    templates: dict[str, Any], where: str, message: str
) -> None:
    (problem,) = mistakes(templates)
    assert problem.where == where
    assert message in problem.message
    assert problem.line is not None


def test_sixteen_levels_of_references_are_the_most() -> None:
    chain: dict[str, Any] = {f"t{i}": f"{{@t{i + 1}}}x" for i in range(16)}
    assert written_out({**chain, "t16": "a"}, "t0") == ["a" + "x" * 16]
    (problem,) = mistakes({**chain, "t16": "{@t17}x", "t17": "a"})
    assert problem.where == "/templates/t16/path"
    assert "more than 16 levels" in problem.message


@pytest.mark.timeout(10)
def test_references_that_multiply_are_refused_quickly() -> None:
    doubling: dict[str, Any] = {
        f"t{i}": {"path": f"{{@t{i + 1}}}{{@t{i + 1}}}", "abstract": True} for i in range(15)
    }
    problems = mistakes({"t": "{@t0}", **doubling, "t15": "a/{shot}"})
    assert any("too long" in one.message for one in problems)


def test_abstract_template_that_nobody_refers_to_is_warned_of() -> None:
    templates = {"root": ROOT, "idle": {"path": "x", "abstract": True}, "t": "{@root}/x"}
    assert [one.where for one in spec(templates, FIELDS).warnings if "abstract" in one.message] == [
        "/templates/idle"
    ]


def test_before_names_templates_that_produce_paths() -> None:
    two = {"t": {"path": "t/{shot}", "before": ["u"]}, "u": "u/{shot}"}
    assert spec(two, FIELDS).patterns["t"].before == {"u"}
    for names, message in (
        (["uu"], '"uu" is no template'),
        (["t"], "cannot be before itself"),
        (["r"], "is abstract"),
        (["unmatched"], "every template is before"),
        (["u", "u"], "stands here twice"),
        ("u", "list of strings"),
    ):
        templates = {**two, "r": ROOT, "t": {"path": "t/{shot}", "before": names}}
        (problem,) = mistakes(templates)
        assert message in problem.message
        assert problem.where.startswith("/templates/t/before")
