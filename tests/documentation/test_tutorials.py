"""Tutorials work as they are shown, from nothing, on a machine of their own."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from shotfs.control.client import Client
from shotfs.errors import ServiceNotRunning
from shotfs.fuse import mountpoint as mountpoints
from tests.fuse.node import wait_until

from .pages import DOCS, Command, Document, compare, run_in_shell, steps

pytestmark = pytest.mark.kernel

PAGES = {"tutorials/prewarm-a-shot.md": 15}
"""Pages, and how many commands they show at least."""

PLACES = {
    "/shows": "shows",
    "/bucket": "bucket",
    "/var/cache/shotfs": "cache",
    "/run/shotfs": "run",
    "/scratch": "scratch",
}
"""Places of the machine that the page is about, and where they are in the test's directory."""

UNSTEADY = ((re.compile(r"\(pid \d+\)"), "(pid 4711)"),)
"""What is never the same twice, and what pages show in its place; else they have ``...``."""


class Machine:
    """Where a tutorial runs."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._work = directory / "work"
        for name in ("work", "shows", "bucket", "run", "bin"):
            (directory / name).mkdir()
        (directory / "cache").mkdir(mode=0o700)
        program = directory / "bin" / "shotfs"
        program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m shotfs "$@"\n')
        program.chmod(0o755)
        self._env = {
            "PATH": f"{program.parent}:{os.environ['PATH']}",
            "HOME": str(self._work),
            "SHOTFS_CONFIG": str(self._work / "shotfs.toml"),
            "SHOTFS_LOCALIZE_PREFIX": str(directory / "shows"),
            # Real names are longer than those that the page shows: nothing may be folded.
            "COLUMNS": "400",
            "PYTHONPATH": os.pathsep.join(path for path in sys.path if path),
        }

    def write(self, document: Document) -> None:
        """Write what the page shows."""
        document.write(self._work)
        file = self._work / document.name
        file.write_text(self._inward(file.read_text()))
        if file.read_bytes().startswith(b"#!"):
            file.chmod(0o755)

    def run(self, command: Command) -> tuple[int, str]:
        """Run what the page shows."""
        command.text = f"cd {self._work} && {self._inward(command.text)}"
        code, said = run_in_shell(command, self._env)
        for shown, real in PLACES.items():
            said = said.replace(str(self._directory / real), shown)
        said = said.replace(f"{self._work}/", "")
        for pattern, shown in UNSTEADY:
            said = pattern.sub(shown, said)
        return code, said

    def end(self) -> None:
        """Take down what the page left, where it failed before its end."""
        mountpoint = str(self._directory / "shows")
        ready = (mountpoints.MountpointState.READY, mountpoints.MountpointState.MISSING)
        try:
            with Client(str(self._directory / "run" / "control.sock")) as client:
                client.stop(drain=False, deadline_s=0)
        except ServiceNotRunning:
            pass
        else:
            wait_until(lambda: mountpoints.inspect(mountpoint) in ready)
        if mountpoints.inspect(mountpoint) not in ready:
            mountpoints.detach(mountpoint, lazy=True)

    def _inward(self, text: str) -> str:
        for shown, real in PLACES.items():
            text = re.sub(rf"(?<![\w.]){shown}\b", str(self._directory / real), text)
        return text


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Machine]:
    machine = Machine(tmp_path)
    yield machine
    machine.end()


@pytest.mark.slow
@pytest.mark.timeout(400)  # each command is a process of its own, on a machine that is busy
@pytest.mark.parametrize("name", PAGES)
def test_tutorial_does_what_it_says(name: str, machine: Machine) -> None:
    commands = 0
    for step in steps((DOCS / name).read_text()):
        if isinstance(step, Document):
            if step.name:
                machine.write(step)
        else:
            compare(step, *machine.run(step))
            commands += 1
    assert commands >= PAGES[name]
