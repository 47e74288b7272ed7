"""Plausible texts of fields and plausible paths of templates, for documents and comparisons.

A person who reads an example should recognise a name of a production, so well-known words come
first and letters out of a pattern last. Every text here has been matched with its field, every
path resolved by its specification. Pure and deterministic: the same document gives the same text.
"""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from uuid import UUID

from shotfs.errors import InvalidArgument
from shotfs.pathspec import regex
from shotfs.pathspec.elements import leaves, write
from shotfs.pathspec.fields import Field, FieldValue, Tile
from shotfs.pathspec.pattern import Pattern
from shotfs.pathspec.regex import Chars, Choice, Group, Regex, Repeat, Same, Sequence
from shotfs.pathspec.specification import Specification
from shotfs.pathspec.tokens import Token

TEXTS_MAX = 8
"""Different texts of one field; tables in documents show a few of them."""

_MOMENT = datetime(2026, 11, 21, 14, 30, tzinfo=UTC)
_UUID = UUID("6f1c2a34-9d5e-4b7a-8c3d-2e1f0a9b8c7d")
_VALUES: Mapping[str, tuple[FieldValue, ...]] = {
    "int": (10, 20, 1, 2, 5, 100, 1001, 0, 30, 1000, 50, 12, 101, 999, 10_000, 100_000, -10),
    "frame": (1001, 1002, 1086, 1, 101, 10, 100, 50, 0, 5, 24, 120, 999, 5000, 86400, -10),
    "udim": (1001, 1002, 1011, Tile(0, 0), Tile(1, 0), Tile(0, 1)),
    "version": (1, 2, 3, 12),
    "timestamp": (_MOMENT, _MOMENT.replace(hour=9, minute=5), _MOMENT.replace(tzinfo=None)),
    "uuid": (_UUID,),
}
_TEXTS: Mapping[str, tuple[str, ...]] = {
    "version": (
        "01JD5ZQ4T8N3V6W9X2Y7B1C4E0",
        "01JD66H2M0K8R4P7Q1S5V9W3XZ",
        "lon-01JD5ZQ4T8N3V6W9X2Y7B1C4E0",
        "bom-01JD66H2M0K8R4P7Q1S5V9W3XZ",
    ),
    "tree": ("lib/stone.inc", "maps/earth.png", "readme.txt"),
}
_NAMES: Mapping[str, tuple[str, ...]] = {
    # Beginnings of field names: what such a field holds in most studios.
    "seq": ("sq010", "010", "abc", "ab", "SQ010", "A", "ABC"),
    "shot": ("sh0010", "sh010", "0010", "010", "SH010", "abc_010_0010"),
    "scene": ("sc01", "010", "SC01"),
    "episode": ("ep101", "101", "EP101"),
    "ep": ("ep101", "101", "EP101"),
    "asset": ("dragon", "oldhouse", "hero", "DRAGON", "heroA"),
    "char": ("dragon", "hero"),
    "layer": ("beauty", "shadow", "matte", "BEAUTY"),
    "pass": ("beauty", "diffuse", "BTY"),
    "aov": ("beauty", "diffuse", "normal"),
    "task": ("light", "comp", "anim", "lgt", "LGT"),
    "step": ("light", "comp", "anim", "lgt"),
    "dep": ("light", "comp", "anim"),
    "map": ("diffuse", "normal", "rough"),
    "channel": ("diffuse", "normal", "rough"),
    "user": ("mira", "jonas", "mj"),
    "artist": ("mira", "jonas", "mj"),
    "ext": ("exr", "png", "jpg"),
    "camera": ("camA", "cam1", "main"),
    "name": ("main", "body", "wing", "MAIN"),
    "variant": ("default", "wet", "A"),
    "take": ("01", "A"),
}
_WORDS = ("main", "body", "stone", "river", "forest", "MAIN", "BODY", "a", "ab", "abc", "A", "AB")

_SIGNS = "abcdefghijklmnopqrstuvwxyzABCDEFGHXYZ0123456789_-."


def texts_of(field: Field) -> tuple[str, ...]:
    """Return up to `TEXTS_MAX` texts that *field* takes, the most plausible first.

    Empty for a compound (its parts have texts) and where no text was found.
    """
    if field.tokens:
        return ()
    if field.choices is not None:
        return field.choices[:TEXTS_MAX]
    found = (text for text in _candidates(field) if takes(field, text))
    return tuple(itertools.islice(dict.fromkeys(found), TEXTS_MAX))


def takes(field: Field, text: str) -> bool:
    """Return whether *field*, which is no compound, may have *text*."""
    return field.problem(text) is None


def _candidates(field: Field) -> Iterator[str]:
    for value in _VALUES.get(field.kind, ()):
        with contextlib.suppress(InvalidArgument):
            yield field.format(value)
    yield from _TEXTS.get(field.kind, ())
    if field.kind == "str":
        for beginning, words in _NAMES.items():
            if field.name.startswith(beginning):
                yield from words
        yield from _WORDS
    if field.shape is not None:
        for turn in range(TEXTS_MAX):
            yield _generate(field.shape, turn)


def _generate(tree: Regex, turn: int) -> str:
    """Return a text of *tree*; each *turn* makes other choices."""
    match tree:
        case Chars(ranges):
            return _sign(tree, turn) if ranges else ""
        case Sequence(parts):
            return "".join(_generate(part, turn + index) for index, part in enumerate(parts))
        case Choice(branches):
            return _generate(branches[turn % len(branches)], turn)
        case Repeat(body, least, most):
            count = max(least, 1 if turn % 2 == 0 or most is None else most)
            count = min(count if most is None else min(count, most), 64)
            if isinstance(body, Chars) and body.ranges == regex.DIGITS:
                return f"{10 * (turn + 1):0{count}d}"[-count:]
            return "".join(_generate(body, turn + index) for index in range(count))
        case Group(_, body) | Same(_, body):
            return _generate(body, turn)


def _sign(tree: Chars, turn: int) -> str:
    wanted = "abcdefgh" if turn % 8 else "a"
    for sign in wanted[turn % len(wanted) :] + _SIGNS:
        code = ord(sign)
        if any(low <= code <= high for low, high in tree.ranges):
            return sign
    return chr(tree.ranges[0][0])


def leaf_fields(specification: Specification, tokens: tuple[Token, ...]) -> dict[str, Field]:
    """Return the fields in *tokens* that hold text themselves, in order of their first place."""
    fields = leaves(tokens, specification.fields)
    return {field.name: field for field in fields if not field.tokens}


def example_path(
    specification: Specification,
    pattern: Pattern,
    texts: Mapping[str, str] | None = None,
    *,
    variant: int = 0,
    turn: int = 0,
) -> str | None:
    """Return a path that *pattern* produces, or None where none was found.

    Args:
        specification: the one that has *pattern*.
        pattern: the template.
        texts: of the fields that should have just these.
        variant: which way of writing the template.
        turn: other numbers give other examples, as far as the fields allow.
    """
    chosen = pattern.variants[variant]
    tokens = tuple(token for element in chosen.elements for token in element)
    fields = leaf_fields(specification, tokens)
    values = {name: texts_of(field) for name, field in fields.items()}
    given = dict(texts or {})
    if any(not values[name] for name in fields if name not in given):
        return None
    for attempt in range(turn, turn + TEXTS_MAX):
        raw = {
            name: given[name] if name in given else some[attempt % len(some)]
            for name, some in values.items()
        }
        path = "/".join(write(element, specification.fields, raw) for element in chosen.elements)
        if produces(specification, pattern, path):
            return path
    return None


def produces(specification: Specification, pattern: Pattern, path: str) -> bool:
    """Return whether *path* is a file of *pattern*, and no scratch name."""
    found = specification.resolve(path)
    return found is not None and not found.scratch and found.template.name == pattern.template.name
