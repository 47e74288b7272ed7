"""Proofs of single elements: matching is never slow, and no text can be read in two ways.

Each element is proven once, however many templates share it. What all elements take together is
bounded: a document must not cost minutes.
"""

from __future__ import annotations

from shotfs.pathspec import elements
from shotfs.pathspec.automata import Budget, TooComplex, automaton_of, two_readings
from shotfs.pathspec.backtracking import ATTEMPTS_MAX, attempts
from shotfs.pathspec.elements import Fields, Piece, Tokens, flatten, text_of
from shotfs.pathspec.fields import Field
from shotfs.pathspec.regex import Ranges, alphabet, intersect, lengths, sign_count
from shotfs.pathspec.tokens import Literal

SIGNS_MAX = 1_500_000
"""Characters and character sets in the expressions of all elements together: a field of ten
thousand choices can stand in a few dozen different elements, a plain one in any number."""
STEPS_MAX = 8_000_000
"""Pairs of edges that the proofs of all elements look at."""


class ElementProofs:
    """Proofs of elements, each made once however many templates share it."""

    def __init__(self, fields: Fields) -> None:
        self._fields = fields
        self._signs: dict[str, int] = {}
        self._room = Budget(SIGNS_MAX)
        self._steps = Budget(STEPS_MAX)
        self._alphabets: dict[str, Ranges] = {}
        self._problems: dict[Tokens, tuple[str, str] | None] = {}

    def problem(self, tokens: Tokens) -> tuple[str, str] | None:
        """Return (what is wrong with the element *tokens*, its fix), or None."""
        if tokens not in self._problems:
            self._problems[tokens] = self._find_problem(tokens)
        return self._problems[tokens]

    def _find_problem(self, tokens: Tokens) -> tuple[str, str] | None:
        if all(isinstance(token, Literal) for token in tokens):
            return None
        shown = text_of(tokens)[:200]
        try:
            self._room.spend(self._size(tokens))
        except TooComplex:
            message = f'the element "{shown}" is one too many with fields of so many choices'
            return (
                f"{message} or so long patterns",
                "let templates share elements, or narrow the fields that stand in many of them",
            )
        tree = elements.expand(tokens, self._fields, set())
        if attempts(tree) > ATTEMPTS_MAX:
            return (
                f'matching the element "{shown}" could take very long for some names',
                "give its fields patterns that exclude the character that follows them",
            )
        if self._is_plain(tokens):
            return None
        try:
            text = two_readings(automaton_of(tree), self._steps)
        except TooComplex:
            return (
                f'the element "{shown}" is too large to be proven',
                "use smaller counts or fewer choices",
            )
        if text is None:
            return None
        return (
            f'the element "{shown}" is ambiguous: {text!r} can be cut into its fields in two ways',
            "exclude the separator from a field's pattern, or put a literal between the fields",
        )

    def _size(self, tokens: Tokens) -> int:
        size = 0
        for piece in flatten(tokens, self._fields):
            if isinstance(piece, str):
                size += len(piece)
                continue
            if piece.name not in self._signs:
                assert piece.shape is not None, "compounds are taken apart"
                self._signs[piece.name] = sign_count(piece.shape)
            size += self._signs[piece.name]
        return size

    def _is_plain(self, tokens: Tokens) -> bool:
        """Return whether it is plain to see that texts of *tokens* have one reading only.

        From either end, fields are taken off whose end shows: those of fixed length, and those that
        cannot hold the literal character beside them. If one field is left, it is what is left.
        """
        pieces = flatten(tokens, self._fields)
        left = self._peel(pieces, 0)
        return self._peel(pieces[left:][::-1], -1) + left >= len(pieces) - 1

    def _peel(self, pieces: list[Piece], nearest: int) -> int:
        """Return how many of *pieces* are clear. *nearest*: which end of a literal comes first."""
        for index, piece in enumerate(pieces):
            if isinstance(piece, str) or self._is_fixed(piece):
                continue
            following = pieces[index + 1] if index + 1 < len(pieces) else None
            if not isinstance(following, str):
                return index
            code = ord(following[nearest])
            if intersect(self._alphabet(piece), ((code, code),)):
                return index
        return len(pieces)

    def _is_fixed(self, field: Field) -> bool:
        assert field.shape is not None, "compounds are taken apart, trees are not in elements"
        least, most = lengths(field.shape)
        return least == most

    def _alphabet(self, field: Field) -> Ranges:
        if field.name not in self._alphabets:
            assert field.shape is not None
            self._alphabets[field.name] = alphabet(field.shape)
        return self._alphabets[field.name]
