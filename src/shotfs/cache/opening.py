"""Opening the cache: whoever owns the directory owns the index, all streams and their tasks."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import trio

from shotfs.cache.directory import CacheDirectory, own_directory
from shotfs.cache.engine import Cache
from shotfs.cache.scheduling import OriginLimits
from shotfs.config.network_models import NetworkSettings
from shotfs.config.storage_models import CacheSettings
from shotfs.observe.metrics import Metrics
from shotfs.tiers.base import Revision

log = logging.getLogger(__name__)

DEADLINE_S = 60.0

FLUSH_S = 20.0
"""How long closing waits for the disk; without it, recent blobs are hashed after a power cut."""


@asynccontextmanager
async def open_cache(
    settings: CacheSettings,
    network: NetworkSettings,
    metrics: Metrics,
    *,
    deadline_s: float = DEADLINE_S,
    on_corrupt: Callable[[Revision], None] | None = None,
    on_damaged: Callable[[Revision], None] | None = None,
    limits_of: Callable[[str], OriginLimits] | None = None,
) -> AsyncIterator[Cache]:
    """Own the cache directory for the block.

    Args:
        settings: where, and how much.
        network: how much at once.
        metrics: where to count.
        deadline_s: how long a reader waits without progress.
        on_corrupt: told of a revision whose bytes were wrong after some may have been read, so
            that the kernel's pages can be dropped. Called in the event loop; must not block.
        on_damaged: as *on_corrupt*, where the bytes came right and the disk lost them.
        limits_of: what the origin of a root URL may be asked for; None: what *network* says.

    Raises:
        CacheUnsafe: others could write the directory.
        CacheBusy: another process owns it.
        CacheError: it cannot be made.
    """
    directory = await trio.to_thread.run_sync(own_directory, settings.directory)
    try:
        async with trio.open_nursery() as nursery:
            cache = Cache(
                directory, nursery, settings, network, metrics,
                deadline_s=deadline_s, on_corrupt=on_corrupt, on_damaged=on_damaged,
                limits_of=limits_of,
            )  # fmt: skip
            await cache.start()
            try:
                yield cache
            finally:
                if await cache.stop():
                    await _mark_clean(directory)
                nursery.cancel_scope.cancel()
        # The tasks have ended and nothing uses the files any more.
    finally:
        directory.release()


async def _mark_clean(directory: CacheDirectory) -> None:
    """Bring everything to the disk and say so; without it, the next owner looks for himself."""
    with trio.CancelScope(shield=True):
        try:
            with trio.move_on_after(FLUSH_S) as scope:
                await trio.to_thread.run_sync(directory.flush, abandon_on_cancel=True)
            if not scope.cancelled_caught:
                await trio.to_thread.run_sync(directory.mark_clean)
        except OSError as error:
            log.warning("cannot mark the cache clean", extra={"reason": str(error)})
