"""Mountpoints: every state for real, and never a wait without an end."""

from __future__ import annotations

import os
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from shotfs.errors import MountFailed
from shotfs.fuse import mountpoint
from shotfs.fuse.mountpoint import MountpointState
from tests.unit.control.mounts import dead_mount, detach, needs_mount, tiny_mount

NOBODY = 65534


@pytest.fixture
def place(tmp_path: Path) -> Path:
    path = tmp_path / "shows"
    path.mkdir()
    return path


@pytest.fixture
def tmpfs(place: Path) -> Iterator[Path]:
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "none", place], check=True)
    yield place
    detach(place)


def test_empty_directory_is_ready(place: Path) -> None:
    assert mountpoint.inspect(str(place)) is MountpointState.READY
    assert mountpoint.ensure_ready(str(place)) == str(place)


def test_symbolic_links_and_dots_lead_to_the_real_path(place: Path, tmp_path: Path) -> None:
    link = tmp_path / "link"
    link.symlink_to(place)
    assert mountpoint.ensure_ready(f"{link}/../link/") == str(place)


def test_relative_path_becomes_absolute(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(place.parent)
    assert mountpoint.ensure_ready("shows") == str(place)


@pytest.mark.parametrize("name", ["a b", "tab\there", "back\\slash", "\udcff\udcfe", "ünï", "-rf"])
def test_odd_names_are_ready_too(tmp_path: Path, name: str) -> None:
    (tmp_path / name).mkdir()
    assert mountpoint.ensure_ready(str(tmp_path / name)) == str(tmp_path / name)


def test_missing_directory_is_refused_with_the_command_that_makes_it(tmp_path: Path) -> None:
    path = str(tmp_path / "nothing")
    assert mountpoint.inspect(path) is MountpointState.MISSING
    with pytest.raises(MountFailed, match="no such directory") as caught:
        mountpoint.ensure_ready(path)
    assert caught.value.fix == f"mkdir -p {path}"


def test_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.touch()
    assert mountpoint.inspect(str(path)) is MountpointState.NOT_A_DIRECTORY
    assert mountpoint.inspect(str(path / "below")) is MountpointState.NOT_A_DIRECTORY
    with pytest.raises(MountFailed, match="not a directory"):
        mountpoint.ensure_ready(str(path))


def test_directory_with_files_is_refused_and_they_stay(place: Path) -> None:
    (place / "work").touch()
    assert mountpoint.inspect(str(place)) is MountpointState.NOT_EMPTY
    with pytest.raises(MountFailed, match="not empty"):
        mountpoint.ensure_ready(str(place))
    assert (place / "work").exists()


@pytest.mark.kernel
@needs_mount
def test_other_file_system_is_refused_and_left_alone(tmpfs: Path) -> None:
    assert mountpoint.inspect(str(tmpfs)) is MountpointState.MOUNTED_OTHER
    with pytest.raises(MountFailed, match="another file system"):
        mountpoint.ensure_ready(str(tmpfs))
    assert mountpoint.mount_at(str(tmpfs)) is not None


@pytest.mark.kernel
@needs_mount
def test_mount_at_a_path_with_blanks_is_found(tmp_path: Path) -> None:
    path = tmp_path / "my shows\\ünï"
    path.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "none", path], check=True)
    try:
        assert mountpoint.inspect(str(path)) is MountpointState.MOUNTED_OTHER
    finally:
        detach(path)
    assert mountpoint.inspect(str(path)) is MountpointState.READY


@pytest.mark.kernel
@needs_mount
def test_live_mount_of_ours_is_refused_and_lives_on(place: Path) -> None:
    with tiny_mount(place):
        assert mountpoint.inspect(str(place)) is MountpointState.MOUNTED_SHOTFS
        assert str(place) in [entry.mountpoint for entry in mountpoint.shotfs_mounts()]
        with pytest.raises(MountFailed, match="mounted there already"):
            mountpoint.ensure_ready(str(place))
        assert mountpoint.inspect(str(place)) is MountpointState.MOUNTED_SHOTFS


@pytest.mark.kernel
@needs_mount
def test_dead_mount_is_cleared_and_the_directory_is_ready(
    place: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with dead_mount(place):
        assert mountpoint.inspect(str(place)) is MountpointState.DEAD
        assert mountpoint.ensure_ready(str(place)) == str(place)
        assert mountpoint.mount_at(str(place)) is None
    assert "dead mount" in caplog.text


@pytest.mark.kernel
@needs_mount
def test_dead_mount_is_found_through_a_symbolic_link(place: Path, tmp_path: Path) -> None:
    link = tmp_path / "link"
    link.symlink_to(tmp_path)
    with dead_mount(place):
        assert mountpoint.ensure_ready(str(link / "shows")) == str(place)


@pytest.mark.kernel
@needs_mount
def test_dead_mounts_on_top_of_each_other_are_all_cleared(place: Path) -> None:
    with dead_mount(place):
        mountpoint.detach(str(place), lazy=True)
        with tiny_mount(place) as lower, tiny_mount(place) as upper:
            for process in (upper, lower):
                process.kill()
                process.wait(10)
            assert mountpoint.inspect(str(place)) is MountpointState.DEAD
            mountpoint.recover(str(place))
            assert mountpoint.inspect(str(place)) is MountpointState.READY


@pytest.mark.kernel
@needs_mount
@pytest.mark.parametrize("how", ["stopped", "took the request and hangs"])
def test_s07_hung_mount_is_told_apart_from_a_dead_one_in_bounded_time(
    place: Path, how: str
) -> None:
    with tiny_mount(place, "serve" if how == "stopped" else "hang") as process:
        if how == "stopped":
            process.send_signal(signal.SIGSTOP)
        begin = time.monotonic()
        state = mountpoint.inspect(str(place), timeout_s=0.5)
        assert state is MountpointState.UNRESPONSIVE
        with pytest.raises(MountFailed, match="did not answer") as caught:
            mountpoint.ensure_ready(str(place), timeout_s=0.5)
        assert time.monotonic() - begin < 30, "both would wait for ever"
        assert "unmount --force" in str(caught.value.fix)
        assert mountpoint.mount_at(str(place)) is not None


@pytest.mark.kernel
@needs_mount
@pytest.mark.skipif(
    not os.path.exists("/dev/fuse") or not os.stat("/dev/fuse").st_mode & 0o006,
    reason="others may not mount here",
)
def test_root_tells_a_dead_mount_of_another_user_from_a_live_one() -> None:
    with tempfile.TemporaryDirectory(prefix="shotfs-mount-") as directory:
        os.chmod(directory, 0o755)
        place = Path(directory, "shows")
        place.mkdir()
        os.chown(place, NOBODY, NOBODY)
        with tiny_mount(place, user=NOBODY) as process:
            # Root is kept out of it, so the question is asked as its owner.
            with pytest.raises(PermissionError):
                os.listdir(place)
            assert mountpoint.inspect(str(place)) is MountpointState.MOUNTED_SHOTFS
            process.kill()
            process.wait(10)
            assert mountpoint.inspect(str(place)) is MountpointState.DEAD
            mountpoint.recover(str(place))
            assert mountpoint.inspect(str(place)) is MountpointState.READY


@pytest.mark.kernel
@needs_mount
def test_detach_of_a_mount_in_use_says_so_unless_lazy(place: Path) -> None:
    with tiny_mount(place):
        held = os.open(place, os.O_RDONLY | os.O_DIRECTORY)
        try:
            with pytest.raises(MountFailed, match="open or it is a working directory"):
                mountpoint.detach(str(place), lazy=False)
            mountpoint.detach(str(place), lazy=True)
        finally:
            os.close(held)
        assert mountpoint.mount_at(str(place)) is None


@pytest.mark.kernel
@needs_mount
def test_detach_of_nothing_is_an_error_with_the_program_s_reason(place: Path) -> None:
    with pytest.raises(MountFailed, match="not mounted"):
        mountpoint.detach(str(place), lazy=False)


def test_mount_table_is_parsed(tmp_path: Path) -> None:
    table = tmp_path / "mountinfo"
    table.write_text(
        "22 1 8:1 / / rw shared:1 - ext4 /dev/sda1 rw\n"
        "31 22 0:50 / /my\\040shows rw shared:2 master:1 - fuse.shotfs shotfs "
        "rw,user_id=1000,group_id=1001,default_permissions,allow_other\n"
        "32 22 0:51 / /x rw - fuse shotfs rw,user_id=0,group_id=0\n"
        "33 22 0:52 / /y rw - fuse.sshfs host: rw,user_id=0,group_id=0\n"
    )
    entries = mountpoint.mounts(str(table))
    assert [entry.mountpoint for entry in entries] == ["/", "/my shows", "/x", "/y"]
    assert [entry.is_shotfs for entry in entries] == [False, True, True, False]
    assert entries[1].owner == (1000, 1001)
    assert entries[1].allow_other
    assert entries[0].owner is None
    assert mountpoint.mount_at("/my shows/", str(table)) == entries[1]


def test_every_state_that_refuses_has_a_message_and_a_fix() -> None:
    for state in set(MountpointState) - {MountpointState.READY}:
        message, fix = mountpoint.refusal("/shows", state)
        assert message
        assert fix
