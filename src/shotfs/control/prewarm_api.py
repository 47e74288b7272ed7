"""The endpoints of prewarms.

| request                                | right | answer                                          |
|----------------------------------------|-------|-------------------------------------------------|
| POST /v1/prewarm {mode, targets, ...}  | read  | {number}: it waits for entries and its start    |
| POST /v1/prewarm/entries?number=       | read  | {}; the body is lines as a manifest has them    |
| POST /v1/prewarm/files?number=         | read  | {}; three columns: {paths, digests, sizes}      |
| POST /v1/prewarm/start {number}        | read  | {}                                              |
| GET /v1/prewarm?number=                | read  | `PrewarmService.show`                           |
| GET /v1/prewarms                       | read  | {prewarms: `PrewarmService.list`}               |
| POST /v1/prewarm/cancel {number}       | read  | `PrewarmService.show`                           |

A manifest of any size comes in bodies of at most `LINES_BYTES_MAX`. Pins and evictions are for the
admin, which the service decides, as it does who sees which prewarm.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from contextlib import aclosing
from typing import Any

import trio
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from shotfs.control.access import Right
from shotfs.control.prewarm_service import Mode, Order, PrewarmService
from shotfs.control.requests import (
    answer,
    answer_aside,
    peer_of,
    query_of,
    read_body,
    route,
    text_of,
    whole_number,
)
from shotfs.errors import InvalidArgument
from shotfs.prewarm.manifest import Entry
from shotfs.prewarm.manifest.checking import Mistake, entry_of
from shotfs.prewarm.manifest.files import Files, checked_files
from shotfs.prewarm.manifest.frames import check_frames

LINES_BYTES_MAX = 2 * 1024 * 1024
"""Of one body of entries: about 10,000."""

LINES_TIMEOUT_S = 30.0
"""How long such a body may take to arrive."""

TARGETS_MAX = 1_000

DEADLINE_S_MAX = 30 * 86_400.0

NUMBER_MAX = 2**62

_ORDER_KEYS = set(Order.__slots__)

_parsing = trio.CapacityLimiter(1)
"""Bodies are parsed one after another: they take memory and the GIL."""


def routes(service: PrewarmService) -> list[Route]:
    """Return the routes that answer for *service*."""
    endpoints = _Endpoints(service)
    return [
        route("POST", "/v1/prewarm", Right.READ, endpoints.begin),
        route("GET", "/v1/prewarm", Right.READ, endpoints.show),
        route("POST", "/v1/prewarm/entries", Right.READ, endpoints.add),
        route("POST", "/v1/prewarm/files", Right.READ, endpoints.add_files),
        route("POST", "/v1/prewarm/start", Right.READ, endpoints.start),
        route("POST", "/v1/prewarm/cancel", Right.READ, endpoints.cancel),
        route("GET", "/v1/prewarms", Right.READ, endpoints.list),
    ]


class _Endpoints:
    """One method an endpoint."""

    def __init__(self, service: PrewarmService) -> None:
        self._service = service

    async def begin(self, request: Request) -> Response:
        order = _order(await read_body(request, _ORDER_KEYS))
        return answer({"number": await self._service.begin(order, **_who(request))}, status=201)

    async def add(self, request: Request) -> Response:
        number = _number(query_of(request).get("number"))
        body = await _read_lines(request)
        entries = await trio.to_thread.run_sync(_entries, body, limiter=_parsing)
        await self._service.add(number, entries, **_who(request))
        return answer({})

    async def add_files(self, request: Request) -> Response:
        number = _number(query_of(request).get("number"))
        body = await _read_lines(request)
        files = await trio.to_thread.run_sync(_files, body, limiter=_parsing)
        await self._service.add_files(number, files, **_who(request))
        return answer({})

    async def start(self, request: Request) -> Response:
        body = await read_body(request, {"number"})
        await self._service.start(_number(body.get("number")), **_who(request))
        return answer({}, status=202)

    async def show(self, request: Request) -> Response:
        number = _number(query_of(request).get("number"))
        return answer(await self._service.show(number, **_who(request)))

    async def cancel(self, request: Request) -> Response:
        body = await read_body(request, {"number"})
        return answer(await self._service.cancel(_number(body.get("number")), **_who(request)))

    async def list(self, request: Request) -> Response:
        return await answer_aside({"prewarms": await self._service.list(**_who(request))})


def _who(request: Request) -> dict[str, Any]:
    peer, right = peer_of(request)
    return {"peer": peer, "admin": right >= Right.CHANGE}


def _number(value: Any) -> int:
    return whole_number("number", value, NUMBER_MAX)


def _order(body: Mapping[str, Any]) -> Order:
    try:
        mode = Mode(body.get("mode", Mode.FETCH))
    except ValueError as exc:
        raise InvalidArgument(
            f"'mode' is no {str(body.get('mode'))[:40]!r}", fix=f"one of {', '.join(Mode)}"
        ) from exc
    frames = text_of("frames", body.get("frames"), default="")
    check_frames(frames)
    return Order(
        mode=mode,
        targets=_texts("targets", body),
        frames=frames,
        task=text_of("task", body.get("task"), default=""),
        views=_texts("views", body),
        tier=text_of("tier", body.get("tier"), default="local"),
        bytes_max=_limit("bytes_max", body),
        files_max=_limit("files_max", body),
        deadline_s=_deadline(body),
        pin=text_of("pin", body.get("pin"), default=""),
        label=text_of("label", body.get("label"), default=""),
        in_order=_flag("in_order", body),
    )


def _texts(name: str, body: Mapping[str, Any]) -> tuple[str, ...]:
    texts = body.get(name) or []
    if not isinstance(texts, list) or len(texts) > TARGETS_MAX:
        raise InvalidArgument(f"'{name}' must be a list of at most {TARGETS_MAX} texts")
    return tuple(text_of(name, text) for text in texts)


def _limit(name: str, body: Mapping[str, Any]) -> int | None:
    value = body.get(name)
    return None if value is None else whole_number(name, value, NUMBER_MAX)


def _flag(name: str, body: Mapping[str, Any]) -> bool:
    value = body.get(name, False)
    if not isinstance(value, bool):
        raise InvalidArgument(f"'{name}' must be true or false")
    return value


def _deadline(body: Mapping[str, Any]) -> float | None:
    value = body.get("deadline_s")
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise InvalidArgument("'deadline_s' must be a number of seconds")
    if not 0 < value <= DEADLINE_S_MAX:
        raise InvalidArgument(f"'deadline_s' must be above 0 and at most {DEADLINE_S_MAX:g}")
    return float(value)


async def _read_lines(request: Request) -> bytes:
    content = bytearray()
    with trio.move_on_after(LINES_TIMEOUT_S) as scope:
        async with aclosing(request.stream()) as chunks:
            async for chunk in chunks:
                content += chunk
                if len(content) > LINES_BYTES_MAX:
                    raise HTTPException(413, f"the body is larger than {LINES_BYTES_MAX} bytes")
    if scope.cancelled_caught:
        raise HTTPException(408, f"the body did not arrive within {LINES_TIMEOUT_S:g} s")
    return bytes(content)


def _entries(body: bytes) -> list[Entry]:
    """Return the entries of lines as a manifest has them.

    Raises:
        InvalidArgument: a line is none.
    """
    lines = [line for line in body.split(b"\n") if line]
    try:
        rows = json.loads(b"[%b]" % b",".join(lines))
        return [entry_of(row) for row in rows]
    except Mistake as mistake:
        raise InvalidArgument(mistake.message, fix=mistake.fix) from None
    except (ValueError, RecursionError) as exc:
        raise InvalidArgument(f"the body is not lines of JSON: {exc}") from exc


def _files(body: bytes) -> Files:
    """Return the files of a body of columns: a tenth of the work that lines take.

    Raises:
        InvalidArgument: it is none.
    """
    try:
        columns = json.loads(body)
        return checked_files(columns["paths"], columns["digests"], columns["sizes"])
    except Mistake as mistake:
        raise InvalidArgument(mistake.message, fix=mistake.fix) from None
    except (ValueError, TypeError, KeyError, RecursionError) as exc:
        raise InvalidArgument(
            f"the body is not columns of one length: {exc}", fix="paths, digests and sizes, as JSON"
        ) from exc
