"""A server in a process of its own: started on a reserved port, ended by its own pid."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Self

from tests.servers.listener import reserve_port

START_S = 30.0
STOP_S = 5.0
POLL_S = 0.02
PROJECT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


class ServerProcess:
    """Runs a server program on loopback. A context manager, or `start` and `stop`.

    Args:
        arguments: the command; ``{port}`` in them stands for the port.
        environment: added to ours.

    The port is reserved before the program starts and stays ours until `stop`, also while the
    process is down. It works with programs that set SO_REUSEADDR before they bind.
    """

    def __init__(
        self, arguments: Sequence[str], *, environment: Mapping[str, str] | None = None
    ) -> None:
        self._holder = reserve_port()
        self.port: int = self._holder.getsockname()[1]
        self._arguments = [part.replace("{port}", str(self.port)) for part in arguments]
        self._environment = {**os.environ, "PYTHONPATH": PROJECT, **(environment or {})}
        self._log = tempfile.TemporaryFile()  # noqa: SIM115  `stop` closes it
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def pid(self) -> int:
        assert self._process is not None, "not running"
        return self._process.pid

    @property
    def running(self) -> bool:
        return self._process is not None

    def start(self) -> Self:
        """Start the program and return when it accepts connections.

        Raises:
            RuntimeError: it ended or did not listen in time; its output is in the message.
        """
        self._process = subprocess.Popen(
            self._arguments,
            stdin=subprocess.DEVNULL,
            stdout=self._log,
            stderr=subprocess.STDOUT,
            env=self._environment,
            cwd=PROJECT,
        )
        deadline = time.monotonic() + START_S
        while not self._accepts():
            if self._process.poll() is not None or time.monotonic() > deadline:
                self.halt()
                raise RuntimeError(f"{self._arguments} did not start:\n{self.output()}")
            # There is no event to wait for: a foreign program tells nobody that it listens.
            time.sleep(POLL_S)
        return self

    def output(self) -> str:
        """Return what the program has printed so far."""
        self._log.seek(0)
        return self._log.read().decode("utf-8", "replace")

    def halt(self) -> None:
        """End the process and wait for it; `start` runs it again on the same port."""
        process, self._process = self._process, None
        if process is None:
            return
        process.terminate()
        try:
            process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def stop(self) -> None:
        """End the process and give the port back."""
        self.halt()
        self._holder.close()
        self._log.close()

    def _accepts(self) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()


def python(*arguments: str) -> list[str]:
    """Return the command that runs this interpreter with *arguments*."""
    return [sys.executable, *arguments]
