"""Versions over the control socket: who asks reaches the service, and bad requests do not."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from shotfs.control.access import Peer
from shotfs.control.client import Client
from shotfs.errors import AliasMoved, InvalidArgument, NotPermitted, VersionBusy
from tests.unit.control.fake_service import FakeService, Settings
from tests.unit.control.test_server import asked, raw, request, running

SHOT = "ant/render/xy_010_v005"


@pytest.fixture
def socket_path(tmp_path: Path) -> str:
    return str(tmp_path / "control.sock")


async def test_every_question_arrives_with_its_path(socket_path: str) -> None:
    service = FakeService()
    odd = f"{SHOT}/a b?c=d&é#%.exr"
    async with running(service, Settings(socket_path)):
        assert await asked(socket_path, lambda one: one.version(odd)) == {
            "path": odd,
            "state": "open",
        }
        assert await asked(socket_path, lambda one: one.next_version(f"/{SHOT}/")) == f"{SHOT}+1"
        assert (await asked(socket_path, lambda one: one.verify_version(SHOT)))["intact"]
        assert await asked(socket_path, lambda one: one.version_history(SHOT)) == [
            {"state": "sealed", "at": "", "by": "a@b", "why": ""}
        ]
        history = await asked(socket_path, lambda one: one.alias_history(SHOT))
    assert history == [{"version": "v001", "at": "", "by": "a@b", "why": ""}]
    assert service.calls == [
        ("show", odd),
        ("next", SHOT),
        ("verify", SHOT),
        ("version_history", SHOT),
        ("history", SHOT),
    ]


async def test_who_publishes_and_moves_is_told_to_the_service(socket_path: str) -> None:
    service = FakeService()

    def publish(client: Client) -> None:
        client.publish_version(SHOT, why="final", aliases=False, deadline_s=7)
        client.move_alias(SHOT, "v005", why="", force=True)
        client.move_alias(SHOT, None, why="", force=False)

    async with running(service, Settings(socket_path)):
        await asked(socket_path, publish)
    (_, path, options), (_, _, version, moved), (_, _, nowhere, _) = service.calls
    peer = options.pop("peer")
    assert isinstance(peer, Peer)
    assert (peer.uid, peer.gid) == (os.getuid(), os.getgid())
    assert options == {"admin": True, "why": "final", "move_aliases": False, "deadline_s": 7.0}
    assert (path, version, moved["force"], nowhere) == (SHOT, "v005", True, None)


async def test_who_takes_a_version_back_is_told_to_the_service(socket_path: str) -> None:
    service = FakeService()

    def take_back(client: Client) -> None:
        client.retract_version(
            SHOT, why=" wrong ", delete=True, alias_to="v003", pinned_too=True, dry_run=False
        )
        client.restore_version(SHOT, why="right")

    async with running(service, Settings(socket_path)):
        await asked(socket_path, take_back)
    (_, path, options), (_, again, restored) = service.calls
    assert options.pop("peer").uid == restored.pop("peer").uid == os.getuid()
    assert (path, again) == (SHOT, SHOT)
    assert options == {
        "admin": True, "why": "wrong", "delete": True, "alias_to": "v003", "pinned_too": True,
        "dry_run": False,
    }  # fmt: skip
    assert restored == {"admin": True, "why": "right"}


async def test_a_user_of_the_mount_may_ask_and_the_service_decides(socket_path: str) -> None:
    service = FakeService()
    async with running(service, Settings(socket_path), lambda *_: True):
        await asked(
            socket_path,
            lambda one: one.publish_version(SHOT, why="", aliases=True, deadline_s=1),
        )
    assert service.calls[0][2]["admin"] is True  # the service's own user


@pytest.mark.parametrize(
    ("method", "path", "body", "names"),
    [
        ("GET", "/v1/version", b"", "'path' must be text"),
        ("GET", f"/v1/version?path={'x' * 5000}", b"", "4096 characters"),
        ("GET", "/v1/version?path=a%00b", b"", "'path' must be text"),
        ("POST", "/v1/version/publish", b"{}", "'path' must be text"),
        ("POST", "/v1/version/publish", b'{"path": 1}', "'path' must be text"),
        ("POST", "/v1/version/publish", b'{"path": "a", "aliases": 1}', "true or false"),
        ("POST", "/v1/version/publish", b'{"path": "a", "deadline_s": -1}', "deadline_s"),
        ("POST", "/v1/version/publish", b'{"path": "a", "alias": true}', "unknown key"),
        ("POST", "/v1/version/retract", b'{"path": "a"}', "'why' must be text"),
        ("POST", "/v1/version/retract", b'{"path": "a", "why": " "}', "a reason is wanted"),
        ("POST", "/v1/version/retract", b'{"path": "a", "why": "x", "delete": 1}', "true or false"),
        ("POST", "/v1/version/restore", b'{"path": "a", "why": ""}', "a reason is wanted"),
        ("POST", "/v1/version/alias", b'{"path": "a", "version": 5}', "'version' must be text"),
        ("POST", "/v1/version/alias", b'{"path": "a", "expect": 5}', "'expect' must be text"),
        ("POST", "/v1/version/alias", b'{"path": "a", "force": "yes"}', "true or false"),
    ],
)
async def test_bad_requests_are_400_and_reach_nobody(
    socket_path: str, method: str, path: str, body: bytes, names: str
) -> None:
    service = FakeService()
    async with running(service, Settings(socket_path)):
        answer = (await raw(socket_path, request(method, path, body))).decode()
    assert answer.startswith("HTTP/1.1 400"), answer
    assert names in answer
    assert service.calls == []


@pytest.mark.parametrize("kind", [VersionBusy, AliasMoved, InvalidArgument, NotPermitted])
async def test_refusals_arrive_as_what_they_were(
    socket_path: str, kind: type[Exception], monkeypatch: pytest.MonkeyPatch
) -> None:
    async def refuse(*_: object, **__: object) -> None:
        raise kind("ant/x: bert@b is publishing it", fix="wait")  # type: ignore[call-arg]  # ours

    service = FakeService()
    monkeypatch.setattr("tests.unit.control.fake_service.FakeVersions.publish", refuse)
    async with running(service, Settings(socket_path)):
        with pytest.raises(kind, match="bert@b is publishing it") as caught:
            await asked(
                socket_path,
                lambda one: one.publish_version(SHOT, why="", aliases=True, deadline_s=1),
            )
    assert getattr(caught.value, "fix", None) == "wait"
