"""The one thread that talks to the index, and what happens when the index breaks.

diskcache keeps a connection a thread; trio's worker threads come and go, so calls through them
would leave one connection with its page cache in each (8 threads and 300,000 rows took 550 MB).
A damaged index is moved aside, and the caller is told to rebuild it from the blobs.
"""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from typing import Concatenate, ParamSpec, TypeVar

import trio

from shotfs.cache.index import FOREIGN_ERRORS, Index, IndexDamaged
from shotfs.errors import CacheError

log = logging.getLogger(__name__)

P = ParamSpec("P")
T = TypeVar("T")


class IndexUnavailable(CacheError):
    """The index cannot be read or written now (its disk is full, or it was just replaced)."""


class Database:
    """Runs functions on the index, one after the other, in a thread of its own.

    Args:
        open_index: makes the `Index`; called in the thread, again after damage.
        move_aside: renames what is damaged and returns where it went; called in the thread.
        rebuild: called in the event loop after the index was replaced by an empty one.
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
        self._executor = ThreadPoolExecutor(1, thread_name_prefix="shotfs-index")
        self._index: Index | None = None
        self._closed = False

    async def start(self) -> None:
        """Open the index; a damaged one is replaced."""
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
        if self._closed:
            raise IndexUnavailable("the index of the cache is closed")
        try:
            return await self._in_thread(partial(self._run, method, *args, **kwargs))
        except IndexUnavailable as error:
            if isinstance(error.__cause__, IndexDamaged):
                self._rebuild()
            raise

    async def aclose(self) -> None:
        """Close the index and end the thread."""
        self._closed = True
        await self._in_thread(self._close)
        self._executor.shutdown(wait=True)

    # --- in the thread ---------------------------------------------------------------------------

    def _open_or_replace(self) -> bool:
        try:
            self._index = self._open_index()
        except IndexDamaged as error:
            self._replace(error)
            return True
        return False

    def _run(
        self, method: Callable[Concatenate[Index, P], T], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        index = self._index
        if index is None:
            raise IndexUnavailable("the index of the cache is closed")
        try:
            return method(index, *args, **kwargs)
        except sqlite3.OperationalError as error:
            # Disk full, I/O error, locked: the file itself is whole.
            raise IndexUnavailable(f"the index of the cache failed: {error}") from error
        except (*FOREIGN_ERRORS, IndexDamaged) as error:
            self._replace_while_serving(error)
            raise IndexUnavailable(
                f"the index of the cache was damaged: {error}"
            ) from IndexDamaged(str(error))

    def _replace_while_serving(self, reason: Exception) -> None:
        try:
            self._replace(reason)
        except (OSError, IndexDamaged) as error:
            # Everything streams without an index, and the next start tries again.
            self._index = None
            raise IndexUnavailable(
                f"the index of the cache is damaged and cannot be replaced: {error}",
                fix="check the disk of cache.directory, then restart the service",
            ) from error

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

    async def _in_thread(self, job: Callable[[], T]) -> T:
        done = trio.Event()
        token = trio.lowlevel.current_trio_token()

        def announce(_: Future[T]) -> None:
            token.run_sync_soon(done.set)

        await trio.lowlevel.checkpoint_if_cancelled()
        future = self._executor.submit(job)
        future.add_done_callback(announce)
        with trio.CancelScope(shield=True):
            await done.wait()
        return future.result()
