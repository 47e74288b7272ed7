"""What pages show beside a mount works on one, over a bucket that keeps versions."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from tests.fuse.conftest import NewNode, gcs_settings
from tests.fuse.node import ShotfsNode
from tests.servers.handles import GcsBucket

from .pages import DOCS, Command, Document, compare, run_in_shell, steps

pytestmark = pytest.mark.kernel

MOUNTPOINT = "/shows"
BUCKET, OTHER_BUCKET = "gs://ant-main", "gs://ant-temp"
"""As the pages have them."""

PAGES = {"versions.md": 30, "path-spec.md": 8}
"""Pages, and how many commands beside a mount they show at least."""


class Stage:
    """A node and a directory in which a page runs; names that the page shows are put in and out.

    Args:
        node: not mounted.
        bucket: stands for the page's bucket.
        directory: the commands' working directory.
    """

    def __init__(self, node: ShotfsNode, bucket: GcsBucket, directory: Path) -> None:
        self._node = node
        self._names = (
            (MOUNTPOINT, str(node.mountpoint)),
            (OTHER_BUCKET, f"{bucket.url}/other"),
            (BUCKET, bucket.url),
            ("", f"{directory}/"),
        )
        self._directory = directory
        directory.mkdir()
        program = node.directory / "bin" / "shotfs"
        program.parent.mkdir()
        program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m shotfs "$@"\n')
        program.chmod(0o755)
        self._env = {
            "PATH": f"{program.parent}:{os.environ['PATH']}",
            "SHOTFS_CONFIG": str(node.config),
            # Real names are longer than those that the page shows: nothing may be folded.
            "COLUMNS": "400",
            "PYTHONPATH": os.pathsep.join(path for path in sys.path if path),
        }

    def write(self, document: Document) -> None:
        """Write what the page shows."""
        path = self._directory / document.name
        document.write(self._directory)
        path.write_text(self._inward(path.read_text()))

    def run(self, command: Command) -> tuple[int, str]:
        """Run what the page shows."""
        if command.text.startswith(("shotfs publish queue", "shotfs version show")):
            self._node.wait_published()
        command.text = f"cd {self._directory} && {self._inward(command.text)}"
        code, said = run_in_shell(command, self._env)
        if self._node.pid is None and "shotfs mount" in command.text and code == 0:
            self._node.pid = int(self._node.status()["pid"])
        for shown, real in self._names:
            said = said.replace(real, shown)
        return code, said

    def _inward(self, text: str) -> str:
        for shown, real in self._names:
            text = text.replace(shown, real) if shown else text
        return text


@pytest.fixture
def stage(new_node: NewNode, gcs: GcsBucket, tmp_path: Path) -> Stage:
    """A node whose show is the page's ``ant.json``."""
    gcs.keep_versions()
    work = tmp_path / "work"
    settings = f'[node]\nname = "node17"\n[shows.ant]\nspec = "{work}/ant.json"\n'
    node = new_node(f"{gcs.url}/ant", settings=settings + gcs_settings(gcs))
    return Stage(node, gcs, work)


@pytest.mark.slow
@pytest.mark.parametrize("name", PAGES)
def test_page_does_on_a_mount_what_it_says(name: str, stage: Stage) -> None:
    commands = 0
    for step in steps((DOCS / name).read_text()):
        if isinstance(step, Document):
            if step.name:
                stage.write(step)
        elif step.node:
            compare(step, *stage.run(step))
            commands += 1
        elif not step.text.startswith("shotfs "):
            stage.run(step)
    assert commands >= PAGES[name]
