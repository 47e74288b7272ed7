"""Serves one HTTP request with the faults that hit it: before, while reading, while answering."""

from __future__ import annotations

from collections.abc import Callable

from tests.servers.faults import Fault, FaultHandle, Faults
from tests.servers.journal import Journal, RequestRecord
from tests.servers.wire import Request, Response, Slice, Wire


class Delivery:
    """Journals requests, applies faults, sends answers. Shared by the HTTP servers.

    Args:
        refuse: makes the answer of a "status" fault, in the words of the server's API.
    """

    def __init__(
        self,
        journal: Journal,
        faults: Faults,
        refuse: Callable[[RequestRecord, Fault], Response],
    ) -> None:
        self._journal = journal
        self._faults = faults
        self._refuse = refuse

    def serve(
        self,
        wire: Wire,
        request: Request,
        record: RequestRecord,
        respond: Callable[[], Response],
    ) -> bool:
        """Answer *request*; return whether the connection lives on.

        Args:
            respond: does what was asked; never raises an HTTP error.
        """
        record.range = request.headers.get("range") or request.headers.get("content-range", "")
        self._journal.begin(record)
        faults: dict[str, FaultHandle] = {
            handle.fault.kind: handle for handle in self._faults.take(record)
        }
        try:
            response = self._respond(request, record, respond, faults)
            # A body that nobody read (a refused upload) would be taken for the next request.
            for _ in request.body.chunks():
                continue
        finally:
            record.received_bytes = request.body.received_bytes
        if "drop_reply" in faults:
            return False
        return _deliver(wire, request, record, response, faults)

    def _respond(
        self,
        request: Request,
        record: RequestRecord,
        respond: Callable[[], Response],
        faults: dict[str, FaultHandle],
    ) -> Response:
        if "delay" in faults:
            faults["delay"].wait_released(faults["delay"].fault.seconds)
        if "stall" in faults:
            faults["stall"].wait_released()
        if "cut_request" in faults:
            request.body.cut_after_bytes = faults["cut_request"].fault.after_bytes
        if "status" in faults:
            fault = faults["status"].fault
            response = self._refuse(record, fault)
            if fault.retry_after_s is not None:
                response.headers["Retry-After"] = str(fault.retry_after_s)
            return response
        return respond()


def _deliver(
    wire: Wire,
    request: Request,
    record: RequestRecord,
    response: Response,
    faults: dict[str, FaultHandle],
) -> bool:
    record.status = response.status
    response = _damaged(response, faults)
    cut = faults.get("cut_reply") or faults.get("stall_reply")
    if cut is not None:
        _deliver_part(wire, record, response, cut)
        return False
    head_only = request.method == "HEAD"
    wire.send(response, head_only=head_only, keep_alive=request.keep_alive, record=record)
    return request.keep_alive


def _deliver_part(wire: Wire, record: RequestRecord, response: Response, cut: FaultHandle) -> None:
    """Send the start of an answer; what follows depends on the kind of fault."""
    whole = _body_bytes(response)
    part = whole[: cut.fault.after_bytes]
    wire.send_head(response, length_bytes=len(whole), keep_alive=True)
    wire.send_part(part, record)
    if cut.fault.kind == "stall_reply":
        cut.wait_released()
        wire.send_part(whole[len(part) :], record)


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
