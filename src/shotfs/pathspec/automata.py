"""Decides questions about path elements on automata, not by trying examples.

An expression becomes a position automaton (Glushkov 1961): one state for each character set in it,
no empty moves. Walking two automata side by side then answers: can one text match both, and can
one text be cut into fields in two ways. A field that repeats (`Same`) is read as any text of its
shape, so an answer "yes" may be a false alarm there; "no" is always a proof.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field

from shotfs.pathspec.regex import (
    Chars,
    Choice,
    Group,
    Ranges,
    Regex,
    Repeat,
    Same,
    Sequence,
    intersect,
)

POSITIONS_MAX = 100_000
EDGES_MAX = 300_000
STEPS_MAX = 500_000
"""Pairs of edges that one search looks at: about a second of work."""

_START = -1


class TooComplex(Exception):
    """The expression is too large to decide anything about it."""


class Budget:
    """How much work there may be in all, in steps of a microsecond or a few.

    A document is read by services that others depend on: it must not cost minutes.
    """

    def __init__(self, steps: int) -> None:
        self._left = steps

    def spend(self, steps: int) -> None:
        """Take *steps* off.

        Raises:
            TooComplex: there are not so many left.
        """
        self._left -= steps
        if self._left < 0:
            raise TooComplex


@dataclass(slots=True)
class Automaton:
    """States are positions; `_START` is before the first character.

    Attributes:
        sets: the characters that enter each position.
        labels: which token of the element each position belongs to.
        following: the positions that may come next; in order; the last are those of `_START`.
        final: positions where the text may end.
    """

    sets: list[Ranges] = field(default_factory=list)
    labels: list[int] = field(default_factory=list)
    following: list[dict[int, None]] = field(default_factory=list)
    final: set[int] = field(default_factory=set)


@dataclass(slots=True)
class _Part:
    first: list[int]
    last: list[int]
    empty: bool


class _Builder:
    def __init__(self) -> None:
        self.automaton = Automaton()
        self._labels = 0
        self._edges = 0

    def build(self, tree: Regex) -> Automaton:
        part = self._part(tree, 0)
        automaton = self.automaton
        automaton.following.append(dict.fromkeys(part.first))
        automaton.final = {*part.last, *((_START,) if part.empty else ())}
        return automaton

    def _part(self, tree: Regex, label: int) -> _Part:
        match tree:
            case Chars(ranges):
                return self._position(ranges, label)
            case Sequence(parts):
                result = _Part([], [], empty=True)
                for one in parts:
                    result = self._join(result, self._part(one, label))
                return result
            case Choice(branches):
                made = [self._part(one, label) for one in branches]
                return _Part(
                    [position for one in made for position in one.first],
                    [position for one in made for position in one.last],
                    any(one.empty for one in made),
                )
            case Repeat(body, least, most):
                return self._repeat(body, least, most, label)
            case Group(_, body) | Same(_, body):
                self._labels += 1
                return self._part(body, self._labels)

    def _position(self, ranges: Ranges, label: int) -> _Part:
        automaton = self.automaton
        position = len(automaton.sets)
        if position >= POSITIONS_MAX:
            raise TooComplex
        automaton.sets.append(ranges)
        automaton.labels.append(label)
        automaton.following.append({})
        return _Part([position], [position], empty=False)

    def _link(self, lasts: list[int], firsts: list[int]) -> None:
        self._edges += len(lasts) * len(firsts)
        if self._edges > EDGES_MAX:
            raise TooComplex
        for last in lasts:
            self.automaton.following[last].update(dict.fromkeys(firsts))

    def _join(self, one: _Part, other: _Part) -> _Part:
        self._link(one.last, other.first)
        return _Part(
            one.first + other.first if one.empty else one.first,
            one.last + other.last if other.empty else other.last,
            one.empty and other.empty,
        )

    def _repeat(self, body: Regex, least: int, most: int | None, label: int) -> _Part:
        """Write the rounds out: each optional round follows the one before it only.

        Skipping rounds in between would say the same with quadratically many edges.
        """
        result = _Part([], [], empty=True)
        for _ in range(max(least, 1) if most is None else least):
            part = self._part(body, label)
            result = self._join(result, part)
        if most is None:
            self._link(part.last, part.first)
            result.empty = result.empty or least == 0
            return result
        ends = result.last
        for index in range(least, most):
            part = self._part(body, label)
            self._link(ends, part.first)
            if index == 0:
                result = _Part(part.first, list(part.last), empty=True)
            else:
                result.last = result.last + part.last
            ends = part.last
        return result


def automaton_of(tree: Regex) -> Automaton:
    """Return the automaton of *tree*.

    Raises:
        TooComplex: it has more than `POSITIONS_MAX` positions or `EDGES_MAX` edges.
    """
    return _Builder().build(tree)


_State = tuple[int, int, bool]


def common_text(one: Automaton, other: Automaton) -> str | None:
    """Return a shortest text that both match, or None when there is none.

    Raises:
        TooComplex: more than `STEPS_MAX` pairs of edges.
    """
    return _search(one, other, differing=False)


def two_readings(automaton: Automaton, budget: Budget | None = None) -> str | None:
    """Return a shortest text whose characters can be dealt to the fields in two ways, or None.

    Raises:
        TooComplex: more than `STEPS_MAX` pairs of edges, or than *budget* has left.
    """
    return _search(automaton, automaton, differing=True, budget=budget)


def _search(
    one: Automaton, other: Automaton, *, differing: bool, budget: Budget | None = None
) -> str | None:
    start: _State = (_START, _START, not differing)
    came_from: dict[_State, tuple[_State, Ranges]] = {}
    seen = {start}
    steps = 0
    waiting = deque([start])
    while waiting:
        state = waiting.popleft()
        if state[2] and state[0] in one.final and state[1] in other.final:
            return _text(state, came_from)
        pairs = len(one.following[state[0]]) * len(other.following[state[1]])
        steps += pairs
        if steps > STEPS_MAX:
            raise TooComplex
        if budget is not None:
            budget.spend(pairs)
        for following, shared in _steps(state, one, other):
            if following not in seen:
                seen.add(following)
                came_from[following] = (state, shared)
                waiting.append(following)
    return None


def _steps(state: _State, one: Automaton, other: Automaton) -> Iterator[tuple[_State, Ranges]]:
    left, right, differs = state
    for first in one.following[left]:
        for second in other.following[right]:
            shared = intersect(one.sets[first], other.sets[second])
            if shared:
                marked = differs or one.labels[first] != other.labels[second]
                yield (first, second, marked), shared


def readable(ranges: Ranges) -> str:
    """Return one of the characters of *ranges*, one that people like to read where there is one."""
    for wanted in "axAX01_-.":
        if intersect(ranges, ((ord(wanted), ord(wanted)),)):
            return wanted
    return chr(ranges[-1][0] if ranges[0][0] < 32 and len(ranges) > 1 else ranges[0][0])


def _text(state: _State, came_from: dict[_State, tuple[_State, Ranges]]) -> str:
    characters: list[str] = []
    while state in came_from:
        state, shared = came_from[state]
        characters.append(readable(shared))
    return "".join(reversed(characters))
