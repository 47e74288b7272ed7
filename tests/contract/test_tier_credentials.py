"""Credentials: a Google service account, from its file to both engines."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from shotfs.config import Settings
from shotfs.digest import Checksums
from shotfs.errors import AccessDenied, TierUnavailable
from shotfs.observe.metrics import Metrics
from shotfs.tiers.base import Span
from shotfs.tiers.registry import open_tier
from tests.contract.places import NETWORK
from tests.servers.gcs import GcsServer
from tests.servers.tokens import TokenServer


@pytest.fixture
def token_server() -> Iterator[TokenServer]:
    with TokenServer() as server:
        yield server


@pytest.fixture
def secured() -> Iterator[GcsServer]:
    with GcsServer(tokens=frozenset({"good"})) as server:
        server.store.create_bucket("bucket")
        yield server


@pytest.fixture
def account(tmp_path: Path, token_server: TokenServer) -> Path:
    """A service account's file, with a key of its own."""
    return token_server.write_account(tmp_path / "account.json")


def settings(server: GcsServer, account: Path, engine: str) -> Settings:
    origin = {
        "endpoint_url": server.endpoint,
        "credentials_file": str(account),
        "engine": engine,
    }
    return Settings(network=NETWORK, origins={"gs://bucket": origin})  # type: ignore[arg-type, dict-item]  # pydantic parses it


@pytest.mark.parametrize("engine", ["obstore", "fsspec"])
async def test_one_account_and_one_token_serve_metadata_and_bytes(
    secured: GcsServer, account: Path, token_server: TokenServer, engine: str
) -> None:
    tier = await open_tier("gs://bucket", settings(secured, account, engine), Metrics())
    made = await tier.put(
        "a", b"12345", expect=None, checksums=Checksums(), mtime_ns=1, metadata={}
    )
    assert bytes(await tier.read(made, Span(1, 3))) == b"23"
    assert await tier.stat("a") == made
    await tier.aclose()
    assert token_server.asked == 1


async def test_an_account_that_is_refused_is_denied_by_the_setting_that_names_it(
    secured: GcsServer, account: Path, token_server: TokenServer
) -> None:
    token_server.status = 400
    tier = await open_tier("gs://bucket", settings(secured, account, "auto"), Metrics())
    with pytest.raises(AccessDenied, match="credentials_file"):
        await tier.stat("a")
    await tier.aclose()


async def test_a_file_that_holds_no_account_is_denied(secured: GcsServer, tmp_path: Path) -> None:
    path = tmp_path / "not-an-account.json"
    path.write_text('{"type": "nothing"}')
    tier = await open_tier("gs://bucket", settings(secured, path, "auto"), Metrics())
    with pytest.raises(AccessDenied, match="credentials_file") as caught:
        await tier.stat("a")
    assert not isinstance(caught.value, TierUnavailable)
    await tier.aclose()


@pytest.mark.parametrize("engine", ["obstore", "fsspec"])
async def test_a_token_that_is_refused_is_renewed_once_and_the_request_repeated(
    secured: GcsServer, account: Path, token_server: TokenServer, engine: str
) -> None:
    secured.store.put("bucket", "a", b"12345")
    tier = await open_tier("gs://bucket", settings(secured, account, engine), Metrics())
    revision = await tier.stat("a")
    token_server.token = "second"
    secured.tokens = frozenset({"second"})
    assert bytes(await tier.read(revision, Span(1, 3))) == b"23"
    assert await tier.stat("a") == revision
    made = await tier.put("b", b"new", expect=None, checksums=Checksums(), mtime_ns=1, metadata={})
    assert bytes(await tier.read(made, Span(0, 3))) == b"new"
    await tier.aclose()
    assert token_server.asked == 2


@pytest.mark.parametrize("engine", ["obstore", "fsspec"])
async def test_an_account_that_is_refused_with_every_token_is_denied_and_asks_for_no_more(
    secured: GcsServer, account: Path, token_server: TokenServer, engine: str
) -> None:
    secured.store.put("bucket", "a", b"12345")
    tier = await open_tier("gs://bucket", settings(secured, account, engine), Metrics())
    revision = await tier.stat("a")
    secured.tokens = frozenset()
    for _ in range(3):
        with pytest.raises(AccessDenied, match="credentials_file"):
            await tier.read(revision, Span(1, 3))
        with pytest.raises(AccessDenied, match="credentials_file"):
            await tier.stat("a")
    await tier.aclose()
    assert token_server.asked == 2
