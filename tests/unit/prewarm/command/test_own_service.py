"""A service that a command started for itself ends with it, however the command ends."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from shotfs.cli.own_service import service_of
from shotfs.control.client import Client
from shotfs.errors import ServiceNotRunning
from tests.unit.prewarm.localize.served import Served


def test_a_command_that_is_terminated_leaves_no_service_behind(tmp_path: Path) -> None:
    served = Served(tmp_path)
    before = signal.getsignal(signal.SIGTERM)
    pids: list[int] = []

    def command() -> None:
        with service_of(str(served.node.config)) as client:
            pids.append(client.status()["pid"])
            os.kill(os.getpid(), signal.SIGTERM)

    with pytest.raises(SystemExit) as ended:
        command()
    assert ended.value.code == 128 + signal.SIGTERM
    assert signal.getsignal(signal.SIGTERM) is before
    with pytest.raises(ServiceNotRunning), Client(served.socket) as client:
        client.status()
    with pytest.raises(ProcessLookupError):
        os.kill(pids[0], 0)
