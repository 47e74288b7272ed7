"""What a person sees who asks why an application waits: through a real mount, of a real bucket."""

from __future__ import annotations

import json
import os
import subprocess
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from shotfs.control.client import Client
from tests.fuse.conftest import NewNode, gcs_settings
from tests.fuse.node import ShotfsNode, wait_until
from tests.servers.gcs import Fault
from tests.servers.handles import GcsBucket

pytestmark = pytest.mark.kernel

OAK = "ant/library/oak.png"

ASK = """
import http.client, socket, sys
connection = http.client.HTTPConnection("shotfs")
connection.sock = socket.socket(socket.AF_UNIX)
connection.sock.connect(sys.argv[1])
connection.request("GET", sys.argv[2])
print(connection.getresponse().read().decode())
"""
"""Asks the control socket without any of our code: another user may not read that."""


@contextmanager
def stalled(gcs: GcsBucket, operation: str, path: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Have an application read *path* while the bucket does not answer; release it at the end."""
    handle = gcs.fault(Fault("stall", operation=operation, object=OAK, times=None))
    process = subprocess.Popen(["cat", str(path)], stdout=subprocess.PIPE)
    try:
        yield process
    finally:
        handle.release()
        process.communicate(timeout=60)


def why(node: ShotfsNode, path: str) -> dict[str, Any]:
    with Client(node.socket) as client:
        return client.why(path)


def evict(node: ShotfsNode, path: str) -> dict[str, Any]:
    with Client(node.socket) as client:
        return client.evict_paths([path], limit=100)


def wait_for_waiting(node: ShotfsNode, operation: str) -> dict[str, Any]:
    """Wait until `why` names somebody who waits, and return what it says."""
    found: dict[str, Any] = {}

    def waits() -> bool:
        found.update(why(node, OAK))
        return any(one["operation"] == operation for one in found["waiting"])

    wait_until(waits)
    return found


def test_why_names_the_read_that_a_stalled_bucket_blocks(
    gcs_node: ShotfsNode, gcs: GcsBucket
) -> None:
    content = os.urandom(3 * 1024 * 1024)
    gcs.put(OAK, content)
    os.stat(gcs_node.show / "library/oak.png")
    with stalled(gcs, "read", gcs_node.show / "library/oak.png") as process:
        found = wait_for_waiting(gcs_node, "read")
        (wait, *_) = found["waiting"]
        assert (wait["asker"]["pid"], wait["asker"]["name"]) == (process.pid, "cat")
        assert wait["start"] == 0
        assert (found["kind"], found["state"], found["size_bytes"]) == ("file", "partial", 3 << 20)
        assert found["meaning"]["template"] == "library"
        assert found["stream"]["under_way"], found
        assert "being fetched" in found["reasons"][0]
        text = gcs_node.command("why", str(gcs_node.show / "library/oak.png")).stdout
        assert f"cat, pid {process.pid}" in text
        once = gcs_node.command("top", "--once").stdout
        assert "longest waits" in once
        assert OAK in once
        assert f"cat, pid {process.pid}" in once
        with Client(gcs_node.socket) as client:
            top = client.top()
        assert top["waiting"]["read"] >= 1
        assert [one["path"] for one in top["streams"]] == [OAK]
        assert gcs_node.metric("shotfs_waiting") >= 1
    # The reader has its bytes before they are verified and kept.
    wait_until(lambda: why(gcs_node, OAK)["state"] == "cached")
    found = why(gcs_node, OAK)
    assert (found["tier"], found["waiting"]) == ("cache", [])
    assert gcs_node.metric("shotfs_wait_seconds_count") >= 1


def test_why_names_the_look_up_that_a_stalled_bucket_blocks(
    gcs_node: ShotfsNode, gcs: GcsBucket
) -> None:
    gcs.put(OAK, b"oak")
    with stalled(gcs, "stat", gcs_node.show / "library/oak.png") as process:
        found = wait_for_waiting(gcs_node, "lookup")
        assert [one["asker"]["pid"] for one in found["waiting"]] == [process.pid]
    assert found["kind"] == "unknown"
    assert "did not say within" in found["problem"]
    assert found["meaning"]["template"] == "library"


def test_s12_another_user_is_not_told_whose_processes_wait(
    new_node: NewNode, gcs: GcsBucket, as_nobody: list[str]
) -> None:
    if os.getuid() != 0:
        pytest.skip("asking as another user needs root")
    settings = f"[mount]\nallow_other = true\n{gcs_settings(gcs)}"
    node = new_node(f"gs://{gcs.bucket}/ant", settings=settings).mount()
    gcs.put(OAK, os.urandom(3 * 1024 * 1024))
    os.stat(node.show / "library/oak.png")
    with stalled(gcs, "read", node.show / "library/oak.png") as process:
        wait_for_waiting(node, "read")
        answer, top = (
            subprocess.run(
                [*as_nobody, "/usr/bin/python3", "-c", ASK, node.socket, target],
                capture_output=True,
                text=True,
                check=True,
            ).stdout
            for target in (f"/v1/why?path={OAK}", "/v1/top")
        )
    assert json.loads(answer)["state"] == "partial"
    assert "another user" in answer
    assert str(process.pid) not in answer
    assert json.loads(top)["waiting"]["read"] >= 1
    assert json.loads(top)["waits"] == json.loads(top)["streams"] == []
    assert OAK not in top


def test_what_is_cached_is_listed_pinned_and_let_go_by_path(
    gcs_node: ShotfsNode, gcs: GcsBucket
) -> None:
    for number in range(5):
        gcs.put(f"ant/library/set/{number}.png", bytes([number]) * (number + 1) * 1000)
    done = gcs_node.command(
        "cache", "pin", "ant/library/set", "--owner", "xy_010", "--for", "3d", "--fetch"
    )
    assert done.stdout.startswith("5 files, 14.6 KiB, pinned for xy_010; 0 were here, 5 fetched")
    listed = gcs_node.command("cache", "ls", "--sort", "size").stdout.splitlines()
    assert [line.split()[-1] for line in listed] == [
        f"ant/library/set/{number}.png" for number in (4, 3, 2, 1, 0)
    ]
    assert all(line.startswith("p") for line in listed)
    with Client(gcs_node.socket) as client:
        pins = client.pins()["pins"]
    assert {(one["owner"], one["cached"]) for one in pins} == {("xy_010", True)}
    assert why(gcs_node, "ant/library/set/3.png")["pins"][0]["owner"] == "xy_010"

    gone = evict(gcs_node, "ant/library/set")
    assert (gone["files"], gone["pinned"]) == (0, 5)
    assert gcs_node.command("cache", "unpin", "--owner", "xy_010").stdout.startswith("5 pins")
    with open(gcs_node.show / "library/set/0.png", "rb") as file:
        assert file.read(1) == b"\0"
        gone = evict(gcs_node, "ant/library/set")
    assert (gone["files"], gone["open"], gone["pinned"]) == (4, 1, 0)
    with Client(gcs_node.socket) as client:
        left = client.entries("ant/library")["entries"]
    assert [one["paths"] for one in left] == [["ant/library/set/0.png"]]


def test_metrics_are_served_on_the_port_of_the_configuration(
    new_node: NewNode, origin: Path
) -> None:
    import socket

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    node = new_node(
        f"file://{origin}", settings=f'[control]\nmetrics_listen = "127.0.0.1:{port}"\n'
    ).mount()
    (origin / "library").mkdir()
    (origin / "library/oak.png").write_bytes(b"oak")
    assert (node.show / "library/oak.png").read_bytes() == b"oak"
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=20) as answer:
        text = answer.read().decode()
    # Whether the first read had to wait is a race: the open has asked for a small file already.
    assert 'shotfs_wait_seconds_count{what="first byte"}' in text
    assert 'shotfs_upcall_seconds_count{op="open"}' in text
    assert node.status()["metrics"] == {"listen": f"127.0.0.1:{port}", "problem": None}
