"""Sealing: when an output counts as finished. Pure; `publisher` acts on it.

The last close and the grace are always needed. What else is the template's to say (`SealOn`).
"""

from __future__ import annotations

from enum import StrEnum

from shotfs.pathspec.model import SealOn
from shotfs.publish.entry import SpoolEntry
from shotfs.publish.states import State


class Awaited(StrEnum):
    """What a closed output waits for before its grace counts."""

    RENAME = "its rename"
    JOB = "the end of its job"


def awaited(entry: SpoolEntry, *, draining: bool = False) -> Awaited | None:
    """Return what *entry* has to wait for besides its last close; None: for nothing.

    Args:
        entry: any.
        draining: the node is about to go, and nobody waits for jobs any more. Whether a file that
            was never renamed is whole, nobody knows then either.
    """
    terms = entry.terms
    if terms is None or terms.scratch or entry.state is not State.OPEN:
        return None
    if terms.durability_origin:
        return None  # each close waits until the file is in the origin
    match terms.seal:
        case SealOn.RENAME if not terms.renamed:
            return Awaited.RENAME
        case SealOn.JOB_END if terms.job and not terms.released and not draining:
            return Awaited.JOB
        case _:
            return None


def may_seal(entry: SpoolEntry, *, draining: bool = False) -> bool:
    """Whether *entry* is finished, if its grace is over."""
    closed = entry.writers == 0 and not entry.half_written
    named = entry.state is State.OPEN and not entry.unlinked
    return closed and named and awaited(entry, draining=draining) is None


def due_at(entry: SpoolEntry, *, draining: bool = False) -> float | None:
    """Return the trio time at which *entry* is to be sealed; None: not before it changes."""
    if entry.terms is None or entry.damaged is not None or not may_seal(entry, draining=draining):
        return None
    grace_s = 0.0 if draining else entry.terms.grace_s
    return max(entry.closed_at + grace_s, entry.retry_at or 0.0)
