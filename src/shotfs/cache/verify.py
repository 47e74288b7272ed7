"""Verify: hashing blobs again, at a bounded rate, and dropping those that are wrong.

`Verifier` does the work for `shotfs cache verify` (a `Verification`, of which one runs at a time)
and for the background scrub. Event loop only; the hashing is in a thread of its own.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from enum import StrEnum

import trio

from shotfs.cache.blob_check import Checked, Outcome, Slice, Walk
from shotfs.cache.blobs import BlobStore
from shotfs.digest import Digest
from shotfs.errors import CacheBusy
from shotfs.observe.metrics import Metrics
from shotfs.tiers.base import Revision

log = logging.getLogger(__name__)

SLICE_S = 0.1
"""How long one visit to the thread lasts at the bounded rate: so fast it stops, and so smooth it
is."""

CREDIT_S = 1.0
"""What was not used for this long may be caught up."""

SLICE_BYTES_MIN = 256 * 1024
SLICE_BYTES_MAX = 32 * 1024 * 1024

CORRUPT_LISTED_MAX = 1_000
"""Corrupt blobs that a `Verification` lists; all are counted, dropped and logged."""


class Rate:
    """Lets so many bytes a second through, on average."""

    def __init__(self, bytes_per_s: int) -> None:
        self.bytes_per_s = bytes_per_s
        self._free_at = trio.current_time()

    @property
    def slice_bytes(self) -> int:
        """Bytes of one piece of work."""
        return max(SLICE_BYTES_MIN, min(SLICE_BYTES_MAX, int(self.bytes_per_s * SLICE_S)))

    async def spent(self, length_bytes: int) -> None:
        """Wait until *length_bytes* that were read are paid for."""
        start = max(self._free_at, trio.current_time() - CREDIT_S)
        self._free_at = start + length_bytes / self.bytes_per_s
        await trio.sleep_until(self._free_at)


class State(StrEnum):
    """Where a `Verification` is."""

    RUNNING = "running"
    DONE = "done"
    STOPPED = "stopped"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class CorruptBlob:
    """A blob that is not what its name says.

    Attributes:
        digest: its name.
        size_bytes: of the file.
        reason: what is wrong with it.
        origins: revisions whose content it was, the newest last.
        dropped: it is gone, and is fetched again when it is opened next.
    """

    digest: Digest
    size_bytes: int
    reason: str
    origins: tuple[Revision, ...]
    dropped: bool


@dataclass(slots=True)
class Verification:
    """One run of `shotfs cache verify`; its numbers grow while it runs.

    Attributes:
        repair: corrupt blobs are dropped.
        bytes_per_s: how fast it may read.
        state: RUNNING until it has ended.
        files: blobs that were checked.
        bytes: their content.
        files_total: blobs that there were at the start.
        bytes_total: their content.
        corrupt_count: how many are corrupt.
        unchecked_count: how many could not be looked at.
        corrupt: the first `CORRUPT_LISTED_MAX` corrupt ones.
        error: why it FAILED; "" otherwise.
    """

    repair: bool
    bytes_per_s: int
    state: State = State.RUNNING
    files: int = 0
    bytes: int = 0
    files_total: int = 0
    bytes_total: int = 0
    corrupt_count: int = 0
    unchecked_count: int = 0
    corrupt: list[CorruptBlob] = field(default_factory=list)
    error: str = ""


class Verifier:
    """Hashes blobs and drops the corrupt ones.

    Args:
        blobs: where they are.
        drop: makes a corrupt blob disappear, whoever has it open; given its digest and origins;
            OSError: it is still on the disk.
        totals: bytes and files of the cache now.
        metrics: where to count.
        nursery: where a `Verification` runs.
    """

    def __init__(
        self,
        blobs: BlobStore,
        drop: Callable[[Digest, tuple[Revision, ...]], Awaitable[None]],
        totals: Callable[[], tuple[int, int]],
        metrics: Metrics,
        nursery: trio.Nursery,
    ) -> None:
        self._blobs = blobs
        self._drop = drop
        self._totals = totals
        self._metrics = metrics
        self._nursery = nursery
        self._thread = trio.CapacityLimiter(1)
        self._scope = trio.CancelScope()
        self._ended = trio.Event()
        self.current: Verification | None = None

    # --- a run that somebody asked for -----------------------------------------------------------

    def start(
        self, *, repair: bool, bytes_per_s: int, only: Iterable[Digest] | None = None
    ) -> Verification:
        """Start a run in the background and return it.

        Args:
            repair: drop what is corrupt.
            bytes_per_s: how fast to read at most.
            only: these blobs; None: all.

        Raises:
            CacheBusy: one is running.
        """
        if self.current is not None and self.current.state is State.RUNNING:
            raise CacheBusy(
                "the cache is being verified already",
                fix="look at it with `shotfs cache verify --status`, end it with --stop",
            )
        run = self.current = Verification(repair, bytes_per_s)
        chosen = None if only is None else sorted(set(only))
        run.bytes_total, run.files_total = self._totals()
        if chosen is not None:
            run.bytes_total, run.files_total = 0, len(chosen)
        self._scope, self._ended = trio.CancelScope(), trio.Event()
        self._nursery.start_soon(self._run, run, chosen)
        return run

    async def stop(self) -> None:
        """End the run that is under way, if there is one."""
        if self.current is not None and self.current.state is State.RUNNING:
            self._scope.cancel()
            await self._ended.wait()

    async def wait(self) -> None:
        """Return when no run is under way."""
        if self.current is not None:
            await self._ended.wait()

    async def _run(self, run: Verification, chosen: list[Digest] | None) -> None:
        walk = Walk(self._blobs, self._blobs.digests() if chosen is None else chosen)
        rate = Rate(run.bytes_per_s)
        try:
            with self._scope:
                while (part := await self.advance(walk, rate)) is not None:
                    for one in part.checked:
                        await self._count(run, one)
            run.state = State.STOPPED if self._scope.cancelled_caught else State.DONE
        except OSError as error:
            run.state, run.error = State.FAILED, f"the disk of cache.directory: {error}"
            log.exception("verifying the cache failed")
        finally:
            if run.state is State.RUNNING:
                run.state = State.STOPPED
            walk.close()
            self._ended.set()

    async def _count(self, run: Verification, one: Checked) -> None:
        if one.outcome is Outcome.GONE:
            return
        run.files += 1
        run.bytes += one.size_bytes
        if one.outcome is Outcome.UNCHECKED:
            run.unchecked_count += 1
        if one.outcome is Outcome.CORRUPT:
            run.corrupt_count += 1
            found = await self.found_corrupt(one, "verify", drop=run.repair)
            if len(run.corrupt) < CORRUPT_LISTED_MAX:
                run.corrupt.append(found)

    # --- shared with the scrub -------------------------------------------------------------------

    def walk(self, after: str = "") -> Walk:
        """Return a walk over all blobs above *after*."""
        return Walk(self._blobs, self._blobs.digests(after))

    async def advance(self, walk: Walk, rate: Rate) -> Slice | None:
        """Check one slice and wait until it is paid for; None: the end.

        Raises:
            OSError: the directories of the blobs cannot be read.
        """
        with trio.CancelScope(shield=True):  # a thread must not go on with a walk that was closed
            part = await trio.to_thread.run_sync(
                walk.advance, rate.slice_bytes, limiter=self._thread
            )
        if part is not None:
            self._metrics.cache_checked_bytes.inc(part.cost_bytes)
            await rate.spent(part.cost_bytes)
        return part

    async def found_corrupt(self, one: Checked, finder: str, *, drop: bool) -> CorruptBlob:
        """Report a corrupt blob, and drop it if asked to. Without its row it is not served."""
        origins = await trio.to_thread.run_sync(
            self._blobs.origins, one.digest, limiter=self._thread
        )
        self._metrics.cache_corrupt_blobs[finder].inc()
        failure = ""
        if drop:
            try:
                with trio.CancelScope(shield=True):
                    await self._drop(one.digest, origins)
            except OSError as error:
                failure = str(error)
        dropped = drop and not failure
        log.error(
            "a blob is corrupt",
            extra={
                "digest": one.digest, "reason": one.reason, "found_by": finder,
                "dropped": dropped, "drop_failure": failure,
                "origins": [f"{origin.tier}/{origin.key}" for origin in origins],
            },
        )  # fmt: skip
        return CorruptBlob(one.digest, one.size_bytes, one.reason, origins, dropped)
