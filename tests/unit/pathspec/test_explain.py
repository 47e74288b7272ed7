"""What people are told about a path, in the library and on the command line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from shotfs.cli.spec import app
from shotfs.pathspec import PathKind

from .documents import DNA, FRAME, dna, spec


def reason(path: str, template: str) -> str:
    return next(one.reason for one in dna().explain(path).misses if one.template == template)


def test_every_setting_says_who_set_it_and_where() -> None:
    explanation = dna().explain(FRAME)
    assert explanation.kind is PathKind.FILE
    lines = DNA.read_text().splitlines()
    told = {one.key: one for one in explanation.settings}
    assert told["owner"].where == "/templates/frames/owner"
    assert told["ttl"].where == "/defaults/ttl"
    assert (told["mode"].value, told["mode"].where, told["mode"].line) == ("0644", "built in", None)
    for one in explanation.settings:
        if one.line is not None:
            assert f'"{one.key}"' in lines[one.line - 1]
    for field in explanation.fields:
        place = lines[field.line - 1]
        assert f'"{field.name}"' in place or '"type"' in place
    assert explanation.template_line is not None
    assert '"frames"' in lines[explanation.template_line - 1]


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("render/xy_1_1OO_030_00_v005/beauty/x", ["element 2", '"scene" wants', "'1OO_030"]),
        (
            "render/xy_0_100_030_00_v005/beauty/x",
            ['"act" wants a number from 1 to 9', "found '0_100"],
        ),
        (FRAME.replace("_v005.1001", "_v006.1001"), ["element 4", "'v005' in an earlier element"]),
        ("render/xy_1_100_030_00_v005", ["the path ends before element 3"]),
        (FRAME + "/x", ["the template ends at element 4"]),
        ("rendre/x", ["element 1 'rendre' does not match render"]),
    ],
)
def test_wrong_path_is_told_which_element_failed_and_why(path: str, words: list[str]) -> None:
    told = reason(path, "frames")
    assert [word for word in words if word not in told] == []
    assert dna().explain(path).misses[0].template == "frames"


def test_kinds_of_paths() -> None:
    made = dna()
    assert made.explain(FRAME + ".tmp").kind is PathKind.SCRATCH
    assert made.explain("render").kind is PathKind.DIRECTORY
    assert made.explain("nope").kind is PathKind.NONE
    assert made.explain("a//b").kind is PathKind.NONE
    assert made.explain("").kind is PathKind.DIRECTORY


def test_only_root_is_named_as_the_source_of_the_origin() -> None:
    (origin, *_) = spec({"t": "x"}).explain("x").settings
    assert (origin.value, origin.where) == ("gs://bucket/ant", "/roots (the only one)")


# --- command line --------------------------------------------------------------------------------


def run(*arguments: str, code: int = 0) -> str:
    result = CliRunner().invoke(app, list(arguments))
    assert result.exit_code == code, result.output
    return result.stdout


def test_check_is_quiet_about_what_is_in_order() -> None:
    assert "in order. Show ant, 5 templates" in run("check", str(DNA))
    assert json.loads(run("check", str(DNA), "--json"))["valid"] is True


def test_check_tells_all_mistakes_with_lines_and_ends_with_3(tmp_path: Path) -> None:
    file = tmp_path / "bad.json"
    file.write_text('{"spec": "shotfs-path/1",\n"shwo": "x",\n"templates": {"t": {}}}')
    told = run("check", str(file), code=3)
    assert f"{file}:2:1: /shwo: unknown name" in told
    assert 'fix: write "show"' in told
    data = json.loads(run("check", str(file), "--json", code=3))
    assert data["valid"] is False
    assert [one["line"] for one in data["mistakes"]] == sorted(
        one["line"] for one in data["mistakes"]
    )


def test_explain_takes_paths_with_mount_point_and_show() -> None:
    for path in (FRAME, f"ant/{FRAME}", f"/shows/ant/{FRAME}"):
        assert "template frames" in run("explain", path, "--spec", str(DNA))
    data = json.loads(run("explain", FRAME, "--spec", str(DNA), "--json"))
    assert data["kind"] == "file"
    assert data["template"]["policy"]["flow"] == "out"


def test_explain_of_an_impossible_path_ends_with_1_and_says_why() -> None:
    told = run("explain", "render/xy_1_1OO", "--spec", str(DNA), code=1)
    assert "impossible" in told
    assert '"scene" wants 3 digits or more' in told


def test_format_and_parse_are_inverse() -> None:
    values = ["shot=xy_1_100_030_00", "version=5", "layer=beauty", "frame=1001"]
    path = run("format", "frames", *values, "--spec", str(DNA)).strip()
    assert path == FRAME
    data = json.loads(run("parse", path, "--spec", str(DNA), "--json"))
    assert data["template"] == "frames"
    assert data["fields"]["cut"] == "030"
    run("parse", "nope", "--spec", str(DNA), code=1)
    run("format", "frames", "oops", "--spec", str(DNA), code=2)


def test_specification_is_found_through_the_configuration(tmp_path: Path) -> None:
    (tmp_path / "dna.json").write_text(DNA.read_text())
    config = tmp_path / "shotfs.toml"
    config.write_text('[shows.ant]\nspec = "dna.json"\n')
    assert "template frames" in run("explain", f"ant/{FRAME}", "--config", str(config))
