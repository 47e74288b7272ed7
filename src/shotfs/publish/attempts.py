"""Attempts: how uploads of one output ended, and by what kind of failure. In memory, for people."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum, auto

from shotfs import errors
from shotfs.errors import ShotfsError

ATTEMPTS_KEPT = 16
"""How many attempts of one output are remembered; the first of them stays."""


class Failure(StrEnum):
    """Why an output is not in the origin, as far as that decides what somebody can do."""

    PERMISSION = auto()
    """Credentials, a bucket that is missing or may not be written: an administrator's."""
    CONFLICT = auto()
    """The origin has other bytes there: whoever wrote ours decides."""
    POLICY = auto()
    """The specification or a published version does not take it."""
    UNAVAILABLE = auto()
    """The origin or the network: it heals by itself, or it is an outage."""
    CORRUPT = auto()
    """Bytes were not what they should be, on the way or here."""
    FULL = auto()
    """The disk of the spool is full, or its limit is reached."""
    DISK = auto()
    """The disk of the spool failed."""
    UNFINISHED = auto()
    """Nobody closed it after its last write, or a write was not stored."""
    OTHER = auto()


_CLASSES: tuple[tuple[type[ShotfsError], Failure], ...] = (
    (errors.PublishConflict, Failure.CONFLICT),
    (errors.VersionSealing, Failure.POLICY),
    (errors.AccessDenied, Failure.PERMISSION),
    (errors.BucketNotFound, Failure.PERMISSION),
    (errors.TierReadOnly, Failure.PERMISSION),
    (errors.TierCorrupt, Failure.CORRUPT),
    (errors.TierUnavailable, Failure.UNAVAILABLE),
    (errors.TierTimeout, Failure.UNAVAILABLE),
    (errors.SpoolFull, Failure.FULL),
    (errors.SpoolBroken, Failure.DISK),
)


def failure_of(error: ShotfsError) -> Failure:
    """Return which kind of failure *error* is."""
    return next((failure for kind, failure in _CLASSES if isinstance(error, kind)), Failure.OTHER)


@dataclass(frozen=True, slots=True)
class Attempt:
    """One upload that was tried.

    Attributes:
        at_ns: when it began, nanoseconds since the epoch.
        seconds: how long it took.
        failure: None: it succeeded.
        message: what was said; "" where it succeeded.
    """

    at_ns: int
    seconds: float
    failure: Failure | None
    message: str


def with_attempt(known: Sequence[Attempt], attempt: Attempt) -> tuple[Attempt, ...]:
    """Return *known* and *attempt*: the first and the last ones, where there are too many."""
    every = (*known, attempt)
    if len(every) <= ATTEMPTS_KEPT:
        return every
    return (every[0], *every[-(ATTEMPTS_KEPT - 1) :])
