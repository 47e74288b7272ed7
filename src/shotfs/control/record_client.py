"""What the client of the control socket can ask of recordings; see `control.record_api`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import Any, BinaryIO
from urllib.parse import urlencode

from shotfs.prewarm.manifest.subject import Subject

STOP_TIMEOUT_S = 120.0
"""How long the files of a run may take to be sorted by frame and kept: 100,000 of them."""

PUBLISH_TIMEOUT_S = 600.0
"""How long all that was learned may take to be brought to the origins."""

Ask = Callable[..., dict[str, Any]]
"""`Client._json`: (method, path, body, time limit in seconds) -> the answer."""

Download = Callable[[str, BinaryIO], None]
"""`Client._download`: (path, where its bytes go)."""


class RecordClient:
    """Requests about recordings; `Client.record` is one. Every method raises as `Client`'s."""

    def __init__(self, ask: Ask, download: Download) -> None:
        self._ask = ask
        self._download = download

    def start(self, asked: Subject, *, bound: bool = False) -> int:
        """Record what fits *asked*; return the number to stop it by. It ends with this process if
        it is *bound* to it.
        """
        body = {**asdict(asked), "bound": bound}
        return int(self._ask("POST", "/v1/record/start", body)["number"])

    def stop(self, number: int) -> dict[str, Any]:
        """Stop a recording; return what it saw."""
        return self._ask("POST", "/v1/record/stop", {"number": number}, STOP_TIMEOUT_S)

    def recordings(self) -> dict[str, Any]:
        """Return what is recorded now, and what is known."""
        return self._ask("GET", "/v1/record")

    def publish(self) -> dict[str, Any]:
        """Bring what was learned to the origins now."""
        return self._ask("POST", "/v1/record/publish", {}, PUBLISH_TIMEOUT_S)

    def remember(self, show: str, scores: Mapping[str, tuple[int, int]]) -> dict[str, Any]:
        """Keep how good scanners were in *show*: (claimed, right) of each."""
        return self._ask("POST", "/v1/record/remember", {"show": show, "scanners": dict(scores)})

    def fetch_taken(self, number: int, file: BinaryIO) -> None:
        """Write the manifest of the recording *number*, which was stopped just now, to *file*."""
        self._download(f"/v1/record/manifest?number={number}", file)

    def fetch(self, subject: Subject, file: BinaryIO) -> None:
        """Write the manifest of what is known of *subject* to *file*."""
        named = {name: text for name, text in asdict(subject).items() if text}
        query = urlencode(named, errors="surrogateescape")
        self._download(f"/v1/record/manifest?{query}", file)
