"""All paths of all templates as one automaton, over characters, "/" included.

Each template's variants and alias paths are *spellings*: sequences of characters and field
fragments. Spellings that begin alike share their beginning (a trie), so walking the automaton
beside itself (`overlap`) costs little where ten thousand templates differ by a few characters only.
What only one spelling has is not built before a walk comes there.

A place in the automaton is one number: the node, and the state within the fragment that leads to
the node; state 0 stands at the node itself.
"""

from __future__ import annotations

import itertools
import math
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from shotfs.pathspec.elements import Fields, Tokens, leaves
from shotfs.pathspec.fields import Field
from shotfs.pathspec.languages import Languages
from shotfs.pathspec.pattern import Pattern
from shotfs.pathspec.tokens import Literal

STATE_BITS = 18
SPELLINGS_MAX = 64
"""A field that repeats and has few choices is written out: that many spellings of a template."""

SEVERAL = -1
_NOBODY = -2

Symbol = str | int
"""A character, or the number of a fragment."""


@dataclass(frozen=True, slots=True, eq=False)
class Owner:
    """One way to write a template, or one of its alias paths. Compared by identity.

    Attributes:
        alias: the version field whose aliases the path ends with; None for files.
        elements: of the path, as far as it goes.
        tree: the last element is a tree.
        repeated: fields that stand in it several times and are not written out: read as any text.
        approximate: fields whose automata read more than the fields do.
        version_elements: how many elements name a version directory that is published as a whole.
    """

    pattern: Pattern
    elements: tuple[Tokens, ...]
    tree: bool
    alias: Field | None
    repeated: tuple[str, ...]
    approximate: tuple[str, ...]
    version_elements: int | None = None


@dataclass(frozen=True, slots=True)
class Known:
    """What is known of fields, for a closer look at two spellings.

    Attributes:
        texts: the only text of these fields.
        excluded: texts that these fields do not have.
    """

    texts: Mapping[str, str]
    excluded: Mapping[str, frozenset[str]]


NOTHING_KNOWN = Known({}, {})


class Speller:
    """Writes owners as sequences of symbols.

    Args:
        aliased: for each version field with aliases, the field whose texts they are.
    """

    def __init__(self, fields: Fields, languages: Languages, aliased: Mapping[str, Field]) -> None:
        self._fields = fields
        self.languages = languages
        self._aliased = aliased

    def spellings(
        self, owner: Owner, known: Known = NOTHING_KNOWN
    ) -> Iterator[tuple[list[Symbol], int | None]]:
        """Yield each sequence of *owner*, with the place where its version directory ends."""
        written = [name for name in self._written_out(owner) if name not in known.texts]
        ranges = [self._fields[name].choices or () for name in written]
        for texts in itertools.product(*ranges):
            fixed = {**known.texts, **dict(zip(written, texts, strict=True))}
            yield self._spell(owner, Known(fixed, known.excluded))

    def _written_out(self, owner: Owner) -> list[str]:
        names = repeated_fields(owner.elements, self._fields)
        return [name for name in names if name not in owner.repeated]

    def _spell(self, owner: Owner, known: Known) -> tuple[list[Symbol], int | None]:
        symbols: list[Symbol] = []
        version_at = None
        last = len(owner.elements) - 1
        for index, tokens in enumerate(owner.elements):
            if index > 0:
                symbols.append("/")
            if index == last and owner.tree:
                symbols.append(self.languages.tree())
            else:
                self._add(symbols, tokens, known, owner.alias if index == last else None)
            if index + 1 == owner.version_elements:
                version_at = len(symbols)
        return symbols, version_at

    def _add(
        self, symbols: list[Symbol], tokens: Tokens, known: Known, alias: Field | None
    ) -> None:
        for token in tokens:
            if isinstance(token, Literal):
                symbols.extend(token.text)
                continue
            field = self._fields[token.name]
            if alias is not None and field.name == alias.name:
                symbols.append(self.languages.of_field(self._aliased[field.name]))
            elif field.tokens:
                self._add(symbols, field.tokens, known, alias)
            elif field.name in known.texts:
                symbols.extend(known.texts[field.name])
            elif field.name in known.excluded:
                assert field.shape is not None
                excluded = field.excluded | known.excluded[field.name]
                symbols.append(self.languages.of(field.shape, excluded, field.length))
            else:
                symbols.append(self.languages.of_field(field))


def repeated_fields(elements: tuple[Tokens, ...], fields: Fields) -> list[str]:
    """Return the names of the fields that stand in *elements* several times, compounds left out."""
    counts = Counter(
        field.name for tokens in elements for field in leaves(tokens, fields) if not field.tokens
    )
    return [name for name, count in counts.items() if count > 1]


def loosely_repeated(elements: tuple[Tokens, ...], fields: Fields) -> tuple[str, ...]:
    """Return those repeated fields that are too many or too free to be written out."""
    names = repeated_fields(elements, fields)
    few = [name for name in names if fields[name].choices is not None]
    while few and math.prod(len(fields[name].choices or ()) for name in few) > SPELLINGS_MAX:
        few.remove(max(few, key=lambda name: len(fields[name].choices or ())))
    return tuple(name for name in names if name not in few)


@dataclass(slots=True)
class _Tail:
    owner: int
    symbols: list[Symbol]
    place: int
    version_at: int | None


Moves = tuple[dict[str, int], list[tuple[int, int]]]
"""From a place: by one character, and by each set of characters (its number), to a place."""


class Spellings:
    """The automaton. Add all owners, then walk."""

    def __init__(self, languages: Languages) -> None:
        self.languages = languages
        self.owners: list[Owner] = []
        self.sole: list[int] = []
        """Of each node: the only owner below, or `SEVERAL`."""
        self.versions: dict[int, list[int]] = {}
        """Owners whose version directory ends at a node."""
        self._accepts: dict[int, list[int]] = {}
        self._chars: list[dict[str, int]] = []
        self._fragments: list[dict[int, int]] = []
        self._entered: list[int] = []
        self._tails: dict[int, _Tail] = {}
        self._moves: dict[int, Moves] = {}
        self._new_node(-1)

    def _new_node(self, entered: int) -> int:
        self._chars.append({})
        self._fragments.append({})
        self._entered.append(entered)
        self.sole.append(_NOBODY)
        return len(self.sole) - 1

    def add(self, owner: Owner, speller: Speller, known: Known = NOTHING_KNOWN) -> None:
        """Add all spellings of *owner*."""
        number = len(self.owners)
        self.owners.append(owner)
        for symbols, version_at in speller.spellings(owner, known):
            self._put(0, _Tail(number, symbols, 0, version_at))

    def put(self, number: int, symbols: list[Symbol]) -> None:
        """Add one spelling of whatever the caller calls *number*, instead of an owner."""
        self._put(0, _Tail(number, symbols, 0, None))

    def _put(self, node: int, tail: _Tail) -> None:
        while True:
            sole = self.sole[node]
            fresh = sole == _NOBODY
            self.sole[node] = tail.owner if sole in (_NOBODY, tail.owner) else SEVERAL
            if tail.version_at == tail.place:
                self.versions.setdefault(node, []).append(tail.owner)
            if tail.place == len(tail.symbols):
                self._accepts.setdefault(node, []).append(tail.owner)
                return
            if fresh:
                self._tails[node] = tail
                return
            self._unfold(node)
            node = self._child(node, tail.symbols[tail.place])
            tail = _Tail(tail.owner, tail.symbols, tail.place + 1, tail.version_at)

    def _unfold(self, node: int) -> None:
        tail = self._tails.pop(node, None)
        if tail is not None:
            child = self._child(node, tail.symbols[tail.place])
            self._put(child, _Tail(tail.owner, tail.symbols, tail.place + 1, tail.version_at))

    def _child(self, node: int, symbol: Symbol) -> int:
        if isinstance(symbol, str):
            child = self._chars[node].get(symbol)
            if child is None:
                child = self._chars[node][symbol] = self._new_node(-1)
            return child
        child = self._fragments[node].get(symbol)
        if child is None:
            child = self._fragments[node][symbol] = self._new_node(symbol)
        return child

    def node_at(self, place: int) -> int | None:
        """Return the node that *place* has reached, or None within a field."""
        node, state = place >> STATE_BITS, place & ((1 << STATE_BITS) - 1)
        if state == 0 or self.languages.fragments[self._entered[node]].final[state]:
            return node
        return None

    def accepted(self, place: int) -> list[int]:
        """Return the owners whose paths may end at *place*."""
        node = self.node_at(place)
        return [] if node is None else self._accepts.get(node, [])

    def moves(self, place: int) -> Moves:
        """Return how paths may go on from *place*."""
        known = self._moves.get(place)
        if known is None:
            known = self._moves[place] = self._find_moves(place)
        return known

    def _find_moves(self, place: int) -> Moves:
        node, state = place >> STATE_BITS, place & ((1 << STATE_BITS) - 1)
        chars: dict[str, int] = {}
        sets: list[tuple[int, int]] = []
        fragments = self.languages.fragments
        if state > 0:
            base = node << STATE_BITS
            inside = fragments[self._entered[node]]
            sets.extend((number, base | to) for number, to in inside.moves[state])
            if not inside.final[state]:
                return chars, sets
        self._unfold(node)
        for character, child in self._chars[node].items():
            chars[character] = child << STATE_BITS
        for number, child in self._fragments[node].items():
            base = child << STATE_BITS
            sets.extend((by, base | to) for by, to in fragments[number].moves[0])
        return chars, sets

    def below(self, place: int) -> list[int]:
        """Return the owners whose paths go on from *place*, in order."""
        found: set[int] = set()
        waiting = [place >> STATE_BITS]
        while waiting:
            node = waiting.pop()
            if self.sole[node] != SEVERAL:
                found.add(self.sole[node])
                continue
            found.update(self._accepts.get(node, ()))
            waiting.extend(self._chars[node].values())
            waiting.extend(self._fragments[node].values())
            if node in self._tails:
                found.add(self._tails[node].owner)
        return sorted(found)
