"""The endpoints: HTTP requests <-> calls of the service. Nothing is decided here but access.

| request                                    | right  | answer                                   |
|--------------------------------------------|--------|------------------------------------------|
| GET /v1/status                             | read   | `Service.status`                         |
| GET /v1/cache                              | read   | `Service.cache_stats`                    |
| GET /v1/metrics                            | read   | Prometheus text                          |
| GET /v1/queue?limit&state&under&job        | change | {count, bytes, oldest_s, items}          |
| POST /v1/cache/evict {bytes: n or null}    | change | what was freed                           |
| POST /v1/specs/reload {shows: [name, ...]} | change | {shows: what was found of each}          |
| POST /v1/drain {deadline_s, emergency, stop} | change | {count, items} of what remains         |
| POST /v1/rescue {url, node, dry_run}       | change | {count, items}: what became of each      |
| POST /v1/stop {drain, deadline_s}          | change | {stopping: true}, before it has ended    |

`version_api` has the endpoints of versions and their aliases, `cache_api` those of the cache and of
paths in it, `publish_api` those of outputs, `conflict_api` those of outputs that are kept aside,
`localize_api` those for who has no mount.

An error is ``{"error": class, "message", "fix", "errno"}`` with a matching HTTP status.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from shotfs.control import (
    cache_api,
    conflict_api,
    localize_api,
    prewarm_api,
    publish_api,
    record_api,
    version_api,
)
from shotfs.control.access import Right
from shotfs.control.requests import (
    answer,
    answer_aside,
    clean_path,
    deadline_of,
    flag_of,
    http_error,
    items_answer,
    query_of,
    read_body,
    route,
    text_of,
    whole_number,
)
from shotfs.control.service import Service
from shotfs.errors import InvalidArgument

QUEUE_ITEMS_MAX = 10_000
"""The most queue items in one answer; the count is of all."""

Application = Callable[[Any, Any, Any], Awaitable[None]]


def application(service: Service) -> Application:
    """Return the ASGI application that answers for *service*."""
    endpoints = _Endpoints(service)
    return Starlette(
        routes=[
            route("GET", "/v1/status", Right.READ, endpoints.status),
            route("GET", "/v1/cache", Right.READ, endpoints.cache),
            route("GET", "/v1/metrics", Right.READ, endpoints.metrics),
            route("GET", "/v1/queue", Right.CHANGE, endpoints.queue),
            route("POST", "/v1/cache/evict", Right.CHANGE, endpoints.evict),
            route("POST", "/v1/specs/reload", Right.CHANGE, endpoints.reload_specs),
            route("POST", "/v1/drain", Right.CHANGE, endpoints.drain),
            route("POST", "/v1/rescue", Right.CHANGE, endpoints.rescue),
            route("POST", "/v1/stop", Right.CHANGE, endpoints.stop),
            *version_api.routes(service.versions),
            *cache_api.routes(service.cache),
            *publish_api.routes(service.publishing),
            *conflict_api.routes(service.conflicts),
            *prewarm_api.routes(service.prewarming),
            *record_api.routes(service.recording),
            *localize_api.routes(service.localizing),
        ],
        exception_handlers={HTTPException: http_error},
    )


def _is_asked_for(item: Any, query: Mapping[str, str]) -> bool:
    """Whether a queue item is one of the state, path and job that *query* names."""
    state, job = query.get("state"), query.get("job")
    under = clean_path(query.get("under", ""))
    path: str = item.path
    return (
        (state is None or item.state == state)
        and (job is None or item.job == job)
        and (not under or path == under or path.startswith(f"{under}/"))
    )


class _Endpoints:
    """One method an endpoint."""

    def __init__(self, service: Service) -> None:
        self._service = service

    async def status(self, _request: Request) -> Response:
        return answer(self._service.status())

    async def cache(self, _request: Request) -> Response:
        return answer(self._service.cache_stats())

    async def metrics(self, _request: Request) -> Response:
        return PlainTextResponse(
            self._service.metrics_text(), media_type="text/plain; version=0.0.4"
        )

    async def queue(self, request: Request) -> Response:
        query = query_of(request)
        limit = whole_number("limit", query.get("limit", "1000"), QUEUE_ITEMS_MAX)
        items = [one for one in self._service.queue() if _is_asked_for(one, query)]
        return await answer_aside(
            {
                "count": len(items),
                "bytes": sum(getattr(one, "size_bytes", 0) for one in items),
                "oldest_s": max((getattr(one, "age_s", 0.0) for one in items), default=None),
                "items": items[:limit],
            }
        )

    async def evict(self, request: Request) -> Response:
        body = await read_body(request, {"bytes"})
        wanted = body.get("bytes")
        if wanted is not None:
            wanted = whole_number("bytes", wanted, 2**63 - 1)
        return answer(await self._service.evict(wanted))

    async def reload_specs(self, request: Request) -> Response:
        body = await read_body(request, {"shows"})
        shows = body.get("shows", [])
        if not isinstance(shows, list) or not all(isinstance(name, str) for name in shows):
            raise InvalidArgument("'shows' must be a list of names")
        return answer({"shows": list(await self._service.reload_specs(shows))})

    async def drain(self, request: Request) -> Response:
        body = await read_body(request, {"deadline_s", "emergency", "stop"})
        emergency = flag_of(body, "emergency", default=False)
        stop = flag_of(body, "stop", default=False)
        remains = await self._service.drain(deadline_of(body), emergency=emergency, stop=stop)
        return await items_answer(remains, QUEUE_ITEMS_MAX)

    async def rescue(self, request: Request) -> Response:
        body = await read_body(request, {"url", "node", "dry_run"})
        url = text_of("url", body.get("url"), default="") or None
        node = text_of("node", body.get("node"), default="") or None
        dry_run = flag_of(body, "dry_run", default=False)
        found = await self._service.rescue(url, node, dry_run=dry_run)
        return await items_answer(found, QUEUE_ITEMS_MAX)

    async def stop(self, request: Request) -> Response:
        body = await read_body(request, {"drain", "deadline_s"})
        drain = body.get("drain", True)
        if not isinstance(drain, bool):
            raise InvalidArgument("'drain' must be true or false")
        await self._service.stop(drain, deadline_of(body))
        return answer({"stopping": True}, status=202)
