"""moto's S3 server with traps: ``python -m tests.crash.moto_traps PORT``.

``POST /_crash/watch`` begins to watch the keys below a prefix: ``{"prefix", "pid"}`` and perhaps
``"name", "nth", "when"`` (`traps`). ``GET /_crash/state?prefix=`` says whether the trap was sprung,
whether requests of uploads are being served, and which ETags were made under each key.
``DELETE /_crash/watch?prefix=`` ends it.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterable
from typing import Any
from urllib.parse import parse_qs

from moto.moto_server.werkzeug_app import (
    DomainDispatcherApplication,
    MotoRequestHandler,
    create_backend_app,
)
from werkzeug.serving import run_simple

from tests.crash.traps import BEGIN, COMMIT, PART, SINGLE, StoreTrap, Watch
from tests.servers.moto_server import put_right

Application = Callable[..., Iterable[bytes]]
Environment = dict[str, Any]


class Trapped:
    """A WSGI application around moto's."""

    def __init__(self, moto: Application) -> None:
        self._moto = moto
        self._watches: dict[str, Watch] = {}
        self._made: dict[str, dict[str, list[str]]] = {}

    def __call__(self, environ: Environment, start: Callable[..., Any]) -> Iterable[bytes]:
        """Serve one request."""
        path, query = environ["PATH_INFO"], environ.get("QUERY_STRING", "")
        if path.startswith("/_crash/"):
            start("200 OK", [("Content-Type", "application/json")])
            return [json.dumps(self._control(environ, query)).encode()]
        parts = path.split("/", 3)
        watch = self._watches.get(parts[2]) if len(parts) > 3 else None
        name = _name(environ["REQUEST_METHOD"], parse_qs(query, keep_blank_values=True), environ)
        if watch is None or name is None:
            return self._moto(environ, start)
        return self._watched(watch, name, (parts[2], parts[3]), environ, start)

    def _watched(
        self,
        watch: Watch,
        name: str,
        key: tuple[str, str],
        environ: Environment,
        start: Callable[..., Any],
    ) -> Iterable[bytes]:
        when = watch.begin(name)
        answered: list[Any] = []
        try:
            if when in ("before", "late"):
                watch.kill(late=when == "late")
            if when == "before":
                raise ConnectionResetError
            body = list(self._moto(environ, lambda *arguments: answered.extend(arguments)))
            if name in (SINGLE, COMMIT) and answered[0].startswith("200"):
                etag = dict(answered[1]).get("ETag") or _etag(b"".join(body))
                self._made[key[0]].setdefault(key[1], []).append(etag)
            if when == "after":
                watch.kill()
                raise ConnectionResetError
        finally:
            watch.end()
        start(*answered)
        return body

    def _control(self, environ: Environment, query: str) -> dict[str, Any]:
        method = environ["REQUEST_METHOD"]
        if method == "POST":
            asked = json.loads(environ["wsgi.input"].read(int(environ["CONTENT_LENGTH"])))
            trap = None
            if "name" in asked:
                trap = StoreTrap(asked["name"], asked["nth"], asked["when"])
            self._forget(asked["prefix"])
            self._watches[asked["prefix"]] = Watch(trap, os.pidfd_open(asked["pid"]))
            self._made.setdefault(asked["prefix"], {})
            return {}
        (prefix,) = parse_qs(query)["prefix"]
        if method == "DELETE":
            self._forget(prefix)
            self._made.pop(prefix, None)
            return {}
        watch = self._watches[prefix]
        return {
            "sprung": watch.sprung,
            "in_flight": watch.in_flight,
            "made": self._made[prefix],
        }

    def _forget(self, prefix: str) -> None:
        old = self._watches.pop(prefix, None)
        if old is not None:
            os.close(old.victim)


def _name(method: str, query: dict[str, list[str]], environ: Environment) -> str | None:
    if method == "POST" and "uploads" in query:
        return BEGIN
    if method == "PUT" and "partNumber" in query:
        return PART
    if method == "POST" and "uploadId" in query:
        return COMMIT
    if method == "PUT" and "HTTP_X_AMZ_COPY_SOURCE" not in environ:
        return SINGLE
    return None


def _etag(body: bytes) -> str:
    return body.partition(b"<ETag>")[2].partition(b"</ETag>")[0].decode()


if __name__ == "__main__":
    put_right()
    application = Trapped(DomainDispatcherApplication(create_backend_app))
    run_simple(
        "127.0.0.1",
        int(sys.argv[1]),
        application,
        threaded=True,
        request_handler=MotoRequestHandler,
    )
