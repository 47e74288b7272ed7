"""Traces of opens: what a node was asked for, as events, and as a file that can be replayed.

Events are JSON lines, written by `bench.recording_node` as they happen; N counts the opens:

    {"open": N, "name": TEXT, "size_bytes": B}    a file was opened for reading
    {"close": N, "read_bytes": B}                 and closed, after so much was read of the cache

A trace is a gzip file of lines ``NAME SIZE [READ]`` in the order of the opens: names shortened to
numbers, sizes in bytes, READ what that open read, where it is known. Lines that begin with ``#``
say how it was recorded. Pure but for `load` and `save`; knows nothing of policies.
"""

from __future__ import annotations

import gzip
import json
import zlib
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

OPENS_MAX = 5_000_000
"""Opens of one trace: some 500 MB of memory while it is made or replayed."""


class BadTrace(Exception):
    """A trace, or the events that one is made of, cannot be used; says where and why."""


@dataclass(frozen=True, slots=True)
class Opened:
    """One open.

    Attributes:
        name: of the file; the same content has the same name.
        size_bytes: of the whole file.
        read_bytes: what was read of the cache through this open. What the kernel had in its page
            cache is not in it, read-ahead of the kernel is. None: not recorded.
    """

    name: str
    size_bytes: int
    read_bytes: int | None = None


def from_events(lines: Iterable[str]) -> list[Opened]:
    """Return the opens that events tell of, in their order.

    Raises:
        BadTrace: a line is no event, closes what is not open, or an open was never closed.
    """
    opened: list[tuple[str, int]] = []
    read: dict[int, int] = {}
    for number, line in enumerate(lines, 1):
        try:
            _take(json.loads(line), opened, read)
        except (ValueError, KeyError, TypeError) as error:
            raise BadTrace(f"event {number} is none: {line.strip()[:200]!r}: {error!r}") from error
        if len(opened) > OPENS_MAX:
            raise BadTrace(f"event {number}: more than {OPENS_MAX} opens; record less at a time")
    missing = len(opened) - len(read)
    if missing:
        raise BadTrace(f"{missing} opens were never closed: the recording was cut short")
    return [Opened(name, size, read[which]) for which, (name, size) in enumerate(opened)]


def _take(event: dict[str, Any], opened: list[tuple[str, int]], read: dict[int, int]) -> None:
    if "open" in event:
        if _count(event, "open") != len(opened):
            raise ValueError("opens count up from 0")
        if not isinstance(event["name"], str):
            raise TypeError("a name is text")
        opened.append((event["name"], _count(event, "size_bytes")))
        return
    which = _count(event, "close")
    if which >= len(opened) or which in read:
        raise ValueError(f"open {which} is not open")
    read[which] = _count(event, "read_bytes")


def without_repeats(opened: Iterable[Opened], distance: int = 4) -> list[Opened]:
    """Leave out opens of one of the last *distance* files.

    POV-Ray opens each file twice in a row, to see whether it is there, and to read it; for a policy
    that is a second use of what may never be used again.
    """
    kept: list[Opened] = []
    recent: deque[str] = deque(maxlen=distance)
    for one in opened:
        if one.name not in recent:
            kept.append(one)
            recent.append(one.name)
    return kept


def save(path: Path, title: Sequence[str], opened: Iterable[Opened]) -> None:
    """Write a trace. Nothing of the names is kept; the same opens give the same bytes.

    Args:
        path: of the file; replaced.
        title: lines that say how it was recorded.
        opened: the opens, in their order.
    """
    numbers: dict[str, int] = {}
    lines = [f"# {line}" for line in title]
    for one in opened:
        number = numbers.setdefault(one.name, len(numbers))
        read = "" if one.read_bytes is None else f" {one.read_bytes}"
        lines.append(f"{number} {one.size_bytes}{read}")
    path.write_bytes(gzip.compress("\n".join([*lines, ""]).encode(), mtime=0))


def load(path: Path) -> list[Opened]:
    """Read a trace.

    Raises:
        BadTrace: it is not one.
        OSError: it cannot be read.
    """
    try:
        text = gzip.decompress(path.read_bytes()).decode()
    except (gzip.BadGzipFile, EOFError, zlib.error, UnicodeDecodeError) as error:
        raise BadTrace(f"{path} is not a trace, which is text in gzip: {error}") from error
    opened = [
        _parsed(path, number, line)
        for number, line in enumerate(text.splitlines(), 1)
        if not line.startswith("#")
    ]
    if not opened or len(opened) > OPENS_MAX:
        raise BadTrace(f"{path} has {len(opened)} opens; a trace has 1 to {OPENS_MAX}")
    return opened


def _parsed(path: Path, number: int, line: str) -> Opened:
    parts = line.split()
    if len(parts) not in (2, 3) or not all(one.isascii() and one.isdigit() for one in parts[1:]):
        raise BadTrace(
            f"{path}, line {number}: {line[:200]!r} is not 'NAME SIZE' or 'NAME SIZE READ'"
        )
    return Opened(parts[0], int(parts[1]), int(parts[2]) if len(parts) == 3 else None)


def _count(event: dict[str, Any], key: str) -> int:
    value = event[key]
    if type(value) is not int or value < 0:
        raise ValueError(f"{key} is {value!r}, not a count")
    return value
