"""What the client of the control socket can ask of outputs kept aside; see `conflict_api`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, BinaryIO
from urllib.parse import urlencode

COMPARE_TIMEOUT_S = 3600.0
"""How long both sides of a conflict may take to be read: 100 GB at 30 MB/s."""

RESOLVE_TIMEOUT_S = 600.0
"""How long it may take to hash what gets another name, and to ask the origin."""

Ask = Callable[..., dict[str, Any]]
"""`Client._json`: (method, path, body, time limit in seconds) -> the answer."""

Download = Callable[[str, BinaryIO], None]
"""`Client._download`: (path, where its bytes go)."""


class ConflictClient:
    """Requests about outputs that are kept aside; `Client.conflicts` is one.

    Every method raises as those of `Client`. Where an output is named, *serial* is its number in
    this node's spool, *path* the name that it should have, relative to the mount.
    """

    def __init__(self, ask: Ask, download: Download) -> None:
        self._ask = ask
        self._download = download

    def kept(self, *, serial: int | None = None, path: str | None = None) -> dict[str, Any]:
        """Return {count, items} of what is kept aside."""
        return self._ask("GET", f"/v1/conflicts?{_query(serial, path)}")

    def compare(self, serial: int) -> dict[str, Any]:
        """Return a conflict, compared with what the origin has now."""
        target = f"/v1/conflicts/compare?serial={serial}"
        return self._ask("GET", target, timeout_s=COMPARE_TIMEOUT_S)

    def fetch(self, serial: int, side: str, file: BinaryIO) -> None:
        """Write the bytes of *side* (ours, theirs) to *file*."""
        self._download(f"/v1/conflicts/content?serial={serial}&side={side}", file)

    def resolve(
        self, *, serial: int | None = None, path: str | None = None, new_path: str | None
    ) -> list[dict[str, Any]]:
        """Publish what lost under *new_path*; None: with the next version in its own."""
        body = {"serial": serial, "path": path, "as": new_path}
        return list(self._ask("POST", "/v1/conflicts/resolve", body, RESOLVE_TIMEOUT_S)["items"])

    def drop(self, *, serial: int | None = None, path: str | None = None) -> list[dict[str, Any]]:
        """Remove what is kept aside, for good."""
        body = {"serial": serial, "path": path}
        return list(self._ask("POST", "/v1/conflicts/drop", body)["items"])


def _query(serial: int | None, path: str | None) -> str:
    named = {"serial": serial, "path": path}
    return urlencode(
        {name: value for name, value in named.items() if value is not None},
        errors="surrogateescape",
    )
