"""Mounts for tests: made for real, taken away for certain."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

TINY = Path(__file__).with_name("tiny_mount.py")


def _can_mount() -> bool:
    return os.geteuid() == 0 and os.path.exists("/dev/fuse")


needs_mount = pytest.mark.skipif(not _can_mount(), reason="mounts as root")


def detach(path: Path) -> None:
    """Take everything off *path*, whatever is there."""
    while (
        subprocess.run(["umount", "-l", "-c", path], capture_output=True, check=False).returncode
        == 0
    ):
        continue


@contextmanager
def tiny_mount(
    path: Path, mode: str = "serve", *, user: int | None = None
) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        [sys.executable, "-B", TINY, path, mode, "" if user is None else str(user)],
        stdout=subprocess.PIPE,
        text=True,
        cwd="/",
    )
    assert process.stdout is not None
    try:
        assert process.stdout.readline() == "ready\n"
        yield process
    finally:
        process.send_signal(signal.SIGCONT)
        process.kill()
        detach(path)
        process.wait(10)
        process.stdout.close()


@contextmanager
def dead_mount(path: Path) -> Iterator[None]:
    """A mount whose server was killed with -9."""
    with tiny_mount(path) as process:
        process.kill()
        process.wait(10)
        yield
