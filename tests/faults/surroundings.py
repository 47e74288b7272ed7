"""What a node believes of its surroundings: addresses of hosts, and what time it is.

A small library that is preloaded into the processes of a node answers for the C library, so that
Python's clients and the Rust of obstore are told the same. Nothing of the machine is changed.
What it cannot do: the kernel's own time stamps, and processes that make system calls themselves.
"""

from __future__ import annotations

import shutil
import struct
import subprocess
from pathlib import Path

import pytest

SOURCE = Path(__file__).with_name("surroundings.c")


class Surroundings:
    """The surroundings of the nodes that are started while it is in force; see `surroundings.c`.

    Args:
        directory: for its files.
        environment: of this process, which nodes inherit; put back when the test ends.
    """

    def __init__(self, directory: Path, environment: pytest.MonkeyPatch) -> None:
        self._hosts = directory / "hosts"
        self._clock = directory / "clock"
        self._clock.write_bytes(struct.pack("=q", 0))
        library = directory / "surroundings.so"
        command = ["cc", "-shared", "-fPIC", "-O1", "-Wall", "-Werror", "-o", library, SOURCE]
        subprocess.run(command, check=True, capture_output=True)
        environment.setenv("LD_PRELOAD", str(library))
        environment.setenv("SHOTFS_TEST_HOSTS", str(self._hosts))
        environment.setenv("SHOTFS_TEST_CLOCK", str(self._clock))

    def resolve_names(self, *, found: bool) -> None:
        """Let names that end in ``.invalid`` be 127.0.0.1 from now on, or have no address."""
        if found:
            self._hosts.touch()
        else:
            self._hosts.unlink(missing_ok=True)

    def set_clock(self, seconds: float) -> None:
        """Let the wall clock be off by so many seconds from now on."""
        with open(self._clock, "r+b", buffering=0) as file:
            file.write(struct.pack("=q", int(seconds * 1e9)))


def compiler() -> str | None:
    """Return the C compiler, None where there is none."""
    return shutil.which("cc")
