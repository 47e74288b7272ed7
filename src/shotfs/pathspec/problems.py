"""Collects the mistakes of a document, so that a person sees all of them at once."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Iterable

from shotfs.errors import Problem
from shotfs.pathspec.json_reader import JsonValue, Lines

PROBLEMS_MAX = 1000
"""After so many the rest says nothing new, and a hostile document could fill the memory."""


class Report:
    """The mistakes found so far in one document. Grows only."""

    def __init__(self, text: str) -> None:
        self._lines = Lines(text)
        self.problems: list[Problem] = []

    def add(self, where: str, message: str, offset: int | None, fix: str | None = None) -> None:
        """Note one mistake at JSON pointer *where*, *offset* characters into the document."""
        if len(self.problems) >= PROBLEMS_MAX:
            return
        line, column = (None, None) if offset is None else self._lines.position(offset)
        self.problems.append(Problem(where or "/", message, fix, line, column))

    def line(self, offset: int) -> int:
        """Return the line, from 1, of *offset*."""
        return self._lines.position(offset)[0]

    def check_names(self, where: str, value: JsonValue, known: Collection[str]) -> None:
        """Note each name of the object *value* that is repeated or not in *known*."""
        self.check_duplicates(where, value)
        assert isinstance(value.value, dict)
        for name, member in value.value.items():
            if name not in known:
                self.add(
                    f"{where}/{escape_pointer(name)}",
                    f'unknown name "{name}"',
                    member.key_offset,
                    suggest(name, known),
                )

    def check_duplicates(self, where: str, value: JsonValue) -> None:
        """Note each name that the object *value* has twice."""
        for name, offset in value.duplicates:
            self.add(
                f"{where}/{escape_pointer(name)}",
                f'"{name}" stands here twice',
                offset,
                "remove one of them",
            )


def escape_pointer(name: str) -> str:
    """Return *name* as one part of a JSON pointer (RFC 6901)."""
    return name.replace("~", "~0").replace("/", "~1")


def nearest(name: str, known: Iterable[str]) -> str | None:
    """Return the one of *known* that *name* was most likely meant to be, or None."""
    found = difflib.get_close_matches(name[:100], [one[:100] for one in known], n=1, cutoff=0.5)
    return found[0] if found else None


def suggest(name: str, known: Collection[str]) -> str:
    """Return what to write instead of *name*."""
    best = nearest(name, known)
    if best is not None:
        return f'write "{best}"'
    listed = ", ".join(f'"{one}"' for one in sorted(known)[:20])
    return f"choose one of {listed}" if listed else "remove it"
