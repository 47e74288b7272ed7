"""Lending: open files, and the blob or stream that each of them reads.

A lease on a blob lasts until its file is closed, so nothing that is open is evicted (S11). Event
loop only; disk work goes to threads.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass

import trio

from shotfs.cache.admission import Admission
from shotfs.cache.asker import Asker
from shotfs.cache.blobs import BlobStore
from shotfs.cache.descriptor import Descriptor
from shotfs.cache.direct import DirectReader, WindowBudget
from shotfs.cache.evictor import Evictor
from shotfs.cache.files import CachedFile
from shotfs.cache.holdings import Holdings
from shotfs.cache.index import identity_of
from shotfs.cache.reader import Reader
from shotfs.cache.scheduling import FetchScheduler
from shotfs.cache.streams import Streams
from shotfs.digest import Digest
from shotfs.observe.metrics import Metrics
from shotfs.tiers.base import Revision, Span, Tier

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class LendingParts:
    """What open files are served from."""

    blobs: BlobStore
    holdings: Holdings
    evictor: Evictor
    streams: Streams
    admission: Admission
    scheduler: FetchScheduler
    windows: WindowBudget
    disk: trio.CapacityLimiter
    nursery: trio.Nursery
    metrics: Metrics
    deadline_s: float


class Lending:
    """Implements `files.Lender`: what open files need.

    Attributes:
        hits: opens of what was here.
        misses: opens of what was not.
    """

    def __init__(self, parts: LendingParts) -> None:
        self._parts = parts
        self._open_files: set[CachedFile] = set()
        self.hits = 0
        self.misses = 0

    def lend(
        self, tier: Tier, revision: Revision, reader: Reader, digest: Digest | None
    ) -> CachedFile:
        """Open *revision*: its blob *digest*, or where there is none here, its stream."""
        file = CachedFile(self, tier, revision, reader)
        self._open_files.add(file)
        if digest is not None:
            self._lend_blob(file, digest)
        else:
            self.misses += 1
            self._parts.metrics.cache_misses.inc()
            self._lend_stream(file, identity_of(revision))
        return file

    def askers_of(self, revision: Revision) -> Iterator[Asker]:
        """Yield who has *revision* open; once for each open file."""
        return (one.asker for one in self._open_files if one.revision.identity == revision.identity)

    def spoil(self, digest: Digest) -> list[Revision]:
        """Have reads of open files of the blob *digest* fail; return the revisions they are of."""
        spoiled = [file for file in self._open_files if file.digest == digest]
        for file in spoiled:
            file.spoil()
        return [file.revision for file in spoiled]

    # --- files.Lender ----------------------------------------------------------------------------

    def blob_path(self, digest: Digest) -> str:
        """Return where the blob is."""
        return self._parts.blobs.path(digest)

    def direct(self, file: CachedFile) -> DirectReader:
        """Return a reader of what *file* is that keeps nothing."""
        return DirectReader(
            file.tier,
            file.revision,
            self._parts.scheduler,
            self._parts.windows,
            self._parts.deadline_s,
            file.asker,
        )

    async def read_blob(self, descriptor: Descriptor, span: Span) -> bytearray:
        """Read in a disk thread."""
        with descriptor.using():
            return await trio.to_thread.run_sync(descriptor.read, span, limiter=self._parts.disk)

    async def lost(self, file: CachedFile) -> None:
        """Stream a file again whose blob is not on the disk any more."""
        digest = file.blob
        assert digest is not None
        if not self._parts.evictor.condemned(digest):
            if self._parts.blobs.exists(digest):
                return  # another reader of the same content has brought it back
            log.warning("a blob is gone; it is fetched again", extra={"digest": digest})
            await self._parts.evictor.remove([digest])
        await self._parts.evictor.wait_gone(digest)
        # Two reads of one file may come here; the first has done it.
        if file.blob is not None:
            self._parts.holdings.leases.remove(digest)
            file.blob = None
            self._lend_stream(file, identity_of(file.revision))

    def used(self, digest: Digest) -> None:
        """Note a use of a blob that is open."""
        self._parts.holdings.touch(digest)

    def unreadable(self, digest: Digest) -> None:
        """Drop a blob that the disk cannot read; its open files read from their origins."""
        if not self._parts.evictor.condemned(digest):
            self._parts.nursery.start_soon(self._parts.evictor.remove, [digest])

    def give_back(self, file: CachedFile) -> None:
        """End a lease."""
        self._open_files.discard(file)
        if file.blob is not None:
            self._parts.holdings.leases.remove(file.blob)
        stream = file.stream
        if stream is None:
            return
        if stream.digest is not None:
            self._parts.holdings.leases.remove(stream.digest)
        self._parts.streams.leave(stream, file.reader)

    async def recorded(self, digest: Digest) -> None:
        """Return when the index knows the blob, or cannot be written."""
        await self._parts.admission.recorded(digest)

    def settle(self, file: CachedFile) -> None:
        """Let a file whose stream became a blob read the blob."""
        stream = file.stream
        assert stream is not None
        file.blob, file.stream = stream.digest, None
        self._parts.streams.leave(stream, file.reader)

    def _lend_blob(self, file: CachedFile, digest: Digest) -> None:
        self.hits += 1
        self._parts.metrics.cache_hits.inc()
        self._parts.holdings.touch(digest)
        self._parts.holdings.leases.add(digest)
        file.blob = digest

    def _lend_stream(self, file: CachedFile, identity: str) -> None:
        file.stream = self._parts.streams.join(
            file.tier, file.revision, identity, self._parts.admission, file.reader
        )
