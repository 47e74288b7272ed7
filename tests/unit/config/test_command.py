"""`shotfs config`: what is printed, where, and how it ends."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from shotfs.cli.config import app
from shotfs.config.reference import reference, schema


def shotfs_config(*arguments: str, **environ: str) -> Result:
    return CliRunner().invoke(app, list(arguments), env={"SHOTFS_CONFIG": None, **environ})


def write(path: Path, text: str) -> str:
    path.write_text(text)
    path.chmod(0o644)
    return str(path)


def test_init_writes_a_file_that_passes_check(tmp_path: Path) -> None:
    path = str(tmp_path / "shotfs.toml")
    made = shotfs_config("init", "--output", path)
    assert made.exit_code == 0
    assert path in made.stdout
    assert os.stat(path).st_mode & 0o777 == 0o644
    checked = shotfs_config("check", path)
    assert checked.exit_code == 0
    assert checked.stdout == f"{path}: in order (shows: 1, origins: 1)\n"
    assert "there is no file" in checked.stderr


def test_init_prints_the_same_file_without_output(tmp_path: Path) -> None:
    path = tmp_path / "shotfs.toml"
    shotfs_config("init", "--output", str(path))
    assert shotfs_config("init").stdout == path.read_text()


def test_init_leaves_an_existing_file_alone_unless_forced(tmp_path: Path) -> None:
    path = write(tmp_path / "shotfs.toml", "# mine\n")
    refused = shotfs_config("init", "--output", path)
    assert refused.exit_code == 1
    assert "--force" in refused.stderr
    assert Path(path).read_text() == "# mine\n"
    assert shotfs_config("init", "--output", path, "--force").exit_code == 0
    assert Path(path).read_text() != "# mine\n"
    assert os.listdir(tmp_path) == ["shotfs.toml"]


def test_init_into_a_directory_that_is_not_there_says_so(tmp_path: Path) -> None:
    result = shotfs_config("init", "--output", str(tmp_path / "absent" / "x.toml"))
    assert result.exit_code == 1
    assert "No such file or directory" in result.stderr
    assert "fix:" in result.stderr


def test_init_over_a_directory_is_an_error_not_a_traceback(tmp_path: Path) -> None:
    result = shotfs_config("init", "--output", str(tmp_path), "--force")
    assert result.exit_code == 1
    assert result.stderr.startswith("shotfs: ")


def test_check_names_every_mistake_with_line_column_and_fix(tmp_path: Path) -> None:
    path = write(tmp_path / "x.toml", "[cache]\nbyte_max = 1\n  files_max = 0\n")
    result = shotfs_config("check", path)
    assert result.exit_code == 1
    assert result.stdout == (
        f"{path}:2:1: cache.byte_max: there is no such setting\n"
        "  fix: did you mean cache.bytes_max?\n"
        f"{path}:3:3: cache.files_max: is too small\n"
        "  fix: use 1 or more\n"
        "2 mistakes\n"
    )


def test_check_as_json_has_the_same_mistakes(tmp_path: Path) -> None:
    path = write(tmp_path / "x.toml", "[cache]\nfiles_max = 0\n")
    result = shotfs_config("check", "--json", path)
    assert result.exit_code == 1
    assert json.loads(result.stdout) == {
        "path": path,
        "ok": False,
        "problems": [
            {
                "where": "cache.files_max",
                "message": "is too small",
                "fix": "use 1 or more",
                "line": 2,
                "column": 1,
            }
        ],
        "warnings": [],
    }


def test_check_as_json_of_a_file_in_order_carries_its_warnings(tmp_path: Path) -> None:
    path = write(tmp_path / "x.toml", "[shows.a]\nspec = 'absent.json'\n")
    result = shotfs_config("check", "--json", "--config", path)
    assert result.exit_code == 0
    assert result.stderr == ""
    document = json.loads(result.stdout)
    assert document["ok"] is True
    assert [warning["line"] for warning in document["warnings"]] == [2]


def test_check_looks_at_the_environment_too(tmp_path: Path) -> None:
    path = write(tmp_path / "x.toml", "")
    result = shotfs_config("check", path, SHOTFS_CACHE__FILES_MAX="many")
    assert result.exit_code == 1
    assert "SHOTFS_CACHE__FILES_MAX" in result.stdout


def test_check_takes_the_file_once(tmp_path: Path) -> None:
    assert shotfs_config("check", "a.toml", "--config", "b.toml").exit_code == 2


def test_check_of_a_missing_file_is_an_invalid_configuration(tmp_path: Path) -> None:
    assert shotfs_config("check", str(tmp_path / "absent.toml")).exit_code == 3


def test_a_file_name_with_brackets_and_escapes_is_printed_as_it_is(tmp_path: Path) -> None:
    path = write(tmp_path / "a[bold]\x1b[31m.toml", "x = 1\n")
    result = shotfs_config("check", path)
    assert "a[bold]\\x1b[31m.toml:1:1: x: " in result.stdout


def test_show_tells_where_each_value_came_from(tmp_path: Path) -> None:
    path = write(tmp_path / "x.toml", "[cache]\nbytes_max = '1 TB'\n")
    result = shotfs_config("show", "--config", path, SHOTFS_LOG__LEVEL="debug")
    assert result.exit_code == 0
    rows = {line.split()[0]: line.split(maxsplit=1)[1] for line in result.stdout.splitlines()}
    assert rows["cache.bytes_max"].split() == ['"1', 'TB"', f"{path}:2"]
    assert rows["log.level"].split() == ['"debug"', "env", "SHOTFS_LOG__LEVEL"]
    assert rows["spool.directory"].split() == ["-", "default"]


def test_show_as_json_is_plain_data(tmp_path: Path) -> None:
    path = write(tmp_path / "x.toml", "[cache]\nbytes_max = '1 TB'\n")
    document = json.loads(shotfs_config("show", "--json", "-c", path).stdout)
    assert document["path"] == path
    assert document["settings"]["cache.bytes_max"] == {"value": 10**12, "source": f"{path}:2"}


def test_show_of_an_invalid_file_ends_with_the_code_for_that(tmp_path: Path) -> None:
    result = shotfs_config("show", "-c", write(tmp_path / "x.toml", "x = 1\n"))
    assert result.exit_code == 3
    assert result.stdout == ""
    assert "no such setting" in result.stderr


def test_schema_and_reference_print_what_docs_carry(tmp_path: Path) -> None:
    assert json.loads(shotfs_config("schema").stdout) == schema()
    assert shotfs_config("reference").stdout == reference()
    path = tmp_path / "schema.json"
    assert shotfs_config("schema", "--output", str(path)).exit_code == 0
    assert json.loads(path.read_text()) == schema()


@pytest.mark.parametrize("command", ["init", "check", "show", "schema", "reference"])
def test_every_command_has_help(command: str) -> None:
    assert shotfs_config(command, "--help").exit_code == 0
