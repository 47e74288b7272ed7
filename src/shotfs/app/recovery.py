"""Recovery of the catalog: what a node knew of paths, learned again from its cached blobs.

A blob names the revisions whose content it is, and the specifications say which paths show them. So
a node whose catalog is lost serves what it has of immutable templates while the origin is away; as
long as the origin answers, it is asked once for each path, because nobody remembers whether the
revision was the newest.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from contextlib import aclosing

import trio

from shotfs.cache import Cache, FoundBlob
from shotfs.namespace import ShowSet
from shotfs.namespace.catalog import Catalog, Entry
from shotfs.namespace.paths_of import paths_of
from shotfs.pathspec import Immutable

log = logging.getLogger(__name__)

BATCH_PATHS = 500
"""Paths a visit to the catalog's thread, so that look-ups wait for milliseconds only."""


async def recover_paths(cache: Cache, catalog: Catalog, shows: ShowSet) -> None:
    """Fill the catalog from the blobs, unless that was done since it was made. Never raises."""
    if await catalog.was_restored():
        return
    limiter = trio.CapacityLimiter(1)
    count = 0
    try:
        async with aclosing(cache.scan()) as batches:
            async for batch in batches:
                entries = await trio.to_thread.run_sync(entries_of, batch, shows, limiter=limiter)
                paths = sorted(entries)
                for start in range(0, len(paths), BATCH_PATHS):
                    chosen = {path: entries[path] for path in paths[start : start + BATCH_PATHS]}
                    count += await catalog.restore(chosen)
    except OSError as error:
        # The mount works without; the next start tries again.
        log.warning("the catalog was not filled from the cached files: %s", error)
        return
    await catalog.set_restored()
    if count:
        log.info("the catalog was filled from the cached files", extra={"paths": count})


def entries_of(blobs: Iterable[FoundBlob], shows: ShowSet) -> dict[str, Entry]:
    """Return what *blobs* say of paths that never change; of two revisions, the newer one."""
    entries: dict[str, Entry] = {}
    for blob in blobs:
        for revision in blob.origins:
            for path, resolution in paths_of(shows, revision):
                known = entries.get(path)
                if resolution.template.policy.immutable is not Immutable.ON_CLOSE:
                    continue
                if known is None or known.revision.mtime_ns < revision.mtime_ns:
                    # Checked never, and not settled: an origin that answers decides.
                    entries[path] = Entry(revision, 0.0, settled=False)
    return entries
