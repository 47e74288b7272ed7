"""Decides which templates can produce one path, on the automaton of all paths.

The automaton is walked beside itself: two places that one text leads to are a pair; a pair at which
two templates may end is an overlap, and the text that led there shows it. Pairs below which only
one spelling is left are not followed, so what many templates share costs once. Nothing is sampled:
a pair of templates that is not reported shares no path.

Exact but for fields that repeat without being few: they are read as any text each time. Such a
finding is looked at again with the texts that it shows (`closer`).

The same walk finds aliases that are files or directories of templates too, and version directories
that templates on other branches of the trie lie in.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from enum import Enum

from shotfs.pathspec.automata import Budget, TooComplex, readable
from shotfs.pathspec.spellings import SEVERAL, STATE_BITS, Moves, Spellings

PAIRS_MAX = 2_000_000
"""Pairs of places that one proof looks at: ten seconds of work and 400 MB for a while.

10,000 templates (tests/unit/pathspec/generated.py) take 650,000.
"""
STEPS_MAX = 20_000_000
"""Pairs of moves that one proof compares: another ten seconds."""

_Pair = tuple[int, int]
_Symbol = str | int


class Meeting(Enum):
    """How two owners meet.

    Both end there; or the first, an alias, is a directory of the other; or the other goes on below
    a version directory of the first.
    """

    SAME_PATH = 1
    ALIAS_IS_DIRECTORY = 2
    IN_VERSION = 3


@dataclass(frozen=True, slots=True)
class Met:
    """Two owners (numbers in `Spellings.owners`) that meet. `path` is a text that shows it."""

    first: int
    second: int
    meeting: Meeting
    path: str


@dataclass(slots=True)
class _Walk:
    spellings: Spellings
    came_from: dict[_Pair, tuple[_Pair, _Symbol] | None] = field(default_factory=dict)
    waiting: deque[_Pair] = field(default_factory=deque)

    def push(self, one: int, other: int, origin: _Pair, symbol: _Symbol) -> None:
        sole = self.spellings.sole
        first = sole[one >> STATE_BITS]
        if first != SEVERAL and first == sole[other >> STATE_BITS]:
            return
        pair = (one, other) if one <= other else (other, one)
        if pair not in self.came_from:
            self.came_from[pair] = (origin, symbol)
            self.waiting.append(pair)

    def text(self, pair: _Pair) -> str:
        """Return a shortest text that leads to *pair*."""
        characters: list[str] = []
        sets = self.spellings.languages.alphabet.sets
        step = self.came_from[pair]
        while step is not None:
            pair, symbol = step
            characters.append(symbol if isinstance(symbol, str) else readable(sets[symbol]))
            step = self.came_from[pair]
        return "".join(reversed(characters))


def meetings(spellings: Spellings, budget: Budget | None = None) -> Iterator[Met]:
    """Yield how the owners of *spellings* meet, those with short paths first.

    The same two may meet again at another place.

    Args:
        spellings: all of them.
        budget: for pairs of moves; `STEPS_MAX` without it.

    Raises:
        TooComplex: more than `PAIRS_MAX` pairs or than the *budget*; what was not yielded is not
            known.
    """
    budget = budget or Budget(STEPS_MAX)
    walk = _Walk(spellings)
    walk.came_from[0, 0] = None
    walk.waiting.append((0, 0))
    while walk.waiting:
        if len(walk.came_from) > PAIRS_MAX:
            raise TooComplex
        pair = walk.waiting.popleft()
        one, other = pair
        left = spellings.moves(one)
        right = left if one == other else spellings.moves(other)
        # Characters are looked up, sets are compared one by one.
        fewer = min(len(left[0]), len(right[0])) if one != other else len(left[0])
        sets, beside = len(left[1]), len(right[1])
        budget.spend(1 + sets * beside + fewer + len(left[0]) * beside + len(right[0]) * sets)
        yield from _met_at(walk, pair, left, right)
        if one == other:
            _diagonal(walk, pair, left)
        else:
            _beside(walk, pair, left, right)


def _diagonal(walk: _Walk, pair: _Pair, moves: Moves) -> None:
    alphabet = walk.spellings.languages.alphabet
    chars, sets = moves
    for character, to in chars.items():
        walk.push(to, to, pair, character)
        for number, beside in sets:
            if alphabet.holds(number, character):
                walk.push(to, beside, pair, character)
    for index, (number, to) in enumerate(sets):
        for by, beside in sets[index:]:
            shared = alphabet.meet(number, by)
            if shared >= 0:
                walk.push(to, beside, pair, shared)


def _beside(walk: _Walk, pair: _Pair, left: Moves, right: Moves) -> None:
    alphabet = walk.spellings.languages.alphabet
    if len(left[0]) > len(right[0]):
        left, right = right, left
    chars, sets = left
    other_chars, other_sets = right
    for character, to in chars.items():
        beside = other_chars.get(character)
        if beside is not None:
            walk.push(to, beside, pair, character)
        for number, beside in other_sets:
            if alphabet.holds(number, character):
                walk.push(to, beside, pair, character)
    for number, to in sets:
        for character, beside in other_chars.items():
            if alphabet.holds(number, character):
                walk.push(to, beside, pair, character)
        for by, beside in other_sets:
            shared = alphabet.meet(number, by)
            if shared >= 0:
                walk.push(to, beside, pair, shared)


def _met_at(walk: _Walk, pair: _Pair, left: Moves, right: Moves) -> Iterator[Met]:
    spellings = walk.spellings
    one, other = pair
    first = spellings.accepted(one)
    second = first if one == other else spellings.accepted(other)
    met: dict[tuple[int, int, Meeting], None] = {}
    for owner in first:
        for beside in second:
            if owner != beside:
                low, high = min(owner, beside), max(owner, beside)
                met[low, high, Meeting.SAME_PATH] = None
    sides = ((one, first, right), (other, second, left)) if one != other else ((one, first, left),)
    for place, ending, moves in sides:
        aliases = [owner for owner in ending if spellings.owners[owner].alias is not None]
        node = spellings.node_at(place) if spellings.versions else None
        # One for all: its fellows go on below it as well, so they meet it like everything else.
        versions = [] if node is None else spellings.versions.get(node, [])[:1]
        if not aliases and not versions:
            continue
        for below in _below_slash(spellings, moves):
            for owner in aliases:
                met[owner, below, Meeting.ALIAS_IS_DIRECTORY] = None
            for owner in versions:
                if owner != below:
                    met[owner, below, Meeting.IN_VERSION] = None
    if met:
        path = walk.text(pair)
        for low, high, meeting in met:
            yield Met(low, high, meeting, path)


def _below_slash(spellings: Spellings, moves: Moves) -> list[int]:
    """Return the owners that go on with another element."""
    chars, sets = moves
    holds: Callable[[int, str], bool] = spellings.languages.alphabet.holds
    places = [chars["/"]] if "/" in chars else []
    places.extend(to for number, to in sets if holds(number, "/"))
    return sorted({owner for place in places for owner in spellings.below(place)})
