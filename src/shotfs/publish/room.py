"""Whether there is room for more bytes: the spool's own limit and the disk's free space.

Both are checked before a write, so that a writer hears ENOSPC early and clearly instead of
filling the disk that the journal needs too.
"""

from __future__ import annotations

import os

import trio

from shotfs.errors import SpoolFull
from shotfs.publish.table import Table

MEASURE_EVERY_BYTES_MAX = 64 * 1024 * 1024
"""Free space is asked for again at the latest after this many bytes; statvfs costs a thread hop."""


class Room:
    """The limits of one spool. Used by the event loop only."""

    def __init__(self, directory: str, bytes_max: int, free_bytes_min: int, table: Table) -> None:
        self._directory = directory
        self._bytes_max = bytes_max
        self._free_bytes_min = free_bytes_min
        self._table = table
        self._allowance_bytes = 0
        self._limiter = trio.CapacityLimiter(1)

    async def admit(self, path: str, growth_bytes: int, written_bytes: int) -> None:
        """Return if *growth_bytes* more may be held and *written_bytes* may go to the disk.

        Raises:
            SpoolFull: the spool or its disk is full.
        """
        self.check_limit(path, growth_bytes)
        if written_bytes > self._allowance_bytes:
            await self._measure(path, written_bytes)
        self._allowance_bytes -= written_bytes

    def check_limit(self, path: str, growth_bytes: int) -> None:
        """Return if the spool may hold *growth_bytes* more.

        Raises:
            SpoolFull: it may not.
        """
        if growth_bytes > 0 and self._table.used_bytes + growth_bytes > self._bytes_max:
            raise SpoolFull(
                f"{path}: the spool holds {self._table.used_bytes} bytes of outputs and may hold"
                f" {self._bytes_max}",
                fix="see `shotfs status` for what waits and why, or raise spool.bytes_max",
            )

    async def _measure(self, path: str, written_bytes: int) -> None:
        free = await trio.to_thread.run_sync(_free_bytes, self._directory, limiter=self._limiter)
        spare = free - self._free_bytes_min
        if written_bytes > spare:
            self._allowance_bytes = 0
            raise SpoolFull(
                f"{path}: the disk of the spool {self._directory} has {free} bytes free and keeps"
                f" {self._free_bytes_min}",
                fix="free space on that disk, or lower spool.free_bytes_min",
            )
        # A quarter of what is left: others write to this disk as well, and near the floor the
        # answer must be fresh.
        self._allowance_bytes = max(written_bytes, min(MEASURE_EVERY_BYTES_MAX, spare // 4))


def _free_bytes(directory: str) -> int:
    status = os.statvfs(directory)
    return status.f_bavail * status.f_frsize
