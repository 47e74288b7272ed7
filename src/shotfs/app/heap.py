"""The heap of the process: how the C library hands out memory.

glibc gives threads arenas of their own, up to eight for each core, and each keeps what its threads
once used. A service that moves megabytes through dozens of threads then keeps a multiple of what
it ever needs at once (S10). Two arenas cost some waiting for their locks, in threads that wait for
the network anyway. It also learns from each large buffer that was freed to take the next one, up to
32 MiB, from an arena, where whatever small thing lies behind it keeps all of it from going back.

Reference: mallopt(3).
"""

from __future__ import annotations

import ctypes
import logging

log = logging.getLogger(__name__)

M_ARENA_MAX, ARENAS_MAX = -8, 2
M_MMAP_THRESHOLD, LARGE_BYTES = -3, 512 * 1024
"""A buffer from this size on is given back to the kernel when it is freed. Chunks of downloads
(256 KiB) are smaller: they are used again at once."""


def limit_heap() -> None:
    """Let the process have few arenas, and large buffers none; call it before there are threads.

    A C library without `mallopt` (musl) has no such arenas: then nothing is done.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    settings = ((M_ARENA_MAX, ARENAS_MAX), (M_MMAP_THRESHOLD, LARGE_BYTES))
    if mallopt is None or not all(mallopt(name, value) for name, value in settings):
        log.debug("the C library does not bound its heap")
