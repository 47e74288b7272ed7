"""Outputs over the control socket: who is meant reaches the service, and bad requests do not."""

from __future__ import annotations

from pathlib import Path

import pytest

from shotfs.control.client import Client
from shotfs.control.publish_service import Outputs
from tests.unit.control.fake_service import FakeService, Settings
from tests.unit.control.test_server import asked, raw, request, running


@pytest.fixture
def socket_path(tmp_path: Path) -> str:
    return str(tmp_path / "control.sock")


async def test_a_retry_arrives_with_what_it_names(socket_path: str) -> None:
    service = FakeService()

    def retry(client: Client) -> None:
        client.publish.retry()
        client.publish.retry(serial=7)
        client.publish.retry(path="/ant/a.exr/")

    async with running(service, Settings(socket_path)):
        await asked(socket_path, retry)
    assert service.calls == [
        ("retry", None),
        ("retry", Outputs(serial=7)),
        ("retry", Outputs(path="ant/a.exr")),
    ]


@pytest.mark.parametrize(
    ("body", "named"),
    [
        (b'{"serial": -1}', "serial"),
        (b'{"serial": "x"}', "serial"),
        (b'{"path": 3}', "path"),
        (b'{"paths": "a"}', "paths"),
    ],
)
async def test_what_names_no_output_is_refused(socket_path: str, body: bytes, named: str) -> None:
    service = FakeService()
    async with running(service, Settings(socket_path)):
        answer = await raw(socket_path, request("POST", "/v1/publish/retry", body))
    assert answer.startswith(b"HTTP/1.1 400")
    assert named.encode() in answer
    assert service.calls == []
