"""Arrival: which outputs are not in the origin yet, why, and whether they get there by themselves.

For the job barrier: whoever starts the next job on another node must know that all is there. Pure.
"""

from __future__ import annotations

from dataclasses import dataclass

import trio

from shotfs.publish.entry import SpoolEntry
from shotfs.publish.sealing import Awaited, awaited
from shotfs.publish.states import State

RENAME_S = 10.0
"""How long after its last close a file may still be renamed; renderers take milliseconds."""


@dataclass(frozen=True, slots=True)
class Missing:
    """An output that is not in the origin.

    Attributes:
        path: mount-relative; "" where it is not known.
        serial: unique in this spool.
        state: as of `State`.
        size_bytes: of its content.
        job: who wrote it; "" for no job, None where that is not known.
        uid: likewise; None where nobody is known.
        why: what it waits for, in words.
        stuck: it does not get there by itself: somebody has to look.
    """

    path: str
    serial: int
    state: State
    size_bytes: int
    job: str | None
    uid: int | None
    why: str
    stuck: bool


def missing(entry: SpoolEntry) -> Missing | None:
    """Return why *entry* is not in the origin; None: it is, or it is no output."""
    if entry.state is State.PUBLISHED or not (entry.publishable or entry.aside):
        return None
    if entry.pristine:
        return None  # a copy that nobody has changed
    why, stuck = _reason(entry)
    terms = entry.terms
    return Missing(
        path=entry.path,
        serial=entry.serial,
        state=entry.state,
        size_bytes=entry.size_bytes,
        job=None if terms is None else terms.job,
        uid=None if terms is None else terms.uid,
        why=why,
        stuck=stuck,
    )


def _reason(entry: SpoolEntry) -> tuple[str, bool]:
    match entry.state:
        case State.OPEN:
            return _of_open(entry)
        case State.SEALED:
            return entry.error or "waits for its upload", False
        case State.UPLOADING:
            return "is being uploaded", False
        case State.QUARANTINED:
            return f"conflict: {entry.error}", True
        case _:
            refused = entry.content is not None
            return f"{'refused' if refused else 'not whole'}: {entry.error}", True


def _of_open(entry: SpoolEntry) -> tuple[str, bool]:
    if entry.writers:
        return "open for writing", False
    if entry.half_written or entry.damaged is not None:
        return f"not whole: {entry.error or 'its writer was killed'}", True
    match awaited(entry):
        case Awaited.RENAME:
            late = trio.current_time() - entry.closed_at >= RENAME_S
            return "waits for its rename: it was written under its final name", late
        case Awaited.JOB:
            assert entry.terms is not None
            return f"waits for the end of job {entry.terms.job}", False
        case None:
            return entry.error or "closed a moment ago", False
