"""`shotfs spec` with paths: format, parse, sequence; values, tokens, files on a disk."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from .spec_world import STEREO, data, make, shotfs_spec, told, write_spec

LEFT, RIGHT = "render/ab010_v001/left", "render/ab010_v001/right"
UUID = "6f1c2a34-9d5e-4b7a-8c3d-2e1f0a9b8c7d"


@pytest.fixture
def spec(tmp_path: Path) -> Path:
    return write_spec(tmp_path)


@pytest.fixture
def show(tmp_path: Path) -> Path:
    """A show's directory, as a mount has it."""
    root = tmp_path / "shows/ant"
    root.mkdir(parents=True)
    return root


@pytest.mark.parametrize(
    ("template", "values", "path"),
    [
        ("frames", "shot=ab010 version=3 layer=beauty frame=7",
         "render/ab010_v003/beauty.0007.exr"),
        ("frames", "shot=ab010 version=v003 view=left layer=beauty frame=1001",
         "render/ab010_v003/left/beauty.1001.exr"),
        ("texture", "asset=dragon version=12 udim=1011", "tex/dragon/v012/dragon.1011.tif"),
        ("texture", "asset=dragon version=12 udim=0,1", "tex/dragon/v012/dragon.1011.tif"),
        ("review", f"day=2026-11-21 id={UUID.upper()}", f"review/20261121/{UUID}.mov"),
    ],
)  # fmt: skip
def test_format_takes_values_and_optional_parts(
    spec: Path, template: str, values: str, path: str
) -> None:
    assert told("format", template, *values.split(), "-s", spec).strip() == path
    assert data("parse", path, "-s", spec)["template"] == template


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ("shot=ab010 version=3 layer=beauty", 'needs the field "frame"'),
        ("shot=ab010 version=3 layer=beauti frame=1", "beauti"),
        ("shot=ab010 version=3 layer=beauty frame=x", "frame"),
        ("shot=ab010 version=3 layer=beauty frame=1 sht=1", '"sht"'),
    ],
)
def test_format_says_which_value_is_wrong(spec: Path, values: str, words: str) -> None:
    done = shotfs_spec("format", "frames", *values.split(), "-s", spec)
    assert done.exit_code == 1
    assert words in done.stderr
    assert "fix:" in done.stderr


@pytest.mark.parametrize(
    ("style", "frames", "texture"),
    [
        ("nuke", "beauty.%04d.exr", "dragon.<UDIM>.tif"),
        ("houdini", "beauty.$F4.exr", "dragon.<UDIM>.tif"),
        ("arnold", "beauty.####.exr", "dragon.<UDIM>.tif"),
        ("printf", "beauty.%04d.exr", "dragon.%(UDIM)d.tif"),
    ],
)
def test_format_writes_the_tokens_of_applications(
    spec: Path, style: str, frames: str, texture: str
) -> None:
    values = ["shot=ab010", "version=3", "layer=beauty"]
    made = told("format", "frames", *values, "-s", spec, "--tokens", style).strip()
    assert made == f"render/ab010_v003/{frames}"
    made = told("format", "texture", "asset=dragon", "version=1", "-s", spec, "--tokens", style)
    assert made.strip() == f"tex/dragon/v001/{texture}"


def test_token_as_a_value_opens_an_optional_part(spec: Path) -> None:
    values = ["shot=ab010", "version=3", "layer=beauty", "view=%V"]
    made = told("format", "frames", *values, "-s", spec, "--tokens", "nuke").strip()
    assert made == "render/ab010_v003/%V/beauty.%04d.exr"
    parsed = data("parse", made, "-s", spec)
    assert parsed["open"] == ["view", "frame"]
    assert parsed["fields"] == {"shot": "ab010", "version": "v003", "layer": "beauty"}
    assert shotfs_spec("format", "frames", *values, "-s", spec, "--tokens", "nuk").exit_code == 1


def test_parse_gives_texts_and_values(spec: Path) -> None:
    parsed = data("parse", f"review/20261121/{UUID}.mov", "-s", spec)
    assert parsed["fields"]["day"] == "20261121"
    assert parsed["values"]["day"].startswith("2026-11-21")
    text = told("parse", "tex/a/v012/a.1011.tif", "-s", spec)
    assert "v012" in text
    assert "12" in text.split("v012")[1]
    assert (
        "nearest is template 'texture'"
        in shotfs_spec("parse", "tex/a/12/a.1011.tif", "-s", spec).stderr
    )


def test_sequence_that_is_complete(spec: Path, show: Path) -> None:
    make(show, *(f"render/ab010_v001/beauty.{n}.exr" for n in range(1001, 1011)))
    make(show, "render/ab010_v001/shadow.1020.exr", "render/ab020_v001/beauty.1050.exr")
    answer = data("sequence", show / "render/ab010_v001/beauty.####.exr", "-s", spec)
    assert (answer["complete"], answer["count"], answer["size_bytes"]) == (True, 10, 10)
    assert answer["runs"][0]["frames"] == "1001-1010"
    assert "complete. 10 files" in told(
        "sequence", "render/ab010_v001/beauty.1005.exr", "-s", spec, "--root", show
    )


def test_sequence_tells_missing_frames_for_each_view(spec: Path, show: Path) -> None:
    make(show, *(f"{LEFT}/beauty.{n}.exr" for n in (1001, 1002, 1003, 1004)))
    make(show, *(f"{RIGHT}/beauty.{n}.exr" for n in (1001, 1004)))
    answer = data("sequence", "render/ab010_v001/%V/beauty.####.exr", "-s", spec, "--root", show,
                  code=1)  # fmt: skip
    runs = {one["view"]: one for one in answer["runs"]}
    assert runs["left"]["missing"] == ""
    assert (runs["right"]["missing"], runs["right"]["missing_count"]) == ("1002-1003", 2)
    (show / LEFT / "beauty.1002.exr").write_bytes(b"")
    text = told("sequence", show / LEFT / "beauty.1001.exr", "-s", spec, code=1)
    assert "empty" in text


def test_sequence_tells_missing_views_and_tiles(spec: Path, show: Path) -> None:
    make(show, f"{LEFT}/beauty.1001.exr")
    answer = data("sequence", "render/ab010_v001/%V/beauty.####.exr", "-s", spec, "--root", show,
                  code=1)  # fmt: skip
    assert answer["missing_views"] == ["right"]
    make(show, *(f"tex/a/v001/a.{n}.tif" for n in (1001, 1003, 1012)))
    answer = data("sequence", show / "tex/a/v001/a.<UDIM>.tif", "-s", spec)
    assert (answer["missing_tiles"], answer["tiles_left_out"]) == ([], ["1002"])


def test_expected_frames_and_steps(spec: Path, show: Path) -> None:
    path = show / "render/ab010_v001/beauty.####.exr"
    make(show, *(f"render/ab010_v001/beauty.{n}.exr" for n in range(1001, 1010, 2)))
    assert data("sequence", path, "-s", spec)["complete"] is True
    answer = data("sequence", path, "-s", spec, "--expect", "1001-1009,1012", code=1)
    assert answer["runs"][0]["missing_count"] == 5
    data("sequence", path, "-s", spec, "--expect", "1001-1009x2")
    for wrong in ("9-1", "x", "1-99999999", ""):
        assert shotfs_spec("sequence", path, "-s", spec, "--expect", wrong).exit_code == 2


def test_sequence_without_files_or_without_a_sequence(spec: Path, show: Path) -> None:
    told("sequence", "render/ab010_v001/beauty.####.exr", "-s", spec, "--root", show, code=1)
    done = shotfs_spec("sequence", "render", "-s", spec, "--root", show)
    assert done.exit_code == 1
    assert "is no sequence" in done.stderr
    done = shotfs_spec("sequence", "render/ab010_v001/beauty.######.exr", "-s", spec)
    assert done.exit_code == 1
    assert "pads to 6 digits" in done.stderr


def test_relative_path_is_below_the_working_directory(
    spec: Path, show: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make(show, f"{LEFT}/beauty.1001.exr")
    monkeypatch.chdir(show)
    assert data("sequence", f"{LEFT}/beauty.####.exr", "-s", spec)["count"] == 1
    monkeypatch.chdir(show.parent)
    assert data("sequence", f"ant/{LEFT}/beauty.####.exr", "-s", spec)["count"] == 1


def test_sub_frames_are_told_in_their_steps(tmp_path: Path, show: Path) -> None:
    made = json.loads(json.dumps(STEREO))
    del made["include"]
    made["fields"] = {"frame": {"type": "frame", "subframes": 2}}
    made["templates"] = {"cache": {"path": "cache/sim.{frame}.vdb"}}
    spec = tmp_path / "sub.json"
    spec.write_text(json.dumps(made))
    make(show, *(f"cache/sim.{n}.vdb" for n in ("1001", "1001.5", "1002.5")))
    answer = data("sequence", show / "cache/sim.1001.vdb", "-s", spec, code=1)
    assert answer["runs"][0]["missing"] == "1002"


def test_what_unmatched_lets_pass_is_no_sequence_and_hides_none(tmp_path: Path) -> None:
    fields = {
        "shot": {"type": "str", "pattern": "[a-z]{2}[0-9]{3}"},
        "frame": {"type": "frame"},
        "long": {"type": "frame", "pad": 6},
    }
    templates = {"a": {"path": "a/{shot}.{frame}.exr"}, "b": {"path": "b/{shot}.{long}.exr"}}
    document = {"spec": "shotfs-path/1", "show": "ant", "roots": {"main": "gs://ant"}}
    document |= {"unmatched": "pass", "fields": fields, "templates": templates}
    spec = tmp_path / "ant.json"
    spec.write_text(json.dumps(document))
    for path in ("a/ab010.####.exr", "b/ab010.######.exr"):
        assert data("explain", path, "-s", spec)["kind"] == "sequence"
        assert data("parse", path, "-s", spec)["template"] == path[0]
    for path in ("old/ab010.####.exr", "old/ab010.1001.exr"):
        assert "outside every template" in told("explain", path, "-s", spec)
        assert data("parse", path, "-s", spec)["template"] == "unmatched"
        done = shotfs_spec("sequence", path, "-s", spec)
        assert done.exit_code == 1
        assert "is no sequence" in done.stderr
    near = told("explain", "a/ab010.101.exr", "-s", spec)
    assert "perhaps a/ab010.0101.exr" in near
    assert "{unmatched}" not in near


def test_place_of_a_field_stays_whole_on_a_narrow_terminal(
    spec: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    text = told("explain", "render/ab010_v001/left/beauty.1001.exr", "-s", spec)
    assert re.search(r" shared/fields\.json:\d+ *$", text, re.MULTILINE)
