"""Reading: manifests as streams of entries, of any size, in bounded memory.

A manifest in lines is read a block at a time; one document is read whole, so it is bounded. Both
may be packed with gzip. Blocking: call it from a thread, or from a command. A reader is for one
pass and one thread.
"""

from __future__ import annotations

import io
import json
import re
import zlib
from collections.abc import Callable, Iterator
from functools import partial
from gzip import BadGzipFile, GzipFile
from itertools import chain, islice
from types import TracebackType
from typing import Any, BinaryIO, Self, cast

from shotfs.errors import ManifestInvalid
from shotfs.prewarm.manifest.canonical import files_in
from shotfs.prewarm.manifest.checking import Mistake, counts_of, entry_of, head_of
from shotfs.prewarm.manifest.encoding import FOOT
from shotfs.prewarm.manifest.entry import Entry
from shotfs.prewarm.manifest.files import Files, are_ordered, files_of
from shotfs.prewarm.manifest.head import Head

ENTRIES_MAX = 20_000_000
"""In one manifest. A large shot has thousands, the delivery of a show a million."""

LINE_BYTES_MAX = 1024 * 1024
"""One entry takes about 200 bytes; with 256 ranges and 256 views 20 KB."""

DOCUMENT_BYTES_MAX = 32 * 1024 * 1024
"""A manifest that is one JSON document is read whole: 150,000 entries. Larger ones are lines."""

BLOCK_BYTES = 64 * 1024
"""Read and parsed at a time. Blocks of 1 MiB took half as long again: the collector of garbage
walks over all values of a block again and again (measured 2026-11)."""

PAGE_ENTRIES = 1_000

_GZIP = b"\x1f\x8b"
_ENTRIES_KEY = re.compile(r'"entries"\s*:\s*\[')
_BETWEEN = re.compile(r"[\s,]*")

_CUT_OFF = Mistake("it was cut off: its last line, the foot, is missing", "write or copy it again")
_AFTER_FOOT = Mistake(
    "something follows the last line, the foot", "do not append to a manifest: manifest merge"
)


class ManifestReader:
    """Reads a manifest in order of its paths: each path once, each entry checked.

    Attributes:
        name: what messages call it.
        head: what it says of itself.
        count: entries that were read until now.
        size_bytes: of those, where known, in all.

    Iterating to the end proves that nothing was cut off. A context manager: it closes *stream*.

    Raises:
        ManifestInvalid: what is read is no whole manifest of ours; names file, line and fix.
        OSError: reading failed.
    """

    head: Head

    def __init__(self, stream: BinaryIO, name: str) -> None:
        self.name = name
        self.count = 0
        self.size_bytes = 0
        self._last_path = ""
        self._document_rows: tuple[list[Any], str] | None = None
        self._raw = stream
        self._stream = unpacked(stream)
        self._entries = chain.from_iterable(self._begin())

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the file."""
        self._stream.close()
        self._raw.close()

    def __iter__(self) -> Iterator[Entry]:
        return self._entries

    def pages(self, entries: int = PAGE_ENTRIES) -> Iterator[list[Entry]]:
        """Yield the rest as lists of *entries*; the last one may be shorter."""
        while page := list(islice(self._entries, entries)):
            yield page

    def files(self) -> Iterator[Files]:
        """Yield path, digest and size of all entries, some hundreds at a time; instead of the rest.

        As much is checked as when the entries are read, in half the time.
        """
        if self._document_rows is None:
            for block in self._from_lines(as_files=True):
                yield block if isinstance(block, Files) else files_of(block)
        else:
            yield from map(files_of, self._from_document(*self._document_rows))

    # --- the two forms ----------------------------------------------------------------------------

    def _begin(self) -> Iterator[list[Entry]]:
        """Read the head; return what yields the rest."""
        first = self._read(LINE_BYTES_MAX + 1, line=True)
        try:
            row = _value(first) if len(first) <= LINE_BYTES_MAX else None
        except (ValueError, RecursionError):
            row = None  # a document over several lines, or damaged: `_document` finds out
        if isinstance(row, dict) and "entries" not in row:
            self.head = self._checked_head(row)
            return cast("Iterator[list[Entry]]", self._from_lines(as_files=False))
        text, document = self._document(first)
        rows = document.pop("entries", None)
        self.head = self._checked_head(document)
        if not isinstance(rows, list):
            raise self._no_json("an object with a list of entries was expected", 1)
        self._document_rows = rows, text
        return self._from_document(rows, text)

    def _from_lines(self, *, as_files: bool) -> Iterator[list[Entry] | Files]:
        """Yield what the lines of each block are; as files where they are spelled as we do."""
        line = 2
        foot: dict[str, Any] | None = None
        for lines in self._blocks():
            if foot is not None:
                raise self._invalid(_AFTER_FOOT, line)
            files = files_in(lines) if as_files else None
            if files is not None and self._follows(files):
                yield files
            else:
                rows = self._rows(lines, line)
                if type(rows[-1]) is dict and FOOT in rows[-1]:
                    foot = rows.pop()
                yield self._checked(rows, line.__add__)
            line += len(lines)
        if foot is None:
            raise self._invalid(_CUT_OFF, line - 1)
        self._compare(foot[FOOT], "the foot", line - 1)
        self._compare(self.head, "the head", 1)

    def _from_document(self, rows: list[Any], text: str) -> Iterator[list[Entry]]:
        for start in range(0, len(rows), PAGE_ENTRIES):
            page = rows[start : start + PAGE_ENTRIES]
            yield self._checked(page, partial(_line_of, text, start))
        self._compare(self.head, "the head", 1)

    def _document(self, first: bytes) -> tuple[str, dict[str, Any]]:
        data = first + self._read(DOCUMENT_BYTES_MAX + 1 - len(first))
        if len(data) > DOCUMENT_BYTES_MAX:
            raise ManifestInvalid(
                f"{self.name}: one JSON document of more than {DOCUMENT_BYTES_MAX} bytes",
                fix="write large manifests as lines: under a name that ends with .jsonl",
            )
        try:
            text = data.decode()
            document = _value(data)
        except UnicodeDecodeError as exc:
            line = data.count(b"\n", 0, exc.start) + 1
            raise self._no_json(f"not UTF-8: {exc.reason}", line) from exc
        except json.JSONDecodeError as exc:
            raise self._no_json(exc.msg, exc.lineno) from exc
        except (ValueError, RecursionError) as exc:
            raise self._no_json(str(exc), None) from exc
        if not isinstance(document, dict):
            raise self._no_json("an object was expected", 1)
        return text, document

    # --- rows to entries --------------------------------------------------------------------------

    def _checked(self, rows: list[Any], line_of: Callable[[int], int]) -> list[Entry]:
        page: list[Entry] = []
        add = page.append
        last = self._last_path
        size_bytes = 0
        try:
            for row in rows:
                entry = entry_of(row)
                path = entry.path
                if path <= last:
                    raise _out_of_order(path, last)
                last = path
                size_bytes += entry.size_bytes or 0
                add(entry)
        except Mistake as mistake:
            index = len(page)
            if isinstance(rows[index], dict) and FOOT in rows[index]:
                raise self._invalid(_AFTER_FOOT, line_of(index + 1)) from None
            raise self._invalid(mistake, line_of(index)) from None
        self._note(last, len(page), size_bytes)
        return page

    def _follows(self, files: Files) -> bool:
        """Whether *files* come after what was read, in order; then note them as read."""
        if not are_ordered(files.paths, self._last_path):
            return False
        self._note(files.paths[-1], len(files), sum(filter(None, files.sizes)))
        return True

    def _note(self, last_path: str, count: int, size_bytes: int) -> None:
        self._last_path = last_path
        self.size_bytes += size_bytes
        self.count += count
        if self.count > ENTRIES_MAX:
            raise ManifestInvalid(
                f"{self.name}: more than {ENTRIES_MAX} entries", fix="make one for each shot"
            )

    def _checked_head(self, row: dict[str, Any]) -> Head:
        try:
            return head_of(row)
        except Mistake as mistake:
            raise self._invalid(mistake, 1) from None

    def _compare(self, said: Any, whose: str, line: int) -> None:
        """Compare what a head or a foot says with what was read."""
        try:
            if isinstance(said, Head):
                counts = {"count": said.count, "size_bytes": said.size_bytes}
            else:
                counts = counts_of(said)
        except Mistake as mistake:
            raise self._invalid(mistake, line) from None
        for name, count in counts.items():
            found = getattr(self, name)
            if count is not None and count != found:
                damage = f"{whose} says {name} {count}, there is {found}: it is damaged"
                raise self._invalid(Mistake(damage, "write or copy it again"), line)

    # --- bytes to rows ----------------------------------------------------------------------------

    def _blocks(self) -> Iterator[list[bytes]]:
        """Yield the lines of the rest, some hundreds at a time."""
        rest = b""
        line = 2
        while block := self._read(BLOCK_BYTES):
            lines = (rest + block).split(b"\n")
            rest = lines.pop()
            line += len(lines)
            if len(rest) > LINE_BYTES_MAX:
                raise self._invalid(
                    Mistake(
                        f"a line of more than {LINE_BYTES_MAX} bytes",
                        "one entry takes one line: is this a manifest?",
                    ),
                    line,
                )
            if lines:
                yield lines
        if rest:
            yield [rest]

    def _rows(self, lines: list[bytes], line: int) -> list[Any]:
        # One call of the parser for a block: a third of the time of one for each line.
        try:
            rows = _value(b"[%b]" % b",".join(lines))
            if len(rows) == len(lines):
                return cast("list[Any]", rows)
        except (ValueError, RecursionError):
            pass  # which line it is shows below
        found = []
        for index, one in enumerate(lines):
            try:
                found.append(_value(one))
            except (ValueError, RecursionError) as exc:
                reason = exc.msg if isinstance(exc, json.JSONDecodeError) else str(exc)
                raise self._no_json(reason, line + index) from exc
        return found

    def _read(self, count: int, *, line: bool = False) -> bytes:
        return read_some(self._stream, self.name, count, line=line)

    # --- what is wrong ----------------------------------------------------------------------------

    def _invalid(self, mistake: Mistake, line: int) -> ManifestInvalid:
        return ManifestInvalid(f"{self.name}:{line}: {mistake.message}", fix=mistake.fix)

    def _no_json(self, reason: str, line: int | None) -> ManifestInvalid:
        place = self.name if line is None else f"{self.name}:{line}"
        return ManifestInvalid(
            f"{place}: this is no manifest, or a damaged one: {reason[:1].lower()}{reason[1:]}",
            fix="write or copy it again; for other formats: shotfs manifest import",
        )


def open_manifest(path: str) -> ManifestReader:
    """Open the manifest in the file *path*; as `ManifestReader`.

    Raises:
        ManifestInvalid, OSError: as `ManifestReader`.
    """
    stream = open(path, "rb")  # noqa: SIM115 - the reader closes it
    try:
        return ManifestReader(stream, path)
    except BaseException:
        stream.close()
        raise


def decode(data: bytes, name: str) -> tuple[Head, list[Entry]]:
    """Return head and entries of a small manifest; *name* is what messages call it.

    Raises:
        ManifestInvalid: it is no whole manifest of ours.
    """
    with ManifestReader(io.BytesIO(data), name) as manifest:
        return manifest.head, list(manifest)


def unpacked(stream: BinaryIO) -> BinaryIO:
    """Return *stream*, unpacked where it is packed with gzip."""
    buffered = stream if hasattr(stream, "peek") else io.BufferedReader(cast("Any", stream))
    if buffered.peek(2)[:2] == _GZIP:
        return cast("BinaryIO", GzipFile(fileobj=buffered))
    return buffered


def read_some(stream: BinaryIO, name: str, count: int, *, line: bool = False) -> bytes:
    """Read *count* bytes of what `unpacked` returned, or a line of so many at most.

    Raises:
        ManifestInvalid: its packing is damaged.
        OSError: reading failed.
    """
    try:
        return stream.readline(count) if line else stream.read(count)
    except (EOFError, BadGzipFile, zlib.error) as exc:
        raise ManifestInvalid(
            f"{name}: its gzip packing is damaged: {exc}", fix="copy it again"
        ) from exc


def _value(data: bytes) -> Any:
    return json.loads(data.decode(), parse_constant=no_number)


def no_number(name: str) -> Any:
    """Refuse NaN and Infinity, which Python reads and JSON does not have."""
    raise ValueError(f"{name} is no number")


def _out_of_order(path: str, last: str) -> Mistake:
    if path == last:
        return Mistake(f"{path[:200]!r} is there twice", "merge its entries: shotfs manifest merge")
    return Mistake(
        f"{path[:200]!r} comes after {last[:200]!r}",
        "entries are sorted by path: write it with shotfs manifest import",
    )


def _line_of(text: str, start: int, index: int) -> int:
    """Return the line in which the entry *start* + *index* of the document *text* begins."""
    found = _ENTRIES_KEY.search(text)
    offset = 0 if found is None else found.end()
    decoder = json.JSONDecoder()
    for _ in range(start + index):
        _, offset = decoder.raw_decode(text, _skip(text, offset))
    return text.count("\n", 0, _skip(text, offset)) + 1


def _skip(text: str, offset: int) -> int:
    found = _BETWEEN.match(text, offset)
    return offset if found is None else found.end()
