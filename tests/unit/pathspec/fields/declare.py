"""Fields for the tests, read as a document's fields are."""

from __future__ import annotations

import json
from typing import Any

from shotfs.errors import Problem
from shotfs.pathspec.fields import Field, read_field
from shotfs.pathspec.json_reader import read_json
from shotfs.pathspec.problems import Report
from shotfs.pathspec.section import Section


def read(text: str) -> tuple[Field | None, list[Problem]]:
    """The field "f" that the JSON object *text* declares, and the mistakes in it."""
    report = Report()
    base = report.open(text, "test.json")
    field = read_field("f", Section(report, "/fields/f", read_json(text, base)))
    return field, report.problems


def field(type: str, **keys: Any) -> Field:  # noqa: A002 - it is the key's name
    """The field "f" with these keys, which must be in order."""
    made, problems = read(json.dumps({"type": type, **keys}))
    assert problems == []
    assert made is not None
    return made


def mistakes(type: str, **keys: Any) -> list[Problem]:  # noqa: A002 - it is the key's name
    """The mistakes of a field with these keys."""
    _, problems = read(json.dumps({"type": type, **keys}))
    return problems
