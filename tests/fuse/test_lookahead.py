"""Look-ahead through a real mount: processes of a job open files, and the next ones come."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from tests.fuse.conftest import NewNode
from tests.fuse.node import ShotfsNode, wait_until

pytestmark = pytest.mark.kernel

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
