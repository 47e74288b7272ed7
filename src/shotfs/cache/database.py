"""The one thread that talks to the index, and what happens when the index breaks.

One connection, one thread: trio's worker threads come and go, and each would keep a page cache of
its own. Calls run in the order in which they came, as many in one visit as are waiting: under load
a visit to the thread, which costs more than a look-up, is shared by many. Rows that nobody waits
for (`call_behind`) wait some milliseconds for others and are one transaction; every later call
finds them written. A damaged index is moved aside, and the caller is told to rebuild it from the
blobs.
"""

from __future__ import annotations

import logging
import sqlite3
import threading
import time
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import Any, Concatenate, ParamSpec, TypeVar

import trio

from shotfs.cache.index import FOREIGN_ERRORS, Index, IndexDamaged
from shotfs.errors import CacheError

log = logging.getLogger(__name__)

P = ParamSpec("P")
T = TypeVar("T")

GATHER_S = 0.005
"""How long rows wait for others: a crash meanwhile costs hashing as many blobs once more."""

BATCH_JOBS = 128
"""Jobs of one visit at most, and rows of one transaction: about 5 ms."""

DELIVER_S = 0.001
"""Results wait no longer than this for those of other jobs of the same visit."""


class IndexUnavailable(CacheError):
    """The index cannot be read or written now (its disk is full, or it was just replaced)."""


class _Job:
    """One call, and who waits for it."""

    __slots__ = ("_run", "behind", "done", "error", "result")

    def __init__(self, run: Callable[[], Any], *, behind: bool) -> None:
        self._run = run
        self.behind = behind
        self.done = trio.Event()
        self.result: Any = None
        self.error: Exception | None = None

    def run(self) -> None:
        """Call it, in the thread."""
        self.error = None
        try:
            self.result = self._run()
        except Exception as error:  # noqa: BLE001  # raised where it is waited for
            self.error = error

    def run_or_raise(self) -> None:
        """Call it as a part of a transaction, which its error undoes."""
        self.run()
        if self.error is not None:
            raise self.error


class Database:
    """Runs functions on the index, one after the other, in a thread of its own.

    Args:
        open_index: makes the `Index`; called in the thread, again after damage.
        move_aside: renames what is damaged and returns where it went; called in the thread.
        rebuild: called in the event loop after the index was replaced by an empty one.

    Attributes:
        rows_lost: calls behind that failed since whoever scans for blobs set it to 0.
    """

    def __init__(
        self,
        open_index: Callable[[], Index],
        move_aside: Callable[[], str],
        rebuild: Callable[[], None],
    ) -> None:
        self._open_index = open_index
        self._move_aside = move_aside
        self._rebuild = rebuild
        self._index: Index | None = None
        self.rows_lost = 0
        self._closed = False
        self._jobs: deque[_Job] = deque()
        self._urgent = 0
        self._changed = threading.Condition()
        self._ending = False
        self._thread: threading.Thread | None = None
        self._token: trio.lowlevel.TrioToken

    async def start(self) -> None:
        """Open the index; a damaged one is replaced."""
        self._token = trio.lowlevel.current_trio_token()
        # A loop that died must not keep the process: sqlite takes a kill at any instant.
        self._thread = threading.Thread(target=self._serve, name="shotfs-index", daemon=True)
        self._thread.start()
        if await self._in_thread(self._open_or_replace):
            self._rebuild()

    async def call(
        self,
        method: Callable[Concatenate[Index, P], T],
        /,
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> T:
        """Run *method* of the index in the thread and return its result. Not cancelled halfway.

        Raises:
            IndexUnavailable: it failed, or the cache is closing. Nothing was changed.
        """
        return await self._call(lambda index: method(index, *args, **kwargs), behind=False)

    async def call_behind(
        self,
        method: Callable[Concatenate[Index, P], T],
        /,
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> T:
        """As `call`, some milliseconds later, in one transaction with others of its kind.

        For rows of blobs that are in place: one that fails leaves a blob without a row.
        """
        try:
            return await self._call(lambda index: method(index, *args, **kwargs), behind=True)
        except IndexUnavailable:
            self.rows_lost += 1
            raise

    async def aclose(self) -> None:
        """Close the index and end the thread."""
        self._closed = True
        if self._thread is not None:
            await self._in_thread(self._close)
            with self._changed:
                self._ending = True
                self._changed.notify()
            self._thread.join()
            self._thread = None

    async def _call(self, method: Callable[[Index], T], *, behind: bool) -> T:
        if self._closed:
            raise IndexUnavailable("the index of the cache is closed")
        return await self._in_thread(partial(self._run, method), behind=behind)

    async def _in_thread(self, run: Callable[[], T], *, behind: bool = False) -> T:
        await trio.lowlevel.checkpoint_if_cancelled()
        job = _Job(run, behind=behind)
        with self._changed:
            self._jobs.append(job)
            self._urgent += not behind
            self._changed.notify()
        with trio.CancelScope(shield=True):
            await job.done.wait()
        if job.error is not None:
            raise job.error
        result: T = job.result
        return result

    # --- in the thread ---------------------------------------------------------------------------

    def _serve(self) -> None:
        try:
            while jobs := self._take():
                self._work(jobs)
        except trio.RunFinishedError:
            self._close()

    def _take(self) -> list[_Job]:
        """Wait for jobs and return those of the next visit; none: the end."""
        with self._changed:
            self._changed.wait_for(lambda: self._jobs or self._ending)
            self._changed.wait_for(
                lambda: self._urgent or len(self._jobs) >= BATCH_JOBS or self._ending, GATHER_S
            )
            jobs = [self._jobs.popleft() for _ in range(min(len(self._jobs), BATCH_JOBS))]
            self._urgent -= sum(not job.behind for job in jobs)
        return jobs

    def _work(self, jobs: list[_Job]) -> None:
        done: list[_Job] = []
        since = time.monotonic()
        rest = deque(jobs)
        while rest:
            done += self._next(rest)
            if not rest or time.monotonic() - since > DELIVER_S:
                self._token.run_sync_soon(_deliver, done)
                done, since = [], time.monotonic()

    def _next(self, rest: deque[_Job]) -> list[_Job]:
        """Run the next job, or all rows that come next in one transaction."""
        group = [rest.popleft()]
        while group[0].behind and rest and rest[0].behind:
            group.append(rest.popleft())
        if len(group) > 1 and self._run_together(group):
            return group
        for job in group:
            job.run()
        return group

    def _run_together(self, group: list[_Job]) -> bool:
        """Run *group* in one transaction; False: something failed, and nothing was changed."""
        if self._index is None:
            return False
        try:
            with self._index.together():
                for job in group:
                    job.run_or_raise()
        except Exception:  # noqa: BLE001  # this thread must not end: each is run by itself, and
            return False  # who failed is told
        return True

    def _open_or_replace(self) -> bool:
        try:
            self._index = self._open_index()
        except IndexDamaged as error:
            self._replace(error)
            return True
        return False

    def _run(self, method: Callable[[Index], T]) -> T:
        index = self._index
        if index is None:
            raise IndexUnavailable("the index of the cache is closed")
        try:
            return method(index)
        except sqlite3.OperationalError as error:
            # Disk full, I/O error, locked: the file itself is whole.
            raise IndexUnavailable(f"the index of the cache failed: {error}") from error
        except CacheError:
            raise
        except (*FOREIGN_ERRORS, IndexDamaged) as error:
            self._replace_while_serving(error)
            raise IndexUnavailable(f"the index of the cache was damaged: {error}") from error

    def _replace_while_serving(self, reason: Exception) -> None:
        try:
            self._replace(reason)
        except (*FOREIGN_ERRORS, CacheError, IndexDamaged) as error:
            # Everything streams without an index, and the next start tries again.
            self._index = None
            raise IndexUnavailable(
                f"the index of the cache is damaged and cannot be replaced: {error}",
                fix="check the disk of cache.directory, then restart the service",
            ) from error
        # Not by whoever made the call: rows that are written together may all succeed after this.
        self._token.run_sync_soon(self._rebuild)

    def _replace(self, reason: Exception) -> None:
        if self._index is not None:
            self._index.close()
        aside = self._move_aside()
        log.error(
            "the index of the cache is damaged; it is rebuilt from the blobs",
            extra={"reason": str(reason), "kept_as": aside},
        )
        self._index = self._open_index()

    def _close(self) -> None:
        if self._index is not None:
            self._index.close()
            self._index = None


def _deliver(jobs: list[_Job]) -> None:
    for job in jobs:
        job.done.set()
