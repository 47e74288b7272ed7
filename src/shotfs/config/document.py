"""Read a configuration file: bytes to plain values and the places where they stand.

Knows TOML and files, not settings. Refuses what is not a small UTF-8 text file.
"""

from __future__ import annotations

import os
import re
import stat
import tomllib
from dataclasses import dataclass
from typing import Any

from shotfs.config.positions import KeyPath, Position, key_positions
from shotfs.errors import ConfigInvalid, Problem

FILE_BYTES_MAX = 1024 * 1024
"""A configuration is a page or two; a larger file is the wrong file."""

_SYNTAX_PLACE = re.compile(r"\s*\(at (?:line (\d+), column (\d+)|end of document)\)\s*\Z")


@dataclass(frozen=True, slots=True)
class Document:
    """A parsed configuration file.

    Attributes:
        path: as it was given.
        values: plain TOML values, nested.
        positions: where each key stands.
        warnings: what is not a mistake but should be changed (anybody may write the file).
        present: there is such a file; False stands for "all defaults".
    """

    path: str
    values: dict[str, Any]
    positions: dict[KeyPath, Position]
    warnings: tuple[Problem, ...] = ()
    present: bool = True

    def nearest(self, path: KeyPath) -> Position | None:
        """Return where *path* stands, or its closest parent that the file has."""
        while path:
            if path in self.positions:
                return self.positions[path]
            path = path[:-1]
        return None


def read_document(path: str) -> Document:
    """Read and parse the file at *path*.

    Raises:
        ConfigInvalid: it cannot be read, is larger than `FILE_BYTES_MAX`, not UTF-8 or not TOML.
    """
    data, mode = _read(path)
    text = _decode(path, data)
    try:
        values = tomllib.loads(text)
    except tomllib.TOMLDecodeError as exc:
        raise ConfigInvalid(path, [_syntax_problem(text, str(exc))]) from exc
    except RecursionError as exc:
        problem = Problem("(syntax)", "brackets are nested too deeply")
        raise ConfigInvalid(path, [problem]) from exc
    positions = key_positions(text.replace("\r\n", "\n"))
    return Document(path, values, positions, _mode_warnings(path, mode))


def doubles(document: Document) -> list[Problem]:
    """Return the origins that stand in *document* twice, with and without a closing slash."""
    origins = document.values.get("origins")
    problems: list[Problem] = []
    if not isinstance(origins, dict):
        return problems
    for prefix in origins:
        bare = prefix.rstrip("/")
        if prefix != bare and bare in origins:
            place = document.nearest(("origins", prefix)) or Position(1, 1)
            problem = Problem(
                f'origins."{prefix}"',
                f"is the same origin as '{bare}'",
                "merge the two sections into one",
                line=place.line,
                column=place.column,
            )
            problems.append(problem)
    return problems


def _read(path: str) -> tuple[bytes, int]:
    try:
        # O_NONBLOCK: opening a FIFO by mistake must not hang.
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        try:
            mode = os.fstat(descriptor).st_mode
            if not stat.S_ISREG(mode):
                raise _unreadable(path, "is not a regular file")
            with open(descriptor, "rb", closefd=False) as file:
                data = file.read(FILE_BYTES_MAX + 1)
        finally:
            os.close(descriptor)
    except (OSError, ValueError) as exc:
        reason = exc.strerror if isinstance(exc, OSError) else str(exc)
        raise _unreadable(path, f"cannot be read: {reason}") from exc
    if len(data) > FILE_BYTES_MAX:
        raise _unreadable(path, f"is larger than {FILE_BYTES_MAX // 1024} KiB")
    return data, mode


def _unreadable(path: str, what: str) -> ConfigInvalid:
    fix = (
        "write one with 'shotfs config init --output FILE', or name another with --config or"
        " SHOTFS_CONFIG"
    )
    return ConfigInvalid(path, [Problem("(file)", what, fix)])


def _decode(path: str, data: bytes) -> str:
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as exc:
        before = data[: exc.start]
        line = before.count(b"\n") + 1
        column = len(before) - before.rfind(b"\n")
        problem = Problem(
            "(file)", "is not UTF-8 text", "save the file as UTF-8", line=line, column=column
        )
        raise ConfigInvalid(path, [problem]) from exc


def _syntax_problem(text: str, message: str) -> Problem:
    place = _SYNTAX_PLACE.search(message)
    if place is not None and place[1] is not None:
        line, column = int(place[1]), int(place[2])
    else:
        lines = text.rstrip("\n").split("\n")
        line, column = len(lines), len(lines[-1]) + 1
    what = _SYNTAX_PLACE.sub("", message)
    return Problem(
        "(syntax)", what[:1].lower() + what[1:], _syntax_fix(text, line), line=line, column=column
    )


def _syntax_fix(text: str, line: int) -> str | None:
    """Guess at the mistake that people make most: text without quotes."""
    lines = text.split("\n")
    content = lines[line - 1] if 0 < line <= len(lines) else ""
    match = re.match(r"\s*([A-Za-z0-9_.-]+)\s*[=:]\s*([^\"'\s\[{#][^#]*?)\s*(#.*)?\Z", content)
    if match is not None:
        value = match[2].replace('"', "").replace("'", "")
        return f'{match[1]} = "{value}"   (text stands in quotes, with = before it)'
    return None


def _mode_warnings(path: str, mode: int) -> tuple[Problem, ...]:
    if not mode & stat.S_IWOTH:
        return ()
    return (
        Problem(
            "(file)",
            "can be written by everybody, who then decide what the service mounts",
            f"chmod o-w {path}",
        ),
    )
