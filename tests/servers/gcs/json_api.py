"""The JSON API: buckets, metadata, media downloads, listings, copies. For uploads: uploads.py."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import unquote

from tests.servers.content import ContentWriter
from tests.servers.gcs import refusals
from tests.servers.gcs.call import Call, content_response, integer
from tests.servers.gcs.json_format import (
    DOWNLOAD_PREFIX,
    PREFIX,
    bucket_json,
    decode_version_token,
    described,
    description_of,
    encode_token,
    json_body,
    json_response,
    object_json,
    object_response,
    patched,
    preconditions,
    source_preconditions,
)
from tests.servers.gcs.model import Description, StoredObject
from tests.servers.gcs.store import LIST_RESULTS_MAX, ListQuery, Store
from tests.servers.wire import Request, Response


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
        after, generation = decode_version_token(query.get("pageToken"))
        page = self._store.listing(
            bucket,
            ListQuery(
                prefix=query.get("prefix", ""),
                delimiter=query.get("delimiter", ""),
                start_offset=query.get("startOffset", ""),
                end_offset=query.get("endOffset") or None,
                after=after,
                after_generation=generation,
                results_max=min(asked or LIST_RESULTS_MAX, LIST_RESULTS_MAX),
                versions=query.get("versions") == "true",
                trailing_delimiter=query.get("includeTrailingDelimiter") == "true",
            ),
        )
        body: dict[str, Any] = {"kind": "storage#objects"}
        if page.next_after is not None:
            body["nextPageToken"] = encode_token(page.next_after, page.next_generation)
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


def _check_etag(headers: Mapping[str, str], found: StoredObject) -> None:
    if_match, if_none_match = headers.get("if-match"), headers.get("if-none-match")
    if if_match not in (None, "*") and found.json_etag not in if_match:
        raise refusals.precondition_failed()
    if if_none_match is not None and (if_none_match == "*" or found.json_etag in if_none_match):
        raise refusals.not_modified(found.json_etag)
