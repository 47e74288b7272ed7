"""Outputs of real programs, and of what renderers do, reach the origin with their final bytes.

`tests/unit/vfs/test_renderers.py` has most of what renderers do, without a kernel;
tools/campaign/tools the programs that take longer, in every mode.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from shotfs.control.client import Client
from tests.fuse import real_renderers, real_tools
from tests.fuse.node import ShotfsNode

pytestmark = [pytest.mark.kernel, pytest.mark.timeout(300)]

QUICK = [one for one in real_renderers.RENDERING if one not in real_renderers.SLOW]


@pytest.fixture(scope="module")
def origin(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A library of images and files."""
    path = tmp_path_factory.mktemp("origin")
    real_tools.make_files(path)
    return path


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory, origin: Path) -> Iterator[ShotfsNode]:
    """One mount for all tests here; its outputs may be changed until a drain."""
    directory = tmp_path_factory.mktemp("renderers") / "node"
    node = ShotfsNode(directory, f"file://{origin}", spec=real_renderers.RENDER_SPEC)
    try:
        yield node.mount()
    finally:
        node.clear()


def drained(node: ShotfsNode, origin: Path, shot: str, files: Mapping[str, bytes]) -> None:
    """End the grace, and compare: the origin has *files* of a shot and nothing else."""
    with Client(node.socket) as client:
        client.drain(real_renderers.DRAIN_S)
    stored = origin / "takes" / shot
    assert {path.name: path.read_bytes() for path in stored.iterdir()} == files
    shown = node.show / "takes" / shot
    assert {path.name: path.read_bytes() for path in shown.iterdir()} == files


@pytest.mark.parametrize("one", QUICK, ids=[one.__name__ for one in QUICK])
def test_s04_a_program_that_makes_outputs_has_them_published_as_on_a_disk(
    node: ShotfsNode, origin: Path, tmp_path: Path, one: real_tools.Check
) -> None:
    real_tools.check(one, node, origin, tmp_path)


def test_s04_a_frame_that_is_patched_appended_to_and_mapped_after_its_close_is_one_output(
    node: ShotfsNode, origin: Path
) -> None:
    frame = node.show / "takes/sh010/beauty.1001.exr"
    frame.parent.mkdir(parents=True)
    content = bytearray(os.urandom(300_000))
    frame.write_bytes(content)
    with open(frame, "r+b") as file:
        file.write(b"header")
    content[:6] = b"header"
    assert frame.read_bytes() == content
    with open(frame, "ab") as file:
        file.write(b"index")
    content += b"index"
    assert frame.stat().st_size == len(content)
    real_renderers.write_by_mapping(frame, 4096, b"tile" * 5000)
    content[4096 : 4096 + 20_000] = b"tile" * 5000
    assert frame.read_bytes() == content
    drained(node, origin, "sh010", {"beauty.1001.exr": bytes(content)})


def test_s14_a_directory_that_is_removed_and_made_again_has_only_what_came_after(
    node: ShotfsNode, origin: Path
) -> None:
    shot = node.show / "takes/sh020"
    for content in (b"before", b"after"):
        shot.mkdir(parents=True)
        for index in range(4):
            (shot / f"beauty.{1001 + index}.exr.tmp").write_bytes(content)
            (shot / f"beauty.{1001 + index}.exr.tmp").rename(shot / f"beauty.{1001 + index}.exr")
        if content == b"before":
            subprocess.run(("rm", "-r", str(shot)), check=True)
            assert not shot.exists()
    drained(node, origin, "sh020", {f"beauty.{1001 + index}.exr": b"after" for index in range(4)})
