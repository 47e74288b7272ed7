"""Mount points that cannot be mounted on, and what a killed service leaves behind."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
from pathlib import Path

import pytest

from shotfs.fuse.mountpoint import MountpointState, inspect, mount_at
from tests.fuse.conftest import NewNode
from tests.fuse.node import ShotfsNode

pytestmark = pytest.mark.kernel


@pytest.fixture
def textures(origin: Path) -> Path:
    """An origin with one texture."""
    (origin / "library").mkdir()
    (origin / "library/oak.png").write_bytes(b"oak")
    return origin


def _refusal(node: ShotfsNode, path: Path) -> str:
    done = node.command("mount", str(path), check=False)
    assert done.returncode == 5, done.stderr
    assert str(path) in done.stderr
    assert "fix: " in done.stderr
    return done.stderr


def test_a_place_that_cannot_be_mounted_on_is_named_with_the_fix(
    new_node: NewNode, textures: Path
) -> None:
    node = new_node(f"file://{textures}")
    missing, full, file = (node.directory / name for name in ("missing", "full", "file"))
    assert f"mkdir -p {missing}" in _refusal(node, missing)
    full.mkdir()
    (full / "kept.txt").write_bytes(b"kept")
    assert "not empty" in _refusal(node, full)
    assert (full / "kept.txt").read_bytes() == b"kept"
    file.touch()
    assert "not a directory" in _refusal(node, file)
    assert not missing.exists()


def test_a_second_mount_at_the_same_place_is_refused_and_the_first_lives_on(
    new_node: NewNode, textures: Path
) -> None:
    first = new_node(f"file://{textures}").mount()
    second = new_node(f"file://{textures}")
    for node in (first, second):
        assert "mounted there already" in _refusal(node, first.mountpoint)
    assert (first.show / "library/oak.png").read_bytes() == b"oak"
    assert first.status()["state"] == "serving"


def test_a_place_where_another_file_system_is_mounted_is_left_alone(
    new_node: NewNode, textures: Path
) -> None:
    node = new_node(f"file://{textures}")
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=64k", "shotfs-test", str(node.mountpoint)],
        check=False,
        capture_output=True,
    )
    if mounted.returncode:
        pytest.skip(f"a tmpfs cannot be mounted here: {mounted.stderr!r}")
    try:
        assert "another file system" in _refusal(node, node.mountpoint)
        entry = mount_at(str(node.mountpoint))
        assert entry is not None
        assert entry.kind == "tmpfs"
    finally:
        subprocess.run(["umount", str(node.mountpoint)], check=True)


def test_mount_takes_the_place_of_a_dead_mount_whose_files_are_still_open(
    new_node: NewNode, textures: Path
) -> None:
    node = new_node(f"file://{textures}").mount()
    held = os.open(node.show / "library/oak.png", os.O_RDONLY)
    node.kill()
    assert inspect(str(node.mountpoint)) is MountpointState.DEAD
    node.mount()
    assert (node.show / "library/oak.png").read_bytes() == b"oak"
    with pytest.raises(OSError, match=r"not connected|connection abort"):
        os.pread(held, 3, 0)
    with contextlib.suppress(OSError):  # the C helper keeps the kernel from asking about readers
        os.close(held)


def test_doctor_finds_a_dead_mount_and_clears_it_when_asked(
    new_node: NewNode, textures: Path
) -> None:
    node = new_node(f"file://{textures}").mount()
    node.kill()
    place = str(node.mountpoint)
    done = node.command("doctor", "--json", "--offline", place, check=False)
    dead = [one for one in json.loads(done.stdout)["findings"] if place in one["message"]]
    assert done.returncode == 1
    assert [one["verdict"] for one in dead] == ["wrong"]
    assert f"shotfs doctor --fix {place}" in dead[0]["fix"]
    done = node.command("doctor", "--fix", "--offline", place)
    assert f"cleared the dead mount on {place}" in done.stderr
    assert inspect(place) is MountpointState.READY


def test_sigterm_unmounts_and_leaves_the_place_ready(new_node: NewNode, textures: Path) -> None:
    node = new_node(f"file://{textures}").mount()
    assert node.pid is not None
    os.kill(node.pid, signal.SIGTERM)
    node.wait_ended()
    assert inspect(str(node.mountpoint)) is MountpointState.READY
