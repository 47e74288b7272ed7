"""The text of templates and compound fields, cut into literals and field references.

``render/{shot}_{version}`` is a literal, a field, a literal, a field. ``{{`` and ``}}`` stand for
the braces themselves.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

_PIECE = re.compile(r"\{\{|\}\}|\{|\}|[^{}]+")
FIELD_NAME = re.compile(r"[a-z][a-z0-9_]{0,63}", re.ASCII)


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
class TemplateError(Exception):
    """The text cannot be cut. *index* is the character where it shows."""

    message: str
    index: int
    fix: str | None = None


def tokenize(text: str) -> tuple[Token, ...]:
    """Return the tokens of *text*; neighbouring literals are one token.

    Raises:
        TemplateError: a brace without its partner, or a field name that is none.
    """
    tokens: list[Token] = []
    literal: list[str] = []
    index = 0
    while index < len(text):
        found = _PIECE.match(text, index)
        assert found is not None, "every character is a brace or not a brace"
        piece = found.group()
        if piece == "}":
            raise TemplateError('"}" without "{"', index, 'write "}}" for the character itself')
        if piece != "{":
            literal.append(piece[0] if piece in ("{{", "}}") else piece)
            index = found.end()
            continue
        end = text.find("}", index)
        name = text[index + 1 : end] if end >= 0 else ""
        _check_name(name, index, end)
        if literal:
            tokens.append(Literal("".join(literal)))
            literal = []
        tokens.append(FieldRef(name))
        index = end + 1
    if literal:
        tokens.append(Literal("".join(literal)))
    return tuple(tokens)


def _check_name(name: str, index: int, end: int) -> None:
    if end < 0:
        raise TemplateError('"{" without "}"', index, 'write "{{" for the character itself')
    if FIELD_NAME.fullmatch(name) is None:
        raise TemplateError(
            f'"{{{name[:100]}}}" names no field: a name is lower-case letters, digits and "_"',
            index,
            'declare the pattern under "fields" and write only its name here',
        )


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
