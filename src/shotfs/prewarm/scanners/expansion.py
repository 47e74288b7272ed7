"""Expansion: the files that a path with tokens stands for, while scenes are scanned.

Owns the listings and facts that one scan has asked for, bounded. May be used by several threads:
a directory may then be listed twice, never wrongly. What tokens stand for says
`pathspec.sequences.expanding`.
"""

from __future__ import annotations

import posixpath
import re
import threading
from bisect import bisect_left
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple, Protocol

from shotfs.pathspec.sequences import Match, TokenPath, expansion, find_tokens

MATCHES_MAX = 200_000
"""Files that one path with tokens may stand for."""

DIRECTORIES_MAX = 200_000
"""Directories that it may have them in."""

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
        path: absolute. Without tokens it stands for itself.
        numbers: what frame tokens may stand for; None for any.
        views: what view tokens may stand for; () for any.

    Raises:
        InvalidArgument: it has too many tokens, or stands for files in too many directories.
    """
    pattern = TokenPath.of(path)
    if pattern is None:
        return [Match(path, None, "")] if listings.facts(path) is not None else []
    steps = expansion(
        pattern, numbers, views, files_max=MATCHES_MAX, directories_max=DIRECTORIES_MAX
    )
    names: Iterable[str] | None = None
    while True:
        try:
            question = next(steps) if names is None else steps.send(names)
        except StopIteration as end:
            found: list[Match] = end.value
            return found
        if question.only:
            there = listings.facts(posixpath.join(question.directory, question.only)) is not None
            names = [question.only] if there else []
        else:
            names = _with_prefix(listings.names(question.directory), question.prefix)


def _with_prefix(names: list[str], prefix: str) -> Iterator[str]:
    for index in range(bisect_left(names, prefix), len(names)):
        if not names[index].startswith(prefix):
            return
        yield names[index]
