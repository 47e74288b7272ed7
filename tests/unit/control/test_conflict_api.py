"""Conflicts over the control socket: bytes of both sides come whole or not at all."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import pytest

from shotfs.control.client import Client
from shotfs.control.publish_service import Outputs
from shotfs.errors import InvalidArgument, PathNotFound, ShotfsError
from tests.unit.control.fake_conflicts import CONFLICT, OURS, THEIRS
from tests.unit.control.fake_service import FakeService, Settings
from tests.unit.control.test_server import asked, raw, request, running


@pytest.fixture
def socket_path(tmp_path: Path) -> str:
    return str(tmp_path / "control.sock")


async def test_every_question_arrives_with_what_it_names(socket_path: str) -> None:
    service = FakeService()

    def ask(client: Client) -> None:
        assert client.conflicts.kept()["count"] == 2
        assert client.conflicts.kept(serial=12)["items"] == [CONFLICT]
        assert client.conflicts.kept(path="ant/a b?ü")["count"] == 2
        assert client.conflicts.compare(12)["first_difference"] == 0
        assert client.conflicts.resolve(serial=12, new_path="/ant/b.exr/")[0]["new"] == "ant/b.exr"
        client.conflicts.resolve(path="ant/render", new_path=None)
        client.conflicts.drop(serial=12)

    async with running(service, Settings(socket_path)):
        await asked(socket_path, ask)
    assert service.calls == [
        ("conflicts", None),
        ("conflicts", Outputs(serial=12)),
        ("conflicts", Outputs(path="ant/a b?ü")),
        ("compare", 12),
        ("resolve", Outputs(serial=12), "ant/b.exr"),
        ("resolve", Outputs(path="ant/render"), None),
        ("drop", Outputs(serial=12)),
    ]


async def test_the_bytes_of_both_sides_come_whole(socket_path: str) -> None:
    ours, theirs = io.BytesIO(), io.BytesIO()

    def ask(client: Client) -> None:
        client.conflicts.fetch(12, "ours", ours)
        client.conflicts.fetch(12, "theirs", theirs)

    async with running(FakeService(), Settings(socket_path)):
        await asked(socket_path, ask)
    assert (ours.getvalue(), theirs.getvalue()) == (OURS, THEIRS)


async def test_bytes_that_end_too_early_are_an_error(socket_path: str) -> None:
    service = FakeService(broken_content=True)
    async with running(service, Settings(socket_path)):
        with pytest.raises(ShotfsError):
            await asked(
                socket_path, lambda client: client.conflicts.fetch(12, "ours", io.BytesIO())
            )


@pytest.mark.parametrize(
    ("ask", "error"),
    [
        (lambda client: client.conflicts.kept(serial=404), PathNotFound),
        (lambda client: client.conflicts.fetch(12, "both", io.BytesIO()), InvalidArgument),
        (lambda client: client.conflicts.resolve(new_path="a"), InvalidArgument),
        (lambda client: client.conflicts.drop(), InvalidArgument),
        (lambda client: client.conflicts.compare(-1), InvalidArgument),
    ],
)
async def test_what_names_no_conflict_is_refused(
    socket_path: str, ask: Callable[[Client], object], error: type[ShotfsError]
) -> None:
    async with running(FakeService(), Settings(socket_path)):
        with pytest.raises(error):
            await asked(socket_path, ask)


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/v1/conflicts"),
        ("GET", "/v1/conflicts/compare?serial=1"),
        ("GET", "/v1/conflicts/content?serial=1"),
        ("GET", "/v1/publish/show?serial=1"),
        ("POST", "/v1/conflicts/resolve"),
        ("POST", "/v1/conflicts/drop"),
        ("POST", "/v1/publish/retry"),
    ],
)
async def test_s12_a_user_of_the_mount_sees_nobodys_quarantine(
    socket_path: str, monkeypatch: pytest.MonkeyPatch, method: str, path: str
) -> None:
    from shotfs.control import access

    monkeypatch.setattr(access.AccessPolicy, "right_of", lambda *_: access.Right.READ)
    service = FakeService()
    async with running(service, Settings(socket_path)):
        answer = await raw(socket_path, request(method, path, b'{"serial": 1}'))
    assert answer.startswith(b"HTTP/1.1 403")
    assert service.calls == []
