"""The client of tools/bench/warm: the same system calls for every system, in a process of its own.

    python warm_loops.py WORKLOAD < JSON

JSON is an object of the workload's arguments and of ``pid``, the process that serves the mount
(null for a native directory). Prints an object of its phases, mostly ``first`` and ``again``:
{"count", "bytes", "seconds", "cpu_s"}; cpu_s is what the serving process used meanwhile.

Standard library only. Between two readings of the clock there are the system calls, and the loop
around them, which a native directory pays as well. Garbage collection is off, buffers are touched
before, names are relative so that every system resolves equally many path elements, and the clock
is looked at once in some dozens of operations. A slow system does not finish its first pass: a
phase ends after ``limit_s``, and what was not touched in the first is left out in the second.
"""

from __future__ import annotations

import gc
import json
import mmap
import os
import pickle
import random
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

PIECE_BYTES = 1 << 20
PAGE_BYTES = 4096
NAMES_PER_LOOK = 32
"""Operations between two looks at the clock."""

WRITE_BYTES = 1_000_000
SEED = 5

Phase = dict[str, float]
Work = Callable[[Sequence[Any]], int]

_TICKS_PER_S = os.sysconf("SC_CLK_TCK")


def main(workload: str) -> None:
    """Run one workload and print what it measured."""
    arguments = json.load(sys.stdin)
    meter = Meter(arguments.pop("pid"))
    gc.disable()
    print(json.dumps(WORKLOADS[workload](meter, **arguments)))


class Meter:
    """CPU seconds of the process that serves the mount.

    Args:
        pid: of it; None for a directory that no process serves.
    """

    def __init__(self, pid: int | None) -> None:
        self._pid = pid
        self._before_s = 0.0

    def start(self) -> None:
        """Begin a phase."""
        self._before_s = self._used_s()

    def phase(self, count: int, size_bytes: int, seconds: float) -> Phase:
        """End the phase."""
        cpu_s = self._used_s() - self._before_s
        return {"count": count, "bytes": size_bytes, "seconds": seconds, "cpu_s": cpu_s}

    def _used_s(self) -> float:
        if self._pid is None:
            return 0.0
        with open(f"/proc/{self._pid}/stat", encoding="utf-8", errors="surrogateescape") as file:
            # The name in parentheses may contain anything; utime and stime are fields 14 and 15.
            fields = file.read().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / _TICKS_PER_S


# --- passes over names ---------------------------------------------------------------------------


def files(
    meter: Meter, *, what: str, directory: str, names: str, limit_s: float, loop_s: float
) -> dict[str, Phase]:
    """Open, read and close, or stat, or look for, each name; then again.

    Args:
        meter: of the system's CPU time.
        what: a key of `WORKS`.
        directory: that the names are in.
        names: a file that lists them.
        limit_s: after which a phase ends.
        loop_s: how long "again" goes on at least, unless it is slower than the limit.
    """
    pieces = _pieces(_names(names))
    os.chdir(directory)
    work = WORKS[what]
    first, touched = _first(meter, pieces, work, limit_s)
    return {"first": first, "again": _again(meter, touched, work, loop_s)}


def _read_files(names: Sequence[str]) -> int:
    size_bytes = 0
    for name in names:
        descriptor = os.open(name, os.O_RDONLY)
        size_bytes += len(os.read(descriptor, PIECE_BYTES))
        os.close(descriptor)
    return size_bytes


def _stat_files(names: Sequence[str]) -> int:
    for name in names:
        os.stat(name)
    return 0


def _miss_files(names: Sequence[str]) -> int:
    found = 0
    for name in names:
        found += os.access(name, os.F_OK)
    if found:
        raise SystemExit(f"{found} of {names} are there and should not be")
    return 0


WORKS: dict[str, Work] = {"read": _read_files, "stat": _stat_files, "miss": _miss_files}


def _names(path: str) -> list[str]:
    with open(path, encoding="utf-8") as file:
        return file.read().split()


def _pieces(names: Sequence[Any]) -> list[Sequence[Any]]:
    return [names[at : at + NAMES_PER_LOOK] for at in range(0, len(names), NAMES_PER_LOOK)]


def _first(
    meter: Meter, pieces: Sequence[Sequence[Any]], work: Work, limit_s: float
) -> tuple[Phase, Sequence[Sequence[Any]]]:
    """Do each piece once; return the phase and the pieces that were done."""
    meter.start()
    count, size_bytes, done, seconds = _once(pieces, work, limit_s)
    return meter.phase(count, size_bytes, seconds), pieces[:done]


def _again(meter: Meter, pieces: Sequence[Sequence[Any]], work: Work, loop_s: float) -> Phase:
    """Do the pieces over and over for *loop_s*."""
    meter.start()
    count = size_bytes = 0
    seconds = 0.0
    while seconds < loop_s:
        more, more_bytes, _, took_s = _once(pieces, work, loop_s - seconds)
        count, size_bytes, seconds = count + more, size_bytes + more_bytes, seconds + took_s
    return meter.phase(count, size_bytes, seconds)


def _once(
    pieces: Sequence[Sequence[Any]], work: Work, limit_s: float
) -> tuple[int, int, int, float]:
    """Return operations, bytes, pieces done, seconds."""
    count = size_bytes = done = 0
    clock = time.perf_counter
    started = clock()
    until = started + limit_s
    for piece in pieces:
        size_bytes += work(piece)
        count += len(piece)
        done += 1
        if clock() >= until:
            break
    return count, size_bytes, done, clock() - started


# --- large files ---------------------------------------------------------------------------------


class Sequential:
    """Reads a file in pieces of 1 MiB, over and over.

    Args:
        path: of the file.
    """

    def __init__(self, path: str) -> None:
        self._path = path
        self._buffer = bytearray(os.urandom(PIECE_BYTES))

    def read(self, limit_s: float, least_s: float) -> tuple[int, int, int, float]:
        """Return passes begun, bytes, pieces, seconds.

        Args:
            limit_s: after which it ends, also within a pass.
            least_s: a pass begins as long as so much time has not passed; 0: one pass. What an open
                costs, such as dropping the pages of the last one, is so part of a whole pass.
        """
        count = size_bytes = pieces = 0
        buffers = [self._buffer]
        clock = time.perf_counter
        started = clock()
        until = started + limit_s
        while True:
            count += 1
            descriptor = os.open(self._path, os.O_RDONLY)
            while length := os.readv(descriptor, buffers):
                size_bytes += length
                pieces += 1
                if pieces % 8 == 0 and clock() >= until:
                    break
            os.close(descriptor)
            seconds = clock() - started
            if seconds >= least_s or seconds >= limit_s:
                return count, size_bytes, pieces, seconds


def sequential(meter: Meter, *, path: str, limit_s: float, loop_s: float) -> dict[str, Phase]:
    """Read a large file from start to end; then again."""
    reader = Sequential(path)
    measured = {}
    for name, least_s in (("first", 0.0), ("again", loop_s)):
        meter.start()
        count, size_bytes, _, seconds = reader.read(limit_s, least_s)
        measured[name] = meter.phase(count, size_bytes, seconds)
    return measured


def scattered(
    meter: Meter, *, path: str, mapped: bool, reads: int, limit_s: float, loop_s: float
) -> dict[str, Phase]:
    """Open a file and read pages of 4 KiB here and there; over and over.

    Args:
        meter: of the system's CPU time.
        path: of the file; opened for each pass.
        mapped: from a mapping, made for each pass; else by pread.
        reads: pages of one pass, the same ones each time.
        limit_s: after which a pass ends.
        loop_s: a pass begins as long as so much time has not passed; 0: one pass.
    """
    chance = random.Random(SEED)
    pages = os.stat(path).st_size // PAGE_BYTES
    pieces = _pieces([chance.randrange(pages) * PAGE_BYTES for _ in range(reads)])
    one_pass = _mapped_pass if mapped else _pread_pass
    count = size_bytes = 0
    seconds = 0.0
    meter.start()
    while True:
        started = time.perf_counter()
        descriptor = os.open(path, os.O_RDONLY)
        more, more_bytes = one_pass(descriptor, pieces, limit_s - seconds)
        os.close(descriptor)
        count, size_bytes = count + more, size_bytes + more_bytes
        seconds += time.perf_counter() - started
        if seconds >= loop_s:
            return {"first": meter.phase(count, size_bytes, seconds)}


def _pread_pass(
    descriptor: int, pieces: Sequence[Sequence[int]], limit_s: float
) -> tuple[int, int]:
    def pread(offsets: Sequence[int]) -> int:
        size_bytes = 0
        for offset in offsets:
            size_bytes += len(os.pread(descriptor, PAGE_BYTES, offset))
        return size_bytes

    return _once(pieces, pread, limit_s)[:2]


def _mapped_pass(
    descriptor: int, pieces: Sequence[Sequence[int]], limit_s: float
) -> tuple[int, int]:
    with mmap.mmap(descriptor, 0, prot=mmap.PROT_READ) as mapping:

        def copy(offsets: Sequence[int]) -> int:
            size_bytes = 0
            for offset in offsets:
                size_bytes += len(mapping[offset : offset + PAGE_BYTES])
            return size_bytes

        return _once(pieces, copy, limit_s)[:2]


# --- many processes ------------------------------------------------------------------------------


def crowd_of_files(
    meter: Meter, *, directory: str, names: str, processes: int, limit_s: float, loop_s: float
) -> dict[str, Phase]:
    """Open, read and close small files in many processes, each its share; then again."""
    wanted = _names(names)
    os.chdir(directory)
    shares = [_pieces(wanted[index::processes]) for index in range(processes)]
    first, counts = _together(
        meter, [partial(_once, share, _read_files, limit_s) for share in shares]
    )
    touched = [
        share[: -(-count // NAMES_PER_LOOK)] for share, count in zip(shares, counts, strict=True)
    ]
    again, _ = _together(meter, [partial(_looped, share, loop_s) for share in touched])
    return {"first": first, "again": again}


def _looped(pieces: Sequence[Sequence[str]], loop_s: float) -> tuple[int, int, int, float]:
    phase = _again(Meter(None), pieces, _read_files, loop_s)
    return int(phase["count"]), int(phase["bytes"]), 0, phase["seconds"]


def crowd_of_readers(
    meter: Meter, *, paths: Sequence[str], limit_s: float, loop_s: float
) -> dict[str, Phase]:
    """Read files in sequence at once, each in a process of its own; then again."""
    readers = [Sequential(path) for path in paths]
    first, _ = _together(meter, [partial(one.read, limit_s, 0.0) for one in readers])
    again, _ = _together(meter, [partial(one.read, limit_s, loop_s) for one in readers])
    return {"first": first, "again": again}


def _together(
    meter: Meter, jobs: Sequence[Callable[[], tuple[int, int, int, float]]]
) -> tuple[Phase, list[int]]:
    """Run each job in a process; return the phase, and how much each of them did.

    The phase lasts from the first start to the last end.
    """
    gate, opener = os.pipe()
    readers = []
    for job in jobs:
        reader, writer = os.pipe()
        if os.fork() == 0:
            os.close(opener)
            _run_child(job, gate, writer)
        os.close(writer)
        readers.append(reader)
    os.close(gate)
    meter.start()
    os.close(opener)  # all of them read the end of the pipe at once
    done = []
    for reader in readers:
        with open(reader, "rb") as pipe:
            said = pipe.read()
        if not said:
            raise SystemExit("a process of several failed; its error is above")
        done.append(pickle.loads(said))
    for _ in jobs:
        os.wait()
    seconds = max(ended for *_, ended in done) - min(began for _, _, began, _ in done)
    counts = [one[0] for one in done]
    return meter.phase(sum(counts), sum(one[1] for one in done), seconds), counts


def _run_child(job: Callable[[], tuple[int, int, int, float]], gate: int, writer: int) -> None:
    code = 1
    try:
        os.read(gate, 1)
        began = time.perf_counter()
        count, size_bytes, _, _ = job()
        said = (count, size_bytes, began, time.perf_counter())
        os.write(writer, pickle.dumps(said))
        code = 0
    except OSError as error:
        print(error, file=sys.stderr)
    finally:
        os._exit(code)


# --- directories and outputs ---------------------------------------------------------------------


def listing(meter: Meter, *, directory: str) -> dict[str, Phase]:
    """List a directory with the attributes of all entries; again; and with ``ls -l``."""
    measured = {}
    for name in ("first", "again"):
        meter.start()
        started = time.perf_counter()
        count = 0
        with os.scandir(directory) as entries:
            for entry in entries:
                entry.stat(follow_symlinks=False)
                count += 1
        measured[name] = meter.phase(count, 0, time.perf_counter() - started)
    meter.start()
    started = time.perf_counter()
    environment = {"LC_ALL": "C", "PATH": os.environ.get("PATH", os.defpath)}
    with open(os.devnull, "wb") as nowhere:
        subprocess.run(["ls", "-l", directory], check=True, stdout=nowhere, env=environment)
    measured["ls"] = meter.phase(count, 0, time.perf_counter() - started)
    return measured


def frames(
    meter: Meter, *, directory: str, count: int, size_bytes: int, fsync: bool, limit_s: float
) -> dict[str, Phase]:
    """Create, write and close files of *size_bytes* each.

    Args:
        meter: of the system's CPU time.
        directory: where.
        count: how many.
        size_bytes: of each.
        fsync: before close; where close itself makes them durable, there is no need.
        limit_s: after which no further one is begun.
    """
    content = bytearray(os.urandom(size_bytes))
    meter.start()
    started = time.perf_counter()
    written = 0
    for index in range(count):
        content[:8] = index.to_bytes(8, "little")  # no two alike
        with memoryview(content) as view:
            descriptor = os.open(
                f"{directory}/frame.{index + 1001}.exr",
                os.O_CREAT | os.O_EXCL | os.O_WRONLY,
                0o644,
            )
            for at in range(0, size_bytes, WRITE_BYTES):
                os.write(descriptor, view[at : at + WRITE_BYTES])
            if fsync:
                os.fsync(descriptor)
            os.close(descriptor)
        written += 1
        if time.perf_counter() - started >= limit_s:
            break
    seconds = time.perf_counter() - started
    return {"first": meter.phase(written, written * size_bytes, seconds)}


def fill(meter: Meter, *, paths: Sequence[str], listings: Sequence[str]) -> dict[str, Phase]:
    """Read all files below or at *paths*, and stat what is in the directories *listings*."""
    buffer = bytearray(PIECE_BYTES)
    count = size_bytes = 0
    meter.start()
    started = time.perf_counter()
    for path in paths:
        descriptor = os.open(path, os.O_RDONLY)
        while length := os.readv(descriptor, [buffer]):
            size_bytes += length
        os.close(descriptor)
        count += 1
    for directory in listings:
        with os.scandir(directory) as entries:
            for entry in entries:
                entry.stat(follow_symlinks=False)
                count += 1
    return {"first": meter.phase(count, size_bytes, time.perf_counter() - started)}


WORKLOADS: dict[str, Callable[..., dict[str, Phase]]] = {
    "files": files,
    "sequential": sequential,
    "scattered": scattered,
    "crowd_of_files": crowd_of_files,
    "crowd_of_readers": crowd_of_readers,
    "listing": listing,
    "frames": frames,
    "fill": fill,
}

if __name__ == "__main__":
    main(sys.argv[1])
