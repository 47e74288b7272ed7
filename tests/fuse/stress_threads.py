"""The threads of `tests.fuse.stress`, in a process of their own.

Reads ``pause``, ``go`` and ``end`` from standard input and answers each with a line once every
thread obeys: ``ok``, a report in JSON at the end, or ``stuck`` and what the threads do.
"""

from __future__ import annotations

import faulthandler
import functools
import hashlib
import json
import mmap
import os
import random
import sys
import threading
import time
from pathlib import Path

MIB = 1 << 20
SHOT = "render/xy_1_100_030_00_v005"
STUCK_S = 60.0
LARGE, SMALL = 14, 60


@functools.cache
def inputs() -> dict[str, int]:
    """Return the files of the origin and their sizes: about 90 MiB, more than the cache holds."""
    chance = random.Random("inputs")
    sizes = {f"library/large{n}.mov": MIB + chance.randrange(9 * MIB) for n in range(LARGE)}
    sizes |= {f"library/small{n}.png": chance.randrange(300_000) for n in range(SMALL)}
    sizes["library/empty.txt"] = 0
    return sizes


@functools.lru_cache(maxsize=4096)
def content_of(name: str, size_bytes: int) -> bytes:
    """Return the bytes that belong to *name*."""
    return hashlib.shake_128(name.encode()).digest(size_bytes)


class Gate:
    """Lets threads go on, or holds all of them between two steps."""

    def __init__(self, threads: int) -> None:
        self._threads = threads
        self._changed = threading.Condition()
        self._held = 0
        self._closed = False
        self.ended = False

    def arrive(self) -> bool:
        """Between two steps: wait while the gate is closed; return whether to go on."""
        with self._changed:
            self._held += 1
            self._changed.notify_all()
            self._changed.wait_for(lambda: self.ended or not self._closed)
            self._held -= 1
            return not self.ended

    def close(self) -> bool:
        """Hold all threads; return whether they came within `STUCK_S`."""
        with self._changed:
            self._closed = True
            return self._changed.wait_for(lambda: self._held == self._threads, STUCK_S)

    def open(self, *, ended: bool = False) -> None:
        """Let all go on, or end."""
        with self._changed:
            self.ended = ended
            self._closed = False
            self._changed.notify_all()


class Work:
    """What the threads do, and what they found.

    Args:
        show: directory in the mount.
        writes: whether outputs are written.
    """

    def __init__(self, show: Path, *, writes: bool) -> None:
        self._show = show
        self._inputs = sorted(inputs().items())
        self._writes = writes
        self.wrong: list[str] = []
        self.published: dict[str, int] = {}
        self.counts = {"opens": 0, "compared_bytes": 0, "outputs": 0}
        self.slowest_s = 0.0
        self._lock = threading.Lock()

    def thread(self, number: int, seed: int, gate: Gate) -> None:
        """Work until the gate says that it is enough."""
        chance = random.Random(f"{seed}/{number}")
        acts = [self._read, self._read_parts, self._map, self._hold_two, self._look]
        if self._writes:
            acts += [self._write_frame, self._write_note]
        step = 0
        while gate.arrive():
            step += 1
            act = chance.choice(acts)
            began = time.monotonic()
            try:
                act(chance, f"{number}_{step}")
            except OSError as error:
                self._note(f"{act.__name__}: {error!r}")
            took_s = time.monotonic() - began
            with self._lock:
                self.slowest_s = max(self.slowest_s, took_s)

    def _note(self, what: str) -> None:
        with self._lock:
            if len(self.wrong) < 100:
                self.wrong.append(what)

    def _compare(self, name: str, found: bytes, wanted: bytes, where: str) -> None:
        if found != wanted:
            self._note(f"{where}: {name}: {len(found)} bytes that are not the {len(wanted)} wanted")
        with self._lock:
            self.counts["compared_bytes"] += len(found)

    def _open(self, name: str, flags: int = os.O_RDONLY) -> int:
        with self._lock:
            self.counts["opens"] += 1
        return os.open(self._show / name, flags, 0o644)

    def _any(self, chance: random.Random) -> tuple[str, bytes]:
        # Often the same few: they are open by several threads at once.
        several = self._inputs[:6] if chance.random() < 0.4 else self._inputs
        name, size_bytes = chance.choice(several)
        return name, content_of(name, size_bytes)

    # --- published files -------------------------------------------------------------------------

    def _read(self, chance: random.Random, _: str) -> None:
        name, content = self._any(chance)
        descriptor = self._open(name)
        try:
            if chance.random() < 0.3:
                os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
            self._compare(name, _all(descriptor, 0, len(content) + 1), content, "read")
            if os.fstat(descriptor).st_size != len(content):
                self._note(f"{name}: size {os.fstat(descriptor).st_size}")
        finally:
            os.close(descriptor)

    def _read_parts(self, chance: random.Random, _: str) -> None:
        name, content = self._any(chance)
        descriptor = self._open(name)
        try:
            for _ in range(chance.randrange(1, 12)):
                start = chance.randrange(len(content) + 2)
                stop = start + chance.choice((1, 4096, 100_000))
                found = _all(descriptor, start, stop)
                self._compare(name, found, content[start:stop], f"part {start}")
        finally:
            os.close(descriptor)

    def _map(self, chance: random.Random, _: str) -> None:
        name, content = self._any(chance)
        if not content:
            return
        descriptor = self._open(name)
        try:
            mapped = mmap.mmap(descriptor, 0, prot=mmap.PROT_READ)
        finally:
            os.close(descriptor)  # the map keeps the file
        with mapped:
            start = chance.randrange(len(content))
            stop = min(start + 200_000, len(content))
            # The fault would hold Python's lock, and all threads would wait for one.
            mapped.madvise(mmap.MADV_WILLNEED)
            self._compare(name, mapped[start:stop], content[start:stop], "map")

    def _hold_two(self, chance: random.Random, _: str) -> None:
        name, content = self._any(chance)
        one = self._open(name)
        try:
            self._read_parts(chance, _)
            other = self._open(name)
            try:
                self._compare(name, _all(other, 0, len(content)), content, "second open")
            finally:
                os.close(other)
            self._compare(name, _all(one, 0, len(content)), content, "first open")
        finally:
            os.close(one)

    def _look(self, chance: random.Random, _: str) -> None:
        sizes = dict(self._inputs)
        for entry in os.scandir(self._show / "library"):
            size_bytes = entry.stat().st_size
            if size_bytes != sizes[f"library/{entry.name}"]:
                self._note(f"{entry.name} is listed with {size_bytes} bytes")
        try:
            os.stat(self._show / "library/none.png")
            self._note("a file that does not exist was found")
        except FileNotFoundError:
            pass

    # --- outputs ---------------------------------------------------------------------------------

    def _write_frame(self, chance: random.Random, tag: str) -> None:
        """Write under a scratch name, rename, read back; the store must get the same bytes."""
        name = f"beauty{tag}.1001.exr"
        size_bytes = chance.choice((0, 17, 100_000, 700_000))
        content = content_of(name, size_bytes)
        directory = f"{SHOT}/"
        scratch = f"{name}.tmp" if chance.random() < 0.5 else name
        descriptor = self._open(directory + scratch, os.O_RDWR | os.O_CREAT | os.O_EXCL)
        try:
            for start in range(0, size_bytes, 65_536):
                os.pwrite(descriptor, content[start : start + 65_536], start)
            self._compare(name, _all(descriptor, 0, size_bytes + 1), content, "while written")
            if (self._show / SHOT / scratch).stat().st_size != size_bytes:
                self._note(f"{name}: stat and what was written differ")
        finally:
            os.close(descriptor)
        if scratch != name:
            os.rename(self._show / SHOT / scratch, self._show / SHOT / name)
        with self._lock:
            self.published[name] = size_bytes
            self.counts["outputs"] += 1
        self._compare(name, (self._show / SHOT / name).read_bytes(), content, "read back")

    def _write_note(self, chance: random.Random, tag: str) -> None:
        """Write, map, truncate and unlink a file that stays local."""
        name = f"notes/note{tag}.bin"
        content = bytearray(content_of(tag, chance.randrange(1, 200_000)))
        descriptor = self._open(name, os.O_RDWR | os.O_CREAT)
        try:
            os.write(descriptor, content)
            reader = self._open(name)
            try:
                self._compare(name, _all(reader, 0, len(content) + 1), bytes(content), "note")
            finally:
                os.close(reader)
            with mmap.mmap(descriptor, 0) as mapped:
                mapped[:1] = content[:1] = b"!"
            size_bytes = chance.randrange(1, len(content) + 1)
            os.ftruncate(descriptor, size_bytes)
            if chance.random() < 0.5:
                os.fsync(descriptor)
            if chance.random() < 0.5:
                os.unlink(self._show / name)
            found = _all(descriptor, 0, size_bytes + 1)
            self._compare(name, found, bytes(content[:size_bytes]), "note in the end")
        finally:
            os.close(descriptor)
        (self._show / name).unlink(missing_ok=True)


def _all(descriptor: int, start: int, stop: int) -> bytes:
    parts = []
    while start < stop and (part := os.pread(descriptor, stop - start, start)):
        parts.append(part)
        start += len(part)
    return b"".join(parts)


def main() -> None:
    """Work as the command line and standard input say."""
    show, seed, count = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    writes = "--writes" in sys.argv
    if writes:
        (show / SHOT).mkdir(exist_ok=True)
        (show / "notes").mkdir(exist_ok=True)
    work, gate = Work(show, writes=writes), Gate(count)
    threads = [
        threading.Thread(target=work.thread, args=(number, seed, gate), daemon=True)
        for number in range(count)
    ]
    for thread in threads:
        thread.start()
    for line in sys.stdin:
        if line.strip() == "go":
            gate.open()
            print("ok", flush=True)
            continue
        if not gate.close():
            faulthandler.dump_traceback(file=sys.stderr, all_threads=True)
            print(f"stuck: a thread did not stop for {STUCK_S:g} s; {work.wrong}", flush=True)
            os._exit(1)
        if line.strip() == "end":
            gate.open(ended=True)
            report = {**work.counts, "slowest_s": round(work.slowest_s, 2)}
            print(json.dumps({**report, "wrong": work.wrong, "published": work.published}))
            return
        print("ok", flush=True)


if __name__ == "__main__":
    main()
