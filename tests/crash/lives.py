"""Forks lives of nodes: the other end of `life`."""

from __future__ import annotations

import json
import os
import selectors
import signal
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any, Self

from tests.crash import points
from tests.crash.life import Life
from tests.crash.points import Page

LIFE_S_MAX = 90.0
"""A life that lasts longer hangs: that is a failure of its own."""

PROJECT = Path(__file__).parents[2]

ALONE = {
    # gcsfs and botocore look for nothing beyond this machine.
    "GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT": "false",
    "NO_GCE_CHECK": "true",
    "GCE_METADATA_HOST": "127.0.0.1:9",
    "GCE_METADATA_IP": "127.0.0.1:9",
    "AWS_EC2_METADATA_DISABLED": "true",
}


class RoundFailed(AssertionError):
    """A life hung, or ended in another way than it should."""


class Lives:
    """Forks lives of nodes, one at a time. A context manager.

    Args:
        library: of the points.
        page: where traps are set.
        environment: that nodes need, of their origins.
        errors: a file for what lives say when they go wrong.
    """

    def __init__(
        self, library: Path, page: Page, environment: dict[str, str], errors: Path
    ) -> None:
        self._environment = {
            **os.environ,
            **ALONE,
            **environment,
            **points.environment(library, page),
            "PYTHONPATH": os.pathsep.join(
                one for one in (os.environ.get("PYTHONPATH"), str(PROJECT)) if one
            ),
        }
        self._errors = errors
        self._process: subprocess.Popen[str] | None = None

    def __enter__(self) -> Self:
        with open(self._errors, "w") as errors:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tests.crash.life"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
                env=self._environment,
                cwd=PROJECT,
            )
        return self

    def wait_ready(self) -> None:
        """Return when it has imported everything."""
        self._answer()

    def __exit__(self, *_: object) -> None:
        assert self._process is not None
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait()
        self._process.stdout.close()

    def prepare(self, life: Life) -> int:
        """Fork a process that waits for `go`; return a descriptor of it (pidfd_open(2))."""
        self._say(json.dumps(asdict(life)))
        return os.pidfd_open(self._answer()["pid"])

    def go(self) -> None:
        """Let it begin."""
        self._say("go")

    def wait(self, victim: int) -> int:
        """Return the exit code of the life, negative for a signal.

        Raises:
            RoundFailed: it hung, and was killed.
        """
        with selectors.DefaultSelector() as selector:
            selector.register(victim, selectors.EVENT_READ)
            ended = bool(selector.select(LIFE_S_MAX))
        if not ended:
            signal.pidfd_send_signal(victim, signal.SIGKILL)
        code = int(self._answer()["exit"])
        if not ended:
            raise RoundFailed(f"a life did not end within {LIFE_S_MAX} s")
        return code

    def said(self) -> str:
        """Return what lives said when they went wrong."""
        return self._errors.read_text()

    def _say(self, line: str) -> None:
        assert self._process is not None
        assert self._process.stdin is not None
        self._process.stdin.write(f"{line}\n")
        self._process.stdin.flush()

    def _answer(self) -> dict[str, Any]:
        assert self._process is not None
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise RoundFailed(f"the process that forks lives ended: {self.said()}")
        found: dict[str, Any] = json.loads(line)
        return found
