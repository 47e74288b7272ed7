"""The clients of tools/bench/write: the same system calls for every system, each in a process.

    python write_loops.py frames|small < JSON

JSON is an object of the workload's arguments. Prints an object of figures. Standard library only.
What is written is random, so that nothing of it is compressed or found to be zeros, and differs
from file to file.
"""

from __future__ import annotations

import gc
import json
import os
import sys
import time
from collections.abc import Callable
from typing import Any

PIECE_BYTES = 1 << 20
OPEN_FLAGS = os.O_CREAT | os.O_EXCL | os.O_WRONLY


def frames(
    *, directory: str, count: int, size_bytes: int, fsync: bool, limit_s: float
) -> dict[str, Any]:
    """Create, write and close frames, one after another.

    Args:
        directory: where.
        count: how many.
        size_bytes: of each.
        fsync: before close; where close itself makes them durable, there is no need.
        limit_s: after which no further one is begun.

    Returns:
        count, bytes and seconds until the last close; close_s, how long each took, fsync included.
    """
    content = bytearray(os.urandom(size_bytes))
    close_s = []
    started = time.perf_counter()
    with memoryview(content) as view:
        for index in range(count):
            view[:8] = index.to_bytes(8, "little")
            descriptor = os.open(f"{directory}/frame.{index + 1001}.exr", OPEN_FLAGS, 0o644)
            for at in range(0, size_bytes, PIECE_BYTES):
                os.write(descriptor, view[at : at + PIECE_BYTES])
            written = time.perf_counter()
            if fsync:
                os.fsync(descriptor)
            os.close(descriptor)
            close_s.append(time.perf_counter() - written)
            if time.perf_counter() - started >= limit_s:
                break
    seconds = time.perf_counter() - started
    done = len(close_s)
    return {"count": done, "bytes": done * size_bytes, "seconds": seconds, "close_s": close_s}


def small(*, directory: str, writers: int, size_bytes: int, seconds: float) -> dict[str, Any]:
    """Let some processes create, write and close small files for a time, all at once.

    Args:
        directory: each writer makes one of its own in it.
        writers: how many processes.
        size_bytes: of each file.
        seconds: how long.

    Returns:
        count of closed files, seconds until the last writer had ended, and at which monotonic time
        they began.
    """
    gate, opener = os.pipe()
    collector, reporter = os.pipe()
    for index in range(writers):
        if os.fork() == 0:
            status = 1
            try:
                os.close(opener)
                _write_small(f"{directory}/w{index}", size_bytes, seconds, gate, reporter)
                status = 0
            finally:
                os._exit(status)
    os.close(reporter)
    os.close(gate)
    started = time.monotonic()
    os.close(opener)  # the end of the file is the sign to begin
    count = 0
    with open(collector, encoding="ascii") as lines:
        count = sum(int(line) for line in lines)
    elapsed_s = time.monotonic() - started
    for _ in range(writers):
        _, status = os.wait()
        if status:
            raise SystemExit("a writer failed")
    return {"count": count, "seconds": elapsed_s, "started": started}


def _write_small(directory: str, size_bytes: int, seconds: float, gate: int, reporter: int) -> None:
    os.mkdir(directory)
    os.chdir(directory)
    content = bytearray(os.urandom(size_bytes))
    gc.disable()
    os.read(gate, 1)
    until = time.perf_counter() + seconds
    count = 0
    while time.perf_counter() < until:
        content[:8] = count.to_bytes(8, "little")
        descriptor = os.open(f"f{count}.bin", OPEN_FLAGS, 0o644)
        os.write(descriptor, content)
        os.close(descriptor)
        count += 1
    os.write(reporter, f"{count}\n".encode())


WORKLOADS: dict[str, Callable[..., dict[str, Any]]] = {"frames": frames, "small": small}

if __name__ == "__main__":
    arguments = json.load(sys.stdin)
    print(json.dumps(WORKLOADS[sys.argv[1]](**arguments)))
