"""A real service without a mount, over an origin that is a directory of this disk."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

from shotfs.control.client import Client
from shotfs.errors import ServiceNotRunning
from tests.fuse.modes import KernelMode
from tests.fuse.node import SPEC, ShotfsNode, wait_until

SHOT = "ant/render/xy_1_100_030_00_v005"

DOCUMENT: dict[str, Any] = {
    **SPEC,
    "templates": {
        **SPEC["templates"],
        "secret": {"path": "secret/{name}.txt", "immutable": "on-close", "mode": "0600"},
    },
}


class Served:
    """A node in *directory*, and files in its origin."""

    def __init__(self, directory: Path, settings: str = "") -> None:
        self.origin = directory / "origin"
        self.origin.mkdir(parents=True)
        self.node = ShotfsNode(
            directory / "node",
            f"file://{self.origin}",
            spec=DOCUMENT,
            settings=settings,
            mode=KernelMode("serve"),
        )
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def socket(self) -> str:
        return self.node.socket

    def put(self, path: str, content: bytes) -> Path:
        """Put a file at *path* (relative to the mount) into the origin."""
        file = self.origin / path.removeprefix("ant/")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)
        return file

    def start(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "shotfs", "serve"], env=self.node.environment
        )
        wait_until(self._answers, 60)

    def _answers(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, self.node.log_text()
        try:
            self.node.status()
        except ServiceNotRunning:
            return False
        return True

    def stop(self) -> None:
        if self._process is None:
            return
        with Client(self.socket) as client:
            client.stop(drain=False, deadline_s=0)
        assert self._process.wait(60) == 0
        self._process = None


def let_through(path: Path) -> None:
    """Let other users reach what they may read below *path*."""
    for directory in (path, *path.parents):
        mode = directory.stat().st_mode
        if not mode & 0o001:
            directory.chmod(mode | 0o011)
