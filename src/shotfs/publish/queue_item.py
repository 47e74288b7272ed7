"""The queue as people and programs see it: one plain item for each output that is not safe yet."""

from __future__ import annotations

from dataclasses import dataclass

import trio

from shotfs.digest import Digest
from shotfs.publish.entry import SpoolEntry
from shotfs.publish.sealing import awaited
from shotfs.publish.states import State


@dataclass(frozen=True, slots=True)
class QueueItem:
    """An output that is not in the origin, for people and programs to see.

    Attributes:
        path: mount-relative; "" where it is not known (no record).
        serial: unique in this spool; names its data file.
        state: open, sealed, uploading, quarantined, failed; published where an object under an
            earlier name is still to be removed.
        size_bytes: of its content.
        age_s: seconds since its last change.
        attempts: uploads begun since the seal or the start.
        retry_s: seconds until the next attempt; None where none is planned.
        writers: open handles that may write.
        digest: None before the seal.
        origin: root URL; None where no record says it.
        key: object key below the origin.
        error: why it is quarantined, failed, or was not published at the last attempt; else what
            it waits for besides its close (`sealing`).
        priority: of its template; higher goes first.
        emergency: where a copy lies that was made because this node had to go; None: nowhere.
        job: the render job that wrote it; "": none; None: not known.
    """

    path: str
    serial: int
    state: State
    size_bytes: int
    age_s: float
    attempts: int
    retry_s: float | None
    writers: int
    digest: Digest | None
    origin: str | None
    key: str | None
    error: str | None
    priority: int
    emergency: str | None
    job: str | None


def item_of(entry: SpoolEntry, now: int) -> QueueItem:
    """Return *entry* as the queue shows it at *now*, nanoseconds since the epoch."""
    retry_s = None if entry.retry_at is None else max(0.0, entry.retry_at - trio.current_time())
    waits = awaited(entry) if entry.writers == 0 else None
    return QueueItem(
        path=entry.path,
        serial=entry.serial,
        state=entry.state,
        size_bytes=entry.size_bytes,
        age_s=max(0.0, (now - entry.mtime_ns) / 1e9),
        attempts=entry.attempts,
        retry_s=retry_s,
        writers=entry.writers,
        digest=entry.digest,
        origin=None if entry.terms is None else entry.terms.origin,
        key=None if entry.terms is None else entry.terms.key,
        error=entry.error or (None if waits is None else f"waits for {waits}"),
        priority=0 if entry.terms is None else entry.terms.priority,
        emergency=next((f"{one.url}/{one.key}" for one in entry.emergency if one.done), None),
        job=None if entry.terms is None else entry.terms.job,
    )
