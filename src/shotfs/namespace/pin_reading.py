"""Reading pin files: line by line, and every mistake with its line.

The form is that of `pins.PinWriter`, one file a line; what a person changed in it line by line is
read too. Blocks: call `read_pins` in a thread.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import IO, Any, NoReturn

from shotfs.config.moments import parse_moment
from shotfs.digest import Checksums, parse_digest
from shotfs.errors import PinInvalid, Problem, Unsupported
from shotfs.namespace.pins import ANY_TIME_NS, FILES_MAX, FORMAT, PinHead, Pins
from shotfs.namespace.snapshots import TreeSnapshot
from shotfs.tiers.base import Revision
from shotfs.tiers.keys import is_key, parse_root

ALIASES_MAX = 100_000

LINE_CHARACTERS_MAX = 16_384
"""A path has 1,024 bytes at most, and the rest of a line has fewer than 1,000."""

HEAD_CHARACTERS_MAX = 4 * 1024 * 1024

PROBLEMS_MAX = 20
"""Mistakes that are told at once."""

_HEX = re.compile(r"(?:[0-9a-f]{2})+\Z")
_VERSION_CHARACTERS_MAX = 1024


def read_pins(path: str) -> Pins:
    """Return what the pin file *path* says. Blocks.

    Raises:
        PinInvalid: it is not there, or has mistakes; the message says in which lines.
    """
    try:
        with open(path, encoding="utf-8") as file:
            return _Reader(path, file).read()
    except OSError as exc:
        raise PinInvalid(path, [Problem("file", f"cannot be read: {exc.strerror}")]) from exc
    except UnicodeDecodeError as exc:
        raise PinInvalid(path, [Problem("file", f"is not UTF-8: {exc.reason}")]) from exc


class _Reader:
    """Reads one pin file, line by line."""

    def __init__(self, source: str, file: IO[str]) -> None:
        self._source = source
        self._file = file
        self._line = 0
        self._problems: list[Problem] = []
        self._tiers: dict[str, str] = {}
        self._empty = False

    def read(self) -> Pins:
        head = self._head()
        files: dict[str, Revision] = {}
        for path, row, line in self._rows("files", FILES_MAX):
            if path in files:
                self._report(line, f"/files/{path}", "is there twice", "remove one of the lines")
                continue
            try:
                files[path] = self._revision(path, row)
            except (ValueError, KeyError, TypeError) as exc:
                said = f"{exc.args[0]!r} is missing" if isinstance(exc, KeyError) else str(exc)
                self._report(line, f"/files/{path}", said, "make the pin file again")
        self._expect('"aliases": {', '"aliases": {}')
        aliases: dict[str, str | None] = {}
        for path, version, line in self._rows("aliases", ALIASES_MAX):
            if not is_key(path) or not (version is None or _is_name(version)):
                self._report(line, f"/aliases/{path}", "is no alias with a version", None)
            else:
                aliases[path] = version
        if self._next() != "}":
            self._fail("the document does not end here", "make the pin file again")
        if self._problems:
            raise PinInvalid(self._source, self._problems)
        try:
            snapshot = TreeSnapshot(files)
        except ValueError as exc:
            raise PinInvalid(self._source, [Problem("/files", str(exc))]) from exc
        pins = Pins(self._source, head, snapshot, aliases)
        outside = next((one for one in (*files, *aliases) if not pins.covers(one)), None)
        if outside is not None:
            message = f"{outside} lies in none of them"
            fix = "name its tree there, or remove the file"
            raise PinInvalid(self._source, [Problem("/trees", message, fix)])
        return pins

    def _head(self) -> PinHead:
        text = ""
        while (line := self._next(raw=True)) is not None:
            if line.strip() in ('"files": {', '"files": {}'):
                self._empty = line.strip().endswith("}")
                break
            text += line
            if len(text) > HEAD_CHARACTERS_MAX:
                self._fail("is too long before its files")
        else:
            self._fail('has no line "files": {', "write one file a line, as `shotfs pin create`")
        try:
            document = json.loads(text.rstrip().removesuffix(",") + "}")
        except json.JSONDecodeError as exc:
            problem = Problem("head", exc.msg, None, exc.lineno, exc.colno)
            raise PinInvalid(self._source, [problem]) from exc
        except RecursionError as exc:
            raise PinInvalid(self._source, [Problem("head", "is nested too deeply")]) from exc
        return self._checked(document)

    def _checked(self, document: Any) -> PinHead:
        if not isinstance(document, dict) or document.get("pin") != FORMAT:
            found = document.get("pin") if isinstance(document, dict) else document
            fix = f'make it with `shotfs pin create`; it begins with "pin": "{FORMAT}"'
            problem = Problem("/pin", f"is {str(found)[:60]!r}, not {FORMAT!r}", fix)
            raise PinInvalid(self._source, [problem])
        problems = [
            Problem(f"/{name}", "must be text")
            for name in ("show", "spec", "made_at", "by")
            if not isinstance(document.get(name), str)
        ]
        at = document.get("at")
        if at is not None and not _is_moment(at):
            problems.append(Problem("/at", "must be a time or null"))
        if isinstance(document.get("made_at"), str) and not _is_moment(document["made_at"]):
            problems.append(Problem("/made_at", "must be a time, like 2026-11-21T06:00:00Z"))
        trees = document.get("trees")
        if not isinstance(trees, list) or not all(
            isinstance(tree, str) and (tree == "" or is_key(tree)) for tree in trees
        ):
            problems.append(Problem("/trees", "must be a list of paths, relative to the show"))
        known = {"pin", "show", "spec", "made_at", "by", "at", "trees"}
        problems += [Problem(f"/{name}", "is not known") for name in sorted(set(document) - known)]
        if problems:
            raise PinInvalid(self._source, problems)
        return PinHead(
            show=document["show"],
            spec=document["spec"],
            made_at=document["made_at"],
            by=document["by"],
            at=at,
            trees=tuple(sorted(document["trees"])),
        )

    def _rows(self, where: str, rows_max: int) -> Iterator[tuple[str, Any, int]]:
        """Yield key, value and line of each row, up to the line that closes the object."""
        count = 0
        more = True
        if self._empty:
            return
        while (line := self._next()) not in ("}", "},"):
            if line is None:
                self._fail(f"ends among its {where}: it is not whole", "make the pin file again")
            count += 1
            if count > rows_max:
                self._fail(f"has more than {rows_max} {where}", "pin fewer trees")
            if not more:
                self._report(self._line - 1, f"/{where}", "a comma is missing at its end", None)
            more = line.endswith(",")
            try:
                row = json.loads(f"{{{line.removesuffix(',')}}}")
            except (json.JSONDecodeError, RecursionError) as exc:
                said = exc.msg if isinstance(exc, json.JSONDecodeError) else "is nested too deeply"
                self._report(self._line, f"/{where}", f"not one row: {said}", "write one a line")
                continue
            if len(row) != 1:
                self._report(self._line, f"/{where}", "not one row", "write one a line")
                continue
            [(key, value)] = row.items()
            yield key, value, self._line
        if more and count:
            self._report(self._line, f"/{where}", "a comma before the end", "remove it")

    def _expect(self, text: str, empty: str) -> None:
        line = self._next()
        if line not in (text, empty):
            self._fail(f"expected {text} here", "make the pin file again")
        self._empty = line == empty

    def _revision(self, path: str, row: Any) -> Revision:
        if not isinstance(row, dict):
            raise TypeError("must be an object")
        if not is_key(path):
            raise ValueError("is no path of a file")
        size, mtime_ns, version = row["size"], row["mtime_ns"], row["version"]
        pin, sums, digest = row.get("pin"), row.get("checksums") or {}, row.get("digest")
        if not (_is_whole(size) and size >= 0 and _is_whole(mtime_ns)):
            raise ValueError("size and mtime_ns must be whole numbers of 64 bits")
        if not _is_version(version) or not (pin is None or _is_version(pin)):
            raise ValueError("version and pin must be short texts")
        if not isinstance(sums, dict):
            raise TypeError("checksums must be an object")
        return Revision(
            tier=self._tier(row["origin"]),
            key=path,
            size_bytes=size,
            version=version,
            mtime_ns=mtime_ns,
            checksums=Checksums(
                md5=_hex_text(sums.get("md5"), 32),
                crc32c=_hex_text(sums.get("crc32c"), 8),
                xxh128=None if digest is None else parse_digest(digest),
            ),
            pin=pin,
        )

    def _tier(self, origin: Any) -> str:
        """Return the name of the tier of a root URL; each name is kept once."""
        if not isinstance(origin, str):
            raise TypeError("origin must be a URL")
        if origin not in self._tiers:
            if len(self._tiers) == 1_000:
                raise ValueError("more than 1,000 origins")
            try:
                self._tiers[origin] = parse_root(origin).name
            except Unsupported as exc:
                raise ValueError(f"origin {origin[:80]!r} is no URL") from exc
        return self._tiers[origin]

    def _next(self, *, raw: bool = False) -> str | None:
        line = self._file.readline(LINE_CHARACTERS_MAX + 1)
        if not line:
            return None
        self._line += 1
        if len(line) > LINE_CHARACTERS_MAX and not raw:
            self._fail("this line is too long", "write one file a line, as `shotfs pin create`")
        return line if raw else line.strip()

    def _report(self, line: int, where: str, message: str, fix: str | None) -> None:
        self._problems.append(Problem(where, message, fix, line))
        if len(self._problems) == PROBLEMS_MAX:
            raise PinInvalid(self._source, self._problems)

    def _fail(self, message: str, fix: str | None = None) -> NoReturn:
        problem = Problem("file", message, fix, max(1, self._line))
        raise PinInvalid(self._source, [*self._problems, problem])


def _is_whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and -(2**63) < value < 2**63


def _is_version(value: object) -> bool:
    short = isinstance(value, str) and 0 < len(value) <= _VERSION_CHARACTERS_MAX
    return short and str(value).isprintable()


def _is_name(value: object) -> bool:
    return isinstance(value, str) and value.isprintable() and "/" not in value and value != ""


def _is_moment(value: object) -> bool:
    if not isinstance(value, str):
        return False
    try:
        parse_moment(value, ANY_TIME_NS)
    except ValueError:
        return False
    return True


def _hex_text(value: object, length: int) -> str | None:
    if value is None:
        return None
    if not (isinstance(value, str) and len(value) == length and _HEX.match(value)):
        raise ValueError(f"not a checksum of {length} hexadecimal digits: {str(value)[:80]!r}")
    return value
