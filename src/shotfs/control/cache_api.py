"""The endpoints of the cache and of paths in it.

| request                                    | right  | answer                                   |
|--------------------------------------------|--------|------------------------------------------|
| GET /v1/why?path=                          | read   | `CacheService.why`                       |

Paths are relative to the mount. Who is only a user of the mount is told what he could see himself,
which the service decides.
"""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from shotfs.control.access import Right
from shotfs.control.cache_service import CacheService
from shotfs.control.requests import answer, path_of, peer_of, route


def routes(service: CacheService) -> list[Route]:
    """Return the routes that answer for *service*."""
    endpoints = _Endpoints(service)
    return [
        route("GET", "/v1/why", Right.READ, endpoints.why),
    ]


class _Endpoints:
    """One method an endpoint."""

    def __init__(self, service: CacheService) -> None:
        self._service = service

    async def why(self, request: Request) -> Response:
        peer, right = peer_of(request)
        admin = right >= Right.CHANGE
        return answer(await self._service.why(path_of(request), peer=peer, admin=admin))
