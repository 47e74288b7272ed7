"""The text of templates and compound fields, cut into literals, fields and references.

``render/{shot}_{version}[/{view}]`` is a literal, a field, a literal, a field and an optional
part, which holds a literal and a field. ``{@name}`` refers to another template. ``{{``, ``}}``,
``[[`` and ``]]`` stand for the characters themselves.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

_PIECE = re.compile(r"\{\{|\}\}|\[\[|\]\]|[{}\[\]]|[^{}\[\]]+")
FIELD_NAME = re.compile(r"[a-z][a-z0-9_]{0,63}", re.ASCII)
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,254}", re.ASCII)
"""Names of shows, roots, sites and templates."""


@dataclass(frozen=True, slots=True)
class Literal:
    """Text that stands in the path as it is."""

    text: str


@dataclass(frozen=True, slots=True)
class FieldRef:
    """The place of the field *name*."""

    name: str


Token = Literal | FieldRef


@dataclass(frozen=True, slots=True)
class TemplateRef:
    """The place of all that the template *name* consists of."""

    name: str


@dataclass(frozen=True, slots=True)
class Part:
    """One piece of a template's text.

    Attributes:
        index: of its first character in the text.
        option: which optional part it belongs to, from 0; None for what is always there.
        foreign: it comes from a template that is referred to at *index*.
    """

    piece: Token | TemplateRef
    index: int
    option: int | None = None
    foreign: bool = False


@dataclass(frozen=True, slots=True)
class TemplateError(Exception):
    """The text cannot be cut. *index* is the character where it shows."""

    message: str
    index: int
    fix: str | None = None


def parse_template(text: str) -> tuple[Part, ...]:
    """Return the parts of the template *text*.

    Raises:
        TemplateError: a bracket without its partner, an optional part inside another or with
            nothing in it, or a name that is none.
    """
    parts: list[Part] = []
    opened: int | None = None
    options = 0
    for index, piece in _pieces(text):
        if isinstance(piece, Literal | FieldRef | TemplateRef):
            parts.append(Part(piece, index, None if opened is None else options))
        elif piece == "[":
            if opened is not None:
                raise TemplateError(
                    "an optional part inside another", index, 'write "[[" for the character itself'
                )
            opened = index
        elif opened is None:
            raise TemplateError('"]" without "["', index, 'write "]]" for the character itself')
        elif not parts or parts[-1].option != options:
            raise TemplateError("the optional part is empty", opened, "remove it")
        else:
            opened = None
            options += 1
    if opened is not None:
        raise TemplateError(
            '"[" without "]"', opened, 'write "]" where it ends, or "[[" for the character itself'
        )
    return tuple(parts)


def tokenize(text: str) -> tuple[Token, ...]:
    """Return the tokens of the compound *text*; neighbouring literals are one token.

    Raises:
        TemplateError: a bracket without its partner, a field name that is none, or what only
            templates may hold.
    """
    tokens: list[Token] = []
    for index, piece in _pieces(text):
        if isinstance(piece, TemplateRef):
            raise TemplateError(
                f'"{{@{piece.name}}}" is a template: a compound consists of fields',
                index,
                "refer to it in a template",
            )
        if isinstance(piece, str):
            raise TemplateError(
                "a compound has no optional parts",
                index,
                f'put them into the template; write "{piece * 2}" for the character itself',
            )
        tokens.append(piece)
    return merge_literals(tokens)


def merge_literals(tokens: Iterable[Token]) -> tuple[Token, ...]:
    """Return *tokens* with neighbouring literals made one."""
    merged: list[Token] = []
    for token in tokens:
        last = merged[-1] if merged else None
        if isinstance(token, Literal) and isinstance(last, Literal):
            merged[-1] = Literal(last.text + token.text)
        else:
            merged.append(token)
    return tuple(merged)


def _pieces(text: str) -> Iterator[tuple[int, Token | TemplateRef | str]]:
    """Yield (index, piece); an opening or closing square bracket is its character."""
    index = 0
    while index < len(text):
        found = _PIECE.match(text, index)
        assert found is not None, "every character is a bracket or not a bracket"
        piece = found.group()
        end = found.end()
        if piece == "}":
            raise TemplateError('"}" without "{"', index, 'write "}}" for the character itself')
        if piece == "{":
            close = text.find("}", index)
            if "{" in text[end:close]:
                close = -1  # the next field begins before this one ends
            yield index, _reference(text[index + 1 : close] if close >= 0 else None, index)
            end = close + 1
        elif piece in ("[", "]"):
            yield index, piece
        else:
            yield index, Literal(piece[0] if piece in ("{{", "}}", "[[", "]]") else piece)
        index = end


def _reference(name: str | None, index: int) -> FieldRef | TemplateRef:
    if name is None:
        raise TemplateError(
            '"{" without "}"', index, 'write "}" where it ends, or "{{" for the character itself'
        )
    if name.startswith("@"):
        if NAME.fullmatch(name[1:]) is None:
            raise TemplateError(
                f'"{{{name[:100]}}}" names no template', index, "write {@name} with its name"
            )
        return TemplateRef(name[1:])
    if FIELD_NAME.fullmatch(name) is None:
        raise TemplateError(
            f'"{{{name[:100]}}}" names no field: a name is lower-case letters, digits and "_"',
            index,
            'declare the pattern under "fields" and write only its name here',
        )
    return FieldRef(name)


def split_elements(tokens: tuple[Token, ...]) -> list[tuple[Token, ...]]:
    """Cut the tokens of a template at each "/" of its literals into path elements."""
    elements: list[list[Token]] = [[]]
    for token in tokens:
        if isinstance(token, FieldRef):
            elements[-1].append(token)
            continue
        first, *others = token.text.split("/")
        if first:
            elements[-1].append(Literal(first))
        elements.extend([Literal(other)] if other else [] for other in others)
    return [tuple(element) for element in elements]
