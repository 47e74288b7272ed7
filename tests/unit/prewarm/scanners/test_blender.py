"""Blender files, through bat. The files are made by tests/scenes/make_blend.py."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from shotfs.errors import ScanFailed
from shotfs.prewarm.scanners import blender
from shotfs.prewarm.scanners.base import Scope
from tests.unit.prewarm.scanners.scanned import SCENES, edges, inputs, one

THERE = (
    "lib/materials.blend",
    "lib/props.blend",
    "plates/bg.1001.png",
    "plates/bg.1002.png",
    "plates/bg.1003.png",
    "tex/hero.1001.png",
    "tex/hero.1002.png",
    "tex/wall.png",
    "tex/wood.png",
)


@pytest.fixture
def shot(tmp_path: Path) -> Path:
    shutil.copytree(SCENES / "blend", tmp_path, dirs_exist_ok=True)
    for name in (*THERE, "tex/logo.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    return tmp_path / "shot.blend"


def test_libraries_sequences_and_tiles_are_found_and_packed_files_left_out(shot: Path) -> None:
    found = set(inputs(edges("blender", shot)))
    assert found == {f"{shot.parent}/{name}" for name in (*THERE, "tex/gone.png")}


def test_what_a_library_names_is_told_as_named_by_it(shot: Path) -> None:
    found = edges("blender", shot)
    assert one(found, "wood").named_by == f"{shot.parent}/lib/materials.blend"
    assert one(found, "wall").named_by == ""


def test_of_a_copy_relative_paths_stay_relative(tmp_path: Path) -> None:
    copy = tmp_path / "copy.blend"
    shutil.copy(SCENES / "blend" / "shot.blend", copy)
    found = edges("blender", copy, Scope(in_place=False))
    assert {"lib/props.blend", "tex/wall.png"} <= set(inputs(found))


def test_a_damaged_file_is_told_with_the_reason_of_bat(tmp_path: Path) -> None:
    path = tmp_path / "bad.blend"
    path.write_bytes(b"BLENDER-v304" + b"\xff" * 100)
    with pytest.raises(ScanFailed, match=f"{path}: bat cannot read it"):
        edges("blender", path)


def test_without_bat_it_is_said_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blender, "_bat", lambda: "")
    assert "bat" in blender.BlenderScanner().available()
