"""Opening a spool: what a crash left behind, and what becomes of it.

Runs before the mount serves, so it reads names and sizes only; hashes are computed later, in the
background, by the publisher. `docs/design/publish.md` has the crash table that this implements.
"""

from __future__ import annotations

import fcntl
import os
import sqlite3
import stat
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import trio

from shotfs.config import SpoolSettings
from shotfs.errors import CacheBusy, CacheUnsafe, SpoolBroken
from shotfs.observe.metrics import Metrics
from shotfs.publish import rows
from shotfs.publish.begun import Begun, give_up, load_begun
from shotfs.publish.core import SERIALS_RESERVED, WRITTEN_ON, Core, log, now_ns
from shotfs.publish.data_files import (
    Stamp,
    closed_stamp,
    created_as,
    is_copy,
    lending_obstacle,
    remove_if_there,
)
from shotfs.publish.entry import (
    Kind,
    SpoolEntry,
    load_content,
    load_contents,
    load_copies,
    load_objects,
    load_revision,
    load_terms,
)
from shotfs.publish.happenings import Happening, Tell, nobody
from shotfs.publish.journal import Journal, open_journal
from shotfs.publish.lending import Lending
from shotfs.publish.rival import load_error
from shotfs.publish.room import Room
from shotfs.publish.spool import Spool
from shotfs.publish.states import Event, State, transition
from shotfs.publish.table import Table

PLACES = ("files", "quarantine", "aside")
"""Data files: of named entries; of conflicts; of dead processes and without a record."""

CUT_OFF = "partial: the service ended while it was being written"
SAME_PATH = "another record has the same path"


@dataclass(frozen=True, slots=True)
class _DataFile:
    place: str
    size_bytes: int
    mtime_ns: int
    path: str
    copy: bool
    closed: Stamp | None


@asynccontextmanager
async def open_spool(
    settings: SpoolSettings, directory: str, metrics: Metrics, tell: Tell = nobody
) -> AsyncIterator[Spool]:
    """Open the spool in *directory*, made if it is missing, and recover what a crash left.

    Args:
        settings: its limits.
        directory: where it lies.
        metrics: counts files and bytes.
        tell: told what becomes of outputs, of those too that are found to be partial now.

    Raises:
        CacheUnsafe: others can write the directory, or it is not ours.
        CacheBusy: another process has it open.
        SpoolBroken: the journal cannot be read.
    """
    limiter = trio.CapacityLimiter(1)
    lock = await trio.to_thread.run_sync(_take, directory, limiter=limiter)
    try:
        journal = await trio.to_thread.run_sync(
            open_journal,
            os.path.join(directory, "journal.sqlite"),
            os.path.join(directory, "files"),
            limiter=limiter,
        )
        try:
            table = Table(metrics)
            room = Room(directory, settings.bytes_max, settings.free_bytes_min, table)
            obstacle = await trio.to_thread.run_sync(lending_obstacle, directory, limiter=limiter)
            lending = Lending(
                directory, settings.bytes_max, settings.free_bytes_min, table, obstacle=obstacle
            )
            core = Core(directory, "", table, journal, room, lending, 0, 0, tell=tell)
            try:
                await _recover(core)
                yield Spool(core)
            finally:
                await core.lane.close()
        finally:
            await journal.close()
    finally:
        os.close(lock)


def _take(directory: str) -> int:
    """Make the directories, check that they are ours alone, lock them; returns the lock."""
    try:
        os.makedirs(directory, mode=0o700, exist_ok=True)
        status = os.stat(directory)
        if status.st_uid != os.geteuid() or stat.S_IMODE(status.st_mode) & 0o077:
            raise CacheUnsafe(
                f"spool directory {directory} is open to others",
                fix=f"chown it to the service user and chmod 700 {directory}",
            )
        for place in PLACES:
            os.makedirs(os.path.join(directory, place), mode=0o700, exist_ok=True)
        lock = os.open(
            os.path.join(directory, "lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600
        )
    except OSError as error:
        raise SpoolBroken(
            f"spool directory {directory}: {error}", fix="set spool.directory to one that works"
        ) from error
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(lock)
        raise CacheBusy(
            f"another process has the spool {directory} open",
            fix="stop the other shotfs, or set spool.directory",
        ) from error
    return lock


@dataclass(slots=True)
class _Found:
    """What is on disk: data files by serial, rows with their `writing` mark, serials to unlink."""

    files: dict[int, _DataFile]
    entries: list[tuple[SpoolEntry, bool]]
    doomed: list[int]
    given_up: list[Begun]
    serial_mark: int
    identity: str


async def _recover(core: Core) -> None:
    found = await trio.to_thread.run_sync(_scan, core.journal, core.directory, limiter=core.disk)
    core.identity = found.identity
    core.serial_mark = core.next_serial = max(found.serial_mark, 1 + max(found.files, default=0))
    unlinks = [serial for serial in found.doomed if found.files.pop(serial, None) is not None]
    core.journal.post(*(rows.data_removed(serial) for serial in found.doomed))
    for begun in found.given_up:
        core.given_up.add(begun)
    misplaced = []
    for entry, writing in found.entries:
        data = found.files.pop(entry.serial, None)
        _recover_entry(core, entry, data, writing=writing)
        # The power may have gone when its row was on the disk, and the rename of its file was not.
        if data is not None and data.place != entry.place:
            misplaced.append(entry)
    for serial, data in found.files.items():
        if data.size_bytes == 0 or data.copy:
            unlinks.append(serial)  # created, never written, never closed
        else:
            _keep_orphan(core, serial, data)
    mark = core.serial_mark + SERIALS_RESERVED
    await core.journal.commit(rows.serials_reserved(mark))
    core.serial_mark = mark
    kept = (*core.table.aside(), *misplaced)
    places = {entry.serial: core.data_path(entry) for entry in kept}
    await trio.to_thread.run_sync(_tidy, core.directory, unlinks, places, limiter=core.disk)


def _recover_entry(core: Core, entry: SpoolEntry, data: _DataFile | None, *, writing: bool) -> None:
    """Put one journalled entry where it belongs."""
    entry.journalled = True
    entry.clean = not writing
    if entry.kind is not Kind.FILE:
        core.table.add(entry)
        return
    may_go_on = entry.state in (State.SEALED, State.UPLOADING, State.FAILED)
    if entry.begun is not None and not (may_go_on and entry.begun.fits(entry.terms)):
        give_up(core, entry)  # the crash came before the record of that
    if data is None and entry.state is State.PUBLISHED:
        core.journal.post(rows.forgotten(entry.serial))  # it became a blob, or went
        return
    if entry.state is State.UPLOADING:
        entry.state = transition(entry.state, Event.RETRY)
    problem = _problem(core, entry, data, writing=writing)
    entry.inherited = True
    entry.lent_stamp = None if data is None else data.closed
    entry.size_bytes = 0 if data is None else data.size_bytes
    core.table.charge(entry.size_bytes)
    if problem in (CUT_OFF, WRITTEN_ON) and entry.closed_once and not entry.immutable:
        _return_unfinished(core, entry, problem)
        return
    if problem is not None:
        entry.delete_after = ()  # it is not published under its new name: the old one stays
    if problem is not None and entry.state in (State.OPEN, State.SEALED):
        entry.state = transition(entry.state, Event.FAIL)
        give_up(core, entry)
        entry.content = None
        entry.error = problem
        entry.ctime_ns = now_ns()  # it is kept for spool.scratch_ttl_s from now
        core.journal.post(rows.flushed(entry, writing=True), rows.state_changed(entry))
        core.tell(Happening.FAILED, entry)
    if entry.state is State.QUARANTINED or problem is not None:
        entry.aside = entry.state is not State.QUARANTINED
        core.table.set_aside(entry)
        return
    if entry.content is not None and entry.revision is None:
        entry.note_attempt(entry.content)  # an upload may have been under way
    entry.closed_at = trio.current_time()
    core.table.add(entry)
    core.table.notify(entry)


def _problem(core: Core, entry: SpoolEntry, data: _DataFile | None, *, writing: bool) -> str | None:
    """Say why the entry cannot be taken for what the application closed; None: it can."""
    if entry.state is State.QUARANTINED:
        return None
    expected = entry.size_bytes if entry.content is None else entry.content.size_bytes
    if data is None:
        return f"its data file files/{entry.serial} is missing"
    if entry.state is State.FAILED and entry.content is None:
        return entry.error or "failed"
    if writing:
        same = core.table.get(entry.path) is not None
        return SAME_PATH if same else CUT_OFF
    now = data.size_bytes, data.mtime_ns
    if entry.content is None and data.closed is not None and data.closed != now:
        return WRITTEN_ON
    if data.size_bytes != expected:
        return f"partial: the data file has {data.size_bytes} bytes, {expected} were closed"
    if core.table.get(entry.path) is not None:
        return SAME_PATH
    return None


def _return_unfinished(core: Core, entry: SpoolEntry, problem: str) -> None:
    """Give a mutable file its name again: it holds what was closed before, and some more.

    It is not published as it is, over a good object perhaps, but as soon as somebody has opened
    it for writing and closed it.
    """
    entry.abandoned = entry.dirty = entry.written = True
    entry.clean = False
    entry.error = f"{problem}; it is published when somebody opens it for writing and closes it"
    core.table.add(entry)


def _keep_orphan(core: Core, serial: int, data: _DataFile) -> None:
    """Keep a data file without a record: written by a process that died before its first close."""
    entry = SpoolEntry(
        serial=serial,
        path=data.path,
        kind=Kind.FILE,
        mode=0o600,
        uid=os.geteuid(),
        gid=os.getegid(),
        mtime_ns=data.mtime_ns,
        ctime_ns=now_ns(),
        atime_ns=data.mtime_ns,
        state=transition(State.OPEN, Event.FAIL),
        size_bytes=data.size_bytes,
        error="partial: the service ended before it was closed for the first time",
        journalled=True,
        aside=True,
    )
    log.warning("spool: kept %s bytes of a dead process aside: %r", data.size_bytes, data.path)
    core.table.charge(entry.size_bytes)
    core.table.set_aside(entry)
    core.journal.post(rows.flushed(entry, writing=True))
    core.tell(Happening.FAILED, entry)


# --- in a thread ---------------------------------------------------------------------------------


def _scan(journal: Journal, directory: str) -> _Found:
    connection = journal.connection
    connection.row_factory = sqlite3.Row
    entries = [
        (_entry(row), bool(row["writing"]))
        for row in connection.execute("SELECT * FROM entries ORDER BY serial DESC")
    ]
    doomed = [serial for (serial,) in connection.execute("SELECT serial FROM doomed")]
    sessions = connection.execute("SELECT session FROM given_up")
    given_up = [begun for (text,) in sessions if (begun := load_begun(text)) is not None]
    (mark,) = connection.execute("SELECT value FROM counters WHERE name = 'serial'").fetchone()
    (identity,) = connection.execute("SELECT identity FROM spool").fetchone()
    known = {entry.serial for entry, _ in entries}
    files: dict[int, _DataFile] = {}
    for place in PLACES:
        with os.scandir(os.path.join(directory, place)) as listing:
            for item in listing:
                if item.name.isdecimal():
                    unknown = int(item.name) not in known
                    files[int(item.name)] = _data_file(item, place, named=unknown)
    return _Found(files, entries, doomed, given_up, mark, identity)


def _data_file(item: os.DirEntry[str], place: str, *, named: bool) -> _DataFile:
    status = item.stat(follow_symlinks=False)
    path = created_as(item.path) if named else ""
    copy = named and is_copy(item.path)
    closed = None if named else closed_stamp(item.path)
    return _DataFile(place, status.st_size, status.st_mtime_ns, path, copy, closed)


def _entry(row: sqlite3.Row) -> SpoolEntry:
    error, rival = load_error(row["error"])
    return SpoolEntry(
        serial=row["serial"],
        path=row["path"],
        kind=Kind(row["kind"]),
        mode=row["mode"],
        uid=row["uid"],
        gid=row["gid"],
        mtime_ns=row["mtime_ns"],
        ctime_ns=row["ctime_ns"],
        atime_ns=row["mtime_ns"],
        state=State(row["state"]),
        size_bytes=row["size_bytes"],
        target=None if row["target"] is None else os.fsdecode(row["target"]),
        terms=load_terms(row["terms"]),
        content=load_content(row["content"]),
        tried=load_contents(row["attempted"]),
        revision=load_revision(row["revision"]),
        delete_after=load_objects(row["delete_after"]),
        emergency=load_copies(row["emergency"]),
        error=error,
        rival=rival,
        closed_once=bool(row["closed_once"]),
        begun=load_begun(row["session"]),
    )


def _tidy(directory: str, unlinks: list[int], places: dict[int, str]) -> None:
    """Unlink data of removed entries, move data that lies elsewhere to where it belongs."""
    for serial in unlinks:
        for place in PLACES:
            remove_if_there(os.path.join(directory, place, str(serial)))
    for serial, wanted in places.items():
        for place in PLACES:
            found = os.path.join(directory, place, str(serial))
            if found != wanted and os.path.exists(found):
                os.rename(found, wanted)
