"""Credentials that end while a node is mounted, and are given anew."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.faults.conftest import IMPATIENT
from tests.faults.field import Seen, read
from tests.faults.surroundings import Surroundings
from tests.fuse.conftest import NewNode
from tests.fuse.node import ShotfsNode
from tests.servers.gcs import GcsServer
from tests.servers.handles import S3Bucket
from tests.servers.http_proxy import HttpProxy, Rule
from tests.servers.tokens import TokenServer

pytestmark = pytest.mark.kernel

MIB = 1 << 20
HOUR_S = 3600.0


class Secured:
    """A store that takes one token, and the server that gives it out."""

    def __init__(self, store: GcsServer, tokens: TokenServer) -> None:
        self.store = store
        self.tokens = tokens
        store.store.create_bucket("bucket")
        self.renew("first")

    def renew(self, token: str) -> None:
        """From now on *token* is the only good one."""
        self.tokens.token = token
        self.store.tokens = frozenset({token})

    def put(self, name: str, data: bytes) -> None:
        self.store.store.put("bucket", f"ant/library/{name}", data)


@pytest.fixture
def secured() -> Iterator[Secured]:
    with GcsServer() as store, TokenServer() as tokens:
        yield Secured(store, tokens)


@pytest.fixture
def secured_node(new_node: NewNode, secured: Secured, tmp_path: Path) -> ShotfsNode:
    """A node (not mounted) with a service account."""
    account = secured.tokens.write_account(tmp_path / "account.json")
    settings = (
        f'{IMPATIENT}range_bytes = 1048576\n[origins."gs://bucket"]\n'
        f'endpoint_url = "{secured.store.endpoint}"\ncredentials_file = "{account}"\n'
    )
    return new_node("gs://bucket/ant", settings=settings)


def _read_before_and_after(node: ShotfsNode, secured: Secured, end: Callable[[], None]) -> None:
    """Read files before and after *end*(): of all kinds that need a request of their own."""
    data = bytes(3 * MIB)
    for name in ("one.png", "known.png", "unseen.png", "large.mov"):
        secured.put(name, name.encode() if name != "large.mov" else data)
    library = node.show / "library"
    assert read(library / "one.png") == Seen(b"one.png", 0)
    assert (library / "known.png").stat().st_size == len("known.png")
    assert secured.tokens.asked == 1
    end()
    assert read(library / "known.png") == Seen(b"known.png", 0)
    assert read(library / "unseen.png") == Seen(b"unseen.png", 0)
    assert read(library / "large.mov") == Seen(data, 0)
    assert read(library / "one.png") == Seen(b"one.png", 0)
    assert secured.tokens.asked <= 3, "a token is asked for when the last one has ended"


def test_a_token_that_expires_is_renewed_before_anybody_notices(
    secured_node: ShotfsNode, secured: Secured, surroundings: Surroundings
) -> None:
    def end() -> None:
        secured.renew("second")
        surroundings.set_clock(2 * HOUR_S)

    _read_before_and_after(secured_node.mount(), secured, end)


def test_a_token_that_the_store_revokes_before_its_time_is_renewed_when_it_is_refused(
    secured_node: ShotfsNode, secured: Secured
) -> None:
    _read_before_and_after(secured_node.mount(), secured, lambda: secured.renew("second"))


def test_temporary_keys_of_s3_that_end_are_renewed_before_anybody_notices(
    new_node: NewNode,
    s3: S3Bucket,
    http_proxy: Callable[[int], HttpProxy],
    surroundings: Surroundings,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # moto checks no token; the proxy before it does, and answers for the store.
    network = http_proxy(s3.server.process.port)
    for name in ("one", "known", "unseen"):
        s3.put(f"ant/library/{name}.png", name.encode())
    with TokenServer("first") as tokens:
        monkeypatch.setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", tokens.container_url)
        refusal = network.rule(
            Rule(
                "status",
                lambda head: head.headers.get("x-amz-security-token") != tokens.token,
                status=403,
            )
        )
        settings = (
            f'{IMPATIENT}[origins."{s3.url}"]\nendpoint_url = "{network.endpoint}"\n'
            'region = "us-east-1"\n'
        )
        library = new_node(f"{s3.url}/ant", settings=settings).mount().show / "library"
        assert read(library / "one.png") == Seen(b"one", 0)
        assert (library / "known.png").stat().st_size == len("known")
        tokens.token, tokens.ends_in_s = "second", 4 * HOUR_S
        surroundings.set_clock(2 * HOUR_S)
        for name in ("known", "unseen", "one"):
            assert read(library / f"{name}.png") == Seen(name.encode(), 0)
        assert refusal.hits == 0
