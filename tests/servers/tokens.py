"""Google's token endpoint, with the account's file that leads there, and AWS's for containers."""

from __future__ import annotations

import json
import threading
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Any, Self


class TokenServer(ThreadingHTTPServer):
    """Gives out one token at a time, or refuses.

    Attributes:
        token: what it gives now; to Google's clients it says that it is good for an hour.
        ends_in_s: when AWS's temporary credentials end, which are told as a time of day.
        status: 200, or what it refuses with.
        asked: how often it was asked.
    """

    def __init__(self, token: str = "good") -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.token = token
        self.status = 200
        self.ends_in_s = 3600.0
        self.asked = 0
        self._thread = threading.Thread(
            target=self.serve_forever, kwargs={"poll_interval": 0.01}, name="tokens"
        )

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.shutdown()
        self._thread.join()
        self.server_close()

    @property
    def container_url(self) -> str:
        """For ``AWS_CONTAINER_CREDENTIALS_FULL_URI``: where temporary keys of AWS are."""
        return f"http://127.0.0.1:{self.server_address[1]}/container"

    def write_account(self, path: Path) -> Path:
        """Write the file of a service account, with a key of its own, that asks this server."""
        from cryptography.hazmat.primitives import serialization
        from cryptography.hazmat.primitives.asymmetric import rsa

        key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        text = key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        ).decode()
        document = {
            "type": "service_account",
            "project_id": "test",
            "client_email": "render@test.invalid",
            "private_key_id": "1",
            "private_key": text,
            "token_uri": f"http://127.0.0.1:{self.server_address[1]}/token",
        }
        path.write_text(json.dumps(document))
        return path


class _Handler(BaseHTTPRequestHandler):
    server: TokenServer

    def do_POST(self) -> None:
        self.server.asked += 1
        self.rfile.read(int(self.headers["Content-Length"]))
        answer: dict[str, Any] = {
            "access_token": self.server.token,
            "expires_in": 3600,
            "token_type": "Bearer",
        }
        if self.server.status != 200:
            answer = {"error": "invalid_grant", "error_description": "account disabled"}
        self._send(answer)

    def do_GET(self) -> None:
        self.server.asked += 1
        ends = datetime.now(UTC) + timedelta(seconds=self.server.ends_in_s)
        self._send(
            {
                "AccessKeyId": "temporary",
                "SecretAccessKey": "temporary-secret",
                "Token": self.server.token,
                "Expiration": ends.strftime("%Y-%m-%dT%H:%M:%SZ"),
            }
        )

    def _send(self, answer: dict[str, Any]) -> None:
        body = json.dumps(answer).encode()
        self.send_response(self.server.status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  http.server calls it so
        """Say nothing."""
