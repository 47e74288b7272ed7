"""A proxy that looks into HTTP: it treats each request, and its answer, as a rule says.

For faults that hit some requests and not others, or a certain byte of an object whatever the
ranges are that it is asked for in. It answers itself where a load balancer would (429, 500, 503).
One request at a time on a connection, as HTTP clients do: no pipelining.
"""

from __future__ import annotations

import http
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import trio

from tests.servers.faults import Hits
from tests.servers.http_framing import TO_THE_END, Head, Messages
from tests.servers.proxy import Connection, Link, Proxy, corrupted

Kind = Literal["delay", "throttle", "cut", "truncate", "corrupt", "status", "stall"]
KINDS = frozenset(Kind.__args__)  # type: ignore[attr-defined]

Matcher = Callable[[Head], bool]


@dataclass(frozen=True, slots=True)
class Rule:
    """What happens to the answers of some requests.

    Attributes:
        kind: what happens, `at` a place in the answer.
            ``delay``: wait `seconds` before the byte there.
            ``throttle``: from there on, `bytes_per_s` for all requests of this rule together.
            ``stall``: wait until released before the byte there.
            ``cut``: reset the connection instead of sending the byte there.
            ``truncate``: close the connection in good order instead of sending the byte there.
            ``corrupt``: invert the byte there.
            ``status``: the proxy answers `status` itself; the server never sees the request.
        matches: which requests; it gets their heads.
        at: offset in the object (in the whole body, for requests without a range): requests whose
            range does not hold it are left alone. None: in the head of the answer.
        skip: how many matching requests pass before the first one is hit.
        times: how many are hit; None for all of them.
        seconds: of a delay.
        bytes_per_s: of a throttle.
        status: of the kind "status".
        retry_after_s: sent as Retry-After with the status, when given.
    """

    kind: Kind
    matches: Matcher = lambda _: True
    at: int | None = None
    skip: int = 0
    times: int | None = None
    seconds: float = 0.0
    bytes_per_s: float = 1e6
    status: int = 503
    retry_after_s: int | None = None

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ValueError(f"no such kind of rule: {self.kind!r}; there are {sorted(KINDS)}")

    def hits(self, request: Head) -> bool:
        span = request.span
        if self.at is not None and span is not None and not span[0] <= self.at < span[1]:
            return False
        return self.matches(request)


class RuleHandle(Hits):
    """A rule that was put in force; `release` ends it, and lets stalled answers go on."""

    def __init__(self, rule: Rule, released: Callable[[RuleHandle], None]) -> None:
        super().__init__(skip=rule.skip, times=rule.times)
        self.rule = rule
        self.link = Link(rule.bytes_per_s)
        self.gone = trio.Event()
        self._on_release = released

    def __repr__(self) -> str:
        return f"<{self.rule.kind} at {self.rule.at}>"

    def release(self) -> None:
        super().release()
        self._on_release(self)


class HttpProxy(Proxy):
    """Forwards HTTP to *target_port*. `down` and `up` of `Proxy` do nothing here; rules do.

    The oldest rule that hits a request is the one that counts.
    """

    def __init__(self, target_port: int) -> None:
        super().__init__(target_port)
        self._rules: list[RuleHandle] = []

    def rule(self, rule: Rule) -> RuleHandle:
        """Put *rule* in force, from any thread."""
        handle = RuleHandle(rule, self._released)
        self._call(lambda: self._rules.append(handle))
        return handle

    def clear(self) -> None:
        """End all rules."""
        for handle in list(self._rules):
            handle.release()

    def reset(self) -> None:
        self.clear()
        super().reset()

    def _released(self, handle: RuleHandle) -> None:
        def end() -> None:
            if handle in self._rules:
                self._rules.remove(handle)
            handle.gone.set()

        self._call(end)

    async def _relay(self, connection: Connection) -> None:
        requests, answers = Messages(connection.client), Messages(connection.server)
        while (request := await requests.head()) is not None:
            handle = self._hit(request)
            if handle is not None and handle.rule.kind == "status":
                # Who waits for "100 Continue" sends no body after another answer.
                waits = "expect" in request.headers
                if not waits:
                    await requests.body(request.body_of_request(), _drop)
                await self.transmit(connection.client, _own_answer(handle.rule, request), "down")
                goes_on = not request.last and not waits
            else:
                goes_on = await self._exchange(connection, request, requests, answers, handle)
            if not goes_on:
                return

    def _hit(self, request: Head) -> RuleHandle | None:
        for handle in self._rules:
            if handle.rule.hits(request) and handle.count():
                return handle
        return None

    async def _exchange(
        self,
        connection: Connection,
        request: Head,
        requests: Messages,
        answers: Messages,
        handle: RuleHandle | None,
    ) -> bool:
        """Pass on a request and its answer; return whether the connection lives on."""
        async with trio.open_nursery() as nursery:
            # Both at once: a client may wait for "100 Continue" before it sends its body.
            nursery.start_soon(self._send_up, connection, request, requests)
            while True:
                answer = await answers.head()
                if answer is None:
                    nursery.cancel_scope.cancel()
                    return False
                if answer.status >= 200:
                    break
                await self.transmit(connection.client, answer.raw, "down")
            length = answer.body_of_answer(request.method)
            passing = _Passing(self, connection, _first_byte(request, answer), handle)
            goes_on = await passing.head(answer.raw)
            goes_on = goes_on and await answers.body(length, passing.body)
            if not goes_on:
                nursery.cancel_scope.cancel()
        return goes_on and length != TO_THE_END and not answer.last and not request.last

    async def _send_up(self, connection: Connection, request: Head, requests: Messages) -> None:
        async def send(piece: bytes) -> bool:
            await self.transmit(connection.server, piece, "up")
            return True

        await send(request.raw)
        await requests.body(request.body_of_request(), send)


class _Passing:
    """One answer on its way to the client, treated as the rule says that hit it."""

    def __init__(
        self, proxy: HttpProxy, connection: Connection, offset: int, handle: RuleHandle | None
    ) -> None:
        self._proxy = proxy
        self._connection = connection
        self._handle = handle
        self._offset = offset
        self._throttled = False

    async def head(self, raw: bytes) -> bool:
        """Send the head; return whether there is more to send."""
        if self._handle is None or self._handle.rule.at is not None:
            await self._send(raw)
            return True
        kind = self._handle.rule.kind
        if kind == "truncate":
            await self._send(raw[: len(raw) // 2])
        if kind == "corrupt":
            raw = corrupted(raw, 0, 0)
        if not await self._happens():
            return False
        await self._send(raw)
        return True

    async def body(self, piece: bytes) -> bool:
        """Send a piece of the body; return whether there is more to send."""
        start, self._offset = self._offset, self._offset + len(piece)
        rule = None if self._handle is None else self._handle.rule
        if rule is None or rule.at is None or not start <= rule.at < self._offset:
            await self._send(piece)
            return True
        before, after = piece[: rule.at - start], piece[rule.at - start :]
        await self._send(before)
        if rule.kind == "corrupt":
            after = corrupted(after, 0, 0)
        if not await self._happens():
            return False
        await self._send(after)
        return True

    async def _happens(self) -> bool:
        """Do at this byte what the rule says; return whether there is more to send."""
        assert self._handle is not None
        rule = self._handle.rule
        if rule.kind == "cut":
            self._connection.cut()
            return False
        if rule.kind == "truncate":
            self._connection.end()
            return False
        if rule.kind == "delay":
            await trio.sleep(rule.seconds)
        if rule.kind == "stall":
            await self._handle.gone.wait()
        self._throttled = rule.kind == "throttle"
        return True

    async def _send(self, piece: bytes) -> None:
        if self._throttled and self._handle is not None and self._handle.active:
            await self._handle.link.carry(len(piece))
        if piece:
            await self._proxy.transmit(self._connection.client, piece, "down")


async def _drop(piece: bytes) -> bool:
    return True


def _first_byte(request: Head, answer: Head) -> int:
    """Return the offset in the object of the first byte of the answer's body."""
    span = request.span
    return span[0] if span is not None and answer.status == 206 else 0


def _own_answer(rule: Rule, request: Head) -> bytes:
    """Return an answer in the form of a load balancer's: HTML, whatever the API speaks."""
    phrase = http.HTTPStatus(rule.status).phrase
    body = f"<html><body><h1>{rule.status} {phrase}</h1></body></html>\n".encode()
    lines = [f"HTTP/1.1 {rule.status} {phrase}", "Content-Type: text/html"]
    lines.append(f"Content-Length: {len(body)}")
    if rule.retry_after_s is not None:
        lines.append(f"Retry-After: {rule.retry_after_s}")
    head = "\r\n".join(lines).encode() + b"\r\n\r\n"
    return head if request.method == "HEAD" else head + body
