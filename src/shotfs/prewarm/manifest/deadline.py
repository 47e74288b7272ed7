"""AWS Deadline Cloud asset manifests, version 2023-03-03, byte for byte. Blocking.

One manifest is for one asset root, which is not in the file: paths are relative to a directory of
the mount. Format: the `deadline` package's asset_manifests/v2023_03_03; what it reads and writes
decides (tests make the round trip).
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from typing import Any, BinaryIO

from shotfs.digest import Digest
from shotfs.errors import ManifestInvalid
from shotfs.prewarm.manifest.checking import Mistake, check_path
from shotfs.prewarm.manifest.completing import Lacking
from shotfs.prewarm.manifest.entry import Entry, Source
from shotfs.prewarm.manifest.json_stream import ItemStream
from shotfs.prewarm.manifest.reading import unpacked
from shotfs.prewarm.manifest.sorting import in_order

VERSION = "2023-03-03"
HASH_ALGORITHM = "xxh128"
"""xxh3-128, the same as our digests."""

_HASH = re.compile(r"[0-9a-f]{32}")
_DRIVE = re.compile(r"[A-Za-z]:")
_NUMBER_MAX = 2**63 // 1000 - 1
_BLOCK_ENTRIES = 1_000
_text_of = json.JSONEncoder(separators=(",", ":")).encode


def read_deadline(
    stream: BinaryIO, name: str, *, below: str = "", source: Source = Source.HAND
) -> Iterator[Entry]:
    """Yield the files of the Deadline Cloud manifest *stream*, sorted by our paths.

    Args:
        stream: its bytes, packed with gzip or not; not closed.
        name: what messages call it.
        below: the directory of the mount that its root stands for; "" is the mount.
        source: who says so.

    Raises:
        ManifestInvalid: it is no such manifest, or names a path that leaves its root.
        OSError: reading failed.
    """
    items = ItemStream(unpacked(stream), name, "paths")
    seen = _Checked(items, name)
    count = 0
    for entry in in_order(seen.entries(below, source)):
        count += 1
        yield entry
    if count != seen.count:
        raise ManifestInvalid(f"{name}: a path is there twice", fix="make one manifest a root")


class _Checked:
    """Reads the items, and at the end what stands beside them."""

    def __init__(self, items: ItemStream, name: str) -> None:
        self._items = items
        self._name = name
        self.count = 0

    def entries(self, below: str, source: Source) -> Iterator[Entry]:
        prefix = f"{below}/" if below else ""
        size_bytes = 0
        for item in self._items:
            if not self.count:
                self._check_kind(whole=False)
            try:
                entry = _entry(item, prefix, source)
            except Mistake as mistake:
                raise self._items.invalid(mistake.message, mistake.fix) from None
            self.count += 1
            size_bytes += entry.size_bytes or 0
            yield entry
        self._check_kind(whole=True)
        said = self._items.others.get("totalSize")
        if said != size_bytes:
            raise ManifestInvalid(
                f"{self._name}: totalSize is {str(said)[:80]}, its files have {size_bytes} bytes",
                fix="it is damaged: write or copy it again",
            )

    def _check_kind(self, *, whole: bool) -> None:
        others = self._items.others
        for key, wanted in (("manifestVersion", VERSION), ("hashAlg", HASH_ALGORITHM)):
            if others.get(key) != wanted and (whole or key in others):
                raise ManifestInvalid(
                    f"{self._name}: {key} is {str(others.get(key))[:80]!r}",
                    fix=f"this shotfs reads asset manifests with {key} {wanted!r}",
                )


def _entry(item: Any, prefix: str, source: Source) -> Entry:
    if not isinstance(item, dict) or not item.keys() >= {"hash", "mtime", "path", "size"}:
        raise Mistake("a file without hash, mtime, path or size", "is it a Deadline manifest?")
    path, digest = item["path"], item["hash"]
    check_path(path)
    if "\\" in path or _DRIVE.match(path):
        raise Mistake(
            f"{path[:200]!r} is a path of Windows", "asset manifests have POSIX paths: a/b.exr"
        )
    if not isinstance(digest, str) or not _HASH.fullmatch(digest):
        raise Mistake(f"{path[:200]!r}: {str(digest)[:80]!r} is no xxh128 hash", "32 digits of hex")
    for key, least in (("size", 0), ("mtime", -_NUMBER_MAX)):
        if type(item[key]) is not int or not least <= item[key] <= _NUMBER_MAX:
            raise Mistake(f"{path[:200]!r}: {key} is {str(item[key])[:80]}", "a whole number")
    path = prefix + path
    check_path(path)
    return Entry(path, Digest(digest), item["size"], item["mtime"] * 1000, sources=(source,))


def write_deadline(
    stream: BinaryIO, name: str, entries: Iterable[Entry], *, below: str = ""
) -> tuple[int, int]:
    """Write *entries* as a Deadline Cloud manifest; return their count and bytes.

    Args:
        stream: where to.
        name: what messages call it.
        entries: with digest, size and time each, all below *below*, in any order.
        below: the directory that is the manifest's root.

    Raises:
        ManifestInvalid: there is none; one lacks something, or has a path that such a manifest
            cannot carry.
        OSError: writing failed.
    """
    stream.write(f'{{"hashAlg":"{HASH_ALGORITHM}","manifestVersion":"{VERSION}","paths":['.encode())
    cut = len(below) + 1 if below else 0
    count = size_bytes = 0
    separator = ""
    lacking = Lacking(name, "digest, size or time")
    waiting: list[str] = []
    # All have the directory in common, so its names count for nothing in the order.
    for entry in in_order(entries, key=utf16_order):
        if entry.digest is None or entry.size_bytes is None or entry.mtime_ns is None:
            lacking.add(entry.path)
            continue
        waiting.append(_row(entry, entry.path[cut:], name))
        count += 1
        size_bytes += entry.size_bytes
        if len(waiting) >= _BLOCK_ENTRIES:
            stream.write((separator + ",".join(waiting)).encode("ascii"))
            separator = ","
            waiting.clear()
    lacking.check()
    if not count:
        raise ManifestInvalid(
            f"{name}: nothing to write: an asset manifest has at least one file",
            fix="look at what there is: shotfs manifest show",
        )
    if waiting:
        stream.write((separator + ",".join(waiting)).encode("ascii"))
    stream.write(f'],"totalSize":{size_bytes}}}'.encode("ascii"))
    return count, size_bytes


def _row(entry: Entry, path: str, name: str) -> str:
    if "\\" in path or _DRIVE.match(path):
        raise ManifestInvalid(
            f"{name}: {path[:200]!r} would be another path on Windows",
            fix="asset manifests are read there too: rename it, or leave it out with --below",
        )
    row = {
        "hash": entry.digest,
        "mtime": (entry.mtime_ns or 0) // 1000,
        "path": path,
        "size": entry.size_bytes,
    }
    return _text_of(row)


def utf16_order(entry: Entry) -> bytes:
    """Return what Deadline sorts by: UTF-16, as RFC 8785 does."""
    return entry.path.encode("utf-16_be", "surrogatepass")
