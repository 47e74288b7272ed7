"""How a mount ends: by signal, by umount, with readers that wait and writers that never closed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from shotfs.control.client import Client
from tests.fuse.node import ShotfsNode, wait_until
from tests.servers.faults import Fault
from tests.servers.handles import GcsBucket

pytestmark = pytest.mark.kernel

SHOT = "render/xy_1_100_030_00_v005"


def _pid(node: ShotfsNode) -> int:
    return int(node.status()["pid"])


def _gone(pid: int) -> bool:
    return not os.path.exists(f"/proc/{pid}")


def _mounted(node: ShotfsNode) -> bool:
    table = Path("/proc/self/mounts").read_text(encoding="utf-8")
    return str(node.mountpoint) in table


def test_s07_a_signal_ends_the_mount_although_a_cold_read_waits_for_ever(
    gcs_node: ShotfsNode, gcs: GcsBucket
) -> None:
    gcs.put("ant/library/cold.bin", b"never arrives")
    os.stat(gcs_node.show / "library/cold.bin")
    stalled = gcs.fault(Fault("stall", operation="read", times=None))
    reader = subprocess.Popen(
        ["cat", str(gcs_node.show / "library/cold.bin")],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )
    try:
        stalled.wait_hits(1)
        pid = _pid(gcs_node)
        started = time.monotonic()
        os.kill(pid, signal.SIGTERM)
        wait_until(lambda: _gone(pid))
        assert time.monotonic() - started < 10
        assert not _mounted(gcs_node)
        _, message = reader.communicate(timeout=10)
        assert reader.returncode != 0, message
    finally:
        stalled.release()
        reader.kill()
        reader.wait(10)


def test_umount_by_hand_ends_the_service(node: ShotfsNode) -> None:
    pid = _pid(node)
    subprocess.run(["umount", str(node.mountpoint)], check=True)
    wait_until(lambda: _gone(pid))


def test_s05_a_file_that_was_never_closed_is_not_published_by_a_graceful_stop(
    node: ShotfsNode, origin: Path
) -> None:
    directory = node.show / SHOT
    directory.mkdir()
    closed = directory / "beauty.1001.exr"
    closed.write_bytes(b"whole")
    pid = _pid(node)
    half = os.open(directory / "beauty.1002.exr", os.O_CREAT | os.O_WRONLY)
    try:
        os.write(half, b"half of a fra")
        # SIGTERM would wait 25 s for whoever writes it. Not by a command: a child closes its copy
        # of the descriptor, and shotfs cannot tell that from a close of the file.
        with Client(node.socket) as client:
            client.stop(drain=True, deadline_s=1.0)
        wait_until(lambda: _gone(pid))
    finally:
        with pytest.raises(OSError, match="not connected"):
            os.close(half)
    node.mount()
    wait_until((origin / SHOT / closed.name).exists)
    assert sorted(path.name for path in (origin / SHOT).iterdir()) == ["beauty.1001.exr"]
    assert not (directory / "beauty.1002.exr").exists()


def test_a_stop_that_comes_after_umount_finds_no_session_and_does_no_harm(
    gcs_node: ShotfsNode,
) -> None:
    # `shotfs unmount` does both, one after the other: outputs and listings must still be kept.
    gcs_node.unmount()
    program = (
        "import sys, trio\n"
        "from shotfs.fuse.operations import Operations\n"
        "abandon_all = Operations.abandon_all\n"
        "async def late(self):\n"
        "    print('closed', flush=True)\n"
        "    await trio.to_thread.run_sync(sys.stdin.readline)\n"
        "    await trio.sleep(0.2)\n"
        "    await abandon_all(self)\n"
        "Operations.abandon_all = late\n"
        "from shotfs.cli.main import main\n"
        "main()\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program, "mount", "--foreground", str(gcs_node.mountpoint)],
        env=gcs_node.environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as service:
        assert service.stdin is not None
        assert service.stdout is not None
        try:
            # It reads a test file through the mount before it is there for anybody else.
            wait_until(lambda: _mounted(gcs_node) and os.path.exists(gcs_node.socket))
            os.listdir(gcs_node.show)
            subprocess.run(["umount", str(gcs_node.mountpoint)], check=True)
            assert service.stdout.readline() == "closed\n"
            with Client(gcs_node.socket) as client:
                client.stop(drain=False, deadline_s=0.0)
            service.stdin.write("\n")
            service.stdin.close()
            assert service.wait(20) == 0
            assert os.listdir(gcs_node.directory / "cache/listings")
        finally:
            service.kill()
