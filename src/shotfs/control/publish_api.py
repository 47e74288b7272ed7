"""The endpoints of outputs on their way to the origin.

| request                                        | right  | answer                                |
|------------------------------------------------|--------|---------------------------------------|
| POST /v1/publish/retry {serial, path}          | change | `PublishService.retry`                |

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
    clean_path,
    read_body,
    route,
    text_of,
    whole_number,
)

SERIAL_MAX = 2**63 - 1


def routes(service: PublishService) -> list[Route]:
    """Return the routes that answer for *service*."""
    endpoints = _Endpoints(service)
    return [
        route("POST", "/v1/publish/retry", Right.CHANGE, endpoints.retry),
    ]


class _Endpoints:
    """One method an endpoint."""

    def __init__(self, service: PublishService) -> None:
        self._service = service

    async def retry(self, request: Request) -> Response:
        body = await read_body(request, {"serial", "path"})
        return answer(await self._service.retry(outputs_of(body)))


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
