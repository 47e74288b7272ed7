"""Renderers that are killed while they write: half a frame is never published (S5).

The kernel closes the files of a dead process. Who was told by close() that a file is safe is
another matter: that file is published, whatever becomes of its process.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from shotfs.fuse import helper
from tests.fuse.node import ShotfsNode, wait_until

pytestmark = [
    pytest.mark.kernel,
    pytest.mark.skipif(
        helper.MODULE is None, reason=f"without the C helper nobody tells: {helper.PROBLEM}"
    ),
]

SHOT = "render/xy_1_100_030_00_v005"
PRELUDE = """
import os, signal, sys, threading, time
path = sys.argv[1]
def die(): os.kill(os.getpid(), signal.SIGKILL)
file = os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR)
"""


def run(node: ShotfsNode, name: str, program: str) -> Path:
    """Let a process of its own do what *program* says with the new file *name*."""
    (node.show / SHOT).mkdir(exist_ok=True)
    path = node.show / SHOT / name
    subprocess.run([sys.executable, "-c", PRELUDE + program, str(path)], timeout=60, check=False)
    return path


def partial(node: ShotfsNode, path: Path) -> bool:
    wanted = str(path.relative_to(node.mountpoint))
    found = [item for item in node.queue() if item["path"] == wanted]
    return bool(found) and found[0]["state"] == "failed" and "killed" in found[0]["error"]


def stored(origin: Path, path: Path) -> Path:
    return origin / SHOT / path.name


def test_s05_half_a_frame_of_a_killed_renderer_is_kept_aside(
    node: ShotfsNode, origin: Path
) -> None:
    path = run(node, "beauty.1001.exr", "os.write(file, b'half'); die()")
    wait_until(lambda: partial(node, path))
    assert not path.exists()
    # The frame is rendered again, under the same name.
    path.write_bytes(b"whole frame")
    wait_until(stored(origin, path).exists)
    assert stored(origin, path).read_bytes() == b"whole frame"
    assert partial(node, path)


def test_s05_a_frame_that_was_closed_before_its_renderer_was_killed_is_published(
    node: ShotfsNode, origin: Path
) -> None:
    path = run(node, "beauty.1001.exr", "os.write(file, b'frame'); os.close(file); die()")
    wait_until(stored(origin, path).exists)
    assert stored(origin, path).read_bytes() == b"frame"
    # Also if another of its descriptors was open still.
    program = "os.write(file, b'frame'); os.close(os.dup(file)); die()"
    path = run(node, "beauty.1002.exr", program)
    wait_until(stored(origin, path).exists)


@pytest.mark.parametrize("leave", ["os._exit(0)", "os._exit(3)", "sys.exit(0)"])
def test_who_exits_with_a_file_open_closes_it(node: ShotfsNode, origin: Path, leave: str) -> None:
    # Of several threads the last one to go closes the files, and it goes by a signal.
    threads = "[threading.Thread(target=time.sleep, args=(60,), daemon=True).start()] * 8;"
    program = f"os.write(file, b'frame'); {threads} {leave}"
    path = run(node, "beauty.1001.exr", program)
    wait_until(stored(origin, path).exists)
    assert stored(origin, path).read_bytes() == b"frame"


def test_an_empty_file_of_a_killed_process_goes(node: ShotfsNode) -> None:
    path = run(node, "beauty.1001.exr", "die()")
    wait_until(lambda: not path.exists())
    assert node.queue() == []


def test_a_renderer_that_outlives_its_helper_closes_the_file(
    node: ShotfsNode, origin: Path
) -> None:
    program = """
os.write(file, b'half a ')
child = os.fork()
if not child:
    die()
os.waitpid(child, 0)
os.write(file, b'frame')
os.close(file)
"""
    path = run(node, "beauty.1001.exr", program)
    wait_until(stored(origin, path).exists)
    assert stored(origin, path).read_bytes() == b"half a frame"


def test_what_a_killed_process_left_under_a_scratch_name_stays_there(node: ShotfsNode) -> None:
    path = run(node, "beauty.1001.exr.tmp", "os.write(file, b'half'); die()")
    assert path.read_bytes() == b"half"
    assert node.queue() == []
