"""Uploads of the JSON API: media, multipart/related, and resumable sessions."""

from __future__ import annotations

import json
import re
import secrets
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote, unquote, urlencode

from tests.servers.content import Content, ContentWriter, content_of
from tests.servers.gcs import refusals
from tests.servers.gcs.call import Call, hash_header, integer, receive, verify
from tests.servers.gcs.json_format import (
    described,
    json_body,
    object_response,
    parse_json,
    preconditions,
)
from tests.servers.gcs.model import Preconditions, StoredObject, check_object_name
from tests.servers.gcs.store import Store
from tests.servers.wire import ConnectionLost, Request, Response

PREFIX = "/upload/storage/v1/b/"
CHUNK_BYTES = 256 << 10
"""A chunk that is not the last is a multiple of this, and so is what survives a lost one."""

_CONTENT_RANGE = re.compile(r"bytes (?:(\d+)-(\d+)|\*)/(\d+|\*)")


@dataclass(slots=True)
class Session:
    """One resumable upload. The lock is held while a chunk arrives."""

    bucket: str
    name: str
    resource: dict[str, Any]
    content_type: str | None
    preconditions: Preconditions
    declared_bytes: int | None
    writer: ContentWriter
    finished: StoredObject | None = None
    lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def persisted_bytes(self) -> int:
        return self.writer.size_bytes


class Uploads:
    """Routes and answers requests below ``/upload/storage/v1``; owns the open sessions."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._sessions: dict[str, Session] = {}
        self._lock = threading.Lock()

    def open_sessions(self) -> list[Session]:
        """Return the sessions that were neither finished nor aborted."""
        with self._lock:
            return [one for one in self._sessions.values() if one.finished is None]

    def forget_all(self, bucket: str) -> None:
        """Let the open sessions of *bucket* expire."""
        with self._lock:
            self._sessions = {
                key: one
                for key, one in self._sessions.items()
                if one.bucket != bucket or one.finished is not None
            }

    def route(self, request: Request) -> Call | None:
        match = re.fullmatch(re.escape(PREFIX) + r"([^/]+)/o/?", request.path)
        if match is None:
            return None
        bucket = unquote(match.group(1))
        if "upload_id" in request.query:
            return self._route_session(request, bucket)
        name = request.query.get("name", "")
        if request.method != "POST":
            return None
        match request.query.get("uploadType"):
            case "resumable":
                return Call(
                    "resumable_start", "json", bucket, name, lambda: self._start(request, bucket)
                )
            case "multipart":
                return self._route_multipart(request, bucket)
            case "media" | None:
                return Call("insert", "json", bucket, name, lambda: self._media(request, bucket))
        raise refusals.invalid("Invalid uploadType")

    def _route_session(self, request: Request, bucket: str) -> Call | None:
        with self._lock:
            session = self._sessions.get(request.query["upload_id"])
        name = "" if session is None else session.name
        if request.method == "DELETE":
            return Call("resumable_abort", "json", bucket, name, lambda: self._abort(request))
        if request.method not in ("PUT", "POST"):
            return None
        is_query = request.headers.get("content-range", "").startswith("bytes */")
        operation = "resumable_status" if is_query else "resumable_chunk"
        return Call(operation, "json", bucket, name, lambda: self._chunk(request, session))

    # --- in one request --------------------------------------------------------------------------

    def _media(self, request: Request, bucket: str) -> Response:
        name = request.query.get("name", "")
        self._store.check(bucket, name, preconditions(request.query))
        content = receive(request.body, self._store.directory)
        resource = {"contentType": request.headers.get("content-type", "application/octet-stream")}
        return self._insert(request, bucket, name, resource, content)

    def _route_multipart(self, request: Request, bucket: str) -> Call:
        # gcsfs gives the name in the body only, and faults match by name: so we look ahead.
        given = request.query.get("name", "")

        def run() -> Response:
            resource, content_type, data = _split_related(
                request.headers.get("content-type", ""), request.body.read()
            )
            resource.setdefault("contentType", content_type)
            final = str(resource.get("name", given))
            if given and final != given:
                raise refusals.invalid("Value in content does not agree with value in parameter.")
            return self._insert(request, bucket, final, resource, content_of(data))

        return Call("insert", "json", bucket, given or name_ahead(request), run)

    def _insert(
        self,
        request: Request,
        bucket: str,
        name: str,
        resource: Mapping[str, Any],
        content: Content,
    ) -> Response:
        verify_all(content, resource, request.headers)
        made = self._store.insert(
            bucket, name, content, described(resource), preconditions(request.query)
        )
        return object_response(request, made)

    # --- resumable -------------------------------------------------------------------------------

    def _start(self, request: Request, bucket: str) -> Response:
        resource = json_body(request)
        name = str(resource.get("name") or request.query.get("name", ""))
        conditions = preconditions(request.query)
        self._store.check(bucket, name, conditions)
        check_object_name(name)
        upload_id = secrets.token_urlsafe(48)
        session = Session(
            bucket=bucket,
            name=name,
            resource=resource,
            content_type=request.headers.get("x-upload-content-type"),
            preconditions=conditions,
            declared_bytes=integer(request.headers, "x-upload-content-length"),
            writer=ContentWriter(self._store.directory),
        )
        with self._lock:
            self._sessions[upload_id] = session
        kept = {k: v for k, v in request.query.items() if k not in ("uploadType", "name")}
        query = urlencode({"uploadType": "resumable", "name": name, **kept, "upload_id": upload_id})
        location = f"http://{request.host}{PREFIX}{quote(bucket)}/o?{query}"
        headers = {"Location": location, "X-GUploader-UploadID": upload_id}
        return Response(200, headers)

    def _abort(self, request: Request) -> Response:
        with self._lock:
            session = self._sessions.pop(request.query["upload_id"], None)
        if session is None:
            raise refusals.no_such_upload()
        with session.lock:
            session.writer.discard()
        return Response(499)

    def _chunk(self, request: Request, session: Session | None) -> Response:
        if session is None:
            raise refusals.no_such_upload()
        with session.lock:
            if session.finished is not None:
                return object_response(request, session.finished)
            start, length, total = _content_range(request, session)
            if start is None:
                return self._status(request, session, total)
            if start > session.persisted_bytes:
                raise refusals.invalid(
                    f"Invalid request. According to the Content-Range header, the upload offset is "
                    f"{start} byte(s), which exceeds already uploaded size of "
                    f"{session.persisted_bytes} byte(s)."
                )
            self._receive(request, session, start, length, total)
            whole = "content-range" not in request.headers
            if whole or session.persisted_bytes == total:
                return self._finish(request, session)
            return _incomplete(session)

    def _receive(
        self, request: Request, session: Session, start: int, length: int | None, total: int | None
    ) -> None:
        """Take a chunk's bytes; of a lost chunk, whole multiples of 256 KiB survive."""
        is_last = length is None or (total is not None and start + length == total)
        if not is_last and length is not None and length % CHUNK_BYTES:
            raise refusals.invalid(
                f"Invalid request. The number of bytes uploaded is required to be equal or greater "
                f"than {CHUNK_BYTES}, except for the final request. Received: {length}."
            )
        skip = session.persisted_bytes - start
        pending = bytearray()
        try:
            for piece in request.body.chunks():
                view = memoryview(piece)[min(skip, len(piece)) :]
                skip -= len(piece) - len(view)
                pending += view
                _persist(session, pending, whole=False)
        except ConnectionLost:
            _persist(session, pending, whole=False)
            raise
        _persist(session, pending, whole=True)

    def _status(self, request: Request, session: Session, total: int | None) -> Response:
        request.body.read()
        if total is not None and session.persisted_bytes == total:
            return self._finish(request, session)
        return _incomplete(session)

    def _finish(self, request: Request, session: Session) -> Response:
        if session.declared_bytes not in (None, session.persisted_bytes):
            raise refusals.invalid("The upload's length is not what X-Upload-Content-Length said.")
        resource = dict(session.resource)
        resource.setdefault("contentType", session.content_type or "application/octet-stream")
        content = session.writer.finish()
        try:
            verify_all(content, resource, request.headers)
            session.finished = self._store.insert(
                session.bucket, session.name, content, described(resource), session.preconditions
            )
        except refusals.Refusal:
            self._forget(session)
            raise
        return object_response(request, session.finished)

    def _forget(self, session: Session) -> None:
        with self._lock:
            self._sessions = {k: v for k, v in self._sessions.items() if v is not session}


def verify_all(content: Content, resource: Mapping[str, Any], headers: Mapping[str, str]) -> None:
    """Check every checksum that the resource or the headers carry."""
    in_headers = hash_header(headers)
    verify(content, md5=resource.get("md5Hash"), crc32c=resource.get("crc32c"))
    verify(content, md5=in_headers.get("md5"), crc32c=in_headers.get("crc32c"))


def _persist(session: Session, pending: bytearray, *, whole: bool) -> None:
    """Move *pending* to the session, all of it or up to the last boundary of 256 KiB."""
    reached = session.persisted_bytes + len(pending)
    count = len(pending) if whole else reached - reached % CHUNK_BYTES - session.persisted_bytes
    if count > 0:
        session.writer.write(bytes(pending[:count]))
        del pending[:count]


def _incomplete(session: Session) -> Response:
    headers = {"X-GUploader-UploadID": "-"}
    if session.persisted_bytes:
        headers["Range"] = f"bytes=0-{session.persisted_bytes - 1}"
    return Response(308, headers)


def _content_range(request: Request, session: Session) -> tuple[int | None, int | None, int | None]:
    """Return start, length and total of a chunk. Start None: a status query."""
    header = request.headers.get("content-range")
    if header is None:
        length = request.body.length_bytes
        return 0, length, length if length is not None else session.declared_bytes
    match = _CONTENT_RANGE.fullmatch(header)
    if match is None:
        raise refusals.invalid(f"Failed to parse Content-Range header: {header!r}")
    first, last, size = match.groups()
    total = None if size == "*" else int(size)
    if first is None:
        return None, None, total
    length = int(last) + 1 - int(first)
    given = request.body.length_bytes
    if length < 0 or (given is not None and given != length):
        raise refusals.invalid(f"Content-Range {header!r} disagrees with Content-Length {given}")
    if total is not None and int(last) >= total:
        raise refusals.invalid(f"Content-Range {header!r} ends beyond the total")
    return int(first), length, total


def _split_related(content_type: str, body: bytes) -> tuple[dict[str, Any], str | None, bytes]:
    """Split multipart/related into resource, media type and bytes; LF line ends are accepted."""
    match = re.search(r'boundary=(?:"([^"]+)"|([^;\s]+))', content_type)
    if not content_type.startswith("multipart/related") or match is None:
        raise refusals.invalid("Multipart upload needs Content-Type multipart/related; boundary=")
    marker = b"--" + (match.group(1) or match.group(2)).encode()
    start = body.find(marker)
    newline = b"\r\n" if body[start + len(marker) :].startswith(b"\r\n") else b"\n"
    first = start + len(marker) + len(newline)
    second = body.find(newline + marker + newline, first)
    end = body.rfind(newline + marker + b"--")
    if start != 0 or second < 0 or end < second:
        raise refusals.Refusal(400, "badContent", "InvalidArgument", "Malformed multipart body.")
    _, raw = _split_part(body[first:second], newline)
    media_type, data = _split_part(body[second + 2 * len(newline) + len(marker) : end], newline)
    return parse_json(raw), media_type, data


def name_ahead(request: Request) -> str:
    """Return the object's name that stands in the body, without reading it; "" for none."""
    found = re.search(rb'"name"\s*:\s*("(?:[^"\\]|\\.)*")', request.body.peek())
    return "" if found is None else str(json.loads(found.group(1)))


def _split_part(part: bytes, newline: bytes) -> tuple[str | None, bytes]:
    if part.startswith(newline):
        return None, part[len(newline) :]
    head, separator, body = part.partition(newline * 2)
    if not separator:
        raise refusals.Refusal(400, "badContent", "InvalidArgument", "Malformed multipart part.")
    found = re.search(rb"(?im)^content-type:\s*(.+?)\s*$", head)
    return (None if found is None else found.group(1).decode()), body
