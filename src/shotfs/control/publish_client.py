"""What the client of the control socket can ask of outputs; see `control.publish_api`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any
from urllib.parse import urlencode

FINISH_TIMEOUT_S = 120.0
"""How long the scratch files of a job may take to be removed."""

STAT_TIMEOUT_S = 30.0
"""How long an answer about one path may take; the service waits shorter for the origin."""

Ask = Callable[..., dict[str, Any]]
"""`Client._json`: (method, path, body, time limit in seconds) -> the answer."""


class PublishClient:
    """Requests about outputs on their way to the origin; `Client.publish` is one.

    Every method raises as those of `Client`. Where an output is named, *serial* is its number in
    this node's spool, *path* its name relative to the mount.
    """

    def __init__(self, ask: Ask) -> None:
        self._ask = ask

    def stat(self, path: str) -> dict[str, Any]:
        """Return whether *path* is safe in its origin."""
        return self._ask("GET", f"/v1/publish/stat?{_query(None, path)}", timeout_s=STAT_TIMEOUT_S)

    def show(self, *, serial: int | None = None, path: str | None = None) -> list[dict[str, Any]]:
        """Return everything that is known of outputs that are not in the origin."""
        return list(self._ask("GET", f"/v1/publish/show?{_query(serial, path)}")["items"])

    def retry(self, *, serial: int | None = None, path: str | None = None) -> dict[str, Any]:
        """Try outputs again now; all that wait where none is named."""
        return self._ask("POST", "/v1/publish/retry", {"serial": serial, "path": path})

    def missing(self, *, job: str | None = None, paths: Sequence[str] = ()) -> dict[str, Any]:
        """Return what is not in the origin yet, of a job or at or below *paths*."""
        return self._ask("POST", "/v1/publish/missing", {"job": job, "paths": list(paths)})

    def finish(self, job: str) -> dict[str, Any]:
        """Say that *job* has ended."""
        return self._ask("POST", "/v1/publish/finish", {"job": job}, FINISH_TIMEOUT_S)


def _query(serial: int | None, path: str | None) -> str:
    named = {"serial": serial, "path": path}
    return urlencode(
        {name: value for name, value in named.items() if value is not None},
        errors="surrogateescape",
    )
