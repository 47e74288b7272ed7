"""A TCP listener with a thread a connection, that can go down and come back on the same port."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable

from tests.servers.wire import ConnectionLost, Wire

BACKLOG = 512
STOP_S = 0.5
"""How long to wait for threads. One that a fault stalls may stay behind: it ends when released."""


class Listener:
    """Accepts connections on loopback and gives each to *serve*.

    Args:
        serve: called again and again with a connection, in its thread, until it returns False or
            raises ConnectionLost.
        port: 0 takes a free one. It stays ours until `stop`.
        name: of the threads.
    """

    def __init__(self, serve: Callable[[Wire], bool], *, port: int = 0, name: str) -> None:
        self._serve = serve
        self._name = name
        self._lock = threading.Lock()
        self._wires: dict[Wire, threading.Thread] = {}
        self._socket: socket.socket | None = None
        self._acceptor: threading.Thread | None = None
        self._holder = reserve_port(port)
        self.port: int = self._holder.getsockname()[1]

    @property
    def listening(self) -> bool:
        return self._socket is not None

    def start(self) -> None:
        """Listen, for the first time or after `go_down`."""
        if self._socket is not None:
            raise RuntimeError(f"{self._name} is listening already")
        self._socket = reserve_port(self.port)
        self._socket.listen(BACKLOG)
        self._acceptor = threading.Thread(
            target=self._accept, args=(self._socket,), name=f"{self._name}-accept", daemon=True
        )
        self._acceptor.start()

    def go_down(self) -> None:
        """Refuse new connections and end the open ones. Does nothing when down already."""
        listener, self._socket = self._socket, None
        if listener is not None:
            # Closing a socket does not wake an accept() that is blocked on it; this does.
            listener.shutdown(socket.SHUT_RDWR)
            if self._acceptor is not None:
                self._acceptor.join(STOP_S)
            listener.close()
        self.drop_connections()

    def drop_connections(self) -> None:
        """End the open connections and wait for their threads."""
        with self._lock:
            open_now = dict(self._wires)
        for wire in open_now:
            wire.abort()
        deadline = time.monotonic() + STOP_S
        for thread in open_now.values():
            thread.join(max(0.0, deadline - time.monotonic()))

    def stop(self) -> None:
        """End for good and give the port back."""
        self.go_down()
        self._holder.close()

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            wire = Wire(connection)
            thread = threading.Thread(target=self._run, args=(wire,), name=self._name, daemon=True)
            with self._lock:
                self._wires[wire] = thread
            thread.start()

    def _run(self, wire: Wire) -> None:
        try:
            while self._serve(wire):
                continue
        except ConnectionLost:
            return
        finally:
            with self._lock:
                self._wires.pop(wire, None)
            wire.close()


def reserve_port(port: int = 0) -> socket.socket:
    """Return a bound socket that does not listen: connections are refused, the port is taken.

    Whoever sets SO_REUSEADDR, as servers do, may still bind and listen on that port: so it can be
    handed to a server process without a race, and kept while a server is down.
    """
    made = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    made.bind(("127.0.0.1", port))
    return made
