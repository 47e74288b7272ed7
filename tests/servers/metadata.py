"""Metadata servers of clouds, as far as a node asks them whether it is taken away.

Google Compute Engine: ``instance/preempted`` and ``instance/maintenance-event`` with ETags and
``wait_for_change``; without ``Metadata-Flavor: Google`` it refuses. Amazon EC2: tokens of IMDSv2
and ``spot/instance-action``, 404 until there is one; without a valid token it refuses.
"""

from __future__ import annotations

import contextlib
import json
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Self
from urllib.parse import parse_qs, urlsplit

PREEMPTED = "/computeMetadata/v1/instance/preempted"
MAINTENANCE = "/computeMetadata/v1/instance/maintenance-event"
ACTION = "/latest/meta-data/spot/instance-action"

Answer = tuple[int, dict[str, str], str]


class MetadataServer:
    """Serves on loopback, a thread a request. A context manager.

    Args:
        cloud: gce or ec2.

    Attributes:
        requests: method and path (with query) of each, in order.
        broken: while set, answers everything; takes the path.
        token: the only one that is valid at present (EC2).
    """

    def __init__(self, cloud: str) -> None:
        self.cloud = cloud
        self.requests: list[str] = []
        self.broken: Callable[[str], Answer] | None = None
        self.token = "token-1"
        self._values = {PREEMPTED: "FALSE", MAINTENANCE: "NONE"}
        self._etags = {PREEMPTED: 1, MAINTENANCE: 1}
        self._changed = threading.Condition()
        self._ending = False
        handler = type("_Bound", (_Handler,), {"server_of": self})
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        with self._changed:
            self._ending = True
            self._changed.notify_all()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def set(self, path: str, value: str) -> None:
        """Give a key another value; whoever waits for a change hears of it."""
        with self._changed:
            self._values[path] = value
            self._etags[path] = self._etags.get(path, 0) + 1
            self._changed.notify_all()

    def interrupt(self, action: str = "terminate", time: str = "2026-11-21T08:22:00Z") -> None:
        """Announce what happens to a spot instance."""
        self.set(ACTION, json.dumps({"action": action, "time": time}))

    def asked(self, path: str) -> int:
        """Return how often *path* was asked for."""
        return sum(path in request for request in list(self.requests))

    def answer(self, method: str, target: str, headers: dict[str, str]) -> Answer:
        """Return status, headers and body."""
        self.requests.append(f"{method} {target}")
        if self.broken is not None:
            return self.broken(target)
        parts = urlsplit(target)
        query = {name: values[0] for name, values in parse_qs(parts.query).items()}
        if self.cloud == "gce":
            return self._google(method, parts.path, query, headers)
        return self._amazon(method, parts.path, headers)

    def _google(
        self, method: str, path: str, query: dict[str, str], headers: dict[str, str]
    ) -> Answer:
        if headers.get("metadata-flavor") != "Google":
            return 403, {}, "Missing Metadata-Flavor:Google header."
        if method != "GET" or path not in self._values:
            return 404, {"Metadata-Flavor": "Google"}, "not found"
        with self._changed:
            if query.get("wait_for_change") == "true":
                seen = query.get("last_etag", "")
                self._changed.wait_for(
                    lambda: self._ending or str(self._etags[path]) != seen,
                    timeout=float(query.get("timeout_sec", "60")),
                )
            tags = {"Metadata-Flavor": "Google", "ETag": str(self._etags[path])}
            return 200, tags, self._values[path]

    def _amazon(self, method: str, path: str, headers: dict[str, str]) -> Answer:
        if path == "/latest/api/token":
            if method != "PUT" or "x-aws-ec2-metadata-token-ttl-seconds" not in headers:
                return 400, {}, ""
            return 200, {}, self.token
        if headers.get("x-aws-ec2-metadata-token") != self.token:
            return 401, {}, "Unauthorized"
        with self._changed:
            value = self._values.get(path) if path == ACTION else None
        return (404, {}, "Not Found") if value is None else (200, {}, value)


class _Handler(BaseHTTPRequestHandler):
    server_of: MetadataServer
    protocol_version = "HTTP/1.1"

    def _handle(self) -> None:
        headers = {name.lower(): value for name, value in self.headers.items()}
        status, extra, body = self.server_of.answer(self.command, self.path, headers)
        content = body.encode()
        self.send_response(status)
        for name, value in extra.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        with contextlib.suppress(ConnectionError):  # who waited for a change may be gone
            self.end_headers()
            self.wfile.write(content)

    do_GET = do_PUT = _handle  # noqa: N815 - http.server's names

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - its name there
        """Say nothing."""
