"""What must stand in a name for an element to match it: literals, by where they stand.

A literal after parts of fixed length stands at a known place, counted from the start or, where what
follows is fixed, from the end. A run of letters and digits that a literal bounds on both sides is a
whole chunk of the name, wherever it stands; so is a choice between two literals. `index` looks
these keys up instead of trying one expression after another.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from shotfs.pathspec.elements import Element, Piece, flatten
from shotfs.pathspec.regex import lengths

CHUNK = re.compile(r"[0-9A-Za-z]+")
"""Chunks are what this finds: the longest runs, so a name has each of its chunks once."""
_SPACED = "".join(chr(code) if CHUNK.match(chr(code)) else " " for code in range(128))
CHOICES_MAX = 64
"""Choices of a field that are keys."""

_LENGTHS = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32)


@dataclass(frozen=True, slots=True)
class Key:
    """Texts of which one stands in every name of an element.

    Attributes:
        place: (start, stop) of a slice of the name, as slices count; None for a chunk.
    """

    place: tuple[int, int | None] | None
    texts: tuple[str, ...]


def chunks_of(name: str) -> list[str]:
    """Return the chunks of *name*."""
    if name.isascii():
        # Half the time of the expression; 0.3 us, measured 2026-11.
        return name.translate(_SPACED).split()
    return CHUNK.findall(name)


def keys_of(element: Element) -> list[Key]:
    """Return the keys of *element*; a name that lacks one of them does not match it."""
    flat = flatten(element.tokens, element.fields)
    return [*_from_start(flat), *_from_end(flat), *_chunks(flat)]


def _from_start(pieces: list[Piece]) -> list[Key]:
    found: list[Key] = []
    offset = 0
    for piece in pieces:
        if isinstance(piece, str):
            found.extend(
                Key((offset, offset + length), (piece[:length],)) for length in _cuts(piece)
            )
        length = _fixed_length(piece)
        if length is None:
            break
        offset += length
    return found


def _from_end(pieces: list[Piece]) -> list[Key]:
    found: list[Key] = []
    offset = 0
    for piece in reversed(pieces):
        if isinstance(piece, str):
            found.extend(
                Key((-offset - length, -offset or None), (piece[-length:],))
                for length in _cuts(piece)
            )
        length = _fixed_length(piece)
        if length is None:
            break
        offset += length
    return found


def _cuts(text: str) -> list[int]:
    """Return how much of *text* to look at: all of it, and shorter beginnings others share."""
    return sorted({len(text), *(length for length in _LENGTHS if length < len(text))})


def _fixed_length(piece: Piece) -> int | None:
    if isinstance(piece, str):
        return len(piece)
    assert piece.shape is not None, "a tree is no element of the trie's edges"
    least, most = lengths(piece.shape)
    return least if least == most else None


def _chunks(pieces: list[Piece]) -> list[Key]:
    found: list[Key] = []
    last = len(pieces) - 1
    for index, piece in enumerate(pieces):
        if isinstance(piece, str):
            for run in CHUNK.finditer(piece):
                bounded = (run.start() > 0 or index == 0) and (
                    run.end() < len(piece) or index == last
                )
                if bounded:
                    found.append(Key(None, (run.group(),)))
            continue
        before = pieces[index - 1] if index > 0 else "."
        after = pieces[index + 1] if index < last else "."
        if piece.choices is None or not isinstance(before, str) or not isinstance(after, str):
            continue
        if CHUNK.match(before[-1]) or CHUNK.match(after[0]):
            continue
        runs = [CHUNK.search(choice) for choice in piece.choices]
        texts = tuple(dict.fromkeys(run.group() for run in runs if run is not None))
        if len(runs) <= CHOICES_MAX and all(run is not None for run in runs):
            found.append(Key(None, texts))
    return found
