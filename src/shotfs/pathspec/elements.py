"""Path elements: from the tokens of one element to what matches and writes it."""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from shotfs.pathspec import regex
from shotfs.pathspec.fields import CHOICES_MAX, Check, Field
from shotfs.pathspec.pattern import Matcher
from shotfs.pathspec.regex import Group, Regex, Same, Sequence
from shotfs.pathspec.tokens import FieldRef, Literal, Token

_BRACKET = re.compile(r"[{}\[\]]")

Fields = Mapping[str, Field]
Tokens = tuple[Token, ...]


def expand(tokens: tuple[Token, ...], fields: Fields, seen: set[str]) -> Regex:
    """Return the expression of *tokens*; a field in *seen* must repeat its text."""
    parts: list[Regex] = []
    for token in tokens:
        if isinstance(token, Literal):
            parts.append(regex.literal(token.text))
            continue
        field = fields[token.name]
        again = token.name in seen
        seen.add(token.name)
        body = expand(field.tokens, fields, seen) if field.shape is None else field.shape
        parts.append(Same(token.name, body) if again else Group(token.name, body))
    return Sequence(tuple(parts))


def leaves(tokens: tuple[Token, ...], fields: Fields) -> Iterator[Field]:
    """Yield the fields in *tokens*, compounds before their parts, in order, repeats included."""
    for token in tokens:
        if isinstance(token, FieldRef):
            field = fields[token.name]
            yield field
            yield from leaves(field.tokens, fields)


Piece = str | Field
"""Literal text, or a field that is no compound."""


def flatten(tokens: Tokens, fields: Fields) -> list[Piece]:
    """Return what *tokens* consist of, compounds taken apart and neighbouring literals joined."""
    pieces: list[Piece] = []
    _flatten(tokens, fields, pieces)
    return pieces


def _flatten(tokens: Tokens, fields: Fields, pieces: list[Piece]) -> None:
    for token in tokens:
        if isinstance(token, Literal):
            last = pieces[-1] if pieces else None
            if isinstance(last, str):
                pieces[-1] = last + token.text
            else:
                pieces.append(token.text)
        elif fields[token.name].tokens:
            _flatten(fields[token.name].tokens, fields, pieces)
        else:
            pieces.append(fields[token.name])


def text_of(tokens: tuple[Token, ...]) -> str:
    """Return *tokens* as a template has them: brackets that are literal stand twice."""
    return "".join(
        _BRACKET.sub(r"\g<0>\g<0>", token.text)
        if isinstance(token, Literal)
        else f"{{{token.name}}}"
        for token in tokens
    )


def write(tokens: tuple[Token, ...], fields: Fields, texts: Mapping[str, str]) -> str:
    """Return the text of *tokens* with the raw *texts* of their fields; all must be there."""
    return "".join(
        token.text
        if isinstance(token, Literal)
        else texts[token.name]
        if token.name in texts
        else write(fields[token.name].tokens, fields, texts)
        for token in tokens
    )


def has_only_choices(tokens: Tokens, fields: Fields) -> bool:
    """Return whether *tokens* hold fields, and only such whose texts are listed."""
    found = [one for one in leaves(tokens, fields) if not one.tokens]
    return bool(found) and all(one.choices is not None for one in found)


def spells(tokens: Tokens, fields: Fields, text: str) -> bool:
    """Return whether *tokens*, whose fields have choices only, can be *text*, which is short."""
    pieces = flatten(tokens, fields)

    def rest_spells(number: int, start: int, bound: Mapping[str, str]) -> bool:
        if number == len(pieces) or start > len(text):
            return number == len(pieces) and start == len(text)
        piece = pieces[number]
        if isinstance(piece, str):
            return text.startswith(piece, start) and rest_spells(
                number + 1, start + len(piece), bound
            )
        known = (bound[piece.name],) if piece.name in bound else piece.choices or ()
        return any(
            rest_spells(number + 1, start + len(choice), {**bound, piece.name: choice})
            for choice in known
            if text.startswith(choice, start)
        )

    return rest_spells(0, 0, {})


@dataclass(frozen=True, slots=True)
class Finite:
    """An element whose names can all be listed: literals and enumerations only."""

    tokens: tuple[Token, ...]
    variables: tuple[tuple[str, tuple[str, ...]], ...]

    def names(self, fields: Fields, bound: Mapping[str, str]) -> Iterator[str]:
        """Yield the names of the element, where the fields *bound* have their texts already."""
        ranges = [(bound[name],) if name in bound else choices for name, choices in self.variables]
        names = [name for name, _ in self.variables]
        for texts in itertools.product(*ranges):
            yield write(self.tokens, fields, dict(zip(names, texts, strict=True)))


def _finite(tokens: Tokens, found: list[Field]) -> Finite | None:
    """Return the element as `Finite`, or None when it has free fields or too many names."""
    variables: dict[str, tuple[str, ...]] = {}
    for field in found:
        if field.tokens:
            continue
        if field.choices is None:
            return None
        variables[field.name] = field.choices
    if math.prod(map(len, variables.values())) > CHOICES_MAX:
        return None
    return Finite(tokens, tuple(variables.items()))


def checks_of(tokens: tuple[Token, ...], fields: Fields) -> tuple[tuple[str, Check], ...]:
    """Return (field name, check) of each field in *tokens* that has a check, once."""
    found = leaves(tokens, fields)
    return tuple({one.name: one.check for one in found if one.check is not None}.items())


class Element:
    """One element of paths, however many templates share it. Made by `Elements.of`.

    Its expression is compiled at first use: compiling is slow, and most processes meet few of many
    templates. Threads that meet it at once compute the same.

    Attributes:
        tokens: what it is made of.
        fields: what its tokens name.
        checks: (field name, check) of what its expression does not say.
        finite: its names, where they can be listed.
        version: its first version field, or None.
    """

    __slots__ = ("_match", "checks", "fields", "finite", "tokens", "version")

    def __init__(self, tokens: Tokens, fields: Fields) -> None:
        self.tokens = tokens
        self.fields = fields
        self._match: Matcher | None = None
        found = list(leaves(tokens, fields))
        self.checks = tuple({one.name: one.check for one in found if one.check is not None}.items())
        self.finite = _finite(tokens, found)
        self.version = next((one for one in found if one.kind == "version"), None)

    @property
    def names_count(self) -> int | None:
        """How many names it has, where they can be listed; those of literals alone too."""
        if self.finite is None:
            return None
        return math.prod(len(texts) for _, texts in self.finite.variables)

    @property
    def match(self) -> Matcher:
        """What matches its names whole; the checks are not in it."""
        if self._match is None:
            tree = expand(self.tokens, self.fields, set())
            self._match = re.compile(regex.render(tree), re.ASCII).fullmatch
        return self._match

    def find(self, name: str) -> re.Match[str] | None:
        """Return the match of *name*, which passes the checks too, or None."""
        found = self.match(name)
        if found is not None:
            for key, check in self.checks:
                if check(found[key]) is not None:
                    return None
        return found


class Elements:
    """The elements of a specification, each made once."""

    def __init__(self, fields: Fields) -> None:
        self._fields = fields
        self._known: dict[Tokens, Element] = {}

    def of(self, tokens: Tokens) -> Element:
        """Return the element that *tokens* make."""
        known = self._known.get(tokens)
        if known is None:
            known = self._known[tokens] = Element(tokens, self._fields)
        return known
