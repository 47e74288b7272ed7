"""The measuring loops, run as a program of their own so that nothing else disturbs them.

    python loops.py small DIRECTORY SECONDS  open, read and close each file; again and again
    python loops.py stat DIRECTORY SECONDS   stat each file; again and again
    python loops.py read FILE                read a file once, in pieces of 1 MiB
    python loops.py walk DIRECTORY           list and stat everything below, once
    python loops.py crowd FILE READERS       read a file in so many threads at once
    python loops.py warm FILE COUNT PAUSE_S  stat, open, read and close, with a pause before each

Prints one JSON object: {"count", "bytes", "seconds", "cpu_s"}; "warm" adds "p50_ms", "p99_ms" and
"max_ms" of one round. Standard library only, and nothing but the system calls themselves between
the two readings of the clock. The repeating loops go through all files at least once and stop at
the first full pass after SECONDS.
"""

from __future__ import annotations

import json
import math
import os
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

PIECE_BYTES = 1024 * 1024


def small(directory: str, seconds: str) -> dict[str, float]:
    """Open, read and close every file of *directory*."""
    names = _enter(directory)
    count = size_bytes = 0
    limit_s = float(seconds)
    started = time.perf_counter()
    while True:
        for name in names:
            descriptor = os.open(name, os.O_RDONLY)
            size_bytes += len(os.read(descriptor, PIECE_BYTES))
            os.close(descriptor)
        count += len(names)
        elapsed_s = time.perf_counter() - started
        if elapsed_s >= limit_s:
            return {"count": count, "bytes": size_bytes, "seconds": elapsed_s}


def stat(directory: str, seconds: str) -> dict[str, float]:
    """Stat every file of *directory*."""
    names = _enter(directory)
    count = 0
    limit_s = float(seconds)
    started = time.perf_counter()
    while True:
        for name in names:
            os.stat(name)
        count += len(names)
        elapsed_s = time.perf_counter() - started
        if elapsed_s >= limit_s:
            return {"count": count, "bytes": 0, "seconds": elapsed_s}


def read(path: str) -> dict[str, float]:
    """Read *path* from start to end."""
    buffer = bytearray(PIECE_BYTES)
    size_bytes = 0
    started = time.perf_counter()
    descriptor = os.open(path, os.O_RDONLY)
    while length := os.readv(descriptor, [buffer]):
        size_bytes += length
    os.close(descriptor)
    return {"count": 1, "bytes": size_bytes, "seconds": time.perf_counter() - started}


def walk(directory: str) -> dict[str, float]:
    """List every directory below *directory* and stat every file in it."""
    count = 0
    started = time.perf_counter()
    waiting = [directory]
    while waiting:
        with os.scandir(waiting.pop()) as entries:
            for entry in entries:
                count += 1
                if entry.is_dir(follow_symlinks=False):
                    waiting.append(entry.path)
                else:
                    os.stat(entry.path)
    return {"count": count, "bytes": 0, "seconds": time.perf_counter() - started}


def crowd(path: str, readers: str) -> dict[str, float]:
    """Read *path* from start to end in *readers* threads, which open it at the same moment."""
    together = threading.Barrier(int(readers))

    def one() -> int:
        buffer = bytearray(PIECE_BYTES)
        together.wait()
        descriptor = os.open(path, os.O_RDONLY)
        count = 0
        while length := os.readv(descriptor, [buffer]):
            count += length
        os.close(descriptor)
        return count

    started = time.perf_counter()
    with ThreadPoolExecutor(int(readers)) as pool:
        counts = [thread.result() for thread in [pool.submit(one) for _ in range(int(readers))]]
    return {
        "count": len(counts),
        "bytes": sum(counts),
        "seconds": time.perf_counter() - started,
    }


def warm(path: str, count: str, pause_s: str) -> dict[str, float]:
    """Stat, open, read and close *path* *count* times with pauses; how long each time took."""
    took_ms = []
    size_bytes = 0
    started = time.perf_counter()
    for _ in range(int(count)):
        time.sleep(float(pause_s))
        before = time.perf_counter()
        os.stat(path)
        descriptor = os.open(path, os.O_RDONLY)
        size_bytes += len(os.read(descriptor, PIECE_BYTES))
        os.close(descriptor)
        took_ms.append((time.perf_counter() - before) * 1000)
    took_ms.sort()
    return {
        "count": len(took_ms),
        "bytes": size_bytes,
        "seconds": time.perf_counter() - started,
        "p50_ms": took_ms[len(took_ms) // 2],
        "p99_ms": took_ms[math.ceil(len(took_ms) * 0.99) - 1],
        "max_ms": took_ms[-1],
    }


def _enter(directory: str) -> list[str]:
    """Make *directory* the working directory and return the names to go through.

    Relative names, so that every system resolves equally many path elements. The names come from a
    file, since some systems cannot list what they can open (http:// origins).
    """
    with open(os.environ["BENCH_NAMES"], encoding="utf-8") as file:
        names = file.read().split()
    os.chdir(directory)
    return names


LOOPS = {"small": small, "stat": stat, "read": read, "walk": walk, "crowd": crowd, "warm": warm}

if __name__ == "__main__":
    measured = LOOPS[sys.argv[1]](*sys.argv[2:])
    print(json.dumps({**measured, "cpu_s": time.process_time()}))
