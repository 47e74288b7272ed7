"""The endpoints of localizing: files for those who have no mount.

| request                                     | right | answer                                     |
|---------------------------------------------|-------|--------------------------------------------|
| POST /v1/localize {path, frames, limit}     | read  | `LocalizeService.files`                    |
| POST /v1/localize/blob {path, revision}     | read  | `LocalizeService.blob`                     |
| GET /v1/localize/content?path=&revision=    | read  | the bytes                                  |

Paths are relative to the mount.
"""

from __future__ import annotations

import re
from typing import Any

import trio
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from shotfs.control.access import Right
from shotfs.control.localize_service import Content, LocalizeService
from shotfs.control.requests import (
    answer,
    answer_aside,
    clean_path,
    path_of,
    peer_of,
    query_of,
    read_body,
    route,
    text_of,
    whole_number,
)
from shotfs.errors import InvalidArgument

FILES_DEFAULT, FILES_MAX = 10_000, 100_000
"""Files of one answer: unless a request says otherwise, and at most."""

_REVISION = re.compile(r"[0-9a-f]{32}")


def routes(service: LocalizeService) -> list[Route]:
    """Return the routes that answer for *service*."""
    endpoints = _Endpoints(service)
    return [
        route("POST", "/v1/localize", Right.READ, endpoints.files),
        route("POST", "/v1/localize/blob", Right.READ, endpoints.blob),
        route("GET", "/v1/localize/content", Right.READ, endpoints.content),
    ]


class _Endpoints:
    """One method an endpoint."""

    def __init__(self, service: LocalizeService) -> None:
        self._service = service

    async def files(self, request: Request) -> Response:
        body = await read_body(request, {"path", "frames", "limit"})
        peer, right = peer_of(request)
        found = await self._service.files(
            clean_path(text_of("path", body.get("path"))),
            frames=text_of("frames", body.get("frames"), default=""),
            limit=whole_number("limit", body.get("limit", FILES_DEFAULT), FILES_MAX),
            peer=peer,
            admin=right >= Right.CHANGE,
        )
        return await answer_aside(found)

    async def blob(self, request: Request) -> Response:
        body = await read_body(request, {"path", "revision"})
        peer, _ = peer_of(request)
        path = clean_path(text_of("path", body.get("path")))
        return answer(await self._service.blob(path, _revision(body.get("revision")), peer=peer))

    async def content(self, request: Request) -> Response:
        peer, right = peer_of(request)
        content = await self._service.content(
            path_of(request),
            _revision(query_of(request).get("revision")),
            peer=peer,
            admin=right >= Right.CHANGE,
        )
        return _ContentResponse(content)


class _ContentResponse(StreamingResponse):
    """Sends content, and closes it however that ends: the client may go away."""

    def __init__(self, content: Content) -> None:
        super().__init__(
            content.blocks,
            media_type="application/octet-stream",
            headers={"Content-Length": str(content.size_bytes)},
        )
        self._content = content

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            with trio.CancelScope(shield=True):
                await self._content.close()


def _revision(value: Any) -> str:
    text = text_of("revision", value)
    if _REVISION.fullmatch(text) is None:
        raise InvalidArgument("'revision' must be 32 hex digits, as POST /v1/localize answers")
    return text
