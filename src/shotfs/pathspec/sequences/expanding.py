"""Expanding: the files that a path with tokens stands for, by what directories hold. Pure.

Names are compared, not fields: a tree template (``library/{rest}``) says nothing of frames or
tiles, and most textures lie in one. `expansion` asks for names and is sent those that there are, so
it serves threads and the event loop alike: whoever drives it lists the directories.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Generator, Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Self

from shotfs.errors import InvalidArgument
from shotfs.pathspec.fields.tiles import FIRST_UDIM, UDIM_COLUMNS
from shotfs.pathspec.sequences.tokens import PathToken, find_tokens

FRAME_DIGITS_MAX = 10
"""Digits of a frame, not counting the zeros that it is padded with."""

FRAME_TOKENS_MAX = 4
"""Different frame tokens in one name: each may stand for eleven lengths of digits, and a name is
compared with all ways to share its digits among them."""

_UV_BASE = {"uvtile": 1, "uv0": 0}


class Match(NamedTuple):
    """A file that a path with tokens stands for.

    Attributes:
        number: what stands in place of its frame token, without what is behind a point; None where
            it has none.
        view: what stands in place of its view token; "" where it has none.
    """

    path: str
    number: int | None
    view: str


@dataclass(frozen=True, slots=True)
class TokenPath:
    """A path with tokens.

    Attributes:
        directory: the part before the first element that has one; "" is the root of what is
            relative.
        elements: the other elements.
    """

    directory: str
    elements: tuple[str, ...]

    @classmethod
    def of(cls, path: str) -> Self | None:
        """Return *path* cut where its tokens begin, or None if it has none."""
        elements = [one for one in path.split("/") if one]
        root = "/" if path.startswith("/") else ""
        for index, element in enumerate(elements):
            if find_tokens(element):
                return cls(root + "/".join(elements[:index]), tuple(elements[index:]))
        return None

    @property
    def path(self) -> str:
        """The whole, with its tokens."""
        return posixpath.join(self.directory, *self.elements)


@dataclass(frozen=True, slots=True)
class Question:
    """Which names in a directory fit. An answer may have others, too, which are left out.

    Attributes:
        directory: that is asked for.
        prefix: all names that fit begin with it.
        only: the one name that fits; "" where there are several.
        last: files are wanted; otherwise directories, as far as whoever answers can tell.
    """

    directory: str
    prefix: str
    only: str
    last: bool
    _regex: re.Pattern[str]

    def fits(self, name: str) -> bool:
        """Whether *name* is one."""
        return self._regex.fullmatch(name) is not None


Expansion = Generator[Question, Iterable[str], list[Match]]
"""Yields what it wants to know, is sent the names, and returns the matches, sorted."""


class _Way(NamedTuple):
    """A directory on the way to the files, or one of these, and what its tokens stand for."""

    path: str
    number: int | None = None
    tile: tuple[int, int] | None = None
    view: str = ""
    initial: str = ""


@dataclass(frozen=True, slots=True)
class _Element:
    """One element of a path: what its names look like."""

    text: str
    tokens: tuple[PathToken, ...]
    regex: re.Pattern[str]

    def question(self, directory: str, *, last: bool) -> Question:
        prefix = self.text[: self.tokens[0].start] if self.tokens else self.text
        return Question(directory, prefix, "" if self.tokens else self.text, last, self.regex)


def expansion(
    pattern: TokenPath,
    numbers: frozenset[int] | None,
    views: Sequence[str],
    *,
    files_max: int,
    directories_max: int,
) -> Expansion:
    """Find the files that *pattern* stands for.

    Tokens of one kind have one value in a path. A file whose name is just like the pattern is what
    is meant where all tokens are of ``#`` and ``@``, which names may have; with other tokens, it is
    where they stand for nothing.

    Args:
        pattern: which files.
        numbers: what frame tokens may stand for; None for any.
        views: what view tokens may stand for; () for any.
        files_max: it ends when it has found so many.
        directories_max: that it may ask for.

    Raises:
        InvalidArgument: that many files would take more directories, or a name has more tokens than
            can be told apart.
    """
    elements = tuple(_compiled(one, views) for one in pattern.elements)
    above, _, name = pattern.path.rpartition("/")
    root = "/" if pattern.path.startswith("/") else ""
    itself = _plain(name).question(above or root, last=True)
    itself_first = all(token.text[0] in "#@" for one in elements for token in one.tokens)
    if itself_first and name in (yield itself):
        return [Match(pattern.path, None, "")]
    matches: list[Match] = []
    ways = [(_Way(pattern.directory), 0)]
    asked = 0
    while ways and len(matches) < files_max:
        way, index = ways.pop()
        element, last = elements[index], index == len(elements) - 1
        if not element.tokens and not last:
            ways.append((way._replace(path=posixpath.join(way.path, element.text)), index + 1))
            continue
        asked += 1
        names = yield element.question(way.path, last=last)
        further = [found for name in names if (found := _further(way, element, name, numbers))]
        if last:
            room = files_max - len(matches)
            matches += [Match(one.path, one.number, one.view or one.initial) for one in further][
                :room
            ]
        else:
            ways += [(one, index + 1) for one in further]
        if asked + len(ways) > directories_max:
            raise InvalidArgument(f"{pattern.path}: is in more than {directories_max} directories")
    if not matches and not itself_first and name in (yield itself):
        return [Match(pattern.path, None, "")]
    return sorted(matches)


def lacking(matches: Sequence[Match], wanted: frozenset[int]) -> frozenset[int]:
    """Return the frames of *wanted* that no file has; none where files have no frames."""
    if not matches or matches[0].number is None:
        return frozenset()
    return wanted - {match.number for match in matches}


def _further(
    way: _Way, element: _Element, name: str, numbers: frozenset[int] | None
) -> _Way | None:
    """Return *way* one element further, or None where it does not lead by *name*."""
    found = element.regex.fullmatch(name)
    if found is None:
        return None
    _, number, tile, view, initial = way
    for token in element.tokens:
        text = found[_group(token)]
        if token.kind == "frame":
            value = _frame(token, text)
            if value is None or number not in (None, value):
                return None
            if numbers is not None and value not in numbers:
                return None
            number = value
        elif token.kind == "udim":
            place = _tile(token, text)
            if place is None or tile not in (None, place):
                return None
            tile = place
        else:
            if token.form != "short":
                if view not in ("", text):
                    return None
                view = text
            if initial not in ("", text[0]):
                return None
            initial = text[0]
    return _Way(posixpath.join(way.path, name), number, tile, view, initial)


def _frame(token: PathToken, text: str) -> int | None:
    digits = text.partition(".")[0].lstrip("-0")
    if len(digits) > FRAME_DIGITS_MAX:
        return None
    value = int(digits or "0")
    if text[0] != "-":
        return value
    # Nobody writes -0000, but -0.5.
    return -value if value or token.digits is not None else None


def _tile(token: PathToken, text: str) -> tuple[int, int] | None:
    """Return column and row, from 0."""
    if token.form == "udim":
        row, column = divmod(int(text) - FIRST_UDIM, UDIM_COLUMNS)
        return (column, row) if row >= 0 else None
    column_text, row_text = text[1:].split("_v")
    base = _UV_BASE[token.form]
    return int(column_text) - base, int(row_text) - base


def _plain(name: str) -> _Element:
    return _Element(name, (), re.compile(re.escape(name)))


def _compiled(element: str, views: Sequence[str]) -> _Element:
    tokens = find_tokens(element)
    if not tokens:
        return _plain(element)
    if len({token.text for token in tokens if token.kind == "frame"}) > FRAME_TOKENS_MAX:
        raise InvalidArgument(
            f"{element[:200]}: has more than {FRAME_TOKENS_MAX} different tokens for a frame"
        )
    parts: list[str] = []
    first: dict[str, PathToken] = {}
    index = 0
    for token in tokens:
        parts.append(re.escape(element[index : token.start]))
        if token.text in first:
            # It is written the same each time. Nor are there more ways to read the name.
            parts.append(f"(?P={_group(first[token.text])})")
        else:
            first[token.text] = token
            parts.append(f"(?P<{_group(token)}>{_texts(token, views)})")
        index = token.end
    parts.append(re.escape(element[index:]))
    return _Element(element, tuple(first.values()), re.compile("".join(parts), re.ASCII))


def _group(token: PathToken) -> str:
    return f"at{token.start}"


def _texts(token: PathToken, views: Sequence[str]) -> str:
    """Return what *token* may stand for."""
    if token.kind == "udim":
        return "[1-9][0-9]{3}" if token.form == "udim" else "u-?[0-9]{1,4}_v-?[0-9]{1,4}"
    if token.kind == "view":
        short = token.form == "short"
        texts = sorted({view[0] if short else view for view in views if view})
        if texts:
            return "|".join(map(re.escape, texts))
        return "[A-Za-z]" if short else "[A-Za-z][A-Za-z0-9_-]*"
    if token.pad is None:
        return f"-?[0-9]{{1,{FRAME_DIGITS_MAX}}}"
    pad = token.pad
    # A minus counts as a digit for printf, and does not for others.
    whole = f"-?[0-9]{{{pad}}}|-[0-9]{{{max(pad - 1, 1)}}}"
    if pad < FRAME_DIGITS_MAX:
        whole += f"|-?[1-9][0-9]{{{pad},{FRAME_DIGITS_MAX - 1}}}"
    return f"(?:{whole})" + (f"\\.[0-9]{{{token.digits}}}" if token.digits is not None else "")
