"""Scenes in text, followed to the files that they lead to."""

from __future__ import annotations

from pathlib import Path

from shotfs.prewarm.scanners.base import Scope
from shotfs.prewarm.scanners.closure import close_over
from shotfs.prewarm.scanners.local_files import LocalFiles


def close(root: Path, start: str, scope: Scope | None = None) -> set[str]:
    found = close_over([str(root / start)], LocalFiles(), root=str(root), scope=scope)
    assert not found.missing, found.missing
    assert not found.unresolved, found.unresolved
    assert not found.troubles, found.troubles
    return {entry.path for entry in found.entries}


def write(root: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)


def test_what_an_include_of_povray_includes_lies_where_the_scene_lies(tmp_path: Path) -> None:
    files = {
        "shot.pov": '#include "lib/a.inc"\n',
        "lib/a.inc": '#include "b.inc"\n',
        "lib/b.inc": '#include "wrong.inc"\n',
        "lib/wrong.inc": "",
        "b.inc": 'sphere { 0, 1 pigment { image_map { png "wood.png" } } }\n',
        "shared/wood.png": "",
    }
    write(tmp_path, files)
    scope = Scope(search_paths=(str(tmp_path / "shared"),))
    assert close(tmp_path, "shot.pov", scope) == {
        "shot.pov",
        "lib/a.inc",
        "b.inc",
        "shared/wood.png",
    }


def test_search_paths_of_an_arnold_scene_go_on_to_what_it_includes(tmp_path: Path) -> None:
    image = 'image\n{\n filename "skin.<udim>.tx"\n}\n'
    files = {
        "shot.ass": 'options\n{\n procedural_searchpath "ass"\n}\ninclude "hero.ass"\n',
        "ass/hero.ass": image,
        "ass/skin.1001.tx": "",
        "ass/skin.1002.tx": "",
    }
    write(tmp_path, files)
    assert close(tmp_path, "shot.ass") == set(files)


def test_tiles_and_frames_of_maya_textures_are_those_that_are_there(tmp_path: Path) -> None:
    scene = (
        'createNode file -n "a";\n\tsetAttr ".ftn" -type "string" "sourceimages/m_u1_v1.tif";\n'
        '\tsetAttr ".uvt" 2;\n'
        'createNode file -n "b";\n\tsetAttr ".ftn" -type "string" "screen.0007.png";\n'
        '\tsetAttr ".ufe" yes;\n\tsetAttr ".fo" -1000;\n'
        'file -r -ns "r" -dr 1 -rfn "rRN" -typ "mayaAscii" "scenes/rig.ma";\n'
    )
    files = {
        "workspace.mel": 'workspace -fr "sourceImages" "sourceimages";\n',
        "scenes/light/shot.ma": scene,
        "scenes/rig.ma": "",
        "sourceimages/m_u1_v1.tif": "",
        "sourceimages/m_u2_v1.tif": "",
        "sourceimages/screen.0001.png": "",
        "sourceimages/screen.0002.png": "",
        "sourceimages/screen.0003.png": "",
    }
    write(tmp_path, files)
    found = close(tmp_path, "scenes/light/shot.ma", Scope(frames="1001-1002"))
    assert found == files.keys() - {"workspace.mel", "sourceimages/screen.0003.png"}


def test_a_shifted_plate_of_nuke_is_needed_frame_by_frame(tmp_path: Path) -> None:
    script = (
        "Root {\n views left\n}\nRead {\n file %V/bg.%04d.exr\n first 1\n last 3\n"
        " frame_mode offset\n frame 1000\n}\nPrecomp {\n file sky.nk\n}\n"
    )
    files = {"a.nk": script, "sky.nk": "Read {\n file sky.exr\n}\n", "sky.exr": ""}
    plates = {f"left/bg.000{number}.exr": "" for number in (1, 2, 3)}
    write(tmp_path, files | plates)
    found = close_over(
        [str(tmp_path / "a.nk")],
        LocalFiles(),
        root=str(tmp_path),
        scope=Scope(frames="1001-1002"),
    )
    frames = {entry.path: entry.frames for entry in found.entries}
    assert frames["left/bg.0001.exr"] == "1001"
    assert frames["left/bg.0002.exr"] == "1002"
    assert "left/bg.0003.exr" not in frames
    assert "sky.exr" in frames
