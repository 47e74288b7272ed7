"""The job barrier over the control socket: what is asked reaches the service."""

from __future__ import annotations

from pathlib import Path

import pytest

from shotfs.control.client import Client
from tests.unit.control.fake_service import FakeService, Settings
from tests.unit.control.test_server import asked, raw, request, running


@pytest.fixture
def socket_path(tmp_path: Path) -> str:
    return str(tmp_path / "control.sock")


async def test_a_job_and_paths_arrive(socket_path: str) -> None:
    service = FakeService()

    def ask(client: Client) -> None:
        client.publish.missing(job="7")
        client.publish.missing(paths=["/ant/v1/", ""])
        client.publish.finish("7")

    async with running(service, Settings(socket_path)):
        await asked(socket_path, ask)
    assert service.calls == [
        ("missing", "7", [], True),
        ("missing", None, ["ant/v1", ""], True),
        ("finish", "7", True),
    ]


@pytest.mark.parametrize(
    ("path", "body", "named"),
    [
        ("missing", b"{}", "'job' or 'paths'"),
        ("missing", b'{"job": ""}', "'job'"),
        ("missing", b'{"job": 7}', "'job'"),
        ("missing", b'{"paths": "ant"}', "'paths'"),
        ("missing", b'{"paths": [7]}', "'paths'"),
        ("finish", b"{}", "'job'"),
        ("finish", b'{"job": "7", "scratch": true}', "scratch"),
    ],
)
async def test_what_names_no_job_is_refused(
    socket_path: str, path: str, body: bytes, named: str
) -> None:
    service = FakeService()
    async with running(service, Settings(socket_path)):
        answer = await raw(socket_path, request("POST", f"/v1/publish/{path}", body))
    assert answer.startswith(b"HTTP/1.1 400")
    assert named.encode() in answer
    assert service.calls == []
