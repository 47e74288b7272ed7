"""Finds the few among many sibling patterns that a name can match.

Few siblings are just tried. Of many, each is filed under the rarest key that its names must have
(`keys`): a slice of the name or a chunk of it, found by dictionary look-ups. Siblings that share
their rarest key with a crowd are told apart by one automaton of all of them (`crowd`). What comes
out still has to match: the index only leaves out what cannot.

Measured 2026-11 with tools/bench/spec: see ADR 0008.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from typing import Generic, Protocol, TypeVar

from shotfs.pathspec.crowd import Crowd
from shotfs.pathspec.elements import Element
from shotfs.pathspec.keys import Key, chunks_of, keys_of

FEW = 8
"""So many siblings are tried one after another."""
SLICES_MAX = 12
"""Slices of a name that are looked up, each under 0.1 us."""

Place = tuple[int, int | None]


class HasElement(Protocol):
    """What can be indexed."""

    @property
    def element(self) -> Element:
        """What its names match."""
        ...


EdgeT = TypeVar("EdgeT", bound=HasElement)


class Index(Generic[EdgeT]):
    """Sibling edges of one node of the trie."""

    __slots__ = ("_always", "_chunks", "_crowds", "_edges", "_slices")

    def __init__(self, edges: list[EdgeT]) -> None:
        self._edges = edges
        self._always = edges
        self._slices: list[tuple[int, int | None, dict[str, list[EdgeT]]]] = []
        self._chunks: dict[str, list[EdgeT]] = {}
        self._crowds: dict[int, Crowd[EdgeT]] = {}
        if len(edges) > FEW:
            self._file(edges)

    def candidates(self, name: str) -> list[EdgeT]:
        """Return the edges that *name* may match."""
        found = self._always
        if len(found) > FEW:
            found = self._of_crowd(found, name)
        for start, stop, table in self._slices:
            filed = table.get(name[start:stop])
            if filed is not None:
                if len(filed) > FEW:
                    filed = self._of_crowd(filed, name)
                found = [*found, *filed] if found else filed
        if self._chunks:
            chunks = self._chunks
            for chunk in chunks_of(name):
                filed = chunks.get(chunk)
                if filed is not None:
                    if len(filed) > FEW:
                        filed = self._of_crowd(filed, name)
                    found = [*found, *filed] if found else filed
        # An edge whose choices are keys, and a chunk that stands twice, come more than once.
        return list(dict.fromkeys(found)) if len(found) > 1 and found is not self._edges else found

    def _of_crowd(self, edges: list[EdgeT], name: str) -> list[EdgeT]:
        crowd = self._crowds.get(id(edges))
        if crowd is None:
            crowd = self._crowds[id(edges)] = Crowd(edges)
        return crowd.candidates(name)

    def _file(self, edges: list[EdgeT]) -> None:
        keys = [keys_of(edge.element) for edge in edges]
        counts = Counter((key.place, text) for some in keys for key in some for text in key.texts)

        def crowd(key: Key) -> tuple[int, int]:
            return max(counts[key.place, text] for text in key.texts), len(key.texts)

        best = [min(some, key=crowd, default=None) for some in keys]
        uses = Counter(key.place for key in best if key is not None and key.place is not None)
        kept = {place for place, _ in uses.most_common(SLICES_MAX)}
        tables: dict[Place, dict[str, list[EdgeT]]] = {}
        self._always = []
        for edge, some in zip(edges, keys, strict=True):
            usable = [key for key in some if key.place is None or key.place in kept]
            if not usable:
                self._always.append(edge)
                continue
            key = min(usable, key=crowd)
            table = (
                self._chunks
                if key.place is None
                else tables.setdefault(key.place, defaultdict(list))
            )
            for text in key.texts:
                table.setdefault(text, []).append(edge)
        self._slices = [(start, stop, dict(table)) for (start, stop), table in tables.items()]
