"""Parts: ranges of large files that are fetched before anybody reads them.

What comes is kept as what an open file leaves behind: a partial, which the next reader takes over.
Event loop only.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from itertools import pairwise

from shotfs.cache.access import AccessPattern, Fill
from shotfs.cache.asker import NOBODY, Asker
from shotfs.cache.files import CachedFile
from shotfs.cache.index import identity_of
from shotfs.cache.partials import Partials
from shotfs.cache.phase import ENDED, Phase
from shotfs.cache.reader import Reader
from shotfs.cache.scheduling import FetchClass
from shotfs.cache.stream import SMALL_BYTES_MAX
from shotfs.cache.streams import Streams
from shotfs.tiers.base import Revision, Span, Tier

PARTS_MAX = 256
"""Parts of one file that are asked for at once."""

Open = Callable[[Tier, Revision, Reader], Awaitable[CachedFile]]


class Parts:
    """Fetches parts of files.

    Args:
        open_file: opens one for a reader.
        streams: what is coming in.
        partials: what waits.
    """

    def __init__(self, open_file: Open, streams: Streams, partials: Partials) -> None:
        self._open = open_file
        self._streams = streams
        self._partials = partials

    def held_bytes(self, revision: Revision) -> int:
        """Return how much of a file is here that is not whole: coming in, or waiting."""
        stream = self._streams.get(identity_of(revision))
        if stream is not None and (stream.phase is Phase.PAUSED or stream.phase not in ENDED):
            return stream.blocks.present_bytes
        return self._partials.held_bytes(revision.identity) or 0

    async def fetch(
        self,
        tier: Tier,
        revision: Revision,
        spans: Sequence[Span],
        *,
        fetch_class: FetchClass = FetchClass.PREWARM,
        asker: Asker = NOBODY,
    ) -> int:
        """Have *spans* of the content here, in blocks; what is here already costs nothing.

        Whoever opens the file reads them at once. They may go before any blob when room is
        needed. A file up to `SMALL_BYTES_MAX` comes whole. Cancelled, what has come stays.

        Args:
            tier: where to fetch from; `revision.tier` is its name.
            revision: what to fetch.
            spans: within the file, sorted, at most `PARTS_MAX`, none empty.
            fetch_class: how they are queued; behind demand whatever it is.
            asker: who wants them.

        Returns:
            How many bytes came in meanwhile, for whomever; 0: all was here.

        Raises:
            ValueError: *spans* are not as they should be.
            CacheFull: there is no room to keep them.
            TierError: the origin failed.
            DigestMismatch: all has come now, and was wrong twice.
        """
        size_bytes = revision.size_bytes
        in_order = all(one.stop <= two.start for one, two in pairwise(spans))
        if (
            not 0 < len(spans) <= PARTS_MAX
            or not in_order
            or any(not 0 <= one.start < one.stop <= size_bytes for one in spans)
        ):
            raise ValueError(f"{revision.key}: no parts of {size_bytes} bytes: {spans!r}")
        wanted = () if size_bytes <= SMALL_BYTES_MAX else tuple(spans)
        fill = Fill.RANGES if wanted else Fill.WHOLE
        before = self.held_bytes(revision)
        queued = max(fetch_class, FetchClass.LOOKAHEAD)
        reader = Reader(AccessPattern(size_bytes), asker, fill, queued, wanted)
        file = await self._open(tier, revision, reader)
        try:
            if file.stream is None:
                return 0
            stream = file.stream
            for span in wanted:
                await file.bring(span)
            if not wanted or stream.blocks.complete:
                await file.complete()  # nothing lacks, so it becomes a blob
            return stream.blocks.present_bytes - before
        finally:
            file.close()
