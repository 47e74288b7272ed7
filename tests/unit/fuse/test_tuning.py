"""Tuning: which device a mount is, and what is written where. This machine is not changed."""

from __future__ import annotations

import builtins
import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from shotfs.fuse import tuning
from shotfs.fuse.tuning import Tuned, device_of, tune

TABLE = """\
22 1 8:1 / / rw,relatime - ext4 /dev/sda1 rw
30 22 0:40 / /mnt/shows rw - fuse.shotfs shotfs rw
31 22 0:41 / /mnt/with\\040space rw - fuse.shotfs shotfs rw
32 22 0:42 / /mnt/shows rw - fuse.shotfs shotfs rw
33 22 0:43 / /mnt/shows/below rw - tmpfs tmpfs rw
"""


class Kernel:
    """Stands for /proc and /sys: a mount table and the files that may be written."""

    def __init__(self, *writable: str) -> None:
        self.table = TABLE
        self.files = dict.fromkeys(writable, "")
        self.opened: list[str] = []

    def open(self, path: str, mode: str = "r", **_: Any) -> Any:
        if path == "/proc/self/mountinfo":
            return io.StringIO(self.table)
        self.opened.append(path)
        if path not in self.files:
            raise PermissionError(13, "Permission denied", path)
        return _Written(lambda text: self.files.__setitem__(path, text))


class _Written(io.StringIO):
    def __init__(self, store: Callable[[str], None]) -> None:
        super().__init__()
        self._store = store

    def close(self) -> None:
        if not self.closed:
            self._store(self.getvalue())
        super().close()


@pytest.fixture
def kernel(monkeypatch: pytest.MonkeyPatch) -> Kernel:
    kernel = Kernel()
    monkeypatch.setattr(builtins, "open", kernel.open)
    monkeypatch.setattr(tuning, "_mount_control_file_system", lambda: None)
    return kernel


READ_AHEAD = "/sys/class/bdi/0:42/read_ahead_kb"
BACKGROUND = f"{tuning.CONNECTIONS}/42/max_background"
THRESHOLD = f"{tuning.CONNECTIONS}/42/congestion_threshold"


def test_the_device_is_that_of_the_topmost_mount(kernel: Kernel) -> None:
    assert device_of("/mnt/shows") == (0, 42)
    assert device_of("/mnt/with space") == (0, 41)
    assert device_of("/mnt/none") is None


def test_a_link_on_the_way_is_followed_but_the_mount_is_not_touched(
    kernel: Kernel, tmp_path: Path
) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    kernel.table += f"40 22 0:50 / {tmp_path}/real/shows rw - fuse.shotfs shotfs rw\n"
    assert device_of(str(tmp_path / "link/shows")) == (0, 50)


def test_everything_is_raised_where_we_may(kernel: Kernel) -> None:
    kernel.files = dict.fromkeys((READ_AHEAD, BACKGROUND, THRESHOLD), "")
    tuned = tune("/mnt/shows", max_background=1000, readahead_bytes=1024 * 1024)
    assert tuned == Tuned(max_background=1000, readahead_bytes=1024 * 1024)
    assert kernel.files == {READ_AHEAD: "1024\n", BACKGROUND: "1000\n", THRESHOLD: "750\n"}


def test_without_privileges_the_kernels_defaults_stay_and_we_say_so(kernel: Kernel) -> None:
    assert tune("/mnt/shows", max_background=1000, readahead_bytes=2**20) == Tuned(None, None)
    assert kernel.opened == [READ_AHEAD, BACKGROUND], "no threshold above the default limit"


def test_one_limit_may_be_writable_without_the_other(kernel: Kernel) -> None:
    kernel.files = {READ_AHEAD: ""}
    assert tune("/mnt/shows", max_background=9, readahead_bytes=2**20) == Tuned(None, 2**20)


def test_what_is_not_mounted_is_not_tuned(kernel: Kernel) -> None:
    assert tune("/mnt/none", max_background=9, readahead_bytes=2**20) == Tuned(None, None)
    assert kernel.opened == []


def test_the_control_file_system_is_mounted_if_root_finds_it_missing(
    kernel: Kernel, monkeypatch: pytest.MonkeyPatch
) -> None:
    mounted: list[bool] = []
    monkeypatch.setattr(tuning, "_mount_control_file_system", lambda: mounted.append(True))
    monkeypatch.setattr("os.path.isdir", lambda _path: False)
    for uid, expected in ((1000, 0), (0, 1)):
        monkeypatch.setattr("os.geteuid", lambda uid=uid: uid)
        tune("/mnt/shows", max_background=9, readahead_bytes=2**20)
        assert len(mounted) == expected
