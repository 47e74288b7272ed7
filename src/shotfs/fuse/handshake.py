"""Handshake: what we agree with the kernel about a mount beyond what pyfuse3 lets us say.

The kernel opens a session with one FUSE_INIT request; the answer decides for its whole life what
may happen at the same time. pyfuse3 3.5 hides that answer, and leaves out what a slow origin makes
vital: look-ups in one directory would wait for each other (measured 2026-11: 100 processes that
look for different files of a stalled origin in one directory waited for 100 deadlines), and only a
dozen background requests would be under way (field notes).

So the answer takes a detour. While the session opens, a socket stands in the place of the device's
descriptor; what the library writes to it is amended and passed on. Then the device gets its
descriptor back, and nothing of this is in the way of requests. A C library that interposes
`fuse_session_mount` (field notes) could do the same; here it needs no compiler.

References: struct fuse_init_in and fuse_init_out in <linux/fuse.h>.
"""

from __future__ import annotations

import contextlib
import errno
import os
import socket
import stat
import struct
from collections.abc import Iterator
from dataclasses import dataclass

import pyfuse3
import trio

DEVICE = os.makedev(10, 229)
"""/dev/fuse, by whatever name (Documentation/admin-guide/devices.txt)."""

PARALLEL_DIROPS = 1 << 18
"""FUSE_PARALLEL_DIROPS: look-ups and listings of one directory may be under way together."""

INIT_EXT = 1 << 30
"""FUSE_INIT_EXT: both sides have more than 32 flags."""

PASSTHROUGH = 1 << (37 - 32)
"""FUSE_PASSTHROUGH, in the second word: the kernel may read and write a file of ours by itself."""

CACHE_SYMLINKS = 1 << 23
"""FUSE_CACHE_SYMLINKS: where a symbolic link points is asked for once; it is an inode's content,
and an alias that moves is another inode."""

HANDLE_KILLPRIV_V2 = 1 << 28
"""FUSE_HANDLE_KILLPRIV_V2: no request for `security.capability` before every write."""

STACK_DEPTH = 1
"""How many stacked file systems we are: our own files may lie on none."""

REQUEST_BYTES_MAX = 2 * 1024 * 1024
"""The kernel refuses to be read with a buffer that is smaller than its largest request."""

_IN_HEADER_BYTES = 40
_IN_INIT = struct.Struct("=IIIII")  # major, minor, max_readahead, flags, flags2
_OUT_HEADER = struct.Struct("=IiQ")  # length, error, unique
_OUT_INIT = struct.Struct("=IIIIHHIIHHII")
# major, minor, max_readahead, flags, max_background, threshold, max_write, time_gran, max_pages,
# map_alignment, flags2, max_stack_depth


@dataclass(frozen=True, slots=True)
class Agreed:
    """What holds for a session.

    Attributes:
        max_background: how many background requests may be under way.
        parallel_lookups: look-ups in one directory do not wait for each other.
        passthrough: the kernel can read and write files of ours by itself.
    """

    max_background: int
    parallel_lookups: bool
    passthrough: bool


def amended(
    answer: bytes, request: bytes, *, max_background: int, passthrough: bool
) -> tuple[bytes, Agreed | None]:
    """Return the *answer* to FUSE_INIT with what we want of what the kernel offered in *request*.

    Args:
        answer: what the library said; anything but a success is returned as it is.
        request: the kernel's own words.
        max_background: how many background requests may be under way; the kernel slows down
            writers at 3/4 of it.
        passthrough: ask for it, where it is offered.

    Returns:
        The answer, and what was agreed; None if the answer says no more than an error.
    """
    body = _OUT_HEADER.size
    if len(request) < _IN_HEADER_BYTES + _IN_INIT.size or len(answer) < body + _OUT_INIT.size:
        return answer, None
    _, error, _ = _OUT_HEADER.unpack_from(answer)
    if error:
        return answer, None
    _, _, _, offered, offered_2 = _IN_INIT.unpack_from(request, _IN_HEADER_BYTES)
    fields = list(_OUT_INIT.unpack_from(answer, body))
    fields[3] |= offered & (PARALLEL_DIROPS | CACHE_SYMLINKS | HANDLE_KILLPRIV_V2)
    fields[4], fields[5] = max_background, max_background * 3 // 4
    granted = passthrough and bool(offered & INIT_EXT) and bool(offered_2 & PASSTHROUGH)
    if granted:
        fields[3] |= INIT_EXT
        fields[10] |= PASSTHROUGH
        fields[11] = STACK_DEPTH
    made = bytearray(answer)
    _OUT_INIT.pack_into(made, body, *fields)
    return bytes(made), Agreed(max_background, bool(fields[3] & PARALLEL_DIROPS), granted)


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


async def open_session(
    descriptor: int, opened: trio.Event, *, max_background: int, passthrough: bool
) -> Agreed:
    """Let pyfuse3 open its session with the kernel on *descriptor*, and amend its answer.

    Call it after `pyfuse3.init` and before `pyfuse3.main`.

    Args:
        descriptor: the FUSE device, as the library knows it; the same when this returns.
        opened: set by `Operations.init`, which the library calls before it answers.
        max_background: as `amended`.
        passthrough: as `amended`.

    Returns:
        What holds for the session.

    Raises:
        OSError: the kernel has taken the mount away, or the library did not answer.
    """
    with _stand_in(descriptor) as (device, ours):
        await trio.lowlevel.wait_readable(device)
        request = os.read(device, REQUEST_BYTES_MAX)
        ours.send(request)
        await _run_until(descriptor, opened)
        answer, agreed = amended(
            ours.recv(REQUEST_BYTES_MAX),
            request,
            max_background=max_background,
            passthrough=passthrough,
        )
        os.write(device, answer)
    if agreed is None:
        raise OSError(errno.EPROTO, "the library and the kernel do not understand each other")
    return agreed


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
