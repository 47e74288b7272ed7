"""POV-Ray: names of files that macros, loops and strings make."""

from __future__ import annotations

from pathlib import Path

import pytest

from shotfs.errors import ScanFailed
from shotfs.prewarm.scanners.base import Kind, Scope
from tests.unit.prewarm.scanners.scanned import SCENES, edges, inputs, of_text, one, outputs

SHOT = SCENES / "text" / "shot.pov"


def test_every_input_of_a_scene_is_found_and_nothing_else() -> None:
    found = edges("povray", SHOT)
    assert inputs(found) == {
        "lib/materials.inc": 0.95,
        "full.inc": 0.95,
        "debug_grid.inc": 0.285,
        "wall_1.jpg": 0.95,
        "wall_2.jpg": 0.95,
        "wall_3.jpg": 0.95,
        "fonts/f010.ttf": 0.95,
        "fonts/f015.ttf": 0.95,
        "fonts/f020.ttf": 0.95,
        "/shows/dog/tex/floor_v003.png": 0.95,
        'bump"s.tif': 0.95,
        "props/chair.inc": 0.95,
        "hf/hill.png": 0.95,
        "plates/bg.%04d.png": 0.38,
        "smoke.df3": 0.95,
        "numbers.txt": 0.95,
        "caustics.ph": 0.95,
        "studio_map.exr": 0.38,
    }
    assert outputs(found) == {"points.inc"}


def test_what_the_clock_decides_is_unresolved() -> None:
    (edge,) = [edge for edge in edges("povray", SHOT) if edge.line == 49]
    assert edge.unresolved == "depends on clock"


def test_a_shifted_frame_number_names_the_files_of_the_frames_asked_for() -> None:
    found = edges("povray", SHOT, Scope(frames="1-3"))
    (edge,) = [edge for edge in found if edge.line == 48]
    assert (edge.frames, edge.file_frames) == ("1-3", "1001-1003")


def test_with_all_variants_branches_not_taken_count_half(tmp_path: Path) -> None:
    scene = '#if (0)\n#include "a.inc"\n#else\n#include "b.inc"\n#end\n'
    assert inputs(of_text("povray", tmp_path, scene)) == {"b.inc": 1.0}
    every = Scope(all_variants=True)
    assert inputs(of_text("povray", tmp_path, scene, every)) == {"a.inc": 0.5, "b.inc": 1.0}


def test_files_are_looked_for_where_the_first_scene_lies(tmp_path: Path) -> None:
    path = tmp_path / "a.inc"
    path.write_text('#include "b.inc"\n')
    (edge,) = edges("povray", path, Scope(search_paths=("/shows/dog", "/lib")))
    assert edge.search == ("/shows/dog", "/lib", "")


def test_settings_name_the_scene_its_frames_and_library_paths(tmp_path: Path) -> None:
    path = tmp_path / "shot.ini"
    path.write_text(
        "; a comment\nwidth=10\nInput_File_Name=shot.pov\nInitial_Frame=1001\nFinal_Frame=1010\n"
        'Library_Path="/lib/pov"\n+L/more\n[other]\n+HIheader.inc\nbase.ini\n+Oout/a.png\n'
    )
    found = edges("povray", path)
    assert one(found, "shot.pov").frames == "1001-1010"
    assert one(found, "shot.pov").search == ("", "/lib/pov", "/more")
    assert inputs(found) == {"shot.pov": 1.0, "header.inc": 1.0, "base.ini": 1.0}
    assert outputs(found) == {"out/a.png"}
    assert all(edge.kind is Kind.SCENE for edge in found if edge.kind is not Kind.OUTPUT)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ('/* /* */\n#include "a.inc"', "1: a comment is never closed"),
        ('#include "a.inc', "1: a string is never closed"),
        ("#if (1)\n sphere {}\n", "3: the file ends within an #if, a loop or a #macro"),
        ("#macro A()\n", "2: the file ends within an #if, a loop or a #macro"),
    ],
)
def test_a_damaged_scene_is_told_with_its_line(tmp_path: Path, text: str, why: str) -> None:
    with pytest.raises(ScanFailed, match=why):
        of_text("povray", tmp_path, text)


def test_a_loop_without_end_is_given_up(tmp_path: Path) -> None:
    scene = '#while (1)\n #include "a.inc"\n#end\n'
    assert set(inputs(of_text("povray", tmp_path, scene))) == {"a.inc"}


def test_macros_that_call_themselves_end(tmp_path: Path) -> None:
    scene = '#macro A() png "a.png" A() A() #end\nA()\n'
    with pytest.raises(ScanFailed, match="loops and macros have more than"):
        of_text("povray", tmp_path, scene)
