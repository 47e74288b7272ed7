"""A disk that is soon full: a tmpfs of a few megabytes."""

from __future__ import annotations

import subprocess
from pathlib import Path
from types import TracebackType
from typing import Self

import pytest


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

    def fill(self) -> None:
        """Let somebody else take all that is free, whatever is written here meanwhile."""
        with open(self._filler, "ab", buffering=0) as file:
            for piece in (65536, 4096):
                with pytest.raises(OSError, match="No space left"):
                    file.writelines(bytes(piece) for _ in range(self._size_bytes // piece + 1))

    def make_room(self) -> None:
        """Take back what `fill` took."""
        self._filler.unlink()


def _run(*command: str) -> None:
    subprocess.run(command, check=True, capture_output=True, text=True)
