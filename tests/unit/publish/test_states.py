"""The state machine: what can follow what."""

from __future__ import annotations

import pytest

from shotfs.publish.states import Event, IllegalTransition, State, transition


def reachable(start: State) -> set[State]:
    """Every state that some sequence of events leads to."""
    seen: set[State] = set()
    todo = [start]
    while todo:
        state = todo.pop()
        for event in Event:
            try:
                following = transition(state, event)
            except IllegalTransition:
                continue
            if following not in seen:
                seen.add(following)
                todo.append(following)
    return seen


def test_every_state_is_reachable_from_open() -> None:
    assert reachable(State.OPEN) == set(State)


def test_quarantine_is_left_by_another_name_only() -> None:
    ways = {event for event in Event if _follows(State.QUARANTINED, event)}
    assert ways == {Event.RELEASE}


def _follows(state: State, event: Event) -> bool:
    try:
        return bool(transition(state, event))
    except IllegalTransition:
        return False


def test_nothing_is_published_that_was_not_sealed_and_uploaded() -> None:
    before = {
        state
        for state in State
        for event in Event
        if (state, event) == (State.UPLOADING, Event.PUBLISH)
    }
    assert before == {State.UPLOADING}
    for state in set(State) - {State.UPLOADING}:
        with pytest.raises(IllegalTransition):
            transition(state, Event.PUBLISH)
    with pytest.raises(IllegalTransition, match="upload cannot happen to an output that is open"):
        transition(State.OPEN, Event.UPLOAD)


def test_what_is_being_uploaded_is_not_written() -> None:
    with pytest.raises(IllegalTransition):
        transition(State.UPLOADING, Event.REOPEN)
