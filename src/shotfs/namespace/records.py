"""Records: what this node read from the origins' ``.shotfs`` directories, kept on its own disk.

A restart, or an origin that is away, must not forget that a version is sealed or where an alias
pointed. Nothing here is the truth: a record that is lost or damaged costs a question, so no error
of the disk is raised, and nothing is synced.
"""

from __future__ import annotations

import contextlib
import logging
import os

import trio
import xxhash

log = logging.getLogger(__name__)

RECORDS_BYTES_MAX = 512 * 1024 * 1024
"""All records together; those written longest ago go first."""

_MAGIC = b"shotfs-record/1"


class Records:
    """Small files by name, in a directory that only this process uses.

    Args:
        directory: made if it is missing; 0700.
        bytes_max: of all together.
    """

    def __init__(self, directory: str, *, bytes_max: int = RECORDS_BYTES_MAX) -> None:
        self._directory = directory
        self._bytes_max = bytes_max
        self._bytes: int | None = None
        self._limiter = trio.CapacityLimiter(1)

    async def read(self, name: str) -> bytes | None:
        """Return what was written under *name*; None if there is nothing, or nothing whole."""
        return await trio.to_thread.run_sync(self._read, name, limiter=self._limiter)

    async def write(self, name: str, data: bytes) -> None:
        """Keep *data* under *name*; what was there before goes. Not if it alone is too large."""
        if len(data) <= self._bytes_max:
            with trio.CancelScope(shield=True):
                await trio.to_thread.run_sync(self._write, name, data, limiter=self._limiter)

    async def forget(self, name: str) -> None:
        """Drop what was written under *name*."""
        with trio.CancelScope(shield=True):
            await trio.to_thread.run_sync(self._forget, name, limiter=self._limiter)

    # --- in a thread, one call at a time ---------------------------------------------------------

    def _path(self, name: str) -> str:
        return os.path.join(self._directory, xxhash.xxh3_128_hexdigest(name.encode()))

    def _read(self, name: str) -> bytes | None:
        try:
            with open(self._path(name), "rb") as file:
                head, _, data = file.read().partition(b"\n")
        except FileNotFoundError:
            return None
        except OSError as error:
            log.warning("record not read: %s", error, extra={"path": name})
            return None
        # The name too: two names could have one hash.
        return data if head == _head(name, data) else None

    def _write(self, name: str, data: bytes) -> None:
        path = self._path(name)
        temporary = f"{path}.new"
        try:
            os.makedirs(self._directory, mode=0o700, exist_ok=True)
            before = _size(path)
            with open(temporary, "wb") as file:
                file.write(_head(name, data) + b"\n" + data)
            os.replace(temporary, path)
            if self._bytes is None:
                self._bytes = sum(size for _, size, _ in self._files())
            else:
                self._bytes += _size(path) - before
            if self._bytes > self._bytes_max:
                self._trim()
        except OSError as error:
            log.warning("record not written: %s", error, extra={"path": name})
            with contextlib.suppress(OSError):
                os.unlink(temporary)

    def _forget(self, name: str) -> None:
        path = self._path(name)
        size = _size(path)
        with contextlib.suppress(OSError):
            os.unlink(path)
            self._bytes = None if self._bytes is None else self._bytes - size

    def _files(self) -> list[tuple[int, int, str]]:
        """Return (mtime, size, path) of each file."""
        with os.scandir(self._directory) as entries:
            return [(one.stat().st_mtime_ns, one.stat().st_size, one.path) for one in entries]

    def _trim(self) -> None:
        files = sorted(self._files())
        total = sum(size for _, size, _ in files)
        for _, size, path in files:
            if total <= self._bytes_max * 9 // 10:
                break
            os.unlink(path)
            total -= size
        self._bytes = total


def _head(name: str, data: bytes) -> bytes:
    return b" ".join(
        (_MAGIC, xxhash.xxh3_128_hexdigest(data).encode(), name.encode("unicode_escape"))
    )


def _size(path: str) -> int:
    try:
        return os.stat(path).st_size
    except FileNotFoundError:
        return 0
