"""Lending: data files that the kernel writes by itself while applications have them open.

With FUSE passthrough no write of such a file comes by here. What the other parts of the spool know
from each write, they learn from the data file itself: its size and time are read whenever somebody
asks, before and after each fsync, and a few times a second. So

- a file of which the journal says that it is closed has size and time of the close in an extended
  attribute; after a crash, any other ones say that it was written again. While all is well the
  journal says so itself, within a quarter of a second;
- who maps a file and closes it can write it for as long as it is mapped, and so can whoever had it
  open when a service was killed. Nothing is sealed before the kernel says that nobody can write;
- the limits of the spool are checked when a file is made, not for each write, so a file is lent
  only while there is a good deal of room;
- an application that ignores ENOSPC must not have its stump published: when the disk is all but
  full, every file that is lent counts as damaged, and its close says so.

Event loop only. Asking for the size of a file or the room of a disk does not hop to a thread: it
takes a microsecond, as the open of a blob does.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Awaitable, Callable

import trio

from shotfs.errors import ShotfsError, SpoolFull
from shotfs.publish.data_files import Stamp, stamp_of
from shotfs.publish.entry import SpoolEntry
from shotfs.publish.states import State
from shotfs.publish.table import Table
from shotfs.tiers.base import Span

log = logging.getLogger(__name__)

WATCH_S = 0.25

SPARE_BYTES_MIN = 2 * 1024 * 1024 * 1024
"""Room beyond every limit that must be there for a file to be lent: more than disks here take in
between two looks (a page cache takes 2 to 4 GB/s)."""

FREE_KEPT_S = 0.1
"""So old may the answer be how much is free on the disk, where it was plenty."""

FLOOR_BYTES = 256 * 1024 * 1024
"""With less free, a write that we did not see may have failed."""


class Lending:
    """The lent files of one spool.

    Args:
        directory: of the spool.
        bytes_max: what the spool may hold.
        free_bytes_min: what its disk keeps.
        table: accounts of the spool.
        obstacle: why nothing may be lent here (`data_files.lending_obstacle`); "" if it may.
    """

    def __init__(
        self, directory: str, bytes_max: int, free_bytes_min: int, table: Table, *, obstacle: str
    ) -> None:
        self.obstacle = obstacle
        self._directory = directory
        self._bytes_max = bytes_max
        self._floor_bytes = max(free_bytes_min, FLOOR_BYTES)
        self._table = table
        self._lent: set[SpoolEntry] = set()
        self._stale: set[SpoolEntry] = set()
        self._begun = trio.Event()
        self._free_seen = (float("-inf"), 0)

    def __len__(self) -> int:
        """How many files are lent."""
        return len(self._lent)

    def allows(self, entry: SpoolEntry) -> bool:
        """Whether the data file of *entry*, made just now, may be lent."""
        if self.obstacle or entry.state is not State.OPEN or entry.pristine or entry.journalled:
            return False
        if entry.terms is not None and entry.terms.durability_origin:
            return False  # a write after the close that published it must be refused
        spare = min(
            self._bytes_max - self._table.used_bytes, self._free_lately() - self._floor_bytes
        )
        return spare >= SPARE_BYTES_MIN

    def begin(self, entry: SpoolEntry) -> None:
        """One more handle of *entry* through which writes go unseen."""
        entry.lent += 1
        if entry.lent == 1:
            self._lent.add(entry)
            self.restamp(entry)
            self._begun.set()

    def end(self, entry: SpoolEntry) -> None:
        """One such handle less; what was written through it is measured."""
        self.measure(entry)
        entry.lent -= 1
        if entry.lent == 0:
            self._lent.discard(entry)

    def measure(self, entry: SpoolEntry) -> None:
        """Take size and time from the disk, of a file that is or was lent."""
        if entry.lent_stamp is None:
            return
        stamp = self._stamp(entry)
        if stamp is None or stamp == entry.lent_stamp:
            return
        entry.lent_stamp = stamp
        size_bytes, mtime_ns = stamp
        self._table.charge(size_bytes - entry.size_bytes)
        entry.size_bytes = size_bytes
        entry.mtime_ns = entry.ctime_ns = mtime_ns
        entry.dirty = entry.written = True
        if entry.clean:
            entry.clean = False
            self._stale.add(entry)

    def take_stale(self, entry: SpoolEntry) -> bool:
        """Whether the journal does not know yet that *entry*, once closed, was written again.

        Who asks journals it.
        """
        stale = entry in self._stale
        self._stale.discard(entry)
        return stale

    def restamp(self, entry: SpoolEntry) -> None:
        """Take the data file as it is for what we know: we changed it ourselves."""
        size_bytes, _ = entry.lent_stamp = self._stamp(entry) or (entry.size_bytes, 0)
        self._table.charge(size_bytes - entry.size_bytes)
        entry.size_bytes = size_bytes

    def doubt(self, entry: SpoolEntry) -> SpoolFull | None:
        """Return why writes to *entry* may have failed without our knowing; None: they did not."""
        if not entry.lent or self._free_lately() >= FLOOR_BYTES:
            return None
        return SpoolFull(
            f"{entry.path}: the disk of the spool is full, and may have been before the last write",
            fix="free space on it, or raise spool.free_bytes_min so that this is said earlier",
        )

    async def run(
        self,
        writing_again: Callable[[SpoolEntry], Awaitable[None]],
        damage: Callable[[SpoolEntry, Span, ShotfsError], None],
    ) -> None:
        """Watch lent files for as long as there are any; for ever.

        Args:
            writing_again: journals that a closed file is being written.
            damage: notes that a file may not be whole.
        """
        while True:
            if not self._lent:
                self._begun = trio.Event()
                await self._begun.wait()
            await trio.sleep(WATCH_S)
            for entry in tuple(self._lent):
                self.measure(entry)
                problem = self.doubt(entry)
                if problem is not None and entry.damaged is None:
                    damage(entry, Span(0, max(entry.size_bytes, 1)), problem)
            for entry in tuple(self._stale):
                try:
                    await writing_again(entry)
                except ShotfsError as error:
                    log.warning("%s: %s", entry.path, error.message)
                self._stale.discard(entry)

    def _stamp(self, entry: SpoolEntry) -> Stamp | None:
        try:
            return stamp_of(os.path.join(self._directory, entry.place, str(entry.serial)))
        except OSError as error:
            # It is on its way to quarantine, or its disk is broken: others tell of that.
            log.debug("%s: cannot be measured: %s", entry.path, error)
            return None

    def _free_lately(self) -> int:
        """Return how much is free, or was a moment ago when no disk could have taken it since."""
        seen_s, free = self._free_seen
        now_s = time.monotonic()
        if free < FLOOR_BYTES + SPARE_BYTES_MIN or now_s - seen_s > FREE_KEPT_S:
            free = self._free_bytes()
            self._free_seen = (now_s, free)
        return free

    def _free_bytes(self) -> int:
        try:
            status = os.statvfs(self._directory)
        except OSError:
            return 0
        return status.f_bavail * status.f_frsize
