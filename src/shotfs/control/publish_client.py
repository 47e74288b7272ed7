"""What the client of the control socket can ask of outputs; see `control.publish_api`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

Ask = Callable[..., dict[str, Any]]
"""`Client._json`: (method, path, body, time limit in seconds) -> the answer."""


class PublishClient:
    """Requests about outputs on their way to the origin; `Client.publish` is one.

    Every method raises as those of `Client`. Where an output is named, *serial* is its number in
    this node's spool, *path* its name relative to the mount.
    """

    def __init__(self, ask: Ask) -> None:
        self._ask = ask

    def retry(self, *, serial: int | None = None, path: str | None = None) -> dict[str, Any]:
        """Try outputs again now; all that wait where none is named."""
        return self._ask("POST", "/v1/publish/retry", {"serial": serial, "path": path})
