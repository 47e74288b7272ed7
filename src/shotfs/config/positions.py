"""Where each value of a TOML document stands: line and column, which tomllib does not tell.

A scanner for documents that tomllib has accepted already, so it can be small: it only has to
find the values, not to judge them. Pure.
"""

from __future__ import annotations

import re
import tomllib
from bisect import bisect_right
from dataclasses import dataclass

KeyPath = tuple[str | int, ...]
"""Keys from the top of the document; an int is an index into an array."""

_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")
_BLANKS = re.compile(r"[ \t]*")
_FILLER = re.compile(r"(?:[ \t\r\n]|#[^\n]*)*")
_SCALAR = re.compile(r"[^,\]}#\r\n]+")
_BASIC = re.compile(r'"(?:[^"\\]|\\.)*"')
_LITERAL = re.compile(r"'[^']*'")
_BASIC_BLOCK = re.compile(r'"""(?:[^"\\]|\\.|"{1,2}(?!"))*"{3,5}', re.DOTALL)
_LITERAL_BLOCK = re.compile(r"'''(?:[^']|'{1,2}(?!'))*'{3,5}", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Position:
    """A place in a text; both numbers start at 1, and columns count characters."""

    line: int
    column: int


def key_positions(text: str) -> dict[KeyPath, Position]:
    """Return where each key of *text* stands (of an array's element: where its value starts).

    Args:
        text: a document that `tomllib.loads` accepts. Anything else gives an unspecified result
            or a ValueError.
    """
    return _Scanner(text).scan()


class _Scanner:
    """One pass over the text with an index; each method consumes what it is named after."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0
        self._found: dict[KeyPath, Position] = {}
        self._arrays: dict[KeyPath, int] = {}
        self._line_starts = [0, *(match.end() for match in re.finditer("\n", text))]

    def scan(self) -> dict[KeyPath, Position]:
        table: KeyPath = ()
        self._take(_FILLER)
        while self._at < len(self._text):
            if self._text[self._at] == "[":
                table = self._header()
            else:
                self._pair(table)
            self._take(_FILLER)
        return self._found

    def _header(self) -> KeyPath:
        is_array = self._text.startswith("[[", self._at)
        start = self._at
        self._at += 2 if is_array else 1
        path = self._resolve(self._key())
        self._at += 2 if is_array else 1
        if is_array:
            self._arrays[path] = self._arrays.get(path, -1) + 1
            self._note(path, start)
            path = (*path, self._arrays[path])
        for depth in range(1, len(path) + 1):  # a table that is only implied stands here too
            self._note(path[:depth], start)
        return path

    def _resolve(self, keys: list[str]) -> KeyPath:
        """Insert the index of the newest element wherever a part names an array of tables."""
        path: KeyPath = ()
        for index, key in enumerate(keys):
            path = (*path, key)
            if path in self._arrays and index < len(keys) - 1:
                path = (*path, self._arrays[path])
        return path

    def _pair(self, table: KeyPath) -> None:
        start = self._at
        path: KeyPath = table
        for key in self._key():
            path = (*path, key)
            self._note(path, start)
        self._expect("=")
        self._take(_BLANKS)
        self._value(path)

    def _key(self) -> list[str]:
        keys: list[str] = []
        while True:
            self._take(_BLANKS)
            keys.append(self._simple_key())
            self._take(_BLANKS)
            if not self._text.startswith(".", self._at):
                return keys
            self._at += 1

    def _simple_key(self) -> str:
        quote = self._text[self._at : self._at + 1]
        if quote not in {'"', "'"}:
            return self._take(_BARE_KEY)
        raw = self._take(_BASIC if quote == '"' else _LITERAL)
        return str(tomllib.loads(f"key = {raw}")["key"])

    def _value(self, path: KeyPath) -> None:
        for opening, pattern in (
            ('"""', _BASIC_BLOCK),
            ("'''", _LITERAL_BLOCK),
            ('"', _BASIC),
            ("'", _LITERAL),
        ):
            if self._text.startswith(opening, self._at):
                self._take(pattern)
                return
        if self._text.startswith("[", self._at):
            self._array(path)
        elif self._text.startswith("{", self._at):
            self._inline_table(path)
        else:
            self._take(_SCALAR)

    def _array(self, path: KeyPath) -> None:
        self._expect("[")
        index = 0
        while not self._closes("]"):
            self._note((*path, index), self._at)
            self._value((*path, index))
            self._separator()
            index += 1

    def _inline_table(self, path: KeyPath) -> None:
        self._expect("{")
        while not self._closes("}"):
            self._pair(path)
            self._separator()

    def _closes(self, bracket: str) -> bool:
        self._take(_FILLER)
        if not self._text.startswith(bracket, self._at):
            return False
        self._at += 1
        return True

    def _separator(self) -> None:
        self._take(_FILLER)
        if self._text.startswith(",", self._at):
            self._at += 1

    def _expect(self, sign: str) -> None:
        if not self._text.startswith(sign, self._at):
            raise ValueError(f"{sign!r} expected at character {self._at}")
        self._at += len(sign)

    def _take(self, pattern: re.Pattern[str]) -> str:
        match = pattern.match(self._text, self._at)
        if match is None:
            raise ValueError(f"not TOML at character {self._at}")
        self._at = match.end()
        return match.group()

    def _note(self, path: KeyPath, at: int) -> None:
        self._found.setdefault(path, self._position(at))

    def _position(self, at: int) -> Position:
        line = bisect_right(self._line_starts, at)
        return Position(line=line, column=at - self._line_starts[line - 1] + 1)
