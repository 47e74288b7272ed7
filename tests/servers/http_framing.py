"""Where HTTP/1.1 messages begin and end on a trio socket, their bytes left as they are."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from urllib.parse import unquote

import trio

HEAD_BYTES_MAX = 64 << 10
PIECE_BYTES = 64 << 10

NO_BODY = 0
TO_THE_END = -1
CHUNKED = -2

Send = Callable[[bytes], Awaitable[bool]]
"""Takes the next bytes; returns whether it wants more."""


@dataclass(frozen=True, slots=True)
class Head:
    """The first line and the headers of a message.

    Attributes:
        raw: its bytes, with the empty line.
        first: the first line.
        headers: by name in lower case.
    """

    raw: bytes
    first: str
    headers: dict[str, str]

    @property
    def method(self) -> str:
        """Of a request."""
        return self.first.split(" ")[0]

    @property
    def target(self) -> str:
        """Of a request: path and query, as it was sent."""
        return self.first.split(" ")[1]

    @property
    def plain_target(self) -> str:
        """Of a request: path and query, percent-decoded."""
        return unquote(self.target)

    @property
    def path(self) -> str:
        """Of a request: percent-decoded, without the query."""
        return unquote(self.target.partition("?")[0])

    @property
    def span(self) -> tuple[int, int] | None:
        """Of a request: the half-open span of bytes that it asks for, None without a range."""
        first, _, last = self.headers.get("range", "").removeprefix("bytes=").partition("-")
        return (int(first), int(last) + 1) if first and last else None

    @property
    def status(self) -> int:
        """Of an answer."""
        return int(self.first.split(" ")[1])

    @property
    def last(self) -> bool:
        """Whether the connection ends after this message."""
        return self.headers.get("connection", "").lower() == "close"

    def body_of_request(self) -> int:
        """Return the length of the body that follows, or CHUNKED."""
        if self.headers.get("transfer-encoding", "").lower() == "chunked":
            return CHUNKED
        return int(self.headers.get("content-length", "0"))

    def body_of_answer(self, method: str) -> int:
        """Return the length of the body that follows, or CHUNKED, or TO_THE_END."""
        if method == "HEAD" or self.status in (204, 304) or self.status < 200:
            return NO_BODY
        if self.headers.get("transfer-encoding", "").lower() == "chunked":
            return CHUNKED
        return int(self.headers.get("content-length", TO_THE_END))


class Messages:
    """Reads messages from one direction of a connection."""

    def __init__(self, source: trio.socket.SocketType) -> None:
        self._source = source
        self._buffer = b""

    async def head(self) -> Head | None:
        """Return the next head; None when the peer has ended the connection before it.

        Raises:
            ConnectionError: the connection ended within the head, or the head is too long.
        """
        while b"\r\n\r\n" not in self._buffer:
            if len(self._buffer) > HEAD_BYTES_MAX:
                raise ConnectionError("the head of a message is too long")
            if not await self._more():
                if self._buffer:
                    raise ConnectionError("the connection ended within a head")
                return None
        raw, _, self._buffer = self._buffer.partition(b"\r\n\r\n")
        first, *lines = raw.decode("latin-1").split("\r\n")
        pairs = (line.partition(":") for line in lines)
        headers = {name.strip().lower(): value.strip() for name, _, value in pairs}
        return Head(raw + b"\r\n\r\n", first, headers)

    async def body(self, length: int, send: Send) -> bool:
        """Give *send* the bytes of a body as they are on the wire, chunk sizes included.

        Returns:
            False if *send* returned False: it wants no more.

        Raises:
            ConnectionError: the connection ended within the body.
        """
        if length == CHUNKED:
            return await self._chunked(send)
        while length:
            if not self._buffer and not await self._more():
                if length == TO_THE_END:
                    return True
                raise ConnectionError("the connection ended within a body")
            piece = self._buffer if length == TO_THE_END else self._buffer[:length]
            self._buffer = self._buffer[len(piece) :]
            length -= 0 if length == TO_THE_END else len(piece)
            if not await send(piece):
                return False
        return True

    async def _chunked(self, send: Send) -> bool:
        while True:
            line = await self._line()
            size = int(line.split(b";")[0], 16)
            if not await send(line):
                return False
            if size == 0:
                break
            if not await self.body(size + 2, send):
                return False
        while (line := await self._line()) != b"\r\n":
            await send(line)
        return await send(line)

    async def _line(self) -> bytes:
        while b"\r\n" not in self._buffer:
            if not await self._more():
                raise ConnectionError("the connection ended within a chunk")
        line, _, self._buffer = self._buffer.partition(b"\r\n")
        return line + b"\r\n"

    async def _more(self) -> bool:
        piece = await self._source.recv(PIECE_BYTES)
        self._buffer += piece
        return bool(piece)
