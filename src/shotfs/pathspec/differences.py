"""What one automaton matches and another does not: a shortest text, or proof of none.

Walks the first automaton beside the set of all places where the second may be (the subset
construction, made only as far as it is needed). A field that repeats is read as any text of its
shape, as everywhere in `automata`: callers must try the text before they believe it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator

from shotfs.pathspec.automata import Automaton, TooComplex
from shotfs.pathspec.regex import Ranges, complement, intersect

STEPS_MAX = 200_000
"""Transitions that one search looks at: some seconds of work."""

_START = -1
_Places = frozenset[int]
_State = tuple[int, _Places]


def text_only_in(one: Automaton, other: Automaton) -> str | None:
    """Return a shortest text that *one* matches and *other* does not, or None.

    Raises:
        TooComplex: more than `STEPS_MAX` transitions.
    """
    start: _State = (_START, frozenset((_START,)))
    came_from: dict[_State, tuple[_State, Ranges]] = {}
    seen = {start}
    waiting = deque([start])
    steps = 0
    while waiting:
        state = waiting.popleft()
        position, places = state
        if position in one.final and not places & other.final:
            return _text(state, came_from)
        for following, characters in _steps(state, one, other):
            steps += 1
            if steps > STEPS_MAX:
                raise TooComplex
            if following not in seen:
                seen.add(following)
                came_from[following] = (state, characters)
                waiting.append(following)
    return None


def _steps(state: _State, one: Automaton, other: Automaton) -> Iterator[tuple[_State, Ranges]]:
    position, places = state
    entered: dict[Ranges, set[int]] = {}
    for place in places:
        for following in other.following[place]:
            entered.setdefault(other.sets[following], set()).add(following)
    for following in one.following[position]:
        for characters, reached in _pieces(one.sets[following], entered):
            yield (following, reached), characters


def _pieces(
    characters: Ranges, entered: dict[Ranges, set[int]]
) -> Iterator[tuple[Ranges, _Places]]:
    """Cut *characters* so that each piece leads the other automaton to one set of places."""
    pieces: list[tuple[Ranges, _Places]] = [(characters, frozenset())]
    for accepted, following in entered.items():
        cut: list[tuple[Ranges, _Places]] = []
        for piece, reached in pieces:
            inside = intersect(piece, accepted)
            if not inside:
                cut.append((piece, reached))
                continue
            cut.append((inside, reached | following))
            outside = intersect(piece, complement(accepted))
            if outside:
                cut.append((outside, reached))
        pieces = cut
        if len(pieces) > STEPS_MAX:
            raise TooComplex
    # What leads the other nowhere comes first: it makes the plainer example.
    yield from sorted(pieces, key=lambda pair: len(pair[1]))


def _text(state: _State, came_from: dict[_State, tuple[_State, Ranges]]) -> str:
    signs: list[str] = []
    while state in came_from:
        state, characters = came_from[state]
        signs.append(_readable(characters))
    return "".join(reversed(signs))


def _readable(characters: Ranges) -> str:
    for wanted in "axAX01_-.":
        if any(low <= ord(wanted) <= high for low, high in characters):
            return wanted
    plain = intersect(characters, ((33, 126),))
    return chr((plain or characters)[0][0])
