"""The process: what a service that must answer at once asks of C library, interpreter and kernel.

Heap: glibc gives threads arenas of their own, up to eight for each core, and each keeps what its
threads once used. A service that moves megabytes through dozens of threads then keeps a multiple
of what it ever needs at once (S10). Two arenas cost some waiting for their locks, in threads that
wait for the network anyway. It also learns from each large buffer that was freed to take the next
one, up to 32 MiB, from an arena, where whatever small thing lies behind it keeps all of it.

Time: every upcall goes through one thread, the event loop, and so waits whenever others have the
interpreter or the cores: threads that copy and hash what streams in, renderers. `tools/bench/cold
--only latency` shows what it costs.

References: mallopt(3), sched(7), getrlimit(2).
"""

from __future__ import annotations

import ctypes
import logging
import os
import sys

log = logging.getLogger(__name__)

M_ARENA_MAX, ARENAS_MAX = -8, 2
M_MMAP_THRESHOLD, LARGE_BYTES = -3, 512 * 1024
"""A buffer from this size on is given back to the kernel when it is freed. Chunks of downloads
(256 KiB) are smaller: they are used again at once."""

SWITCH_INTERVAL_S = 0.0005
"""How long a thread may hold the GIL while the event loop wants it; Python's own is 5 ms."""

LOOP_NICE = -10
"""The event loop's: it takes little, and at once."""


def prepare_process() -> None:
    """Prepare this process to serve; call it in the event loop's thread, before there are others.

    What the C library or our rights do not allow is left as it is: everything works without.
    """
    _limit_heap()
    sys.setswitchinterval(SWITCH_INTERVAL_S)
    _favour_this_thread()


def _limit_heap() -> None:
    """Let the process have few arenas, and large buffers none; musl has no such arenas."""
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    settings = ((M_ARENA_MAX, ARENAS_MAX), (M_MMAP_THRESHOLD, LARGE_BYTES))
    if mallopt is None or not all(mallopt(name, value) for name, value in settings):
        log.debug("the C library does not bound its heap")


def _favour_this_thread() -> None:
    """Let this thread, and none that it starts, go before those that move and hash bytes."""
    try:
        # First, so that no thread or process inherits what the next call gives.
        os.sched_setscheduler(0, os.SCHED_OTHER | os.SCHED_RESET_ON_FORK, os.sched_param(0))
        if os.getpriority(os.PRIO_PROCESS, 0) > LOOP_NICE:
            os.setpriority(os.PRIO_PROCESS, 0, LOOP_NICE)
    except OSError as error:
        # Without root or a limit of the unit (LimitNICE) it shares the cores as any thread does.
        log.debug("the event loop gets no priority: %s", error.strerror)
