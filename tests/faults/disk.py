"""A disk that is soon full: a tmpfs of a few megabytes."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from types import TracebackType
from typing import Self


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

    @property
    def free_bytes(self) -> int:
        """How many bytes can still be written."""
        status = os.statvfs(self.path)
        return status.f_bavail * status.f_frsize

    def fill(self) -> None:
        """Let somebody else take all that is free."""
        with open(self._filler, "wb") as file:
            os.posix_fallocate(file.fileno(), 0, self.free_bytes)

    def make_room(self) -> None:
        """Take back what `fill` took."""
        self._filler.unlink()


def _run(*command: str) -> None:
    subprocess.run(command, check=True, capture_output=True, text=True)
