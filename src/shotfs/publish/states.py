"""The life of an output: its states, and the one pure function that moves between them.

`docs/design/publish.md` draws the diagram. Nothing else in the package assigns a state.
"""

from __future__ import annotations

from enum import StrEnum, auto


class State(StrEnum):
    """Where an output is on its way from the renderer to the origin."""

    OPEN = auto()
    """May be written; closed or not. Scratch files, symlinks and directories stay here."""
    SEALED = auto()
    """Hashed and read-only, waiting for an upload (the first one or the next attempt)."""
    UPLOADING = auto()
    """An upload is running now; the object may be in the origin already."""
    PUBLISHED = auto()
    """In the origin and verified; still in the spool because somebody has it open."""
    QUARANTINED = auto()
    """The origin has other bytes under this path. Kept, never published under it."""
    FAILED = auto()
    """Not publishable as it is (damaged, partial), or refused by the origin (tried slowly)."""


class Event(StrEnum):
    """What can happen to an output."""

    SEAL = auto()
    UPLOAD = auto()
    PUBLISH = auto()
    RETRY = auto()
    """An upload ended without a verdict: transient error, cancellation, restart."""
    REFUSE = auto()
    """The origin refused; somebody has to change something, after which a retry may succeed."""
    CONFLICT = auto()
    FAIL = auto()
    """The local bytes are not, or cannot be known to be, what the application meant."""
    REOPEN = auto()
    """The content changes again (mutable outputs, and damaged ones that are written anew)."""
    RELEASE = auto()
    """Somebody gave a quarantined output another name, under which it can be published."""


class IllegalTransition(RuntimeError):
    """A mistake in shotfs: this event cannot happen in this state."""


_TRANSITIONS: dict[tuple[State, Event], State] = {
    (State.OPEN, Event.SEAL): State.SEALED,
    (State.OPEN, Event.FAIL): State.FAILED,
    (State.OPEN, Event.CONFLICT): State.QUARANTINED,
    (State.SEALED, Event.UPLOAD): State.UPLOADING,
    (State.SEALED, Event.FAIL): State.FAILED,
    (State.SEALED, Event.CONFLICT): State.QUARANTINED,
    (State.SEALED, Event.REOPEN): State.OPEN,
    (State.UPLOADING, Event.PUBLISH): State.PUBLISHED,
    (State.UPLOADING, Event.RETRY): State.SEALED,
    (State.UPLOADING, Event.REFUSE): State.FAILED,
    (State.UPLOADING, Event.CONFLICT): State.QUARANTINED,
    (State.UPLOADING, Event.FAIL): State.FAILED,
    (State.PUBLISHED, Event.REOPEN): State.OPEN,
    (State.FAILED, Event.UPLOAD): State.UPLOADING,
    (State.FAILED, Event.CONFLICT): State.QUARANTINED,
    (State.FAILED, Event.REOPEN): State.OPEN,
    (State.QUARANTINED, Event.RELEASE): State.SEALED,
}


def transition(state: State, event: Event) -> State:
    """Return the state that follows *state* when *event* happens.

    Raises:
        IllegalTransition: the event cannot happen in that state; the caller has a bug.
    """
    try:
        return _TRANSITIONS[state, event]
    except KeyError:
        raise IllegalTransition(f"{event} cannot happen to an output that is {state}") from None
