"""Paths outside all templates: impossible, or passed on with a policy of their own."""

from __future__ import annotations

import json
from typing import Any

import pytest

from shotfs.errors import Problem, SpecInvalid
from shotfs.pathspec import Flow, PathKind, load

from .documents import document, spec

NAME = {"name": {"type": "str", "pattern": "[a-z]+"}}


def mistakes(made: dict[str, Any]) -> list[Problem]:
    with pytest.raises(SpecInvalid) as caught:
        load(json.dumps(made, indent=1), source="test.json")
    return caught.value.problems


@pytest.mark.parametrize("more", [{}, {"unmatched": "deny"}])
def test_s09_path_outside_all_templates_is_impossible_where_not_passed(more: Any) -> None:
    made = spec({"t": "t/{name}"}, NAME, **more)
    assert made.resolve("u/x") is None
    assert made.directory("u") is None
    assert list(made.templates) == ["t"]


def test_passed_path_has_the_policy_of_the_defaults() -> None:
    made = spec({"t": "t/{name}"}, NAME, unmatched="pass", defaults={"ttl": 7})
    found = made.resolve("any/where/x.png")
    assert found is not None
    assert found.template.name == "unmatched"
    assert found.key == "any/where/x.png"
    assert found.template.policy.ttl_s == 7
    assert found.template.policy.flow is Flow.IN


def test_policy_of_what_passes_is_its_own() -> None:
    made = spec(
        {"t": "t/{name}"}, NAME, roots={"main": "gs://a", "rest": "gs://rest"},
        defaults={"origin": "main"},
        unmatched={"origin": "rest", "flow": "inout", "usage": "What nobody named"},
    )  # fmt: skip
    assert made.parse("x").template.policy.origin == "gs://rest"
    assert made.parse("x").template.usage == "What nobody named"
    assert made.parse("t/x").template.policy.origin == "gs://a"
    assert made.parse("x.tmp").scratch


def test_templates_come_before_what_passes() -> None:
    made = spec({"t": "t/{name}"}, NAME, unmatched="pass")
    assert made.parse("t/x").template.name == "t"
    assert made.parse("t/x.png").template.name == "unmatched"
    assert made.warnings == ()


def test_document_may_consist_of_what_passes() -> None:
    assert spec({}, unmatched="pass").parse("x").template.name == "unmatched"


def test_explanation_says_who_lets_a_path_pass_and_what_was_near() -> None:
    made = spec({"t": "t/{name}"}, NAME, unmatched={"ttl": 3})
    told = made.explain("t/X")
    assert told.kind is PathKind.FILE
    assert told.template is not None
    assert told.template.name == "unmatched"
    settings = {one.key: one.where for one in told.settings}
    assert settings["ttl"] == "/unmatched/ttl"
    assert [one.template for one in told.misses] == ["t"]
    assert '"name" wants' in told.misses[0].reason
    assert [one.template for one in made.explain("t/x").misses] == []


@pytest.mark.parametrize(
    ("value", "where", "message"),
    [
        ("allow", "/unmatched", 'cannot be "allow"'),
        (True, "/unmatched", 'must be "deny", "pass" or an object, not a boolean'),
        (None, "/unmatched", "not null"),
        ({"tll": 3}, "/unmatched/tll", 'unknown name "tll"'),
        ({"path": "x"}, "/unmatched/path", 'unknown name "path"'),
        ({"ttl": "x"}, "/unmatched/ttl", "must be a duration"),
        ({"origin": "mian"}, "/unmatched/origin", "is no root"),
        ({"immutable": "on-version-publish"}, "/unmatched", "no directory in its path names"),
    ],
)
def test_mistake_is_named_with_its_place(value: Any, where: str, message: str) -> None:
    (problem,) = mistakes(document({"t": "t/{name}"}, NAME, unmatched=value))
    assert problem.where == where
    assert message in problem.message
    assert problem.line is not None


def test_what_passes_needs_an_origin() -> None:
    made = document({"t": {"path": "t", "origin": "gs://a"}}, roots={}, unmatched="pass")
    (problem,) = mistakes(made)
    assert (problem.where, problem.message) == ("/unmatched", 'template "unmatched" has no origin')


def test_its_name_is_not_free() -> None:
    (problem,) = mistakes(document({"unmatched": "t"}))
    assert problem.where == "/templates/unmatched"
    (problem,) = mistakes(document({"t": "{unmatched}"}, {"unmatched": {"type": "str"}}))
    assert problem.where == "/fields/unmatched"
