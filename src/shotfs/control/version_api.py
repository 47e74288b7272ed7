"""The endpoints of versions and their aliases.

| request                                                       | answer                         |
|---------------------------------------------------------------|--------------------------------|
| GET /v1/version?path=P                                        | `VersionService.show`          |
| GET /v1/version/next?path=P                                   | {path}                         |
| GET /v1/version/verify?path=P                                 | `VersionService.verify`        |
| GET /v1/version/aliases?path=P                                | {path, history}                |
| GET /v1/version/history?path=P                                | {path, history}                |
| POST /v1/version/publish {path, why, aliases, deadline_s}     | `VersionService.publish`       |
| POST /v1/version/alias {path, version, why, force, expect}    | `VersionService.move_alias`    |
| POST /v1/version/retract {path, why, delete, alias_to,        | `VersionService.retract`       |
|      pinned_too, dry_run}                                     |                                |
| POST /v1/version/restore {path, why}                          | `VersionService.restore`       |

All are for users of the mount; publishing and moving are for those of them who may write the
version's directory, taking back for whom its specification names, which the service decides. Paths
are relative to the mount.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from shotfs.control.access import Right
from shotfs.control.requests import (
    answer,
    clean_path,
    deadline_of,
    flag_of,
    path_of,
    peer_of,
    read_body,
    route,
    text_of,
)
from shotfs.control.version_service import UNSET, VersionService
from shotfs.errors import InvalidArgument


def routes(service: VersionService) -> list[Route]:
    """Return the routes that answer for *service*."""
    endpoints = _Endpoints(service)
    return [
        route("GET", "/v1/version", Right.READ, endpoints.show),
        route("GET", "/v1/version/next", Right.READ, endpoints.next),
        route("GET", "/v1/version/verify", Right.READ, endpoints.verify),
        route("GET", "/v1/version/aliases", Right.READ, endpoints.history),
        route("GET", "/v1/version/history", Right.READ, endpoints.version_history),
        route("POST", "/v1/version/retract", Right.READ, endpoints.retract),
        route("POST", "/v1/version/restore", Right.READ, endpoints.restore),
        route("POST", "/v1/version/publish", Right.READ, endpoints.publish),
        route("POST", "/v1/version/alias", Right.READ, endpoints.move_alias),
    ]


class _Endpoints:
    """One method an endpoint."""

    def __init__(self, service: VersionService) -> None:
        self._service = service

    async def show(self, request: Request) -> Response:
        return answer(await self._service.show(path_of(request)))

    async def next(self, request: Request) -> Response:
        return answer({"path": await self._service.next(path_of(request))})

    async def verify(self, request: Request) -> Response:
        return answer(await self._service.verify(path_of(request)))

    async def history(self, request: Request) -> Response:
        path = path_of(request)
        return answer({"path": path, "history": list(await self._service.history(path))})

    async def version_history(self, request: Request) -> Response:
        path = path_of(request)
        return answer({"path": path, "history": list(await self._service.version_history(path))})

    async def retract(self, request: Request) -> Response:
        known = {"path", "why", "delete", "alias_to", "pinned_too", "dry_run"}
        body = await read_body(request, known)
        peer, right = peer_of(request)
        alias_to = body.get("alias_to")
        return answer(
            await self._service.retract(
                clean_path(text_of("path", body.get("path"))),
                peer=peer,
                admin=right >= Right.CHANGE,
                why=_reason_of(body),
                delete=flag_of(body, "delete", default=False),
                alias_to=None if alias_to is None else text_of("alias_to", alias_to),
                pinned_too=flag_of(body, "pinned_too", default=False),
                dry_run=flag_of(body, "dry_run", default=False),
            )
        )

    async def restore(self, request: Request) -> Response:
        body = await read_body(request, {"path", "why"})
        peer, right = peer_of(request)
        return answer(
            await self._service.restore(
                clean_path(text_of("path", body.get("path"))),
                peer=peer,
                admin=right >= Right.CHANGE,
                why=_reason_of(body),
            )
        )

    async def publish(self, request: Request) -> Response:
        body = await read_body(request, {"path", "why", "aliases", "deadline_s"})
        peer, right = peer_of(request)
        return answer(
            await self._service.publish(
                clean_path(text_of("path", body.get("path"))),
                peer=peer,
                admin=right >= Right.CHANGE,
                why=text_of("why", body.get("why"), default=""),
                move_aliases=flag_of(body, "aliases", default=True),
                deadline_s=deadline_of(body),
            )
        )

    async def move_alias(self, request: Request) -> Response:
        body = await read_body(request, {"path", "version", "why", "force", "expect"})
        peer, right = peer_of(request)
        version, expect = body.get("version"), body.get("expect", UNSET)
        return answer(
            await self._service.move_alias(
                clean_path(text_of("path", body.get("path"))),
                None if version is None else text_of("version", version),
                peer=peer,
                admin=right >= Right.CHANGE,
                why=text_of("why", body.get("why"), default=""),
                force=flag_of(body, "force", default=False),
                expect=expect if expect in (UNSET, None) else text_of("expect", expect),
            )
        )


def _reason_of(body: Mapping[str, Any]) -> str:
    why = text_of("why", body.get("why")).strip()
    if not why:
        raise InvalidArgument("a reason is wanted: others will ask", fix="give --reason TEXT")
    return why
