"""Worker threads of one origin: limited, timed, and safe to leave behind.

A cancelled or timed-out call returns at once; its thread stays until the operating system or the
library ends it, holds its limiter token until then, and may own nothing that the caller reuses.
"""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Callable
from typing import TypeVar

import trio

from shotfs.errors import TierTimeout
from shotfs.tiers.cloud.errors import no_place, timed_out
from shotfs.tiers.cloud.origin import Origin
from shotfs.tiers.cloud.progress import Progress

T = TypeVar("T")


class Abandoned(Exception):
    """Nobody waits for this thread any more: it ends without having changed anything."""


class Call:
    """What a worker thread and the call that it works for know of each other.

    Args:
        idle_s: how long no bytes may move, in seconds.
    """

    def __init__(self, idle_s: float) -> None:
        self.progress = Progress(idle_s)
        self._lock = threading.Lock()
        self._begun = False
        self._abandoned = False
        self._writing = False
        self._let_go = trio.Event()
        self._token = trio.lowlevel.current_trio_token()

    def moved(self) -> None:
        """Tell that a block has moved; raise Abandoned if nobody waits for the next one."""
        if self._abandoned:
            raise Abandoned
        self.progress.moved()

    def begin(self) -> None:
        """Make what was prepared visible from now on; raise Abandoned if nobody waits."""
        with self._lock:
            self.moved()
            self._begun = True

    def write_at(self, descriptor: int, data: memoryview, offset: int) -> None:
        """Write all of *data* at *offset*, unless nobody waits any more.

        Once the call that this thread works for has ended, nothing is written: its bytes could
        otherwise reach a range that somebody else has fetched, and verified, since.

        Raises:
            Abandoned: nothing was written.
            LocalWriteFailed: with the OSError.
        """
        with self._lock:
            self.moved()
            self._writing = True
        try:
            write_at(descriptor, data, offset)
        finally:
            with self._lock:
                self._writing = False
                waited_for = self._abandoned
            if waited_for:
                # The trio run may be over before a thread that was left behind is.
                with contextlib.suppress(trio.RunFinishedError):
                    self._token.run_sync_soon(self._let_go.set)

    async def let_go(self, wait_s: float) -> None:
        """Return when nothing is being written; to be called after `abandon`.

        Not cancelled: one write is at most some hundred KiB to the page cache.

        Args:
            wait_s: how long to wait, in seconds. A write that hangs for longer holds the file's
                lock in the kernel: who writes or reads the same file later waits for it there.
        """
        with self._lock:
            writing = self._writing
        if writing:
            with trio.move_on_after(wait_s, shield=True):
                await self._let_go.wait()

    def abandon(self) -> bool:
        """Stop the thread; True: too late, what it prepared is becoming visible."""
        with self._lock:
            self._abandoned = not self._begun
            return self._begun


class _ClockedLimiter:
    """A limiter that starts the deadline again when it lets the caller in: waiting for others
    does not count as standing still, but it is bounded as well. Threads that were left behind
    keep their places, and on a store that hangs no place ever comes back.
    """

    def __init__(self, limiter: trio.CapacityLimiter, entered: Callable[[], None]) -> None:
        self._limiter = limiter
        self._entered = entered

    async def acquire_on_behalf_of(self, borrower: object) -> None:
        await self._limiter.acquire_on_behalf_of(borrower)
        self._entered()

    def release_on_behalf_of(self, borrower: object) -> None:
        self._limiter.release_on_behalf_of(borrower)


async def in_thread(
    origin: Origin,
    what: str,
    work: Callable[[], T],
    *,
    bulk_bytes: int | None = None,
    call: Call | None = None,
    abandon: Callable[[], None] = lambda: None,
) -> T:
    """Run *work* in a thread of *origin* and return its result.

    Args:
        origin: whose limiter and deadline hold.
        what: the URL that it is about, for messages.
        work: gets plain data or a descriptor of its own.
        bulk_bytes: how many bytes move; None for metadata. Decides limiter and deadline.
        call: through which *work* tells of its progress; without it only the whole is timed.
        abandon: called when the thread is left behind, or was never started.

    Raises:
        TierTimeout: the deadline passed after the limiter had let it start, or before.
    """
    limiter, deadline_s = origin.metadata, origin.network.metadata_timeout_s
    wait_s = deadline_s
    if bulk_bytes is not None:
        limiter, deadline_s = origin.bulk, origin.bulk_deadline_s(bulk_bytes)
        wait_s = origin.bulk_wait_s(bulk_bytes)
    waiting = True

    def enter() -> None:
        nonlocal waiting
        waiting = False
        scope.deadline = trio.current_time() + deadline_s
        if call is not None:
            call.progress.start(scope, deadline_s)

    with trio.move_on_after(wait_s) as scope:
        try:
            return await trio.to_thread.run_sync(
                work,
                abandon_on_cancel=True,
                limiter=_ClockedLimiter(limiter, enter),  # type: ignore[arg-type]  # trio documents these two methods as enough
            )
        except trio.Cancelled:
            abandon()
            raise
    if waiting:
        raise no_place(origin, what, wait_s)
    raise timed_out(origin, what, deadline_s if call is None else None)


async def with_descriptor(
    origin: Origin,
    what: str,
    descriptor: int,
    work: Callable[[int, Call], None],
    *,
    bulk_bytes: int,
) -> None:
    """Run *work* in a thread with a duplicate of *descriptor*, which the thread closes.

    A thread that was left behind can therefore never write into a file that got the same number
    later. It ends at its next `Call.moved`; what it writes with `Call.write_at` is written when
    this returns, or never.
    """
    # list.pop is atomic: the thread takes the duplicate, or (it never started) we close it.
    own = [os.dup(descriptor)]
    call = Call(origin.read_idle_s)

    def run() -> None:
        try:
            taken = own.pop()
        except IndexError:
            return
        try:
            work(taken, call)
        finally:
            os.close(taken)

    def abandon() -> None:
        call.abandon()
        with contextlib.suppress(IndexError):
            os.close(own.pop())

    try:
        await in_thread(origin, what, run, bulk_bytes=bulk_bytes, call=call, abandon=abandon)
    except (trio.Cancelled, TierTimeout):
        await call.let_go(origin.read_idle_s)
        raise


async def put_in_thread(
    origin: Origin,
    what: str,
    work: Callable[[Call], T],
    *,
    bulk_bytes: int,
    idle_s: float,
) -> T:
    """Run *work* as `in_thread` does; cancelled, it has stored nothing or all when this returns.

    Args:
        origin: whose limiter and deadline hold.
        what: the URL that it is about, for messages.
        work: calls `Call.begin` before its first visible change.
        bulk_bytes: how many bytes move.
        idle_s: how long nothing may move, and how long a thread that has begun is waited for;
            one that is stuck for longer in the operating system may store it later.
    """
    call, ended = Call(idle_s), trio.Event()
    token = trio.lowlevel.current_trio_token()

    def run() -> T:
        try:
            return work(call)
        finally:
            # The trio run may be over before a thread that was left behind is.
            with contextlib.suppress(trio.RunFinishedError):
                token.run_sync_soon(ended.set)

    try:
        return await in_thread(origin, what, run, bulk_bytes=bulk_bytes, call=call)
    except (trio.Cancelled, TierTimeout):
        if call.abandon():
            with trio.move_on_after(idle_s, shield=True):
                await ended.wait()
        raise


class LocalWriteFailed(Exception):
    """Wraps the OSError of a local write, to tell it from what libraries raise as OSError."""

    def __init__(self, error: OSError) -> None:
        super().__init__(str(error))
        self.error = error


def write_at(descriptor: int, data: memoryview, offset: int) -> None:
    """Write all of *data* at *offset*.

    Raises:
        LocalWriteFailed: with the OSError.
    """
    try:
        while data:
            count = os.pwrite(descriptor, data, offset)
            data = data[count:]
            offset += count
    except OSError as exc:
        raise LocalWriteFailed(exc) from exc
