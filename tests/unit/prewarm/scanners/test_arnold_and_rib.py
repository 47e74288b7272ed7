"""Arnold's scene sources and RIB: search paths, tokens, outputs."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from shotfs.errors import ScanFailed
from shotfs.prewarm.scanners import registry
from shotfs.prewarm.scanners.base import Kind, Scope
from tests.unit.prewarm.scanners.scanned import SCENES, edges, inputs, of_text, one, outputs

ASS = SCENES / "text" / "shot.ass"
RIB = SCENES / "text" / "shot.rib"


def test_every_input_of_an_arnold_scene_is_found_and_nothing_else() -> None:
    found = edges("arnold", ASS)
    assert inputs(found) == {
        "lights/key.ass": 1.0,
        "hero/tex/diff.<UDIM>.tx": 1.0,
        "hero/tex/mask_u<U>_v<V>.tx": 1.0,
        "plates/bg.%04d.exr": 1.0,
        "/shows/dog/assets/hero/bake/hero.ptc": 0.5,
        "trees/oak.ass.gz": 1.0,
        "/shows/dog/030/fx/smoke.1001.vdb": 1.0,
        "/shows/dog/config/ocio/config.ocio": 1.0,
        "lights/a.ies": 1.0,
        "lights/b.ies": 1.0,
    }
    assert outputs(found) == {"/shows/dog/030/light/v004/beauty.1001.exr"}


def test_an_arnold_scene_says_where_its_files_are_looked_for() -> None:
    found = edges("arnold", ASS, Scope(search_paths=("/lib",)))
    assert one(found, "diff").search == ("/shows/dog/assets", "${LIB}/tex", "", "/lib")
    assert one(found, "oak").search == ("/shows/dog/ass", "", "/lib")
    assert one(found, "key.ass").kind is Kind.SCENE


def test_a_token_that_each_object_has_another_value_for_is_unresolved() -> None:
    assert one(edges("arnold", ASS), "<attr:").unresolved


def test_a_packed_arnold_scene_is_read_and_a_cut_one_says_so(tmp_path: Path) -> None:
    packed = gzip.compress(ASS.read_bytes())
    whole = tmp_path / "shot.ass.gz"
    whole.write_bytes(packed)
    assert inputs(edges("arnold", whole)) == inputs(edges("arnold", ASS))
    whole.write_bytes(packed[: len(packed) // 2])
    with pytest.raises(ScanFailed, match="cannot be read on"):
        edges("arnold", whole)


def test_an_arnold_scene_that_ends_within_a_node_says_which(tmp_path: Path) -> None:
    path = tmp_path / "cut.ass"
    path.write_text('options\n{\n}\nimage\n{\n filename "/a.tx"\n')
    scanning = registry.usable("arnold").scan(str(path), Scope())
    assert next(scanning).target == "/a.tx"
    with pytest.raises(ScanFailed, match=rf"{path}:4: the scene ends within a node image"):
        next(scanning)


def test_every_input_of_a_rib_is_found_and_nothing_else() -> None:
    found = edges("rib", RIB)
    assert inputs(found) == {
        "env.hdr": 1.0,
        "env.tex": 1.0,
        "sets/kitchen.rib": 1.0,
        "crowd.zip": 1.0,
        "chars/hero.1001.rib": 1.0,
        "chars/dog.rib": 1.0,
        "plugins/fur.so": 0.5,
        "/shows/dog/fur/hero.fur": 0.5,
        "hero/diff.<UDIM>.tex": 1.0,
        "hero/mask.<UDIM>.tex": 1.0,
        "wood.tex": 1.0,
        "/shows/dog/hdri/sky.tex": 1.0,
        "/shows/dog/notes/a.txt": 0.5,
    }
    assert outputs(found) == {"/shows/dog/030/light/v004/beauty.1001.exr", "env.tex"}


def test_what_stands_in_a_frame_of_a_rib_is_for_that_frame() -> None:
    found = edges("rib", RIB)
    assert one(found, "kitchen").frames == "1001"
    assert one(found, "env.hdr").frames == ""


def test_a_later_search_path_of_a_rib_has_the_earlier_one_in_it() -> None:
    found = edges("rib", RIB)
    textures = ("/shows/dog/more", "/shows/dog/tex", "${RMANTREE}/lib/textures", "")
    assert one(found, "wood").search == textures
    assert one(found, "kitchen").search == (".", "/shows/dog/ribs", "")


def test_binary_rib_is_refused_with_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(ScanFailed, match="binary RIB") as failed:
        of_text("rib", tmp_path, b"\xa2\x01version\xa7\x40\x48")
    assert "catrib" in (failed.value.fix or "")


def test_a_node_of_arnold_may_be_one_line(tmp_path: Path) -> None:
    ass = (
        'options { texture_searchpath "/lib" }\n'
        'image { name filename file "b/wood.tx" }\n'
        'image { name img filename "wood.<udim>.tx" swrap "periodic" }\n'
        'driver_exr { name d filename "/out/x.exr" }\n'
    )
    found = of_text("arnold", tmp_path, ass)
    assert inputs(found) == {"b/wood.tx": 1.0, "wood.<UDIM>.tx": 1.0}
    assert one(found, "wood.<UDIM>").search[0] == "/lib"
    assert one(found, "/out/x.exr").kind is Kind.OUTPUT


def test_millions_of_numbers_are_passed_over(tmp_path: Path) -> None:
    numbers = "0 1 -2.5e-3 4.25 " * 500_000
    rib = f'PointsPolygons [4] [0 1 2 3] "P" [{numbers}]\nReadArchive "a.rib"\n'
    assert inputs(of_text("rib", tmp_path, rib)) == {"a.rib": 1.0}
    ass = f'polymesh\n{{\n vlist 9 1 VECTOR\n  {numbers}\n}}\nimage\n{{\n filename "/a.tx"\n}}\n'
    assert inputs(of_text("arnold", tmp_path, ass)) == {"/a.tx": 1.0}
