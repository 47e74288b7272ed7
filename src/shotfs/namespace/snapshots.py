"""Snapshots: a whole tree of files as it was at one moment, looked up in memory.

A sealed version and a pin file both are one. Paths are relative to the tree's top ("" is the top).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from shotfs.tiers.base import Revision


class TreeSnapshot:
    """The files of a tree and the directories that they imply. Immutable.

    Args:
        files: path, relative to the tree's top, to the revision that it has for ever.

    Raises:
        ValueError: a path is empty, absolute, or has the part "", "." or "..".
    """

    __slots__ = ("_bytes", "_count", "_directories")

    def __init__(self, files: Mapping[str, Revision]) -> None:
        self._directories: dict[str, tuple[dict[str, Revision], set[str]]] = {"": ({}, set())}
        self._count = len(files)
        self._bytes = sum(revision.size_bytes for revision in files.values())
        for path, revision in files.items():
            directory, _, name = path.rpartition("/")
            if name in _NO_NAMES or path.startswith("/"):
                raise ValueError(f"not a path in a tree: {path!r}")
            self._directory(directory)[0][name] = revision

    def _directory(self, path: str) -> tuple[dict[str, Revision], set[str]]:
        """Return the entries of the directory *path*, made with those above it if need be."""
        known = self._directories.get(path)
        if known is not None:
            return known
        made = self._directories[path] = ({}, set())
        above, _, name = path.rpartition("/")
        # A loop: who writes a manifest decides how deep it goes.
        while above not in self._directories and name not in _NO_NAMES:
            self._directories[above] = ({}, {name})
            above, _, name = above.rpartition("/")
        if name in _NO_NAMES:
            raise ValueError(f"not a path in a tree: {path!r}")
        self._directories[above][1].add(name)
        return made

    def __len__(self) -> int:
        """How many files there are."""
        return self._count

    def __iter__(self) -> Iterator[str]:
        """Yield the path of each file, a directory after the other."""
        for directory, (files, _) in self._directories.items():
            for name in files:
                yield f"{directory}/{name}" if directory else name

    @property
    def size_bytes(self) -> int:
        """Size of all files together."""
        return self._bytes

    def find(self, path: str) -> Revision | None:
        """Return what the file *path* is; None if there is none of that name."""
        directory, _, name = path.rpartition("/")
        entries = self._directories.get(directory)
        return None if entries is None else entries[0].get(name)

    def has_directory(self, path: str) -> bool:
        """Tell whether *path* is a directory: some file lies below it. The top always is one."""
        return path in self._directories

    def children(self, path: str) -> tuple[Mapping[str, Revision], frozenset[str]]:
        """Return the files, by name, and the names of the directories directly in *path*.

        Both are empty for what is no directory. A name may be both where a key is a prefix of
        others; such a one is shown as a directory.
        """
        files, directories = self._directories.get(path, ({}, set()))
        return dict(files), frozenset(directories)


_NO_NAMES = frozenset(("", ".", ".."))
