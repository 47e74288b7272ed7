"""A TCP proxy that makes a network slow, lossy or broken, while it runs.

It has its own trio loop in its own thread, so a test's loop (with its own clock) can use it. It
knows no HTTP: it sees two streams of bytes a connection, and treats each as its `Behaviour` says.
`http_proxy` looks into the streams, and treats each request as a rule says.
What it cannot do is what TCP hides from programs: reordering, lost packets, a full half-open peer.
"""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from types import TracebackType
from typing import Self

import trio

from tests.servers.listener import reserve_port

PIECE_BYTES = 64 << 10
START_S = 5.0


@dataclass(frozen=True, slots=True)
class Behaviour:
    """What happens to one direction of a connection. Offsets count that direction's bytes.

    Attributes:
        delay_s: added to each piece of up to 64 KiB.
        bytes_per_s: the rate, a connection; None: as fast as it goes.
        cut_at: reset the connection when so many bytes have passed.
        end_at: close it in an orderly way when so many have passed (truncation).
        stall_at: pass no more than so many bytes until the behaviour is changed.
        corrupt_at: invert the byte at this offset.
    """

    delay_s: float = 0.0
    bytes_per_s: float | None = None
    cut_at: int | None = None
    end_at: int | None = None
    stall_at: int | None = None
    corrupt_at: int | None = None

    def stop_at(self) -> int | None:
        """Return the offset of the first byte that is not passed on, or None."""
        offsets = [at for at in (self.cut_at, self.end_at, self.stall_at) if at is not None]
        return min(offsets, default=None)


AS_IS = Behaviour()


class Link:
    """A rate that several connections share, as those behind one switch do. Used in one loop."""

    def __init__(self, bytes_per_s: float) -> None:
        self._bytes_per_s = bytes_per_s
        self._free_at = 0.0

    async def carry(self, count: int) -> None:
        """Return when the link has carried *count* bytes more, after all that were there first."""
        self._free_at = max(self._free_at, trio.current_time()) + count / self._bytes_per_s
        await trio.sleep_until(self._free_at)


class Proxy:
    """Forwards a port of its own to *target_port*, both on loopback.

    Use as a context manager. `down` is what happens to bytes from the server to the client, `up`
    to those from the client; both are set with `set` at any time, and open connections follow.
    `link` is the rate that all connections share on the way to the clients, None for no limit.
    """

    def __init__(self, target_port: int) -> None:
        self.target_port = target_port
        self.down = AS_IS
        self.up = AS_IS
        self.link: Link | None = None
        self.connections = 0
        self.bytes_down = 0
        self.bytes_up = 0
        self._holder = reserve_port()
        self.port: int = self._holder.getsockname()[1]
        self._ready = threading.Event()
        self._thread = threading.Thread(target=trio.run, args=(self._main,), name="proxy")
        self._token: trio.lowlevel.TrioToken | None = None
        self._stop: trio.Event | None = None
        self._changed: trio.Event | None = None
        self._listening: trio.CancelScope | None = None
        self._open: set[Connection] = set()

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    # --- control, from any thread ----------------------------------------------------------------

    def set(self, *, down: Behaviour | None = None, up: Behaviour | None = None) -> None:
        """Change how bytes are treated from now on; stalled connections look again."""
        self._call(lambda: self._set(down, up))

    def share(self, bytes_per_s: float | None) -> None:
        """Let all connections together carry so much to the clients; None: no limit."""
        self.link = None if bytes_per_s is None else Link(bytes_per_s)

    def reset(self) -> None:
        """Pass everything on as it is, and listen."""
        self.set(down=AS_IS, up=AS_IS)
        self.share(None)
        self.come_up()

    def cut(self) -> None:
        """Reset all open connections now; new ones are taken."""
        self._call(self._cut)

    def go_down(self) -> None:
        """Refuse new connections and reset the open ones."""
        self._call(self._go_down)

    def come_up(self) -> None:
        """Take connections again, on the same port. Does nothing when it does already."""
        self._call(self._come_up)

    def __enter__(self) -> Self:
        self._thread.start()
        if not self._ready.wait(START_S):
            raise TimeoutError("the proxy did not start")
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        assert self._stop is not None
        self._call(self._stop.set)
        self._thread.join()
        self._holder.close()

    def _call(self, function: Callable[[], None]) -> None:
        """Run *function* in the proxy's loop and wait for it.

        Not `trio.from_thread`: that refuses to be called from a test's own trio loop, which this
        blocks for the few microseconds that it takes.
        """
        assert self._token is not None, "the proxy is not running"
        done: Future[None] = Future()

        def run() -> None:
            try:
                function()
                done.set_result(None)
            except Exception as exc:  # noqa: BLE001  it is raised in the caller's thread
                done.set_exception(exc)

        self._token.run_sync_soon(run)
        done.result(START_S)

    # --- in the proxy's loop ---------------------------------------------------------------------

    async def _main(self) -> None:
        self._token = trio.lowlevel.current_trio_token()
        self._stop = trio.Event()
        self._changed = trio.Event()
        async with trio.open_nursery() as nursery:
            self._nursery = nursery
            self._come_up()
            self._ready.set()
            await self._stop.wait()
            nursery.cancel_scope.cancel()

    def _set(self, down: Behaviour | None, up: Behaviour | None) -> None:
        self.down = self.down if down is None else down
        self.up = self.up if up is None else up
        assert self._changed is not None
        self._changed.set()
        self._changed = trio.Event()

    def _cut(self) -> None:
        for connection in list(self._open):
            connection.cut()

    def _go_down(self) -> None:
        if self._listening is not None:
            self._listening.cancel()
            self._listening = None
            self._listener.close()
        self._cut()

    def _come_up(self) -> None:
        if self._listening is not None:
            return
        self._listener = trio.socket.from_stdlib_socket(reserve_port(self.port))
        self._listener.listen(512)
        self._listening = trio.CancelScope()
        self._nursery.start_soon(self._accept, self._listener, self._listening)

    async def _accept(self, listener: trio.socket.SocketType, scope: trio.CancelScope) -> None:
        with listener, scope:
            while True:
                try:
                    client, _ = await listener.accept()
                except OSError:
                    if scope.cancel_called:
                        return  # closed by ourselves while somebody connected
                    raise
                self.connections += 1
                self._nursery.start_soon(self._serve, client)

    async def _serve(self, client: trio.socket.SocketType) -> None:
        server = trio.socket.socket()
        connection = Connection(client, server)
        self._open.add(connection)
        try:
            for end in (client, server):
                end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            await server.connect(("127.0.0.1", self.target_port))
            await self._relay(connection)
        except* trio.ClosedResourceError:
            pass  # by ourselves
        except* OSError:
            connection.cut()
        finally:
            self._open.discard(connection)
            connection.end()

    async def _relay(self, connection: Connection) -> None:
        """Pass bytes on, both ways, until the connection ends."""
        async with trio.open_nursery() as nursery:
            client, server = connection.client, connection.server
            nursery.start_soon(self._pump, connection, client, server, "up")
            nursery.start_soon(self._pump, connection, server, client, "down")

    async def _pump(
        self,
        connection: Connection,
        source: trio.socket.SocketType,
        sink: trio.socket.SocketType,
        direction: str,
    ) -> None:
        passed = 0
        try:
            while piece := await source.recv(PIECE_BYTES):
                passed = await self._pass_on(connection, piece, sink, direction, passed)
            sink.shutdown(socket.SHUT_WR)
        except trio.ClosedResourceError:
            return
        except OSError:
            connection.cut()

    async def _pass_on(
        self,
        connection: Connection,
        piece: bytes,
        sink: trio.socket.SocketType,
        direction: str,
        passed: int,
    ) -> int:
        """Send *piece* as the behaviour of now says; return the new offset."""
        while piece:
            # Both are taken in one step: a change while we send must not be missed.
            behaviour, changed = (self.up if direction == "up" else self.down), self._changed
            stop = behaviour.stop_at()
            room = len(piece) if stop is None else min(max(0, stop - passed), len(piece))
            if room:
                await _slow_down(behaviour, room)
                await self.transmit(
                    sink, corrupted(piece[:room], behaviour.corrupt_at, passed), direction
                )
                passed += room
                piece = piece[room:]
            if stop is not None and passed >= stop:
                if behaviour.cut_at == stop:
                    connection.cut()
                elif behaviour.end_at == stop:
                    connection.end()
                else:
                    assert changed is not None
                    await changed.wait()
                await trio.lowlevel.checkpoint()
        return passed

    async def transmit(self, sink: trio.socket.SocketType, piece: bytes, direction: str) -> None:
        """Send *piece*, at the rate of the link if it goes to the client."""
        # Counted before it is sent: whoever has the bytes finds them counted.
        if direction == "up":
            self.bytes_up += len(piece)
        else:
            self.bytes_down += len(piece)
            if self.link is not None:
                await self.link.carry(len(piece))
        view = memoryview(piece)
        while view:
            view = view[await sink.send(view) :]


@dataclass(eq=False, slots=True)
class Connection:
    """The two sockets of a connection. Closing them ends the tasks that use them."""

    client: trio.socket.SocketType
    server: trio.socket.SocketType

    def cut(self) -> None:
        """Reset both sides, now: the peers know it when this returns."""
        for end in (self.client, self.server):
            with contextlib.suppress(OSError):
                end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.end()

    def end(self) -> None:
        """Close both sides."""
        self.client.close()
        self.server.close()


async def _slow_down(behaviour: Behaviour, count: int) -> None:
    seconds = behaviour.delay_s
    if behaviour.bytes_per_s is not None:
        seconds += count / behaviour.bytes_per_s
    if seconds:
        await trio.sleep(seconds)


def corrupted(piece: bytes, corrupt_at: int | None, passed: int) -> bytes:
    """Return *piece*, which starts at the offset *passed*, with one byte inverted."""
    if corrupt_at is None or not passed <= corrupt_at < passed + len(piece):
        return piece
    changed = bytearray(piece)
    changed[corrupt_at - passed] ^= 0xFF
    return bytes(changed)
