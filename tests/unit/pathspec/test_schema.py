"""The schema and the loader agree on the form of documents."""

from __future__ import annotations

import copy
import json
from typing import Any

import jsonschema
import pytest
from hypothesis import given, settings

from shotfs.errors import Problem, SpecInvalid
from shotfs.pathspec import json_schema, load

from .full_form import FULL, POLICY, damaged, places

VALIDATOR = jsonschema.Draft202012Validator(json_schema())
STUDIO = json.dumps({"spec": "shotfs-path/1", "fields": {"studio": {"type": "int"}}})
FORM = (
    "unknown name",
    "must be a string",
    "must be an object",
    "must be a list of strings",
    "must be true or false",
    "must be a whole number",
    "must be a number",
    "must be a URL or an object",
    'must be "deny"',
    "has no type",
    "has no path",
    "has no format",
    "does not say its form",
    "is not a form",
)
"""What is wrong with the form of a document, and not with what it says."""


def mistakes(made: Any) -> list[Problem]:
    try:
        load(json.dumps(made, indent=1), source="full.json", documents={"studio.json": STUDIO})
    except SpecInvalid as refused:
        return refused.problems
    return []


def test_full_form_is_in_order_for_both() -> None:
    assert mistakes(FULL) == []
    assert list(map(str, VALIDATOR.iter_errors(FULL))) == []


def test_full_form_has_every_policy_key() -> None:
    properties = json_schema()["$defs"]["template"]["properties"]
    assert sorted(properties) == sorted([*POLICY, "path", "usage", "abstract", "before"])


@pytest.mark.parametrize("place", range(len(places(FULL))))
def test_unknown_name_is_refused_by_both_wherever_it_stands(place: int) -> None:
    made = copy.deepcopy(FULL)
    container, key = places(made)[place]
    if not isinstance(container[key], dict):
        return
    known = mistakes(made)
    container[key]["no such name"] = None
    if mistakes(made) == known:
        # Names of choices are free; null as their usage is what is wrong.
        assert key == "choices"
        return
    assert not VALIDATOR.is_valid(made)


@settings(max_examples=300, deadline=None)
@given(damaged())
def test_damaged_document_is_refused_with_places_and_as_the_schema_does(made: Any) -> None:
    problems = mistakes(made)
    for problem in problems:
        assert problem.line is not None
        assert problem.column is not None
        assert problem.where.startswith("/")
    if not problems:
        assert list(map(str, VALIDATOR.iter_errors(made))) == []
    elif VALIDATOR.is_valid(made):
        assert [one for one in problems if any(form in one.message for form in FORM)] == []
