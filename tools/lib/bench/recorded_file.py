"""An open file of the cache that tells of its life: the source of recorded traces.

Put in the place of `CachedFile` in a node that records (`bench.recording_node`), so an event is
what the cache engine was asked: after the kernel's look-ups and page cache, before any policy.
Event loop only.
"""

from __future__ import annotations

import json
from typing import Any, TextIO

from shotfs.cache.files import CachedFile
from shotfs.cache.reader import Reader
from shotfs.digest import Buffer
from shotfs.tiers.base import Revision, Span, Tier


class Events:
    """The file that events go to, in the order in which they happen. Event loop only."""

    def __init__(self, file: TextIO) -> None:
        self._file = file
        self._count = 0
        self._open: set[RecordedFile] = set()

    def opened(self, file: RecordedFile) -> int:
        """Note an open; return its number."""
        number, self._count = self._count, self._count + 1
        self._open.add(file)
        revision = file.revision
        self._note(open=number, name=revision.identity, size_bytes=revision.size_bytes)
        return number

    def closed(self, file: RecordedFile) -> None:
        """Note that a file was closed; the second time does not count."""
        if file in self._open:
            self._open.remove(file)
            self._note(close=file.number, read_bytes=file.read_bytes)

    def finish(self) -> None:
        """Note what is open still, as it is when the mount ends under an application."""
        for file in sorted(self._open, key=lambda one: one.number):
            self.closed(file)

    def _note(self, **event: int | str) -> None:
        self._file.write(json.dumps(event) + "\n")


class RecordedFile(CachedFile):
    """An open file whose life goes to `events`.

    Attributes:
        number: of the open.
        read_bytes: what was read of it.
    """

    __slots__ = ("number", "read_bytes")

    events: Events

    def __init__(self, lender: Any, tier: Tier, revision: Revision, reader: Reader) -> None:
        super().__init__(lender, tier, revision, reader)
        self.read_bytes = 0
        self.number = self.events.opened(self)

    def read_now(self, span: Span) -> Buffer | None:
        """See `CachedFile.read_now`."""
        found = super().read_now(span)
        self.read_bytes += 0 if found is None else len(found)
        return found

    async def read(self, span: Span) -> Buffer:
        """See `CachedFile.read`."""
        found = await super().read(span)
        self.read_bytes += len(found)
        return found

    def close(self) -> None:
        """See `CachedFile.close`."""
        self.events.closed(self)
        super().close()
