"""Collects the mistakes of all documents of a load, so that a person sees them at once.

An offset counts characters over all documents together, in the order in which they were opened:
one number says document, line and column, and whoever reports a mistake need not know which
document it is in.
"""

from __future__ import annotations

import difflib
import heapq
import itertools
from bisect import bisect_right
from collections.abc import Collection, Iterable
from functools import lru_cache

from shotfs.errors import Problem
from shotfs.pathspec.json_reader import JsonValue, Lines, offset_in_string

PROBLEMS_MAX = 1000
"""After so many the rest says nothing new, and a hostile document could fill the memory."""

SCANNED_MAX = 20_000
COMPARED_MAX = 200
MATCHED_MAX = 8
"""Names that a wrong one is compared with, those that begin alike first; and how many of these are
matched sign by sign."""


class Report:
    """The mistakes found so far in the documents of one load. Grows only.

    Attributes:
        incomplete: an included document could not be read. What it may declare is not called
            unknown: one mistake would bring a mistake for each of its names.
    """

    def __init__(self) -> None:
        self.incomplete = False
        self._bases: list[int] = []
        self._documents: list[tuple[str, str, Lines]] = []
        self._end = 0
        self._found: list[tuple[int, Problem]] = []

    def open(self, text: str, source: str) -> int:
        """Take in the document *text* of *source* and return the offset of its first character."""
        base = self._end
        self._bases.append(base)
        self._documents.append((source, text, Lines(text)))
        # One more than its length: a document that ends too early has a mistake at its end.
        self._end += len(text) + 1
        return base

    def beside(self) -> Report:
        """Return an empty report of the same documents, for warnings."""
        other = Report()
        other._bases, other._documents, other._end = self._bases, self._documents, self._end
        return other

    @property
    def problems(self) -> list[Problem]:
        """All mistakes, in the order of the documents and of the lines in them."""
        return [problem for _, problem in sorted(self._found, key=lambda pair: pair[0])]

    @property
    def full(self) -> bool:
        """Whether nothing more is noted: whoever goes through thousands of things can stop."""
        return len(self._found) >= PROBLEMS_MAX

    def add(self, where: str, message: str, offset: int, fix: str | None = None) -> None:
        """Note one mistake at JSON pointer *where*, at *offset*."""
        if self.full:
            return
        index = self._index(offset)
        line, column = self._documents[index][2].position(offset - self._bases[index])
        source = self._documents[index][0] if index else None
        self._found.append((offset, Problem(where or "/", message, fix, line, column, source)))

    def _index(self, offset: int) -> int:
        return bisect_right(self._bases, offset) - 1

    def line(self, offset: int) -> int:
        """Return the line, from 1, of *offset* in its document."""
        index = self._index(offset)
        return self._documents[index][2].position(offset - self._bases[index])[0]

    def source(self, offset: int) -> str:
        """Return the document that *offset* is in."""
        return self._documents[self._index(offset)][0]

    def place(self, offset: int) -> str:
        """Return document and line of *offset*, as messages show them."""
        return f"{self.source(offset)}:{self.line(offset)}"

    def character(self, offset: int, index: int) -> int:
        """Return the offset of the character *index* of the JSON string that begins at *offset*."""
        at = self._index(offset)
        base = self._bases[at]
        return base + offset_in_string(self._documents[at][1], offset - base, index)

    def check_names(self, where: str, value: JsonValue, known: Collection[str]) -> None:
        """Note each name of the object *value* that is repeated or not in *known*."""
        self.check_duplicates(where, value)
        assert isinstance(value.value, dict)
        for name, member in value.value.items():
            if self.full:
                return
            if name not in known:
                self.add(
                    f"{where}/{escape_pointer(name)}",
                    f'unknown name "{name[:100]}"',
                    member.key_offset,
                    suggest(name, known),
                )

    def check_duplicates(self, where: str, value: JsonValue) -> None:
        """Note each name that the object *value* has twice."""
        for name, offset in value.duplicates:
            self.add(
                f"{where}/{escape_pointer(name)}",
                f'"{name[:100]}" stands here twice',
                offset,
                "remove one of them",
            )


def escape_pointer(name: str) -> str:
    """Return *name* as one part of a JSON pointer (RFC 6901)."""
    return name.replace("~", "~0").replace("/", "~1")


def nearest(name: str, known: Iterable[str]) -> str | None:
    """Return the one of *known* that *name* was most likely meant to be, or None."""
    wanted = name[:100]
    scanned = list(itertools.islice(known, SCANNED_MAX))
    likely = scanned
    if len(scanned) > COMPARED_MAX:
        likely = [one for one in scanned if one[:2] == wanted[:2]][:COMPARED_MAX]
        likely += scanned[: COMPARED_MAX - len(likely)]
    # The matcher takes a millisecond for long names: what shares few signs does not come so far.
    signs = _signs(wanted)
    near = heapq.nlargest(MATCHED_MAX, likely, key=lambda one: _shared(signs, _signs(one[:100])))
    found = difflib.get_close_matches(wanted, near, n=1, cutoff=0.6)
    return found[0] if found else None


@lru_cache(maxsize=4096)
def _signs(name: str) -> frozenset[str]:
    """Return the characters of *name* and its pairs of neighbours."""
    return frozenset([*name, *map("".join, itertools.pairwise(name))])


def _shared(one: frozenset[str], other: frozenset[str]) -> float:
    return len(one & other) / (len(one) + len(other) + 1)


def suggest(name: str, known: Collection[str]) -> str:
    """Return what to write instead of *name*."""
    best = nearest(name, known)
    if best is not None:
        return f'write "{best}"'
    shown = heapq.nsmallest(20, itertools.islice(known, SCANNED_MAX))
    listed = ", ".join(f'"{one}"' for one in shown)
    return f"choose one of {listed}" if listed else "remove it"
