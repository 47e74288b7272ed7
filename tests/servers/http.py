"""A plain HTTP file server over a directory: ranges, validators, index pages, faults.

It answers as nginx does where the two can be compared (the tests run against both), and can be
told to lack what poorer servers lack.
"""

from __future__ import annotations

import html
import os
import stat
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import format_datetime, parsedate_to_datetime
from types import TracebackType
from typing import Self
from urllib.parse import quote, unquote

from tests.servers.content import Content
from tests.servers.delivery import Delivery
from tests.servers.faults import Fault, FaultHandle, Faults
from tests.servers.gcs.call import byte_range
from tests.servers.gcs.refusals import Refusal
from tests.servers.journal import Journal, RequestRecord
from tests.servers.listener import Listener
from tests.servers.wire import Request, Response, Slice, Wire


@dataclass(frozen=True, slots=True)
class HttpFeatures:
    """What the server can do. Real servers lack any of these."""

    ranges: bool = True
    etags: bool = True
    last_modified: bool = True
    index_pages: bool = True


class HttpServer:
    """Serves the files below *directory* on loopback, in threads of this process.

    Journal and faults are those of the GCS server; the operations are "read" (GET of a file),
    "stat" (HEAD) and "list" (index pages), and a request's `object` is its path without the
    leading slash.
    """

    def __init__(self, directory: str, features: HttpFeatures | None = None) -> None:
        self.directory = os.path.realpath(directory)
        self.features = features or HttpFeatures()
        self.journal = Journal()
        self.faults = Faults()
        self._delivery = Delivery(self.journal, self.faults, lambda _, fault: _plain(fault.status))
        self._listener = Listener(self._serve_one, name="http")

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self._listener.port}"

    @property
    def port(self) -> int:
        return self._listener.port

    @property
    def listening(self) -> bool:
        return self._listener.listening

    def start(self) -> Self:
        self._listener.start()
        return self

    def go_down(self) -> None:
        """Refuse new connections and end the open ones; `come_up` ends it."""
        self._listener.go_down()

    def come_up(self) -> None:
        """Listen again, on the same port."""
        self._listener.start()

    def stop(self) -> None:
        """End for good."""
        self.faults.clear()
        self._listener.stop()

    def fault(self, fault: Fault) -> FaultHandle:
        """Put a fault in force."""
        return self.faults.add(fault)

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()

    def _serve_one(self, wire: Wire) -> bool:
        request = wire.read_request()
        path = unquote(request.path).lstrip("/")
        operation = {"GET": "read", "HEAD": "stat"}.get(request.method, "unknown")
        if operation == "read" and (not path or path.endswith("/")):
            operation = "list"
        record = RequestRecord(request.method, operation, "other", "", path)
        return self._delivery.serve(wire, request, record, lambda: self._respond(request, path))

    def _respond(self, request: Request, path: str) -> Response:
        if request.method not in ("GET", "HEAD"):
            return _plain(405, {"Allow": "GET, HEAD"})
        local = os.path.join(self.directory, path)
        inside = os.path.realpath(local).startswith(self.directory)
        if not inside or "\0" in path or not os.path.exists(local):
            return _plain(404)
        if os.path.isdir(local):
            return self._directory(request, path, local)
        if path.endswith("/"):
            return _plain(404)
        return self._file(request, local)

    def _file(self, request: Request, local: str) -> Response:
        descriptor = os.open(local, os.O_RDONLY)
        status = os.fstat(descriptor)
        content = Content(
            data=None, descriptor=descriptor, size_bytes=status.st_size, md5=None, crc32c=0
        )
        headers = self._validators(status)
        headers["Content-Type"] = "application/octet-stream"
        refused = _conditions(request, headers)
        if refused is not None:
            return refused
        size = status.st_size
        try:
            span = self._span(request, headers, size)
        except Refusal as refusal:
            return _plain(416, refusal.headers)
        if span is None:
            return Response(200, headers, Slice(content, 0, size))
        headers["Content-Range"] = f"bytes {span[0]}-{span[1] - 1}/{size}"
        return Response(206, headers, Slice(content, *span))

    def _validators(self, status: os.stat_result) -> dict[str, str]:
        headers = {}
        if self.features.last_modified:
            modified = datetime.fromtimestamp(int(status.st_mtime), UTC)
            headers["Last-Modified"] = format_datetime(modified, usegmt=True)
        if self.features.etags:
            headers["ETag"] = f'"{int(status.st_mtime):x}-{status.st_size:x}"'
        if self.features.ranges:
            headers["Accept-Ranges"] = "bytes"
        return headers

    def _span(self, request: Request, headers: dict[str, str], size: int) -> tuple[int, int] | None:
        if not self.features.ranges:
            return None
        condition = request.headers.get("if-range")
        if condition is not None and condition not in (
            headers.get("ETag"),
            headers.get("Last-Modified"),
        ):
            return None
        return byte_range(request.headers.get("range"), size)

    def _directory(self, request: Request, path: str, local: str) -> Response:
        if path and not path.endswith("/"):
            return _plain(301, {"Location": f"http://{request.host}/{quote(path)}/"})
        if not self.features.index_pages:
            return _plain(403)
        return Response(200, {"Content-Type": "text/html"}, _index_page("/" + path, local))


def _conditions(request: Request, validators: dict[str, str]) -> Response | None:
    """Return 412 or 304 where a condition asks for it, in the order of RFC 9110, 13.2.2."""
    etag = validators.get("ETag")
    modified = validators.get("Last-Modified")
    match = request.headers.get("if-match")
    if match is not None and match != "*" and not _listed(etag, match):
        return _plain(412)
    since = request.headers.get("if-unmodified-since")
    if match is None and since is not None and modified is not None and _later(modified, since):
        return _plain(412)
    none_match = request.headers.get("if-none-match")
    if none_match is not None:
        held = none_match == "*" or _listed(etag, none_match)
        return Response(304, validators) if held else None
    since = request.headers.get("if-modified-since")
    if since is not None and modified is not None and not _later(modified, since):
        return Response(304, validators)
    return None


def _listed(etag: str | None, header: str) -> bool:
    return etag in [part.strip().removeprefix("W/") for part in header.split(",")]


def _later(one: str, other: str) -> bool:
    return parsedate_to_datetime(one) > parsedate_to_datetime(other)


def _index_page(path: str, local: str) -> bytes:
    """Return an index page in the form of nginx's autoindex: directories first, by name."""
    title = html.escape(f"Index of {path}")
    head = f"<html>\r\n<head><title>{title}</title></head>\r\n<body>\r\n<h1>{title}</h1><hr><pre>"
    lines = [head + '<a href="../">../</a>']
    with os.scandir(local) as entries:
        found = sorted(entries, key=lambda entry: (not entry.is_dir(), entry.name))
        for entry in found:
            status = entry.stat()
            directory = stat.S_ISDIR(status.st_mode)
            name = entry.name + ("/" if directory else "")
            shown = name if len(name) <= 50 else name[:47] + "..>"
            when = datetime.fromtimestamp(status.st_mtime, UTC).strftime("%d-%b-%Y %H:%M")
            size = "-" if directory else str(status.st_size)
            link = f'<a href="{quote(name)}">{html.escape(shown)}</a>'
            lines.append(f"{link}{' ' * (51 - len(shown))}{when}{size:>20}")
    return "\r\n".join([*lines, "</pre><hr></body>\r\n</html>\r\n"]).encode()


def _plain(status: int, headers: dict[str, str] | None = None) -> Response:
    body = b"" if status == 304 else f"<h1>{status}</h1>\r\n".encode()
    return Response(status, {"Content-Type": "text/html", **(headers or {})}, body)
