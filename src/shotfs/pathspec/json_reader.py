"""JSON with positions: where each value of a document stands.

The standard parser gives no positions (field notes) and silently keeps the last of two equal keys;
a person who wrote a 2,000-line specification needs the line, and a duplicate key is a mistake.
Strict RFC 8259: no comments, no trailing commas, no NaN. Pure, no recursion deeper than
`NESTING_MAX`.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from dataclasses import dataclass, field
from json import JSONDecodeError
from json.decoder import scanstring  # type: ignore[attr-defined]  # missing in typeshed
from typing import cast

NESTING_MAX = 32
"""A specification needs five levels; more is a mistake or an attack on the stack."""

_CHARACTER = re.compile(
    r"\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|\\u[0-9a-fA-F]{4}|\\.|[^\"]"
)
_SPACE = re.compile(r"[ \t\r\n]*")
_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]*)(\.[0-9]+)?([eE][-+]?[0-9]+)?")
_WORDS: dict[str, bool | None] = {"true": True, "false": False, "null": None}
_NUMBER_DIGITS_MAX = 300

Scalar = str | int | float | bool | None


@dataclass(frozen=True, slots=True)
class JsonError(Exception):
    """The text is not JSON. *offset* is where reading stopped."""

    message: str
    offset: int
    fix: str | None = None


@dataclass(slots=True)
class JsonValue:
    """One value of a document and where it stands.

    Attributes:
        value: a scalar, a dict of name to JsonValue, or a list of JsonValue.
        offset: of its first character: index in the text, plus the text's base.
        key_offset: index of the name it stands under, or its own offset where it has none.
        duplicates: (name, offset) of repeated names, of an object.
    """

    value: Scalar | dict[str, JsonValue] | list[JsonValue]
    offset: int
    key_offset: int
    duplicates: list[tuple[str, int]] = field(default_factory=list)

    @property
    def kind(self) -> str:
        """The JSON word for its type, for messages."""
        value = self.value
        if value is None:
            return "null"
        if isinstance(value, bool):
            return "a boolean"
        if isinstance(value, dict):
            return "an object"
        if isinstance(value, list):
            return "a list"
        return "a string" if isinstance(value, str) else "a number"


class Lines:
    """Turns character offsets of one text into lines and columns."""

    def __init__(self, text: str) -> None:
        self._starts = [0, *(found.end() for found in re.finditer("\n", text))]

    def position(self, offset: int) -> tuple[int, int]:
        """Return (line, column) of *offset*, both from 1."""
        index = bisect_right(self._starts, offset) - 1
        return index + 1, offset - self._starts[index] + 1


def read_json(text: str, base: int = 0) -> JsonValue:
    """Return the one value of a document.

    Args:
        text: the document.
        base: added to the offsets of all values.

    Raises:
        JsonError: it is not JSON, or nested deeper than `NESTING_MAX`.
    """
    reader = _Reader(text, base)
    value, end = reader.value(reader.skip(0), key_offset=None, depth=0)
    end = reader.skip(end)
    if end != len(text):
        raise JsonError("text after the end of the document", end, "remove it")
    return value


def offset_in_string(text: str, offset: int, index: int) -> int:
    """Return where in *text* the character *index* of the JSON string at *offset* is written.

    Escapes take two characters, six, or twelve where they spell a surrogate pair.
    """
    position = offset + 1
    for _ in range(index):
        found = _CHARACTER.match(text, position)
        if found is None:
            break
        position = found.end()
    return position


class _Reader:
    def __init__(self, text: str, base: int) -> None:
        self._text = text
        self._base = base

    def skip(self, offset: int) -> int:
        found = _SPACE.match(self._text, offset)
        return offset if found is None else found.end()

    def value(self, offset: int, *, key_offset: int | None, depth: int) -> tuple[JsonValue, int]:
        start = self._text[offset : offset + 1]
        at = self._base + (offset if key_offset is None else key_offset)
        if depth > NESTING_MAX:
            raise JsonError(f"nested deeper than {NESTING_MAX} levels", offset)
        if start == "{":
            return self._object(offset, at, depth)
        if start == "[":
            return self._list(offset, at, depth)
        if start == '"':
            text, end = self.string(offset)
            return JsonValue(text, self._base + offset, at), end
        return self._scalar(offset, at)

    def string(self, offset: int) -> tuple[str, int]:
        try:
            text, end = cast("tuple[str, int]", scanstring(self._text, offset + 1, True))
        except JSONDecodeError as error:
            raise JsonError(error.msg[:1].lower() + error.msg[1:], error.pos) from error
        if not text.isascii():
            try:
                text.encode()
            except UnicodeEncodeError as error:
                raise JsonError("a string holds half of a surrogate pair", offset) from error
        return text, end

    def _expected(self, what: str, offset: int, fix: str | None = None) -> JsonError:
        """Return the mistake that *what* is not at *offset*; a comment is told as what it is."""
        if self._text.startswith(_COMMENTS, offset):
            return JsonError(*_unexpected(self._text, offset))
        return JsonError(f"expected {what}", offset, fix)

    def _object(self, offset: int, at: int, depth: int) -> tuple[JsonValue, int]:
        members: dict[str, JsonValue] = {}
        duplicates: list[tuple[str, int]] = []
        position = self.skip(offset + 1)
        if self._text[position : position + 1] == "}":
            return JsonValue(members, self._base + offset, at), position + 1
        while True:
            if self._text[position : position + 1] != '"':
                raise self._expected("a name in double quotes", position, _trailing(position))
            name, end = self.string(position)
            colon = self.skip(end)
            if self._text[colon : colon + 1] != ":":
                raise JsonError(f'expected ":" after "{name}"', colon)
            value, end = self.value(self.skip(colon + 1), key_offset=position, depth=depth + 1)
            if name in members:
                duplicates.append((name, self._base + position))
            else:
                members[name] = value
            end = self.skip(end)
            mark = self._text[end : end + 1]
            if mark == "}":
                return JsonValue(members, self._base + offset, at, duplicates), end + 1
            if mark != ",":
                raise self._expected('"," or "}"', end)
            position = self.skip(end + 1)

    def _list(self, offset: int, at: int, depth: int) -> tuple[JsonValue, int]:
        items: list[JsonValue] = []
        position = self.skip(offset + 1)
        if self._text[position : position + 1] == "]":
            return JsonValue(items, self._base + offset, at), position + 1
        while True:
            value, end = self.value(position, key_offset=None, depth=depth + 1)
            items.append(value)
            end = self.skip(end)
            mark = self._text[end : end + 1]
            if mark == "]":
                return JsonValue(items, self._base + offset, at), end + 1
            if mark != ",":
                raise self._expected('"," or "]"', end)
            position = self.skip(end + 1)

    def _scalar(self, offset: int, at: int) -> tuple[JsonValue, int]:
        for word, meaning in _WORDS.items():
            if self._text.startswith(word, offset):
                return JsonValue(meaning, self._base + offset, at), offset + len(word)
        found = _NUMBER.match(self._text, offset)
        if found is None:
            raise JsonError(*_unexpected(self._text, offset))
        text = found.group()
        if len(text) > _NUMBER_DIGITS_MAX:
            raise JsonError("a number of more than 300 digits", offset)
        if found.group(1) is None and found.group(2) is None:
            return JsonValue(int(text), self._base + offset, at), found.end()
        number = float(text)
        if number in (float("inf"), float("-inf")):
            raise JsonError(f"the number {text} is too large", offset)
        return JsonValue(number, self._base + offset, at), found.end()


_COMMENTS = ("//", "/*", "#")


def _trailing(position: int) -> str | None:
    return "remove a comma before the closing bracket, or quote the name" if position else None


def _unexpected(text: str, offset: int) -> tuple[str, int, str | None]:
    if offset >= len(text):
        return "the document ends too early", offset, "close the open brackets"
    if text.startswith(_COMMENTS, offset):
        return "comments are not allowed in JSON", offset, 'use a "usage" text instead'
    if text[offset] == "\ufeff":
        return "a byte order mark", offset, "save the document as UTF-8 without BOM"
    if text[offset] == "'":
        return "a text in single quotes", offset, "use double quotes"
    fix = "write a value there: text in double quotes, a number, true, false, null, {...} or [...]"
    return f"unexpected {text[offset]!r}", offset, fix
