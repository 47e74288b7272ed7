"""Handshake: what we agree with the kernel about a mount beyond what pyfuse3 lets us say.

The kernel opens a session with one FUSE_INIT request; the answer decides for its whole life what
may happen at the same time. pyfuse3 3.5 hides that answer, and leaves out what a slow origin makes
vital: look-ups in one directory would wait for each other (measured 2026-11: 100 processes that
look for different files of a stalled origin in one directory waited for 100 deadlines), and only a
dozen background requests would be under way (field notes).

So the answer takes a detour. While the session opens, a socket stands in the place of the device's
descriptor; what the library writes to it is amended and passed on. Then the device gets its
descriptor back, and nothing of this is in the way of requests. A C library that interposes
`fuse_session_mount` (field notes) can do the same and more; it needs a compiler at installation.

References: struct fuse_init_in and fuse_init_out in <linux/fuse.h>.
"""

from __future__ import annotations

import contextlib
import os
import socket
import stat
import struct
from collections.abc import Iterator

import pyfuse3
import trio

DEVICE = os.makedev(10, 229)
"""/dev/fuse, by whatever name (Documentation/admin-guide/devices.txt)."""

PARALLEL_DIROPS = 1 << 18
"""FUSE_PARALLEL_DIROPS: look-ups and listings of one directory may be under way together."""

REQUEST_BYTES_MAX = 2 * 1024 * 1024
"""The kernel refuses to be read with a buffer that is smaller than its largest request."""

_IN_HEADER_BYTES = 40
_IN_INIT = struct.Struct("=IIII")  # major, minor, max_readahead, flags
_OUT_HEADER = struct.Struct("=IiQ")  # length, error, unique
_OUT_INIT = struct.Struct(
    "=IIIIHH"
)  # major, minor, max_readahead, flags, max_background, threshold


def amended(answer: bytes, request: bytes, *, max_background: int) -> bytes:
    """Return the *answer* to FUSE_INIT with what we want of what the kernel offered in *request*.

    Args:
        answer: what the library said; anything but a success is returned as it is.
        request: the kernel's own words.
        max_background: how many background requests may be under way; the kernel slows down
            writers at 3/4 of it.
    """
    body = _OUT_HEADER.size
    if len(request) < _IN_HEADER_BYTES + _IN_INIT.size or len(answer) < body + _OUT_INIT.size:
        return answer
    _, error, _ = _OUT_HEADER.unpack_from(answer)
    if error:
        return answer
    offered = _IN_INIT.unpack_from(request, _IN_HEADER_BYTES)[3]
    major, minor, readahead, flags, _, _ = _OUT_INIT.unpack_from(answer, body)
    flags |= offered & PARALLEL_DIROPS
    made = bytearray(answer)
    threshold = max_background * 3 // 4
    _OUT_INIT.pack_into(made, body, major, minor, readahead, flags, max_background, threshold)
    return bytes(made)


def device_descriptors() -> set[int]:
    """Return the descriptors of this process that are the FUSE device."""
    found = set()
    for name in os.listdir("/proc/self/fd"):
        # The descriptor that listed the directory is closed by now.
        with contextlib.suppress(OSError):
            status = os.fstat(int(name))
            if stat.S_ISCHR(status.st_mode) and status.st_rdev == DEVICE:
                found.add(int(name))
    return found


async def open_session(descriptor: int, opened: trio.Event, *, max_background: int) -> None:
    """Let pyfuse3 open its session with the kernel on *descriptor*, and amend its answer.

    Call it after `pyfuse3.init` and before `pyfuse3.main`.

    Args:
        descriptor: the FUSE device, as the library knows it; the same when this returns.
        opened: set by `Operations.init`, which the library calls before it answers.
        max_background: as `amended`.

    Raises:
        OSError: the kernel has taken the mount away, or the library did not answer.
    """
    with _stand_in(descriptor) as (device, ours):
        await trio.lowlevel.wait_readable(device)
        request = os.read(device, REQUEST_BYTES_MAX)
        ours.send(request)
        await _run_until(descriptor, opened)
        answer = ours.recv(REQUEST_BYTES_MAX)
        os.write(device, amended(answer, request, max_background=max_background))


@contextlib.contextmanager
def _stand_in(descriptor: int) -> Iterator[tuple[int, socket.socket]]:
    """Put a socket in the place of *descriptor*; yield the device, and the socket's other end."""
    device = os.dup(descriptor)
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    try:
        with ours, theirs:
            # One answer is all that ever comes; waiting for it would stop the event loop.
            ours.setblocking(False)
            os.dup2(theirs.fileno(), descriptor, inheritable=False)
            yield device, ours
    finally:
        os.dup2(device, descriptor, inheritable=False)
        os.close(device)


async def _run_until(descriptor: int, opened: trio.Event) -> None:
    """Run pyfuse3 until it has answered the one request that it has."""
    ended = trio.Event()

    async def run() -> None:
        await pyfuse3.main(min_tasks=1, max_tasks=1)
        ended.set()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(run)
        await opened.wait()
        while not ended.is_set():
            # Its loop ends when what it waits for is closed; it may be on its way to waiting.
            trio.lowlevel.notify_closing(descriptor)
            await trio.lowlevel.checkpoint()
