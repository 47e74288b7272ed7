"""The part of the control client that is about prewarms."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

from shotfs.control.prewarm_service import Order
from shotfs.digest import Digest
from shotfs.prewarm.manifest import Entry
from shotfs.prewarm.manifest.encoding import entry_line
from shotfs.prewarm.manifest.files import Files

Ask = Callable[..., dict[str, Any]]
Send = Callable[[str, bytes], None]

BODY_BYTES = 1024 * 1024
"""Entries that are sent together: about 5,000."""

BODY_FILES = 5_000
"""Files that are sent together as columns: the service looks at them while the next are read."""

TARGET_TIMEOUT_S = 60.0
"""How long the service may take to say what targets are."""


class PrewarmClient:
    """Asks for prewarms. Every method raises as those of `control.client.Client`.

    Args:
        ask: sends JSON and returns JSON.
        send: posts bytes.
    """

    def __init__(self, ask: Ask, send: Send) -> None:
        self._ask = ask
        self._send = send

    def begin(self, order: Order) -> int:
        """Return the number of a new prewarm; see `control.prewarm_service.PrewarmService`."""
        body = dataclasses.asdict(order)
        return int(self._ask("POST", "/v1/prewarm", body, TARGET_TIMEOUT_S)["number"])

    def add(self, number: int, entries: Iterable[Entry]) -> int:
        """Send *entries*, some thousands at a time; return how many there were."""
        count = 0
        for lines in _bodies(entries):
            self._send(f"/v1/prewarm/entries?number={number}", b"\n".join(lines))
            count += len(lines)
        return count

    def add_files(self, number: int, pages: Iterable[Files]) -> int:
        """Send path, digest and size of the files in *pages*, some thousands at a time; return how
        many there were.

        While the service takes some, the next are read.
        """
        path = f"/v1/prewarm/files?number={number}"
        count = 0
        sent: Future[None] | None = None
        with ThreadPoolExecutor(1, thread_name_prefix="shotfs-send") as sender:
            for files in _gathered(pages):
                for body in _columns(files):
                    if sent is not None:
                        sent.result()
                    sent = sender.submit(self._send, path, body)
                count += len(files)
            if sent is not None:
                sent.result()
        return count

    def start(self, number: int) -> None:
        """Let it run."""
        self._ask("POST", "/v1/prewarm/start", {"number": number})

    def show(self, number: int) -> dict[str, Any]:
        """Return how far it is."""
        return self._ask("GET", f"/v1/prewarm?number={number}")

    def list(self) -> list[dict[str, Any]]:
        """Return those that are known, the newest last."""
        return list(self._ask("GET", "/v1/prewarms")["prewarms"])

    def cancel(self, number: int) -> dict[str, Any]:
        """End it; return how far it came."""
        return self._ask("POST", "/v1/prewarm/cancel", {"number": number})


def _bodies(entries: Iterable[Entry]) -> Iterator[list[bytes]]:
    lines: list[bytes] = []
    size_bytes = 0
    for entry in entries:
        line = entry_line(entry).encode("ascii")
        lines.append(line)
        size_bytes += len(line) + 1
        if size_bytes >= BODY_BYTES:
            yield lines
            lines, size_bytes = [], 0
    if lines:
        yield lines


def _gathered(pages: Iterable[Files]) -> Iterator[Files]:
    """Yield the files of *pages*, `BODY_FILES` at a time or a few more."""
    paths: list[str] = []
    digests: list[Digest | None] = []
    sizes: list[int | None] = []
    for page in pages:
        paths += page.paths
        digests += page.digests
        sizes += page.sizes
        if len(paths) >= BODY_FILES:
            yield Files(paths, digests, sizes)
            paths, digests, sizes = [], [], []
    if paths:
        yield Files(paths, digests, sizes)


def _columns(files: Files) -> Iterator[bytes]:
    """Yield *files* as columns: one body, or more where their paths are very long."""
    columns = {"paths": files.paths, "digests": files.digests, "sizes": files.sizes}
    body = json.dumps(columns, separators=(",", ":")).encode("ascii")
    if len(body) <= BODY_BYTES or len(files) == 1:
        yield body
        return
    half = len(files) // 2
    yield from _columns(files.part(0, half))
    yield from _columns(files.part(half, len(files)))
