"""Rebuilding the index from the blobs: after damage, and for what a crash left without a row.

Runs in the background while the cache serves; one subdirectory at a time, so memory stays small
and the disk and the index are shared fairly.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing

import trio

from shotfs.cache.blobs import BlobStore, FoundBlob
from shotfs.cache.database import Database
from shotfs.cache.index import Index, Totals, identity_of

log = logging.getLogger(__name__)

BATCH_ROWS = 64
"""Rows a visit to the database thread, so that opens wait for milliseconds only."""


async def adopt_unknown_blobs(
    blobs: BlobStore,
    database: Database,
    disk: trio.CapacityLimiter,
    on_totals: Callable[[Totals], None],
    trim: Callable[[], Awaitable[None]],
) -> int:
    """Give a row to every blob that has none; return how many there were.

    A blob that is not known to be sound is hashed when it is opened first.

    Raises:
        IndexUnavailable: the index broke, or the cache is closing; start again later.
    """
    count = 0
    async with aclosing(scan_blobs(blobs, disk)) as batches:
        async for found in batches:
            for start in range(0, len(found), BATCH_ROWS):
                count += await database.call(_adopt, found[start : start + BATCH_ROWS])
                on_totals(await database.call(Index.current))
                # What was fetched meanwhile did not know that these are here.
                await trim()
    if count:
        log.info("blobs without a row were taken in", extra={"blobs": count})
    return count


async def scan_blobs(
    blobs: BlobStore, disk: trio.CapacityLimiter
) -> AsyncGenerator[list[FoundBlob], None]:
    """Yield what the blobs on the disk say of themselves, one subdirectory at a time.

    Whoever iterates closes it, also when he stops early (`contextlib.aclosing`).
    """
    for name in await trio.to_thread.run_sync(blobs.subdirectories, limiter=disk):
        try:
            found = await trio.to_thread.run_sync(_scan, blobs, name, limiter=disk)
        except OSError as error:
            log.warning("cannot scan blobs", extra={"subdirectory": name, "reason": str(error)})
            continue
        yield found


def _scan(blobs: BlobStore, subdirectory: str) -> list[FoundBlob]:
    return list(blobs.scan(subdirectory))


def _adopt(index: Index, found: list[FoundBlob]) -> int:
    return sum(
        index.adopt_found(
            blob.digest,
            blob.size_bytes,
            [identity_of(origin) for origin in blob.origins],
            sound=blob.sound,
        )
        for blob in found
    )
