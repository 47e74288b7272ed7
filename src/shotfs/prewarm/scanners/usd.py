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
"""A process that says nothing for so long is ended: it waits for an origin, or turns in circles."""

ANSWER_BYTES_MAX = 1 << 20
"""Of one line of a process."""

IDLE_MAX = 4
"""Processes that are kept for the next scan."""

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
        self.idle = True

    def ask(self, request: dict[str, object]) -> Iterator[Edge]:
        """Yield the edges of *request*.

        Raises:
            ScanFailed: it could not be answered; the process may be gone.
        """
        path = str(request["path"])
        assert self._process.stdin is not None, "it was started with a pipe"
        self.idle = False
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
        deadline_s = time.monotonic() + SILENCE_S
        while b"\n" not in self._kept:
            if len(self._kept) > ANSWER_BYTES_MAX:
                raise ScanFailed(f"{path}: it names a path of more than {ANSWER_BYTES_MAX} bytes")
            left_s = deadline_s - time.monotonic()
            if left_s <= 0 or not select.select([descriptor], [], [], left_s)[0]:
                raise ScanFailed(
                    f"{path}: reading it made no progress for {SILENCE_S:.0f} s",
                    fix="look at the origin with `shotfs why`; the files that it named still count",
                )
            piece = os.read(descriptor, 65_536)
            if not piece:
                raise self._ended(path)
            self._kept += piece
        line, _, self._kept = self._kept.partition(b"\n")
        return line

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
        if worker.alive and len(_idle) < IDLE_MAX:
            _idle.append(worker)
            return
    worker.end()


@atexit.register
def end_workers() -> None:
    """End the processes that are kept for the next scan."""
    with _lock:
        while _idle:
            _idle.pop().end()
