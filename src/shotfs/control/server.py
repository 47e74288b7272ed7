"""The control server: HTTP on a Unix socket, each connection authorised by its peer's credentials.

Starlette on hypercorn's trio worker. hypercorn would bind the socket itself (0755) and tells an
application nothing of a Unix peer, so the socket is ours (`control.socket`) and each connection
gets hypercorn's `TCPServer` with an application that knows its peer. Runs in the service's event
loop; a request never blocks it. Everything has a limit: connections, bodies, replies, time.
"""

from __future__ import annotations

import logging
import socket
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, Protocol

import trio
from hypercorn.config import Config
from hypercorn.trio.tcp_server import TCPServer
from hypercorn.trio.worker_context import WorkerContext
from hypercorn.typing import ConnectionState
from hypercorn.utils import wrap_app

from shotfs.control import access
from shotfs.control.access import AccessPolicy, AllowUsers, Peer
from shotfs.control.api import Application, application
from shotfs.control.requests import PEER_EXTENSION
from shotfs.control.service import Service
from shotfs.control.socket import listening

log = logging.getLogger(__name__)

CONNECTIONS_MAX = 256
"""Open connections altogether: each is a task and a descriptor."""

CONNECTIONS_PER_UID_MAX = 64
"""Open connections of one user, so that a runaway script cannot shut the administrator out."""

IDLE_TIMEOUT_S = 5.0
"""How long a connection may be without a request, or take to send its headers."""

STOP_GRACE_S = 2.0
"""How long running requests may go on when the server stops; then their connections are cut."""


class ControlSettings(Protocol):
    """The part of the configuration that the server needs: `shotfs.config` section ``control``."""

    @property
    def socket(self) -> str:
        """Path of the Unix socket."""
        ...

    @property
    def admin_group(self) -> str:
        """Name of the group whose members may change things."""
        ...


async def serve(
    service: Service,
    settings: ControlSettings,
    allow_users: AllowUsers,
    *,
    task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Serve *service* on the socket of *settings* until cancelled.

    Reports started when clients can connect. At the end the socket is removed.

    Args:
        service: what the requests are passed to.
        settings: where the socket is, and which group may change things.
        allow_users: whether a process (uid, gid, pid) is a user of the mount and may read status.
        task_status: reports started.

    Raises:
        ServiceBusy: another service owns the socket.
        MountFailed: the socket cannot be made.
    """
    rules = await trio.to_thread.run_sync(access.policy, settings.admin_group, allow_users)
    # Taking the socket may wait a second for a probe: in a thread, though it is a context manager.
    owner = listening(settings.socket)
    listener = await trio.to_thread.run_sync(owner.__enter__)
    try:
        connections = _Connections(application(service), rules)
        log.info("control socket %s", settings.socket)
        await connections.serve(listener, task_status)
    finally:
        owner.__exit__(None, None, None)


class _Connections:
    """The open connections, and the limits on them."""

    def __init__(self, app: Application, rules: AccessPolicy) -> None:
        self._app = app
        self._rules = rules
        self._config = _hypercorn_config()
        self._context = WorkerContext(None)
        self._stopping = trio.Event()
        self._open: set[trio.SocketStream] = set()
        self._by_uid: Counter[int] = Counter()

    async def serve(self, listener: socket.socket, task_status: trio.TaskStatus[None]) -> None:
        """Accept until cancelled; then let running requests end, within `STOP_GRACE_S`."""
        accepting = trio.SocketListener(trio.socket.from_stdlib_socket(listener.dup()))
        async with accepting, trio.open_nursery() as nursery:
            handlers = await nursery.start(self._keep_handlers)
            try:
                task_status.started()
                await trio.serve_listeners(self._handle, [accepting], handler_nursery=handlers)
            finally:
                self._stopping.set()

    async def _keep_handlers(self, *, task_status: trio.TaskStatus[trio.Nursery]) -> None:
        """Hold the nursery of the connections, which outlives cancellation by a short grace.

        Cancelling alone would not end it: hypercorn shields its sends, and a client that does
        not read would keep the whole service from stopping. So sockets are cut as well.
        """
        with trio.CancelScope(shield=True):
            async with trio.open_nursery() as cutting:
                cutting.start_soon(self._cut_connections)
                async with trio.open_nursery() as handlers:
                    task_status.started(handlers)
                    await self._stopping.wait()
                    await self._context.terminated.set()
                    handlers.cancel_scope.deadline = trio.current_time() + STOP_GRACE_S
                cutting.cancel_scope.cancel()

    async def _cut_connections(self) -> None:
        await self._stopping.wait()
        await trio.sleep(STOP_GRACE_S)
        for stream in self._open:
            with suppress(OSError):
                stream.socket.shutdown(trio.socket.SHUT_RDWR)

    async def _handle(self, stream: trio.SocketStream) -> None:
        """Serve one connection; a mistake in it must not end the process that serves the mount."""
        try:
            await self._serve_connection(stream)
        except Exception:
            log.exception("control: a connection failed")
            await trio.aclose_forcefully(stream)

    async def _serve_connection(self, stream: trio.SocketStream) -> None:
        try:
            peer = _peer(stream)
        except OSError:
            await trio.aclose_forcefully(stream)
            return
        with self._counted(stream, peer) as admitted:
            if not admitted:
                log.warning("control: too many connections; closing one of %s", peer)
                await trio.aclose_forcefully(stream)
                return
            app = wrap_app(self._with_peer(peer), self._config.wsgi_max_body_size, "asgi")
            state = ConnectionState({})
            # hypercorn annotates only TLS streams; its first branch is for plain ones.
            await _Http(app, self._config, self._context, state, stream).run()  # type: ignore[arg-type]

    @contextmanager
    def _counted(self, stream: trio.SocketStream, peer: Peer) -> Iterator[bool]:
        if len(self._open) >= CONNECTIONS_MAX or self._by_uid[peer.uid] >= CONNECTIONS_PER_UID_MAX:
            yield False
            return
        self._open.add(stream)
        self._by_uid[peer.uid] += 1
        try:
            yield True
        finally:
            self._open.discard(stream)
            self._by_uid[peer.uid] -= 1
            if not self._by_uid[peer.uid]:
                del self._by_uid[peer.uid]

    def _with_peer(self, peer: Peer) -> Callable[..., Any]:
        """Return the application for one connection: it finds the peer's rights in the scope."""
        right = self._rules.right_of(peer)

        async def app(scope: dict[str, Any], receive: Any, send: Any) -> None:
            scope.setdefault("extensions", {})[PEER_EXTENSION] = (peer, right)
            await self._app(scope, receive, send)

        return app


class _Http(TCPServer):
    """hypercorn's connection, which else outlives its client by the idle time-out (0.18).

    64 commands in five seconds would then use up what one user may have open.
    """

    async def _read_data(self) -> None:
        await super()._read_data()
        await self.idle_task.stop()


def _peer(stream: trio.SocketStream) -> Peer:
    """Return who is at the other end, through a second descriptor that trio does not own."""
    with socket.fromfd(stream.socket.fileno(), socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        return access.peer_of(connection)


def _hypercorn_config() -> Config:
    config = Config()
    config.keep_alive_timeout = IDLE_TIMEOUT_S
    config.h11_max_incomplete_size = 16 * 1024
    config.include_server_header = False
    config.accesslog = None
    config.errorlog = logging.getLogger("shotfs.control.http")
    return config
