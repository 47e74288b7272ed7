"""Test control over HTTP, below ``/_test/``, for a server in a process of its own.

======  ====================  ==================================================================
POST    /_test/faults         a fault as JSON (the fields of `Fault`); answers its number
GET     /_test/faults         all faults with their hits
DELETE  /_test/faults         end all faults; stalled requests go on
GET     /_test/journal        counts, bytes sent of each object, requests
DELETE  /_test/journal        forget them
POST    /_test/buckets/NAME   create a bucket; ``?versioning=true`` keeps versions
PUT     /_test/objects/B/N    replace an object behind the clients' backs
DELETE  /_test/objects/B/N    delete one
POST    /_test/down           ``?seconds=N``: refuse connections for so long, then come back
======  ====================  ==================================================================
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from tests.servers.faults import Fault
from tests.servers.gcs.refusals import Refusal
from tests.servers.wire import Request, Response

if TYPE_CHECKING:
    from tests.servers.gcs.server import GcsServer

PREFIX = "/_test/"
HEAD_START_S = 0.05


class Control:
    """Answers control requests; they are neither journalled nor hit by faults."""

    def __init__(self, server: GcsServer) -> None:
        self._server = server

    def serves(self, request: Request) -> bool:
        return request.path.startswith(PREFIX)

    def answer(self, request: Request) -> Response:
        body = request.body.read()
        parts = [unquote(part) for part in request.path[len(PREFIX) :].split("/")]
        try:
            return _json(200, self._do(request, parts, body))
        except (ValueError, TypeError, KeyError) as exc:
            return _json(400, {"error": str(exc)})
        except Refusal as exc:
            return _json(exc.status, {"error": exc.message})

    def _do(self, request: Request, parts: list[str], body: bytes) -> Any:
        server = self._server
        match request.method, parts:
            case "POST", ["faults"]:
                server.fault(Fault(**json.loads(body)))
                return {"count": len(server.faults.as_json())}
            case "GET", ["faults"]:
                return server.faults.as_json()
            case "DELETE", ["faults"]:
                return server.faults.clear()
            case "GET", ["journal"]:
                return server.journal.as_json(bucket=request.query.get("bucket"))
            case "DELETE", ["journal"]:
                return server.journal.clear()
            case "POST", ["buckets", name]:
                versioning = request.query.get("versioning") == "true"
                return {"name": server.store.create_bucket(name, versioning=versioning).name}
            case "PUT", ["objects", bucket, *name]:
                made = server.store.put(bucket, "/".join(name), body)
                return {"generation": made.generation}
            case "DELETE", ["objects", bucket, *name]:
                return server.store.delete(bucket, "/".join(name))
            case "POST", ["down"]:
                seconds = float(request.query["seconds"])
                # Going down ends this connection too, so the answer gets a head start.
                _later(HEAD_START_S, lambda: self._nap(seconds))
                return {"seconds": seconds}
        raise KeyError(f"{request.method} {request.path} is no control request")

    def _nap(self, seconds: float) -> None:
        self._server.go_down()
        _later(seconds, self._server.come_up)


def _later(seconds: float, function: Callable[[], None]) -> None:
    timer = threading.Timer(seconds, function)
    timer.daemon = True
    timer.start()


def _json(status: int, body: Any) -> Response:
    return Response(status, {"Content-Type": "application/json"}, json.dumps(body).encode())
