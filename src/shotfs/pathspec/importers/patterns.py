"""Regular expressions of other systems, said in our subset (`shotfs.pathspec.regex`).

Where ours accepts the same texts, nothing is reported: lazy repeats match the same names as greedy
ones, and named groups are groups. What cannot be said is refused with a reason.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from shotfs.pathspec import regex
from shotfs.pathspec.backtracking import ATTEMPTS_MAX, attempts
from shotfs.pathspec.regex import (
    NAME_CHARACTERS,
    Chars,
    PatternError,
    Ranges,
    Repeat,
    Sequence,
    complement,
    intersect,
    matches_empty,
)

PATTERN_CHARACTERS_MAX = 2000
ANY_NAME = ".+"
"""What a key without any rule accepts: all but "/"."""

_PIECE = re.compile(
    r"""
      (?P<escape> \\ (?: x[0-9A-Fa-f]{2} | u[0-9A-Fa-f]{4} | . ) )
    | (?P<class> \[ \^? \]? (?: \\. | [^\]\\] )* \] )
    | (?P<group> \( (?: \? (?: P<\w+> | : ) )? )
    | (?P<count> [*+?] | \{ \d* (?: , \d* )? \} )
    | (?P<other> . )
    """,
    re.VERBOSE | re.DOTALL,
)


@dataclass(frozen=True, slots=True)
class Carried:
    """A pattern in our subset.

    Attributes:
        pattern: for the document.
        empty_lost: the original matches the empty text, too; a field is never empty.
        slash_lost: the original matches "/", too; a field is within one element.
    """

    pattern: str
    empty_lost: bool = False
    slash_lost: bool = False


@dataclass(frozen=True, slots=True)
class NotCarried(Exception):
    """The pattern cannot be said in our subset, for this reason."""

    reason: str


def carry(pattern: str) -> Carried:
    """Return the Python regular expression *pattern*, which matches a whole text, in our subset.

    Raises:
        NotCarried: it cannot be said.
    """
    if len(pattern) > PATTERN_CHARACTERS_MAX:
        raise NotCarried(f"longer than {PATTERN_CHARACTERS_MAX} characters")
    text = _rewritten(pattern)
    try:
        tree = regex.parse(text)
    except PatternError as error:
        raise NotCarried(error.message) from error
    empty = matches_empty(tree)
    if empty:
        text = _not_empty(text, tree)
        tree = regex.parse(text)
    if attempts(tree) > ATTEMPTS_MAX:
        raise NotCarried("matching it could take very long for some names")
    return Carried(text, empty, _may_match_slash(pattern))


def _rewritten(pattern: str) -> str:
    """Return *pattern* without what changes nothing about which whole texts match."""
    pattern = re.sub(r"\A(\^|\\A)", "", pattern)
    pattern = re.sub(r"(?<!\\)(\$|\\Z)\Z", "", pattern)
    parts: list[str] = []
    after_count = False
    for found in _PIECE.finditer(pattern):
        piece = found.group()
        kind = found.lastgroup
        if kind == "count" and after_count and piece in ("?", "+"):
            after_count = False  # lazy or possessive: the same whole texts, but for the latter
            if piece == "+":
                raise NotCarried("a possessive repeat")
            continue
        after_count = kind == "count"
        match kind:
            case "escape":
                parts.append(_escape(piece))
            case "class":
                parts.append(_class(piece))
            case "group":
                parts.append("(")
            case "count":
                parts.append(piece.replace("{,", "{0,"))
            case _:
                parts.append(piece)
    return "".join(parts)


def _escape(piece: str) -> str:
    if piece[1] in "xu" and len(piece) > 2:
        return re.escape(bytes(piece, "ascii").decode("unicode_escape"))
    return piece


def _class(piece: str) -> str:
    return re.sub(
        r"\\(?:x[0-9A-Fa-f]{2}|u[0-9A-Fa-f]{4})", lambda found: _escape(found.group()), piece
    )


def _not_empty(text: str, tree: regex.Regex) -> str:
    """Return *text* as a pattern that matches the same but the empty text."""
    while isinstance(tree, Sequence) and len(tree.parts) == 1:
        tree = tree.parts[0]
    endings = {"*": "+", "?": ""}
    if isinstance(tree, Repeat) and tree.least == 0 and not matches_empty(tree.body):
        if text[-1] in endings:
            return text[:-1] + endings[text[-1]]
        if found := re.search(r"\{0,(\d*)\}\Z", text):
            return f"{text[: found.start()]}{{1,{found.group(1)}}}"
    raise NotCarried("it matches the empty text, and a field is never empty")


def _may_match_slash(pattern: str) -> bool:
    for found in _PIECE.finditer(pattern):
        piece = found.group()
        if piece == "." or piece in (r"\S", r"\D", r"\W"):
            return True
        if found.lastgroup == "class":
            negated = piece.startswith("[^")
            named = "/" in piece or (not negated and re.search(r"\\[SDW]", piece) is not None)
            if named != negated:
                return True
    return False


def free_characters(pattern: str) -> Ranges | None:
    """Return the characters of *pattern* if it is one class, repeated once or more; else None."""
    tree = regex.parse(pattern)
    while isinstance(tree, Sequence) and len(tree.parts) == 1:
        tree = tree.parts[0]
    if isinstance(tree, Repeat) and isinstance(tree.body, Chars) and tree.most is None:
        return tree.body.ranges if tree.least == 1 else None
    return None


def without(ranges: Ranges, characters: str) -> str | None:
    """Return the pattern of names of *ranges* without *characters*; None if nothing is left."""
    gone = complement(regex.chars(characters).ranges)
    left = intersect(ranges, gone)
    return None if not left else f"{class_text(left)}+"


def class_text(ranges: Ranges) -> str:
    """Return the class that holds the characters *ranges*, as short as it gets."""
    if ranges == NAME_CHARACTERS:
        return "."
    missing = intersect(complement(ranges), NAME_CHARACTERS)
    if len(missing) < len(ranges) or ranges[-1][1] > 0xFFFF:
        return f"[^{_members(missing)}]"
    return f"[{_members(ranges)}]"


def _members(ranges: Ranges) -> str:
    letters, others = "", ""
    for low, high in ranges:
        wide = high - low > 1
        members = f"{_member(low)}-{_member(high)}" if wide else _single(low, high)
        if chr(low).isalpha() and chr(low).isascii():
            letters += members
        else:
            others += members
    # "-" stands for itself at the end.
    dash = "-" if r"\-" in others else ""
    digits = "0-9" if "0-9" in others else ""
    return letters + digits + others.replace(r"\-", "", 1).replace("0-9", "", 1) + dash


def _single(low: int, high: int) -> str:
    return "".join(_member(code) for code in range(low, high + 1))


def _member(code: int) -> str:
    named = {"\n": r"\n", "\t": r"\t", "\r": r"\r"}
    character = chr(code)
    return named.get(character, f"\\{character}" if character in r"\]^-[" else character)
