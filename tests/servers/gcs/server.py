"""The server itself: routing between the APIs, authorisation, life."""

from __future__ import annotations

import shutil
import tempfile
from types import TracebackType
from typing import Self

from tests.servers.delivery import Delivery
from tests.servers.faults import Fault, FaultHandle, Faults
from tests.servers.gcs import refusals
from tests.servers.gcs.call import Call
from tests.servers.gcs.control import Control
from tests.servers.gcs.json_api import JsonApi
from tests.servers.gcs.json_format import json_error
from tests.servers.gcs.store import Store
from tests.servers.gcs.uploads import Uploads
from tests.servers.gcs.xml_api import XmlApi
from tests.servers.gcs.xml_format import xml_error
from tests.servers.journal import Journal, RequestRecord
from tests.servers.listener import Listener
from tests.servers.wire import Request, Response, Wire

READING = frozenset({"stat", "read", "list", "bucket_get", "bucket_list"})


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
        self.uploads = Uploads(self.store)
        self._json = JsonApi(self.store)
        self._xml = XmlApi(self.store)
        self.multipart = self._xml.multipart
        self._control = Control(self)
        self._delivery = Delivery(self.journal, self.faults, _injected)
        self._listener = Listener(self._serve_one, port=port, name="gcs")

    @property
    def port(self) -> int:
        return self._listener.port

    @property
    def endpoint(self) -> str:
        """The URL for gcsfs' `endpoint_url` and obstore's `base_url`."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def listening(self) -> bool:
        return self._listener.listening

    def start(self) -> Self:
        self._listener.start()
        return self

    def go_down(self) -> None:
        """Refuse new connections and end the open ones. State is kept; `come_up` ends it."""
        self._listener.go_down()

    def come_up(self) -> None:
        """Listen again, on the same port."""
        self._listener.start()

    def stop(self) -> None:
        """End for good: no thread, socket or file is left."""
        self.faults.clear()
        self._listener.stop()
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

    def _serve_one(self, wire: Wire) -> bool:
        """Serve the next request of a connection; return whether it lives on."""
        request = wire.read_request()
        if self._control.serves(request):
            answer = self._control.answer(request)
            wire.send(answer, head_only=False, keep_alive=True, record=None)
            return True
        call = self._route(request)
        record = RequestRecord(request.method, call.operation, call.api, call.bucket, call.object)
        return self._delivery.serve(wire, request, record, lambda: self._respond(request, call))

    def _route(self, request: Request) -> Call:
        try:
            call = self._json.route(request) or self.uploads.route(request)
            if call is not None:
                return call
            if request.path.startswith(("/storage/", "/upload/", "/download/")):
                return _refused("json", refusals.not_found())
            return self._xml.route(request) or _refused(
                "xml", refusals.method_not_allowed(request.method)
            )
        except refusals.Refusal as refusal:
            return _refused("json", refusal)

    def _respond(self, request: Request, call: Call) -> Response:
        try:
            self._authorise(request, call)
            return call.run()
        except refusals.Refusal as refused:
            return _error(call.api, refused)

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


def _error(api: str, refusal: refusals.Refusal) -> Response:
    return json_error(refusal) if api == "json" else xml_error(refusal)


def _injected(record: RequestRecord, fault: Fault) -> Response:
    return _error(record.api, refusals.on_request(fault.status))


def _refused(api: str, refusal: refusals.Refusal) -> Call:
    """Return a call that does nothing but to be refused."""

    def run() -> Response:
        raise refusal

    return Call("unknown", api, "", "", run)
