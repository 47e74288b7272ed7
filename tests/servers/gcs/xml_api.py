"""The XML API: what obstore's GCS store speaks, and multipart uploads in parts."""

from __future__ import annotations

from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from urllib.parse import unquote
from xml.sax.saxutils import escape

from tests.servers.gcs import refusals
from tests.servers.gcs.call import (
    Call,
    content_response,
    hash_header,
    integer,
    object_headers,
    receive,
    verify,
)
from tests.servers.gcs.json_format import decode_token, encode_token, timestamp
from tests.servers.gcs.model import Description, Preconditions, StoredObject
from tests.servers.gcs.store import LIST_RESULTS_MAX, ListQuery, Store
from tests.servers.gcs.xml_format import described, element, xml_response
from tests.servers.gcs.xml_multipart import XmlMultipart
from tests.servers.wire import Request, Response

NAMESPACE = "http://s3.amazonaws.com/doc/2006-03-01/"


class XmlApi:
    """Routes and answers ``/bucket`` and ``/bucket/object``."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.multipart = XmlMultipart(store)

    def route(self, request: Request) -> Call | None:
        bucket, _, name = request.path.lstrip("/").partition("/")
        bucket, name = unquote(bucket), unquote(name)
        if not bucket:
            return None
        if not name:
            return self._route_bucket(request, bucket)
        return self.multipart.route(request, bucket, name) or self._route_object(
            request, bucket, name
        )

    def _route_bucket(self, request: Request, bucket: str) -> Call | None:
        match request.method:
            case "GET":
                return Call("list", "xml", bucket, "", lambda: self._list(request, bucket))
            case "HEAD":
                return Call("bucket_get", "xml", bucket, "", lambda: self._head_bucket(bucket))
            case "PUT":
                return Call("bucket_insert", "xml", bucket, "", lambda: self._mkdir(bucket))
            case "DELETE":
                return Call("bucket_delete", "xml", bucket, "", lambda: self._rmdir(bucket))
        return None

    def _route_object(self, request: Request, bucket: str, name: str) -> Call | None:
        match request.method:
            case "GET" | "HEAD":
                return Call(
                    "read" if request.method == "GET" else "stat",
                    "xml",
                    bucket,
                    name,
                    lambda: self._get(request, bucket, name),
                )
            case "PUT" if "x-goog-copy-source" in request.headers:
                return Call("copy", "xml", bucket, name, lambda: self._copy(request, bucket, name))
            case "PUT":
                return Call("insert", "xml", bucket, name, lambda: self._put(request, bucket, name))
            case "DELETE":
                return Call(
                    "delete", "xml", bucket, name, lambda: self._delete(request, bucket, name)
                )
        return None

    def _head_bucket(self, bucket: str) -> Response:
        self._store.bucket(bucket)
        return Response(200, {"x-goog-metageneration": "1"})

    def _mkdir(self, bucket: str) -> Response:
        self._store.create_bucket(bucket)
        return Response(200)

    def _rmdir(self, bucket: str) -> Response:
        self._store.delete_bucket(bucket)
        return Response(204)

    def _get(self, request: Request, bucket: str, name: str) -> Response:
        found = self._store.get(bucket, name, integer(request.query, "generation"))
        preconditions(request.headers).check_read(found)
        _check_etag(request.headers, found)
        return content_response(request, found, found.xml_etag)

    def _put(self, request: Request, bucket: str, name: str) -> Response:
        _refuse_etags(request)
        conditions = preconditions(request.headers)
        # Google looks at the preconditions before it takes the bytes, and again afterwards.
        self._store.check(bucket, name, conditions)
        content = receive(request.body, self._store.directory)
        hashes = hash_header(request.headers)
        verify(content, md5=hashes.get("md5"), crc32c=hashes.get("crc32c"))
        made = self._store.insert(bucket, name, content, described(request.headers), conditions)
        return Response(200, made_headers(made))

    def _copy(self, request: Request, bucket: str, name: str) -> Response:
        path = unquote(request.headers["x-goog-copy-source"]).lstrip("/")
        source_bucket, _, source_name = path.partition("/")
        generation = integer(request.headers, "x-goog-copy-source-generation")
        found = self._store.get(source_bucket, source_name, generation)
        made = self._store.insert(
            bucket,
            name,
            found.content,
            Description(found.content_type, found.metadata, found.fixed),
            preconditions(request.headers),
        )
        body = (
            f"<CopyObjectResult><LastModified>{timestamp(made.updated_at)}</LastModified>"
            f"<ETag>{escape(made.xml_etag)}</ETag></CopyObjectResult>"
        )
        response = xml_response(200, body)
        response.headers |= {"x-goog-generation": str(made.generation)}
        return response

    def _delete(self, request: Request, bucket: str, name: str) -> Response:
        conditions = preconditions(request.headers)
        self._store.delete(bucket, name, conditions, integer(request.query, "generation"))
        return Response(204)

    def _list(self, request: Request, bucket: str) -> Response:
        query = request.query
        second = query.get("list-type") == "2"
        asked = integer(query, "max-keys")
        if asked is not None and asked < 0:
            raise refusals.invalid("Invalid max-keys")
        after = decode_token(query.get("continuation-token"))
        if after is None:
            after = query.get("start-after" if second else "marker") or None
        page = self._store.listing(
            bucket,
            ListQuery(
                prefix=query.get("prefix", ""),
                delimiter=query.get("delimiter", ""),
                after=after,
                results_max=LIST_RESULTS_MAX if asked is None else min(asked, LIST_RESULTS_MAX),
            ),
        )
        parts = [
            element("Name", bucket),
            element("Prefix", query.get("prefix", "")),
            element("IsTruncated", "true" if page.next_after is not None else "false"),
        ]
        if second:
            parts.append(element("KeyCount", str(len(page.objects) + len(page.prefixes))))
        if page.next_after is not None and second:
            parts.append(element("NextContinuationToken", encode_token(page.next_after)))
        elif page.next_after is not None:
            parts.append(element("NextMarker", page.next_after))
        parts += [_contents(found) for found in page.objects]
        parts += [
            f"<CommonPrefixes>{element('Prefix', prefix)}</CommonPrefixes>"
            for prefix in page.prefixes
        ]
        body = f"<ListBucketResult xmlns='{NAMESPACE}'>{''.join(parts)}</ListBucketResult>"
        return xml_response(200, body)


def _refuse_etags(request: Request) -> None:
    """Refuse what Google offers for reading only, so that nobody builds create-only on it."""
    if "if-match" in request.headers or "if-none-match" in request.headers:
        raise refusals.Refusal(
            501,
            "notImplemented",
            "NotImplemented",
            "A header you provided implies functionality that is not implemented.",
        )


def preconditions(headers: Mapping[str, str]) -> Preconditions:
    """Return the preconditions of the XML API: it has no "not match" ones."""
    return Preconditions(
        generation_match=integer(headers, "x-goog-if-generation-match"),
        metageneration_match=integer(headers, "x-goog-if-metageneration-match"),
    )


def made_headers(made: StoredObject) -> dict[str, str]:
    """Return the headers that answer an upload."""
    wanted = ("ETag", "x-goog-generation", "x-goog-metageneration", "x-goog-hash")
    headers = object_headers(made, made.xml_etag)
    return {name: headers[name] for name in wanted} | {"Content-Type": "text/html; charset=UTF-8"}


def _check_etag(headers: Mapping[str, str], found: StoredObject) -> None:
    """Apply If-Match and friends in the order of RFC 9110, section 13.2.2."""
    if_match = headers.get("if-match")
    if if_match is not None and not _etag_in(if_match, found):
        raise refusals.precondition_failed()
    modified = found.updated_at.replace(microsecond=0)
    since = headers.get("if-unmodified-since")
    if if_match is None and since is not None and modified > parsedate_to_datetime(since):
        raise refusals.precondition_failed()
    if_none_match = headers.get("if-none-match")
    if if_none_match is not None:
        if _etag_in(if_none_match, found):
            raise refusals.not_modified(found.xml_etag)
        return
    since = headers.get("if-modified-since")
    if since is not None and modified <= parsedate_to_datetime(since):
        raise refusals.not_modified(found.xml_etag)


def _etag_in(header: str, found: StoredObject) -> bool:
    if header.strip() == "*":
        return True
    wanted = {part.strip().strip('"') for part in header.split(",")}
    return found.xml_etag.strip('"') in wanted


def _contents(found: StoredObject) -> str:
    inner = (
        element("Key", found.name)
        + element("Generation", str(found.generation))
        + element("MetaGeneration", str(found.metageneration))
        + element("LastModified", timestamp(found.updated_at))
        + element("ETag", found.xml_etag)
        + element("Size", str(found.content.size_bytes))
        + element("StorageClass", "STANDARD")
    )
    return f"<Contents>{inner}</Contents>"
