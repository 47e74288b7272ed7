"""`shotfs mount`, `unmount`, `serve` as real processes, with a stand-in for the service."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from typer.testing import CliRunner

from shotfs.cli import main
from shotfs.control import daemon
from shotfs.control.client import Client
from shotfs.errors import ServiceNotRunning
from shotfs.fuse import mountpoint
from shotfs.fuse.mountpoint import MountpointState
from tests.unit.control.mounts import dead_mount, detach, needs_mount, tiny_mount

pytestmark = [pytest.mark.kernel, needs_mount]

REPOSITORY = Path(__file__).parents[3]
FAKE_APP = Path(__file__).with_name("fake_app")


@dataclass
class Node:
    """A node of its own: configuration, cache, socket, mountpoint."""

    root: Path

    @property
    def place(self) -> Path:
        return self.root / "shows"

    @property
    def socket(self) -> str:
        return str(self.root / "control.sock")

    @property
    def log(self) -> Path:
        return self.root / "cache" / "service.log"

    @property
    def record(self) -> str:
        return (self.root / "record").read_text()

    def shotfs(self, *arguments: str, fake: str = "") -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "shotfs.cli.main", *arguments],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
            cwd=self.root,
            env={
                **os.environ,
                "PYTHONPATH": f"{FAKE_APP}:{REPOSITORY}",
                "SHOTFS_CONFIG": "shotfs.toml",
                "FAKE_SHOTFS": fake,
                "TMPDIR": str(self.root),
                "FAKE_RECORD": str(self.root / "record"),
                "NOTIFY_SOCKET": "@not-for-the-background",
            },
        )

    def mount(self, *options: str, fake: str = "") -> subprocess.CompletedProcess[str]:
        return self.shotfs("mount", *options, "shows", fake=fake)

    @property
    def state(self) -> MountpointState:
        return mountpoint.inspect(str(self.place))


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Node]:
    node = Node(tmp_path)
    node.place.mkdir()
    (tmp_path / "shotfs.toml").write_text(
        f'[cache]\ndirectory = "{tmp_path}/cache"\n[control]\nsocket = "{node.socket}"\n'
    )
    yield node
    try:
        with Client(node.socket) as client:
            pid = client.status()["pid"]
        os.kill(pid, signal.SIGKILL)
    except (ServiceNotRunning, ProcessLookupError):
        assert True  # nothing runs
    detach(node.place)


def test_mount_returns_when_the_mount_serves_and_unmount_when_it_is_gone(node: Node) -> None:
    done = node.mount("--read-only")
    assert done.returncode == 0, done.stderr
    assert f"mounted on {node.place}" in done.stderr
    assert node.state is MountpointState.MOUNTED_SHOTFS
    # Read-only was passed on; the service is detached: from "/", in a session of its own.
    assert node.record == f"True False {node.place} / True None"
    with Client(node.socket) as client:
        pid = client.status()["pid"]

    done = node.shotfs("unmount", "shows")
    assert done.returncode == 0, done.stderr
    assert node.state is MountpointState.READY
    assert not os.path.exists(f"/proc/{pid}/cwd") or _is_zombie(pid)
    assert not os.path.exists(node.socket)


def test_zero_upcall_is_passed_on_to_the_service(node: Node) -> None:
    done = node.mount("--read-only", "--zero-upcall")
    assert done.returncode == 0, done.stderr
    assert node.record.startswith(f"True True {node.place} ")


def _is_zombie(pid: int) -> bool:
    return " Z " in Path(f"/proc/{pid}/stat").read_text()


@pytest.mark.parametrize(
    ("fake", "code", "text"),
    [
        ("denied", 6, "gs://b: 401\n  fix: look at credentials_file"),
        ("busy", 5, "in use by pid 7\n  fix: set cache.directory"),
        ("file missing", 1, "shotfs: /x/spec.json: No such file or directory\n"),
        ("bug", 70, "internal error: ZeroDivisionError: oops"),
        ("silent", 5, "| last words"),
        ("killed while mounted", 5, "killed by SIGKILL"),
    ],
)
def test_service_that_does_not_come_up_gives_its_error_and_leaves_nothing_mounted(
    node: Node, fake: str, code: int, text: str
) -> None:
    done = node.mount(fake=fake)
    assert done.returncode == code, done.stderr
    assert text in done.stderr
    assert "Traceback" not in done.stderr
    assert node.state is MountpointState.READY


def test_service_that_takes_too_long_is_ended(node: Node) -> None:
    done = node.mount("--start-timeout", "1", fake="slow")
    assert done.returncode == 5
    assert "did not come up within 1 s" in done.stderr
    assert node.state is MountpointState.READY
    with Client(node.socket) as client, pytest.raises(ServiceNotRunning):
        client.status()


def test_second_mount_on_the_same_place_is_refused_and_the_first_lives_on(node: Node) -> None:
    assert node.mount().returncode == 0
    done = node.mount()
    assert done.returncode == 5
    assert "mounted there already" in done.stderr
    assert node.state is MountpointState.MOUNTED_SHOTFS


def test_mount_clears_what_a_killed_service_left(node: Node) -> None:
    assert node.mount().returncode == 0
    with Client(node.socket) as client:
        os.kill(client.status()["pid"], signal.SIGKILL)
    done = node.mount()
    assert done.returncode == 0, done.stderr
    assert node.state is MountpointState.MOUNTED_SHOTFS


@pytest.mark.parametrize(
    ("place", "text"),
    [("nothing", "no such directory"), ("shotfs.toml", "not a directory"), (".", "not empty")],
)
def test_bad_mountpoint_is_exit_5_with_a_fix(node: Node, place: str, text: str) -> None:
    done = node.shotfs("mount", place)
    assert done.returncode == 5
    assert text in done.stderr
    assert "fix: " in done.stderr


def test_bad_configuration_is_exit_3_and_nothing_starts(node: Node) -> None:
    (node.root / "shotfs.toml").write_text("[cache]\nbytes_maxx = 3\n")
    done = node.mount()
    assert done.returncode == 3
    assert "shotfs.toml:2" in done.stderr
    assert not node.log.exists()


def test_log_of_the_background_service_is_private(node: Node) -> None:
    assert node.mount().returncode == 0
    assert os.stat(node.log).st_mode & 0o777 == 0o600
    assert os.stat(node.log.parent).st_mode & 0o777 == 0o700


def test_unmount_keeps_the_mount_while_outputs_are_not_in_the_origin(node: Node) -> None:
    assert node.mount(fake="stuck").returncode == 0
    done = node.shotfs("unmount", "--deadline", "2", "shows")
    assert done.returncode == 5
    assert "1 outputs are not in the origin" in done.stderr
    assert "show/a.exr: origin is down" in done.stderr
    assert node.state is MountpointState.MOUNTED_SHOTFS

    done = node.shotfs("unmount", "--force", "shows")
    assert done.returncode == 0, done.stderr
    assert node.state is MountpointState.READY


def test_unmount_of_a_mount_in_use_is_refused_unless_forced(node: Node) -> None:
    assert node.mount().returncode == 0
    held = os.open(node.place, os.O_RDONLY | os.O_DIRECTORY)
    try:
        done = node.shotfs("unmount", "shows")
        assert done.returncode == 5
        assert "files in it are open" in done.stderr
        assert node.state is MountpointState.MOUNTED_SHOTFS
        assert node.shotfs("unmount", "--force", "shows").returncode == 0
    finally:
        os.close(held)
    assert node.state is MountpointState.READY


def test_unmount_of_a_dead_mount_clears_it(node: Node) -> None:
    with dead_mount(node.place):
        done = node.shotfs("unmount", "shows")
        assert done.returncode == 0, done.stderr
        assert "cleared the dead mount" in done.stderr
        assert node.state is MountpointState.READY


def test_unmount_of_a_mount_of_another_configuration_needs_force(node: Node) -> None:
    with tiny_mount(node.place):
        done = node.shotfs("unmount", "shows")
        assert done.returncode == 4
        assert "--config" in done.stderr
        assert node.state is MountpointState.MOUNTED_SHOTFS
        assert node.shotfs("unmount", "--force", "shows").returncode == 0
        assert node.state is MountpointState.READY


def test_unmount_of_a_hung_mount_needs_force(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    # In this process, where the five seconds that a mount has to answer can be made shorter.
    monkeypatch.setitem(mountpoint.inspect.__kwdefaults__, "timeout_s", 0.3)
    with tiny_mount(node.place) as process:
        process.send_signal(signal.SIGSTOP)
        done = CliRunner().invoke(main.app, ["unmount", str(node.place)])
        assert done.exit_code == 5
        assert "--force" in done.output
        assert mountpoint.mount_at(str(node.place)) is not None
        done = CliRunner().invoke(main.app, ["unmount", "--force", str(node.place)])
        assert done.exit_code == 0
        assert mountpoint.mount_at(str(node.place)) is None


def test_log_that_cannot_be_written_is_an_error_with_the_setting(node: Node) -> None:
    (node.root / "cache").touch()
    done = node.mount()
    assert done.returncode == 5
    assert "cannot write the service's log" in done.stderr
    assert "cache.directory" in done.stderr


def test_log_of_ours_is_renamed_when_it_has_grown(tmp_path: Path) -> None:
    path = tmp_path / "service.log"
    path.touch()
    os.truncate(path, daemon.LOG_BYTES_MAX + 1)
    daemon.open_log(str(path), ours=True).close()
    assert path.stat().st_size == 0
    assert (tmp_path / "service.log.1").stat().st_size == daemon.LOG_BYTES_MAX + 1


def test_log_in_a_directory_that_others_write_is_not_followed(tmp_path: Path) -> None:
    tmp_path.chmod(0o777)
    (tmp_path / "service.log").symlink_to(tmp_path / "victim")
    with daemon.open_log(str(tmp_path / "service.log"), ours=True) as log:
        log.write(b"text")
    assert not (tmp_path / "victim").exists()
    tmp_path.chmod(0o700)


def test_unmount_of_nothing_is_exit_5(node: Node) -> None:
    done = node.shotfs("unmount", "shows")
    assert done.returncode == 5
    assert "nothing is mounted there" in done.stderr


def test_serve_answers_without_a_mount_and_ends_by_sigterm(node: Node) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "shotfs.cli.main", "serve", "--ready-fd", "1"],
        stdout=subprocess.PIPE,
        text=True,
        cwd=node.root,
        env={
            **os.environ,
            "PYTHONPATH": f"{FAKE_APP}:{REPOSITORY}",
            "SHOTFS_CONFIG": "shotfs.toml",
        },
    )
    assert process.stdout is not None
    with process.stdout:
        assert process.stdout.readline() == '{"ready": true}\n'
    status = node.shotfs("status")
    assert status.returncode == 0
    rows = [line.split() for line in status.stdout.splitlines()]
    assert ["cache.bytes_used", "2.0", "KiB"] in rows
    process.terminate()
    assert process.wait(20) == 0
