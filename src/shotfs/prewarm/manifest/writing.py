"""Writing: manifests whole or not at all, as lines for any size or as one document. Blocking."""

from __future__ import annotations

import contextlib
import os
import secrets
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from gzip import GzipFile
from typing import BinaryIO, cast

from shotfs.errors import ManifestInvalid
from shotfs.prewarm.manifest.checking import Mistake, check_path
from shotfs.prewarm.manifest.encoding import entry_line, foot_line, head_line
from shotfs.prewarm.manifest.entry import Entry
from shotfs.prewarm.manifest.head import Head
from shotfs.prewarm.manifest.reading import DOCUMENT_BYTES_MAX, ENTRIES_MAX

_BLOCK_CHARACTERS = 256 * 1024


@dataclass(frozen=True, slots=True)
class Written:
    """What was written: entries, and how large their files are where that is known, in all."""

    count: int
    size_bytes: int


def write_manifest(path: str, head: Head, entries: Iterable[Entry]) -> Written:
    """Write a manifest to the file *path*, which is replaced once all of it is on the disk.

    A name that ends with ``.json`` makes one document, any other makes lines; ``.gz`` at its end
    packs it.

    Args:
        path: of the file.
        head: its `count` and `size_bytes` are not used: what is written decides.
        entries: sorted by path, each path once; `sorting.in_order` makes them so.

    Raises:
        ManifestInvalid: *entries* are not in order, one has a path that no manifest may name, or
            they are too many.
        OSError: writing failed.
    """
    packed = path.endswith(".gz")
    with replacing(path) as raw:
        # No time and no name in the packing: the same manifest has the same bytes.
        stream = cast("BinaryIO", GzipFile("", "wb", 6, raw, mtime=0)) if packed else raw
        try:
            if path.removesuffix(".gz").endswith(".json"):
                return _write_document(stream, path, head, entries)
            return write_lines(stream, path, head, entries)
        finally:
            if packed:
                stream.close()


def write_lines(stream: BinaryIO, name: str, head: Head, entries: Iterable[Entry]) -> Written:
    """Write a manifest as lines to *stream*; *name* is what messages call it.

    Raises:
        ManifestInvalid, OSError: as `write_manifest`.
    """
    if isinstance(entries, Sequence):
        head = replace(
            head, count=len(entries), size_bytes=sum(one.size_bytes or 0 for one in entries)
        )
    else:
        head = replace(head, count=None, size_bytes=None)
    counting = _Counting(entries, name)
    waiting = [head_line(head)]
    characters = 0
    for entry in counting:
        line = entry_line(entry)
        waiting.append(line)
        characters += len(line)
        if characters >= _BLOCK_CHARACTERS:
            stream.write("\n".join([*waiting, ""]).encode("ascii"))
            waiting.clear()
            characters = 0
    waiting.append(foot_line(counting.count, counting.size_bytes))
    stream.write("\n".join([*waiting, ""]).encode("ascii"))
    return Written(counting.count, counting.size_bytes)


def encode(head: Head, entries: Sequence[Entry], name: str = "manifest") -> bytes:
    """Return a small manifest as one JSON document, an entry a line; `decode` reads it.

    Raises:
        ManifestInvalid: as `write_manifest`.
    """
    counting = _Counting(entries, name)
    lines = ",\n".join(entry_line(entry) for entry in counting)
    whole = replace(head, count=counting.count, size_bytes=counting.size_bytes)
    first = head_line(whole)
    text = (
        f'{first[:-1]},"entries":[\n{lines}\n]}}\n' if lines else f'{first[:-1]},"entries":[]}}\n'
    )
    if len(text) > DOCUMENT_BYTES_MAX:
        raise ManifestInvalid(
            f"{name}: {counting.count} entries are too many for one JSON document",
            fix="write it as lines: under a name that ends with .jsonl or .jsonl.gz",
        )
    return text.encode("ascii")


def _write_document(stream: BinaryIO, name: str, head: Head, entries: Iterable[Entry]) -> Written:
    bounded: list[Entry] = []
    for entry in entries:
        bounded.append(entry)
        if len(bounded) * len('{"path":"","sources":[]},') > DOCUMENT_BYTES_MAX:
            break  # `encode` says that it is too large
    stream.write(encode(head, bounded, name))
    return Written(len(bounded), sum(one.size_bytes or 0 for one in bounded))


class _Counting:
    """Counts entries as they pass, and lets only such pass as a reader will take."""

    def __init__(self, entries: Iterable[Entry], name: str) -> None:
        self._entries = entries
        self._name = name
        self.count = 0
        self.size_bytes = 0

    def __iter__(self) -> Iterator[Entry]:
        last = ""
        for entry in self._entries:
            if entry.path <= last:
                self._refuse(entry.path, last)
            try:
                check_path(entry.path)
            except Mistake as mistake:
                raise ManifestInvalid(f"{self._name}: {mistake.message}", fix=mistake.fix) from None
            last = entry.path
            self.count += 1
            if self.count > ENTRIES_MAX:
                raise ManifestInvalid(
                    f"{self._name}: more than {ENTRIES_MAX} entries", fix="make one for each shot"
                )
            self.size_bytes += entry.size_bytes or 0
            yield entry

    def _refuse(self, path: str, last: str) -> None:
        raise ManifestInvalid(
            f"{self._name}: {path!r} comes after {last!r}",
            fix="entries are written sorted by path, each once",
        )


@contextlib.contextmanager
def replacing(path: str) -> Iterator[BinaryIO]:
    """Open a file that takes the place of *path* at the end, on the disk; never half of it.

    Raises:
        OSError: writing failed; *path* is as it was.
    """
    directory, name = os.path.split(os.path.abspath(path))
    temporary = os.path.join(directory, f".{name[:200]}.{secrets.token_hex(4)}")
    try:
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
    except OSError as exc:
        # Nobody knows the other name.
        raise OSError(exc.errno, exc.strerror, path) from exc
    try:
        with open(descriptor, "wb") as stream:
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
        os.rename(temporary, path)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(temporary)
        raise
    parent = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(parent)
    finally:
        os.close(parent)
