"""A disk whose writes are recorded: ext4 on a loop device on a file that `recorder` serves."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from contextlib import ExitStack, suppress
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.faults.power.recorder import NAME

SIZE_BYTES = 4 << 30
"""Sparse. With less room the kernel is not let write outputs by itself (`publish.lending`)."""

FILE_SYSTEM = (
    "mkfs.ext4", "-q", "-F",
    "-O", "has_journal",
    "-J", "size=16",
    "-N", "8192",  # few inodes: their tables are zeroed, and that should not fill the log
    "-E", "lazy_itable_init=0,nodiscard",
)  # fmt: skip

PATIENCE_S = 10.0


class RecordedDisk:
    """An ext4, mounted on *directory*/disk for the block, and the log of what reached its device.

    Needs root, /dev/fuse and a free loop device. Nothing is left mounted or attached: the loop
    device detaches itself when its file system is unmounted, also when it is by somebody else.

    Args:
        directory: exists; of the files and mount points.

    Attributes:
        path: the mounted file system, 0700.
        base: image of the empty file system.
        log: what was written since, see `recorder`.
    """

    def __init__(self, directory: Path) -> None:
        self.path = directory / "disk"
        self.base = directory / "base.img"
        self.log = directory / "writes.log"
        self._image = directory / "disk.img"
        self._served = directory / "recorder"
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            with open(self._image, "wb") as image:
                image.truncate(SIZE_BYTES)
            run(*FILE_SYSTEM, str(self._image))
            run("cp", "--sparse=always", str(self._image), str(self.base))
            self.path.mkdir()
            self._served.mkdir()
            stack.callback(self._image.unlink)
            self._start_recorder(stack)
            device = run(
                "losetup", "--find", "--show", "--direct-io=on",
                str(self._served / os.fsdecode(NAME)),
            )  # fmt: skip
            try:
                stack.callback(unmount, self.path)
                run("mount", "-t", "ext4", device, str(self.path))
            finally:
                run("losetup", "--detach", device)  # when it is not mounted any more
            self.path.chmod(0o700)
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._stack.close()

    def _start_recorder(self, stack: ExitStack) -> None:
        command = (
            sys.executable, "-m", "tests.faults.power.recorder",
            str(self.log), str(self._image), str(self._served),
        )  # fmt: skip
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        stack.callback(_end, process)
        stack.callback(unmount, self._served)
        assert process.stdout is not None
        with process.stdout as said:
            assert said.readline() == "ready\n", "the recorder cannot mount (it said why)"


def _end(process: subprocess.Popen[str]) -> None:
    """Wait for a recorder that was unmounted."""
    try:
        process.wait(PATIENCE_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def unmount(path: Path, *, patience_s: float = PATIENCE_S) -> None:
    """Unmount *path* if it is mounted; lazily if something there is in use for too long."""
    end = time.monotonic() + patience_s
    while path.is_mount() and time.monotonic() < end:
        if subprocess.run(("umount", str(path)), check=False, capture_output=True).returncode == 0:
            return
        time.sleep(0.02)  # the loop device lets go of its file a moment after it is unmounted
    with suppress(subprocess.CalledProcessError):
        run("umount", "--lazy", str(path))


def run(*command: str) -> str:
    """Run *command*, return what it printed."""
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return done.stdout.strip()
