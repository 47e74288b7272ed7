"""Expansion: the files that a path with tokens stands for, by what directories hold.

Owns the listings and facts that one scan has asked for, bounded. May be used by several threads:
a directory may then be listed twice, never wrongly.
"""

from __future__ import annotations

import posixpath
import re
import threading
from bisect import bisect_left
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from shotfs.pathspec.sequences import PathToken, find_tokens

MATCHES_MAX = 200_000
"""Files that one path with tokens may stand for."""

NAMES_KEPT_MAX = 1_000_000
"""Names in the listings that are kept; the oldest listings go first."""

FACTS_KEPT_MAX = 500_000
"""Facts of files that are kept."""


class Facts(NamedTuple):
    """What is known of a file: its size in bytes and its time in ns since the epoch, or None."""

    size_bytes: int | None
    mtime_ns: int | None


class Files(Protocol):
    """Says what lies where. Paths are absolute, as scenes name them. Called from several threads.

    Every method may raise `ShotfsError` or `OSError` when it cannot answer.
    """

    def local(self, path: str) -> str:
        """Return a path on a local disk (or a mount) with the content of the file *path*."""
        ...

    def names(self, directory: str) -> Sequence[str]:
        """Return the names in *directory*; none where there is no such directory."""
        ...

    def facts(self, path: str) -> Facts | None:
        """Return what is known of the file *path*; None: there is none, or it is a directory."""
        ...


class Match(NamedTuple):
    """A file that a path with tokens stands for.

    Attributes:
        number: what stands in place of its frame token; None where it has none.
        view: what stands in place of its view token; "" where it has none.
    """

    path: str
    number: int | None
    view: str


class Listings:
    """The directories that were asked for, each once."""

    def __init__(self, files: Files) -> None:
        self._files = files
        self._lock = threading.Lock()
        self._names: OrderedDict[str, list[str]] = OrderedDict()
        self._facts: OrderedDict[str, Facts | None] = OrderedDict()
        self._kept = 0

    def names(self, directory: str) -> list[str]:
        """Return the names in *directory*, sorted; none where there is no such directory."""
        with self._lock:
            known = self._names.get(directory)
        if known is not None:
            return known
        names = sorted(self._files.names(directory))
        with self._lock:
            if directory not in self._names:
                self._names[directory] = names
                self._kept += len(names) + 1
            while self._kept > NAMES_KEPT_MAX and len(self._names) > 1:
                _, gone = self._names.popitem(last=False)
                self._kept -= len(gone) + 1
        return names

    def facts(self, path: str) -> Facts | None:
        """Return what is known of the file *path*; None: there is none."""
        with self._lock:
            if path in self._facts:
                return self._facts[path]
        found = self._files.facts(path)
        with self._lock:
            self._facts[path] = found
            if len(self._facts) > FACTS_KEPT_MAX:
                self._facts.popitem(last=False)
        return found


@dataclass(frozen=True, slots=True)
class _Element:
    """One element of a path with tokens: what its names look like."""

    prefix: str
    regex: re.Pattern[str]
    tokens: tuple[PathToken, ...]


class _Way(NamedTuple):
    """A directory on the way to the files, and what its tokens stand for so far."""

    path: str
    number: int | None
    tile: str
    view: str


def unknown_token(path: str) -> str:
    """Return a token in *path* that nobody knows here, such as ``<aov>``; "" for none."""
    found = re.search(r"<[A-Za-z][A-Za-z0-9:_]*>|\[[^\]]*\]|\{[^}]*\}", path)
    return found.group() if found is not None and not find_tokens(found.group()) else ""


def expand(
    listings: Listings, path: str, numbers: frozenset[int] | None, views: Sequence[str]
) -> list[Match]:
    """Return the files that there are for *path*, sorted by path; at most `MATCHES_MAX`.

    Args:
        listings: of the directories.
        path: absolute. Without tokens it stands for itself. A file whose name is just like *path*,
            tokens and all, is what is meant.
        numbers: what frame tokens may stand for; None for any.
        views: what view tokens may stand for; () for any.
    """
    tokens = find_tokens(path)
    plain = not tokens or all(token.text[0] in "#@" for token in tokens)
    if plain and listings.facts(path) is not None:
        return [Match(path, None, "")]
    if not tokens:
        return []
    ways = [_Way("/", None, "", "")]
    names = path.strip("/").split("/")
    for index, element in enumerate(names):
        last = index == len(names) - 1
        found = find_tokens(element)
        if found:
            ways = list(_several(listings, ways, _compiled(element, found, views), numbers))
        else:
            ways = [way._replace(path=posixpath.join(way.path, element)) for way in ways]
            if last:
                ways = [way for way in ways if listings.facts(way.path) is not None]
        if not ways:
            return []
    return sorted(Match(way.path, way.number, way.view) for way in ways)


def _several(
    listings: Listings, ways: Iterable[_Way], element: _Element, numbers: frozenset[int] | None
) -> Iterator[_Way]:
    count = 0
    for way in ways:
        for name in _with_prefix(listings.names(way.path), element.prefix):
            found = element.regex.fullmatch(name)
            if found is None:
                continue
            further = _further(way, name, element.tokens, found.groups(), numbers)
            if further is not None:
                yield further
                count += 1
                if count >= MATCHES_MAX:
                    return


def _further(
    way: _Way,
    name: str,
    tokens: tuple[PathToken, ...],
    texts: Sequence[str],
    numbers: frozenset[int] | None,
) -> _Way | None:
    """Return *way* one element further, or None where its tokens contradict each other."""
    _, number, tile, view = way
    for token, text in zip(tokens, texts, strict=True):
        if token.kind == "frame":
            value = int(text.partition(".")[0])
            if number not in (None, value) or (numbers is not None and value not in numbers):
                return None
            number = value
        elif token.kind == "udim":
            if tile not in ("", text):
                return None
            tile = text
        else:
            if view and view[0] != text[0]:
                return None
            view = max(view, text, key=len)
    return _Way(posixpath.join(way.path, name), number, tile, view)


def _with_prefix(names: list[str], prefix: str) -> Iterator[str]:
    for index in range(bisect_left(names, prefix), len(names)):
        if not names[index].startswith(prefix):
            return
        yield names[index]


def _compiled(element: str, tokens: tuple[PathToken, ...], views: Sequence[str]) -> _Element:
    parts: list[str] = []
    index = 0
    for token in tokens:
        parts += [re.escape(element[index : token.start]), f"({_pattern(token, views)})"]
        index = token.end
    parts.append(re.escape(element[index:]))
    return _Element(element[: tokens[0].start], re.compile("".join(parts), re.ASCII), tokens)


def _pattern(token: PathToken, views: Sequence[str]) -> str:
    if token.kind == "udim":
        return "[1-9][0-9]{3}" if token.form == "udim" else "u-?[0-9]{1,4}_v-?[0-9]{1,4}"
    if token.kind == "view":
        short = token.form == "short"
        texts = sorted({view[0] if short else view for view in views if view})
        if texts:
            return "|".join(map(re.escape, texts))
        return "[A-Za-z]" if short else "[A-Za-z][A-Za-z0-9]*"
    if token.pad is None:
        return "-?[0-9]{1,10}"
    pad = min(token.pad, 10)
    # A minus counts as a digit for printf, and does not for others.
    whole = f"-?[0-9]{{{pad}}}|-?[1-9][0-9]{{{pad},10}}|-[0-9]{{{max(pad - 1, 1)}}}"
    return f"(?:{whole})" + (f"\\.[0-9]{{{token.digits}}}" if token.digits is not None else "")
