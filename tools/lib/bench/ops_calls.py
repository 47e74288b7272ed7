"""System calls that each cause one request, and what they take: a program of its own.

    python ops_calls.py MOUNTED PID CALLS ENTRIES

MOUNTED has `small`, `many` and `out`; PID is the daemon's. Prints JSON: operation to
[microseconds by the clock, microseconds of the daemon's CPU], per call. Standard library only. The
mount must keep neither names nor attributes in the kernel, so that every call asks.
"""

from __future__ import annotations

import contextlib
import json
import mmap
import os
import sys
import time
from collections.abc import Callable

O_DIRECT = os.O_DIRECT
SETTLE_S = 0.05
"""What is released after close() has returned belongs to the calls before it."""


class Calls:
    """Measures."""

    def __init__(self, mounted: str, pid: int, calls: int, entries: int) -> None:
        self._tasks = f"/proc/{pid}/task"
        self._calls = calls
        self._entries = entries
        self._mounted = mounted
        self.measured: dict[str, tuple[float, float]] = {}

    def run(self) -> None:
        """Measure everything."""
        os.chdir(f"{self._mounted}/small")
        # O_PATH opens nothing: the first is a look-up only, the others avoid one.
        self._measure("lookup hit", self._look_up)
        self._measure("lookup miss", self._look_up_missing)
        cold = max(self._calls // 10, 20)
        self._measure("lookup, asks the origin", self._look_up_cold, cold)
        name = os.open("s00000.bin", os.O_PATH)
        path = f"/proc/self/fd/{name}"
        file = os.open(path, os.O_RDONLY | O_DIRECT)
        self._measure("getattr", lambda _: os.fstat(name))
        self._measure("getattr, open file", lambda _: os.fstat(file))
        opened: list[int] = []
        calls = min(self._calls, 900)  # descriptors of a process
        self._measure("open", lambda _: opened.append(os.open(path, os.O_RDONLY)), calls)
        self._measure("release", lambda _: os.close(opened.pop()), calls)
        for size, title in ((4096, "read 4 KiB"), (131072, "read 128 KiB")):
            with mmap.mmap(-1, size) as room:
                self._measure(title, lambda _, room=room: os.preadv(file, [room], 0))  # type: ignore[misc]
        self._measure("getxattr, unknown", lambda _: _no_attribute(path))
        os.close(file)
        os.close(name)
        self._measure_outputs()
        self._measure_listing()

    def _look_up(self, _: int) -> None:
        os.close(os.open("s00000.bin", os.O_PATH))

    def _look_up_missing(self, index: int) -> None:
        with contextlib.suppress(FileNotFoundError):
            os.close(os.open(f"NO {index}", os.O_PATH))

    def _look_up_cold(self, index: int) -> None:
        with contextlib.suppress(FileNotFoundError):
            os.close(os.open(f"z{index}.bin", os.O_PATH))

    def _measure_outputs(self) -> None:
        os.chdir(f"{self._mounted}/out")
        calls = max(min(self._calls // 10, 900), 20)
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL
        me = os.getpid()  # an earlier round has published its own
        opened: list[int] = []
        # With a look-up of the name before each.
        self._measure(
            "create", lambda i: opened.append(os.open(f"q{me}x{i}.bin", flags, 0o644)), calls
        )
        block = b"x" * 4096
        self._measure("write 4 KiB", lambda i: os.pwrite(opened[i], block, 0), calls)
        self._measure("flush, 4 KiB to sync", lambda i: os.close(os.dup(opened[i])), calls)
        self._measure("flush, clean", lambda i: os.close(os.dup(opened[i])), calls)
        for descriptor in opened:
            os.close(descriptor)

    def _measure_listing(self) -> None:
        for title in ("readdir entry, first", "readdir entry, again"):
            # Names only: stat would ask once more for each, as nothing is kept.
            wall, cpu = time.perf_counter(), self._cpu_us()
            with os.scandir(f"{self._mounted}/many") as found:
                count = sum(1 for _ in found)
            wall = time.perf_counter() - wall
            assert count == self._entries, f"{count} entries"
            self.measured[title] = wall / count * 1e6, (self._cpu_us() - cpu) / count

    def _measure(self, title: str, call: Callable[[int], object], calls: int = 0) -> None:
        calls = calls or self._calls
        time.sleep(SETTLE_S)
        cpu_us = self._cpu_us()
        began = time.perf_counter()
        for index in range(calls):
            call(index)
        seconds = time.perf_counter() - began
        time.sleep(SETTLE_S)
        self.measured[title] = seconds / calls * 1e6, (self._cpu_us() - cpu_us) / calls

    def _cpu_us(self) -> float:
        total_ns = 0
        for task in os.listdir(self._tasks):
            with (
                contextlib.suppress(FileNotFoundError, ProcessLookupError),
                open(f"{self._tasks}/{task}/schedstat", encoding="ascii") as file,
            ):
                total_ns += int(file.read().split()[0])
        return total_ns / 1000


def _no_attribute(path: str) -> None:
    with contextlib.suppress(OSError):
        os.getxattr(path, "user.unknown")


if __name__ == "__main__":
    work = Calls(sys.argv[1], *map(int, sys.argv[2:5]))
    work.run()
    print(json.dumps(work.measured))
