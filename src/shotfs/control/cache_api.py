"""The endpoints of the cache and of paths in it.

| request                                    | right  | answer                                   |
|--------------------------------------------|--------|------------------------------------------|
| GET /v1/why?path=                          | read   | `CacheService.why`                       |
| POST /v1/cache/verify {repair, bytes_per_s, paths} | change | `CacheService.start_verify`       |
| GET /v1/cache/verify                       | change | {verification: as above, or null}        |
| POST /v1/cache/verify/stop                 | change | {verification: as above, or null}        |

Paths are relative to the mount. Who is only a user of the mount is told what he could see himself,
which the service decides.
"""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from shotfs.control.access import Right
from shotfs.control.cache_service import CacheService
from shotfs.control.requests import (
    answer,
    clean_path,
    flag_of,
    path_of,
    peer_of,
    read_body,
    route,
    text_of,
    whole_number,
)
from shotfs.errors import InvalidArgument

PATHS_MAX = 1_000
"""Paths in one request."""


def routes(service: CacheService) -> list[Route]:
    """Return the routes that answer for *service*."""
    endpoints = _Endpoints(service)
    return [
        route("GET", "/v1/why", Right.READ, endpoints.why),
        route("POST", "/v1/cache/verify", Right.CHANGE, endpoints.start_verify),
        route("GET", "/v1/cache/verify", Right.CHANGE, endpoints.verification),
        route("POST", "/v1/cache/verify/stop", Right.CHANGE, endpoints.stop_verify),
    ]


class _Endpoints:
    """One method an endpoint."""

    def __init__(self, service: CacheService) -> None:
        self._service = service

    async def why(self, request: Request) -> Response:
        peer, right = peer_of(request)
        admin = right >= Right.CHANGE
        return answer(await self._service.why(path_of(request), peer=peer, admin=admin))

    async def start_verify(self, request: Request) -> Response:
        body = await read_body(request, {"repair", "bytes_per_s", "paths"})
        rate, paths = body.get("bytes_per_s"), body.get("paths", [])
        if not isinstance(paths, list) or len(paths) > PATHS_MAX:
            raise InvalidArgument(f"'paths' must be a list of at most {PATHS_MAX} paths")
        found = await self._service.start_verify(
            repair=flag_of(body, "repair", default=False),
            bytes_per_s=None if rate is None else whole_number("bytes_per_s", rate, 2**63 - 1),
            paths=[clean_path(text_of("paths", path)) for path in paths],
        )
        return answer(found, status=202)

    async def verification(self, _request: Request) -> Response:
        return answer({"verification": await self._service.verification()})

    async def stop_verify(self, request: Request) -> Response:
        await read_body(request, set())
        return answer({"verification": await self._service.stop_verify()})
