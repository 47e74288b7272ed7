"""Applications that write outputs through a mount, in every way that renderers do."""

from __future__ import annotations

import errno
import mmap
import os
import random
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from tests.faults.power.history import Act, History

SPEC: dict[str, Any] = {
    "spec": "shotfs-path/1",
    "show": "ant",
    "roots": {"main": "ORIGIN"},
    "defaults": {"origin": "main", "ttl": "1h", "negative_ttl": "0s"},
    "fields": {
        "name": {"type": "str", "pattern": "[^/]+"},
        "frame": {"type": "frame", "pad": 4},
        "rest": {"type": "tree"},
    },
    "templates": {
        "frames": {"path": "frames/{name}.{frame}.exr", "flow": "out", "immutable": "on-close"},
        "patched": {
            "path": "patched/{name}.exr",
            "flow": "out",
            "immutable": "on-close",
            "grace": "200ms",
        },
        "safe": {
            "path": "safe/{name}.exr",
            "flow": "out",
            "immutable": "on-close",
            "durability": "origin",
        },
        "config": {"path": "config/{name}.json", "flow": "inout", "ttl": "0s"},
        "bundle": {"path": "bundle/{rest}", "flow": "inout", "ttl": "0s", "grace": "2s"},
    },
}

DIRECTORIES = ("frames", "patched", "safe", "config", "bundle")
KIB = 1 << 10
OPEN_MAX = 6
"""Files that one application leaves open."""


class Application:
    """One thread that writes files of its own below *show* until it is told to end.

    Args:
        show: the show's directory in the mount.
        history: where it notes what it does and is told.
        name: no other application has it.
        seed: of what it does.
    """

    def __init__(self, show: Path, history: History, name: str, seed: str) -> None:
        self._show = show
        self._history = history
        self._name = name
        self._chance = random.Random(seed)
        self._count = 0
        self._open: set[int] = set()
        self.error: BaseException | None = None

    def run(self, ended: threading.Event) -> None:
        """Write until *ended*, or until the service is killed."""
        acts: tuple[Callable[[], None], ...] = (
            self._frame, self._frame, self._burst, self._renamed, self._renamed_open,
            self._patched, self._edited, self._saved_beside, self._removed, self._touched,
            self._mapped, self._directory, self._never_closed, self._written_on, self._safe,
        )  # fmt: skip
        try:
            while not ended.is_set():
                self._chance.choice(acts)()
        except OSError as error:
            if error.errno not in (errno.ENOTCONN, errno.ECONNABORTED):  # it was killed
                self.error = error
        except BaseException as error:  # noqa: BLE001 - for who joins the thread
            self.error = error

    def close(self) -> None:
        """Close what it never closed, or not when the service was killed; nothing counts any more.

        What the kernel writes by itself keeps the disk of the spool busy while it is open.
        """
        for descriptor in self._open:
            with suppress(OSError):
                os.close(descriptor)

    # --- what renderers do -----------------------------------------------------------------------

    def _frame(self) -> None:
        """Tiles in any order, and maybe an fsync between them."""
        path, content = self._new("frames", ".1001.exr"), self._content(600 * KIB)
        with self._act(path, content):
            descriptor = self._create(path)
            self._write_tiles(descriptor, content)
            self._close(descriptor)

    def _burst(self) -> None:
        """Many small files one after another."""
        for _ in range(self._chance.randrange(4, 16)):
            path, content = self._new("frames", ".1002.exr"), self._content(8 * KIB)
            with self._act(path, content):
                (self._show / path).write_bytes(content)

    def _renamed(self) -> None:
        """A scratch name, closed, then renamed."""
        path, content = self._new("frames", ".1003.exr"), self._content(200 * KIB)
        (self._show / f"{path}.tmp").write_bytes(content)
        with self._act(path, content):
            (self._show / f"{path}.tmp").rename(self._show / path)

    def _renamed_open(self) -> None:
        """A scratch name that is renamed before it is closed."""
        path, content = self._new("frames", ".1004.exr"), self._content(200 * KIB)
        descriptor = self._create(f"{path}.tmp")
        self._write_tiles(descriptor, content)
        with self._act(path, content):
            (self._show / f"{path}.tmp").rename(self._show / path)
            self._close(descriptor)

    def _patched(self) -> None:
        """Write, close, open again to patch the header, within the grace."""
        path, content = self._new("patched", ".exr"), self._content(200 * KIB, least=64)
        with self._act(path, content):
            (self._show / path).write_bytes(content)
        header = self._chance.randbytes(self._chance.randrange(1, 64))
        # An open for writing is the beginning: the kernel may write from then on.
        act = self._history.begin(path, header + content[len(header) :])
        try:
            descriptor = os.open(self._show / path, os.O_RDWR)
        except FileExistsError:
            self._history.withdraw(act)  # too late: it is sealed
            return
        self._open.add(descriptor)
        os.pwrite(descriptor, header, 0)
        self._close(descriptor)
        act.done()

    def _edited(self) -> None:
        """A mutable file that is written, appended to, truncated and rewritten."""
        path, content = self._new("config", ".json"), b""
        for turn in range(self._chance.randrange(1, 6)):
            more = self._content(40 * KIB)
            if turn and self._chance.random() < 0.5:
                content += more
                with self._act(path, content), open(self._show / path, "ab", buffering=0) as file:
                    file.write(more)
            else:
                content = more
                with self._act(path, content):
                    (self._show / path).write_bytes(content)

    def _saved_beside(self) -> None:
        """An editor: each version is written beside the file and renamed over it."""
        path = self._new("config", ".json")
        for _ in range(self._chance.randrange(2, 5)):
            content = self._content(40 * KIB)
            (self._show / f"{path}.tmp").write_bytes(content)
            with self._act(path, content):
                (self._show / f"{path}.tmp").rename(self._show / path)

    def _removed(self) -> None:
        """A mutable file that is removed again."""
        path, content = self._new("config", ".json"), self._content(40 * KIB)
        with self._act(path, content):
            (self._show / path).write_bytes(content)
        with self._act(path, None):
            (self._show / path).unlink()

    def _touched(self) -> None:
        path = self._new("frames", ".1005.exr")
        with self._act(path, b""):
            (self._show / path).touch()

    def _mapped(self) -> None:
        """Written by way of a shared mapping."""
        path, content = self._new("frames", ".1006.exr"), self._content(200 * KIB, least=1)
        with self._act(path, content):
            descriptor = self._create(path)
            os.ftruncate(descriptor, len(content))
            with mmap.mmap(descriptor, len(content)) as mapped:
                mapped[:] = content
            self._close(descriptor)

    def _directory(self) -> None:
        """A directory that is filled under one name and renamed to another one."""
        name = self._new("bundle", "")
        target, files = f"{name}-done", {}
        (self._show / name).mkdir()
        for index in range(self._chance.randrange(1, 4)):
            content = self._content(20 * KIB)
            with self._act(f"{name}/{index}.bin", content):
                (self._show / name / f"{index}.bin").write_bytes(content)
            files[f"{index}.bin"] = content
        acts = []
        for file, content in files.items():
            acts.append(self._history.begin(f"{name}/{file}", None))
            acts.append(self._history.begin(f"{target}/{file}", content, source=f"{name}/{file}"))
        try:
            os.rename(self._show / name, self._show / target)
        except OSError as error:
            # On a machine so busy that the grace has ended something in it is in the origin by now.
            if error.errno not in (errno.EXDEV, errno.EPERM):
                raise
            return
        for act in acts:
            act.done()

    def _never_closed(self) -> None:
        """Written and fsynced, but not closed: no output."""
        if len(self._open) >= OPEN_MAX:
            return
        path, content = self._new("frames", ".1007.exr"), self._content(200 * KIB, least=1)
        self._history.begin(path, content, closed=False)
        descriptor = self._create(path)  # stays open
        os.write(descriptor, content)
        if self._chance.random() < 0.5:
            os.fsync(descriptor)

    def _written_on(self) -> None:
        """Closed by one of two descriptors, and written on through the other one."""
        if len(self._open) >= OPEN_MAX:
            return
        path, content = self._new("frames", ".1008.exr"), self._content(100 * KIB, least=1)
        with self._act(path, content):
            descriptor = self._create(path)
            other = os.dup(descriptor)
            self._open.add(other)
            os.write(descriptor, content)
            self._close(descriptor)
        more = self._content(100 * KIB, least=1)
        self._history.begin(path, more, closed=False)
        os.pwrite(other, more, 0)

    def _safe(self) -> None:
        """`durability: origin`: close waits for the store."""
        path, content = self._new("safe", ".exr"), self._content(40 * KIB)
        # It waits for an origin that is away, and fails when that takes too long.
        with suppress(OSError), self._act(path, content):
            (self._show / path).write_bytes(content)

    # --- for all of them -------------------------------------------------------------------------

    @contextmanager
    def _act(self, path: str, content: bytes | None) -> Iterator[Act]:
        act = self._history.begin(path, content)
        yield act
        act.done()

    def _new(self, directory: str, ending: str) -> str:
        self._count += 1
        return f"{directory}/{self._name}-{self._count}{ending}"

    def _content(self, most: int, *, least: int = 0) -> bytes:
        return self._chance.randbytes(self._chance.randrange(least, most))

    def _create(self, path: str) -> int:
        descriptor = os.open(self._show / path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o644)
        self._open.add(descriptor)
        return descriptor

    def _close(self, descriptor: int) -> None:
        self._open.discard(descriptor)
        os.close(descriptor)

    def _write_tiles(self, descriptor: int, content: bytes) -> None:
        tile = max(1, len(content) // 5)
        starts = list(range(0, len(content), tile))
        self._chance.shuffle(starts)
        for start in starts:
            os.pwrite(descriptor, content[start : start + tile], start)
            if self._chance.random() < 0.1:
                os.fsync(descriptor)
