"""`shotfs spec import`: the document on one stream, the report on the other, and how it ends."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from shotfs.cli.spec import app

EXAMPLES = Path(__file__).parents[3] / "docs/examples"
CLEAN = "keys: {shot: {type: int, format_spec: '03'}}\npaths: {t: 'shots/{shot}.ma'}\n"


def run(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["import", *arguments])


def given(tmp_path: Path, text: str, name: str = "templates.yml") -> str:
    path = tmp_path / name
    path.write_text(text)
    return str(path)


def test_what_is_carried_over_whole_ends_with_0(tmp_path: Path) -> None:
    file = given(tmp_path, CLEAN)
    result = run("tk-core", file, "--show", "ant", "--root", "primary=gs://ant/ant")
    assert result.exit_code == 0
    document = json.loads(result.stdout)
    assert document["show"] == "ant"
    assert document["roots"] == {"primary": "gs://ant/ant"}
    assert document["templates"] == {"t": {"path": "shots/{shot}.ma"}}
    assert "templates.yml of tk-core converted. all as it was." in result.stderr


def test_loss_ends_with_1_and_is_told_with_its_line(tmp_path: Path) -> None:
    file = given(tmp_path, CLEAN + "strings: {s: 'x{shot}'}\n")
    made = tmp_path / "ant.json"
    result = run("tk-core", file, "--show", "ant", "-o", str(made))
    assert result.exit_code == 1
    assert result.stdout == ""
    assert CliRunner().invoke(app, ["check", str(made)]).exit_code == 0
    assert any(line.split()[:2] == ["3", "lost"] for line in result.stderr.splitlines())
    assert "https://primary.invalid/ant leads nowhere" in result.stderr


def test_finished_document_is_not_overwritten(tmp_path: Path) -> None:
    file, made = given(tmp_path, CLEAN), tmp_path / "ant.json"
    made.write_text("mine")
    refused = run("tk-core", file, "-o", str(made))
    assert refused.exit_code == 2
    assert "exists already" in refused.stderr
    assert made.read_text() == "mine"
    assert run("tk-core", file, "-o", str(made), "--force").exit_code == 0
    assert json.loads(made.read_text())["show"] == "show"


def test_json_has_document_and_report(tmp_path: Path) -> None:
    file = given(tmp_path, "a: 'd/{x}_{y}.ma'\n", "patterns.yml")
    result = run("lucidity", file, "--show", "ant", "--root", "main=gs://a/b", "--json")
    assert result.exit_code == 1
    data = json.loads(result.stdout)
    assert data["document"]["templates"]["a"] == {"path": "d/{x}_{y}.ma"}
    assert data["complete"] is False
    assert [one["severity"] for one in data["findings"]] == ["narrowed"]
    assert data["findings"][0]["line"] == 1
    assert data["mistakes"] == []


def test_included_documents_are_read_from_beside_the_file(tmp_path: Path) -> None:
    (tmp_path / "more").mkdir()
    given(tmp_path, "include: again.yml\nkeys: {shot: {type: int}}\n", "more/keys.yml")
    given(tmp_path, "paths: {u: 'u/{shot}.ma'}\n", "more/again.yml")
    file = given(tmp_path, "include: more/keys.yml\npaths: {t: 'd/{shot}.ma'}\n")
    result = run("tk-core", file, "--root", "primary=gs://a/b")
    assert result.exit_code == 0
    assert set(json.loads(result.stdout)["templates"]) == {"t", "u"}
    (tmp_path / "more/again.yml").unlink()
    lost = run("tk-core", file)
    assert lost.exit_code == 3
    assert "more/again.yml cannot be read" in lost.stderr


@pytest.mark.parametrize("system", ["tk-core", "lucidity", "ayon"])
def test_unreadable_source_ends_with_3(system: str, tmp_path: Path) -> None:
    result = run(system, given(tmp_path, '{"a": [', "x.json"))
    assert result.exit_code == 3
    assert "x.json:1" in result.stderr


def test_wrong_root_and_missing_file_are_named(tmp_path: Path) -> None:
    file = given(tmp_path, CLEAN)
    assert run("tk-core", file, "--root", "primary").exit_code == 2
    assert "primary" in run("tk-core", file, "--root", "primary").stderr
    mistyped = run("tk-core", file, "--root", "primry=gs://a/b")
    assert mistyped.exit_code == 1
    assert 'the source has no root "primry"' in mistyped.stderr
    assert "primry" not in mistyped.stdout
    assert run("tk-core", str(tmp_path / "gone.yml")).exit_code == 3
    assert run("tk-core", str(tmp_path)).exit_code == 3


def test_anatomy_is_imported(tmp_path: Path) -> None:
    file = str(EXAMPLES / "ayon-default-anatomy.json")
    result = run("ayon", file, "--show", "ant", "-o", str(tmp_path / "ant.json"))
    assert result.exit_code == 1
    assert "{hierarchy} is any number of folders" in result.stderr
    document = json.loads((tmp_path / "ant.json").read_text())
    assert document["roots"] == {"work": "file:///mnt/projects/ant"}
