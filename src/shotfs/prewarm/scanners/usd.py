"""USD: references, payloads, sublayers, variants, value clips, textures. Read in other processes.

usd-core is C++ and large: a damaged file may crash it, and a farm's nodes need not load it. So each
scan is given to a process of `usd_worker`, which is kept for the next one.
"""

from __future__ import annotations

import atexit
import contextlib
import importlib.util
import json
import os
import select
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import replace

from shotfs.errors import ScanFailed
from shotfs.prewarm.scanners.base import Edge, Kind, Scope

SILENCE_S = 300.0
"""A process that neither says nor reads nor computes anything for so long is ended."""

SCAN_S_MAX = 3600.0
"""So is one that has taken so long for one scene: it may turn in circles."""

LOOK_S = 5.0
"""How often a silent process is looked at: composing a large stage takes minutes."""

ANSWER_BYTES_MAX = 1 << 20
"""Of one line of a process."""

WORKERS_MAX = 4
"""Processes at a time, and kept for the next scan: each may hold a whole stage."""

SEARCH_VARIABLE = "PXR_AR_DEFAULT_SEARCH_PATH"
"""Where usd-core's own resolver looks for what is not beside its layer."""

_MAGIC = (b"#usda ", b"PXR-USDC")


class UsdScanner:
    """Reads ``.usd``, ``.usda``, ``.usdc`` and ``.usdz`` files.

    In place, a stage is composed as a renderer does it; of a copy, one layer is read at a time
    (`usd_layers`).
    """

    name = "usd"
    suffixes = (".usd", ".usda", ".usdc", ".usdz")
    extra = "usd"

    def available(self) -> str:
        """Return "" if usd-core is installed."""
        return "" if importlib.util.find_spec("pxr") is not None else "usd-core is not installed"

    def recognises(self, head: bytes) -> bool:
        """Whether *head* begins a layer of USD."""
        return head.startswith(_MAGIC)

    def scan(self, path: str, scope: Scope) -> Iterator[Edge]:
        """Yield what the USD file *path* names.

        Raises:
            ScanFailed: it cannot be read, or reading it crashed.
        """
        search = [*scope.variables.get(SEARCH_VARIABLE, "").split(":"), *scope.search_paths]
        search = [one for one in search if one]
        request = {
            "path": path,
            "frames": scope.frames,
            "composed": scope.in_place,
            "all_variants": scope.all_variants,
            "search": search,
        }
        with _places:
            yield from self._answers(request, search)

    def _answers(self, request: dict[str, object], search: list[str]) -> Iterator[Edge]:
        worker = _take()
        try:
            for edge in worker.ask(request):
                yield replace(edge, search=("", *search)) if search else edge
        except BaseException:
            # It may be in the middle of an answer.
            if not worker.idle:
                worker.end()
            raise
        finally:
            _put(worker)


class _Worker:
    """One process of `usd_worker`. Used by one thread at a time."""

    def __init__(self) -> None:
        # -P: a file pxr.py in the directory of whoever runs this is not what is meant.
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-m", "shotfs.prewarm.scanners.usd_worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            cwd="/",
        )
        self._kept = b""
        self._asked_s = 0.0
        self.idle = True

    def ask(self, request: dict[str, object]) -> Iterator[Edge]:
        """Yield the edges of *request*.

        Raises:
            ScanFailed: it could not be answered; the process may be gone.
        """
        path = str(request["path"])
        assert self._process.stdin is not None, "it was started with a pipe"
        self.idle = False
        self._asked_s = time.monotonic()
        try:
            self._process.stdin.write(json.dumps(request).encode() + b"\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            raise self._ended(path) from None
        while True:
            row = json.loads(self._line(path))
            if isinstance(row, dict):
                self.idle = True
                if "failed" in row:
                    raise ScanFailed(row["failed"])
                return
            target, kind, frames, confidence, unresolved, named_by = row
            yield Edge(
                target,
                Kind(kind),
                frames=frames,
                confidence=confidence,
                unresolved=unresolved,
                named_by=named_by,
            )

    def _line(self, path: str) -> bytes:
        assert self._process.stdout is not None, "it was started with a pipe"
        descriptor = self._process.stdout.fileno()
        moved_s, done = time.monotonic(), self._done()
        while b"\n" not in self._kept:
            if len(self._kept) > ANSWER_BYTES_MAX:
                raise ScanFailed(f"{path}: it names a path of more than {ANSWER_BYTES_MAX} bytes")
            if not select.select([descriptor], [], [], LOOK_S)[0]:
                now_s, now_done = time.monotonic(), self._done()
                if now_done != done:
                    moved_s, done = now_s, now_done
                if now_s - moved_s > SILENCE_S or now_s - self._asked_s > SCAN_S_MAX:
                    raise ScanFailed(
                        f"{path}: reading it made no progress for {now_s - moved_s:.0f} s, "
                        f"and took {now_s - self._asked_s:.0f} s in all",
                        fix="see with `shotfs why` whether an origin is slow",
                    )
                continue
            piece = os.read(descriptor, 65_536)
            if not piece:
                raise self._ended(path)
            self._kept += piece
        line, _, self._kept = self._kept.partition(b"\n")
        return line

    def _done(self) -> tuple[str, ...]:
        """Return what tells that it reads or computes: other values each time it did."""
        try:
            with open(f"/proc/{self._process.pid}/stat") as file:
                fields = file.read().rpartition(")")[2].split()
            with open(f"/proc/{self._process.pid}/io") as file:
                return (*fields[11:13], file.readline())
        except OSError:
            return ()

    def _ended(self, path: str) -> ScanFailed:
        code = self._process.wait()
        by = f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
        return ScanFailed(f"{path}: reading it crashed usd-core ({by})")

    @property
    def alive(self) -> bool:
        """Whether it can be asked again."""
        return self.idle and self._process.poll() is None

    def end(self) -> None:
        """End the process."""
        self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                with contextlib.suppress(OSError):
                    pipe.close()


_idle: list[_Worker] = []
_lock = threading.Lock()
_places = threading.BoundedSemaphore(WORKERS_MAX)


def _take() -> _Worker:
    with _lock:
        while _idle:
            worker = _idle.pop()
            if worker.alive:
                return worker
            worker.end()
    return _Worker()


def _put(worker: _Worker) -> None:
    with _lock:
        if worker.alive and len(_idle) < WORKERS_MAX:
            _idle.append(worker)
            return
    worker.end()


@atexit.register
def end_workers() -> None:
    """End the processes that are kept for the next scan."""
    with _lock:
        while _idle:
            _idle.pop().end()
