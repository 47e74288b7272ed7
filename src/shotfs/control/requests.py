"""Requests and answers of the control socket: rights, bodies, numbers, errors, JSON."""

from __future__ import annotations

import dataclasses
import errno
import json
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import aclosing
from enum import Enum
from typing import Any
from urllib.parse import parse_qsl

import trio
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from shotfs import errors
from shotfs.control.access import Peer, Right
from shotfs.errors import InvalidArgument, NotPermitted, ShotfsError

log = logging.getLogger(__name__)

PEER_EXTENSION = "shotfs.peer"
"""Key in ``scope["extensions"]``: (Peer, Right) of the connection."""

BODY_BYTES_MAX = 64 * 1024
"""The largest request body. Ours have under 100 bytes."""

BODY_TIMEOUT_S = 5.0
"""How long a body may take to arrive: the client is on this machine."""

TEXT_MAX = 4096
"""The longest path or reason, in characters."""

DEADLINE_S_MAX = 86_400.0
"""The longest that a client may ask to wait for a drain: a day."""

_serialising = trio.CapacityLimiter(1)
"""Large answers are made one after another: they take memory and the GIL."""

Handler = Callable[[Request], Awaitable[Response]]

_STATUS_OF: Mapping[type[ShotfsError], int] = {
    InvalidArgument: 400,
    NotPermitted: 403,
    errors.AccessDenied: 502,
    errors.PathNotFound: 404,
    errors.Unsupported: 501,
    errors.CacheBusy: 409,
    errors.MountFailed: 409,
    errors.VersionBusy: 409,
    errors.AliasMoved: 409,
    errors.PathExists: 409,
    errors.DeadlineExceeded: 504,
    errors.TierUnavailable: 502,
}


def route(method: str, path: str, needed: Right, handler: Handler) -> Route:
    """Make a route whose handler runs only for peers with the right, and answers every error."""

    async def endpoint(request: Request) -> Response:
        try:
            _authorise(request, needed)
            return await handler(request)
        except ShotfsError as exc:
            return error_response(exc)
        except HTTPException:
            raise  # `http_error` answers it
        # The last line of defence: a mistake in one request must not touch the mount's process.
        except Exception:
            log.exception("control: %s %s failed", method, path)
            return error_response(
                ShotfsError(
                    f"the service failed to answer {method} {path}",
                    fix="its log has the reason; please report it",
                )
            )

    return Route(path, endpoint, methods=[method])


def _authorise(request: Request, needed: Right) -> None:
    peer, right = peer_of(request)
    if right >= needed:
        return
    log.warning("control: refused %s %s of %s", request.method, request.url.path, peer)
    if needed is Right.READ:
        raise NotPermitted(
            f"uid {peer.uid} is not a user of this mount",
            fix="ask as the service's user, or mount with mount.allow_other = true",
        )
    raise NotPermitted(
        f"uid {peer.uid} may not {request.method} {request.url.path}: that is for root, "
        "the service's user and the admin group",
        fix="use sudo, or join the group that control.admin_group names and log in again",
    )


def error_response(error: ShotfsError) -> Response:
    """Return the JSON form of *error*, with the HTTP status of the nearest class that has one."""
    status = next((_STATUS_OF[kind] for kind in type(error).__mro__ if kind in _STATUS_OF), 500)
    return answer(
        {
            "error": type(error).__name__,
            "message": error.message,
            "fix": error.fix,
            "errno": error.errno,
        },
        status=status,
    )


def text_of(name: str, value: Any, *, default: str | None = None) -> str:
    """Return *value*, which must be text of at most `TEXT_MAX` characters; None is *default*.

    Raises:
        InvalidArgument: it is something else, or missing without a default.
    """
    if value is None and default is not None:
        return default
    if not isinstance(value, str) or len(value) > TEXT_MAX or "\0" in value:
        raise InvalidArgument(f"'{name}' must be text of at most {TEXT_MAX} characters")
    return value


def clean_path(path: str) -> str:
    """Return *path* relative to the mount, without slashes around it."""
    return path.strip("/")


def path_of(request: Request) -> str:
    """Return the mount-relative path that *request* asks about.

    Raises:
        InvalidArgument: it names none, or one that is no path.
    """
    return clean_path(text_of("path", query_of(request).get("path")))


def query_of(request: Request) -> Mapping[str, str]:
    """Return the query of *request*; names that are not UTF-8 are as `os.fsdecode` has them."""
    query = request.scope["query_string"].decode("latin-1")
    return dict(parse_qsl(query, keep_blank_values=True, errors="surrogateescape"))


def peer_of(request: Request) -> tuple[Peer, Right]:
    """Return who asks, and what he may do."""
    peer: Peer
    right: Right
    peer, right = request.scope["extensions"][PEER_EXTENSION]
    return peer, right


def flag_of(body: Mapping[str, Any], name: str, *, default: bool) -> bool:
    """Return the key *name* of *body*, which must be true or false.

    Raises:
        InvalidArgument: it is something else.
    """
    value = body.get(name, default)
    if not isinstance(value, bool):
        raise InvalidArgument(f"'{name}' must be true or false")
    return value


async def http_error(request: Request, exc: Exception) -> Response:
    """Give Starlette's own refusals (404, 405, 413) the form of all errors."""
    status = exc.status_code if isinstance(exc, HTTPException) else 500
    detail = exc.detail if isinstance(exc, HTTPException) else str(exc)
    return answer(
        {
            "error": "Unsupported",
            "message": f"{request.method} {request.url.path}: {detail}",
            "fix": "client and service may be of different versions: restart the service",
            "errno": errno.ENOTSUP,
        },
        status=status,
    )


async def read_body(request: Request, known: set[str]) -> dict[str, Any]:
    """Read the request's JSON object; an empty body is an empty object.

    Raises:
        InvalidArgument: not a JSON object, too large, too slow, or with an unknown key.
    """
    content = bytearray()
    with trio.move_on_after(BODY_TIMEOUT_S) as scope:
        async with aclosing(request.stream()) as chunks:
            async for chunk in chunks:
                content += chunk
                if len(content) > BODY_BYTES_MAX:
                    raise HTTPException(413, f"the body is larger than {BODY_BYTES_MAX} bytes")
    if scope.cancelled_caught:
        raise HTTPException(408, f"the body did not arrive within {BODY_TIMEOUT_S:g} s")
    try:
        value = json.loads(content or b"{}")
    except ValueError as exc:
        raise InvalidArgument(f"the body is not JSON: {exc}") from exc
    if not isinstance(value, dict):
        raise InvalidArgument("the body is not a JSON object")
    if unknown := set(value) - known:
        raise InvalidArgument(
            f"unknown key {min(unknown)!r}", fix=f"known: {', '.join(sorted(known))}"
        )
    return value


def deadline_of(body: Mapping[str, Any]) -> float:
    """Return the key ``deadline_s`` of *body*, in seconds; 60 where it is not given.

    Raises:
        InvalidArgument: it is no number from 0 to `DEADLINE_S_MAX`.
    """
    value = body.get("deadline_s", 60)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise InvalidArgument("'deadline_s' must be a number of seconds")
    if not 0 <= value <= DEADLINE_S_MAX:
        raise InvalidArgument(f"'deadline_s' must be between 0 and {DEADLINE_S_MAX:g}")
    return float(value)


def whole_number(name: str, value: Any, largest: int) -> int:
    """Return *value*, which must be a whole number from 0 to *largest*, or its text.

    Raises:
        InvalidArgument: it is not.
    """
    try:
        number = int(value) if isinstance(value, str | int) and not isinstance(value, bool) else -1
    except ValueError:
        number = -1
    if not 0 <= number <= largest:
        raise InvalidArgument(f"'{name}' must be a whole number from 0 to {largest}")
    return number


async def answer_aside(value: Any) -> Response:
    """As `answer`, for what is large: made in a thread."""
    return await trio.to_thread.run_sync(answer, value, limiter=_serialising)


async def items_answer(items: Sequence[Any], limit: int) -> Response:
    """Return items and their count; made in a thread, for 10,000 take 50 ms of the event loop."""
    return await trio.to_thread.run_sync(
        answer, {"count": len(items), "items": items[:limit]}, limiter=_serialising
    )


def answer(value: Any, *, status: int = 200) -> Response:
    """Return *value* as JSON."""
    text = json.dumps(value, default=_plain, allow_nan=False, ensure_ascii=True)
    return Response(text.encode("ascii"), status_code=status, media_type="application/json")


def _plain(value: object) -> Any:
    """Return the JSON form of what `json` does not know.

    Raises:
        TypeError: nothing that the service should hand out.
    """
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, frozenset | set | tuple):
        return sorted(value)
    if isinstance(value, bytes):
        return value.decode("utf-8", "backslashreplace")
    raise TypeError(f"{type(value).__name__} cannot be sent as JSON")
