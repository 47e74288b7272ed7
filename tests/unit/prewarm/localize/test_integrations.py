"""`shotfs integrations`: what is listed is there, and what is copied can be run."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from typer.testing import CliRunner

from shotfs.cli.integration_files import HERE, INTEGRATIONS
from shotfs.cli.main import app


def shotfs(*arguments: str) -> tuple[int, str]:
    result = CliRunner().invoke(app, list(arguments), env={"COLUMNS": "200"})
    return result.exit_code, result.output


def test_every_file_belongs_to_an_integration() -> None:
    named = {file for one in INTEGRATIONS.values() for file in one.files}
    there = {
        os.path.relpath(os.path.join(above, name), HERE)
        for above, _, names in os.walk(HERE)
        for name in names
        if "__pycache__" not in above and name != "__init__.py"
    }
    assert there == named


def test_what_is_listed_can_be_shown() -> None:
    code, said = shotfs("integrations", "list", "--json")
    assert code == 0
    for one in json.loads(said)["integrations"]:
        for file in one["files"]:
            code, text = shotfs("integrations", "show", one["name"], "--file", file)
            assert (code, text) == (0, Path(HERE, file).read_text())
    assert shotfs("integrations", "show", "nothing")[0] == 1
    assert "one of: nuke/shotfs_nuke.py" in shotfs("integrations", "show", "nuke", "--file", "x")[1]


@pytest.mark.parametrize("name", INTEGRATIONS)
def test_what_is_installed_can_be_run_and_replaces_nothing_by_itself(
    name: str, tmp_path: Path
) -> None:
    code, said = shotfs("integrations", "install", name, "--into", str(tmp_path))
    assert code == 0
    for line in said.splitlines():
        file = Path(line)
        script = file.read_bytes().startswith(b"#!")
        assert file.stat().st_mode & 0o777 == (0o755 if script else 0o644)
    changed = Path(said.splitlines()[0])
    changed.write_text("mine")
    code, refused = shotfs("integrations", "install", name, "--into", str(tmp_path))
    assert (code, changed.read_text()) == (1, "mine")
    assert "--replace" in refused
    assert shotfs("integrations", "install", name, "--into", str(tmp_path), "--replace")[0] == 0
    assert changed.read_text() != "mine"
