"""The journal: what makes an output survive a crash. One sqlite database, one thread.

Owns `journal.sqlite`. Knows rows and statements, not what they mean. Statements are queued in
the order in which the event loop decided them and are committed in that order, many in one
transaction when many wait (group commit): one fsync of the log then serves all of them. Small data
files that have to be durable before their rows are fsynced here too, by a few threads beside it.
ADR 0005 says why sqlite and why not diskcache, ADR 0026 why the fsyncs are here.
"""

from __future__ import annotations

import contextlib
import logging
import os
import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Protocol

import trio

from shotfs.errors import ShotfsError, SpoolBroken, SpoolFull
from shotfs.publish.grouped import Groups
from shotfs.publish.side_threads import SideThreads

log = logging.getLogger(__name__)

SCHEMA_VERSION = 5

FSYNC_THREADS = 7
"""That help to fsync a group of small data files."""

_SCHEMA = """
CREATE TABLE entries (
    serial INTEGER PRIMARY KEY,
    path TEXT NOT NULL,
    kind TEXT NOT NULL,
    state TEXT NOT NULL,
    writing INTEGER NOT NULL,   -- 1: written, or may have been, since the last flush was answered
    size_bytes INTEGER NOT NULL,
    mtime_ns INTEGER NOT NULL,
    ctime_ns INTEGER NOT NULL,
    mode INTEGER NOT NULL,
    uid INTEGER NOT NULL,
    gid INTEGER NOT NULL,
    target BLOB,
    terms TEXT,
    content TEXT,
    attempted TEXT,
    revision TEXT,
    error TEXT,
    delete_after TEXT,
    closed_once INTEGER NOT NULL DEFAULT 0,  -- 1: `writing` was 0 at some time
    session TEXT,    -- an upload that was begun and may go on
    emergency TEXT   -- where a copy lies that was made when this node had to go
) STRICT;
CREATE TABLE doomed (serial INTEGER PRIMARY KEY) STRICT;  -- unlinked; the data file goes next
CREATE TABLE given_up (session TEXT PRIMARY KEY) STRICT;  -- begun uploads that nobody goes on with
CREATE TABLE counters (name TEXT PRIMARY KEY, value INTEGER NOT NULL) STRICT;
INSERT INTO counters VALUES ('serial', 1);
CREATE TABLE spool (identity TEXT NOT NULL) STRICT;
INSERT INTO spool VALUES (lower(hex(randomblob(16))));
"""

_UPGRADES = {
    1: "ALTER TABLE entries ADD COLUMN delete_after TEXT;",
    2: "ALTER TABLE entries ADD COLUMN closed_once INTEGER NOT NULL DEFAULT 0;"
    " UPDATE entries SET closed_once = 1 - writing;",
    3: "ALTER TABLE entries ADD COLUMN session TEXT;"
    " ALTER TABLE entries ADD COLUMN emergency TEXT;",
    4: "CREATE TABLE given_up (session TEXT PRIMARY KEY) STRICT;",
}
"""From a schema version: what makes the next one of it."""

Value = str | int | bytes | None


@dataclass(frozen=True, slots=True)
class Statement:
    """One SQL statement with its named parameters."""

    sql: str
    values: dict[str, Value]


class Data(Protocol):
    """A data file that has to be durable before its row is."""

    def begin(self) -> None:
        """Let the disk begin to write; raises nothing."""
        ...

    def finish(self) -> Mapping[str, Value]:
        """Return when it is durable, with values for the statements that only now are known.

        Raises:
            OSError: it is not durable; the statements are left out.
        """
        ...


@dataclass(slots=True, eq=False)
class _Ticket:
    statements: tuple[Statement, ...]
    sync_directory: bool
    data: Data | None
    error: Exception | None = None
    unsynced: OSError | None = None


@dataclass(slots=True, eq=False)
class Journal:
    """The open journal. Made by `open_journal`; used by the event loop only.

    Attributes:
        path: of the database, for messages.
        data_directory: its descriptor is synced before a row names a file that is new in it.
        commits: transactions written so far; fewer than statements when commits were shared.
    """

    path: str
    data_directory: str
    connection: sqlite3.Connection
    directory_descriptor: int
    commits: int = 0
    _groups: Groups[_Ticket] = field(init=False)
    _fsyncs: SideThreads = field(default_factory=lambda: SideThreads(FSYNC_THREADS))

    def __post_init__(self) -> None:
        self._groups = Groups("spool journal", self._write)

    async def commit(
        self, *statements: Statement, sync_directory: bool = False, data: Data | None = None
    ) -> None:
        """Queue *statements* at once, return when they are durable.

        Args:
            statements: become durable together or not at all.
            sync_directory: a data file that they name is new in its directory.
            data: a data file that they name, which is not durable yet.

        Raises:
            SpoolFull: no room for the journal itself. Nothing was written.
            SpoolBroken: the disk failed. Nothing is promised.
            OSError: of *data*. Nothing was written.

        A cancelled call may have been committed or may be later.
        """
        ticket = _Ticket(statements, sync_directory, data)
        await self._groups.do(ticket)
        if ticket.unsynced is not None:
            raise ticket.unsynced
        if ticket.error is not None:
            raise _translated(self.path, ticket.error) from ticket.error

    def post(self, *statements: Statement) -> None:
        """Queue *statements* for the next commit; losing them in a crash must be harmless."""
        self._groups.gather(_Ticket(statements, sync_directory=False, data=None))

    async def close(self) -> None:
        """Commit what is queued and close the database."""
        with trio.CancelScope(shield=True):
            await self._groups.close()
            await trio.to_thread.run_sync(self._fsyncs.close)
            await trio.to_thread.run_sync(self.connection.close)
            os.close(self.directory_descriptor)

    def _write(self, batch: list[_Ticket]) -> None:
        """Run in the database thread: data files, their directory, then one transaction."""
        batch = self._sync_data(batch)
        if not batch:
            return
        error = self._transaction(batch)
        for ticket in batch:
            ticket.error = error
        self.commits += 1
        if error is not None:
            log.error("spool journal %s: %s", self.path, error)

    def _sync_data(self, batch: list[_Ticket]) -> list[_Ticket]:
        """Make the data files of *batch* durable; return the tickets whose data is.

        All begin to be written before the first is waited for: on a file system with a journal of
        its own, one commit of that then serves the group. On others, many fsyncs at once do.
        """
        waiting = [ticket for ticket in batch if ticket.data is not None]
        if len(waiting) > 1:
            for ticket in waiting:
                if ticket.data is not None:
                    ticket.data.begin()
        self._fsyncs.run(partial(_sync, ticket) for ticket in waiting)
        return [ticket for ticket in batch if ticket.unsynced is None]

    def _transaction(self, batch: list[_Ticket]) -> Exception | None:
        """Write one transaction for all, durable when it returns None."""
        try:
            self._roll_back()  # if the last one could not be
            if any(ticket.sync_directory for ticket in batch):
                os.fsync(self.directory_descriptor)
            self.connection.execute("BEGIN IMMEDIATE")
            for ticket in batch:
                for statement in ticket.statements:
                    self.connection.execute(statement.sql, statement.values)
            self.connection.execute("COMMIT")
        except Exception as error:  # noqa: BLE001 - sqlite3 raises OverflowError and others too
            with contextlib.suppress(sqlite3.Error):
                self._roll_back()
            return error
        return None

    def _roll_back(self) -> None:
        if self.connection.in_transaction:
            self.connection.execute("ROLLBACK")


def open_journal(path: str, data_directory: str) -> Journal:
    """Open or create the journal; blocks, so call it in a thread.

    Raises:
        SpoolBroken: the file is not a journal, or one of a newer shotfs.
    """
    try:
        connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        os.chmod(path, 0o600)
        connection.execute("PRAGMA journal_mode = WAL")
        # FULL syncs the log at each commit; NORMAL would lose the last ones at a power loss (S5).
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA cache_size = -2048")
        _make_schema(path, connection)
    except sqlite3.Error as error:
        raise _translated(path, error) from error
    _sync_directory(os.path.dirname(path))
    return Journal(path, data_directory, connection, os.open(data_directory, os.O_RDONLY))


def _sync(ticket: _Ticket) -> None:
    if ticket.data is None:
        return
    try:
        found = ticket.data.finish()
    except OSError as error:
        ticket.unsynced = error
        return
    for statement in ticket.statements:
        statement.values.update(found)


def _make_schema(path: str, connection: sqlite3.Connection) -> None:
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if version == 0:
        connection.executescript(
            f"BEGIN IMMEDIATE; {_SCHEMA} PRAGMA user_version = {SCHEMA_VERSION}; COMMIT;"
        )
    while version in _UPGRADES:
        upgrade = _UPGRADES[version]
        version += 1
        connection.executescript(
            f"BEGIN IMMEDIATE; {upgrade} PRAGMA user_version = {version}; COMMIT;"
        )
    if version not in (0, SCHEMA_VERSION):
        connection.close()
        raise SpoolBroken(
            f"{path}: journal schema {version}, this shotfs knows {SCHEMA_VERSION}",
            fix="start the shotfs that wrote it, let it drain, then upgrade",
        )


def _sync_directory(path: str) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _translated(path: str, error: Exception) -> ShotfsError:
    code = getattr(error, "sqlite_errorcode", None)
    if code is not None and code & 0xFF == sqlite3.SQLITE_FULL:
        return SpoolFull(
            f"no room for the spool's journal {path}",
            fix="free space on its disk, or raise spool.free_bytes_min so that some is kept",
        )
    return SpoolBroken(
        f"the spool's journal {path} cannot be used: {error}",
        fix="look at the disk; the outputs are in `files` beside it",
    )
