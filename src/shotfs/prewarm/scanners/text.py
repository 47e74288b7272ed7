"""Text: reads scene files that are text, in bounded memory, and makes edges of what they name.

Scene files have gigabytes, and lines of gigabytes. So a `Source` holds one piece of the file,
passes over the rest, and keeps no string that is much longer than a path can be.
"""

from __future__ import annotations

import gzip
import io
import re
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO

from shotfs.errors import ScanFailed
from shotfs.prewarm.scanners import registry
from shotfs.prewarm.scanners.base import Edge, Kind

PIECE_CHARS = 1 << 18
"""Characters that are read at a time."""

LOOK_CHARS = 4096
"""Characters that are at hand for every match, unless the file ends before."""

PATH_CHARS_MAX = 4096
"""The longest path (Linux has the same limit); a longer string is none."""

STRING_CHARS_MAX = 1 << 16
"""The longest string that is kept; of a longer one nothing is."""

TEXT_BYTES_MAX = 1 << 38
"""The most that a compressed file may unpack to: a small one may claim any size."""

_GZIP = b"\x1f\x8b"


class Source:
    """The text of one file, from its beginning to its end.

    Attributes:
        path: of the file, for messages.
        line: where it stands, from 1.
    """

    def __init__(self, path: str, stream: IO[str]) -> None:
        self.path = path
        self.line = 1
        self._stream = stream
        self._text = ""
        self._at = 0
        self._ended = False

    def _more(self) -> bool:
        """Read on; False at the end of the file."""
        if self._ended:
            return False
        try:
            piece = self._stream.read(PIECE_CHARS)
        except (OSError, EOFError, zlib.error) as exc:
            raise self.failed(f"cannot be read on: {exc}") from exc
        self._text = self._text[self._at :] + piece
        self._at = 0
        self._ended = not piece
        return not self._ended

    def _pass(self, stop: int) -> None:
        self.line += self._text.count("\n", self._at, stop)
        self._at = stop

    @property
    def ended(self) -> bool:
        """Whether nothing is left."""
        return self._at == len(self._text) and not self._more()

    def peek(self) -> str:
        """Return the next character, "" at the end."""
        if self._at == len(self._text) and not self._more():
            return ""
        return self._text[self._at]

    def take(self, pattern: re.Pattern[str]) -> str | None:
        """Pass over what *pattern* matches here, `LOOK_CHARS` at the most, and return it."""
        if len(self._text) - self._at < LOOK_CHARS and not self._ended:
            self._more()
        match = pattern.match(self._text, self._at, self._at + LOOK_CHARS)
        if match is None:
            return None
        self._pass(match.end())
        return match[0]

    def skip(self, pattern: re.Pattern[str]) -> None:
        """Pass over what *pattern* matches here, however long; it is one set of characters."""
        while True:
            match = pattern.match(self._text, self._at)
            if match is not None:
                self._pass(match.end())
            if self._at < len(self._text) or not self._more():
                return

    def until(self, stops: re.Pattern[str], keep: int = STRING_CHARS_MAX) -> str | None:
        """Pass over everything before the first character that *stops* matches, and return it.

        None: it is longer than *keep* characters. At the end of the file it stops too.
        """
        kept: list[str] = []
        length = 0
        while True:
            match = stops.search(self._text, self._at)
            stop = len(self._text) if match is None else match.start()
            length += stop - self._at
            if length <= keep:
                kept.append(self._text[self._at : stop])
            else:
                kept.clear()
            self._pass(stop)
            if match is not None or not self._more():
                return "".join(kept) if length <= keep else None

    def next(self) -> str:
        """Pass over one character and return it, "" at the end."""
        char = self.peek()
        if char:
            self._pass(self._at + 1)
        return char

    def failed(self, why: str, *, line: int | None = None, fix: str | None = None) -> ScanFailed:
        """Return the error that says *why* this file cannot be read (on)."""
        where = self.line if line is None else line
        return ScanFailed(f"{self.path}:{where}: {why}", fix=fix)


class _Bounded(io.RawIOBase):
    """What a compressed file unpacks to, up to `TEXT_BYTES_MAX`."""

    def __init__(self, packed: gzip.GzipFile) -> None:
        self._packed = packed
        self._count = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]  # buffers are these
        data = self._packed.read(len(buffer))
        self._count += len(data)
        if self._count > TEXT_BYTES_MAX:
            raise OSError(f"it unpacks to more than {TEXT_BYTES_MAX} bytes")
        buffer[: len(data)] = data
        return len(data)


@contextmanager
def open_text(path: str, *, binary: str = "") -> Iterator[Source]:
    """Open the file *path*, packed with gzip or not.

    What is no UTF-8 becomes lone surrogates, and a path that has them is `unresolved`.

    Args:
        path: of the file.
        binary: what a file with a NUL byte in its first 4 KiB is, and what to do with it.

    Raises:
        ScanFailed: it cannot be opened, or is binary and *binary* is not "".
    """
    try:
        with open(path, "rb") as raw:
            packed = raw.read(2) == _GZIP
            raw.seek(0)
            stream: IO[bytes] = raw
            if packed:
                stream = io.BufferedReader(_Bounded(gzip.GzipFile(fileobj=raw)))
            text = io.TextIOWrapper(stream, "utf-8-sig", errors="surrogateescape", newline=None)
            source = Source(path, text)
            if binary and "\0" in head(source):
                raise ScanFailed(f"{path}: it is binary", fix=binary)
            yield source
    except OSError as exc:
        raise ScanFailed(f"{path}: cannot be read: {exc.strerror or exc}") from exc


def head(source: Source) -> str:
    """Return the beginning of what is left of *source*, without passing over it."""
    source.peek()
    return source._text[source._at : source._at + LOOK_CHARS]  # noqa: SLF001 (same module)


def suffix(target: str) -> str:
    """Return the suffix of *target*, lower case with the dot; "" where it has none."""
    name = target.rsplit("/", 1)[-1]
    dot = name.rfind(".")
    return name[dot:].lower() if dot > 0 else ""


def leads_to(target: str) -> Kind:
    """Return what an input named *target* is: a scene that a scanner reads, or a file."""
    return Kind.SCENE if registry.reads(target) else Kind.FILE


def named(
    target: str,
    *,
    kind: Kind | None = None,
    line: int | None = None,
    confidence: float = 1.0,
    unresolved: str = "",
    frames: str = "",
    file_frames: str = "",
    views: tuple[str, ...] = (),
    search: tuple[str, ...] = (),
) -> Edge | None:
    """Return the edge to *target*; None where that is empty.

    What is no UTF-8, or too long, is `unresolved`.
    """
    target = target.strip()
    if not target:
        return None
    if not unresolved:
        unresolved = _no_path(target)
    return Edge(
        target=target[:PATH_CHARS_MAX],
        kind=leads_to(target) if kind is None else kind,
        line=line,
        confidence=confidence,
        unresolved=unresolved,
        frames=frames,
        file_frames=file_frames,
        views=views,
        search=search,
    )


def _no_path(target: str) -> str:
    """Return why no file here can be named *target*; where it leads is for `places` to say."""
    if len(target) > PATH_CHARS_MAX:
        return f"longer than {PATH_CHARS_MAX} characters"
    if not target.isascii() and any("\ud800" <= char <= "\udfff" for char in target):
        return "is not UTF-8"
    return ""
