"""Katana's XML, alone and packed; Gaffer's scripts, which are never run."""

from __future__ import annotations

import gzip
import io
import tarfile
from pathlib import Path

import pytest

from shotfs.errors import ScanFailed
from tests.unit.prewarm.scanners.scanned import SCENES, edges, inputs, of_text, one, outputs

KATANA = SCENES / "text" / "shot.katana"
GAFFER = SCENES / "text" / "shot.gfr"

NEEDED = {
    "/shows/dog/030/anim/hero.abc": 1.0,
    "/shows/dog/assets/hero/tex/diff.<udim>.tx": 1.0,
    "/shows/dog/assets/default.tx": 0.1,
    "/shows/dog/assets/set/kitchen.usda": 0.1,
    "/shows/dog/b.usda": 1.0,
    "/shows/dog/030/light/rig.livegroup": 1.0,
}


def test_every_input_of_a_katana_scene_is_found_and_nothing_else() -> None:
    found = edges("katana", KATANA)
    assert inputs(found) == NEEDED
    assert outputs(found) == {"/shows/dog/030/light/v004/beauty.####.exr"}
    assert one(found, "getenv").unresolved == "an expression of Katana"
    assert one(found, "hero.abc").line == 7


def test_katana_scenes_are_read_packed_and_in_a_tar(tmp_path: Path) -> None:
    packed = tmp_path / "a.katana"
    packed.write_bytes(gzip.compress(KATANA.read_bytes()))
    assert inputs(edges("katana", packed)) == NEEDED
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w:gz") as tar:
        tar.add(KATANA, "scene.katana")
    packed.write_bytes(content.getvalue())
    assert inputs(edges("katana", packed)) == NEEDED


def test_entities_in_xml_are_refused(tmp_path: Path) -> None:
    bomb = '<!DOCTYPE a [<!ENTITY b "bbbbbbbb">]>\n<katana>&b;</katana>'
    with pytest.raises(ScanFailed, match="declares entities"):
        of_text("katana", tmp_path, bomb)


def test_a_tag_without_end_is_given_up(tmp_path: Path) -> None:
    with pytest.raises(ScanFailed, match="a tag is longer than"):
        of_text("katana", tmp_path, "<katana " + "a" * (20 << 20))


def test_a_cut_katana_scene_is_told_with_its_line(tmp_path: Path) -> None:
    text = KATANA.read_text()
    with pytest.raises(ScanFailed, match=r"scene.katana:\d+: not XML"):
        of_text("katana", tmp_path, text[: len(text) // 2])


def test_every_input_of_a_gaffer_script_is_found_and_nothing_else() -> None:
    found = edges("gaffer", GAFFER)
    assert inputs(found) == {
        "/shows/dog/lib/lights.grf": 0.5,
        "/shows/dog/030/plates/it's bg.####.exr": 1.0,
        "/shows/dog/assets/set/kitchen.usda": 0.1,
        "/shows/dog/assets/hero/tex/diff.<UDIM>.tx": 1.0,
    }
    assert outputs(found) == {"/shows/dog/030/light/v004/beauty.####.exr"}
    assert "${job:unknown}" in one(found, "unknown").unresolved


def test_a_tar_that_ends_within_a_file_says_so(tmp_path: Path) -> None:
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w") as tar:
        tar.add(KATANA, "scene.katana")
    with pytest.raises(ScanFailed, match="ends within a file of the tar"):
        of_text("katana", tmp_path, gzip.compress(content.getvalue()[:2000]))
