"""Words: what the plain languages of scene files are made of (.ma, .ass, .rib).

Strings in double quotes with a backslash before what is special in them, comments up to the end of
the line, single characters that stand for themselves, and words between them. Numbers, of which
such files mostly consist, are passed over without looking at each.
"""

from __future__ import annotations

import re
from enum import Enum, auto
from typing import NamedTuple

from shotfs.prewarm.scanners.text import STRING_CHARS_MAX, Source

_QUOTED_STOP = re.compile(r'["\\]')
_LINE_STOP = re.compile(r"\n")
# Not possessive: Python 3.11.2 forgets to go back out of a group of those that fails.
_NUMBERS = re.compile(r"\s*(?:[-+.0-9][-+.0-9eE]*[\s,]+)+")
_ESCAPES = {"n": "\n", "t": "\t", "r": "\r", "b": "\b", "f": "\f", "\n": ""}


class Sort(Enum):
    """What a token is."""

    WORD = auto()
    STRING = auto()
    MARK = auto()
    END = auto()


class Token(NamedTuple):
    """A piece of the language.

    Attributes:
        text: without its quotes; "" for a string that is longer than is kept.
        line: where it begins.
        first: it is the first one in its line.
    """

    sort: Sort
    text: str
    line: int
    first: bool


class Lexer:
    """Reads the tokens of a source one after the other.

    Args:
        source: is read.
        comment: what a comment begins with: ``//`` or ``#``.
        marks: the characters that stand for themselves.
    """

    def __init__(self, source: Source, *, comment: str, marks: str) -> None:
        self._source = source
        self._comment = re.compile(re.escape(comment))
        self._marks = marks
        self._blank = re.compile(r"[\s,]+" if "," not in marks else r"\s+")
        special = re.escape(marks) + re.escape(comment[0])
        self._word = re.compile(rf'[^\s"{special}]+')
        self._word_rest = re.compile(rf'[\s"{re.escape(marks)}]')
        self._ahead: Token | None = None
        self._last_line = 0

    def next(self) -> Token:
        """Return the next token and pass over it; of sort END at the end of the file.

        Raises:
            ScanFailed: the file ends within a string.
        """
        if self._ahead is not None:
            token, self._ahead = self._ahead, None
            return token
        return self._read()

    def peek(self) -> Token:
        """Return the next token without passing over it."""
        if self._ahead is None:
            self._ahead = self._read()
        return self._ahead

    def skip_numbers(self) -> None:
        """Pass over the numbers that follow, but for the last one."""
        if self._ahead is None:
            while self._source.take(_NUMBERS):
                pass

    def skip_to(self, mark: str) -> None:
        """Pass over everything up to the character *mark*, and over that.

        Strings and comments that have it do not count.
        """
        if self._ahead is not None:
            token = self.next()
            if token.sort is Sort.END or (token.sort is Sort.MARK and token.text == mark):
                return
        stops = _stops(mark)
        while True:
            self._source.until(stops, keep=0)
            char = self._source.peek()
            if char == '"':
                self._source.next()
                self._string(self._source.line)
            elif char in (mark, ""):
                self._source.next()
                return
            elif not self._commented():
                self._source.next()

    def _commented(self) -> bool:
        if self._source.take(self._comment) is None:
            return False
        self._source.until(_LINE_STOP, keep=0)
        return True

    def _read(self) -> Token:
        source = self._source
        while True:
            source.skip(self._blank)
            char = source.peek()
            if not char:
                return Token(Sort.END, "", source.line, first=True)
            if not self._commented():
                break
        line = source.line
        first = line != self._last_line
        self._last_line = line
        if char == '"':
            source.next()
            text = self._string(line)
            self._last_line = source.line
            return Token(Sort.STRING, text, line, first)
        if char in self._marks:
            return Token(Sort.MARK, source.next(), line, first)
        text = source.take(self._word) or source.next()
        if len(text) >= STRING_CHARS_MAX or source.peek() not in ("", " ", "\n"):
            # A word that is longer than what is looked at: data, never a name.
            text += source.until(self._word_rest, keep=256) or ""
        return Token(Sort.WORD, text, line, first)

    def _string(self, line: int) -> str:
        parts: list[str] = []
        length = 0
        while True:
            part = self._source.until(_QUOTED_STOP)
            length += STRING_CHARS_MAX + 1 if part is None else len(part)
            if length <= STRING_CHARS_MAX:
                parts.append(part or "")
            char = self._source.next()
            if not char:
                raise self._source.failed("a string is never closed", line=line)
            if char == '"':
                return "".join(parts) if length <= STRING_CHARS_MAX else ""
            following = self._source.next()
            parts.append(_ESCAPES.get(following, following))
            length += 1


_STOPS: dict[str, re.Pattern[str]] = {}


def _stops(mark: str) -> re.Pattern[str]:
    """Return what ends a run of characters that say nothing on the way to *mark*."""
    return _STOPS.setdefault(mark, re.compile(rf'["/#{re.escape(mark)}]'))
