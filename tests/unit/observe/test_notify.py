"""sd_notify against a real datagram socket."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from shotfs.observe.notify import READY, STOPPING, notify


def listener(address: str) -> socket.socket:
    receiver = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    receiver.bind(address)
    receiver.settimeout(10)
    return receiver


def test_the_supervisor_is_told(tmp_path: Path) -> None:
    path = str(tmp_path / "notify")
    with listener(path) as receiver:
        assert notify(READY, "STATUS=2 shows", environ={"NOTIFY_SOCKET": path})
        assert receiver.recv(100) == b"READY=1\nSTATUS=2 shows"


def test_an_abstract_socket_is_told_too() -> None:
    name = f"shotfs-test-{os.getpid()}"
    with listener("\0" + name) as receiver:
        assert notify(STOPPING, environ={"NOTIFY_SOCKET": "@" + name})
        assert receiver.recv(100) == b"STOPPING=1"


@pytest.mark.parametrize("address", ["", "relative/path", "/nowhere/notify"])
def test_without_a_listener_nothing_happens(address: str) -> None:
    assert notify(READY, environ={"NOTIFY_SOCKET": address}) is False
    assert notify(READY, environ={}) is False


def test_a_listener_that_does_not_read_does_not_stop_the_service(tmp_path: Path) -> None:
    path = str(tmp_path / "notify")
    with listener(path):
        answers = [notify(READY, environ={"NOTIFY_SOCKET": path}) for _ in range(2000)]
    assert answers[0] is True
    assert answers[-1] is False
