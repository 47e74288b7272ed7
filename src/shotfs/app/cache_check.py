"""Checking the cache for `shotfs cache verify`: in the service, or alone where none runs."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import aclosing
from typing import Any

import trio

from shotfs.cache import Cache, CorruptBlob, Verification, VerifyState, open_cache
from shotfs.config import Settings
from shotfs.digest import Digest
from shotfs.errors import PathNotFound
from shotfs.namespace import ShowSet
from shotfs.namespace.paths_of import paths_of
from shotfs.observe.metrics import Metrics
from shotfs.tiers.base import Revision

TELL_S = 0.5
"""How often a check without a service tells how far it is."""

INFLATED = 2**62
"""Limits of a cache that is only looked at: nothing may be evicted for their sake."""


class CacheCheck:
    """Starts, shows and ends the check of a cache.

    Args:
        cache: what is checked.
        shows: say which paths a blob belongs to; None where that is not known.
        bytes_per_s: how fast it reads unless somebody says otherwise.
    """

    def __init__(self, cache: Cache, shows: ShowSet | None, bytes_per_s: int) -> None:
        self._cache = cache
        self._shows = shows
        self._bytes_per_s = bytes_per_s
        self._thread = trio.CapacityLimiter(1)

    async def start(
        self, *, repair: bool, bytes_per_s: int | None, paths: Sequence[str]
    ) -> Mapping[str, Any]:
        """Begin a check.

        Args:
            repair: drop what is corrupt.
            bytes_per_s: how fast to read at most; None: as the configuration says.
            paths: mount-relative files and directories; none: the whole cache.

        Raises:
            CacheBusy: one is running.
            PathNotFound: nothing at or below one of *paths* is cached.
        """
        only = await self._blobs_of(paths) if paths else None
        rate = bytes_per_s or self._bytes_per_s
        return await self._report(
            self._cache.verifier.start(repair=repair, bytes_per_s=rate, only=only)
        )

    async def report(self) -> Mapping[str, Any] | None:
        """Return how far the check is, or how the last one ended; None: there was none."""
        run = self._cache.verifier.current
        return None if run is None else await self._report(run)

    async def stop(self) -> Mapping[str, Any] | None:
        """End the check that runs, if one does; return as `report`."""
        await self._cache.verifier.stop()
        return await self.report()

    async def _report(self, run: Verification) -> Mapping[str, Any]:
        return {
            "state": run.state,
            "repair": run.repair,
            "bytes_per_s": run.bytes_per_s,
            "files": run.files,
            "files_total": run.files_total,
            "bytes": run.bytes,
            "bytes_total": run.bytes_total,
            "corrupt_count": run.corrupt_count,
            "unchecked_count": run.unchecked_count,
            "corrupt": await trio.to_thread.run_sync(
                self._describe, tuple(run.corrupt), limiter=self._thread
            ),
            "error": run.error,
        }

    def _describe(self, corrupt: Sequence[CorruptBlob]) -> list[Mapping[str, Any]]:
        return [
            {
                "digest": one.digest,
                "size_bytes": one.size_bytes,
                "reason": one.reason,
                "dropped": one.dropped,
                "paths": sorted({path for origin in one.origins for path in self._paths(origin)}),
                "origins": [f"{origin.tier}/{origin.key}" for origin in one.origins],
            }
            for one in corrupt
        ]

    def _paths(self, revision: Revision) -> list[str]:
        if self._shows is None:
            return []
        return [path for path, _ in paths_of(self._shows, revision)]

    async def _blobs_of(self, paths: Sequence[str]) -> list[Digest]:
        wanted = dict.fromkeys(paths, False)
        chosen: list[Digest] = []

        def choose(found: Sequence[tuple[Digest, tuple[Revision, ...]]]) -> None:
            for digest, origins in found:
                inside = [one for origin in origins for one in self._inside(origin, wanted)]
                wanted.update(dict.fromkeys(inside, True))
                if inside:
                    chosen.append(digest)

        async with aclosing(self._cache.scan()) as batches:
            async for batch in batches:
                pairs = [(blob.digest, blob.origins) for blob in batch]
                await trio.to_thread.run_sync(choose, pairs, limiter=self._thread)
        for path, found in wanted.items():
            if not found:
                raise PathNotFound(
                    f"{path}: nothing of it is in the cache",
                    fix="`shotfs cache verify` without a path checks everything that is",
                )
        return chosen

    def _inside(self, revision: Revision, wanted: Mapping[str, bool]) -> list[str]:
        """Return which of *wanted* the paths of *revision* are, or lie in."""
        # Names first: most blobs are elsewhere, and asking the specification takes longer.
        names = (f"{show.name}/{revision.key}" for show in self._shows or ())
        if not any(_lies_in(name, path) for name in names for path in wanted):
            return []
        return [path for path in wanted for name in self._paths(revision) if _lies_in(name, path)]


def _lies_in(name: str, path: str) -> bool:
    return not path or name == path or name.startswith(f"{path}/")


def check_alone(
    settings: Settings,
    *,
    repair: bool,
    bytes_per_s: int | None,
    tell: Callable[[Mapping[str, Any]], None],
) -> Mapping[str, Any]:
    """Check a cache that no service uses, and own its directory meanwhile. Blocks.

    What is corrupt is told by its origins: without a service nothing knows the specifications.

    Args:
        settings: where the cache is.
        repair: drop what is corrupt.
        bytes_per_s: how fast to read at most; None: as the configuration says.
        tell: called with a report now and then.

    Raises:
        CacheBusy: a service owns the directory.
        CacheError: it cannot be used.
        PathNotFound: there is none.
    """
    if not os.path.isdir(os.path.join(settings.cache.directory, "blobs")):
        raise PathNotFound(
            f"{settings.cache.directory}: there is no cache",
            fix="is this the configuration of the service? name another one with --config",
        )

    async def check() -> Mapping[str, Any]:
        quiet = settings.cache.model_copy(
            update={"scrub_days": 0, "bytes_max": INFLATED, "free_bytes_min": 0}
        )
        async with open_cache(quiet, settings.network, Metrics()) as cache:
            job = CacheCheck(cache, None, settings.cache.verify_bytes_per_s)
            report = await job.start(repair=repair, bytes_per_s=bytes_per_s, paths=())
            while report["state"] is VerifyState.RUNNING:
                with trio.move_on_after(TELL_S):
                    await cache.verifier.wait()
                report = await job.report() or report
                tell(report)
            return report

    return trio.run(check)
