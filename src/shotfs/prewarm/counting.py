"""Counting: how much of many files is here, without an object for each of them.

For checks and dry runs of whole manifests. What the catalog plainly knows is compared and counted a
page at a time, as columns; all else goes the way of every prewarm (`engine`), which gives the same
answers and takes longer. Some pages at the same time, in no order. Event loop only.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from itertools import compress

import trio

from shotfs.cache import Cache
from shotfs.prewarm.engine import PAGES_AT_ONCE, Count, Prewarmer, Progress, Terms
from shotfs.prewarm.finding import Finder, KnownFiles
from shotfs.prewarm.manifest.files import Files


class FileCounter:
    """Says how much is here.

    Args:
        prewarmer: counts what is not plain.
        cache: where files are.
        finder: what paths are.
    """

    def __init__(self, prewarmer: Prewarmer, cache: Cache, finder: Finder) -> None:
        self._prewarmer = prewarmer
        self._cache = cache
        self._finder = finder

    async def run(
        self, pages: AsyncGenerator[Files, None], terms: Terms, progress: Progress
    ) -> None:
        """Note in *progress* what of *pages* is here.

        Args:
            pages: a thousand or so at once; closed at the end.
            terms: without limits; nothing is fetched.
            progress: of this run; changed while it runs.
        """
        give, take = trio.open_memory_channel[Files](0)
        with self._prewarmer.counting(terms, progress) as count:
            async with trio.open_nursery() as nursery, give, aclosing(pages):
                for _ in range(PAGES_AT_ONCE):
                    nursery.start_soon(self._count_pages, take.clone(), terms, progress, count)
                take.close()
                async for page in pages:
                    await give.send(page)

    async def _count_pages(
        self,
        pages: trio.MemoryReceiveChannel[Files],
        terms: Terms,
        progress: Progress,
        count: Count,
    ) -> None:
        async with pages:
            async for page in pages:
                rest = await self._count_known(page, terms, progress)
                if rest:
                    await count(page.entries(rest))

    async def _count_known(self, page: Files, terms: Terms, progress: Progress) -> Sequence[int]:
        """Count what is plainly known; return the places of the rest."""
        counted: list[Sequence[int]] = []
        for known in await self._finder.known(page.paths, terms.visible):
            if terms.readable is None or terms.readable(known.first):
                here = await self._cache.known_columns(known.revisions)
                _note(progress, page, known, here)
                counted.append(known.places)
        if sum(map(len, counted)) == len(page):
            return ()
        return sorted(set(range(len(page))).difference(*counted))


def _note(progress: Progress, page: Files, known: KnownFiles, here: Sequence[bool]) -> None:
    """Note in *progress* the files *known* of *page*, and which of them are *here*."""
    revisions = known.revisions
    sizes = revisions.sizes_bytes
    files, size_bytes = len(sizes), sum(sizes)
    here_files, here_bytes = sum(here), sum(compress(sizes, here))
    progress.entries += files
    progress.files += files
    progress.bytes += size_bytes
    progress.here_files += here_files
    progress.here_bytes += here_bytes
    if here_files < files:
        progress.missing[revisions.tier] += size_bytes - here_bytes
    share = progress.share_of(known.first)
    share.files += files
    share.bytes += size_bytes
    share.done_files += here_files
    share.done_bytes += here_bytes
    said_sizes, said_digests = page.sizes, page.digests
    if files < len(page):
        said_sizes = [page.sizes[place] for place in known.places]
        said_digests = [page.digests[place] for place in known.places]
    digests = [sums[2] or None for sums in revisions.sums]
    if list(said_sizes) == list(sizes) and list(said_digests) == digests:
        return
    for place, said_bytes, one_bytes, said, one in zip(
        known.places, said_sizes, sizes, said_digests, digests, strict=True
    ):
        if said_bytes not in (None, one_bytes) or (None not in (said, one) and said != one):
            progress.note_stale(page.paths[place])
