"""Holdings: which blobs are here, who has them open, and when they were used last.

Owns the index and what memory knows of it. Event loop only; the index has a thread of its own.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Iterable
from itertools import islice

import trio

from shotfs.cache.blobs import BlobStore
from shotfs.cache.database import Database, IndexUnavailable
from shotfs.cache.index import (
    Entry,
    EntryOrder,
    Index,
    Row,
    Totals,
    check_cursor,
    identity_of,
    name_of,
)
from shotfs.cache.memory import HotRows, Leases, Touches
from shotfs.cache.rebuild import adopt_unknown_blobs
from shotfs.cache.room import Room
from shotfs.digest import Checksums, Digest
from shotfs.observe.metrics import Metrics
from shotfs.tiers.base import Revision
from shotfs.tiers.columns import RevisionColumns

log = logging.getLogger(__name__)

TOUCH_INTERVAL_S = 5.0

HOLD_ROWS = 1000
"""Revisions that are looked up in one visit to the index; others wait for so long."""


class Holdings:
    """What is here. Made by `Cache`, which also connects it with evictor and admission.

    Attributes:
        hot: rows that memory knows.
        leases: blobs that are open.
        rebuilds_unfinished: scans for blobs without a row that have not ended, or are left to
            the next start.
        totals: of the index, as they were last told.
    """

    def __init__(
        self,
        open_index: Callable[[], Index],
        move_aside: Callable[[], str],
        blobs: BlobStore,
        room: Room,
        disk: trio.CapacityLimiter,
        metrics: Metrics,
        nursery: trio.Nursery,
    ) -> None:
        self.database = Database(open_index, move_aside, self._replaced)
        self.hot = HotRows()
        self.leases = Leases()
        self.rebuilds_unfinished = 0
        self.totals = Totals()
        self._blobs = blobs
        self._room = room
        self._disk = disk
        self._metrics = metrics
        self._nursery = nursery
        self._touches = Touches()
        self._totals_serial = -1

    async def start(self, trim: Callable[[], Awaitable[None]], *, was_clean: bool) -> None:
        """Open the index and start what runs in the background.

        Args:
            trim: evicts what is over the limits; called while blobs are taken in.
            was_clean: the last owner ended in order.
        """
        self._trim = trim
        await self.database.start()
        totals = await self.database.call(Index.current)
        self.count(totals)
        # An index that knows of nothing may have been deleted; looking costs nothing if it was not.
        if not was_clean or totals.files == 0:
            self.start_rebuild()
        self._nursery.start_soon(self._flush_touches_forever)

    async def stop(self) -> None:
        """Write what memory holds and close the index."""
        await self.flush_touches()
        self.rebuilds_unfinished += self.database.rows_lost
        await self.database.aclose()

    # --- looking up ------------------------------------------------------------------------------

    async def find(
        self, identity: str, revision: Revision, condemned: Callable[[Digest], bool]
    ) -> Row | None:
        """Return the row of a revision from the index.

        Args:
            identity: `identity_of` the revision.
            revision: what is looked for.
            condemned: whether a blob is being removed.
        """
        try:
            row = await self.database.call(
                Index.find, identity, revision.checksums, revision.size_bytes
            )
        except IndexUnavailable as error:
            log.warning("cannot ask the index", extra={"reason": error.message})
            return None
        if row is not None and row.linked:
            self._nursery.start_soon(self._name_origin, row.digest, revision)
        # It may have been admitted, or condemned, while the thread was looking.
        hot = self.hot.find(identity)
        if hot is not None or row is None or condemned(row.digest):
            return hot
        self.hot.put(identity, row)
        return row

    async def hold(self, revisions: Iterable[Revision]) -> list[bool]:
        """Return which of *revisions* are here, whole and verified; see `Cache.known_many`."""
        answers: list[bool] = []
        waiting = iter(revisions)
        while page := list(islice(waiting, HOLD_ROWS)):
            try:
                answers += await self.database.call(_holds, page)
            except IndexUnavailable as error:
                log.warning("cannot ask the index", extra={"reason": error.message})
                answers += [self.hot.find(identity_of(one)) is not None for one in page]
        return answers

    async def hold_columns(self, revisions: RevisionColumns) -> list[bool]:
        """As `hold`, of columns."""
        answers: list[bool] = []
        for start in range(0, len(revisions), HOLD_ROWS):
            page = revisions.part(start, start + HOLD_ROWS)
            try:
                answers += await self.database.call(_holds_columns, page)
            except IndexUnavailable as error:
                log.warning("cannot ask the index", extra={"reason": error.message})
                names = [name_of(one).hex() for one in page.identities()]
                answers += [self.hot.find(name) is not None for name in names]
        return answers

    async def _name_origin(self, digest: Digest, revision: Revision) -> None:
        """Let the blob name a revision too, so that a rebuilt index knows of it."""
        await trio.to_thread.run_sync(self._blobs.add_origin, digest, revision, limiter=self._disk)

    async def digest_of(self, identity: str) -> Digest | None:
        """Return the digest that was seen for a revision, whether its blob is here or not."""
        row = self.hot.find(identity)
        if row is not None:
            return row.digest
        try:
            return await self.database.call(Index.digest_of, identity)
        except IndexUnavailable:
            return None

    async def entries(self, after: str, limit: int, order: EntryOrder) -> list[Entry]:
        """Return one page of all blobs; see `Index.entries`.

        Raises:
            ValueError: *after* is no cursor of this order.
            IndexUnavailable: the index cannot be read.
        """
        check_cursor(after, order)  # in the thread it would be taken for damage
        is_open = self.leases.snapshot()
        return await self.database.call(Index.entries, after, limit, order, is_open)

    # --- accounts --------------------------------------------------------------------------------

    def count(self, totals: Totals) -> None:
        """Take over totals; results of the thread may reach the loop out of order."""
        if totals.serial < self._totals_serial:
            return
        self._totals_serial = totals.serial
        self.totals = totals
        self._room.used_bytes = totals.bytes
        self._room.used_files = totals.files
        self._metrics.cache_bytes.set(totals.bytes)
        self._metrics.cache_files.set(totals.files)

    def touch(self, digest: Digest) -> None:
        """Note a use of a blob; it reaches the index within seconds."""
        self._touches.add(digest)

    async def flush_touches(self) -> None:
        """Bring the uses that memory knows to the index."""
        touched = self._touches.take()
        try:
            if touched:
                await self.database.call(Index.touch, touched)
        except IndexUnavailable as error:
            log.warning("uses of blobs were not recorded", extra={"reason": error.message})

    async def _flush_touches_forever(self) -> None:
        while True:
            await trio.sleep(TOUCH_INTERVAL_S)
            await self.flush_touches()
            if self.database.rows_lost:
                await self._find_lost()

    async def _find_lost(self) -> None:
        """Look for blobs whose rows could not be written, once rows can be written again."""
        try:
            await self.database.call(Index.touch, [])
        except IndexUnavailable:
            return
        self.database.rows_lost = 0
        self.start_rebuild()

    # --- repair ----------------------------------------------------------------------------------

    def _replaced(self) -> None:
        """The index was damaged; an empty one has taken its place."""
        self._totals_serial = -1
        self.count(Totals())
        self.start_rebuild()

    def start_rebuild(self) -> None:
        """Take in, in the background, the blobs that have no row."""
        self._totals_serial = -1
        self.rebuilds_unfinished += 1
        self._nursery.start_soon(self._rebuild)

    def left_behind(self) -> None:
        """Have the next start look for blobs without a row: some could not be unlinked."""
        self.rebuilds_unfinished += 1

    async def _rebuild(self) -> None:
        try:
            totals = await self.database.call(Index.current)
            # Totals of an index before this one may have come late; none comes any more.
            self._totals_serial = -1
            self.count(totals)
            await adopt_unknown_blobs(
                self._blobs, self.database, self._disk, self.count, self._trim
            )
        except (IndexUnavailable, OSError) as error:
            log.warning("rebuild of the index stopped", extra={"reason": str(error)})
        else:
            self.rebuilds_unfinished -= 1


def _holds(index: Index, revisions: list[Revision]) -> list[bool]:
    return index.holds(
        [name_of(one.identity) for one in revisions],
        lambda place: (revisions[place].checksums, revisions[place].size_bytes),
    )


def _holds_columns(index: Index, revisions: RevisionColumns) -> list[bool]:
    return index.holds(
        [name_of(one) for one in revisions.identities()],
        lambda place: (Checksums(*revisions.sums[place]), revisions.sizes_bytes[place]),
    )
