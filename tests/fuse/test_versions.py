"""Versions and their aliases, through real mounts of two nodes over one bucket."""

from __future__ import annotations

import errno
import json
import os
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.fuse.conftest import NewNode, gcs_settings
from tests.fuse.node import ShotfsNode, wait_until
from tests.servers.faults import Fault
from tests.servers.handles import GcsBucket

pytestmark = pytest.mark.kernel

TTL_S = 1

SPEC: dict[str, Any] = {
    "spec": "shotfs-path/1",
    "show": "ant",
    "roots": {"main": "ORIGIN"},
    "defaults": {"origin": "main", "ttl": f"{TTL_S}s", "negative_ttl": f"{TTL_S}s"},
    "fields": {
        "seq": {"type": "str", "pattern": "[a-z]{2}"},
        "cut": {"type": "int", "pad": 3},
        "shot": {"type": "compound", "format": "{seq}_{cut}"},
        "version": {"type": "version", "scheme": "v%03d", "aliases": ["latest", "approved"]},
        "layer": {"type": "str", "pattern": "[a-z]+"},
        "frame": {"type": "frame", "pad": 4},
    },
    "templates": {
        "shot_root": {"path": "render/{shot}_{version}", "abstract": True},
        "frames": {
            "path": "{@shot_root}/{layer}/{shot}_{version}.{frame}.exr",
            "flow": "out",
            "immutable": "on-version-publish",
        },
        "notes": {"path": "{@shot_root}/{layer}.txt", "flow": "inout"},
    },
}

VERSION = "render/xy_010_v005"
FRAME = f"{VERSION}/beauty/xy_010_v005.1001.exr"
NOTE = f"{VERSION}/beauty.txt"
LATEST = "render/xy_010_latest"
APPROVED = "render/xy_010_approved"
KEY = f".shotfs/versions/{VERSION}.json"


ASK_TO_PUBLISH = """
import http.client, json, socket, sys
path, version = sys.argv[1:]
connection = http.client.HTTPConnection("shotfs")
connection.sock = socket.socket(socket.AF_UNIX)
connection.sock.connect(path)
connection.request("POST", "/v1/version/publish", json.dumps({"path": version}))
answer = connection.getresponse()
print(answer.status, answer.read().decode())
"""
"""A request of another user, without anything of ours that they might not be allowed to read."""


def _fails_with(number: int) -> pytest.RaisesExc[OSError]:
    return pytest.RaisesExc(OSError, check=lambda exc: exc.errno == number)


def _requests(gcs: GcsBucket) -> int:
    return sum(gcs.server.journal.counts(bucket=gcs.bucket).values())


@pytest.fixture
def node(new_node: NewNode, gcs: GcsBucket) -> ShotfsNode:
    """A mounted node."""
    return _node(new_node, gcs, "anna")


@pytest.fixture
def other(new_node: NewNode, gcs: GcsBucket) -> ShotfsNode:
    """Another one, over the same bucket."""
    return _node(new_node, gcs, "bert")


def _node(new_node: NewNode, gcs: GcsBucket, name: str) -> ShotfsNode:
    settings = f'[node]\nname = "{name}"\n{gcs_settings(gcs)}'
    return new_node(f"gs://{gcs.bucket}/ant", spec=SPEC, settings=settings).mount()


def _write(node: ShotfsNode, name: str, content: bytes) -> Path:
    path = node.show / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def _publish(node: ShotfsNode, *options: str) -> dict[str, Any]:
    done = node.command("version", "publish", str(node.show / VERSION), "--json", *options)
    report = json.loads(done.stdout)
    assert isinstance(report, dict)
    return report


# --- aliases -------------------------------------------------------------------------------------


def test_an_alias_moves_on_two_nodes_and_is_read_through(
    node: ShotfsNode, other: ShotfsNode
) -> None:
    _write(node, FRAME, b"fifth")
    _write(node, FRAME.replace("v005", "v006"), b"sixth")
    node.wait_published()
    assert not (other.show / APPROVED).exists()
    node.command("version", "alias", str(node.show / APPROVED), "v005", "--why", "by Kim")
    for one in (node, other):
        link = one.show / APPROVED
        wait_until(link.is_symlink)
        assert os.readlink(link) == "xy_010_v005"
        assert (link / "beauty/xy_010_v005.1001.exr").read_bytes() == b"fifth"
        assert "xy_010_approved" in os.listdir(one.show / "render")
        assert stat.S_ISLNK(os.lstat(link).st_mode)
    # Moved by the name of the directory, from the other node.
    other.command("version", "alias", f"ant/{APPROVED}", "xy_010_v006")
    assert os.readlink(other.show / APPROVED) == "xy_010_v006", "at once where it was moved"
    wait_until(lambda: os.readlink(node.show / APPROVED) == "xy_010_v006")
    assert (node.show / APPROVED / "beauty/xy_010_v006.1001.exr").read_bytes() == b"sixth"
    shown = node.command("spec", "aliases", str(node.show / APPROVED)).stdout
    assert [row.split()[0] for row in shown.splitlines()] == ["version", "v005", "v006"]
    assert "by Kim" in shown
    assert "@bert" in shown
    other.command("version", "alias", f"ant/{APPROVED}", "--none")
    assert not os.path.lexists(other.show / APPROVED)
    wait_until(lambda: not os.path.lexists(node.show / APPROVED))


def test_an_alias_cannot_be_made_or_changed_by_hand(node: ShotfsNode) -> None:
    frame = _write(node, FRAME, b"pixels")
    node.wait_published()
    node.command("version", "alias", f"ant/{APPROVED}", "v005")
    link = node.show / APPROVED
    latest = node.show / LATEST
    for attempt in (
        link.unlink,
        lambda: link.rename(latest),
        lambda: frame.rename(latest),
        latest.mkdir,
        lambda: latest.symlink_to("xy_010_v005"),
        lambda: latest.write_bytes(b""),
    ):
        with _fails_with(errno.EPERM):
            attempt()
    done = subprocess.run(
        ["ln", "-sfn", "xy_010_v004", str(link)], capture_output=True, text=True, check=False
    )
    assert done.returncode != 0
    assert "not permitted" in done.stderr
    assert os.readlink(link) == "xy_010_v005"


def test_s09_aliases_cost_nothing_while_they_are_known(node: ShotfsNode, gcs: GcsBucket) -> None:
    for name in ("xy_latest", "xy_010_newest", "xy_010_latest_x"):
        assert not (node.show / "render" / name).exists()
    assert not (node.show / ".shotfs").exists()
    assert _requests(gcs) == 0 or gcs.server.journal.counts(bucket=gcs.bucket).keys() <= {"list"}
    before = _requests(gcs)
    for _ in range(5):
        for name in ("xy_latest", "xy_010_newest"):
            assert not (node.show / "render" / name).exists()
    assert _requests(gcs) == before


# --- publishing ----------------------------------------------------------------------------------


def test_s02_s13_s14_a_published_version_refuses_every_change_on_every_node(
    node: ShotfsNode, other: ShotfsNode, gcs: GcsBucket
) -> None:
    _write(node, FRAME, b"pixels")
    _write(node, NOTE, b"notes")
    report = _publish(node, "--why", "final")
    assert (report["files"], report["bytes"]) == (2, 11)
    assert report["aliases"] == [{"path": f"ant/{LATEST}", "version": "v005", "moved": True}]
    _write(other, FRAME.replace("v005", "v006"), b"next")
    for one in (node, other):
        frame, note, top = one.show / FRAME, one.show / NOTE, one.show / VERSION
        outside = one.show / "render/xy_010_v006/depth.txt"
        outside.parent.mkdir(exist_ok=True)
        wait_until((one.show / LATEST).is_symlink)
        for path in (frame, note):
            with _fails_with(errno.EEXIST):
                os.close(os.open(path, os.O_WRONLY))
            with _fails_with(errno.EEXIST):
                path.write_bytes(b"other")
            with _fails_with(errno.EPERM):
                os.truncate(path, 0)
            with _fails_with(errno.EPERM):
                path.unlink()
            with _fails_with(errno.EPERM):
                path.rename(outside)
            with _fails_with(errno.EPERM):
                path.chmod(0o666)
            with _fails_with(errno.EPERM):
                os.utime(path, (1, 1))
        with _fails_with(errno.EPERM):
            (top / "depth.txt").write_bytes(b"new")
        with _fails_with(errno.EPERM):
            (top / "depth").mkdir()
        with _fails_with(errno.EPERM):
            (top / "depth.txt").symlink_to("beauty.txt")
        with _fails_with(errno.EPERM):
            (top / "beauty").rmdir()
        with _fails_with(errno.EPERM):
            (top / "beauty").rename(top / "depth")
        with _fails_with(errno.EPERM):
            top.rename(one.show / "render/xy_010_v007")
        outside.write_bytes(b"outside")
        with _fails_with(errno.EEXIST):
            outside.rename(note)
        with _fails_with(errno.EPERM):
            outside.rename(top / "depth.txt")
        assert frame.read_bytes() == b"pixels"
        assert note.read_bytes() == b"notes"
        assert sorted(os.listdir(top)) == ["beauty", "beauty.txt"]
    assert gcs.read(f"ant/{FRAME}") == b"pixels"


def test_s16_a_published_version_is_the_same_everywhere_and_needs_no_requests(
    node: ShotfsNode, other: ShotfsNode, gcs: GcsBucket
) -> None:
    _write(node, FRAME, b"pixels")
    _write(node, NOTE, b"notes")
    _publish(node)
    shown = []
    for one in (node, other):
        (one.show / FRAME).read_bytes()
        (one.show / NOTE).read_bytes()
        os.listdir(one.show / VERSION / "beauty")
        shown.append(_shown(one))
    assert shown[0] == shown[1]
    inodes = [os.stat(other.show / name).st_ino for name in (FRAME, NOTE)]
    other.remount()
    assert _shown(other) == shown[0]
    assert [os.stat(other.show / name).st_ino for name in (FRAME, NOTE)] == inodes
    before = _requests(gcs)
    for _ in range(3):
        for one in (node, other):
            subprocess.run(["ls", "-lR", str(one.show / VERSION)], check=True, capture_output=True)
            assert (one.show / FRAME).read_bytes() == b"pixels"
            assert not (one.show / VERSION / "depth.txt").exists()
            assert not (one.show / VERSION / "beauty/xy_010_v005.1002.exr").exists()
    within = [
        record
        for record in gcs.server.journal.records(bucket=gcs.bucket)[before:]
        if record.operation != "list" and VERSION in record.object
    ]
    assert within == []


def _shown(node: ShotfsNode) -> list[tuple[str, int, int, int]]:
    shown = []
    for name in (VERSION, f"{VERSION}/beauty", FRAME, NOTE):
        found = os.stat(node.show / name)
        shown.append((name, found.st_mode, found.st_size, found.st_mtime_ns))
    return shown


def test_a_version_with_open_files_is_not_published(node: ShotfsNode) -> None:
    path = _write(node, FRAME, b"pixels")
    with path.open("r+b") as file:
        file.write(b"half")
        done = node.command("version", "publish", f"ant/{VERSION}", check=False)
    assert done.returncode == 1
    assert "1001.exr: open for writing" in done.stderr
    assert "Traceback" not in done.stderr
    assert node.command("version", "publish", f"ant/{VERSION}").returncode == 0


def test_two_nodes_publish_at_once_and_one_wins(
    node: ShotfsNode, other: ShotfsNode, gcs: GcsBucket
) -> None:
    _write(node, FRAME, b"pixels")
    node.wait_published()
    wait_until((other.show / FRAME).exists)
    running = [
        subprocess.Popen(
            [sys.executable, "-m", "shotfs", "version", "publish", f"ant/{VERSION}", "--json"],
            env={**os.environ, "SHOTFS_CONFIG": str(one.config)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for one in (node, other)
    ]
    ended = [(one.communicate(timeout=60), one.returncode) for one in running]
    sealed = json.loads(gcs.read(f"ant/{KEY}"))
    winner = sealed["by"].rpartition("@")[2]
    assert sealed["state"] == "sealed"
    for (stdout, stderr), code in ended:
        if code == 0:
            assert json.loads(stdout)["by"] == sealed["by"]
        else:
            assert f"@{winner}" in stderr
    assert 0 in [code for _, code in ended]


def test_s05_a_node_killed_while_it_publishes_leaves_what_it_carries_on(
    node: ShotfsNode, other: ShotfsNode, gcs: GcsBucket
) -> None:
    _write(node, FRAME, b"pixels")
    node.wait_published()
    stalled = gcs.fault(Fault("stall", operation="list", times=None))
    command = subprocess.Popen(
        [sys.executable, "-m", "shotfs", "version", "publish", f"ant/{VERSION}"],
        env={**os.environ, "SHOTFS_CONFIG": str(node.config)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    stalled.wait_hits(1)
    node.kill()
    _, message = command.communicate(timeout=30)
    assert command.returncode != 0
    assert "Traceback" not in message
    stalled.release()
    assert json.loads(gcs.read(f"ant/{KEY}"))["state"] == "sealing"
    with _fails_with(errno.EPERM):
        (other.show / VERSION / "beauty/xy_010_v005.1002.exr").write_bytes(b"late")
    done = other.command("version", "publish", f"ant/{VERSION}", check=False)
    assert done.returncode == 1
    assert "@anna is publishing it" in done.stderr
    node.mount()
    assert _publish(node)["files"] == 1
    assert os.readlink(node.show / LATEST) == "xy_010_v005"


def test_s18_a_file_that_comes_too_late_is_kept_and_reported(
    node: ShotfsNode, other: ShotfsNode, gcs: GcsBucket
) -> None:
    _write(node, FRAME, b"pixels")
    late = other.show / FRAME.replace("1001", "1002")
    late.parent.mkdir(parents=True, exist_ok=True)
    with late.open("wb") as file:
        file.write(b"late")
        file.flush()
        assert _publish(node)["files"] == 1
    (item,) = other.wait_queue(state="quarantined")
    assert "too late: its version was published by" in item["error"]
    assert f"ant/{FRAME.replace('1001', '1002')}" not in gcs.names()
    wait_until(lambda: not late.exists())


def test_the_commands_say_what_a_version_is(node: ShotfsNode, gcs: GcsBucket) -> None:
    _write(node, FRAME, b"pixels")
    node.wait_published()
    shown = json.loads(node.command("version", "show", f"ant/{VERSION}", "--json").stdout)
    assert (shown["state"], shown["files"]) == ("open", 1)
    new = node.command("version", "new", str(node.show / FRAME)).stdout.strip()
    assert new == f"ant/{FRAME.replace('v005', 'v006')}"
    text = node.command("version", "publish", f"ant/{VERSION}").stdout
    assert "is published: 1 file" in text
    assert f"ant/{LATEST} points to v005" in text
    new = node.command("version", "new", f"ant/{LATEST}").stdout.strip()
    assert new == f"ant/{VERSION.replace('v005', 'v006')}"
    done = node.command("version", "new", "ant/nothing/like/it", check=False)
    assert (done.returncode, "no template can produce" in done.stderr) == (1, True)
    text = node.command("version", "show", str(node.show / LATEST)).stdout
    assert "sealed" in text
    assert "exactly as published" in node.command("version", "verify", f"ant/{VERSION}").stdout
    gcs.put(f"ant/{FRAME}", b"forged")
    done = node.command("version", "verify", f"ant/{VERSION}", check=False)
    assert done.returncode == 1
    assert "changed  beauty/xy_010_v005.1001.exr" in done.stdout
    done = node.command("version", "publish", "ant/render", check=False)
    assert done.returncode == 1
    assert "on-version-publish" in done.stderr
    done = node.command("version", "show", "/elsewhere/x", check=False)
    assert done.returncode == 1
    assert "not below the mount point" in done.stderr


def test_s02_forged_bytes_are_never_read_from_a_published_version(
    node: ShotfsNode, other: ShotfsNode, gcs: GcsBucket
) -> None:
    _write(node, FRAME, b"pixels")
    _publish(node)
    assert (other.show / FRAME).stat().st_size == 6
    gcs.put(f"ant/{FRAME}", b"forged")
    for _ in range(2):
        with pytest.RaisesExc(OSError, check=lambda exc: exc.errno in (errno.ESTALE, errno.EIO)):
            (other.show / FRAME).read_bytes()


def test_s12_who_may_not_write_the_version_may_not_publish_it(
    new_node: NewNode, gcs: GcsBucket, as_nobody: list[str]
) -> None:
    settings = f"[mount]\nallow_other = true\n{gcs_settings(gcs)}"
    node = new_node(f"gs://{gcs.bucket}/ant", spec=SPEC, settings=settings).mount()
    _write(node, FRAME, b"pixels")
    node.wait_published()
    os.chmod(node.socket, 0o666)
    done = subprocess.run(
        # Debian's own interpreter: that other user may not be let into our virtual environment.
        [*as_nobody, "/usr/bin/python3", "-c", ASK_TO_PUBLISH, node.socket, f"ant/{VERSION}"],
        env={"PATH": os.environ["PATH"]},
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    status, _, answer = done.stdout.partition(" ")
    assert status == "403"
    assert "who may write" in json.loads(answer)["message"]
    assert f"ant/{KEY}" not in gcs.names()


def test_a_command_without_a_service_says_so(new_node: NewNode, gcs: GcsBucket) -> None:
    node = new_node(f"gs://{gcs.bucket}/ant", spec=SPEC, settings=gcs_settings(gcs))
    for arguments in (
        ("version", "publish", f"ant/{VERSION}"),
        ("version", "show", f"ant/{VERSION}"),
        ("version", "alias", f"ant/{LATEST}", "v001"),
        ("spec", "aliases", f"ant/{LATEST}"),
    ):
        done = node.command(*arguments, check=False)
        assert done.returncode == 4
        assert "no shotfs service answers" in done.stderr
