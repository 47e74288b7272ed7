"""The words of a Nuke script: those of Tcl, as far as Nuke writes them."""

from __future__ import annotations

import re
from dataclasses import dataclass

from shotfs.prewarm.scanners.text import STRING_CHARS_MAX, Source

NESTING_MAX = 1000
"""Braces in braces."""

_BLANK = re.compile(r"(?:[ \t\r\f\v]|\\\r?\n)+")
_SPACE = re.compile(r"[ \t\r\f\v\n;]+")
_BRACED_STOP = re.compile(r"[{}\\]")
_BALANCED = re.compile(r"(?:[^{}\\]+|\{[^{}\\]*\})+")
_QUOTED_STOP = re.compile(r'["\\]')
_BARE_STOP = re.compile(r"[ \t\r\n\f\v;{}\\\[\]]")
_LINE_STOP = re.compile(r"\n")
_ESCAPES = {"n": "\n", "t": "\t", "r": "\r", "\n": " "}


@dataclass(frozen=True, slots=True)
class Word:
    """A word.

    Attributes:
        text: what it means, escapes undone; None where it is longer than is kept.
        line: where it begins.
        expression: it is ``{{...}}``: what a knob has that follows an expression.
    """

    text: str | None
    line: int
    expression: bool = False


class _Kept:
    """A string that grows up to a limit."""

    def __init__(self) -> None:
        self._parts: list[str] = []
        self._length = 0

    def add(self, part: str | None) -> None:
        self._length += STRING_CHARS_MAX + 1 if part is None else len(part)
        if self._length <= STRING_CHARS_MAX:
            self._parts.append(part or "")
        else:
            self._parts.clear()

    @property
    def full(self) -> bool:
        """Whether it grew beyond what is kept."""
        return self._length > STRING_CHARS_MAX

    @property
    def text(self) -> str | None:
        return "".join(self._parts) if self._length <= STRING_CHARS_MAX else None


class Words:
    """Reads the words of a script one after the other."""

    def __init__(self, source: Source) -> None:
        self._source = source

    def command(self) -> Word | None:
        """Return the first word of the next command; None at the end of the script."""
        while True:
            self._source.skip(_SPACE)
            char = self._source.peek()
            if char == "#":
                self._source.until(_LINE_STOP, keep=0)
            elif char in ("}", "]"):
                # More braces close than opened: what follows is read all the same.
                self._source.next()
            elif not char:
                return None
            else:
                return self._word()

    def rest(self) -> None:
        """Pass over the rest of a command."""
        while (char := self._next()) not in ("", "\n", ";"):
            if char in "}]":
                self._source.next()
            else:
                self._word()

    def opens(self) -> bool:
        """Pass over the brace that begins the knobs of a node; False where there is none."""
        if self._next() != "{":
            return False
        self._source.next()
        return True

    def knob(self) -> Word | None:
        """Return the name of the next knob; None behind the brace that ends the node.

        Raises:
            ScanFailed: the file ends before.
        """
        while True:
            self._source.skip(_SPACE)
            char = self._source.peek()
            if not char:
                raise self._source.failed("the script ends within a node")
            if char == "}":
                self._source.next()
                return None
            if char == "]":
                self._source.next()
                continue
            return self._word()

    def value(self) -> Word | None:
        """Return the value of the knob whose name was read; None where it has none."""
        return None if self._next() in ("", "\n", ";", "}") else self._word()

    def rest_of_knob(self) -> None:
        """Pass over what else stands in the line of a knob."""
        while (char := self._next()) not in ("", "\n", ";", "}"):
            if char == "]":
                self._source.next()
            else:
                self._word()

    def _next(self) -> str:
        while self._source.take(_BLANK):
            pass
        return self._source.peek()

    def _word(self) -> Word:
        line = self._source.line
        char = self._source.peek()
        if char == "{":
            self._source.next()
            text = self._braced(line)
            inner = "" if text is None else text.strip()
            expression = inner.startswith("{") and inner.endswith("}")
            return Word(inner[1:-1] if expression else text, line, expression)
        if char == '"':
            self._source.next()
            return Word(self._quoted(line), line)
        if char == "[":
            return Word(self._substitution(line), line)
        return Word(self._bare(line), line)

    def _braced(self, line: int) -> str | None:
        """Return what stands between braces; a backslash there only hides braces."""
        kept = _Kept()
        depth = 1
        while True:
            if kept.full:
                self._source.skip(_BALANCED)
            kept.add(self._source.until(_BRACED_STOP))
            char = self._source.next()
            if not char:
                raise self._source.failed("a brace is never closed", line=line)
            if char == "\\":
                following = self._source.next()
                kept.add(following if following in '{}[]$"\\' else f"\\{following}")
                continue
            depth += 1 if char == "{" else -1
            if not depth:
                return kept.text
            if depth > NESTING_MAX:
                raise self._source.failed(f"braces nest deeper than {NESTING_MAX}")
            kept.add(char)

    def _quoted(self, line: int) -> str | None:
        kept = _Kept()
        while True:
            kept.add(self._source.until(_QUOTED_STOP))
            char = self._source.next()
            if not char:
                raise self._source.failed("a string is never closed", line=line)
            if char == '"':
                return kept.text
            following = self._source.next()
            kept.add(_ESCAPES.get(following, following))

    def _substitution(self, line: int) -> str | None:
        """Return ``[...]`` as it stands."""
        kept = _Kept()
        depth = 0
        while True:
            char = self._source.next()
            if not char:
                raise self._source.failed("a bracket is never closed", line=line)
            kept.add(char)
            if char == "\\":
                kept.add(self._source.next())
            depth += (char == "[") - (char == "]")
            if not depth:
                return kept.text
            if depth > NESTING_MAX:
                raise self._source.failed(f"brackets nest deeper than {NESTING_MAX}")

    def _bare(self, line: int) -> str | None:
        kept = _Kept()
        if self._source.peek() in "}]":
            # One that closes nothing is a word of its own: whoever reads on must get further.
            return self._source.next()
        while True:
            kept.add(self._source.until(_BARE_STOP))
            char = self._source.peek()
            if char == "\\":
                self._source.next()
                following = self._source.next()
                if following == "\n":
                    return kept.text
                kept.add(_ESCAPES.get(following, following))
            elif char == "[":
                kept.add(self._substitution(line))
            elif char == "{":
                # Within a word a brace is a character like others.
                self._source.next()
                kept.add(char)
            else:
                return kept.text
