"""Files of manifests as columns: path, digest and size, which are all that a check needs.

Pure. A million entries pass through a check, so many are looked at with one step here, and what is
wrong with one is found out by `checking` afterwards.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import islice
from operator import lt
from typing import Any

from shotfs.digest import Digest
from shotfs.prewarm.manifest.checking import NUMBER_MAX, PATH_CHARACTERS_MAX, file_of
from shotfs.prewarm.manifest.entry import Entry

_NOTHING = type(None)

_is_odd = re.compile(r"//|/\.|/\n|\n[./\n]|\0").search
"""Whether paths, each between two ends of lines, may hold one that a manifest may not name."""

_are_digests = re.compile(r"(?:[0-9a-f]{32}\n)*").fullmatch


@dataclass(frozen=True, slots=True)
class Files:
    """Files, as three columns of one length; see `entry.Entry`."""

    paths: Sequence[str]
    digests: Sequence[Digest | None]
    sizes: Sequence[int | None]

    def __len__(self) -> int:
        return len(self.paths)

    def part(self, start: int, stop: int) -> Files:
        """Return those from *start* up to *stop*."""
        here = slice(start, stop)
        return Files(self.paths[here], self.digests[here], self.sizes[here])

    def entries(self, places: Iterable[int] | None = None) -> list[Entry]:
        """Return those at *places* as entries; None: all."""
        wanted = range(len(self)) if places is None else places
        return [Entry(self.paths[one], self.digests[one], self.sizes[one]) for one in wanted]


def files_of(entries: Sequence[Entry]) -> Files:
    """Return path, digest and size of *entries*."""
    return Files(
        [one.path for one in entries],
        [one.digest for one in entries],
        [one.size_bytes for one in entries],
    )


def checked_files(paths: Any, digests: Any, sizes: Any) -> Files:
    """Return the files that these JSON values spell.

    Raises:
        Mistake: one is none, or has a path that a manifest may not name.
        ValueError, TypeError: they are no lists of one length.
    """
    if not (
        type(paths) is type(digests) is type(sizes) is list
        and len(paths) == len(digests) == len(sizes)
    ):
        raise ValueError("lists of one length were expected")
    if not (good_paths(paths) and _good_digests(digests) and _good_sizes(sizes)):
        for one in zip(paths, digests, sizes, strict=True):
            file_of(*one)  # names what is wrong, if anything is
    return Files(paths, digests, sizes)


def are_ordered(paths: Sequence[str], last: str) -> bool:
    """Whether *paths* are sorted, each once, and all come after *last*."""
    return not paths or (paths[0] > last and all(map(lt, paths, islice(paths, 1, None))))


def good_paths(paths: list[Any]) -> bool:
    """Whether *paths* are such as manifests may name; where this says no, each may be one still."""
    if set(map(type, paths)) - {str} or max(map(len, paths), default=0) > PATH_CHARACTERS_MAX:
        return False
    text = "\n".join(("", *paths, ""))
    return text.count("\n") == len(paths) + 1 and _is_odd(text) is None


def _good_digests(digests: list[Any]) -> bool:
    if set(map(type, digests)) - {str, _NOTHING}:
        return False
    given = [one for one in digests if one is not None]
    text = "\n".join((*given, ""))
    return text.count("\n") == len(given) and _are_digests(text) is not None


def _good_sizes(sizes: list[Any]) -> bool:
    if set(map(type, sizes)) - {int, _NOTHING}:
        return False
    given = [one for one in sizes if one is not None]
    return not given or (min(given) >= 0 and max(given) <= NUMBER_MAX)
