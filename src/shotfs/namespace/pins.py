"""Pin files: the trees of a show, file by file, as one world that does not change.

The document is JSON with one file a line, in the order of their paths, so that two of them can be
compared with diff, and so that a million files are written and read without holding the text.
`read_pins` reads what `PinWriter` writes, or what a person made of it line by line; it says in
which line a mistake is.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import IO, Any, NoReturn, Self

from shotfs.config.moments import parse_moment
from shotfs.digest import Checksums, parse_digest
from shotfs.errors import PinInvalid, Problem, Unsupported
from shotfs.namespace.snapshots import TreeSnapshot
from shotfs.tiers.base import Revision
from shotfs.tiers.keys import is_key, parse_root

FORMAT = "shotfs-pin/1"

FILES_MAX = 1_000_000
"""Files of one pin file; in memory one takes about 700 bytes."""

ALIASES_MAX = 100_000

LINE_CHARACTERS_MAX = 16_384
"""A path has 1,024 bytes at most, and the rest of a line has fewer than 1,000."""

HEAD_CHARACTERS_MAX = 4 * 1024 * 1024

PROBLEMS_MAX = 20
"""Mistakes that are told at once."""

_HEX = re.compile(r"(?:[0-9a-f]{2})+\Z")
_VERSION_CHARACTERS_MAX = 1024
_ANY_TIME_NS = 2**63


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
        return parse_moment(self.head.made_at, _ANY_TIME_NS) / 10**9

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
            ValueError: the order is wrong, or there are more than `FILES_MAX`.
            OSError: the disk does not let us.
        """
        assert self._file is not None
        if self._last is not None and path <= self._last:
            raise ValueError(f"{path!r} does not come after {self._last!r}")
        if self.count == FILES_MAX:
            raise ValueError(f"more than {FILES_MAX} files")
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


# --- reading -------------------------------------------------------------------------------------


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
        if not (_is_whole(size) and 0 <= size < 2**63 and _is_whole(mtime_ns)):
            raise ValueError("size and mtime_ns must be whole numbers")
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
    return isinstance(value, int) and not isinstance(value, bool)


def _is_version(value: object) -> bool:
    return isinstance(value, str) and 0 < len(value) <= _VERSION_CHARACTERS_MAX


def _is_name(value: object) -> bool:
    return isinstance(value, str) and value.isprintable() and "/" not in value and value != ""


def _is_moment(value: object) -> bool:
    if not isinstance(value, str):
        return False
    try:
        parse_moment(value, _ANY_TIME_NS)
    except ValueError:
        return False
    return True


def _hex_text(value: object, length: int) -> str | None:
    if value is None:
        return None
    if not (isinstance(value, str) and len(value) == length and _HEX.match(value)):
        raise ValueError(f"not a checksum of {length} hexadecimal digits: {str(value)[:80]!r}")
    return value


def sort_key(name: str, *, directory: bool) -> str:
    """Return what puts the entries of a directory into the order of whole paths."""
    return f"{name}/" if directory else name


def check_order(paths: Iterable[str]) -> Sequence[str]:
    """Return *paths*, sorted and without those that lie in another one."""
    kept: list[str] = []
    for path in sorted(set(paths), key=lambda one: f"{one}/" if one else ""):
        if not any(path == tree or path.startswith(f"{tree}/") or not tree for tree in kept):
            kept.append(path)
    return kept
