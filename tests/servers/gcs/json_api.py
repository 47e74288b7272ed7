"""The JSON API: buckets, metadata, media downloads, listings, copies. For uploads: uploads.py."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any
from urllib.parse import quote, unquote

from tests.servers.content import ContentWriter
from tests.servers.gcs import refusals
from tests.servers.gcs.call import (
    FIXED_HEADERS,
    Call,
    content_response,
    integer,
)
from tests.servers.gcs.fields import filter_fields
from tests.servers.gcs.store import (
    LIST_RESULTS_MAX,
    Bucket,
    Description,
    ListQuery,
    Preconditions,
    Store,
    StoredObject,
)
from tests.servers.wire import Request, Response

PREFIX = "/storage/v1/"
DOWNLOAD_PREFIX = "/download/storage/v1/"


class JsonApi:
    """Routes and answers requests below ``/storage/v1``. Stateless: all state is in the store."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def route(self, request: Request) -> Call | None:
        """Return what the request is, or None if it is none of this API's."""
        for prefix in (DOWNLOAD_PREFIX, PREFIX):
            if request.path.startswith(prefix):
                parts = [unquote(part) for part in request.path[len(prefix) :].split("/")]
                return self._route(request, parts)
        return None

    def _route(self, request: Request, parts: list[str]) -> Call | None:
        match parts:
            case ["b"]:
                return self._route_buckets(request)
            case ["b", bucket]:
                return self._route_bucket(request, bucket)
            case ["b", bucket, "storageLayout"] if request.method == "GET":
                return Call("bucket_get", "json", bucket, "", lambda: self._layout(bucket))
            case ["b", bucket, "o"]:
                if request.method == "GET":
                    return Call("list", "json", bucket, "", lambda: self._list(request, bucket))
                return None
            case ["b", bucket, "o", name]:
                return self._route_object(request, bucket, name)
            case ["b", bucket, "o", name, "compose"] if request.method == "POST":
                return Call(
                    "compose", "json", bucket, name, lambda: self._compose(request, bucket, name)
                )
            case ["b", source, "o", name, ("copyTo" | "rewriteTo") as verb, "b", to, "o", new] if (
                request.method == "POST"
            ):
                rewrite = verb == "rewriteTo"
                return Call(
                    "copy",
                    "json",
                    to,
                    new,
                    lambda: self._copy(request, (source, name), (to, new), rewrite=rewrite),
                )
            case ["b", bucket, "o", name, "moveTo", "o", new] if request.method == "POST":
                return Call(
                    "copy", "json", bucket, new, lambda: self._move(request, bucket, name, new)
                )
        return None

    def _route_buckets(self, request: Request) -> Call | None:
        if request.method == "GET":
            return Call("bucket_list", "json", "", "", self._list_buckets)
        if request.method == "POST":
            return Call("bucket_insert", "json", "", "", lambda: self._insert_bucket(request))
        return None

    def _route_bucket(self, request: Request, bucket: str) -> Call | None:
        match request.method:
            case "GET":
                return Call(
                    "bucket_get",
                    "json",
                    bucket,
                    "",
                    lambda: json_response(200, bucket_json(self._store.bucket(bucket))),
                )
            case "PATCH" | "PUT":
                return Call(
                    "bucket_patch", "json", bucket, "", lambda: self._patch_bucket(request, bucket)
                )
            case "DELETE":
                return Call("bucket_delete", "json", bucket, "", lambda: self._rmdir(bucket))
        return None

    def _route_object(self, request: Request, bucket: str, name: str) -> Call | None:
        match request.method:
            case "GET" | "HEAD":
                media = request.query.get("alt") == "media"
                return Call(
                    "read" if media else "stat",
                    "json",
                    bucket,
                    name,
                    lambda: self._get(request, bucket, name, media=media),
                )
            case "PATCH" | "PUT":
                return Call(
                    "patch", "json", bucket, name, lambda: self._patch(request, bucket, name)
                )
            case "DELETE":
                return Call(
                    "delete", "json", bucket, name, lambda: self._delete(request, bucket, name)
                )
        return None

    # --- buckets ---------------------------------------------------------------------------------

    def _list_buckets(self) -> Response:
        items = [bucket_json(bucket) for bucket in self._store.buckets()]
        body: dict[str, Any] = {"kind": "storage#buckets"}
        return json_response(200, body | ({"items": items} if items else {}))

    def _insert_bucket(self, request: Request) -> Response:
        body = json_body(request)
        if "project" not in request.query:
            raise refusals.required("project")
        versioning = bool(body.get("versioning", {}).get("enabled", False))
        bucket = self._store.create_bucket(str(body.get("name", "")), versioning=versioning)
        return json_response(200, bucket_json(bucket))

    def _patch_bucket(self, request: Request, name: str) -> Response:
        body = json_body(request)
        bucket = self._store.bucket(name)
        with self._store.lock:
            if "versioning" in body:
                bucket.versioning = bool(body["versioning"].get("enabled", False))
            bucket.metageneration += 1
        return json_response(200, bucket_json(bucket))

    def _rmdir(self, name: str) -> Response:
        self._store.delete_bucket(name)
        return Response(204)

    def _layout(self, name: str) -> Response:
        bucket = self._store.bucket(name)
        body = {
            "kind": "storage#storageLayout",
            "bucket": bucket.name,
            "location": "US",
            "locationType": "multi-region",
            "hierarchicalNamespace": {"enabled": False},
        }
        return json_response(200, body)

    # --- objects ---------------------------------------------------------------------------------

    def _get(self, request: Request, bucket: str, name: str, *, media: bool) -> Response:
        found = self._store.get(bucket, name, integer(request.query, "generation"))
        preconditions(request.query).check_read(found)
        _check_etag(request.headers, found)
        if media:
            return content_response(request, found, found.json_etag)
        return object_response(request, found)

    def _patch(self, request: Request, bucket: str, name: str) -> Response:
        body = json_body(request)
        generation = integer(request.query, "generation")
        with self._store.lock:
            current = self._store.get(bucket, name, generation)
            whole = request.method == "PUT"
            made = self._store.patch(
                bucket,
                name,
                Description() if whole and not body else patched(current, body, whole=whole),
                preconditions(request.query),
                generation,
            )
        return object_response(request, made)

    def _delete(self, request: Request, bucket: str, name: str) -> Response:
        self._store.delete(
            bucket, name, preconditions(request.query), integer(request.query, "generation")
        )
        return Response(204)

    def _list(self, request: Request, bucket: str) -> Response:
        query = request.query
        asked = integer(query, "maxResults")
        if asked is not None and asked <= 0:
            raise refusals.invalid(f"Invalid value for maxResults: {asked}")
        page = self._store.list(
            bucket,
            ListQuery(
                prefix=query.get("prefix", ""),
                delimiter=query.get("delimiter", ""),
                start_offset=query.get("startOffset", ""),
                end_offset=query.get("endOffset") or None,
                after=decode_token(query.get("pageToken")),
                results_max=min(asked or LIST_RESULTS_MAX, LIST_RESULTS_MAX),
                versions=query.get("versions") == "true",
                trailing_delimiter=query.get("includeTrailingDelimiter") == "true",
            ),
        )
        body: dict[str, Any] = {"kind": "storage#objects"}
        if page.next_after is not None:
            body["nextPageToken"] = encode_token(page.next_after)
        if page.prefixes:
            body["prefixes"] = page.prefixes
        if page.objects:
            body["items"] = [object_json(found, request.host) for found in page.objects]
        return json_response(200, body, fields=query.get("fields"))

    def _copy(
        self, request: Request, source: tuple[str, str], to: tuple[str, str], *, rewrite: bool
    ) -> Response:
        body = json_body(request)
        found = self._store.get(*source, integer(request.query, "sourceGeneration"))
        source_preconditions(request.query).check_write(found)
        description = described(body) if body else description_of(found)
        made = self._store.insert(*to, found.content, description, preconditions(request.query))
        if not rewrite:
            return object_response(request, made)
        size = str(made.content.size_bytes)
        answer = {
            "kind": "storage#rewriteResponse",
            "totalBytesRewritten": size,
            "objectSize": size,
            "done": True,
            "resource": object_json(made, request.host),
        }
        return json_response(200, answer, fields=request.query.get("fields"))

    def _move(self, request: Request, bucket: str, name: str, new: str) -> Response:
        with self._store.lock:
            found = self._store.get(bucket, name, integer(request.query, "sourceGeneration"))
            source_preconditions(request.query).check_write(found)
            made = self._store.insert(
                bucket, new, found.content, description_of(found), preconditions(request.query)
            )
            self._store.delete(bucket, name)
        return object_response(request, made)

    def _compose(self, request: Request, bucket: str, name: str) -> Response:
        body = json_body(request)
        sources = body.get("sourceObjects") or []
        if not 1 <= len(sources) <= 32:
            raise refusals.invalid("The number of source components must be 1 to 32.")
        writer = ContentWriter(self._store.directory)
        count = 0
        for source in sources:
            generation = source.get("generation")
            found = self._store.get(
                bucket, source["name"], None if generation is None else int(generation)
            )
            count += found.component_count or 1
            for piece in found.content.chunks():
                writer.write(piece)
        made = self._store.insert(
            bucket,
            name,
            writer.finish().without_md5(),
            described(body.get("destination") or {}),
            preconditions(request.query),
            component_count=count,
        )
        return object_response(request, made)


# --- representations -----------------------------------------------------------------------------


def json_response(
    status: int, body: Mapping[str, Any], *, fields: str | None = None, etag: str | None = None
) -> Response:
    shown = filter_fields(body, fields) if fields else body
    headers = {"Content-Type": "application/json; charset=UTF-8", "Cache-Control": "no-cache"}
    if etag is not None:
        headers["ETag"] = etag
    return Response(status, headers, json.dumps(shown).encode())


def object_response(request: Request, found: StoredObject) -> Response:
    return json_response(
        200,
        object_json(found, request.host),
        fields=request.query.get("fields"),
        etag=found.json_etag,
    )


def json_error(refusal: refusals.Refusal) -> Response:
    detail = {"message": refusal.message, "domain": "global", "reason": refusal.reason}
    body = {"error": {"code": refusal.status, "message": refusal.message, "errors": [detail]}}
    response = json_response(refusal.status, body)
    response.headers |= refusal.headers
    return response


def bucket_json(bucket: Bucket) -> dict[str, Any]:
    body = {
        "kind": "storage#bucket",
        "id": bucket.name,
        "name": bucket.name,
        "projectNumber": "1",
        "metageneration": str(bucket.metageneration),
        "location": "US",
        "locationType": "multi-region",
        "storageClass": "STANDARD",
        "timeCreated": timestamp(bucket.created_at),
        "updated": timestamp(bucket.created_at),
        "etag": base64.b64encode(str(bucket.metageneration).encode()).decode(),
    }
    return body | ({"versioning": {"enabled": True}} if bucket.versioning else {})


def object_json(found: StoredObject, host: str) -> dict[str, Any]:
    path = f"b/{found.bucket}/o/{quote(found.name, safe='')}"
    body: dict[str, Any] = {
        "kind": "storage#object",
        "id": f"{found.bucket}/{found.name}/{found.generation}",
        "selfLink": f"http://{host}{PREFIX}{path}",
        "mediaLink": f"http://{host}{DOWNLOAD_PREFIX}{path}"
        f"?generation={found.generation}&alt=media",
        "name": found.name,
        "bucket": found.bucket,
        "generation": str(found.generation),
        "metageneration": str(found.metageneration),
        "storageClass": "STANDARD",
        "size": str(found.content.size_bytes),
        "crc32c": found.content.crc32c_base64,
        "etag": found.json_etag,
        "timeCreated": timestamp(found.created_at),
        "updated": timestamp(found.updated_at),
        "timeStorageClassUpdated": timestamp(found.created_at),
        "timeFinalized": timestamp(found.created_at),
    }
    optional = {
        "contentType": found.content_type,
        "md5Hash": found.content.md5_base64,
        "metadata": dict(found.metadata) or None,
        "componentCount": found.component_count,
        "timeDeleted": None if found.deleted_at is None else timestamp(found.deleted_at),
    }
    return body | dict(found.fixed) | {k: v for k, v in optional.items() if v is not None}


def timestamp(when: datetime) -> str:
    return when.strftime("%Y-%m-%dT%H:%M:%S.") + f"{when.microsecond // 1000:03d}Z"


# --- parsing -------------------------------------------------------------------------------------


def json_body(request: Request) -> dict[str, Any]:
    """Return the request's JSON object; {} for an empty body; 400 for anything else."""
    return parse_json(request.body.read())


def parse_json(raw: bytes) -> dict[str, Any]:
    if not raw.strip():
        return {}
    try:
        body = json.loads(raw)
    except ValueError as exc:
        raise refusals.Refusal(400, "parseError", "InvalidArgument", "Parse Error") from exc
    if not isinstance(body, dict):
        raise refusals.Refusal(400, "parseError", "InvalidArgument", "Parse Error")
    return body


def preconditions(query: Mapping[str, str]) -> Preconditions:
    return Preconditions(
        integer(query, "ifGenerationMatch"),
        integer(query, "ifGenerationNotMatch"),
        integer(query, "ifMetagenerationMatch"),
        integer(query, "ifMetagenerationNotMatch"),
    )


def source_preconditions(query: Mapping[str, str]) -> Preconditions:
    return Preconditions(
        integer(query, "ifSourceGenerationMatch"),
        integer(query, "ifSourceGenerationNotMatch"),
        integer(query, "ifSourceMetagenerationMatch"),
        integer(query, "ifSourceMetagenerationNotMatch"),
    )


def described(body: Mapping[str, Any], content_type: str | None = None) -> Description:
    """Return the description in an object resource."""
    return Description(
        content_type=body.get("contentType", content_type),
        metadata=body.get("metadata") or {},
        fixed={field: body[field] for field in FIXED_HEADERS if body.get(field) is not None},
    )


def description_of(found: StoredObject) -> Description:
    return Description(found.content_type, found.metadata, found.fixed)


def patched(current: StoredObject, body: Mapping[str, Any], *, whole: bool) -> Description:
    """Return the description after a PATCH (null deletes, metadata merges) or a PUT (*whole*)."""
    if whole:
        return described(body)
    metadata = dict(current.metadata)
    for key, value in (body.get("metadata") or {}).items():
        if value is None:
            metadata.pop(key, None)
        else:
            metadata[key] = value
    if "metadata" in body and body["metadata"] is None:
        metadata = {}
    fixed = {**current.fixed, **{field: body[field] for field in FIXED_HEADERS if field in body}}
    return Description(
        content_type=body.get("contentType", current.content_type),
        metadata=metadata,
        fixed={field: value for field, value in fixed.items() if value is not None},
    )


def _check_etag(headers: Mapping[str, str], found: StoredObject) -> None:
    if_match, if_none_match = headers.get("if-match"), headers.get("if-none-match")
    if if_match not in (None, "*") and found.json_etag not in if_match:
        raise refusals.precondition_failed()
    if if_none_match is not None and (if_none_match == "*" or found.json_etag in if_none_match):
        raise refusals.not_modified(found.json_etag)


def encode_token(after: str) -> str:
    return base64.urlsafe_b64encode(after.encode()).decode()


def decode_token(token: str | None) -> str | None:
    if token is None:
        return None
    try:
        return base64.urlsafe_b64decode(token.encode()).decode()
    except (binascii.Error, UnicodeError) as exc:
        raise refusals.invalid("Invalid argument: page token.") from exc
