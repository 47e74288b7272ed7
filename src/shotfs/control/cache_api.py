"""The endpoints of the cache and of paths in it.

| request                                    | right  | answer                                   |
|--------------------------------------------|--------|------------------------------------------|
| GET /v1/why?path=                          | read   | `CacheService.why`                       |
| POST /v1/look {paths}                      | read   | {files: `CacheService.look`}             |
| GET /v1/cache/entries?path=&after=&limit=&order= | change | `CacheService.entries`           |
| POST /v1/cache/pin {paths, owner, for_s, limit, fetch} | change | `CacheService.pin`         |
| POST /v1/cache/unpin {paths, owner}        | change | {files}                                  |
| GET /v1/cache/pins?owner=&after=&limit=    | change | `CacheService.pins`                      |
| GET /v1/cache/fetch?number=                | change | `CacheService.fetching`                  |
| POST /v1/cache/evict-paths {paths, limit}  | change | `CacheService.evict`                     |
| GET /v1/top                                | read   | `CacheService.top`                       |
| POST /v1/cache/verify {repair, bytes_per_s, paths} | change | `CacheService.start_verify`       |
| GET /v1/cache/verify                       | change | {verification: as above, or null}        |
| POST /v1/cache/verify/stop                 | change | {verification: as above, or null}        |
| POST /v1/refresh {path, tree}              | read   | `CacheService.refresh`                   |

Paths are relative to the mount. Who is only a user of the mount is told what he could see himself,
which the service decides.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from shotfs.control.access import Right
from shotfs.control.cache_service import CacheService
from shotfs.control.requests import (
    answer,
    answer_aside,
    clean_path,
    flag_of,
    path_of,
    peer_of,
    query_of,
    read_body,
    route,
    text_of,
    whole_number,
)
from shotfs.errors import InvalidArgument

PATHS_MAX = 1_000
"""Paths in one request."""

PAGE_MAX = 1_000
"""Rows of one page of a listing."""

PINNED_DEFAULT, PINNED_MAX = 10_000, 1_000_000
"""Files that one request pins or evicts: unless it says otherwise, and at most."""

PINNED_S_MAX = 100 * 365 * 86_400.0
"""How long a pin lasts at most that ends at all. JSON as Python reads it has infinity, and what is
shown of a pin must be JSON again."""


def routes(service: CacheService) -> list[Route]:
    """Return the routes that answer for *service*."""
    endpoints = _Endpoints(service)
    return [
        route("GET", "/v1/why", Right.READ, endpoints.why),
        route("POST", "/v1/look", Right.READ, endpoints.look),
        route("GET", "/v1/top", Right.READ, endpoints.top),
        route("GET", "/v1/cache/entries", Right.CHANGE, endpoints.entries),
        route("POST", "/v1/cache/pin", Right.CHANGE, endpoints.pin),
        route("POST", "/v1/cache/unpin", Right.CHANGE, endpoints.unpin),
        route("GET", "/v1/cache/pins", Right.CHANGE, endpoints.pins),
        route("GET", "/v1/cache/fetch", Right.CHANGE, endpoints.fetching),
        route("POST", "/v1/cache/evict-paths", Right.CHANGE, endpoints.evict),
        route("POST", "/v1/refresh", Right.READ, endpoints.refresh),
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

    async def look(self, request: Request) -> Response:
        body = await read_body(request, {"paths"})
        peer, right = peer_of(request)
        found = await self._service.look(_paths_of(body), peer=peer, admin=right >= Right.CHANGE)
        return await answer_aside({"files": found})

    async def top(self, request: Request) -> Response:
        peer, right = peer_of(request)
        return answer(await self._service.top(peer=peer, admin=right >= Right.CHANGE))

    async def entries(self, request: Request) -> Response:
        asked = query_of(request)
        page = await self._service.entries(
            clean_path(text_of("path", asked.get("path"), default="")),
            text_of("after", asked.get("after"), default=""),
            _page_of(request),
            text_of("order", asked.get("order"), default="digest"),
        )
        return await answer_aside(page)

    async def pin(self, request: Request) -> Response:
        body = await read_body(request, {"paths", "owner", "for_s", "limit", "fetch"})
        peer, _ = peer_of(request)
        for_s = body.get("for_s")
        if for_s is not None and not (
            isinstance(for_s, int | float)
            and not isinstance(for_s, bool)
            and 0 < for_s <= PINNED_S_MAX
        ):
            raise InvalidArgument(
                f"'for_s' must be a number of seconds above 0, at most {PINNED_S_MAX:.0f}, or null"
            )
        return answer(
            await self._service.pin(
                _paths_of(body),
                owner=text_of("owner", body.get("owner")),
                for_s=None if for_s is None else float(for_s),
                limit=whole_number("limit", body.get("limit", PINNED_DEFAULT), PINNED_MAX),
                fetch=flag_of(body, "fetch", default=False),
                peer=peer,
            )
        )

    async def unpin(self, request: Request) -> Response:
        body = await read_body(request, {"paths", "owner"})
        owner = text_of("owner", body.get("owner"))
        return answer({"files": await self._service.unpin(_paths_of(body), owner=owner)})

    async def pins(self, request: Request) -> Response:
        asked = query_of(request)
        page = await self._service.pins(
            text_of("owner", asked.get("owner"), default=""),
            text_of("after", asked.get("after"), default=""),
            _page_of(request),
        )
        return await answer_aside(page)

    async def fetching(self, request: Request) -> Response:
        number = whole_number("number", query_of(request).get("number", ""), 2**63 - 1)
        return answer(self._service.fetching(number))

    async def evict(self, request: Request) -> Response:
        body = await read_body(request, {"paths", "limit"})
        limit = whole_number("limit", body.get("limit", PINNED_DEFAULT), PINNED_MAX)
        return answer(await self._service.evict(_paths_of(body), limit=limit))

    async def refresh(self, request: Request) -> Response:
        body = await read_body(request, {"path", "tree"})
        peer, right = peer_of(request)
        found = await self._service.refresh(
            clean_path(text_of("path", body.get("path"))),
            tree=flag_of(body, "tree", default=False),
            peer=peer,
            admin=right >= Right.CHANGE,
        )
        return answer(found)

    async def start_verify(self, request: Request) -> Response:
        body = await read_body(request, {"repair", "bytes_per_s", "paths"})
        rate = body.get("bytes_per_s")
        found = await self._service.start_verify(
            repair=flag_of(body, "repair", default=False),
            bytes_per_s=None if rate is None else whole_number("bytes_per_s", rate, 2**63 - 1),
            paths=_paths_of(body),
        )
        return answer(found, status=202)

    async def verification(self, _request: Request) -> Response:
        return answer({"verification": await self._service.verification()})

    async def stop_verify(self, request: Request) -> Response:
        await read_body(request, set())
        return answer({"verification": await self._service.stop_verify()})


def _page_of(request: Request) -> int:
    limit = whole_number("limit", query_of(request).get("limit", "1000"), PAGE_MAX)
    return max(1, limit)


def _paths_of(body: Mapping[str, Any]) -> list[str]:
    paths = body.get("paths", [])
    if not isinstance(paths, list) or len(paths) > PATHS_MAX:
        raise InvalidArgument(f"'paths' must be a list of at most {PATHS_MAX} paths")
    return [clean_path(text_of("paths", path)) for path in paths]
