"""What a writer works with: the file system without a kernel, or a mount. Paths are below the show.

Both raise OSError as an application would see it.
"""

from __future__ import annotations

import mmap
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

from shotfs.errors import ShotfsError, Stale
from shotfs.vfs import Caller, FileSystem, Handle, Missing
from tests.crash.site import SHOW

NOBODY = Caller(uid=os.getuid(), gid=os.getgid(), pid=0)


class OpenFile(Protocol):
    """An open file."""

    async def write(self, offset: int, data: bytes) -> None:
        """Store *data*."""
        ...

    async def fsync(self) -> None:
        """fsync(2)."""
        ...

    async def close(self) -> None:
        """Return when close(2) would."""
        ...

    async def release(self) -> None:
        """Give up what the kernel gives up after close(2)."""
        ...

    async def die(self) -> None:
        """What the kernel tells of a process that was killed while it had the file open."""
        ...


class Hand(Protocol):
    """System calls."""

    async def create(self, path: str) -> OpenFile:
        """open(2) with O_WRONLY, O_CREAT and O_TRUNC."""
        ...

    async def open(self, path: str) -> OpenFile:
        """open(2) with O_RDWR."""
        ...

    async def rename(self, old: str, new: str) -> None: ...

    async def unlink(self, path: str) -> None: ...

    async def mkdir(self, path: str) -> None: ...

    async def rmdir(self, path: str) -> None: ...

    async def state(self, path: str) -> str:
        """getxattr(2) of ``user.shotfs.state``."""
        ...


@contextmanager
def _as_errno() -> Iterator[None]:
    try:
        yield
    except ShotfsError as error:
        raise OSError(error.errno, error.message) from error


class VfsFile:
    """A handle of the file system."""

    def __init__(self, handle: Handle) -> None:
        self._handle = handle

    async def write(self, offset: int, data: bytes) -> None:
        """As the kernel does: at most 1 MiB a request."""
        with _as_errno():
            for start in range(0, len(data), 1 << 20):
                await self._handle.write(offset + start, data[start : start + (1 << 20)])

    async def fsync(self) -> None:
        """As `OpenFile.fsync`."""
        with _as_errno():
            await self._handle.fsync()

    async def close(self) -> None:
        """FLUSH."""
        with _as_errno():
            await self._handle.flush()

    async def release(self) -> None:
        """RELEASE."""
        await self._handle.close()

    async def die(self) -> None:
        """FLUSH for a dead process, and RELEASE."""
        with _as_errno():
            await self._handle.cut_off()
        await self._handle.close()


class VfsHand:
    """The file system, without a kernel."""

    def __init__(self, filesystem: FileSystem) -> None:
        self._filesystem = filesystem

    async def create(self, path: str) -> OpenFile:
        """As the kernel: look it up, create or open it."""
        full = f"{SHOW}/{path}"
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC
        with _as_errno():
            if not isinstance(await self._filesystem.lookup(full), Missing):
                return await self._open(full, os.O_WRONLY | os.O_TRUNC)
            _, handle = await self._filesystem.create(full, 0o644, flags, NOBODY)
        return VfsFile(handle)

    async def open(self, path: str) -> OpenFile:
        """As `Hand.open`."""
        with _as_errno():
            return await self._open(f"{SHOW}/{path}", os.O_RDWR)

    async def _open(self, full: str, flags: int) -> OpenFile:
        for last in (False, True):  # the kernel looks a stale name up once more
            found = await self._filesystem.attributes(full)
            try:
                return VfsFile(await self._filesystem.open(full, flags, identity=found.identity))
            except Stale:
                if last:
                    raise
        raise AssertionError

    async def rename(self, old: str, new: str) -> None:
        """rename(2)."""
        with _as_errno():
            await self._filesystem.rename(f"{SHOW}/{old}", f"{SHOW}/{new}")

    async def unlink(self, path: str) -> None:
        """unlink(2)."""
        with _as_errno():
            await self._filesystem.unlink(f"{SHOW}/{path}")

    async def mkdir(self, path: str) -> None:
        """mkdir(2)."""
        with _as_errno():
            await self._filesystem.make_directory(f"{SHOW}/{path}", 0o755, NOBODY)

    async def rmdir(self, path: str) -> None:
        """rmdir(2)."""
        with _as_errno():
            await self._filesystem.remove_directory(f"{SHOW}/{path}")

    async def state(self, path: str) -> str:
        """As `Hand.state`."""
        with _as_errno():
            return await self._filesystem.extended_attribute(f"{SHOW}/{path}", "user.shotfs.state")


class PosixFile:
    """A descriptor."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    async def write(self, offset: int, data: bytes) -> None:
        """As `OpenFile.write`."""
        view = memoryview(data)
        while view:
            count = os.pwrite(self._descriptor, view, offset)
            view, offset = view[count:], offset + count

    async def map(self, size_bytes: int, data: bytes) -> None:
        """Write *data* at the start through a mapping of the whole file, and unmap it."""
        os.ftruncate(self._descriptor, size_bytes)
        with mmap.mmap(self._descriptor, size_bytes) as mapped:
            mapped[: len(data)] = data

    async def fsync(self) -> None:
        """As `OpenFile.fsync`."""
        os.fsync(self._descriptor)

    async def close(self) -> None:
        """close(2)."""
        os.close(self._descriptor)

    async def release(self) -> None:
        """The kernel does that."""

    async def die(self) -> None:
        """The campaign kills the whole writer; here it only forgets the file for a while."""


class PosixHand:
    """A mounted show."""

    def __init__(self, show: Path) -> None:
        self._show = show

    async def create(self, path: str) -> OpenFile:
        """As `Hand.create`, readable so that it can be mapped."""
        return PosixFile(os.open(self._show / path, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o644))

    async def open(self, path: str) -> OpenFile:
        """As `Hand.open`."""
        return PosixFile(os.open(self._show / path, os.O_RDWR))

    async def rename(self, old: str, new: str) -> None:
        """rename(2)."""
        os.rename(self._show / old, self._show / new)

    async def unlink(self, path: str) -> None:
        """unlink(2)."""
        os.unlink(self._show / path)

    async def mkdir(self, path: str) -> None:
        """mkdir(2)."""
        os.mkdir(self._show / path)

    async def rmdir(self, path: str) -> None:
        """rmdir(2)."""
        os.rmdir(self._show / path)

    async def state(self, path: str) -> str:
        """As `Hand.state`."""
        return os.getxattr(self._show / path, "user.shotfs.state").decode()
