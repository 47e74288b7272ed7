"""Disks that are soon full, refuse to be written, or fail."""

from __future__ import annotations

import fcntl
import os
import struct
import subprocess
from pathlib import Path
from types import TracebackType
from typing import Self

import pytest

_EXT4_IOC_SHUTDOWN = 0x8004587D
_NO_LOG_FLUSH = 2
"""EXT4_GOING_FLAGS_NOLOGFLUSH: what is not on the disk yet is lost, too."""


class SmallDisk:
    """A file system of *size_bytes*, mounted on *path* for the block. Needs root."""

    def __init__(self, path: Path, size_bytes: int) -> None:
        self.path = path
        self._size_bytes = size_bytes
        self._filler = path / "filler"

    def __enter__(self) -> Self:
        self.path.mkdir()
        options = f"size={self._size_bytes},mode=0700"
        _run("mount", "-t", "tmpfs", "-o", options, "shotfs-test", str(self.path))
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        # Lazily: a node that a failed test left behind may still have files open here.
        _run("umount", "--lazy", str(self.path))

    def resize(self, size_bytes: int) -> None:
        """Make it smaller or larger; what is on it stays."""
        _run("mount", "-o", f"remount,size={size_bytes}", str(self.path))
        self._size_bytes = size_bytes

    def fill(self) -> None:
        """Let somebody else take all that is free, whatever is written here meanwhile."""
        with open(self._filler, "ab", buffering=0) as file:
            for piece in (65536, 4096):
                with pytest.raises(OSError, match="No space left"):
                    file.writelines(bytes(piece) for _ in range(self._size_bytes // piece + 1))

    def make_room(self) -> None:
        """Take back what `fill` took."""
        self._filler.unlink()


class FailingDisk:
    """An ext4 in a file, mounted on *path* for the block, that fails when told to. Needs root.

    Args:
        path: made; the mount point.
        size_bytes: of the file system.
    """

    def __init__(self, path: Path, size_bytes: int) -> None:
        self.path = path
        self._image = path.with_name(f"{path.name}.image")
        self._size_bytes = size_bytes

    def __enter__(self) -> Self:
        self.path.mkdir()
        with open(self._image, "wb") as image:
            image.truncate(self._size_bytes)
        _run("mkfs.ext4", "-q", "-F", str(self._image))
        self._mount()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        _run("umount", "--lazy", str(self.path))

    def _mount(self) -> None:
        _run("mount", "-o", "loop,errors=remount-ro", str(self._image), str(self.path))
        self.path.chmod(0o700)

    def go_read_only(self) -> None:
        """Let the kernel find an error in the file system: it refuses every write from now on."""
        command = ("findmnt", "--noheadings", "--output", "SOURCE", str(self.path))
        found = subprocess.run(command, check=True, capture_output=True, text=True)
        device = Path(found.stdout.strip()).name
        Path(f"/sys/fs/ext4/{device}/trigger_fs_error").write_text("1")

    def fail(self) -> None:
        """Answer everything with EIO from now on, as a disk that was pulled out does."""
        descriptor = os.open(self.path, os.O_RDONLY)
        try:
            fcntl.ioctl(descriptor, _EXT4_IOC_SHUTDOWN, struct.pack("I", _NO_LOG_FLUSH))
        finally:
            os.close(descriptor)

    def repair(self) -> None:
        """Check the file system and mount it again. Nobody may use it."""
        _run("umount", str(self.path))
        # 1 and 2: errors were corrected, which is why it is run.
        done = subprocess.run(
            ("e2fsck", "-f", "-y", str(self._image)), check=False, capture_output=True, text=True
        )
        assert done.returncode in (0, 1, 2), done.stdout
        self._mount()


def _run(*command: str) -> None:
    subprocess.run(command, check=True, capture_output=True, text=True)
