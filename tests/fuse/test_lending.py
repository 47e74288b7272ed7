"""Outputs that the kernel writes by itself: what a close promises, and what a crash leaves.

The application is a process of its own that does as it is told, a step at a time, and that lives
on when the service is killed: its writes then still reach the data file.
"""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.faults.disk import FailingDisk
from tests.fuse.node import ShotfsNode

pytestmark = pytest.mark.kernel

NewNode = Callable[..., ShotfsNode]

SHOT = "render/xy_1_100_030_00_v001"
MIB = 1 << 20

_APPLICATION = """
import json, mmap, os, sys
opened, maps = {}, {}
def do(verb, name, *rest):
    if verb == "create":
        opened[name] = os.open(rest[0], os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o644)
    elif verb == "open":
        opened[name] = os.open(rest[0], getattr(os, rest[1]) | getattr(os, rest[2]))
    elif verb == "dup":
        opened[rest[0]] = os.dup(opened[name])
    elif verb == "write":
        return os.write(opened[name], rest[0].encode() * rest[1])
    elif verb == "patch":
        return os.pwrite(opened[name], rest[0].encode(), rest[1])
    elif verb == "map":
        # mmap.mmap keeps a duplicate of the descriptor; ctypes keeps none.
        import ctypes
        libc = ctypes.CDLL(None, use_errno=True)
        libc.mmap.restype = ctypes.c_void_p
        ints = [ctypes.c_int] * 3
        libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, *ints, ctypes.c_long]
        maps[name] = libc.mmap(None, rest[0], 3, 1, opened[name], 0), rest[0]
    elif verb == "poke":
        import ctypes
        ctypes.memmove(maps[name][0] + rest[1], rest[0].encode(), len(rest[0]))
    elif verb == "unmap":
        import ctypes
        address, size = maps.pop(name)
        ctypes.CDLL(None).munmap(ctypes.c_void_p(address), ctypes.c_size_t(size))
    elif verb == "fsync":
        os.fsync(opened[name])
    elif verb == "truncate":
        os.ftruncate(opened[name], rest[0])
    elif verb == "size":
        return os.fstat(opened[name]).st_size
    elif verb == "close":
        os.close(opened.pop(name))
for line in sys.stdin:
    try:
        said = do(*json.loads(line))
    except OSError as error:
        said = [error.errno]
    print(json.dumps(said), flush=True)
"""


class Application:
    """A process that does what it is told, a step at a time."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-I", "-c", _APPLICATION],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd="/",
        )

    def __call__(self, *step: Any) -> Any:
        """Do one step; return its result, or the errno in a list."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        print(
            json.dumps([str(one) if isinstance(one, Path) else one for one in step]),
            file=self._process.stdin,
            flush=True,
        )
        return json.loads(self._process.stdout.readline())

    def end(self) -> None:
        """End it; what it had open is closed."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait(timeout=60)
        self._process.stdout.close()


@pytest.fixture
def application() -> Iterator[Application]:
    """One application."""
    application = Application()
    yield application
    application.end()


def skip_unless_lending(node: ShotfsNode) -> None:
    """Skip in modes and on kernels where outputs are written through the service."""
    status = node.status()
    problem = status["kernel"]["passthrough_problem"] or status["spool"]["lending_problem"]
    if problem:
        pytest.skip(f"outputs come by the service: {problem}")


@pytest.fixture
def lending_node(node: ShotfsNode) -> ShotfsNode:
    """A mounted node whose outputs the kernel writes by itself."""
    skip_unless_lending(node)
    (node.show / SHOT).mkdir(parents=True)
    return node


def frame(node: ShotfsNode, number: int) -> Path:
    return node.show / SHOT / f"beauty.{number}.exr"


def stored(origin: Path) -> dict[str, bytes]:
    """What is in the origin, by name."""
    return {path.name: path.read_bytes() for path in origin.rglob("*.exr")}


def passthrough_opens(node: ShotfsNode) -> int:
    return int(node.status()["kernel"]["passthrough_opens"])


def test_a_frame_is_written_without_the_service_and_published_whole(
    lending_node: ShotfsNode, origin: Path, application: Application
) -> None:
    before = passthrough_opens(lending_node)
    application("create", "a", frame(lending_node, 1001))
    assert passthrough_opens(lending_node) == before + 1
    writes = lending_node.metric("shotfs_fuse_requests_total")
    for _ in range(50):
        application("write", "a", "x", MIB // 4)
    assert application("size", "a") == 50 * MIB // 4
    assert lending_node.metric("shotfs_fuse_requests_total") - writes < 10
    assert application("close", "a") is None
    lending_node.wait_published()
    assert stored(origin) == {"beauty.1001.exr": b"x" * (50 * MIB // 4)}


def test_an_open_for_append_while_it_is_open_goes_on_at_the_end(
    lending_node: ShotfsNode, origin: Path, application: Application
) -> None:
    path = frame(lending_node, 1001)
    application("create", "a", path)
    application("write", "a", "x", 10)
    assert application("open", "b", path, "O_WRONLY", "O_APPEND") is None
    application("write", "b", "y", 3)
    application("truncate", "a", 11)
    application("write", "b", "z", 2)
    assert application("size", "a") == application("size", "b") == path.stat().st_size == 13
    assert path.read_bytes() == b"xxxxxxxxxxyzz"
    application("close", "a")
    application("write", "b", "!", 1)
    application("close", "b")
    lending_node.wait_published()
    assert stored(origin) == {"beauty.1001.exr": b"xxxxxxxxxxyzz!"}


def test_s06_a_mapping_that_outlives_the_close_is_published_with_all_its_bytes(
    lending_node: ShotfsNode, origin: Path, application: Application
) -> None:
    path = frame(lending_node, 1001)
    application("create", "a", path)
    application("write", "a", "x", 8192)
    application("map", "a", 8192)
    application("close", "a")
    left = lending_node.command(
        "unmount", "--deadline", "1", str(lending_node.mountpoint), check=False
    )
    assert left.returncode == 5
    assert "open or mapped for writing" in left.stdout + left.stderr
    assert stored(origin) == {}
    application("poke", "a", "mapped", 100)
    application("unmap", "a")
    lending_node.wait_published()
    assert stored(origin) == {"beauty.1001.exr": b"x" * 100 + b"mapped" + b"x" * (8192 - 106)}
    assert lending_node.command("cache", "verify").returncode == 0


def test_s05_who_writes_on_after_a_kill_spoils_no_closed_output(
    lending_node: ShotfsNode, origin: Path, application: Application
) -> None:
    """What was closed is there once, with its bytes; the rest is kept aside, never published."""
    node = lending_node
    steps: dict[int, list[tuple[Any, ...]]] = {
        1001: [("close",)],
        1002: [],
        1003: [("dup", "other"), ("close",)],
        1004: [("dup", "spoiler"), ("close",)],
        1005: [("map", 100_000), ("close",)],
    }
    for number, rest in steps.items():
        name = str(number)
        application("create", name, frame(node, number))
        application("write", name, "x", 100_000)
        for verb, *arguments in rest:
            application(verb, name, *arguments)
    node.kill()
    assert application("write", "1002", "y", 50_000) == 50_000  # the kernel asks nobody
    assert application("close", "1002") in ([errno.ENOTCONN], [errno.ECONNABORTED])
    assert application("patch", "spoiler", "spoilt", 0) == 6
    application("poke", "1005", "spoilt", 0)
    node.mount()
    (item,) = node.wait_queue(state="open")  # somebody has it open still, and may write
    assert item["path"].endswith("beauty.1003.exr")
    assert "beauty.1003.exr" not in stored(origin)
    application("close", "other")
    application("close", "spoiler")
    application("unmap", "1005")
    node.wait_outputs_published()
    assert stored(origin) == {f"beauty.{number}.exr": b"x" * 100_000 for number in (1001, 1003)}
    kept = {Path(item["path"]).name for item in node.queue()}
    assert kept == {"beauty.1002.exr", "beauty.1004.exr", "beauty.1005.exr"}


def test_s08_an_application_that_ignores_a_full_disk_publishes_no_stump(
    new_node: NewNode, origin: Path, tmp_path: Path, application: Application
) -> None:
    with FailingDisk(tmp_path / "disk", 3 << 30) as disk:
        node = new_node(f"file://{origin}", settings=f'[spool]\ndirectory = "{disk.path}/spool"')
        node.mount()
        try:
            skip_unless_lending(node)
            (node.show / SHOT).mkdir(parents=True)
            before = passthrough_opens(node)
            application("create", "a", frame(node, 1001))
            assert passthrough_opens(node) == before + 1
            application("write", "a", "x", MIB)
            with open(disk.path / "filler", "wb") as filler:
                fill(filler.fileno())
                assert application("write", "a", "y", MIB) in ([errno.ENOSPC], 0)
                assert application("close", "a") == [errno.ENOSPC]
            os.truncate(disk.path / "filler", 0)
            node.wait_queue(state="failed")
            assert stored(origin) == {}
        finally:
            node.clear()


def fill(descriptor: int) -> None:
    """Take all blocks of a disk, without writing them."""
    taken = 0
    for piece in (64 * MIB, MIB, 4096):
        while True:
            try:
                os.posix_fallocate(descriptor, taken, piece)
            except OSError:
                break
            taken += piece
