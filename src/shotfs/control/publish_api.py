"""The endpoints of outputs on their way to the origin.

| request                                        | right  | answer                                |
|------------------------------------------------|--------|---------------------------------------|
| GET /v1/publish/stat?path=P                    | read   | `PublishService.stat`                 |
| GET /v1/publish/show?serial=N or path=P        | change | {items}: `PublishService.show`        |
| POST /v1/publish/retry {serial, path}          | change | `PublishService.retry`                |
| POST /v1/publish/missing {job, paths}          | read   | `PublishService.missing`              |
| POST /v1/publish/finish {job}                  | read   | `PublishService.finish`               |

Paths are relative to the mount. A request that names outputs says ``serial`` (a number of this
node's spool) or ``path`` (that output, and all below a directory).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from shotfs.control.access import Right
from shotfs.control.publish_service import Outputs, PublishService
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

SERIAL_MAX = 2**63 - 1

PATHS_MAX = 1_000
"""Paths in one request."""


def routes(service: PublishService) -> list[Route]:
    """Return the routes that answer for *service*."""
    endpoints = _Endpoints(service)
    return [
        route("GET", "/v1/publish/stat", Right.READ, endpoints.stat),
        route("GET", "/v1/publish/show", Right.CHANGE, endpoints.show),
        route("POST", "/v1/publish/retry", Right.CHANGE, endpoints.retry),
        route("POST", "/v1/publish/missing", Right.READ, endpoints.missing),
        route("POST", "/v1/publish/finish", Right.READ, endpoints.finish),
    ]


class _Endpoints:
    """One method an endpoint."""

    def __init__(self, service: PublishService) -> None:
        self._service = service

    async def stat(self, request: Request) -> Response:
        peer, right = peer_of(request)
        found = await self._service.stat(path_of(request), peer=peer, admin=right >= Right.CHANGE)
        return answer(found)

    async def show(self, request: Request) -> Response:
        which = outputs_of(query_of(request))
        if which is None:
            raise InvalidArgument("'serial' or 'path' must be given")
        return answer({"items": list(await self._service.show(which))})

    async def retry(self, request: Request) -> Response:
        body = await read_body(request, {"serial", "path"})
        return answer(await self._service.retry(outputs_of(body)))

    async def missing(self, request: Request) -> Response:
        body = await read_body(request, {"job", "paths"})
        peer, right = peer_of(request)
        job, paths = body.get("job"), body.get("paths", [])
        if not isinstance(paths, list) or len(paths) > PATHS_MAX:
            raise InvalidArgument(f"'paths' must be a list of at most {PATHS_MAX} paths")
        if job is None and not paths:
            raise InvalidArgument("'job' or 'paths' must be given")
        found = await self._service.missing(
            job=None if job is None else _job_of(job),
            paths=[clean_path(text_of("paths", path)) for path in paths],
            peer=peer,
            admin=right >= Right.CHANGE,
        )
        return await answer_aside(found)

    async def finish(self, request: Request) -> Response:
        body = await read_body(request, {"job"})
        peer, right = peer_of(request)
        job = _job_of(body.get("job"))
        return answer(await self._service.finish(job, peer=peer, admin=right >= Right.CHANGE))


def _job_of(value: Any) -> str:
    job = text_of("job", value)
    if not job:
        raise InvalidArgument("'job' must not be empty", fix="as its environment variable says")
    return job


def outputs_of(body: Mapping[str, Any]) -> Outputs | None:
    """Return which outputs *body* (or a query) names; None: it names none.

    Raises:
        InvalidArgument: what it names is no number or no path.
    """
    serial, path = body.get("serial"), body.get("path")
    if serial is None and path is None:
        return None
    return Outputs(
        None if serial is None else whole_number("serial", serial, SERIAL_MAX),
        None if path is None else clean_path(text_of("path", path)),
    )
