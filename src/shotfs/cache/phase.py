"""The life of one revision that is being fetched. Pure; drawn in docs/design/cache.md."""

from __future__ import annotations

from enum import StrEnum


class Phase(StrEnum):
    """Where a stream is."""

    PREPARING = "preparing"
    """Waiting for room and for its file."""
    STREAMING = "streaming"
    """Ranges arrive; readers wait for theirs."""
    VERIFYING = "verifying"
    """All bytes are here; their digest is computed."""
    COMPLETE = "complete"
    """A blob."""
    UNKEPT = "unkept"
    """No room: every reader fetches for itself."""
    FAILED = "failed"
    """The origin has it no more, or its bytes were wrong twice."""
    PAUSED = "paused"
    """Nobody reads it now: what came is kept as a partial for its next reader."""
    DROPPED = "dropped"
    """Nobody wanted it any more, or the cache closes, and there was nothing to keep."""


class Event(StrEnum):
    """What happens to a stream."""

    ADMITTED = "admitted"
    NO_ROOM = "no room"
    ALL_PRESENT = "all present"
    VERIFIED = "verified"
    MISMATCH = "mismatch"
    MISMATCH_AGAIN = "mismatch again"
    ORIGIN_CHANGED = "origin changed"
    PAUSED = "paused"
    ABANDONED = "abandoned"


_TRANSITIONS: dict[tuple[Phase, Event], Phase] = {
    (Phase.PREPARING, Event.ADMITTED): Phase.STREAMING,
    (Phase.PREPARING, Event.NO_ROOM): Phase.UNKEPT,
    (Phase.STREAMING, Event.ALL_PRESENT): Phase.VERIFYING,
    (Phase.STREAMING, Event.NO_ROOM): Phase.UNKEPT,
    (Phase.STREAMING, Event.ORIGIN_CHANGED): Phase.FAILED,
    (Phase.VERIFYING, Event.VERIFIED): Phase.COMPLETE,
    (Phase.VERIFYING, Event.NO_ROOM): Phase.UNKEPT,
    (Phase.VERIFYING, Event.MISMATCH): Phase.PREPARING,
    (Phase.VERIFYING, Event.MISMATCH_AGAIN): Phase.FAILED,
    (Phase.STREAMING, Event.PAUSED): Phase.PAUSED,
    (Phase.VERIFYING, Event.PAUSED): Phase.PAUSED,
    (Phase.PREPARING, Event.ABANDONED): Phase.DROPPED,
    (Phase.STREAMING, Event.ABANDONED): Phase.DROPPED,
    (Phase.VERIFYING, Event.ABANDONED): Phase.DROPPED,
}

ENDED = frozenset({Phase.COMPLETE, Phase.UNKEPT, Phase.FAILED, Phase.PAUSED, Phase.DROPPED})
"""Phases that nothing leads out of."""


def transition(phase: Phase, event: Event) -> Phase:
    """Return the phase after *event*.

    Raises:
        ValueError: the event cannot happen in this phase.
    """
    try:
        return _TRANSITIONS[phase, event]
    except KeyError:
        raise ValueError(f"{event.value!r} cannot happen while {phase.value}") from None
