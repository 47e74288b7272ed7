"""`shotfs spec` beside a real mount: sequences and deliveries are seen through it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.fuse.node import ShotfsNode

pytestmark = pytest.mark.kernel

SHOT = "xy_1_100_030_00"
DIRECTORY = f"render/{SHOT}_v001"


def ask(node: ShotfsNode, *arguments: str, code: int) -> Any:
    done = node.command("spec", *arguments, "--json", check=False)
    assert done.returncode == code, done.stderr
    return json.loads(done.stdout)


def test_sequence_has_what_is_published_and_what_was_just_written(
    node: ShotfsNode, origin: Path
) -> None:
    (origin / DIRECTORY).mkdir(parents=True)
    for frame in (1001, 1002, 1005):
        (origin / DIRECTORY / f"beauty.{frame}.exr").write_bytes(b"published")
    (node.show / DIRECTORY / "beauty.1004.exr").write_bytes(b"new")
    path = f"{node.show}/{DIRECTORY}/beauty.####.exr"
    answer = ask(node, "sequence", path, code=1)
    assert (answer["count"], answer["size_bytes"]) == (4, 30)
    assert answer["runs"][0]["frames"] == "1001-1002,1004-1005"
    assert answer["runs"][0]["missing"] == "1003"
    (node.show / DIRECTORY / "beauty.1003.exr").write_bytes(b"new")
    assert ask(node, "sequence", path, "--expect", "1001-1005", code=0)["complete"] is True


def test_explain_takes_paths_as_they_stand_in_the_mount(node: ShotfsNode) -> None:
    path = f"{node.show}/{DIRECTORY}/beauty.1001.exr"
    answer = ask(node, "explain", path, code=0)
    assert (answer["kind"], answer["template"]["name"]) == ("file", "frames")
    answer = ask(node, "explain", path.replace(".1001", ".101"), code=1)
    assert answer["suggestion"] == f"{DIRECTORY}/beauty.0101.exr"


def test_show_in_a_mount_can_be_linted(node: ShotfsNode, origin: Path) -> None:
    (origin / DIRECTORY).mkdir(parents=True)
    for frame in (1001, 1003):
        (origin / DIRECTORY / f"beauty.{frame}.exr").write_bytes(b"published")
    answer = ask(node, "lint", str(node.show), code=1)
    assert answer["counts"] == {"missing frames": 1}
    assert answer["templates"]["frames"] == {"files": 2, "size_bytes": 18}
