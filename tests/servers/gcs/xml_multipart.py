"""Multipart uploads of the XML API: initiate, parts, complete, abort."""

from __future__ import annotations

import secrets
import threading
import xml.etree.ElementTree as ET
from collections.abc import Callable
from dataclasses import dataclass, field
from xml.sax.saxutils import escape

from tests.servers.content import Content, ContentWriter
from tests.servers.gcs import refusals
from tests.servers.gcs.call import Call, hash_header, integer, receive, verify
from tests.servers.gcs.model import Description, StoredObject, check_object_name
from tests.servers.gcs.store import Store
from tests.servers.gcs.xml_format import described, xml_response
from tests.servers.wire import Request, Response

PART_BYTES_MIN = 5 << 20
PART_NUMBER_MAX = 10_000


@dataclass(slots=True)
class MultipartUpload:
    """One upload in parts; `parts` maps a part's number to its bytes."""

    bucket: str
    name: str
    description: Description
    parts: dict[int, Content] = field(default_factory=dict)


class XmlMultipart:
    """Routes and answers the requests of multipart uploads; owns the open ones."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._uploads: dict[str, MultipartUpload] = {}
        self._lock = threading.Lock()

    def open_uploads(self) -> list[MultipartUpload]:
        """Return the uploads that were neither completed nor aborted."""
        with self._lock:
            return list(self._uploads.values())

    def route(self, request: Request, bucket: str, name: str) -> Call | None:
        upload_id = request.query.get("uploadId")
        if request.method == "POST" and "uploads" in request.query:
            return self._call("multipart_start", bucket, name, request, self._start)
        if upload_id is None:
            return None
        match request.method:
            case "PUT":
                return self._call("multipart_part", bucket, name, request, self._part)
            case "POST":
                return self._call("multipart_complete", bucket, name, request, self._complete)
            case "DELETE":
                return self._call("multipart_abort", bucket, name, request, self._abort)
        return None

    def _call(
        self,
        operation: str,
        bucket: str,
        name: str,
        request: Request,
        run: Callable[[Request, str, str], Response],
    ) -> Call:
        return Call(operation, "xml", bucket, name, lambda: run(request, bucket, name))

    def _upload(self, request: Request, bucket: str, name: str) -> MultipartUpload:
        with self._lock:
            upload = self._uploads.get(request.query["uploadId"])
        if upload is None or (upload.bucket, upload.name) != (bucket, name):
            raise refusals.no_such_upload()
        return upload

    def _start(self, request: Request, bucket: str, name: str) -> Response:
        _refuse_preconditions(request)
        self._store.bucket(bucket)
        check_object_name(name)
        request.body.read()
        upload_id = secrets.token_urlsafe(32)
        with self._lock:
            self._uploads[upload_id] = MultipartUpload(bucket, name, described(request.headers))
        body = (
            f"<InitiateMultipartUploadResult><Bucket>{escape(bucket)}</Bucket>"
            f"<Key>{escape(name)}</Key><UploadId>{upload_id}</UploadId>"
            f"</InitiateMultipartUploadResult>"
        )
        return xml_response(200, body)

    def _part(self, request: Request, bucket: str, name: str) -> Response:
        number = integer(request.query, "partNumber")
        if number is None or not 1 <= number <= PART_NUMBER_MAX:
            raise refusals.invalid("Part number must be an integer between 1 and 10000, inclusive.")
        upload = self._upload(request, bucket, name)
        content = receive(request.body, self._store.directory)
        hashes = hash_header(request.headers)
        verify(content, md5=hashes.get("md5"), crc32c=hashes.get("crc32c"))
        with self._lock:
            upload.parts[number] = content
        return Response(
            200, {"ETag": _part_etag(content), "x-goog-hash": f"crc32c={content.crc32c_base64}"}
        )

    def _complete(self, request: Request, bucket: str, name: str) -> Response:
        _refuse_preconditions(request)
        asked = _parse_complete(request.body.read())
        upload = self._upload(request, bucket, name)
        content = self._assemble(upload, asked)
        made: StoredObject = self._store.insert(
            bucket, name, content, upload.description, component_count=len(asked)
        )
        with self._lock:
            self._uploads.pop(request.query["uploadId"], None)
        body = (
            f"<CompleteMultipartUploadResult><Location>http://{escape(request.host)}"
            f"{escape(request.path)}</Location><Bucket>{escape(bucket)}</Bucket>"
            f"<Key>{escape(name)}</Key><ETag>{escape(made.xml_etag)}</ETag>"
            f"</CompleteMultipartUploadResult>"
        )
        response = xml_response(200, body)
        response.headers |= {
            "x-goog-generation": str(made.generation),
            "x-goog-hash": f"crc32c={made.content.crc32c_base64}",
        }
        return response

    def _assemble(self, upload: MultipartUpload, asked: list[tuple[int, str]]) -> Content:
        writer = ContentWriter(self._store.directory)
        for position, (number, etag) in enumerate(asked):
            part = upload.parts.get(number)
            if part is None or _part_etag(part).strip('"') != etag.strip('"'):
                raise refusals.invalid(
                    f"Part {number} could not be found, or its ETag does not match.",
                    code="InvalidPart",
                )
            if part.size_bytes < PART_BYTES_MIN and position < len(asked) - 1:
                raise refusals.invalid(
                    "Your proposed upload is smaller than the minimum object size.",
                    code="EntityTooSmall",
                )
            for piece in part.chunks():
                writer.write(piece)
        return writer.finish().without_md5()

    def _abort(self, request: Request, bucket: str, name: str) -> Response:
        self._upload(request, bucket, name)
        with self._lock:
            self._uploads.pop(request.query["uploadId"], None)
        return Response(204)


def _part_etag(content: Content) -> str:
    assert content.md5 is not None
    return f'"{content.md5.hex()}"'


def _refuse_preconditions(request: Request) -> None:
    """Refuse what Google does not offer, so that nobody builds create-only on it."""
    if any(header.startswith("x-goog-if-") for header in request.headers):
        raise refusals.Refusal(
            501,
            "notImplemented",
            "NotImplemented",
            "Preconditions are not supported for XML API multipart uploads.",
        )


def _parse_complete(body: bytes) -> list[tuple[int, str]]:
    try:
        root = ET.fromstring(body)
        asked = [
            (int(part.findtext("{*}PartNumber", "")), part.findtext("{*}ETag", ""))
            for part in root.iterfind("{*}Part")
        ]
    except (ET.ParseError, ValueError) as exc:
        raise refusals.invalid("The XML is malformed.", code="MalformedXML") from exc
    if not asked:
        raise refusals.invalid("You must specify at least one part.", code="MalformedXML")
    numbers = [number for number, _ in asked]
    if numbers != sorted(set(numbers)):
        raise refusals.invalid("The parts are not in ascending order.", code="InvalidPartOrder")
    return asked
