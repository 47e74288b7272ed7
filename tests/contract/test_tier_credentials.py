"""Credentials: a Google service account, from its file to both engines."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from shotfs.config import Settings
from shotfs.digest import Checksums
from shotfs.errors import AccessDenied, TierUnavailable
from shotfs.observe.metrics import Metrics
from shotfs.tiers.base import Span
from shotfs.tiers.registry import open_tier
from tests.contract.places import NETWORK
from tests.servers.gcs import GcsServer


class TokenServer(ThreadingHTTPServer):
    """Google's token endpoint: gives out one token, or refuses."""

    status = 200
    asked = 0


class _TokenHandler(BaseHTTPRequestHandler):
    server: TokenServer

    def do_POST(self) -> None:
        self.server.asked += 1
        self.rfile.read(int(self.headers["Content-Length"]))
        answer = {"access_token": "good", "expires_in": 3600, "token_type": "Bearer"}
        if self.server.status != 200:
            answer = {"error": "invalid_grant", "error_description": "account disabled"}
        body = json.dumps(answer).encode()
        self.send_response(self.server.status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  http.server calls it so
        """Say nothing."""


@pytest.fixture
def token_server() -> Iterator[TokenServer]:
    with TokenServer(("127.0.0.1", 0), _TokenHandler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def secured() -> Iterator[GcsServer]:
    with GcsServer(tokens=frozenset({"good"})) as server:
        server.store.create_bucket("bucket")
        yield server


@pytest.fixture
def account(tmp_path: Path, token_server: TokenServer) -> Path:
    """A service account's file, with a key of its own."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    text = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    ).decode()
    path = tmp_path / "account.json"
    document = {
        "type": "service_account",
        "project_id": "test",
        "client_email": "render@test.invalid",
        "private_key_id": "1",
        "private_key": text,
        "token_uri": f"http://127.0.0.1:{token_server.server_address[1]}/token",
    }
    path.write_text(json.dumps(document))
    return path


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
