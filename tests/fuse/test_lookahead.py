"""Look-ahead through a real mount: processes of a job open files, and the next ones come."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from tests.fuse.conftest import NewNode
from tests.fuse.node import ShotfsNode, wait_until

pytestmark = pytest.mark.kernel

MIB = 1024 * 1024

SPEC = {
    "spec": "shotfs-path/1",
    "show": "ant",
    "roots": {"main": "ORIGIN"},
    "defaults": {"origin": "main", "immutable": "on-close"},
    "fields": {
        "name": {"type": "str", "pattern": "[a-z]+"},
        "frame": {"type": "frame", "pad": 4},
    },
    "templates": {"cache": {"path": "cache/{name}.{frame}.vdb"}},
}


def render(node: ShotfsNode, frame: int) -> None:
    """Read the caches of *frame* in processes of their own, as a render manager starts them."""
    identity = {"SHOTFS_SHOT": "030", "SHOTFS_TASK": "fx", "SHOTFS_FRAME": str(frame)}
    for name in ("fire", "smoke"):
        # Not `cat`: that is what people walk through trees with, and is not followed.
        subprocess.run(
            ["dd", "of=/dev/null", f"if={node.show}/cache/{name}.{frame:04}.vdb"],
            env={**os.environ, **identity},
            check=True,
            capture_output=True,
            timeout=60,
        )


def read_mib(node: ShotfsNode, name: str, first_mib: int, frame: int) -> None:
    """Read the MiB *first_mib* of a cache in a process that renders *frame*."""
    identity = {"SHOTFS_SHOT": "030", "SHOTFS_TASK": "fx", "SHOTFS_FRAME": str(frame)}
    subprocess.run(
        ["dd", "of=/dev/null", f"if={node.show}/cache/{name}", "bs=1M", "count=1",
         f"skip={first_mib}"],
        env={**os.environ, **identity},
        check=True,
        capture_output=True,
        timeout=60,
    )  # fmt: skip


def test_the_third_frame_of_a_job_is_here_before_it_begins(new_node: NewNode, origin: Path) -> None:
    directory = origin / "cache"
    directory.mkdir(parents=True)
    for frame in range(1001, 1007):
        for name in ("fire", "smoke"):
            (directory / f"{name}.{frame}.vdb").write_bytes(os.urandom(1000))
    node = new_node(f"file://{origin}", spec=SPEC).mount()
    if node.status()["kernel"]["zero_upcall"]:
        pytest.skip("nobody is told of opens")
    render(node, 1001)
    assert node.metric("shotfs_lookahead_waiting_bytes") == 0, "one frame tells of no other"
    render(node, 1002)
    # Two files of each of the two next frames.
    wait_until(lambda: node.metric("shotfs_lookahead_waiting_bytes") == 4000)
    render(node, 1003)
    wait_until(lambda: node.status()["lookahead"]["useful_files"] >= 2)
    assert node.status()["lookahead"]["wasted_files"] == 0


def test_of_a_large_file_comes_what_was_read_of_the_one_before(
    new_node: NewNode, origin: Path
) -> None:
    directory = origin / "cache"
    directory.mkdir(parents=True)
    for frame in range(1001, 1005):
        with open(directory / f"sim.{frame}.vdb", "wb") as file:
            file.truncate(80 * MIB)
    node = new_node(f"file://{origin}", spec=SPEC).mount()
    if node.status()["kernel"]["zero_upcall"]:
        pytest.skip("nobody is told of opens")
    for frame in (1001, 1002, 1003):
        for first_mib in (0, 79):
            read_mib(node, f"sim.{frame}.vdb", first_mib, frame)
        if frame == 1002:
            # Of two files; the kernel reads ahead, but not by much.
            wait_until(lambda: 4 * MIB <= node.metric("shotfs_lookahead_waiting_bytes") < 16 * MIB)
    wait_until(lambda: node.status()["lookahead"]["useful_files"] == 1)
    looked = node.status()["lookahead"]
    assert looked["wasted_files"] == 0
    assert 2 * MIB <= looked["useful_bytes"] < 16 * MIB
