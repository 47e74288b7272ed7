"""The endpoints of outputs that are kept aside: conflicts, partial files.

| request                                          | answer                                   |
|--------------------------------------------------|------------------------------------------|
| GET /v1/conflicts?serial=N or path=P or nothing  | {count, items}                           |
| GET /v1/conflicts/compare?serial=N               | `ConflictService.compare`                |
| GET /v1/conflicts/content?serial=N&side=S        | the bytes of ``ours`` or ``theirs``      |
| POST /v1/conflicts/resolve {serial, path, as}    | {items}; ``as`` null: the next version   |
| POST /v1/conflicts/drop {serial, path}           | {items}                                  |

All are for root, the service's user and the admin group: what is in quarantine belongs to whoever
wrote it, and nobody asks the file system who may read it any more.
"""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from shotfs.control.access import Right
from shotfs.control.conflict_service import ConflictService
from shotfs.control.publish_api import SERIAL_MAX, outputs_of
from shotfs.control.publish_service import Outputs
from shotfs.control.requests import (
    answer,
    clean_path,
    items_answer,
    peer_of,
    query_of,
    read_body,
    route,
    text_of,
    whole_number,
)
from shotfs.errors import InvalidArgument

ITEMS_MAX = 10_000
"""The most that one answer lists; the count is of all."""

SIDES = ("ours", "theirs")


def routes(service: ConflictService) -> list[Route]:
    """Return the routes that answer for *service*."""
    endpoints = _Endpoints(service)
    return [
        route("GET", "/v1/conflicts", Right.CHANGE, endpoints.conflicts),
        route("GET", "/v1/conflicts/compare", Right.CHANGE, endpoints.compare),
        route("GET", "/v1/conflicts/content", Right.CHANGE, endpoints.content),
        route("POST", "/v1/conflicts/resolve", Right.CHANGE, endpoints.resolve),
        route("POST", "/v1/conflicts/drop", Right.CHANGE, endpoints.drop),
    ]


class _Endpoints:
    """One method an endpoint."""

    def __init__(self, service: ConflictService) -> None:
        self._service = service

    async def conflicts(self, request: Request) -> Response:
        return await items_answer(self._service.conflicts(outputs_of(query_of(request))), ITEMS_MAX)

    async def compare(self, request: Request) -> Response:
        return answer(await self._service.compare(_serial_of(request)))

    async def content(self, request: Request) -> Response:
        side = query_of(request).get("side", SIDES[0])
        if side not in SIDES:
            raise InvalidArgument(f"'side' must be one of: {', '.join(SIDES)}")
        size_bytes, blocks = await self._service.content(_serial_of(request), side)
        return StreamingResponse(
            blocks,
            media_type="application/octet-stream",
            headers={"Content-Length": str(size_bytes)},
        )

    async def resolve(self, request: Request) -> Response:
        body = await read_body(request, {"serial", "path", "as"})
        peer, _ = peer_of(request)
        wanted = body.get("as")
        return answer(
            {
                "items": list(
                    await self._service.resolve(
                        _named(outputs_of(body)),
                        path=None if wanted is None else clean_path(text_of("as", wanted)),
                        by=peer,
                    )
                )
            }
        )

    async def drop(self, request: Request) -> Response:
        body = await read_body(request, {"serial", "path"})
        peer, _ = peer_of(request)
        return answer({"items": list(await self._service.drop(_named(outputs_of(body)), by=peer))})


def _serial_of(request: Request) -> int:
    return whole_number("serial", query_of(request).get("serial"), SERIAL_MAX)


def _named(which: Outputs | None) -> Outputs:
    if which is None:
        raise InvalidArgument("'serial' or 'path' must be given")
    return which
