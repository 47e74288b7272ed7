"""Progress: as long as bytes move, the deadline of the call that they move for is put off."""

from __future__ import annotations

import contextlib
import io
import math

import trio

CHUNK_BYTES = 256 * 1024
"""How much of a body a library gets at once. aiohttp asks for 64 KiB and lets other tasks run in
between, and each time the event loop is woken to hear of it: that is CPU time (`tools/bench/write
--only publish` shows it). 10 KB/s still show progress within the usual 30 s."""


TELL_S = 0.05
"""How often the event loop hears of progress, at most: each time costs a wake-up and a switch of
threads, and a small file would cost twice as much if it were told of each (2026-11-21)."""


class Progress:
    """The deadline of one call. Made in the event loop; `moved` may be called by any thread.

    Args:
        idle_s: how long nothing may move, in seconds.
    """

    def __init__(self, idle_s: float) -> None:
        self._idle_s = idle_s
        self._token = trio.lowlevel.current_trio_token()
        self._scope: trio.CancelScope | None = None
        self._end = 0.0
        self._clock = trio.lowlevel.current_clock()
        self._tell_s = min(TELL_S, idle_s / 20)
        self._tell_at = -math.inf

    def start(self, scope: trio.CancelScope, whole_s: float) -> None:
        """Watch the call that *scope* is around, which takes *whole_s* seconds at most."""
        self._scope = scope
        self._end = trio.current_time() + whole_s
        self._put_off()

    def moved(self) -> None:
        """Tell that bytes have moved. The deadline may count from a twentieth of it earlier."""
        now = self._clock.current_time()
        if now < self._tell_at:
            return
        self._tell_at = now + self._tell_s
        # The trio run may be over before a thread that was left behind is.
        with contextlib.suppress(trio.RunFinishedError):
            self._token.run_sync_soon(self._put_off, idempotent=True)

    def _put_off(self) -> None:
        if self._scope is not None:
            self._scope.deadline = min(self._end, trio.current_time() + self._idle_s)


class Body(io.BytesIO):
    """The body of a request, which a client library reads in parts as it sends it."""

    def __init__(self, data: bytes, progress: Progress) -> None:
        super().__init__(data)
        self._progress = progress

    def read(self, size: int | None = -1, /) -> bytes:
        """Return the next part, which may have more than *size* bytes."""
        self._progress.moved()
        wanted = size if size is None or size < 0 else max(size, CHUNK_BYTES)
        return super().read(wanted)
