"""Meanings: what the specification says of paths, worked out once for each that is in use.

A look-up, an open and a few stats of one path come one after another, and each wants to know its
template, whether it may be a directory, and whether it is an alias: three walks of the trie, 5 us
each (measured 2026-11), more than all else that a warm look-up takes. Bounded; a specification that
is replaced takes its meanings along. Event loop only.
"""

from __future__ import annotations

from shotfs.namespace import Show, ShowSet
from shotfs.pathspec import AliasMatch, DirectoryMatch, Resolution

MEANINGS_MAX = 4_096
"""Paths that are remembered; one takes about 1 KB."""


class Meaning:
    """What the specification says of one path; each answer is worked out when it is first wanted.

    Args:
        show: the show that the path lies in.
        rest: the path in it.
        parent: of the directory that it lies in, if that is remembered.
    """

    __slots__ = ("_alias", "_known", "_match", "_parent", "_resolution", "rest", "show")

    def __init__(self, show: Show, rest: str, parent: Meaning | None) -> None:
        self.show = show
        self.rest = rest
        self._parent = parent
        self._known = 0
        self._alias: AliasMatch | None = None
        self._match: DirectoryMatch | None = None
        self._resolution: Resolution | None = None

    @property
    def alias(self) -> AliasMatch | None:
        """What it is as a version alias."""
        if not self._known & 1:
            # Its directory says whether there may be any, for all names in it at once.
            above = None if self._parent is None else self._parent.match
            if above is None or above.aliases:
                self._alias = self.show.spec.alias(self.rest)
            self._parent = None
            self._known |= 1
        return self._alias

    @property
    def match(self) -> DirectoryMatch | None:
        """What it is as a directory."""
        if not self._known & 2:
            self._match = self.show.spec.directory(self.rest)
            self._known |= 2
        return self._match

    @property
    def resolution(self) -> Resolution | None:
        """What it is as a file."""
        if not self._known & 4:
            self._resolution = self.show.spec.resolve(self.rest)
            self._known |= 4
        return self._resolution


class Meanings:
    """The meanings of the paths that were asked for last.

    Args:
        shows: the specifications.
        entries_max: see `MEANINGS_MAX`.
    """

    def __init__(self, shows: ShowSet, *, entries_max: int = MEANINGS_MAX) -> None:
        self._shows = shows
        self._half = entries_max // 2
        # Two halves: when the newer one is full the older one goes. Cheaper than an order of use.
        self._newer: dict[str, Meaning] = {}
        self._older: dict[str, Meaning] = {}

    def __len__(self) -> int:
        return len(self._newer) + len(self._older)

    def of(self, path: str) -> Meaning | None:
        """Return what the mount-relative *path* means; None outside of all shows."""
        meaning = self._remembered(path)
        if meaning is not None:
            return meaning
        place = self._shows.split(path)
        if place is None:
            return None
        show, rest = place
        if not rest:
            return self._remember(path, Meaning(show, rest, None))
        directory = path.rpartition("/")[0]
        parent = self._remembered(directory)
        if parent is None:
            parent = self._remember(directory, Meaning(show, rest.rpartition("/")[0], None))
        return self._remember(path, Meaning(show, rest, parent))

    def _remembered(self, path: str) -> Meaning | None:
        meaning = self._newer.get(path)
        if meaning is not None:
            return meaning if self._counts(meaning) else None
        meaning = self._older.pop(path, None)
        if meaning is None or not self._counts(meaning):
            return None
        return self._remember(path, meaning)

    def _counts(self, meaning: Meaning) -> bool:
        """Whether the specification that it speaks of is in force."""
        return self._shows.get(meaning.show.name) is meaning.show

    def _remember(self, path: str, meaning: Meaning) -> Meaning:
        if len(self._newer) >= self._half:
            self._older, self._newer = self._newer, {}
        self._newer[path] = meaning
        return meaning
