"""The published schema is that of the code, and says what `load` says."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema

from shotfs.pathspec import json_schema

from .documents import DNA, document
from .test_mistakes import CASES

DOCS = Path(__file__).parents[3] / "docs"


def valid_by_schema(made: Any) -> bool:
    return bool(jsonschema.Draft202012Validator(json_schema()).is_valid(made))


def test_published_schema_is_that_of_the_code() -> None:
    jsonschema.Draft202012Validator.check_schema(json_schema())
    assert json.loads((DOCS / "schema/path-spec.schema.json").read_text()) == json.loads(
        json.dumps(json_schema())
    )


def test_schema_accepts_what_load_accepts() -> None:
    assert valid_by_schema(json.loads(DNA.read_text()))
    assert valid_by_schema(document({"t": "x"}, defaults={"ttl": "10m", "uid": None}))


def test_schema_refuses_every_unknown_name_that_load_refuses() -> None:
    unknown = [made for made, _, message in CASES if "unknown name" in message]
    assert len(unknown) == 4
    assert [made for made in unknown if valid_by_schema(made)] == []
