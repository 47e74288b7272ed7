"""Pin files: the trees of a show, file by file, as one world that does not change.

The document is JSON with one file a line, in the order of their paths, so that two of them can be
compared with diff, and so that a million files are written and read without holding the text.
`pin_reading` reads them.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import IO, Any, Self

from shotfs.config.moments import parse_moment
from shotfs.errors import InvalidArgument
from shotfs.namespace.snapshots import TreeSnapshot
from shotfs.tiers.base import Revision

FORMAT = "shotfs-pin/1"

FILES_MAX = 1_000_000
"""Files of one pin file; in memory one takes about 700 bytes."""

ANY_TIME_NS = 2**63
"""Later than any time that a document may name."""


@dataclass(frozen=True, slots=True)
class PinHead:
    """What a pin file says of itself.

    Attributes:
        show: its name.
        spec: digest of the specification that was in force.
        made_at: when it was written, ISO 8601 in UTC.
        by: who wrote it, like ``anna@node17``.
        at: as of which time its files were looked up, ISO 8601 in UTC; None: while it was made.
        trees: what is pinned, relative to the show: directories, files and aliases, sorted.
    """

    show: str
    spec: str
    made_at: str
    by: str
    at: str | None
    trees: tuple[str, ...]


class Pins:
    """The world of a pin file. Immutable.

    Args:
        source: the file's path.
        head: what it says of itself.
        files: every pinned file, relative to the show.
        aliases: alias path, relative to the show, to the text of the version; None: nowhere.
    """

    def __init__(
        self,
        source: str,
        head: PinHead,
        files: TreeSnapshot,
        aliases: Mapping[str, str | None],
    ) -> None:
        self.source = source
        self.head = head
        self.files = files
        self.aliases = dict(aliases)
        self._trees = frozenset(head.trees)
        above: dict[str, set[str]] = {}
        for tree in head.trees:
            parent, _, name = tree.rpartition("/")
            while name:
                above.setdefault(parent, set()).add(name)
                parent, _, name = parent.rpartition("/")
        self._above = {path: frozenset(names) for path, names in above.items()}
        beside: dict[str, dict[str, str]] = {}
        for path, version in self.aliases.items():
            parent, _, name = path.rpartition("/")
            if version is not None:
                beside.setdefault(parent, {})[name] = version
        self._aliases_in = beside

    @property
    def made_s(self) -> float:
        """When it was made, seconds since the epoch."""
        return parse_moment(self.head.made_at, ANY_TIME_NS) / 10**9

    @property
    def show(self) -> str:
        """The name of the show that it pins."""
        return self.head.show

    def covers(self, rest: str) -> bool:
        """Whether the path *rest*, relative to the show, lies in a pinned tree or is its top."""
        while True:
            if rest in self._trees:
                return True
            rest, slash, _ = rest.rpartition("/")
            if not slash:
                return "" in self._trees

    def leads_to_tree(self, rest: str) -> bool:
        """Whether a pinned tree lies below *rest*."""
        return rest in self._above

    def trees_in(self, rest: str) -> frozenset[str]:
        """Return the names in *rest* that are, or lead to, pinned trees."""
        return self._above.get(rest, frozenset())

    def has_directory(self, rest: str) -> bool:
        """Whether *rest* is a directory: pinned files or aliases lie below it."""
        return self.files.has_directory(rest) or rest in self._aliases_in

    def aliases_in(self, rest: str) -> Mapping[str, str]:
        """Return the pinned aliases directly in *rest* that point somewhere: name to version."""
        return self._aliases_in.get(rest, {})


# --- writing -------------------------------------------------------------------------------------


class PinWriter:
    """Writes a pin file beside its place and moves it there when it is whole.

    Files come in the order of their paths; a context manager. Blocks: use it in a thread, or where
    nobody else waits.

    Args:
        path: where to; an existing file is replaced.
        head: what the file says of itself.
    """

    def __init__(self, path: str, head: PinHead) -> None:
        self._path = path
        self._temporary = f"{path}.{os.getpid()}.new"
        self._head = head
        self._file: IO[str] | None = None
        self._last: str | None = None
        self._aliases: dict[str, str | None] = {}
        self.count = 0
        self.size_bytes = 0

    def __enter__(self) -> Self:
        self._file = open(self._temporary, "w", encoding="utf-8")
        head = self._head
        rows: dict[str, Any] = {
            "pin": FORMAT,
            "show": head.show,
            "spec": head.spec,
            "made_at": head.made_at,
            "by": head.by,
            "at": head.at,
            "trees": list(head.trees),
        }
        self._file.write("{\n")
        for name, value in rows.items():
            self._file.write(f"{_text(name)}: {_text(value)},\n")
        self._file.write('"files": {')
        return self

    def add(self, path: str, revision: Revision, origin: str) -> None:
        """Add the file *path*, relative to the show.

        Args:
            path: after all that were added before.
            revision: what it is.
            origin: root URL as the specification writes it.

        Raises:
            InvalidArgument: there are more than `FILES_MAX`.
            ValueError: the order is wrong.
            OSError: the disk does not let us.
        """
        assert self._file is not None
        if self._last is not None and path <= self._last:
            raise ValueError(f"{path!r} does not come after {self._last!r}")
        if self.count == FILES_MAX:
            raise InvalidArgument(
                f"{self._path}: more than {FILES_MAX} files", fix="pin fewer trees in one file"
            )
        separator = "," if self.count else ""
        self._file.write(f"{separator}\n{_text(path)}: {_text(_row(revision, origin))}")
        self._last = path
        self.count += 1
        self.size_bytes += revision.size_bytes

    def alias(self, path: str, version: str | None) -> None:
        """Add the alias *path*, relative to the show, and the version that it points to."""
        self._aliases[path] = version

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        assert self._file is not None
        try:
            if kind is None:
                self._finish(self._file)
                os.replace(self._temporary, self._path)
        finally:
            self._file.close()
            if os.path.lexists(self._temporary):
                os.unlink(self._temporary)

    def _finish(self, file: IO[str]) -> None:
        file.write('\n},\n"aliases": {')
        rows = (f"{_text(path)}: {_text(self._aliases[path])}" for path in sorted(self._aliases))
        file.write(",".join(f"\n{row}" for row in rows))
        file.write("\n}\n}\n")
        file.flush()
        os.fsync(file.fileno())


def _text(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)


def _row(revision: Revision, origin: str) -> dict[str, Any]:
    sums = revision.checksums
    known = {"md5": sums.md5, "crc32c": sums.crc32c}
    row: dict[str, Any] = {
        "size": revision.size_bytes,
        "mtime_ns": revision.mtime_ns,
        "version": revision.version,
    }
    if revision.pin is not None:
        row["pin"] = revision.pin
    row["origin"] = origin
    row["checksums"] = {name: value for name, value in known.items() if value is not None}
    row["digest"] = sums.xxh128
    return row
