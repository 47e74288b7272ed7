"""Nuke scripts: the real syntax, with what production scripts have in it."""

from __future__ import annotations

from pathlib import Path

import pytest

from shotfs.errors import ScanFailed
from shotfs.prewarm.scanners import registry
from shotfs.prewarm.scanners.base import Kind, Scope
from tests.unit.prewarm.scanners.scanned import SCENES, edges, inputs, of_text, one, outputs

COMP = SCENES / "text" / "comp.nk"


def test_every_input_of_a_script_is_found_and_nothing_else() -> None:
    found = edges("nuke", COMP)
    assert inputs(found) == {
        "/shows/dog/config/ocio/config.ocio": 1.0,
        "/shows/dog/030/plates/bg/v001/030_bg_v001.%04d.exr": 1.0,
        "/shows/dog/030/plates/bg/v001/proxy/030_bg_v001.%04d.jpg": 0.2,
        "/shows/dog/030/plates/fg {wide}/v002/%V/030_fg_v002.####.exr": 1.0,
        "../ref/still life.png": 1.0,
        "${SHOW_ROOT}/lib/noise.%02d.tif": 1.0,
        "luts/show.cube": 1.0,
        "/shows/dog/lib/despill/clean.exr": 0.1,
        "/shows/dog/030/comp/live/grade_v004.nk": 1.0,
        "/shows/dog/030/comp/precomp/sky_v001.nk": 1.0,
        "/shows/dog/030/cam/030_cam_v001.abc": 1.0,
        "/shows/dog/030/cam/old.abc": 0.1,
        "/shows/dog/030/plates/mp/v003/030_mp_v003.exr": 0.5,
        "$SHOW_LUTS/grade/030.cc": 1.0,
        "/shows/dog/030/precomp/v001/030_precomp_v001.%04d.exr": 1.0,
    }
    assert outputs(found) == {"/shows/dog/030/comp/v003/030_comp_v003.%04d.exr"}


def test_each_edge_says_its_line() -> None:
    lines = COMP.read_text().splitlines()
    for edge in edges("nuke", COMP):
        assert edge.line is not None
        last = edge.target.rsplit("/", 1)[-1][-8:]
        assert last in lines[edge.line - 1], edge


def test_expressions_that_cannot_be_followed_are_told_as_unresolved() -> None:
    unresolved = {edge.line: edge.unresolved for edge in edges("nuke", COMP) if edge.unresolved}
    assert unresolved == {
        74: "an expression of Nuke",
        80: "an expression of Tcl: [split ./comp.nk _]",
    }


def test_scripts_and_colour_configurations_are_followed() -> None:
    found = edges("nuke", COMP)
    scenes = {edge.target for edge in found if edge.kind is Kind.SCENE}
    assert scenes == {
        "/shows/dog/config/ocio/config.ocio",
        "/shows/dog/030/comp/live/grade_v004.nk",
        "/shows/dog/030/comp/precomp/sky_v001.nk",
    }


def test_views_of_the_root_are_those_of_a_path_with_views() -> None:
    assert one(edges("nuke", COMP), "%V").views == ("left", "right")


def test_a_shifted_read_names_the_files_of_the_frames_asked_for(tmp_path: Path) -> None:
    script = "Read {\n file a.%04d.exr\n first 1\n last 86\n frame_mode offset\n frame 1000\n}\n"
    (edge,) = of_text("nuke", tmp_path, script, Scope(frames="1001-1010"))
    assert (edge.frames, edge.file_frames) == ("1001-1010", "1-10")


@pytest.mark.parametrize(
    ("after", "expected"),
    [
        ("hold", [("8-10", "8-10"), ("11-13", "10")]),
        ("loop", [("8-10", "8-10"), ("11", "1"), ("12", "2"), ("13", "3")]),
        ("bounce", [("8-10", "8-10"), ("11", "9"), ("12", "8"), ("13", "7")]),
        ("black", [("8-10", "8-10")]),
    ],
)
def test_what_a_read_shows_after_its_end_is_named(
    tmp_path: Path, after: str, expected: list[tuple[str, str]]
) -> None:
    script = f"Read {{\n file a.%04d.exr\n first 1\n last 10\n after {after}\n}}\n"
    found = of_text("nuke", tmp_path, script, Scope(frames="8-13"))
    assert [(edge.frames, edge.file_frames) for edge in found] == expected


def test_where_time_is_changed_all_frames_count_half(tmp_path: Path) -> None:
    script = "Read {\n file a.%04d.exr\n first 1\n last 9\n}\nTimeOffset {\n time_offset 3\n}\n"
    found = of_text("nuke", tmp_path, script, Scope(frames="2"))
    assert [(edge.file_frames, edge.confidence) for edge in found] == [("2", 1.0), ("1-9", 0.5)]


def test_relative_files_start_at_the_project_directory(tmp_path: Path) -> None:
    script = "Root {\n project_directory /shows/dog/\n}\nRead {\n file plates/a.exr\n}\n"
    assert inputs(of_text("nuke", tmp_path, script)) == {"/shows/dog/plates/a.exr": 1.0}


def test_knobs_of_the_root_are_followed_in_paths(tmp_path: Path) -> None:
    script = (
        'Root {\n shot 030\n}\nRead {\n file "/shows/\\[value root.shot]/a.exr"\n}\n'
        'Read {\n file "\\[file dirname \\[file dirname /a/b/c.nk]]/x.exr"\n}\n'
    )
    assert inputs(of_text("nuke", tmp_path, script)) == {"/shows/030/a.exr": 1.0, "/a/x.exr": 1.0}


def test_a_script_that_ends_within_a_node_yields_what_it_said(tmp_path: Path) -> None:
    path = tmp_path / "cut.nk"
    path.write_text("Read {\n file /a.exr\n}\nRead {\n file /b.exr\n first 1")
    scanning = registry.usable("nuke").scan(str(path), Scope())
    seen = [next(scanning).target, next(scanning).target]
    with pytest.raises(ScanFailed, match=rf"{path}:6: the script ends within a node"):
        next(scanning)
    assert seen == ["/a.exr", "/b.exr"]


def test_a_knob_of_many_megabytes_is_passed_over(tmp_path: Path) -> None:
    big = "Roto {\n curves {" + "{a 1} " * 2_000_000 + "}\n}\nRead {\n file /a.exr\n}\n"
    assert inputs(of_text("nuke", tmp_path, big)) == {"/a.exr": 1.0}
