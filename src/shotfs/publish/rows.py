"""The statements of the journal: which columns each thing that happens to an entry changes.

Statements of different kinds touch different columns, so that they can be queued by tasks that
know only their own part: a flush never moves a path, a rename never changes a size.
"""

from __future__ import annotations

import os

from shotfs.publish.entry import (
    Content,
    OriginObject,
    PublishTerms,
    SpoolEntry,
    dump_content,
    dump_contents,
    dump_copies,
    dump_objects,
    dump_revision,
    dump_terms,
)
from shotfs.publish.journal import Statement
from shotfs.publish.rival import dump_error

_INSERT = """
INSERT INTO entries (serial, path, kind, state, writing, size_bytes, mtime_ns, ctime_ns,
                     mode, uid, gid, target, terms, content, attempted, revision, error,
                     delete_after, closed_once)
VALUES (:serial, :path, :kind, :state, :writing, :size_bytes, :mtime_ns, :ctime_ns,
        :mode, :uid, :gid, :target, :terms, :content, :attempted, :revision, :error,
        :delete_after, :closed_once)
ON CONFLICT (serial) DO UPDATE SET writing = excluded.writing, size_bytes = excluded.size_bytes,
    mtime_ns = excluded.mtime_ns, ctime_ns = excluded.ctime_ns,
    closed_once = excluded.closed_once
"""
_FLUSHED = """
UPDATE entries SET writing = :writing, size_bytes = :size_bytes, mtime_ns = :mtime_ns,
    ctime_ns = :ctime_ns, closed_once = :closed_once WHERE serial = :serial
"""
_STATE = """
UPDATE entries SET state = :state, content = :content, attempted = :attempted,
    revision = :revision, error = :error, delete_after = :delete_after WHERE serial = :serial
"""


def flushed(entry: SpoolEntry, *, writing: bool, new: bool = True) -> Statement:
    """Everything written so far is on disk.

    Args:
        entry: what was written.
        writing: but the application has not closed it.
        new: there may be no row of it yet.
    """
    if new:
        return Statement(_INSERT, _values(entry, writing=writing))
    return Statement(_FLUSHED, _written(entry, writing=writing))


def state_changed(entry: SpoolEntry) -> Statement:
    """The state, content, revision or error of an entry with a row are others now."""
    return Statement(
        _STATE,
        {
            "serial": entry.serial,
            "state": entry.state,
            "content": dump_content(entry.content),
            "attempted": dump_contents(entry.tried),
            "revision": dump_revision(entry.revision),
            "error": dump_error(entry.error, entry.rival),
            "delete_after": dump_objects(entry.delete_after),
        },
    )


def writing_again(entry: SpoolEntry) -> Statement:
    """Bytes change after this; what the last flush promised is no longer what the file holds."""
    return Statement(
        "UPDATE entries SET writing = 1, state = :state, terms = :terms, content = NULL,"
        " attempted = :attempted, revision = NULL, error = NULL WHERE serial = :serial",
        {
            "serial": entry.serial,
            "state": entry.state,
            "terms": dump_terms(entry.terms),
            "attempted": dump_contents(entry.tried),
        },
    )


def moved(
    serial: int,
    path: str,
    terms: PublishTerms | None,
    tried: tuple[Content, ...],
    delete_after: tuple[OriginObject, ...],
) -> Statement:
    """The entry stands under another path, with the terms of that path."""
    return Statement(
        "UPDATE entries SET path = :path, terms = :terms, attempted = :attempted,"
        " delete_after = :delete_after WHERE serial = :serial",
        {
            "serial": serial,
            "path": path,
            "terms": dump_terms(terms),
            "attempted": dump_contents(tried),
            "delete_after": dump_objects(delete_after),
        },
    )


def terms_changed(entry: SpoolEntry) -> Statement:
    """Somebody else writes it now, or its job has ended; the caller holds the entry's lock."""
    return Statement(
        "UPDATE entries SET terms = :terms WHERE serial = :serial",
        {"serial": entry.serial, "terms": dump_terms(entry.terms)},
    )


def delete_after_changed(entry: SpoolEntry) -> Statement:
    """Some objects under its earlier names are gone, or are somebody else's by now."""
    return Statement(
        "UPDATE entries SET delete_after = :delete_after WHERE serial = :serial",
        {"serial": entry.serial, "delete_after": dump_objects(entry.delete_after)},
    )


def emergency_changed(entry: SpoolEntry) -> Statement:
    """Copies of it lie, or may lie, in an emergency place, or do not any more."""
    return Statement(
        "UPDATE entries SET emergency = :emergency WHERE serial = :serial",
        {"serial": entry.serial, "emergency": dump_copies(entry.emergency)},
    )


def attributes_changed(
    serial: int, *, mode: int, uid: int, gid: int, mtime_ns: int, ctime_ns: int
) -> Statement:
    """chmod, chown, utime."""
    return Statement(
        "UPDATE entries SET mode = :mode, uid = :uid, gid = :gid, mtime_ns = :mtime_ns,"
        " ctime_ns = :ctime_ns WHERE serial = :serial",
        {
            "serial": serial,
            "mode": mode,
            "uid": uid,
            "gid": gid,
            "mtime_ns": mtime_ns,
            "ctime_ns": ctime_ns,
        },
    )


def removed(serial: int) -> tuple[Statement, ...]:
    """The entry is gone; its data file is to be unlinked, by recovery if not before.

    An upload of it that was begun is to be given up.
    """
    return (
        Statement(
            "INSERT OR IGNORE INTO given_up SELECT session FROM entries"
            " WHERE serial = :serial AND session IS NOT NULL",
            {"serial": serial},
        ),
        Statement("DELETE FROM entries WHERE serial = :serial", {"serial": serial}),
        Statement("INSERT OR IGNORE INTO doomed VALUES (:serial)", {"serial": serial}),
    )


def forgotten(serial: int) -> Statement:
    """The entry is gone and has no data file any more."""
    return Statement("DELETE FROM entries WHERE serial = :serial", {"serial": serial})


def data_removed(serial: int) -> Statement:
    """The data file of a removed entry is unlinked."""
    return Statement("DELETE FROM doomed WHERE serial = :serial", {"serial": serial})


def upload_begun(serial: int, session: str | None) -> Statement:
    """A store knows, or is about to know, of an upload of the entry; None: not any more."""
    return Statement(
        "UPDATE entries SET session = :session WHERE serial = :serial",
        {"serial": serial, "session": session},
    )


def upload_given_up(serial: int, session: str) -> tuple[Statement, Statement]:
    """Nobody goes on with an upload of the entry; its store is to forget it."""
    return (
        Statement("INSERT OR IGNORE INTO given_up VALUES (:session)", {"session": session}),
        upload_begun(serial, None),
    )


def upload_forgotten(session: str) -> Statement:
    """The store has forgotten an upload that was given up."""
    return Statement("DELETE FROM given_up WHERE session = :session", {"session": session})


def serials_reserved(mark: int) -> Statement:
    """No serial below *mark* is ever given again."""
    return Statement("UPDATE counters SET value = :mark WHERE name = 'serial'", {"mark": mark})


def _values(entry: SpoolEntry, *, writing: bool) -> dict[str, int | str | bytes | None]:
    return {
        **_written(entry, writing=writing),
        "path": entry.path,
        "kind": entry.kind,
        "state": entry.state,
        "mode": entry.mode,
        "uid": entry.uid,
        "gid": entry.gid,
        "target": None if entry.target is None else os.fsencode(entry.target),
        "terms": dump_terms(entry.terms),
        "content": dump_content(entry.content),
        "attempted": dump_contents(entry.tried),
        "revision": dump_revision(entry.revision),
        "error": dump_error(entry.error, entry.rival),
        "delete_after": dump_objects(entry.delete_after),
    }


def _written(entry: SpoolEntry, *, writing: bool) -> dict[str, int | str | bytes | None]:
    return {
        "serial": entry.serial,
        "writing": int(writing),
        "size_bytes": entry.size_bytes,
        "mtime_ns": entry.mtime_ns,
        "ctime_ns": entry.ctime_ns,
        "closed_once": int(entry.closed_once),
    }
