"""Maya ASCII: references, textures, caches, and where they are looked for."""

from __future__ import annotations

from pathlib import Path

import pytest

from shotfs.errors import ScanFailed
from shotfs.prewarm.scanners import registry
from shotfs.prewarm.scanners.base import Kind, Scope
from tests.unit.prewarm.scanners.scanned import SCENES, edges, inputs, of_text, one, outputs

SHOT = SCENES / "text" / "shot.ma"


def test_every_input_of_a_scene_is_found_and_nothing_else() -> None:
    found = edges("maya", SHOT)
    cloth = "/shows/dog/030/cache/nCache/cloth/clothShape1"
    assert inputs(found) == {
        "/shows/dog/assets/hero/rig/hero_rig_v012.ma": 1.0,
        "scenes/set/kitchen_v002.mb": 0.3,
        "/shows/dog/assets/hero/tex/v003/hero_diff.<UDIM>.exr": 1.0,
        "sourceimages/screen/screen.%04d.png": 1.0,
        "mud_u<U>_v<V>.tif": 1.0,
        "${HDRI_ROOT}/studio;small.hdr": 1.0,
        "/shows/dog/tex/a.exr": 1.0,
        "/shows/dog/tex/b.exr": 1.0,
        "/shows/dog/030/plates/bg.%04d.jpg": 1.0,
        "/shows/dog/030/anim/hero.abc": 1.0,
        "/shows/dog/030/anim/hero_fix.abc": 1.0,
        "cache/alembic/bg.abc": 1.0,
        "/shows/dog/assets/tree/tree.####.ass.gz": 1.0,
        f"{cloth}.xml": 1.0,
        f"{cloth}.mcx": 0.5,
        f"{cloth}Frame%d.mcx": 0.5,
        f"{cloth}.mc": 0.3,
        "/shows/dog/030/sound/030.wav": 0.2,
        "Z:/assets/rock.rs": 1.0,
        "/shows/dog/config/ocio/config.ocio": 1.0,
    }
    assert outputs(found) == {"<Scene>/<RenderLayer>/beauty"}


def test_references_are_followed() -> None:
    found = edges("maya", SHOT)
    assert one(found, "hero_rig").kind is Kind.SCENE
    assert one(found, "hero_rig").line == 9


def test_a_reference_that_is_not_loaded_counts_less() -> None:
    assert one(edges("maya", SHOT), "kitchen").confidence == 0.3


def test_a_path_with_two_slashes_is_looked_for_in_the_project_it_was_saved_in() -> None:
    assert one(edges("maya", SHOT), "kitchen").search[0] == "/shows/dog"


def test_a_frame_offset_shifts_the_files_of_a_texture() -> None:
    found = edges("maya", SHOT, Scope(frames="1001-1003"))
    assert one(found, "screen").file_frames == "1-3"


def test_relative_paths_start_at_the_project_above_the_scene(tmp_path: Path) -> None:
    (tmp_path / "scenes" / "light").mkdir(parents=True)
    (tmp_path / "workspace.mel").write_text('workspace -fr "sourceImages" "textures";\n')
    scene = tmp_path / "scenes" / "light" / "a.ma"
    scene.write_text('createNode file -n "f";\n\tsetAttr ".ftn" -type "string" "wood.exr";\n')
    (edge,) = edges("maya", scene)
    assert edge.search == ("../..", "../../textures", "")


def test_of_a_copy_the_three_directories_above_are_searched(tmp_path: Path) -> None:
    text = 'createNode file -n "f";\n\tsetAttr ".ftn" -type "string" "wood.exr";\n'
    (edge,) = of_text("maya", tmp_path, text, Scope(in_place=False))
    assert edge.search[:3] == ("..", "../..", "../../..")


def test_binary_scenes_are_refused_with_what_to_do(tmp_path: Path) -> None:
    path = tmp_path / "a.mb"
    path.write_bytes(b"FOR8\0\0\0\0")
    with pytest.raises(ScanFailed, match=r"binary Maya scenes cannot be read") as failed:
        edges("maya", path)
    assert "Save As" in (failed.value.fix or "")


def test_a_scene_that_ends_within_a_string_yields_what_came_before(tmp_path: Path) -> None:
    path = tmp_path / "cut.ma"
    path.write_text(
        'createNode file -n "f";\n\tsetAttr ".ftn" -type "string" "/a.exr";\n'
        'createNode file -n "g";\n\tsetAttr ".ftn" -type "string" "/b'
    )
    scanning = registry.usable("maya").scan(str(path), Scope())
    assert next(scanning).target == "/a.exr"
    with pytest.raises(ScanFailed, match=rf"{path}:4: a string is never closed"):
        next(scanning)


def test_millions_of_vertices_are_passed_over(tmp_path: Path) -> None:
    numbers = "-0.5 0 0.5 1.25e-05 " * 500_000
    text = (
        f'createNode mesh -n "m";\n\tsetAttr -s 9 ".vt[0:9]" {numbers};\n'
        'createNode file -n "f";\n\tsetAttr ".ftn" -type "string" "/a.exr";\n'
    )
    assert inputs(of_text("maya", tmp_path, text)) == {"/a.exr": 1.0}
