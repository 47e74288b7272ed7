"""HTTP over the Unix socket of the service. Standard library only; Python 3.9.

`shotfs.control.client` is the client of the command line; this one is for the Python of an
application, which has none of our dependencies.
"""

from __future__ import annotations

import http.client
import json
import socket
from collections.abc import Callable
from typing import Any
from urllib.parse import quote, urlencode

from .failures import LocalizeFailed, NotThere, RevisionGone, ServiceAway

ANSWER_S = 60.0
"""How long the service may take to say what a path is: its origin may have to be asked."""

FETCH_S = 3600.0
"""How long it may take to fetch one file; the service itself gives up when nothing comes."""

IDLE_S = 120.0
"""How long a download may stand still."""

BLOCK_BYTES = 1024 * 1024
ANSWER_BYTES_MAX = 256 * 1024 * 1024
"""Of one answer: 100,000 files with long names."""

_CLASSES: dict[str, type[LocalizeFailed]] = {
    "PathNotFound": NotThere,
    "NoTemplate": NotThere,
    "Stale": RevisionGone,
    "RevisionChanged": RevisionGone,
}


class _UnixConnection(http.client.HTTPConnection):
    """A connection to a Unix socket."""

    def __init__(self, path: str, timeout_s: float) -> None:
        super().__init__("shotfs", timeout=timeout_s)
        self._path = path

    def connect(self) -> None:
        """Connect; the caller knows of which errors."""
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            self.sock.settimeout(self.timeout)
            self.sock.connect(self._path)
        except BaseException:
            self.sock.close()
            raise


class Connection:
    """Asks the service on the socket *path*; safe from several threads: each request connects."""

    def __init__(self, path: str) -> None:
        self._path = path

    def files(self, path: str, frames: str, limit: int) -> dict[str, Any]:
        """Return which files *path* stands for (`control.localize_api`)."""
        return self._post(
            "/v1/localize", {"path": path, "frames": frames, "limit": limit}, ANSWER_S
        )

    def blob(self, path: str, revision: str) -> dict[str, Any]:
        """Have a file fetched; return where its bytes are."""
        return self._post("/v1/localize/blob", {"path": path, "revision": revision}, FETCH_S)

    def content(self, path: str, revision: str, write: Callable[[bytes], None]) -> int:
        """Hand the bytes of a file to *write*, as they come; return how many those were.

        Raises:
            LocalizeFailed: it could not be fetched, or ended too early: what came is not whole.
        """
        asked = urlencode(
            {"path": path, "revision": revision}, quote_via=quote, errors="surrogateescape"
        )

        def take(response: http.client.HTTPResponse) -> int:
            count = 0
            while True:
                block = response.read(BLOCK_BYTES)
                if not block:
                    break
                write(block)
                count += len(block)
            return count

        return int(self._request("GET", f"/v1/localize/content?{asked}", None, IDLE_S, take))

    def _post(self, target: str, body: dict[str, Any], timeout_s: float) -> dict[str, Any]:
        def take(response: http.client.HTTPResponse) -> dict[str, Any]:
            return dict(json.loads(response.read(ANSWER_BYTES_MAX)))

        # ASCII: names that are not UTF-8 come as lone surrogates, which have no UTF-8.
        answer = self._request("POST", target, json.dumps(body).encode("ascii"), timeout_s, take)
        return dict(answer)

    def _request(
        self,
        method: str,
        target: str,
        body: bytes | None,
        timeout_s: float,
        take: Callable[[http.client.HTTPResponse], Any],
    ) -> Any:
        connection = _UnixConnection(self._path, timeout_s)
        try:
            connection.request(method, target, body, {"Content-Type": "application/json"})
            response = connection.getresponse()
            if response.status >= 400:
                raise _failure(response)
            return take(response)
        except (FileNotFoundError, ConnectionRefusedError, PermissionError) as error:
            raise ServiceAway(
                f"no shotfs service answers on {self._path}: {error.strerror}",
                "start one with: shotfs serve   (or name its socket: SHOTFS_CONTROL__SOCKET)",
            ) from error
        except socket.timeout as error:  # the name that it has in Python 3.9
            raise ServiceAway(
                f"the service on {self._path} said nothing for {timeout_s:g} s",
                "its log tells what it does",
            ) from error
        except (ConnectionError, http.client.HTTPException, ValueError, TypeError) as error:
            raise ServiceAway(
                f"the service on {self._path} broke off: {error!r}",
                "its log tells why; it may have been stopped",
            ) from error
        finally:
            connection.close()


def _failure(response: http.client.HTTPResponse) -> LocalizeFailed:
    try:
        report = json.loads(response.read(BLOCK_BYTES))
        kind = _CLASSES.get(str(report["error"]), LocalizeFailed)
        return kind(str(report["message"]), report.get("fix"))
    except (ValueError, KeyError, TypeError):
        return LocalizeFailed(f"the service answered HTTP {response.status}")
