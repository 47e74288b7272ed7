"""The server itself: listener, a thread a connection, authorisation, faults applied to answers."""

from __future__ import annotations

import shutil
import socket
import tempfile
import threading
from types import TracebackType
from typing import Self

from tests.servers.gcs import refusals
from tests.servers.gcs.call import Call
from tests.servers.gcs.control import Control
from tests.servers.gcs.faults import Fault, FaultHandle, Faults
from tests.servers.gcs.journal import Journal, RequestRecord
from tests.servers.gcs.json_api import JsonApi, json_error
from tests.servers.gcs.store import Store
from tests.servers.gcs.uploads import Uploads
from tests.servers.gcs.wire import ConnectionLost, Request, Response, Slice, Wire
from tests.servers.gcs.xml_api import XmlApi, xml_error

READING = frozenset({"stat", "read", "list", "bucket_get", "bucket_list"})
STOP_S = 5.0


class GcsServer:
    """A strict GCS on loopback, in threads of this process.

    Args:
        port: 0 takes a free one. It stays reserved while the server is down.
        tokens: the bearer tokens that may do everything; None: no token is asked for.
        read_tokens: further tokens that may read only: writing is 403.
        data_directory: for large objects; None: a temporary one, removed by `stop`.

    Use as a context manager, or call `start` and `stop`.
    """

    def __init__(
        self,
        *,
        port: int = 0,
        tokens: frozenset[str] | None = None,
        read_tokens: frozenset[str] = frozenset(),
        data_directory: str | None = None,
    ) -> None:
        self.tokens = tokens
        self.read_tokens = read_tokens
        self._own_directory = data_directory is None
        self._directory = data_directory or tempfile.mkdtemp(prefix="gcs-server-")
        self.store = Store(self._directory)
        self.journal = Journal()
        self.faults = Faults()
        self._json = JsonApi(self.store)
        self.uploads = Uploads(self.store)
        self._xml = XmlApi(self.store)
        self.multipart = self._xml.multipart
        self._control = Control(self)
        self._lock = threading.Lock()
        self._wires: dict[Wire, threading.Thread] = {}
        self._listener: socket.socket | None = None
        self._acceptor: threading.Thread | None = None
        # Bound but never listening: it keeps the port ours while the listener is away, so that
        # connections are refused meanwhile and nobody else is given the port.
        self._holder = _bound_socket(port)
        self.port: int = self._holder.getsockname()[1]

    @property
    def endpoint(self) -> str:
        """The URL for gcsfs' `endpoint_url` and obstore's `base_url`."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def listening(self) -> bool:
        return self._listener is not None

    # --- life ------------------------------------------------------------------------------------

    def start(self) -> Self:
        """Listen. Also what ends `go_down`."""
        listener = _bound_socket(self.port)
        listener.listen(512)
        self._listener = listener
        self._acceptor = threading.Thread(
            target=self._accept, args=(listener,), name=f"gcs-accept-{self.port}", daemon=True
        )
        self._acceptor.start()
        return self

    come_up = start

    def go_down(self) -> None:
        """Refuse new connections and reset the open ones. State is kept; `come_up` ends it."""
        listener, self._listener = self._listener, None
        if listener is not None:
            listener.shutdown(socket.SHUT_RDWR)
            if self._acceptor is not None:
                self._acceptor.join(STOP_S)
            listener.close()
        self._drop_connections()

    def stop(self) -> None:
        """End for good: no thread, socket or file is left."""
        self.faults.clear()
        self.go_down()
        self._holder.close()
        if self._own_directory:
            shutil.rmtree(self._directory, ignore_errors=True)

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()

    def fault(self, fault: Fault) -> FaultHandle:
        """Put a fault in force."""
        return self.faults.add(fault)

    def _drop_connections(self) -> None:
        with self._lock:
            open_now = dict(self._wires)
        for wire in open_now:
            wire.abort()
        for thread in open_now.values():
            if thread is not threading.current_thread():
                thread.join(STOP_S)

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            wire = Wire(connection)
            thread = threading.Thread(
                target=self._serve, args=(wire,), name=f"gcs-{self.port}", daemon=True
            )
            with self._lock:
                self._wires[wire] = thread
            thread.start()

    def _serve(self, wire: Wire) -> None:
        try:
            while self._serve_one(wire):
                continue
        except ConnectionLost:
            return
        finally:
            with self._lock:
                self._wires.pop(wire, None)
            wire.close()

    # --- one request -----------------------------------------------------------------------------

    def _serve_one(self, wire: Wire) -> bool:
        """Serve the next request; return whether the connection lives on."""
        request = wire.read_request()
        if self._control.serves(request):
            wire.send(self._control.answer(request), head_only=False, keep_alive=True)
            return True
        call, refusal = self._route(request)
        record = RequestRecord(
            method=request.method,
            operation=call.operation,
            api=call.api,
            bucket=call.bucket,
            object=call.object,
            range=request.headers.get("range") or request.headers.get("content-range", ""),
        )
        self.journal.begin(record)
        faults = {handle.fault.kind: handle for handle in self.faults.take(record)}
        wire.sent_bytes = 0
        try:
            response = self._respond(request, call, refusal, faults)
            return self._deliver(wire, request, record, response, faults)
        finally:
            record.received_bytes = request.body.received_bytes
            record.sent_bytes = wire.sent_bytes

    def _route(self, request: Request) -> tuple[Call, refusals.Refusal | None]:
        try:
            for api in (self._json, self.uploads):
                call = api.route(request)
                if call is not None:
                    return call, None
            if request.path.startswith(("/storage/", "/upload/", "/download/")):
                return _unknown("json"), refusals.not_found()
            call = self._xml.route(request)
        except refusals.Refusal as refusal:
            return _unknown("json"), refusal
        if call is None:
            return _unknown("xml"), refusals.method_not_allowed(request.method)
        return call, None

    def _respond(
        self,
        request: Request,
        call: Call,
        refusal: refusals.Refusal | None,
        faults: dict[str, FaultHandle],
    ) -> Response:
        if "delay" in faults:
            faults["delay"].wait_released(faults["delay"].fault.seconds)
        if "stall" in faults:
            faults["stall"].wait_released()
        if "cut_request" in faults:
            request.body.cut_after_bytes = faults["cut_request"].fault.after_bytes
        try:
            if refusal is not None:
                raise refusal
            if "status" in faults:
                raise _injected(faults["status"].fault)
            self._authorise(request, call)
            return call.run()
        except refusals.Refusal as refused:
            return (json_error if call.api == "json" else xml_error)(refused)

    def _authorise(self, request: Request, call: Call) -> None:
        if self.tokens is None:
            return
        header = request.headers.get("authorization", "")
        if not header:
            raise refusals.unauthorized(anonymous=True)
        token = header.removeprefix("Bearer ").strip()
        if token in self.tokens:
            return
        if token not in self.read_tokens:
            raise refusals.unauthorized(anonymous=False)
        if call.operation not in READING:
            raise refusals.forbidden("storage.objects.create")

    def _deliver(
        self,
        wire: Wire,
        request: Request,
        record: RequestRecord,
        response: Response,
        faults: dict[str, FaultHandle],
    ) -> bool:
        if "drop_reply" in faults:
            return False
        # A body that nobody read (a refused upload) would be taken for the next request: read
        # the rest of it, as Google does.
        for _ in request.body.chunks():
            continue
        response = _damaged(response, faults)
        head_only = request.method == "HEAD"
        record.status = response.status
        if "cut_reply" in faults or "stall_reply" in faults:
            self._deliver_part(wire, response, faults)
            return False
        wire.send(response, head_only=head_only, keep_alive=request.keep_alive)
        record.complete = True
        return request.keep_alive

    def _deliver_part(self, wire: Wire, response: Response, faults: dict[str, FaultHandle]) -> None:
        cut = faults.get("cut_reply") or faults["stall_reply"]
        whole = _body_bytes(response)
        part = whole[: cut.fault.after_bytes]
        wire.send_head(response, length_bytes=len(whole), keep_alive=True)
        wire.send_raw(part)
        wire.sent_bytes += len(part)
        if cut.fault.kind == "stall_reply":
            cut.wait_released()
            wire.send_raw(whole[len(part) :])
            wire.sent_bytes += len(whole) - len(part)
            return
        wire.linger_then_reset()


def _damaged(response: Response, faults: dict[str, FaultHandle]) -> Response:
    """Return the answer as the faults "truncate" and "corrupt" leave it."""
    if "truncate" in faults:
        body = _body_bytes(response)[: faults["truncate"].fault.after_bytes]
        response = Response(response.status, response.headers, body)
    if "corrupt" in faults:
        raw = bytearray(_body_bytes(response))
        position = faults["corrupt"].fault.after_bytes
        if position < len(raw):
            raw[position] ^= 0xFF
        response = Response(response.status, response.headers, bytes(raw))
    return response


def _body_bytes(response: Response) -> bytes:
    body = response.body
    return body.content.read(body.start, body.stop) if isinstance(body, Slice) else body


def _injected(fault: Fault) -> refusals.Refusal:
    refusal = refusals.on_request(fault.status)
    if fault.retry_after_s is not None:
        refusal.headers["Retry-After"] = str(fault.retry_after_s)
    return refusal


def _unknown(api: str) -> Call:
    def run() -> Response:
        raise AssertionError("an unknown request is refused before it is run")

    return Call("unknown", api, "", "", run)


def _bound_socket(port: int) -> socket.socket:
    made = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    made.bind(("127.0.0.1", port))
    return made
