"""Probe: a real read through a test file, which shows that passthrough works from end to end."""

from __future__ import annotations

import os
import secrets
import sys
import tempfile
from typing import IO

import trio

from shotfs.digest import Buffer
from shotfs.errors import NotPermitted
from shotfs.vfs import Attributes, Kind

CONTENT_BYTES = 64 * 1024
TIMEOUT_S = 5.0

_READ = "import os,sys; os.write(1, os.read(os.open(sys.argv[1], os.O_RDONLY), 1 << 20))"


class ProbeFile:
    """The test file: in the mount's root under a name that nobody can guess or list.

    Implements `vfs.Handle`, as far as a file that the kernel reads by itself needs it.

    Args:
        directory: on the disk whose files shall be read by the kernel.

    Attributes:
        name: of the file.
        asked: whether the kernel asked for its bytes.

    Raises:
        OSError: it cannot be made.
    """

    def __init__(self, directory: str) -> None:
        self.name = f".shotfs-probe-{secrets.token_hex(16)}"
        self.asked = False
        self.content = secrets.token_bytes(CONTENT_BYTES)
        self._file: IO[bytes] = tempfile.TemporaryFile(dir=directory)  # noqa: SIM115 - see remove
        self._file.write(self.content)
        self._file.flush()
        self._attributes = Attributes(
            identity=secrets.randbits(128),
            kind=Kind.FILE,
            mode=0o400,
            uid=os.geteuid(),
            gid=os.getegid(),
            size_bytes=CONTENT_BYTES,
            mtime_ns=0,
            ctime_ns=0,
            ttl_s=TIMEOUT_S,
        )

    def remove(self) -> None:
        """Let the file go; it had no name on its disk."""
        self._file.close()

    def attributes(self) -> Attributes:
        """Return what stat shows."""
        return self._attributes

    def backing(self, *, bytes_min: int, creating: bool) -> int | None:
        """Return the descriptor of the file."""
        del bytes_min, creating
        return self._file.fileno()

    def join_backing(self) -> None:
        """Nothing depends on it."""

    def read_now(self, offset: int, size: int) -> Buffer | None:
        """Note that the kernel asked."""
        self.asked = True
        return self.content[offset : offset + size]

    async def read(self, offset: int, size: int) -> Buffer:
        """Note that the kernel asked."""
        self.asked = True
        return self.content[offset : offset + size]

    async def write(self, offset: int, data: Buffer) -> int:
        """Refuse."""
        raise NotPermitted(f"write of {len(data)} bytes at {offset} to a test file")

    async def truncate(self, size_bytes: int) -> None:
        """Refuse."""
        raise NotPermitted(f"truncate of a test file to {size_bytes} bytes")

    async def flush(self) -> None:
        """There is nothing to flush."""

    async def cut_off(self) -> None:
        """Nothing is written to it."""

    async def fsync(self) -> None:
        """There is nothing to sync."""

    async def close(self) -> None:
        """`remove` closes it."""

    async def abandon(self) -> None:
        """`remove` closes it."""


async def read_through(mountpoint: str, probe: ProbeFile) -> str:
    """Read *probe* through the mount; return what is wrong, "" if nothing is.

    A child reads: this process must never touch its own mount.
    """
    path = os.path.join(mountpoint, probe.name)
    with trio.move_on_after(TIMEOUT_S) as scope:
        done = await trio.run_process(
            [sys.executable, "-I", "-S", "-c", _READ, path],
            capture_stdout=True,
            capture_stderr=True,
            check=False,
            cwd="/",
        )
    if scope.cancelled_caught:
        return f"a test file was not read within {TIMEOUT_S:g} s"
    if done.returncode:
        last = done.stderr.decode(errors="replace").strip().rpartition("\n")[2]
        return f"a test file could not be read: {last}"
    if probe.asked:
        return "the kernel asked for the bytes of a test file all the same"
    return "" if done.stdout == probe.content else "a test file had other bytes"
