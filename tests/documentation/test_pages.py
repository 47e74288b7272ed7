"""What the documentation shows works as it is shown."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from shotfs.pathspec import json_schema, load
from shotfs.pathspec.fields import TYPE_KEYS
from shotfs.pathspec.policy import KEYS

from .pages import DOCS, Command, Document, compare, merged, run, steps

PAGES = {
    "path-spec.md": 40,
    "versions.md": 0,
    "vendors.md": 12,
    "coming-from.md": 5,
    "manifests.md": 24,
    "../README.md": 1,
}
"""Pages, and how many commands without a mount they show at least."""

BASE: dict[str, Any] = {
    "spec": "shotfs-path/1",
    "show": "ant",
    "roots": {"main": "gs://ant-main/ant"},
    "defaults": {"origin": "main"},
    "fields": {"anything": {"type": "str"}},
    "templates": {"unused": {"path": "unused/{anything}"}},
}
"""Parts are put into this document."""


def shown_on(name: str) -> list[Document | Command]:
    return list(steps((DOCS / name).read_text()))


@pytest.mark.parametrize("name", PAGES)
def test_page_does_what_it_says(name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    validator = jsonschema.Draft202012Validator(json_schema())
    commands = 0
    for step in shown_on(name):
        if isinstance(step, Document):
            if step.name:
                step.write(tmp_path)
            if step.name.endswith(".json") and step.name != "wrong.json":
                made = json.loads((tmp_path / step.name).read_text())
                assert "spec" not in made or list(validator.iter_errors(made)) == [], step.line
        elif not step.node:
            compare(step, *run(step))
            commands += 1
    assert commands >= PAGES[name]


@pytest.mark.parametrize("name", PAGES)
def test_parts_of_documents_on_the_page_load_and_obey_the_schema(name: str) -> None:
    validator = jsonschema.Draft202012Validator(json_schema())
    wrong = []
    for one in shown_on(name):
        if not isinstance(one, Document) or one.name:
            continue
        whole = merged(BASE, json.loads(one.text))
        wrong += [f"line {one.line}: {each.message}" for each in validator.iter_errors(whole)]
        specification = load(json.dumps(whole), source=f"{name}:{one.line}")
        wrong += [f"line {one.line}: {each}" for each in specification.warnings]
    assert wrong == []


def test_tutorial_arrives_at_the_finished_example(tmp_path: Path) -> None:
    tutorial = (DOCS / "path-spec.md").read_text().partition("\n## Reference")[0]
    finished_as = {"ant.json": "dna.json", "studio-fields.json": "studio-fields.json"}
    for step in steps(tutorial):
        if isinstance(step, Document) and step.name in finished_as:
            step.write(tmp_path)
    for made, name in finished_as.items():
        finished = json.loads((DOCS / "examples" / name).read_text())
        assert _meaning(json.loads((tmp_path / made).read_text())) == _meaning(finished)


def _meaning(document: Any) -> Any:
    """Return *document* without its words."""
    if isinstance(document, dict):
        words = ("usage", "$schema")
        return {key: _meaning(value) for key, value in document.items() if key not in words}
    return document


def test_guide_names_every_field_type_and_every_key() -> None:
    guide = (DOCS / "path-spec.md").read_text()
    names = {*TYPE_KEYS, *KEYS, *(key for keys in TYPE_KEYS.values() for key in keys)}
    assert len(names) > 30
    assert [name for name in sorted(names) if f"`{name}`" not in guide] == []
