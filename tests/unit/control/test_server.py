# ruff: noqa: ASYNC240 -- these tests look at small local files; nothing else runs in their loop
"""The control server over a real Unix socket."""

from __future__ import annotations

import json
import os
import socket
import stat
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import trio

from shotfs.control import server
from shotfs.control.client import Client
from shotfs.errors import (
    BucketNotFound,
    InvalidArgument,
    MountFailed,
    NotPermitted,
    ServiceBusy,
    ServiceNotRunning,
    ShotfsError,
    SpecInvalid,
    Unsupported,
)
from tests.unit.control.fake_service import FakeService, Item, Settings, State

NOBODY = 65534


@pytest.fixture
def socket_path(tmp_path: Path) -> str:
    return str(tmp_path / "control.sock")


@asynccontextmanager
async def running(
    service: FakeService, settings: Settings, allow: Callable[[int, int, int], bool] | None = None
) -> AsyncIterator[None]:
    async with trio.open_nursery() as nursery:
        await nursery.start(server.serve, service, settings, allow or (lambda *_: False))
        try:
            yield
        finally:
            nursery.cancel_scope.cancel()


async def asked(socket_path: str, ask: Callable[[Client], Any]) -> Any:
    """Ask in a thread, as a client in another process would."""

    def call() -> Any:
        with Client(socket_path) as client:
            return ask(client)

    return await trio.to_thread.run_sync(call)


async def raw(socket_path: str, request: bytes) -> bytes:
    """Send *request* as it is; return everything until the server closes."""
    stream = await trio.open_unix_socket(socket_path)
    async with stream:
        await stream.send_all(request)
        answer = b""
        with trio.fail_after(20):
            while chunk := await stream.receive_some():
                answer += chunk
    return answer


def request(method: str, path: str, body: bytes = b"") -> bytes:
    return (
        f"{method} {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    ).encode() + body


async def test_every_endpoint_answers_what_the_service_says(socket_path: str) -> None:
    service = FakeService(items=[Item("a/b.exr", State.SEALED, 7, "origin is down")])
    async with running(service, Settings(socket_path)):
        assert (await asked(socket_path, Client.status))["mountpoint"] == "/shows"
        assert await asked(socket_path, Client.cache_stats) == {"bytes_used": 12, "files": 3}
        assert await asked(socket_path, Client.metrics_text) == "shotfs_cache_hits_total 1\n"
        item = {"path": "a/b.exr", "state": "sealed", "size_bytes": 7, "error": "origin is down"}
        answer = await asked(socket_path, Client.queue)
        assert answer == {"count": 1, "bytes": 7, "oldest_s": 0.0, "items": [item]}
        assert await asked(socket_path, lambda c: c.evict(5)) == {"bytes_freed": 5}
        assert await asked(socket_path, lambda c: c.evict(None)) == {"bytes_freed": None}
        assert (await asked(socket_path, lambda c: c.drain(1.5)))["count"] == 1
        found = await asked(socket_path, lambda c: c.reload_specs(["bee"]))
        assert found == [{"show": "bee", "outcome": "unchanged"}]
        await asked(socket_path, Client.reload_specs)
        await asked(socket_path, lambda c: c.stop(drain=False, deadline_s=2))
    assert service.calls == [
        ("evict", 5),
        ("evict", None),
        ("drain", 1.5, False, False),
        ("reload_specs", ["bee"]),
        ("reload_specs", []),
        ("stop", False, 2.0),
    ]


async def test_queue_answers_at_most_the_limit_and_counts_all(socket_path: str) -> None:
    service = FakeService(items=[Item(f"{n}", State.SEALED, 0) for n in range(5)])
    async with running(service, Settings(socket_path)):
        answer = await asked(socket_path, lambda c: c.queue(limit=2))
    assert answer["count"] == 5
    assert [item["path"] for item in answer["items"]] == ["0", "1"]


async def test_socket_is_open_to_all_in_a_directory_that_only_we_write(tmp_path: Path) -> None:
    path = str(tmp_path / "run" / "control.sock")
    old = os.umask(0o077)
    try:
        async with running(FakeService(), Settings(path)):
            assert stat.S_IMODE(os.stat(path).st_mode) == 0o666
            assert stat.S_IMODE(os.stat(os.path.dirname(path)).st_mode) == 0o755
    finally:
        os.umask(old)
    assert not os.path.exists(path)


async def test_socket_of_a_dead_service_is_replaced(socket_path: str) -> None:
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(socket_path)
    async with running(FakeService(), Settings(socket_path)):
        assert (await asked(socket_path, Client.status))["state"] == "serving"


async def test_second_service_on_a_live_socket_is_refused_and_the_first_lives_on(
    socket_path: str,
) -> None:
    async with running(FakeService(), Settings(socket_path)):
        with pytest.raises(ServiceBusy, match="running already") as caught:
            await server.serve(FakeService(), Settings(socket_path), lambda *_: True)
        assert "control.socket" in str(caught.value.fix)
        assert (await asked(socket_path, Client.status))["state"] == "serving"


async def test_foreign_listener_on_the_path_is_not_replaced(socket_path: str) -> None:
    with socket.socket(socket.AF_UNIX) as alive:
        alive.bind(socket_path)
        alive.listen()
        with pytest.raises(ServiceBusy):
            await server.serve(FakeService(), Settings(socket_path), lambda *_: True)
    assert os.path.exists(socket_path)


async def test_file_in_the_socket_s_place_is_left_alone(socket_path: str) -> None:
    Path(socket_path).write_text("precious")
    with pytest.raises(MountFailed, match="not a socket"):
        await server.serve(FakeService(), Settings(socket_path), lambda *_: True)
    assert Path(socket_path).read_text() == "precious"


async def test_too_long_socket_path_names_the_limit_and_the_setting(tmp_path: Path) -> None:
    path = str(tmp_path / ("x" * 120))
    for refused in (
        lambda: Client(path),
        lambda: trio.run(server.serve, FakeService(), Settings(path), lambda *_: True),
    ):
        with pytest.raises(MountFailed, match="the kernel allows 107") as caught:
            await trio.to_thread.run_sync(refused)
        assert "control.socket" in str(caught.value.fix)


async def test_s12_directory_that_others_can_write_is_refused(tmp_path: Path) -> None:
    shared = tmp_path / "shared"
    shared.mkdir()
    shared.chmod(0o777)
    with pytest.raises(NotPermitted, match="written by others"):
        await server.serve(FakeService(), Settings(str(shared / "control.sock")), lambda *_: True)


_AS_NOBODY = """
import json, os, socket, sys
# Here and not by Popen: another user may not be able to run an interpreter below /root.
os.setgroups(json.loads(sys.argv[4]))
os.setresgid(*[int(sys.argv[3])] * 3)
os.setresuid(*[int(sys.argv[3])] * 3)
connection = socket.socket(socket.AF_UNIX)
connection.connect(sys.argv[1])
for method, path in json.loads(sys.argv[2]):
    connection = socket.socket(socket.AF_UNIX)
    connection.connect(sys.argv[1])
    connection.sendall(f"{method} {path} HTTP/1.1\\r\\nHost: x\\r\\nConnection: close\\r\\n"
                       "Content-Length: 2\\r\\n\\r\\n{}".encode())
    answer = b""
    while chunk := connection.recv(65536):
        answer += chunk
    print(answer.split()[1].decode(), answer.partition(b"\\r\\n\\r\\n")[2].decode().strip())
"""

EVERY_ENDPOINT = [
    ("GET", "/v1/status"),
    ("GET", "/v1/cache"),
    ("GET", "/v1/metrics"),
    ("GET", "/v1/queue"),
    ("POST", "/v1/cache/evict"),
    ("POST", "/v1/specs/reload"),
    ("POST", "/v1/drain"),
    ("POST", "/v1/stop"),
]


@pytest.fixture
def public_path() -> Any:
    """A socket path that another user can reach (pytest's own directories are 0700)."""
    import tempfile

    with tempfile.TemporaryDirectory(prefix="shotfs-control-") as directory:
        os.chmod(directory, 0o755)
        yield os.path.join(directory, "control.sock")


async def answers_to_nobody(path: str, groups: list[int] | None = None) -> list[tuple[int, str]]:
    """Ask every endpoint from a process of another user."""

    def call() -> str:
        return subprocess.run(
            [
                sys.executable,
                *("-I", "-S", "-c", _AS_NOBODY),
                *(path, json.dumps(EVERY_ENDPOINT), str(NOBODY), json.dumps(groups or [])),
            ],
            capture_output=True,
            text=True,
            timeout=30,
            check=True,
        ).stdout

    lines = (await trio.to_thread.run_sync(call)).splitlines()
    return [(int(line[:3]), line[4:]) for line in lines if line[:3].isdigit()]


needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="becomes another user")


@needs_root
async def test_s12_stranger_gets_403_from_every_endpoint(public_path: str) -> None:
    service = FakeService()
    async with running(service, Settings(public_path)):
        answers = await answers_to_nobody(public_path)
    assert [status for status, _ in answers] == [403] * len(EVERY_ENDPOINT)
    assert service.calls == []
    assert json.loads(answers[0][1])["error"] == "NotPermitted"


@needs_root
async def test_s12_user_of_the_mount_reads_status_and_changes_nothing(public_path: str) -> None:
    service = FakeService()
    seen: list[tuple[int, int, int]] = []

    def allow(uid: int, gid: int, pid: int) -> bool:
        seen.append((uid, gid, pid))
        return uid == NOBODY

    async with running(service, Settings(public_path), allow):
        answers = await answers_to_nobody(public_path)
    assert [status for status, _ in answers] == [200, 200, 200, 403, 403, 403, 403, 403]
    assert service.calls == []
    assert {entry[:2] for entry in seen} == {(NOBODY, NOBODY)}
    assert all(pid > 0 for _, _, pid in seen)


@needs_root
async def test_s12_member_of_the_admin_group_may_do_everything(public_path: str) -> None:
    service = FakeService()
    import grp

    group = grp.getgrnam("daemon")
    async with running(service, Settings(public_path, admin_group="daemon")):
        answers = await answers_to_nobody(public_path, groups=[group.gr_gid])
    assert [status for status, _ in answers] == [200, 200, 200, 200, 200, 200, 200, 202]
    assert [call[0] for call in service.calls] == ["evict", "reload_specs", "drain", "stop"]


@pytest.mark.parametrize(
    ("path", "body", "names"),
    [
        ("/v1/drain", b'{"deadline_s": -1}', "deadline_s"),
        ("/v1/drain", b'{"deadline_s": true}', "deadline_s"),
        ("/v1/drain", b'{"deadline_s": NaN}', "deadline_s"),
        ("/v1/drain", b'{"dead_line": 1}', "dead_line"),
        ("/v1/drain", b"{", "JSON"),
        ("/v1/drain", b"[]", "object"),
        ("/v1/drain", b"\xff\xfe", "JSON"),
        ("/v1/cache/evict", b'{"bytes": "lots"}', "bytes"),
        ("/v1/cache/evict", b'{"bytes": -1}', "bytes"),
        ("/v1/cache/evict", b'{"bytes": 1.5}', "bytes"),
        ("/v1/stop", b'{"drain": 1}', "drain"),
        ("/v1/specs/reload", b'{"shows": "ant"}', "shows"),
        ("/v1/specs/reload", b'{"shows": [1]}', "shows"),
    ],
)
async def test_bad_request_is_400_and_names_what_is_wrong(
    socket_path: str, path: str, body: bytes, names: str
) -> None:
    service = FakeService()
    async with running(service, Settings(socket_path)):
        answer = await raw(socket_path, request("POST", path, body))
    assert answer.startswith(b"HTTP/1.1 400")
    report = json.loads(answer.partition(b"\r\n\r\n")[2])
    assert report["error"] == "InvalidArgument"
    assert names in report["message"]
    assert service.calls == []


async def test_large_body_is_refused(socket_path: str) -> None:
    async with running(FakeService(), Settings(socket_path)):
        answer = await raw(socket_path, request("POST", "/v1/drain", b" " * 100_000))
    assert answer.startswith(b"HTTP/1.1 413")


async def test_unknown_endpoint_and_method_are_json_errors(socket_path: str) -> None:
    async with running(FakeService(), Settings(socket_path)):
        unknown = await raw(socket_path, request("GET", "/v9/x"))
        wrong = await raw(socket_path, request("GET", "/v1/stop"))
        with pytest.raises(Unsupported, match="/v2/nothing"):
            await asked(socket_path, lambda c: c._json("GET", "/v2/nothing"))
    assert unknown.startswith(b"HTTP/1.1 404")
    assert wrong.startswith(b"HTTP/1.1 405")


async def test_garbage_does_not_end_the_server(socket_path: str) -> None:
    async with running(FakeService(), Settings(socket_path)):
        for garbage in (b"\x00\xff\xfe garbage\r\n\r\n", b"GET " + b"x" * 100_000, b""):
            stream = await trio.open_unix_socket(socket_path)
            await stream.send_all(garbage)
            await stream.aclose()
        assert (await asked(socket_path, Client.status))["state"] == "serving"


@pytest.mark.parametrize(
    ("error", "seen_as"),
    [
        (BucketNotFound("no bucket b", fix="make it"), BucketNotFound),
        (InvalidArgument("bad"), InvalidArgument),
        (SpecInvalid("spec.json", []), ShotfsError),
    ],
)
async def test_typed_errors_arrive_as_the_class_that_they_were(
    socket_path: str, error: ShotfsError, seen_as: type[ShotfsError]
) -> None:
    async with running(FakeService(fails_with=error), Settings(socket_path)):
        with pytest.raises(ShotfsError) as caught:
            await asked(socket_path, Client.status)
    assert type(caught.value) is seen_as
    assert caught.value.message == error.message
    assert caught.value.fix == error.fix
    assert caught.value.errno == error.errno


async def test_unexpected_exception_is_logged_and_the_server_lives_on(
    socket_path: str, caplog: pytest.LogCaptureFixture
) -> None:
    service = FakeService(fails_with=ZeroDivisionError("secret detail"))
    async with running(service, Settings(socket_path)):
        with pytest.raises(ShotfsError, match="failed to answer GET /v1/status") as caught:
            await asked(socket_path, Client.status)
        service.fails_with = None
        assert (await asked(socket_path, Client.status))["state"] == "serving"
    assert "secret detail" not in str(caught.value)
    assert "ZeroDivisionError: secret detail" in caplog.text


async def test_one_user_cannot_take_all_connections(
    socket_path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "CONNECTIONS_PER_UID_MAX", 2)
    async with running(FakeService(), Settings(socket_path)):
        held = [await trio.open_unix_socket(socket_path) for _ in range(2)]
        refused = await trio.open_unix_socket(socket_path)
        with trio.fail_after(5):
            assert await refused.receive_some() == b""
        for stream in [*held, refused]:
            await stream.aclose()
        await trio.testing.wait_all_tasks_blocked(0.05)
        assert (await asked(socket_path, Client.status))["state"] == "serving"


async def test_idle_connection_is_closed(socket_path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "IDLE_TIMEOUT_S", 0.05)
    async with running(FakeService(), Settings(socket_path)):
        stream = await trio.open_unix_socket(socket_path)
        await stream.send_all(b"GET /v1/status HTTP/1.1\r\n")
        with trio.fail_after(5):
            while await stream.receive_some():
                continue
        await stream.aclose()
    assert True


async def test_cancelling_ends_the_server_although_a_request_hangs(
    socket_path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "STOP_GRACE_S", 0.05)
    service = FakeService(hang=trio.Event())
    with trio.fail_after(10):
        async with running(service, Settings(socket_path)):
            stream = await trio.open_unix_socket(socket_path)
            await stream.send_all(request("POST", "/v1/drain"))
            while not service.calls:
                await trio.testing.wait_all_tasks_blocked()
    await stream.aclose()
    assert not os.path.exists(socket_path)


async def test_cancelling_ends_the_server_although_a_client_does_not_read(
    socket_path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "STOP_GRACE_S", 0.05)
    service = FakeService(items=[Item("x" * 1000, State.SEALED, 1)] * 5000)
    with trio.fail_after(10):
        async with running(service, Settings(socket_path)):
            stream = await trio.open_unix_socket(socket_path)
            await stream.send_all(request("GET", "/v1/queue?limit=5000"))
            await trio.testing.wait_all_tasks_blocked(0.1)
    await stream.aclose()
    assert not os.path.exists(socket_path)


def test_client_without_a_service_says_how_to_start_one(socket_path: str) -> None:
    with Client(socket_path) as client, pytest.raises(ServiceNotRunning) as caught:
        client.status()
    assert socket_path in caught.value.message
    assert "shotfs mount" in str(caught.value.fix)


def test_client_gives_up_on_a_service_that_does_not_answer(socket_path: str) -> None:
    with socket.socket(socket.AF_UNIX) as silent:
        silent.bind(socket_path)
        silent.listen()
        with (
            Client(socket_path, timeout_s=0.1) as client,
            pytest.raises(ShotfsError, match="did not answer within"),
        ):
            client.status()
