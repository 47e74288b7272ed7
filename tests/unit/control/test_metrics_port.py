"""The metrics port: one page over TCP, few connections, and no reason to fail a mount."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest
import trio
from prometheus_client.parser import text_string_to_metric_families

from shotfs.config.addresses import Address
from shotfs.control import metrics_port
from shotfs.control.metrics_port import CONNECTIONS_MAX, REQUEST_BYTES_MAX, MetricsPort
from shotfs.observe.metrics import Metrics


def free_address() -> Address:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return Address("127.0.0.1", probe.getsockname()[1], True)


@asynccontextmanager
async def serving(port: MetricsPort) -> AsyncIterator[MetricsPort]:
    async with trio.open_nursery() as nursery:
        nursery.start_soon(port.run)
        await trio.testing.wait_all_tasks_blocked()
        yield port
        nursery.cancel_scope.cancel()


async def until(condition: Callable[[], bool]) -> None:
    while not condition():
        await trio.to_thread.run_sync(int)


async def connect(port: MetricsPort) -> trio.SocketStream:
    return await trio.open_tcp_stream(port.address.host, port.address.port)


async def ask(port: MetricsPort, request: bytes) -> str:
    stream = await connect(port)
    async with stream:
        await stream.send_all(request)
        received = b""
        async for chunk in stream:
            received += chunk
    return received.decode()


async def test_prometheus_gets_every_metric() -> None:
    metrics = Metrics()
    metrics.cache_hits.inc(3)
    async with serving(MetricsPort(free_address(), metrics.text)) as port:
        answer = await ask(port, b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n")
    head, _, body = answer.partition("\r\n\r\n")
    assert head.startswith("HTTP/1.1 200 OK\r\n")
    assert f"Content-Length: {len(body.encode())}" in head
    families = {family.name: family for family in text_string_to_metric_families(body)}
    assert families["shotfs_cache_hits"].samples[0].value == 3


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (b"GET / HTTP/1.1\r\n\r\n", "404"),
        (b"GET /v1/status HTTP/1.1\r\n\r\n", "404"),
        (b"POST /metrics HTTP/1.1\r\n\r\n", "405"),
        (b"hello\r\n\r\n", "400"),
        (b"GET /metrics HTTP/1.1\r\nX: " + b"x" * 2 * REQUEST_BYTES_MAX, "400"),
        (b"\xff\xfe\r\n\r\n", "400"),
    ],
)
async def test_nothing_else_is_answered(request_: bytes, status: str) -> None:
    async with serving(MetricsPort(free_address(), lambda: "secret 1\n")) as port:
        answer = await ask(port, request_)
    assert answer.startswith(f"HTTP/1.1 {status} ")
    assert "secret" not in answer


async def test_head_has_no_body() -> None:
    async with serving(MetricsPort(free_address(), lambda: "a 1\n")) as port:
        answer = await ask(port, b"HEAD /metrics HTTP/1.0\r\n\r\n")
    assert "Content-Length: 4\r\n" in answer
    assert answer.endswith("\r\n\r\n")


async def test_connections_are_bounded_and_the_log_is_too(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with serving(MetricsPort(free_address(), lambda: "a 1\n")) as port:
        silent = [await connect(port) for _ in range(CONNECTIONS_MAX)]
        await until(lambda: port._open == CONNECTIONS_MAX)
        for _ in range(3):
            one_more = await connect(port)
            async with one_more:
                assert await one_more.receive_some() == b""
        assert len([one for one in caplog.records if "closed unanswered" in one.message]) == 1
        for stream in silent:
            await stream.aclose()
        await until(lambda: port._open == 0)
        assert (await ask(port, b"GET /metrics HTTP/1.1\r\n\r\n")).endswith("a 1\n")


async def test_a_silent_client_is_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metrics_port, "REQUEST_TIMEOUT_S", 0.01)
    async with serving(MetricsPort(free_address(), lambda: "a 1\n")) as port:
        stream = await connect(port)
        async with stream:
            assert await stream.receive_some() == b""


async def test_a_mistake_in_the_metrics_ends_only_its_connection() -> None:
    def broken() -> str:
        raise ZeroDivisionError("oops")

    async with serving(MetricsPort(free_address(), broken)) as port:
        assert await ask(port, b"GET /metrics HTTP/1.1\r\n\r\n") == ""
        assert (await ask(port, b"GET / HTTP/1.1\r\n\r\n")).startswith("HTTP/1.1 404")


async def test_a_port_in_use_is_told_and_tried_again(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(metrics_port, "RETRY_S", 0.01)
    address = free_address()
    with socket.socket() as owner:
        owner.bind((address.host, address.port))
        owner.listen()
        port = MetricsPort(address, lambda: "a 1\n")
        async with trio.open_nursery() as nursery:
            nursery.start_soon(port.run)
            await until(lambda: port.problem is not None)
            assert port.problem == "cannot listen: Address already in use"
            assert caplog.text.count("change control.metrics_listen") == 1
            owner.close()
            await until(lambda: port.problem is None)
            assert (await ask(port, b"GET /metrics HTTP/1.1\r\n\r\n")).endswith("a 1\n")
            nursery.cancel_scope.cancel()
