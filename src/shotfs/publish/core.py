"""What the parts of the spool share: table, journal, room, data files, and the rules of content.

Content changes only under `SpoolEntry.lock`. Blocking work runs in threads behind `disk`; threads
get descriptors and paths, never entries.
"""

from __future__ import annotations

import errno
import logging
import os
import time
from dataclasses import dataclass, field, replace

import trio

from shotfs.errors import OutputBusy, ShotfsError, SpoolBroken, SpoolFull, Stale
from shotfs.publish import rows
from shotfs.publish.begun import GivenUp, give_up
from shotfs.publish.claims import Claims
from shotfs.publish.data_files import (
    Stamp,
    Unsynced,
    hash_data,
    keep_data,
    keeps_writers,
    remove_if_there,
    seal_data,
    sync_closed,
    sync_data,
)
from shotfs.publish.entry import Content, SpoolEntry
from shotfs.publish.happenings import Happening, Tell, nobody
from shotfs.publish.journal import Journal
from shotfs.publish.lane import SMALL_BYTES, Lane
from shotfs.publish.lending import Lending
from shotfs.publish.rival import Rival
from shotfs.publish.room import Room
from shotfs.publish.states import Event, State
from shotfs.publish.table import Table
from shotfs.tiers.base import Span

log = logging.getLogger(__name__)

DISK_THREADS = 16
"""Enough that fsyncs of 16 writers overlap; the file system then commits them together."""

HASH_THREADS = 2

WRITTEN_ON = "partial: it was closed, and written on after the mount was gone"

SERIALS_RESERVED = 10_000
"""Serials are reserved in blocks, so that creating a file needs no journal write."""


@dataclass(slots=True, eq=False)
class Core:
    """The shared parts of one open spool.

    Attributes:
        directory: of the spool.
        identity: random text, made with the spool.
        next_serial: the next one to give; below `serial_mark`, which is journalled.
        tell: told what becomes of outputs.
        given_up: begun uploads that their stores are still to forget.
    """

    directory: str
    identity: str
    table: Table
    journal: Journal
    room: Room
    lending: Lending
    next_serial: int
    serial_mark: int
    tell: Tell = nobody
    disk: trio.CapacityLimiter = field(default_factory=lambda: trio.CapacityLimiter(DISK_THREADS))
    hashing: trio.CapacityLimiter = field(
        default_factory=lambda: trio.CapacityLimiter(HASH_THREADS)
    )
    lane: Lane = field(default_factory=Lane)
    claims: Claims = field(default_factory=Claims)
    given_up: GivenUp = field(default_factory=GivenUp)
    _serial_turn: trio.Lock = field(default_factory=trio.Lock)

    def data_path(self, entry: SpoolEntry) -> str:
        """Return where the bytes of *entry* are."""
        return os.path.join(self.directory, entry.place, str(entry.serial))

    async def new_serial(self) -> int:
        """Return a number that this spool never gave before."""
        async with self._serial_turn:
            if self.next_serial >= self.serial_mark:
                mark = self.serial_mark + SERIALS_RESERVED
                await self.journal.commit(rows.serials_reserved(mark))
                self.serial_mark = mark
            self.next_serial += 1
            return self.next_serial - 1

    # --- content; the caller holds entry.lock ----------------------------------------------------

    async def begin_writing(self, entry: SpoolEntry) -> None:
        """Make sure that no record calls the content finished while it is being changed.

        A running upload is cancelled first. Free when the journal knows already.

        Raises:
            SpoolFull, SpoolBroken: the journal cannot be written; nothing may be changed.
        """
        if entry.upload is not None:
            entry.upload.scope.cancel()
            await entry.upload.done.wait()
        await self.end_pristine(entry)
        if entry.state is not State.OPEN:
            self._reopen(entry)
        entry.inherited = False
        if entry.clean:
            with trio.CancelScope(shield=True):  # else memory and journal could disagree
                await self.journal.commit(rows.writing_again(entry))
            entry.clean = False

    async def end_pristine(self, entry: SpoolEntry) -> None:
        """Somebody changes a copy: from here it is an output as others are.

        Raises:
            SpoolFull, SpoolBroken: the disk; nothing may be changed.
        """
        if not entry.pristine:
            return
        try:
            await self.lane.run(keep_data, self.data_path(entry))
        except OSError as error:
            raise translated(entry.path, error) from error
        entry.pristine = False

    def _reopen(self, entry: SpoolEntry) -> None:
        self.table.apply(entry, Event.REOPEN)
        give_up(self, entry)
        if entry.revision is not None and entry.terms is not None:
            entry.terms = replace(entry.terms, base=entry.revision)
            entry.tried = ()
        elif entry.content is not None:
            entry.note_attempt(entry.content)
        entry.content = None
        entry.revision = None
        entry.announced = False
        entry.error = None if entry.damaged is None else entry.error
        entry.retry_at = None

    async def persist(
        self,
        entry: SpoolEntry,
        descriptor: int | None = None,
        *,
        closing: bool,
        measured: bool = False,
    ) -> None:
        """Fsync what was written and journal it. Free when there is nothing to do.

        Args:
            entry: whose bytes.
            descriptor: one through which the data was written, so that errors of the disk's
                write-back are seen; None opens the file.
            closing: the application says that it is done (FLUSH); False for fsync and rename,
                after which a crash still leaves a partial file.
            measured: a lent file was measured just now.

        Raises:
            SpoolFull, SpoolBroken: the bytes or their record may not be on disk.
        """
        if not measured:
            self.lending.measure(entry)
        self.raise_damage(entry)
        if entry.pristine:
            return  # nobody's output yet
        if entry.clean or (entry.journalled and not entry.dirty and not closing):
            return
        if self.lending.take_stale(entry):
            # Else a power cut during the fsync could leave a row that calls it closed, and a stamp
            # that says so too, of bytes that are not on the disk.
            await self.journal.commit(rows.writing_again(entry))
        stamp = entry.lent_stamp if closing else None
        unsynced = None
        if entry.dirty or stamp is not None:
            if entry.size_bytes <= SMALL_BYTES:
                unsynced = Unsynced(self.data_path(entry), descriptor, stamp)
                entry.dirty = False
            else:
                await self._sync(entry, descriptor, stamp)
                if stamp is not None:
                    # The kernel may have gone on writing for another descriptor meanwhile.
                    self.lending.measure(entry)
        was_new, was_closed = not entry.journalled, entry.closed_once
        entry.journalled = True
        entry.closed_once |= closing
        entry.clean = closing and stamp in (None, entry.lent_stamp)
        try:
            with trio.CancelScope(shield=True):  # the thread has our descriptor
                await self.journal.commit(
                    rows.flushed(entry, writing=not entry.clean, new=was_new),
                    sync_directory=was_new,
                    data=unsynced,
                )
        except (ShotfsError, OSError) as error:
            entry.journalled, entry.closed_once = not was_new, was_closed
            entry.clean = False
            if isinstance(error, OSError):
                raise self._unsynced(entry, error) from error
            raise
        if unsynced is not None and unsynced.found != stamp:
            self.lending.measure(entry)
            entry.clean = False

    async def _sync(
        self, entry: SpoolEntry, descriptor: int | None, stamp: Stamp | None = None
    ) -> None:
        entry.dirty = False
        try:
            if stamp is not None:
                await trio.to_thread.run_sync(
                    sync_closed, self.data_path(entry), descriptor, stamp, limiter=self.disk
                )
            elif descriptor is None:
                await trio.to_thread.run_sync(sync_data, self.data_path(entry), limiter=self.disk)
            else:
                await trio.to_thread.run_sync(os.fsync, descriptor, limiter=self.disk)
        except OSError as error:
            raise self._unsynced(entry, error) from error

    def _unsynced(self, entry: SpoolEntry, error: OSError) -> ShotfsError:
        """Note that an fsync failed, and return what the application is told.

        The kernel drops the pages then and the next fsync succeeds, so this content is lost for
        good until it is written anew from its beginning.
        """
        problem = translated(entry.path, error)
        self.damage(entry, Span(0, max(entry.size_bytes, 1)), problem)
        return problem

    async def writing_again(self, entry: SpoolEntry) -> None:
        """Journal that a lent file, which was closed, was written again since.

        Raises:
            SpoolFull, SpoolBroken: the journal.
        """
        async with entry.lock:
            if entry.clean or entry.unlinked or not entry.journalled:
                return
            with trio.CancelScope(shield=True):
                await self.journal.commit(rows.writing_again(entry))

    def damage(self, entry: SpoolEntry, span: Span, problem: ShotfsError) -> None:
        """Note that *span* was not stored; the entry is not sealed until it is written anew."""
        old = entry.damaged
        if old is not None:
            span = Span(min(old.start, span.start), max(old.stop, span.stop))
        entry.damaged = span
        entry.problem = problem
        entry.error = problem.message

    def raise_damage(self, entry: SpoolEntry) -> None:
        """Return if every write was stored.

        Raises:
            SpoolFull, SpoolBroken: some was not; close must say so too, because many writers
                look at the result of close only.
        """
        if entry.damaged is not None and entry.problem is not None:
            raise type(entry.problem)(
                f"{entry.path}: an earlier write failed, the file is not whole:"
                f" {entry.problem.message}",
                errno=entry.problem.errno,
            )

    async def seal(self, entry: SpoolEntry) -> None:
        """Hash the content, make the file read-only, journal its digest.

        Raises:
            SpoolFull, SpoolBroken: the file cannot be read or the journal not be written; the
                entry stays open.
            OutputBusy: somebody can still write it, without us; likewise.
            Stale: somebody wrote on after the mount was gone under which it was closed.
        """
        content = await self._seal_small(entry)
        if content is None:
            content = await self._seal_slowly(entry)
        with trio.CancelScope(shield=True):
            entry.content = content
            entry.attempts = 0
            entry.error = None
            self.table.apply(entry, Event.SEAL)
            await self.journal.commit(rows.state_changed(entry))

    async def _seal_small(self, entry: SpoolEntry) -> Content | None:
        """Do in one hop what `_seal_slowly` does in four; None where that has to look closer."""
        lent = entry.lent_stamp is not None
        if not entry.clean or entry.dirty or entry.size_bytes > SMALL_BYTES:
            return None
        if lent and (entry.writers or entry.inherited or entry.abandoned):
            return None
        entry.sealing = True
        try:
            checksums = await self.lane.run(
                seal_data,
                self.data_path(entry),
                entry.size_bytes,
                entry.lent_stamp,
                immutable=entry.immutable,
            )
        except (OSError, EOFError):
            return None
        finally:
            entry.sealing = False
        return None if checksums is None else Content(entry.size_bytes, checksums)

    async def _seal_slowly(self, entry: SpoolEntry) -> Content:
        await self._check_unwritten(entry)
        await self.persist(entry, closing=True)
        entry.sealing = True
        try:
            content = await self.hash_content(entry)
            if entry.immutable:
                await trio.to_thread.run_sync(
                    os.chmod, self.data_path(entry), 0o400, limiter=self.disk
                )
        finally:
            entry.sealing = False
        return content

    async def _check_unwritten(self, entry: SpoolEntry) -> None:
        """Return if nobody can write a file any more that the kernel writes, or wrote, by itself.

        Raises: as `seal`.
        """
        if entry.lent_stamp is None or (entry.writers and not entry.lent):
            return  # its writers come by here
        try:
            busy = await trio.to_thread.run_sync(
                keeps_writers, self.data_path(entry), limiter=self.disk
            )
        except OSError as error:
            raise SpoolBroken(f"{entry.path}: cannot be sealed: {error}") from error
        if busy:
            raise OutputBusy(f"{entry.path}: a process has it open or mapped for writing")
        self.lending.measure(entry)
        if (entry.inherited or entry.abandoned) and not entry.clean:
            entry.abandoned = True
            entry.error = WRITTEN_ON
            self.lending.take_stale(entry)
            with trio.CancelScope(shield=True):
                await self.journal.commit(rows.writing_again(entry))
            raise Stale(f"{entry.path}: {entry.error}")

    async def hash_content(self, entry: SpoolEntry) -> Content:
        """Return size and checksums of what the data file holds.

        Raises:
            SpoolBroken: it cannot be read, or it has not the size that was written.
        """
        self.lending.measure(entry)
        size_bytes = entry.size_bytes
        try:
            checksums = await trio.to_thread.run_sync(
                hash_data, self.data_path(entry), size_bytes, limiter=self.hashing
            )
        except (OSError, EOFError) as error:
            raise SpoolBroken(f"{entry.path}: cannot be hashed: {error}") from error
        return Content(size_bytes, checksums)

    async def change_state(self, entry: SpoolEntry, event: Event, error: str | None = None) -> None:
        """Let *event* happen to *entry* and journal it.

        Raises:
            SpoolFull, SpoolBroken: the journal; it happened in memory only.
        """
        self.table.apply(entry, event)
        entry.error = error
        if entry.journalled and not entry.unlinked:
            with trio.CancelScope(shield=True):
                await self.journal.commit(rows.state_changed(entry))

    async def quarantine(self, entry: SpoolEntry, message: str, rival: Rival | None = None) -> None:
        """Take the name of *entry* away and keep its content in `quarantine/`.

        Args:
            entry: what lost.
            message: why.
            rival: to what; None where that was not looked at.

        Raises:
            SpoolFull, SpoolBroken: the journal; nothing was moved.
        """
        await self.end_pristine(entry)
        if entry.dirty:
            await self.persist(entry, closing=True)
        old_path = self.data_path(entry)
        old_state, old_error, old_objects = entry.state, entry.error, entry.delete_after
        with trio.CancelScope(shield=True):
            # It will not be published under its new name, so the object under the old one stays.
            self.table.set_delete_after(entry, ())
            entry.rival = rival
            try:
                await self.change_state(entry, Event.CONFLICT, message)
            except ShotfsError:
                self.table.restore(entry, old_state)
                entry.error, entry.rival = old_error, None
                self.table.set_delete_after(entry, old_objects)
                raise
            # From here recovery would do the rest.
            await trio.to_thread.run_sync(
                os.rename, old_path, self.data_path(entry), limiter=self.disk
            )
            self.table.discard(entry)
            self.table.set_aside(entry)
            give_up(self, entry)
        self.tell(Happening.CONFLICT, entry)

    def forget_objects(self, entry: SpoolEntry, path: str) -> None:
        """Note that what *entry* was renamed from *path* for is gone, or is not to go any more."""
        self.table.set_delete_after(
            entry, tuple(one for one in entry.delete_after if one.path != path)
        )
        if entry.journalled and not entry.unlinked:
            self.journal.post(rows.delete_after_changed(entry))

    def note_state(self, entry: SpoolEntry) -> None:
        """Journal the state with the next commit; a crash that forgets it costs a repetition."""
        if entry.journalled and not entry.unlinked:
            self.journal.post(rows.state_changed(entry))

    async def save_state(self, entry: SpoolEntry) -> None:
        """Journal the state as it is now.

        Raises:
            SpoolFull, SpoolBroken: the journal.
        """
        if entry.journalled and not entry.unlinked:
            with trio.CancelScope(shield=True):
                await self.journal.commit(rows.state_changed(entry))

    async def retire(self, entry: SpoolEntry) -> None:
        """Forget a published file, whose data is in the cache or not needed; no handles are open.

        The journal says `published` already, so recovery finishes this if a crash comes between.
        """
        await self._unlink(entry)
        self.journal.post(rows.forgotten(entry.serial))
        self.table.discard(entry)
        self.table.charge(-entry.size_bytes)
        entry.unlinked = True

    def take_name(self, entry: SpoolEntry) -> None:
        """Take the name of *entry* away; `remove_data` follows when no handle is open."""
        self.table.discard(entry)
        give_up(self, entry)
        entry.unlinked = True
        entry.ctime_ns = now_ns()

    async def remove_data(self, entry: SpoolEntry) -> None:
        """Unlink the data file of an entry that has neither name nor handles."""
        try:
            with trio.CancelScope(shield=True):
                await self._unlink(entry)
        except OSError as error:
            log.warning("%s: its data is removed at the next start: %s", entry.path, error)
            return
        self.table.charge(-entry.size_bytes)
        if entry.journalled:
            self.journal.post(rows.data_removed(entry.serial))

    async def _unlink(self, entry: SpoolEntry) -> None:
        path = self.data_path(entry)
        if entry.size_bytes <= SMALL_BYTES:
            await self.lane.run(remove_if_there, path)
        else:  # file systems take their time for the blocks of a large one
            await trio.to_thread.run_sync(remove_if_there, path, limiter=self.disk)


def translated(path: str, error: OSError) -> ShotfsError:
    """Return our error for what the spool's disk said about *path*."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return SpoolFull(
            f"{path}: the disk of the spool is full",
            fix="free space on it, or raise spool.free_bytes_min so that this is said earlier",
        )
    return SpoolBroken(f"{path}: the disk of the spool failed: {error}", fix="look at the disk")


def now_ns() -> int:
    """Return the time of day, nanoseconds since the epoch."""
    return time.time_ns()
