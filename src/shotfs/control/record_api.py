"""The endpoints of recordings.

| request                                                   | right  | answer                     |
|-----------------------------------------------------------|--------|----------------------------|
| GET /v1/record                                            | read   | `RecordService.report`     |
| GET /v1/record/manifest?number=N                          | read   | `RecordService.taken`      |
| GET /v1/record/manifest?show=&shot=&task=&frame=&view=    | read   | `RecordService.manifest`   |
| POST /v1/record/start {show, shot, task, frame, view, job, bound} | read | `RecordService.start` |
| POST /v1/record/stop {number}                             | read   | `RecordService.stop`       |
| POST /v1/record/publish                                   | change | `RecordService.publish`    |
| POST /v1/record/remember {show, scanners: {NAME: [n, n]}} | change | `RecordService.remember`   |

Starting a recording of everything, without a job, takes the right to change. A recording belongs to
the user who started it; a bound one ends with the process that asked for it. Manifests are sent as
they are, one entry a line.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from shotfs.control.access import Right
from shotfs.control.record_service import RecordService
from shotfs.control.requests import (
    answer,
    answer_aside,
    flag_of,
    peer_of,
    query_of,
    read_body,
    route,
    text_of,
    whole_number,
)
from shotfs.errors import InvalidArgument, NotPermitted
from shotfs.prewarm.manifest.frames import parse_frames
from shotfs.prewarm.manifest.subject import Subject

NUMBER_MAX = 2**63 - 1
NAME_MAX = 255
SCANNERS_MAX = 100

FIELDS = ("show", "shot", "task", "frame", "view", "job")


def routes(service: RecordService) -> list[Route]:
    """Return the routes that answer for *service*."""
    endpoints = _Endpoints(service)
    return [
        route("GET", "/v1/record", Right.READ, endpoints.recordings),
        route("GET", "/v1/record/manifest", Right.READ, endpoints.manifest),
        route("POST", "/v1/record/start", Right.READ, endpoints.start),
        route("POST", "/v1/record/stop", Right.READ, endpoints.stop),
        route("POST", "/v1/record/publish", Right.CHANGE, endpoints.publish),
        route("POST", "/v1/record/remember", Right.CHANGE, endpoints.remember),
    ]


class _Endpoints:
    """One method an endpoint."""

    def __init__(self, service: RecordService) -> None:
        self._service = service

    async def recordings(self, _request: Request) -> Response:
        return await answer_aside(await self._service.report())

    async def manifest(self, request: Request) -> Response:
        query = query_of(request)
        if "number" in query:
            peer, right = peer_of(request)
            number = whole_number("number", query["number"], NUMBER_MAX)
            data = self._service.taken(number, peer=peer, admin=right >= Right.CHANGE)
        else:
            data = await self._service.manifest(subject_of(query))
        return Response(data, media_type="application/x-ndjson")

    async def start(self, request: Request) -> Response:
        body = await read_body(request, {*FIELDS, "bound"})
        peer, right = peer_of(request)
        asked = subject_of(body)
        if not asked.job and right < Right.CHANGE:
            raise NotPermitted(
                "recording what everybody opens takes the right to change the service",
                fix="name a job (--job), or ask as root or a member of the admin group",
            )
        bound = flag_of(body, "bound", default=False)
        return answer(self._service.start(asked, peer=peer, bound=bound))

    async def stop(self, request: Request) -> Response:
        body = await read_body(request, {"number"})
        peer, right = peer_of(request)
        number = whole_number("number", body.get("number"), NUMBER_MAX)
        return answer(await self._service.stop(number, peer=peer, admin=right >= Right.CHANGE))

    async def publish(self, _request: Request) -> Response:
        return answer(await self._service.publish())

    async def remember(self, request: Request) -> Response:
        body = await read_body(request, {"show", "scanners"})
        scanners = body.get("scanners")
        if not isinstance(scanners, dict) or len(scanners) > SCANNERS_MAX:
            raise InvalidArgument(f"'scanners' must be an object of at most {SCANNERS_MAX}")
        scores: dict[str, tuple[int, int]] = {}
        for name, counts in scanners.items():
            if not isinstance(counts, list) or len(counts) != 2 or len(name) > NAME_MAX:
                raise InvalidArgument("each of 'scanners' must be [claimed, right]")
            claimed, right = (whole_number(name, one, NUMBER_MAX) for one in counts)
            if right > claimed:
                raise InvalidArgument(f"scanner {name!r}: {right} of {claimed} cannot be right")
            scores[name] = (claimed, right)
        return answer(await self._service.remember(text_of("show", body.get("show")), scores))


def subject_of(body: Mapping[str, Any]) -> Subject:
    """Return the subject that *body*, or a query, names.

    Raises:
        InvalidArgument: a name is no text or too long, or the frame names no frames.
    """
    texts = {name: text_of(name, body.get(name) or "", default="") for name in FIELDS}
    for name, text in texts.items():
        if len(text) > NAME_MAX:
            raise InvalidArgument(f"'{name}' has more than {NAME_MAX} characters")
    parse_frames(texts["frame"])
    return Subject(**texts)
