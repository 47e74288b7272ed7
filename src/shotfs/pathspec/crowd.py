"""One automaton of many sibling patterns that no literal tells apart.

Determinised as names come: a state is the set of places that a beginning of a name leads to, and
what follows each character is remembered. A name so costs one step a character, however many
patterns there are. The states are bounded: beyond that they are forgotten and made again, and a
name costs at most what trying each pattern would.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Generic, Protocol, TypeVar

from shotfs.pathspec.elements import Element, flatten
from shotfs.pathspec.languages import Languages
from shotfs.pathspec.spellings import Spellings, Symbol

STATES_MAX = 4000
MOVES_MAX = 40_000
PLACES_MAX = 400_000
"""Of all remembered states together, and of all steps between them: some tens of megabytes."""


class HasElement(Protocol):
    """What can be in a crowd."""

    @property
    def element(self) -> Element:
        """What its names match."""
        ...


EdgeT = TypeVar("EdgeT", bound=HasElement)


class _State:
    __slots__ = ("following", "places")

    def __init__(self, places: frozenset[int]) -> None:
        self.places = places
        self.following: dict[str, _State] = {}


class Crowd(Generic[EdgeT]):
    """Many edges of one node, told apart by one automaton.

    Threads may share it: what they find at once is the same, and forgetting replaces the states.
    """

    def __init__(self, edges: Sequence[EdgeT]) -> None:
        self._edges = edges
        languages = Languages()
        self._spellings = Spellings(languages)
        for number, edge in enumerate(edges):
            self._spellings.put(number, _symbols(edge.element, languages))
        self._forget()

    def _forget(self) -> None:
        self._start = _State(frozenset((0,)))
        self._states = {self._start.places: self._start}
        self._moves = 0
        self._places = 0

    def candidates(self, name: str) -> list[EdgeT]:
        """Return the edges that *name* may match: exact but for fields that repeat."""
        state = self._start
        for character in name:
            following = state.following.get(character)
            if following is None:
                following = self._step(state, character)
            state = following
            if not state.places:
                return []
        numbers = sorted(
            {number for place in state.places for number in self._spellings.accepted(place)}
        )
        return [self._edges[number] for number in numbers]

    def _step(self, state: _State, character: str) -> _State:
        holds = self._spellings.languages.alphabet.holds
        places: set[int] = set()
        for place in state.places:
            chars, sets = self._spellings.moves(place)
            if character in chars:
                places.add(chars[character])
            places.update(to for number, to in sets if holds(number, character))
        if len(self._states) > STATES_MAX or self._moves > MOVES_MAX or self._places > PLACES_MAX:
            self._forget()
        reached = frozenset(places)
        following = self._states.get(reached)
        if following is None:
            following = self._states[reached] = _State(reached)
            self._places += len(reached)
        self._moves += 1
        state.following[character] = following
        return following


def _symbols(element: Element, languages: Languages) -> list[Symbol]:
    symbols: list[Symbol] = []
    for piece in flatten(element.tokens, element.fields):
        if isinstance(piece, str):
            symbols.extend(piece)
        else:
            symbols.append(languages.of_field(piece))
    return symbols
