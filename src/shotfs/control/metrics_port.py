"""The metrics port: GET /metrics over TCP, for Prometheus, and nothing else.

Off unless `control.metrics_listen` names an address. Reads only, asks for no credentials, and keeps
no connection: one request, one answer, closed. A port that cannot be had is no reason for a node to
have no shows: it is logged, told in the status, and tried again.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from dataclasses import dataclass

import trio

from shotfs.config.addresses import Address

log = logging.getLogger(__name__)

CONNECTIONS_MAX = 8
"""At once: one or two Prometheus servers, and somebody with curl. More are closed unanswered."""

REQUEST_BYTES_MAX = 8 * 1024
REQUEST_TIMEOUT_S = 5.0
"""How long a request may take to arrive, and an answer to be taken."""

RETRY_S = 30.0
"""How long until a port that could not be had is tried again: whoever has it may be ending."""

BACKLOG = 16

TOLD_S = 60.0
"""Refused connections are logged this often at most: whoever can connect could fill the log."""


@dataclass(slots=True)
class MetricsPort:
    """Serves metrics on one address.

    Attributes:
        address: where.
        text: returns all metrics in the Prometheus text format. Called in the event loop.
        problem: why nobody can connect now; None: everybody can, or it has not begun.
    """

    address: Address
    text: Callable[[], str]
    problem: str | None = None
    _open: int = 0
    _told_s: float = float("-inf")

    async def run(self) -> None:
        """Serve until cancelled."""
        while True:
            try:
                listeners = await trio.open_tcp_listeners(
                    self.address.port, host=self.address.host, backlog=BACKLOG
                )
            except OSError as error:
                self._cannot_listen(error)
                await trio.sleep(RETRY_S)
                continue
            self.problem = None
            log.info("metrics on http://%s/metrics", self.address)
            await trio.serve_listeners(self._handle, listeners)

    def _cannot_listen(self, error: OSError) -> None:
        reason = os.strerror(error.errno) if error.errno else str(error)
        if self.problem is None:
            log.error(
                "no metrics on %s: %s\n  fix: change control.metrics_listen, or end what listens"
                " there; it is tried again every %g s",
                self.address,
                reason,
                RETRY_S,
            )
        self.problem = f"cannot listen: {reason}"

    async def _handle(self, stream: trio.SocketStream) -> None:
        if self._open >= CONNECTIONS_MAX:
            self._refused()
            await trio.aclose_forcefully(stream)
            return
        self._open += 1
        try:
            with trio.move_on_after(REQUEST_TIMEOUT_S):
                await self._answer(stream)
        except (trio.BrokenResourceError, trio.ClosedResourceError) as error:
            log.debug("metrics: a client is gone", extra={"reason": repr(error)})
        except Exception:
            # Metrics must never end the process that serves the mount.
            log.exception("metrics: a request failed")
        finally:
            self._open -= 1
            await trio.aclose_forcefully(stream)

    def _refused(self) -> None:
        if trio.current_time() - self._told_s >= TOLD_S:
            self._told_s = trio.current_time()
            log.warning(
                "metrics: more than %d connections to %s; others are closed unanswered",
                CONNECTIONS_MAX,
                self.address,
            )

    async def _answer(self, stream: trio.SocketStream) -> None:
        await stream.send_all(self._answer_to(await _head(stream)))
        await stream.send_eof()
        # Whoever closes with unread bytes resets the connection, and the answer may be lost.
        while await stream.receive_some(REQUEST_BYTES_MAX):
            pass

    def _answer_to(self, head: tuple[str, str] | None) -> bytes:
        if head is None:
            return _response("400 Bad Request", "this is not a request\n")
        method, target = head
        if target.partition("?")[0] != "/metrics":
            return _response("404 Not Found", "there is only /metrics\n")
        if method not in {"GET", "HEAD"}:
            return _response("405 Method Not Allowed", "only GET\n", "Allow: GET, HEAD\r\n")
        return _response("200 OK", self.text(), with_body=method == "GET")


async def _head(stream: trio.SocketStream) -> tuple[str, str] | None:
    """Return method and target of the request; None: it is none. Its other lines mean nothing."""
    received = bytearray()
    while b"\r\n\r\n" not in received:
        chunk = await stream.receive_some(REQUEST_BYTES_MAX)
        received += chunk
        if not chunk or len(received) > REQUEST_BYTES_MAX:
            return None
    words = bytes(received).partition(b"\r\n")[0].decode("latin-1").split(" ")
    if len(words) != 3 or not words[2].startswith("HTTP/1."):
        return None
    return words[0], words[1]


def _response(status: str, body: str, headers: str = "", *, with_body: bool = True) -> bytes:
    content = body.encode()
    head = (
        f"HTTP/1.1 {status}\r\nContent-Type: text/plain; version=0.0.4; charset=utf-8\r\n"
        f"Content-Length: {len(content)}\r\nConnection: close\r\n{headers}\r\n"
    )
    return head.encode("ascii") + (content if with_body else b"")
