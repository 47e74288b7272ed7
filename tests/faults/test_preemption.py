"""A node that is taken away: notice, drain, exit code; another node publishes what was left."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from shotfs.cli.output import ExitCode
from tests.faults.conftest import NewGcsNode
from tests.fuse.node import ShotfsNode, wait_until
from tests.servers.gcs import Fault
from tests.servers.handles import GcsBucket
from tests.servers.metadata import PREEMPTED, MetadataServer

pytestmark = pytest.mark.kernel

NO_UPLOADS = Fault("status", operation="insert", times=None, status=403)
FRAME = "render/xy_1_100_030_00_v005/beauty.{:04d}.exr"


@contextmanager
def in_foreground(node: ShotfsNode) -> Iterator[subprocess.Popen[bytes]]:
    """Mount *node* as systemd would, in a process whose exit code can be seen."""
    mount = [sys.executable, "-m", "shotfs", "mount", "--foreground", str(node.mountpoint)]
    with subprocess.Popen(mount, env=node.environment) as service:
        try:
            wait_until(lambda: service.poll() is not None or answers(node))
            assert service.poll() is None, node.log_text()
            node.pid = service.pid
            yield service
        finally:
            if service.poll() is None:
                service.kill()
            service.wait(30)


def answers(node: ShotfsNode) -> bool:
    try:
        return bool(node.status()["mountpoint"]) and os.path.ismount(node.mountpoint)
    except Exception:  # noqa: BLE001 - it does not serve yet
        return False


def write(node: ShotfsNode, number: int, content: bytes) -> None:
    path = node.show / FRAME.format(number)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


def test_a_notice_drains_the_node_and_its_service_ends_with_0(
    new_gcs_node: NewGcsNode, gcs: GcsBucket
) -> None:
    with MetadataServer("gce") as cloud:
        node = new_gcs_node(
            f'[preemption]\nwatch = "auto"\nendpoint_url = "{cloud.endpoint}"\ndeadline_s = 60\n'
        )
        with in_foreground(node) as service:
            wait_until(lambda: cloud.asked("wait_for_change") >= 2)
            (node.show / "notes" / "held.txt").write_text("an hour of grace")
            for number in range(1, 6):
                write(node, number, b"frame %d" % number)
            late = open(node.show / FRAME.format(9), "wb")  # noqa: SIM115 - closed during the drain
            late.write(b"was open ")
            cloud.set(PREEMPTED, "TRUE")
            wait_until(lambda: node.status()["state"] == "draining")
            with pytest.raises(OSError, match=os.strerror(errno.ESHUTDOWN)) as refused:
                open(node.show / FRAME.format(10), "wb").close()
            assert refused.value.errno == errno.ESHUTDOWN
            late.write(b"and was finished")
            late.close()
            assert service.wait(90) == ExitCode.OK, node.log_text()
        names = {f"ant/{FRAME.format(number)}" for number in (1, 2, 3, 4, 5, 9)}
        found = {key for key in gcs.names() if "render" in key}
        assert found == names
        assert gcs.read(f"ant/{FRAME.format(9)}") == b"was open and was finished"
        assert gcs.read("ant/notes/held.txt") == b"an hour of grace"


def test_what_cannot_arrive_is_rescued_by_another_node(
    new_gcs_node: NewGcsNode, gcs: GcsBucket, tmp_path: Path
) -> None:
    place = tmp_path / "rescue"
    place.mkdir()
    settings = f'[spool]\nemergency = "file://{place}"\n[node]\nname = "render-7"\n'
    first = new_gcs_node(settings)
    with in_foreground(first) as service:
        gcs.fault(NO_UPLOADS)
        write(first, 1, b"six hours of work")
        drained = first.command("drain", "--stop", "--deadline", "5s", "--json", check=False)
        assert drained.returncode == ExitCode.OUTPUTS_COPIED, drained.stderr
        report = json.loads(drained.stdout)
        assert report["items"][0]["emergency"].startswith(f"file://{place}/render-7/")
        assert service.wait(60) == ExitCode.OUTPUTS_COPIED, first.log_text()
        gcs.server.faults.clear()
    second = new_gcs_node(settings.replace("render-7", "render-8")).mount()
    done = second.command("publish", "rescue", "--json")
    (item,) = json.loads(done.stdout)["items"]
    assert (item["outcome"], item["node"]) == ("published", "render-7")
    assert gcs.read(f"ant/{FRAME.format(1)}") == b"six hours of work"
    second.wait_published()
    left = [path for path in place.rglob("*") if path.is_file() and path.name[0] != "."]
    assert left == [], second.log_text()
    assert (second.show / FRAME.format(1)).read_bytes() == b"six hours of work"
