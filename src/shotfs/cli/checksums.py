"""SHA-256 of a delivery: written and verified in the form of sha256sum(1).

xxh3 finds accidents; what crosses a trust boundary carries SHA-256 (docs/semantics.md). The file
goes with the delivery, and `sha256sum --check` reads it without shotfs. Lines of a file to verify
may have any order and number, so they lie in a temporary database and not in memory. Nothing is
opened because a line names it: only files that the walk has found are read.
"""

from __future__ import annotations

import hashlib
import os
import re
import sqlite3
import tempfile
from collections.abc import Iterator
from types import TracebackType
from typing import BinaryIO, Self

from shotfs.errors import InvalidArgument

_LINE = re.compile(rb"(\\?)([0-9a-fA-F]{64}) [ *](.+)", re.DOTALL)
LINE_BYTES_MAX = 16_384
_ESCAPES = {b"\\": b"\\\\", b"\n": b"\\n", b"\r": b"\\r"}
_UNESCAPES = {written: sign for sign, written in _ESCAPES.items()}


def sha256_of(path: str) -> str:
    """Return the SHA-256 of the file *path*, 64 lowercase hexadecimal digits."""
    # Never through a link: the walk has seen a file here.
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    with open(descriptor, "rb", buffering=0) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def line_of(digest: str, path: str) -> bytes:
    """Return the line for one file; names with line ends or backslashes are escaped."""
    name = os.fsencode(path)
    written = re.sub(rb"[\\\n\r]", lambda found: _ESCAPES[found.group()], name)
    mark = b"\\" if written != name else b""
    return mark + digest.encode() + b"  " + written + b"\n"


class Writer:
    """Writes checksums to a file that appears when all of them are in it."""

    def __init__(self, path: str) -> None:
        self._path = path
        self.temporary = f"{path}.{os.getpid()}.tmp"
        self._file = open(self.temporary, "xb")  # noqa: SIM115  # closed by __exit__
        self.count = 0

    def __enter__(self) -> Self:
        return self

    def add(self, root: str, path: str) -> None:
        """Read the file *path* below *root* and write its line."""
        self._file.write(line_of(sha256_of(os.path.join(root, path)), path))
        self.count += 1

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._file.close()
        if error is None:
            os.replace(self.temporary, self._path)
        else:
            os.unlink(self.temporary)


class Verifier:
    """Compares files with the lines of a checksum file."""

    def __init__(self, path: str) -> None:
        """Read the lines of *path*.

        Raises:
            OSError: it cannot be read.
            InvalidArgument: a line is none of sha256sum.
        """
        self._directory = tempfile.TemporaryDirectory(prefix="shotfs-checksums-")
        self._database = sqlite3.connect(os.path.join(self._directory.name, "lines"))
        try:
            self._database.executescript(
                "PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF;"
                "CREATE TABLE lines (name BLOB PRIMARY KEY, digest TEXT NOT NULL,"
                " seen INTEGER NOT NULL DEFAULT 0) WITHOUT ROWID"
            )
            with open(path, "rb") as file:
                self._database.executemany(
                    "INSERT OR REPLACE INTO lines (name, digest) VALUES (?, ?)",
                    _lines(path, file),
                )
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Forget the lines."""
        self._database.close()
        self._directory.cleanup()

    def problem(self, root: str, path: str) -> str | None:
        """Return what is wrong with the content of *path* below *root*, or None."""
        name = os.fsencode(path)
        found = self._database.execute(
            "UPDATE lines SET seen = 1 WHERE name = ? RETURNING digest", (name,)
        ).fetchone()
        if found is None:
            return "has no checksum"
        try:
            actual = sha256_of(os.path.join(root, path))
        except OSError as exc:
            return f"cannot be read: {exc.strerror}"
        return None if actual == found[0] else "is not what its checksum says: send it again"

    def missing(self) -> Iterator[str]:
        """Yield the paths that have a line and were not asked about, sorted."""
        rows = self._database.execute("SELECT name FROM lines WHERE seen = 0 ORDER BY name")
        for (name,) in rows:
            yield os.fsdecode(name)


def _lines(path: str, file: BinaryIO) -> Iterator[tuple[bytes, str]]:
    for number, line in enumerate(iter(lambda: file.readline(LINE_BYTES_MAX), b""), 1):
        text = line.rstrip(b"\r\n")
        if not text or text.startswith(b"#"):
            continue
        found = _LINE.fullmatch(text)
        if found is None or len(line) == LINE_BYTES_MAX:
            raise InvalidArgument(
                f"{path}:{number}: no line of checksums",
                fix="make it with --write-checksums, or with sha256sum",
            )
        name = found.group(3)
        if found.group(1):
            name = re.sub(rb"\\[\\nr]", lambda one: _UNESCAPES[one.group()], name)
        yield name.removeprefix(b"./"), found.group(2).decode().lower()
