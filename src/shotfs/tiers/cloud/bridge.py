"""The bridge from trio to fsspec's own asyncio thread.

A coroutine of gcsfs, s3fs or aiohttp runs on fsspec's loop while the trio task waits for it. No
worker thread is blocked, and cancelling the trio task (a deadline, a closed file) cancels the
asyncio task, which closes its connection: nothing stays behind and no limiter token is lost.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

import trio

from shotfs.errors import ShotfsError
from shotfs.tiers.cloud.errors import no_place, timed_out, translate
from shotfs.tiers.cloud.origin import Origin
from shotfs.tiers.cloud.progress import Progress

T = TypeVar("T")


async def in_loop(make: Callable[[], Coroutine[Any, Any, T]]) -> T:
    """Run the coroutine that *make* returns on fsspec's loop; return its result.

    Raises:
        What the coroutine raises, untranslated.
    """
    from fsspec.asyn import get_loop

    token = trio.lowlevel.current_trio_token()
    done = trio.Event()

    def finished(_: object) -> None:
        # The trio run may be over before an abandoned coroutine is.
        with contextlib.suppress(trio.RunFinishedError):
            token.run_sync_soon(done.set)

    future = asyncio.run_coroutine_threadsafe(make(), get_loop())
    future.add_done_callback(finished)
    try:
        await done.wait()
    except trio.Cancelled:
        future.cancel()
        raise
    return future.result()


async def request(
    origin: Origin,
    what: str,
    make: Callable[[], Coroutine[Any, Any, T]],
    *,
    limiter: trio.CapacityLimiter,
    deadline_s: float,
    progress: Progress | None = None,
) -> T:
    """Run one request on fsspec's loop, within *limiter* and a deadline, errors translated.

    Args:
        origin: whose request it is.
        what: the URL or key that it is about, for messages.
        make: returns the coroutine.
        limiter: one of the origin's.
        deadline_s: from the moment that the limiter lets it start, in seconds; as long as that
            it waits for the limiter.
        progress: ends it earlier when nothing moves.

    Raises:
        TierTimeout: the deadline passed.
        ShotfsError: as `translate` decides.
    """
    entered = False
    with trio.move_on_after(deadline_s) as scope:
        async with limiter:
            entered = True
            scope.deadline = trio.current_time() + deadline_s
            if progress is not None:
                progress.start(scope, deadline_s)
            try:
                return await in_loop(make)
            except ShotfsError:
                raise
            except Exception as exc:
                raise translate(exc, origin, what) from exc
    if not entered:
        raise no_place(origin, what, deadline_s)
    raise timed_out(origin, what, deadline_s if progress is None else None)
