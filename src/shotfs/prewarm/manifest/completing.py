"""Completing: what a manifest does not say of a file, read from the file. Blocking, in threads.

Files lie below a root directory at the manifest's paths: a mount, or a copy of it. Hashing many
files takes `WORKERS` threads; the order of the entries stays, memory is bounded by a page.
"""

from __future__ import annotations

import dataclasses
import hashlib
import os
import stat
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from itertools import islice
from typing import TypeVar

import xxhash

from shotfs.digest import Digest
from shotfs.errors import ManifestInvalid
from shotfs.prewarm.manifest.entry import Entry

WORKERS = min(8, 2 * (os.cpu_count() or 1))
PAGE_ENTRIES = 256
BLOCK_BYTES = 1024 * 1024
LISTED_MAX = 20
"""Paths that one error names."""

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Seen:
    """A file as it is on the disk.

    Attributes:
        size_bytes: of it.
        mtime_ns: when it was changed last, since the epoch.
        digest: of its content; None where it was not read.
        sha256: 64 lowercase hexadecimal digits; "" where nobody asked.
    """

    size_bytes: int
    mtime_ns: int
    digest: Digest | None = None
    sha256: str = ""


def look(root: str, path: str, *, read: bool, sha256: bool = False) -> Seen:
    """Return what the file *path* below *root* is; with *read* also its digest.

    Raises:
        OSError: it is not there, is no regular file, or changed while it was read.
    """
    # Without waiting: a named pipe has nobody at its other end.
    whole = os.path.join(root, path)
    descriptor = os.open(whole, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    with open(descriptor, "rb", buffering=0) as file:
        before = os.fstat(descriptor)
        if not stat.S_ISREG(before.st_mode):
            raise OSError(0, "it is no regular file", whole)
        if not read:
            return Seen(before.st_size, before.st_mtime_ns)
        digest = xxhash.xxh3_128()
        sha = hashlib.sha256()
        block = bytearray(min(BLOCK_BYTES, max(before.st_size, 1)))
        size_bytes = 0
        while count := file.readinto(block):
            digest.update(memoryview(block)[:count])
            if sha256:
                sha.update(memoryview(block)[:count])
            size_bytes += count
        after = os.fstat(descriptor)
        if size_bytes != before.st_size or after.st_mtime_ns != before.st_mtime_ns:
            raise OSError(0, "it changed while it was read", whole)
    return Seen(
        size_bytes, before.st_mtime_ns, Digest(digest.hexdigest()), sha.hexdigest() * sha256
    )


def in_threads(entries: Iterable[Entry], work: Callable[[Entry], T]) -> Iterator[tuple[Entry, T]]:
    """Yield each of *entries* with what *work* returns for it, in their order.

    What *work* raises ends the iteration.
    """
    source = iter(entries)
    with ThreadPoolExecutor(WORKERS, thread_name_prefix="manifest") as pool:
        while page := list(islice(source, PAGE_ENTRIES)):
            yield from zip(page, pool.map(work, page), strict=True)


def completed(
    entries: Iterable[Entry], root: Callable[[], str | None], *, name: str
) -> Iterator[Entry]:
    """Yield *entries* with size, time and digest, where they lacked them.

    Args:
        entries: in any order, which stays.
        root: returns where the files lie; called once a file has to be read. None: nowhere, then
            entries stay as they are.
        name: of the manifest, for messages.

    Raises:
        ManifestInvalid: files are missing, or have another size than the manifest says; the
            message lists them. Raised at the end, after all others were yielded.
    """
    where = cache(root)

    def work(entry: Entry) -> Entry | str:
        if None not in (entry.size_bytes, entry.mtime_ns, entry.digest):
            return entry
        directory = where()
        if directory is None:
            return entry
        try:
            seen = look(directory, entry.path, read=entry.digest is None)
        except OSError as exc:
            return f"{entry.path}: {exc.strerror}"
        if entry.size_bytes not in (None, seen.size_bytes):
            return f"{entry.path}: has {seen.size_bytes} bytes, not {entry.size_bytes}"
        return dataclasses.replace(
            entry,
            size_bytes=seen.size_bytes,
            mtime_ns=seen.mtime_ns if entry.mtime_ns is None else entry.mtime_ns,
            digest=entry.digest or seen.digest,
        )

    lacking = Lacking(name, "file that is what the manifest says")
    for _, done in in_threads(entries, work):
        if isinstance(done, str):
            lacking.add(done)
        else:
            yield done
    lacking.check()


class Lacking:
    """Collects entries that lack something, for one message about all of them.

    Args:
        name: of the manifest.
        what: they lack.
    """

    def __init__(self, name: str, what: str) -> None:
        self._name = name
        self._what = what
        self._count = 0
        self._first: list[str] = []

    def add(self, path: str) -> None:
        """Note one."""
        self._count += 1
        if len(self._first) < LISTED_MAX:
            self._first.append(path)

    def check(self) -> None:
        """Raise if there is any.

        Raises:
            ManifestInvalid: names the first `LISTED_MAX`.
        """
        if not self._count:
            return
        lines = [f"  {path}" for path in self._first]
        if self._count > len(self._first):
            lines.append(f"  and {self._count - len(self._first)} more")
        files = "1 file has" if self._count == 1 else f"{self._count} files have"
        raise ManifestInvalid(
            "\n".join([f"{self._name}: {files} no {self._what}:", *lines]),
            fix="mount the shows, or --root DIR, where DIR has the files at the manifest's paths",
        )
