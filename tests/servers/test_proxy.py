"""The TCP proxy makes a network fail in the ways that it says."""

import time
from collections.abc import Callable

import httpx
import pytest
import trio
import trio.testing

from tests.servers.handles import HttpRoot
from tests.servers.proxy import Behaviour, Link, Proxy

BODY = bytes(range(256)) * 4096

ProxyTo = Callable[[int], Proxy]


@pytest.fixture
def network(http_root: HttpRoot, proxy: ProxyTo) -> Proxy:
    (http_root.path / "f").write_bytes(BODY)
    return proxy(http_root.server.port)


@pytest.fixture
def client(network: Proxy) -> httpx.Client:
    with httpx.Client(base_url=network.endpoint, trust_env=False, timeout=5.0) as client:
        yield client


def test_bytes_pass_unchanged_both_ways(network: Proxy, client: httpx.Client) -> None:
    assert client.get("/f").content == BODY
    assert network.connections == 1
    assert network.bytes_down > len(BODY)


def test_a_cut_connection_is_reset_after_the_given_bytes(
    network: Proxy, client: httpx.Client
) -> None:
    network.set(down=Behaviour(cut_at=100_000))
    with pytest.raises(httpx.ReadError):
        client.get("/f")
    assert network.bytes_down == 100_000


def test_a_truncated_stream_ends_in_good_order_but_too_early(
    network: Proxy, client: httpx.Client
) -> None:
    network.set(down=Behaviour(end_at=100_000))
    with pytest.raises(httpx.RemoteProtocolError):
        client.get("/f")


def test_a_corrupted_byte_is_the_only_difference(network: Proxy, client: httpx.Client) -> None:
    head = len(client.get("/f").content)
    assert head == len(BODY)
    network.cut()
    network.set(down=Behaviour(corrupt_at=500_000))
    got = client.get("/f").content
    assert sum(1 for one, other in zip(got, BODY, strict=True) if one != other) == 1


async def test_a_stalled_stream_goes_on_when_the_behaviour_changes(network: Proxy) -> None:
    network.set(down=Behaviour(stall_at=50_000))
    async with httpx.AsyncClient(base_url=network.endpoint, trust_env=False) as client:
        with trio.move_on_after(0.3) as scope:
            await client.get("/f")
        assert scope.cancelled_caught
        async with client.stream("GET", "/f") as answer:
            pieces = answer.aiter_raw(1000)
            received = await anext(pieces)
            await trio.to_thread.run_sync(network.reset)
            async for piece in pieces:
                received += piece
    assert received == BODY


def test_delay_and_throttle_make_it_slow(network: Proxy, client: httpx.Client) -> None:
    network.set(down=Behaviour(bytes_per_s=4 * len(BODY)))
    began = time.monotonic()
    assert client.get("/f").content == BODY
    assert time.monotonic() - began > 0.2


def test_down_refuses_and_the_same_port_comes_back(network: Proxy, client: httpx.Client) -> None:
    assert client.get("/f").status_code == 200
    network.go_down()
    with pytest.raises(httpx.ConnectError):
        client.get("/f")
    network.come_up()
    assert client.get("/f").status_code == 200


async def test_all_connections_share_the_rate_of_a_link() -> None:
    # In this loop's own clock: what a link carries takes exactly as long as it says.
    clock = trio.testing.MockClock(autojump_threshold=0)
    ended: list[tuple[float, str]] = []

    async def main() -> None:
        link = Link(1000.0)

        async def carry(name: str, count: int) -> None:
            await link.carry(count)
            ended.append((trio.current_time(), name))

        begun = trio.current_time()
        async with trio.open_nursery() as nursery:
            for name in ("one", "other"):
                nursery.start_soon(carry, name, 500)
        ended.append((trio.current_time() - begun, "both"))

    await trio.to_thread.run_sync(lambda: trio.run(main, clock=clock))
    assert ended[-1] == (pytest.approx(1.0), "both")
    assert ended[1][0] - ended[0][0] == pytest.approx(0.5)
