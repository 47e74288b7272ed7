"""Languages of fields, as automata that the proofs walk: exact where the field says all it refuses.

A fragment is a small automaton of one field: its shape, without its excluded texts, cut to its
length. Fields with the same language share one fragment, whatever they are called: for the question
whether two templates share a path only texts count. Character sets are numbered, so that the walks
compare numbers; `Alphabet` knows what they are and which of them meet.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass

from shotfs.pathspec import regex
from shotfs.pathspec.automata import Automaton, Budget, TooComplex, automaton_of
from shotfs.pathspec.fields import Field
from shotfs.pathspec.regex import NAME_CHARACTERS, Ranges, complement, intersect

FRAGMENT_STATES_MAX = 100_000

MOVES_MAX = 1_500_000
"""Moves of all fragments together: a hundred bytes each."""

ANSWERS_MAX = 200_000
"""Remembered answers about single characters: names from outside must not fill the memory."""

Length = tuple[int, int | None]
"""Least and most characters; None: no limit."""

NO_SET = -1


class Alphabet:
    """Numbers for sets of characters. Grows only."""

    def __init__(self) -> None:
        self._numbers: dict[Ranges, int] = {}
        self.sets: list[Ranges] = []
        self._met: dict[tuple[int, int], int] = {}
        self._holds: dict[tuple[int, str], bool] = {}

    def number(self, ranges: Ranges) -> int:
        """Return the number of *ranges*; `NO_SET` when they are empty."""
        if not ranges:
            return NO_SET
        known = self._numbers.get(ranges)
        if known is None:
            known = self._numbers[ranges] = len(self.sets)
            self.sets.append(ranges)
        return known

    def meet(self, one: int, other: int) -> int:
        """Return the number of what both sets hold, or `NO_SET`."""
        if one == other:
            return one
        known = self._met.get((one, other))
        if known is None:
            known = self.number(intersect(self.sets[one], self.sets[other]))
            self._met[one, other] = known
        return known

    def holds(self, number: int, character: str) -> bool:
        """Return whether the set *number* holds *character*."""
        known = self._holds.get((number, character))
        if known is None:
            if len(self._holds) >= ANSWERS_MAX:
                self._holds = {}
            code = ord(character)
            known = any(low <= code <= high for low, high in self.sets[number])
            self._holds[number, character] = known
        return known


@dataclass(slots=True)
class Fragment:
    """An automaton of one field. State 0 is its start; no text of a field is empty.

    Attributes:
        moves: of each state: (number of a set, next state).
        final: whether the text may end in each state.
    """

    moves: list[list[tuple[int, int]]]
    final: list[bool]


class Languages:
    """The fragments of all fields, each made once for each language.

    Raises everywhere:
        TooComplex: a field's automaton is too large, or all of them together are.
    """

    def __init__(self) -> None:
        self.alphabet = Alphabet()
        self.fragments: list[Fragment] = []
        self._by_language: dict[object, int] = {}
        self._by_field: dict[tuple[str, int], int] = {}
        self._tree: int | None = None
        self._budget = Budget(MOVES_MAX)

    def of_field(self, field: Field) -> int:
        """Return the number of the fragment of *field*, which is neither compound nor tree."""
        key = (field.name, id(field))
        known = self._by_field.get(key)
        if known is None:
            assert field.shape is not None, "compounds are made of others, trees have their own"
            known = self.of(field.shape, field.excluded, field.length)
            self._by_field[key] = known
        return known

    def of(self, shape: regex.Regex, excluded: frozenset[str], length: Length) -> int:
        """Return the number of the fragment of *shape* without *excluded*, cut to *length*."""
        language = (shape, excluded, length)
        known = self._by_language.get(language)
        if known is None:
            fragment = _glushkov(automaton_of(shape), self.alphabet, self._budget)
            if length != (1, None):
                fragment = _product(fragment, _Counter(*length), self.alphabet, self._budget)
            if excluded:
                fragment = _product(fragment, _Excluder(excluded), self.alphabet, self._budget)
            known = self._by_language[language] = len(self.fragments)
            self.fragments.append(fragment)
        return known

    def tree(self) -> int:
        """Return the number of the fragment of trees: one or more whole elements."""
        if self._tree is None:
            name = self.alphabet.number(NAME_CHARACTERS)
            slash = self.alphabet.number(((ord("/"), ord("/")),))
            moves = [[(name, 1)], [(name, 1), (slash, 2)], [(name, 1)]]
            self._tree = len(self.fragments)
            self.fragments.append(Fragment(moves, [False, True, False]))
        return self._tree


def _glushkov(automaton: Automaton, alphabet: Alphabet, budget: Budget) -> Fragment:
    budget.spend(sum(map(len, automaton.following)))
    numbers = [alphabet.number(ranges) for ranges in automaton.sets]
    # The automaton's own start is its last state, -1; here it is the first.
    ordered = [automaton.following[-1], *automaton.following[:-1]]
    moves = [[(numbers[to], to + 1) for to in following] for following in ordered]
    return Fragment(moves, [place - 1 in automaton.final for place in range(len(ordered))])


class _Counter:
    """Counts characters: what is too long leads nowhere, what is too short does not end."""

    start = 0

    def __init__(self, least: int, most: int | None) -> None:
        self._least = least
        self._most = most

    def steps(self, state: int, ranges: Ranges) -> Iterator[tuple[Ranges, int]]:
        if self._most is None:
            yield ranges, min(state + 1, self._least)
        elif state < self._most:
            yield ranges, state + 1

    def final(self, state: int) -> bool:
        return state >= self._least


class _Excluder:
    """Follows the excluded texts: state 0 is none of them any more, 1 their beginning."""

    start = 1

    def __init__(self, texts: frozenset[str]) -> None:
        self._children: list[dict[str, int]] = [{}, {}]
        self._ends = {0: False, 1: "" in texts}
        for text in sorted(texts):
            state = 1
            for character in text:
                following = self._children[state].get(character)
                if following is None:
                    following = self._children[state][character] = len(self._children)
                    self._children.append({})
                    self._ends[following] = False
                state = following
            self._ends[state] = True

    def steps(self, state: int, ranges: Ranges) -> Iterator[tuple[Ranges, int]]:
        children = self._children[state]
        if not children:
            yield ranges, 0
            return
        for character, following in children.items():
            single = ((ord(character), ord(character)),)
            if intersect(ranges, single):
                yield single, following
        codes = tuple((ord(one), ord(one)) for one in sorted(children))
        others = intersect(ranges, complement(codes))
        if others:
            yield others, 0

    def final(self, state: int) -> bool:
        return not self._ends[state]


def _product(
    fragment: Fragment, other: _Counter | _Excluder, alphabet: Alphabet, budget: Budget
) -> Fragment:
    """Return the automaton of the texts of *fragment* that *other* lets through."""
    first = (0, other.start)
    numbers = {first: 0}
    result = Fragment([[]], [False])
    waiting = deque([first])
    while waiting:
        state = waiting.popleft()
        place = numbers[state]
        result.final[place] = fragment.final[state[0]] and other.final(state[1])
        for number, following in fragment.moves[state[0]]:
            for ranges, beside in other.steps(state[1], alphabet.sets[number]):
                to = (following, beside)
                if to not in numbers:
                    if len(numbers) >= FRAGMENT_STATES_MAX:
                        raise TooComplex
                    numbers[to] = len(numbers)
                    result.moves.append([])
                    result.final.append(False)
                    waiting.append(to)
                result.moves[place].append((alphabet.number(ranges), numbers[to]))
        budget.spend(len(result.moves[place]))
    return result
