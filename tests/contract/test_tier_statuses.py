"""What becomes of 4xx and 5xx: which of them a store says, and which mean that there is none."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial

import pytest
import trio

from shotfs.config import Settings
from shotfs.errors import OriginDown, ShotfsError, TierBusy, TierError, TierUnavailable
from shotfs.observe.metrics import Metrics
from shotfs.tiers.base import Revision, Span, Tier
from shotfs.tiers.breaker import BreakerState, BreakerWatch
from shotfs.tiers.registry import open_tier
from tests.contract.places import NETWORK

SCHEMES = pytest.mark.parametrize("scheme", ["gs", "s3", "http"])

PAGE = """<html><head><title>{status}</title></head><body><h1>{status}</h1>
No server is available: SlowDown, rateLimitExceeded, RequestTimeout.</body></html>"""

SLOW_DOWN = """<?xml version="1.0" encoding="UTF-8"?>
<Error><Code>SlowDown</Code><Message>Please reduce your request rate.</Message></Error>"""


@dataclass
class Front:
    """What stands before a store, or in its place: gives one answer to whatever is asked.

    Attributes:
        port: on loopback.
        status: of the answer.
        page: its body; ``{status}`` is filled in.
    """

    port: int
    status: int = 503
    page: str = PAGE

    async def answer(self, stream: trio.SocketStream) -> None:
        async with stream:
            head = b""
            while b"\r\n\r\n" not in head:
                received = await stream.receive_some()
                if not received:
                    return
                head += received
            body = self.page.replace("{status}", str(self.status)).encode()
            kind = "xml" if body.startswith(b"<?xml") else "html"
            answer = (
                f"HTTP/1.1 {self.status} No\r\nContent-Type: text/{kind}\r\n"
                f"Content-Length: {len(body)}\r\nConnection: close\r\n\r\n"
            ).encode()
            try:
                await stream.send_all(answer + (b"" if head.startswith(b"HEAD") else body))
            except trio.BrokenResourceError:
                return  # it has heard enough

    def root(self, scheme: str) -> str:
        return f"http://127.0.0.1:{self.port}/x" if scheme == "http" else f"{scheme}://bucket/x"


@pytest.fixture
async def front() -> AsyncIterator[Front]:
    (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
    assert listener.socket.family == socket.AF_INET
    front = Front(listener.socket.getsockname()[1])
    async with trio.open_nursery() as nursery:
        nursery.start_soon(partial(trio.serve_listeners, front.answer, [listener]))
        yield front
        nursery.cancel_scope.cancel()


@asynccontextmanager
async def opened(
    front: Front, scheme: str, watch: BreakerWatch | None = None
) -> AsyncIterator[Tier]:
    url = front.root(scheme)
    own = {} if scheme == "http" else {"anonymous": True}
    if scheme != "http":
        own["endpoint_url"] = f"http://127.0.0.1:{front.port}"
    settings = Settings(
        network={**NETWORK, "attempts_max": 1},
        origins={url: own},
    )
    tier = await open_tier(url, settings, Metrics(), watch)
    try:
        yield tier
    finally:
        await tier.aclose()


def revision(tier: Tier) -> Revision:
    return Revision(tier.name, "a", 5, "1", 0)


async def error_of(call: Callable[[], object]) -> ShotfsError:
    with pytest.raises(TierError) as caught:
        await call()  # type: ignore[misc]  # it is a coroutine
    return caught.value


@SCHEMES
@pytest.mark.parametrize("status", [500, 502, 503, 504])
async def test_5xx_of_whatever_stands_before_a_store_is_no_answer_of_the_store(
    front: Front, scheme: str, status: int
) -> None:
    front.status = status
    async with opened(front, scheme) as tier:
        for call in (
            partial(tier.stat, "a"),
            partial(tier.read, revision(tier), Span(0, 5)),
            tier.check,
        ):
            error = await error_of(call)
            assert isinstance(error, TierUnavailable), error
            assert not isinstance(error, TierBusy), error


@SCHEMES
@pytest.mark.parametrize("status", [408, 429])
async def test_too_many_requests_is_an_answer(front: Front, scheme: str, status: int) -> None:
    front.status = status
    async with opened(front, scheme) as tier:
        for call in (partial(tier.stat, "a"), partial(tier.read, revision(tier), Span(0, 5))):
            assert isinstance(await error_of(call), TierBusy)


async def test_slow_down_of_s3_is_an_answer_although_it_is_a_503(front: Front) -> None:
    front.page = SLOW_DOWN
    async with opened(front, "s3") as tier:
        read = partial(tier.read, revision(tier), Span(0, 5))
        assert isinstance(await error_of(read), TierBusy)
        assert isinstance(await error_of(partial(anext, tier.list(""))), TierBusy)


@SCHEMES
async def test_s07_the_breaker_opens_for_a_run_of_5xx_and_for_no_run_of_429(
    front: Front, scheme: str
) -> None:
    watch = BreakerWatch()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(watch.run)
        async with opened(front, scheme, watch) as tier:
            breaker = watch.of(tier.name)
            assert breaker is not None
            front.status = 429
            for _ in range(20):
                assert isinstance(await error_of(partial(tier.stat, "a")), TierBusy)
            assert breaker.state is BreakerState.CLOSED
            assert breaker.opens_total == 0
            front.status = 503
            with trio.fail_after(60):
                while not isinstance(await error_of(partial(tier.stat, "a")), OriginDown):
                    await trio.lowlevel.checkpoint()
            assert breaker.opens_total == 1
            # One 429 among many 5xx is a word of the store, and it is asked again.
            front.status = 429
            with trio.fail_after(60):
                while breaker.state is not BreakerState.CLOSED:
                    await trio.lowlevel.checkpoint()
        nursery.cancel_scope.cancel()
