"""Parts of the JSON API's messages: resources, errors, preconditions and descriptions."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any
from urllib.parse import quote

from tests.servers.gcs import refusals
from tests.servers.gcs.call import FIXED_HEADERS, integer
from tests.servers.gcs.fields import filter_fields
from tests.servers.gcs.model import Bucket, Description, Preconditions, StoredObject
from tests.servers.wire import Request, Response

PREFIX = "/storage/v1/"
DOWNLOAD_PREFIX = "/download/storage/v1/"


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


def encode_token(after: str, generation: int | None = None) -> str:
    # Names have no line feeds.
    text = after if generation is None else f"{after}\n{generation}"
    return base64.urlsafe_b64encode(text.encode()).decode()


def decode_version_token(token: str | None) -> tuple[str | None, int | None]:
    """Return the name, and the generation if the page ended among its versions."""
    text = decode_token(token)
    if text is None:
        return None, None
    name, _, generation = text.partition("\n")
    return name, int(generation) if generation else None


def decode_token(token: str | None) -> str | None:
    if token is None:
        return None
    try:
        return base64.urlsafe_b64decode(token.encode()).decode()
    except (binascii.Error, UnicodeError) as exc:
        raise refusals.invalid("Invalid argument: page token.") from exc
