"""Flamenco 3 Shaman: the files of a checkout, as its requirements endpoint wants them. Blocking.

``{"files": [{"sha": SHA-256, "size": bytes, "path": relative}]}``. Shaman names content by SHA-256
and our digests are xxh3-128, so an export reads every file.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from typing import Any, BinaryIO

from shotfs.errors import ManifestInvalid
from shotfs.prewarm.manifest.checking import Mistake, check_path
from shotfs.prewarm.manifest.completing import Lacking, Seen, in_threads, look
from shotfs.prewarm.manifest.entry import Entry, Source
from shotfs.prewarm.manifest.json_stream import ItemStream
from shotfs.prewarm.manifest.reading import unpacked
from shotfs.prewarm.manifest.sorting import in_order

_SHA = re.compile(r"[0-9a-f]{64}")
_NUMBER_MAX = 2**63 - 1


def read_shaman(
    stream: BinaryIO, name: str, *, below: str = "", source: Source = Source.HAND
) -> Iterator[Entry]:
    """Yield the files of the checkout *stream*, sorted by path; without digests.

    Args:
        stream: its bytes, packed with gzip or not; not closed.
        name: what messages call it.
        below: the directory of the mount that its paths are relative to.
        source: who says so.

    Raises:
        ManifestInvalid: it is no such document, or names a path that leaves the checkout.
        OSError: reading failed.
    """
    items = ItemStream(unpacked(stream), name, "files")
    count = [0]
    yielded = 0
    for entry in in_order(_entries(items, below, source, count)):
        yielded += 1
        yield entry
    if yielded != count[0]:
        raise ManifestInvalid(f"{name}: a path is there twice", fix="write it again")


def _entries(items: ItemStream, below: str, source: Source, count: list[int]) -> Iterator[Entry]:
    prefix = f"{below}/" if below else ""
    for item in items:
        count[0] += 1
        try:
            yield _entry(item, prefix, source)
        except Mistake as mistake:
            raise items.invalid(mistake.message, mistake.fix) from None


def _entry(item: Any, prefix: str, source: Source) -> Entry:
    if not isinstance(item, dict) or not item.keys() >= {"sha", "size", "path"}:
        raise Mistake("a file without sha, size or path", "is it a checkout of Shaman?")
    path, size_bytes = item["path"], item["size"]
    check_path(path)
    if not isinstance(item["sha"], str) or not _SHA.fullmatch(item["sha"]):
        raise Mistake(
            f"{path[:200]!r}: {str(item['sha'])[:80]!r} is no SHA-256", "64 digits of hex"
        )
    if type(size_bytes) is not int or not 0 <= size_bytes <= _NUMBER_MAX:
        raise Mistake(f"{path[:200]!r}: size is {str(size_bytes)[:80]}", "a whole number")
    path = prefix + path
    check_path(path)
    return Entry(path, None, size_bytes, sources=(source,))


def write_shaman(
    stream: BinaryIO, name: str, entries: Iterable[Entry], root: str, *, below: str = ""
) -> tuple[int, int]:
    """Write *entries* as the requirements of a checkout; return their count and bytes.

    Args:
        stream: where to.
        name: what messages call it.
        entries: all below *below*; their order stays.
        root: where the files lie, at the manifest's paths; each is read.
        below: the directory that becomes the checkout's.

    Raises:
        ManifestInvalid: there is none; files are missing, or are not what the manifest says.
        OSError: writing failed.
    """

    def work(entry: Entry) -> Seen | str:
        try:
            seen = look(root, entry.path, read=True, sha256=True)
        except OSError as exc:
            return f"{entry.path}: {exc.strerror}"
        if entry.digest not in (None, seen.digest) or entry.size_bytes not in (
            None,
            seen.size_bytes,
        ):
            return f"{entry.path}: has other bytes than the manifest says"
        return seen

    cut = len(below) + 1 if below else 0
    count = size_bytes = 0
    lacking = Lacking(name, "file that is what the manifest says")
    stream.write(b'{"files":[')
    for entry, seen in in_threads(entries, work):
        if isinstance(seen, str):
            lacking.add(seen)
            continue
        row = {"sha": seen.sha256, "size": seen.size_bytes, "path": entry.path[cut:]}
        stream.write(f"{',' if count else ''}\n{json.dumps(row)}".encode("ascii"))
        count += 1
        size_bytes += seen.size_bytes
    lacking.check()
    if not count:
        raise ManifestInvalid(f"{name}: nothing to write: it has no file there", fix="--below")
    stream.write(b"\n]}\n")
    return count, size_bytes
