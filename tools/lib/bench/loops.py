"""The measuring loops, run as a program of their own so that nothing else disturbs them.

    python loops.py small DIRECTORY SECONDS    open, read and close each file; again and again
    python loops.py stat DIRECTORY SECONDS     stat each file; again and again
    python loops.py read FILE                  read a file once, in pieces of 1 MiB
    python loops.py walk DIRECTORY             list and stat everything below, once

Prints one JSON object: {"count", "bytes", "seconds"}. Standard library only, and nothing but the
system calls themselves between the two readings of the clock. The repeating loops go through all
files at least once and stop at the first full pass after SECONDS.
"""

from __future__ import annotations

import json
import os
import sys
import time

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


def _enter(directory: str) -> list[str]:
    """Make *directory* the working directory and return the names to go through.

    Relative names, so that every system resolves equally many path elements. The names come from a
    file, since some systems cannot list what they can open (http:// origins).
    """
    with open(os.environ["BENCH_NAMES"], encoding="utf-8") as file:
        names = file.read().split()
    os.chdir(directory)
    return names


if __name__ == "__main__":
    print(
        json.dumps(
            {"small": small, "stat": stat, "read": read, "walk": walk}[sys.argv[1]](*sys.argv[2:])
        )
    )
