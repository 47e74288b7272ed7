"""The tokens of POV-Ray's scene language, and a feed that can be wound back."""

from __future__ import annotations

import re
from enum import Enum, auto
from typing import NamedTuple

from shotfs.prewarm.scanners.text import STRING_CHARS_MAX, Source

COMMENTS_MAX = 1000
"""Comments in comments."""

FEEDS_MAX = 64
"""Macros and loops in each other."""

_BLANK = re.compile(r"\s+")
_WORD = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,255}")
_DIRECTIVE = re.compile(r"#[ \t]*[a-z_]{1,40}")
_NUMBER = re.compile(r"(?:[0-9]{1,40}(?:\.[0-9]{0,40})?|\.[0-9]{1,40})(?:[eE][-+]?[0-9]{1,3})?")
_OPERATOR = re.compile(r"<=|>=|!=|[-+*/<>=!&|?:(),;{}\[\].]")
_LINE_STOP = re.compile(r"\n")
_COMMENT = re.compile(r"//|/\*")
_COMMENT_STOP = re.compile(r"[*/]")
_QUOTED_STOP = re.compile(r'["\\]')
_DULL = re.compile(r'(?:[^#"/A-Za-z_]+|(?<=[0-9.])[eE](?=[-+0-9]))+')


class Sort(Enum):
    """What a token is."""

    WORD = auto()
    DIRECTIVE = auto()
    STRING = auto()
    NUMBER = auto()
    OPERATOR = auto()
    END = auto()


class Token(NamedTuple):
    """A piece of the language; a directive is without its ``#``."""

    sort: Sort
    text: str
    line: int


END = Token(Sort.END, "", 0)


class Feed:
    """Gives the tokens of a file, and between them those of macros and loops."""

    def __init__(self, source: Source) -> None:
        self.source = source
        self._stack: list[tuple[list[Token], int, list[Token]]] = []
        self._ahead: list[Token] = []

    @property
    def depth(self) -> int:
        """How many lists of tokens are being read within each other."""
        return len(self._stack)

    def push(self, tokens: list[Token]) -> None:
        """Give *tokens* before everything else, and END behind the last of them."""
        if len(self._stack) >= FEEDS_MAX:
            raise self.source.failed(f"macros nest deeper than {FEEDS_MAX}")
        self._stack.append((tokens, 0, self._ahead))
        self._ahead = []

    def drop(self) -> None:
        """Forget what is left of the tokens that were pushed last."""
        self._ahead = self._stack.pop()[2]

    def back(self, token: Token) -> None:
        """Give *token* again."""
        self._ahead.append(token)

    def next(self, *, dull: bool = True) -> Token:
        """Return the next token, END at the end.

        Args:
            dull: False passes over numbers and operators, which is faster.
        """
        if self._ahead:
            return self._ahead.pop()
        if self._stack:
            tokens, at, behind = self._stack[-1]
            if at == len(tokens):
                return END
            self._stack[-1] = (tokens, at + 1, behind)
            return tokens[at]
        return self._read(dull=dull)

    def peek(self) -> Token:
        """Return the next token without passing over it."""
        token = self.next()
        self._ahead.append(token)
        return token

    def _read(self, *, dull: bool) -> Token:
        source = self.source
        while True:
            source.skip(_BLANK if dull else _DULL)
            char = source.peek()
            if char != "/" or not self._comment():
                break
        line = source.line
        if not char:
            return END
        if char == '"':
            source.next()
            return Token(Sort.STRING, self._string(line), line)
        if char == "#":
            text = source.take(_DIRECTIVE)
            return Token(Sort.DIRECTIVE, (text or source.next())[1:].strip(), line)
        if (word := source.take(_WORD)) is not None:
            return Token(Sort.WORD, word, line)
        if (number := source.take(_NUMBER)) is not None:
            return Token(Sort.NUMBER, number, line)
        return Token(Sort.OPERATOR, source.take(_OPERATOR) or source.next(), line)

    def _comment(self) -> bool:
        """Pass over a comment; they nest. False: it is a division, and still to be read."""
        source = self.source
        two = source.take(_COMMENT)
        if two is None:
            return False
        if two == "//":
            source.until(_LINE_STOP, keep=0)
            return True
        line = source.line
        depth = 1
        while depth:
            source.until(_COMMENT_STOP, keep=0)
            char = source.next()
            if not char:
                raise source.failed("a comment is never closed", line=line)
            following = source.peek()
            if char == "*" and following == "/":
                depth -= 1
                source.next()
            elif char == "/" and following == "*":
                depth += 1
                source.next()
                if depth > COMMENTS_MAX:
                    raise source.failed(f"comments nest deeper than {COMMENTS_MAX}")
        return True

    def _string(self, line: int) -> str:
        parts: list[str] = []
        length = 0
        while True:
            part = self.source.until(_QUOTED_STOP)
            length += STRING_CHARS_MAX + 1 if part is None else len(part)
            if length <= STRING_CHARS_MAX:
                parts.append(part or "")
            char = self.source.next()
            if not char:
                raise self.source.failed("a string is never closed", line=line)
            if char == '"':
                return "".join(parts) if length <= STRING_CHARS_MAX else ""
            following = self.source.next()
            parts.append(following if following in '"\\' else f"\\{following}")
