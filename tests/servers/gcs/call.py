"""What both APIs share: a routed request, ranges, checksums and headers of objects."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from email.utils import format_datetime

from tests.servers.content import Content, ContentWriter
from tests.servers.gcs import refusals
from tests.servers.gcs.model import StoredObject
from tests.servers.wire import Body, Request, Response, Slice

_RANGE = re.compile(r"bytes=(\d*)-(\d*)")


@dataclass(frozen=True, slots=True)
class Call:
    """A request that was understood: what it is, what it is about, and how to do it."""

    operation: str
    api: str
    bucket: str
    object: str
    run: Callable[[], Response]


def integer(values: Mapping[str, str], name: str) -> int | None:
    """Return a parameter or header as a number; None when it is absent; 400 when it is none."""
    text = values.get(name)
    if text is None:
        return None
    if not re.fullmatch(r"-?\d{1,19}", text):
        raise refusals.invalid(f"Invalid value for '{name}': {text!r}")
    return int(text)


def receive(body: Body, directory: str | None) -> Content:
    """Return a request's body as content."""
    writer = ContentWriter(directory)
    try:
        for piece in body.chunks():
            writer.write(piece)
    except BaseException:
        writer.discard()
        raise
    return writer.finish()


def object_headers(found: StoredObject, etag: str) -> dict[str, str]:
    """Return the headers that Google sends with an object's bytes, for both APIs."""
    content = found.content
    hashes = [f"crc32c={content.crc32c_base64}"]
    if content.md5_base64 is not None:
        hashes.append(f"md5={content.md5_base64}")
    headers = {
        "Content-Type": found.content_type or "application/octet-stream",
        "ETag": etag,
        "Last-Modified": format_datetime(found.updated_at, usegmt=True),
        "Accept-Ranges": "bytes",
        "x-goog-generation": str(found.generation),
        "x-goog-metageneration": str(found.metageneration),
        "x-goog-hash": ",".join(hashes),
        "x-goog-stored-content-length": str(content.size_bytes),
        "x-goog-stored-content-encoding": found.fixed.get("contentEncoding", "identity"),
        "x-goog-storage-class": "STANDARD",
    }
    for field, header in FIXED_HEADERS.items():
        if field in found.fixed:
            headers[header] = found.fixed[field]
    headers |= {f"x-goog-meta-{key}": value for key, value in found.metadata.items()}
    if found.component_count is not None:
        headers["x-goog-component-count"] = str(found.component_count)
    return headers


FIXED_HEADERS = {
    "cacheControl": "Cache-Control",
    "contentDisposition": "Content-Disposition",
    "contentEncoding": "Content-Encoding",
    "contentLanguage": "Content-Language",
    "customTime": "x-goog-custom-time",
}


def content_response(request: Request, found: StoredObject, etag: str) -> Response:
    """Answer with an object's bytes, or the part that the Range header asks for."""
    size = found.content.size_bytes
    headers = object_headers(found, etag)
    span = byte_range(request.headers.get("range"), size)
    if span is None:
        return Response(200, headers, Slice(found.content, 0, size))
    start, stop = span
    headers["Content-Range"] = f"bytes {start}-{stop - 1}/{size}"
    return Response(206, headers, Slice(found.content, start, stop))


def byte_range(header: str | None, size: int) -> tuple[int, int] | None:
    """Return the half-open span that a Range header means, or None for the whole object.

    A header that is no simple range is ignored, as RFC 9110 asks; one beyond the end is 416.
    """
    match = None if header is None else _RANGE.fullmatch(header.strip())
    if match is None or match.group(0) == "bytes=-":
        return None
    first, last = match.groups()
    if not first:
        length = int(last)
        if length == 0 or size == 0:
            raise refusals.range_not_satisfiable(size)
        return max(0, size - length), size
    start = int(first)
    if last and int(last) < start:
        return None
    if start >= size:
        raise refusals.range_not_satisfiable(size)
    return start, min(int(last) + 1, size) if last else size


def verify(content: Content, *, md5: str | None, crc32c: str | None) -> None:
    """Raise 400 unless the checksums that the client sent (base64) are those of its bytes."""
    for kind, given, computed, length in (
        ("MD5", md5, content.md5_base64, 16),
        ("CRC32C", crc32c, content.crc32c_base64, 4),
    ):
        if given is None:
            continue
        try:
            decoded = base64.b64decode(given, validate=True)
        except binascii.Error as exc:
            raise _invalid_digest(kind, given) from exc
        if len(decoded) != length:
            raise _invalid_digest(kind, given)
        if computed is not None and given != computed:
            raise refusals.bad_digest(kind, given, computed)


def _invalid_digest(kind: str, given: str) -> refusals.Refusal:
    return refusals.invalid(f'Invalid {kind} value "{given}".', code="InvalidDigest")


def hash_header(headers: Mapping[str, str]) -> dict[str, str]:
    """Return ``{"md5": ..., "crc32c": ...}`` as far as X-Goog-Hash and Content-MD5 give them."""
    found: dict[str, str] = {}
    for part in headers.get("x-goog-hash", "").split(","):
        kind, _, value = part.strip().partition("=")
        if kind in ("md5", "crc32c"):
            found[kind] = value
    if "content-md5" in headers:
        found["md5"] = headers["content-md5"]
    return found
