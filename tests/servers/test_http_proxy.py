"""The proxy that looks into HTTP treats the requests that a rule means, and no others."""

import http.client
import threading
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest

from tests.servers.handles import HttpRoot
from tests.servers.http_proxy import HttpProxy, Kind, Rule

MIB = 1 << 20
BODY = bytes(range(256)) * 4096
FIRST, SECOND = {"Range": f"bytes=0-{MIB // 2 - 1}"}, {"Range": f"bytes={MIB // 2}-{MIB - 1}"}

ProxyTo = Callable[[int], HttpProxy]


@pytest.fixture
def network(http_root: HttpRoot, http_proxy: ProxyTo) -> HttpProxy:
    (http_root.path / "f").write_bytes(BODY)
    (http_root.path / "g").write_bytes(BODY)
    return http_proxy(http_root.server.port)


@pytest.fixture
def client(network: HttpProxy) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=network.endpoint, trust_env=False, timeout=5.0) as client:
        yield client


def test_messages_pass_unchanged_on_one_connection(
    network: HttpProxy, client: httpx.Client
) -> None:
    for path in ("/f", "/g", "/"):
        assert client.get(path).status_code == 200
    assert client.get("/f").content == BODY
    assert client.get("/f", headers=SECOND).content == BODY[MIB // 2 :]
    assert int(client.head("/f").headers["Content-Length"]) == MIB
    assert client.get("/absent").status_code == 404
    assert network.connections == 1


def test_chunked_bodies_and_expectations_pass_both_ways(gcs: Any, http_proxy: ProxyTo) -> None:
    network = http_proxy(gcs.server.port)
    with httpx.Client(base_url=network.endpoint, trust_env=False) as client:
        for name in ("a", "b"):
            url = f"/upload/storage/v1/b/{gcs.bucket}/o?uploadType=media&name={name}"
            # Of unknown length: httpx sends it in chunks.
            pieces = iter([b"x" * 100_000, b"y"])
            answer = client.post(url, content=pieces, headers={"Expect": "100-continue"})
            assert answer.status_code == 200, answer.text
            assert gcs.read(name) == b"x" * 100_000 + b"y"
    assert network.connections == 1


@pytest.mark.parametrize("status", [429, 500, 503])
def test_it_answers_itself_the_server_never_sees_the_request(
    network: HttpProxy, client: httpx.Client, http_root: HttpRoot, status: int
) -> None:
    rule = Rule("status", lambda head: head.path == "/f", status=status, retry_after_s=7, times=2)
    handle = network.rule(rule)
    for method in ("GET", "HEAD"):
        answer = client.request(method, "/f")
        assert (answer.status_code, answer.headers["Retry-After"]) == (status, "7")
    assert client.get("/g").status_code == 200
    assert client.get("/f").content == BODY, "the rule was for two requests"
    assert handle.hits == 2
    assert [record.object for record in http_root.requests()] == ["g", "f"]


@pytest.mark.parametrize(
    ("kind", "error"), [("cut", httpx.ReadError), ("truncate", httpx.RemoteProtocolError)]
)
@pytest.mark.parametrize("at", [0, MIB // 2 + 17, MIB - 1])
def test_an_answer_ends_before_a_certain_byte_of_the_object_in_any_range(
    network: HttpProxy, kind: Kind, error: type[Exception], at: int
) -> None:
    network.rule(Rule(kind, at=at))
    spared, hit = (SECOND, FIRST) if at < MIB // 2 else (FIRST, SECOND)
    start = 0 if at < MIB // 2 else MIB // 2
    connection = http.client.HTTPConnection("127.0.0.1", network.port, timeout=5)
    connection.request("GET", "/f", headers=spared)
    assert len(connection.getresponse().read()) == MIB // 2
    connection.close()
    before = network.bytes_down
    with httpx.Client(base_url=network.endpoint, trust_env=False) as client, pytest.raises(error):
        client.get("/f", headers=hit)
    # What the server sent before that byte went out, and nothing from there on.
    head_bytes = network.bytes_down - before - (at - start)
    assert 100 < head_bytes < 500


@pytest.mark.parametrize("kind", ["cut", "truncate", "corrupt"])
def test_a_head_is_damaged_too(network: HttpProxy, client: httpx.Client, kind: Kind) -> None:
    handle = network.rule(Rule(kind, times=1))
    with pytest.raises(httpx.TransportError):
        client.head("/f")
    assert handle.hits == 1
    assert client.head("/f").status_code == 200


@pytest.mark.parametrize("at", [0, 70_000, MIB - 1])
def test_one_byte_is_inverted(network: HttpProxy, client: httpx.Client, at: int) -> None:
    network.rule(Rule("corrupt", at=at))
    got = client.get("/f").content
    assert [index for index in range(MIB) if got[index] != BODY[index]] == [at]


@pytest.mark.parametrize("at", [None, 0, 70_000, MIB - 1])
def test_a_stalled_answer_goes_on_when_its_rule_ends(
    network: HttpProxy, client: httpx.Client, at: int | None
) -> None:
    handle = network.rule(Rule("stall", lambda head: head.path == "/f", at=at))
    got: list[bytes] = []
    reader = threading.Thread(target=lambda: got.append(client.get("/f").content))
    reader.start()
    handle.wait_hits()
    with httpx.Client(base_url=network.endpoint, trust_env=False) as other:
        assert other.get("/g").content == BODY, "other requests pass meanwhile"
    assert not got
    handle.release()
    reader.join(5)
    assert got == [BODY]


def test_delays_and_rates_only_cost_time(network: HttpProxy, client: httpx.Client) -> None:
    for rule in (Rule("delay", at=5, seconds=0.01), Rule("throttle", bytes_per_s=100e6)):
        handle = network.rule(rule)
        assert client.get("/f").content == BODY
        handle.release()
    network.share(200e6)
    assert client.get("/f").content == BODY
    network.reset()


def test_rules_end_and_a_wrong_kind_is_refused(network: HttpProxy, client: httpx.Client) -> None:
    network.rule(Rule("status"))
    assert client.get("/f").status_code == 503
    network.clear()
    assert client.get("/f").status_code == 200
    with pytest.raises(ValueError, match="no such kind of rule"):
        Rule("explode")  # type: ignore[arg-type]
