"""The schema, the examples and the commands of the documentation are those of the code."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from typer.testing import CliRunner

from shotfs.cli.spec import app
from shotfs.errors import SpecInvalid
from shotfs.pathspec import json_schema, load
from shotfs.pathspec.fields import TYPE_KEYS
from shotfs.pathspec.policy import KEYS

from .documents import DNA, document
from .test_mistakes import CASES

DOCS = Path(__file__).parents[3] / "docs"
GUIDE = (DOCS / "path-spec.md").read_text()
JSON_BLOCKS = re.findall(r"^```json\n(.*?)^```", GUIDE, re.MULTILINE | re.DOTALL)
# A block after a line that is only its name, like `studio.json`:, is there to be included.
NAMED_BLOCKS: dict[str, str] = dict(
    re.findall(r"^`([\w.-]+\.json)`:\n+```json\n(.*?)^```", GUIDE, re.MULTILINE | re.DOTALL)
)
COMMANDS = re.findall(r"^\$ shotfs spec (.*)\n((?:(?!\$|```).*\n)*)", GUIDE, re.MULTILINE)


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


@pytest.mark.parametrize("block", JSON_BLOCKS)
def test_example_of_the_guide_loads(block: str) -> None:
    shown = json.loads(block)
    assert isinstance(shown, dict)
    whole = "spec" in shown
    if whole and "show" not in shown:
        assert block in NAMED_BLOCKS.values(), "nothing can include it"
        assert valid_by_schema(shown)
        return
    made = shown if whole else {**document({"unused": "unused"}), **shown}
    try:
        found = load(json.dumps(made), source="path-spec.md", documents=NAMED_BLOCKS)
    except SpecInvalid as refused:
        pytest.fail(str(refused))
    if whole:
        assert found.warnings == ()
        assert valid_by_schema(made)


@pytest.mark.parametrize(("command", "output"), COMMANDS)
def test_command_of_the_guide_prints_what_the_guide_says(
    command: str, output: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    for name, text in NAMED_BLOCKS.items():
        (tmp_path / name).write_text(text)
    (tmp_path / "ant.json").write_text(next(one for one in JSON_BLOCKS if '"spec"' in one))
    result = CliRunner().invoke(app, shlex.split(command))
    said = [line.rstrip() for line in result.stdout.splitlines()]
    assert [line for line in output.splitlines() if line.rstrip() not in said] == []


def test_guide_names_every_field_type_and_every_key() -> None:
    assert len(COMMANDS) >= 4
    names = {*TYPE_KEYS, *KEYS, *(key for keys in TYPE_KEYS.values() for key in keys)}
    assert sorted(name for name in names if f"`{name}`" not in GUIDE) == []
