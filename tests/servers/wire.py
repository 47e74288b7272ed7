"""HTTP/1.1 on a blocking socket: just enough, written for tests that break it on purpose.

A thread a connection. No framework, because faults need the socket itself (reset after byte 17),
large bodies leave through `os.sendfile`, and header and body go out in one segment: the 40 ms
that the PyPI emulator costs a request come from sending them in two.
"""

from __future__ import annotations

import http
import socket
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from email.utils import formatdate
from urllib.parse import parse_qsl

from tests.servers.content import Content
from tests.servers.journal import RequestRecord

LINE_BYTES_MAX = 16 << 10
HEADERS_MAX = 100
READ_BYTES = 256 << 10
STEP_BYTES = 1 << 20
"""A send is counted in steps of this, so a lost connection is accounted for honestly."""


class ConnectionLost(Exception):
    """The peer went away, sent nonsense, or a fault cut the connection."""


@dataclass(frozen=True, slots=True)
class Slice:
    """The bytes ``[start, stop)`` of some content, as a response body."""

    content: Content
    start: int
    stop: int

    def __len__(self) -> int:
        return self.stop - self.start


@dataclass(slots=True)
class Response:
    """An answer. Content-Length is added when it is sent."""

    status: int
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes | Slice = b""


class Body:
    """A request's body, read once, from the connection that it arrives on."""

    def __init__(self, wire: Wire, headers: dict[str, str]) -> None:
        self._wire = wire
        self._chunked = headers.get("transfer-encoding", "").lower() == "chunked"
        self.length_bytes = None if self._chunked else _length(headers.get("content-length", "0"))
        self._expects_continue = headers.get("expect", "").lower() == "100-continue"
        self._done = not self._chunked and self.length_bytes == 0
        self.received_bytes = 0
        self.cut_after_bytes: int | None = None

    @property
    def done(self) -> bool:
        return self._done

    def chunks(self) -> Iterator[bytes]:
        """Yield what arrives; raises ConnectionLost when the peer or a fault ends it early."""
        if self._done:
            return
        if self._expects_continue:
            self._wire.send_raw(b"HTTP/1.1 100 Continue\r\n\r\n")
        for piece in self._chunked_pieces() if self._chunked else self._sized_pieces():
            self.received_bytes += len(piece)
            limit = self.cut_after_bytes
            if limit is not None and self.received_bytes >= limit:
                keep = len(piece) - (self.received_bytes - limit)
                if keep > 0:
                    yield piece[:keep]
                self._wire.reset()
                raise ConnectionLost("cut by a fault")
            yield piece
        self._done = True

    def peek(self) -> bytes:
        """Return the start of the body that has arrived, without taking it; "" if none is due."""
        return b"" if self._done or self._expects_continue else self._wire.peek()

    def read(self) -> bytes:
        """Return the whole body."""
        return b"".join(self.chunks())

    def _sized_pieces(self) -> Iterator[bytes]:
        remaining = self.length_bytes or 0
        while remaining:
            piece = self._wire.read_some(min(READ_BYTES, remaining))
            remaining -= len(piece)
            yield piece

    def _chunked_pieces(self) -> Iterator[bytes]:
        while True:
            remaining = _length(self._wire.read_line().split(b";")[0].decode("latin-1"), base=16)
            if remaining == 0:
                while self._wire.read_line():
                    continue
                return
            while remaining:
                piece = self._wire.read_some(min(READ_BYTES, remaining))
                remaining -= len(piece)
                yield piece
            self._wire.read_line()


@dataclass(slots=True)
class Request:
    """A request. Header names are in lower case; the path is still percent-encoded."""

    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: Body
    keep_alive: bool
    host: str


class Wire:
    """One connection, owned by one thread; `abort` alone may be called from others."""

    def __init__(self, connection: socket.socket) -> None:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket = connection
        self._reader = connection.makefile("rb", READ_BYTES)

    def read_line(self) -> bytes:
        try:
            line = self._reader.readline(LINE_BYTES_MAX)
        except OSError as exc:
            raise ConnectionLost(str(exc)) from exc
        if not line.endswith(b"\n"):
            raise ConnectionLost("the connection ended within a line, or the line is too long")
        return line.rstrip(b"\r\n")

    def read_some(self, limit: int) -> bytes:
        try:
            piece = self._reader.read1(limit)
        except OSError as exc:
            raise ConnectionLost(str(exc)) from exc
        if not piece:
            raise ConnectionLost("the connection ended within a body")
        return piece

    def peek(self) -> bytes:
        try:
            return self._reader.peek(1)
        except OSError as exc:
            raise ConnectionLost(str(exc)) from exc

    def read_request(self) -> Request:
        """Return the next request; raises ConnectionLost when there is none."""
        method, target, version = self._request_line()
        headers: dict[str, str] = {}
        while line := self.read_line():
            name, _, value = line.decode("utf-8", "replace").partition(":")
            headers[name.strip().lower()] = value.strip()
            if len(headers) > HEADERS_MAX:
                raise ConnectionLost("too many headers")
        path, _, query = target.partition("?")
        keep_alive = version == "HTTP/1.1" and headers.get("connection", "").lower() != "close"
        return Request(
            method=method,
            path=path,
            query=dict(parse_qsl(query, keep_blank_values=True)),
            headers=headers,
            body=Body(self, headers),
            keep_alive=keep_alive,
            host=headers.get("host", ""),
        )

    def _request_line(self) -> tuple[str, str, str]:
        parts = self.read_line().decode("latin-1").split(" ")
        if len(parts) != 3:
            raise ConnectionLost("not a request line")
        return parts[0], parts[1], parts[2]

    def send_raw(self, data: bytes) -> None:
        try:
            self.socket.sendall(data)
        except OSError as exc:
            raise ConnectionLost(str(exc)) from exc

    def send_head(self, response: Response, *, length_bytes: int, keep_alive: bool) -> None:
        self.send_raw(_head(response, length_bytes, keep_alive=keep_alive))

    def send(
        self, response: Response, *, head_only: bool, keep_alive: bool, record: RequestRecord | None
    ) -> None:
        """Send the whole answer; *record* gets the bytes of the body and whether it was whole.

        Counted before it is sent and taken back if that fails: whoever has read an answer finds
        it counted.
        """
        length_bytes = 0 if response.status in (204, 304) else len(response.body)
        head = _head(response, length_bytes, keep_alive=keep_alive)
        body = response.body
        if head_only or length_bytes == 0:
            self._send_counted(head, 0, record, last=True)
        elif isinstance(body, bytes):
            self._send_counted(head + body, length_bytes, record, last=True)
        elif length_bytes <= READ_BYTES:
            data = head + body.content.read(body.start, body.stop)
            self._send_counted(data, length_bytes, record, last=True)
        else:
            self.send_raw(head)
            self._send_slice(body, record)

    def send_part(self, data: bytes, record: RequestRecord) -> None:
        """Send some of a body, counted."""
        self._send_counted(data, len(data), record, last=False)

    def _send_counted(
        self, data: bytes, count: int, record: RequestRecord | None, *, last: bool
    ) -> None:
        if record is None:
            return self.send_raw(data)
        record.sent_bytes += count
        record.complete = last
        try:
            self.send_raw(data)
        except ConnectionLost:
            record.sent_bytes -= count
            record.complete = False
            raise

    def _send_slice(self, body: Slice, record: RequestRecord | None) -> None:
        start = body.start
        while start < body.stop:
            stop = min(start + STEP_BYTES, body.stop)
            if record is not None:
                record.sent_bytes += stop - start
                record.complete = stop == body.stop
            try:
                body.content.send(self.socket, start, stop)
            except (OSError, EOFError) as exc:
                if record is not None:
                    record.sent_bytes -= stop - start
                    record.complete = False
                raise ConnectionLost(str(exc)) from exc
            start = stop

    def reset(self) -> None:
        """Make the close that follows a TCP reset, which loses what is still in flight."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    def abort(self) -> None:
        """End the connection from another thread: blocked reads and writes fail at once."""
        try:
            self.socket.shutdown(socket.SHUT_RDWR)
        except OSError:
            return

    def close(self) -> None:
        self._reader.close()
        self.socket.close()


def _length(text: str, *, base: int = 10) -> int:
    try:
        length = int(text, base)
    except ValueError as exc:
        raise ConnectionLost(f"not a length: {text!r}") from exc
    if length < 0:
        raise ConnectionLost(f"a negative length: {text!r}")
    return length


def _head(response: Response, length_bytes: int, *, keep_alive: bool) -> bytes:
    try:
        phrase = http.HTTPStatus(response.status).phrase
    except ValueError:
        phrase = "Client Closed Request" if response.status == 499 else "Unknown"
    lines = [f"HTTP/1.1 {response.status} {phrase}"]
    lines += [f"{name}: {value}" for name, value in response.headers.items()]
    lines.append(f"Date: {formatdate(usegmt=True)}")
    lines.append("Server: UploadServer")
    if response.status not in (204, 304):
        lines.append(f"Content-Length: {length_bytes}")
    if not keep_alive:
        lines.append("Connection: close")
    return "\r\n".join(lines).encode("utf-8") + b"\r\n\r\n"
