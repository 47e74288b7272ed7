"""Our request handlers without a kernel: a real node, and CPU time per call of each coroutine.

    python -m bench.ops_handlers CONFIG CALLS

Prints JSON: operation to microseconds of CPU per call, of the event loop's thread alone (what
threads do for a write or a flush is not in it). What pyfuse3 does around a handler is not, either;
filling the kernel's buffer of a listing is replaced by a call that does nothing.
"""

from __future__ import annotations

import gc
import json
import os
import sys
import time
from collections.abc import Awaitable, Callable
from types import SimpleNamespace
from typing import Any

import pyfuse3
import trio

from shotfs.app.node import open_node
from shotfs.app.run import GARBAGE_THRESHOLD
from shotfs.config import load
from shotfs.fuse.operations import Operations
from shotfs.fuse.passthrough import Passthrough
from shotfs.namespace.listing import KEPT_ENTRIES_MAX
from shotfs.observe.metrics import Metrics

CONTEXT: Any = SimpleNamespace(uid=os.getuid(), gid=os.getgid(), pid=os.getpid(), umask=0o022)
BLOCK = b"x" * 4096
OPEN_AT_ONCE = 8

Step = Callable[[int], Awaitable[Any]]


class Handlers:
    """Measures the handlers of *operations*, *calls* times each."""

    def __init__(self, operations: Operations, calls: int) -> None:
        self._operations = operations
        self._calls = calls
        self.us: dict[str, float] = {}

    async def measure(self, name: str, step: Step, calls: int = 0) -> list[Any]:
        """Note what one of *calls* takes; return what they returned."""
        calls = calls or self._calls
        gc.collect()
        await trio.lowlevel.checkpoint()
        results: list[Any] = [None] * calls
        began = time.thread_time_ns()
        for index in range(calls):
            results[index] = await step(index)
        self.us[name] = (time.thread_time_ns() - began) / calls / 1000
        return results

    async def look_up(self, *names: str) -> int:
        """Return the inode of a path, name by name."""
        inode = pyfuse3.ROOT_INODE
        for name in names:
            inode = (await self._operations.lookup(inode, name.encode(), CONTEXT)).st_ino
        return inode

    async def run(self, entries: int) -> None:
        """Measure everything."""
        ops: Any = self._operations
        show = await self.look_up("bench")
        small = await self.look_up("bench", "small")
        out = await self.look_up("bench", "out")
        file = await self.look_up("bench", "small", "s00000.bin")
        warm = await ops.open(file, os.O_RDONLY, CONTEXT)
        while not await ops.read(warm.fh, 0, 1 << 20):
            raise SystemExit("the file is empty")
        await self.measure("lookup hit", lambda _: ops.lookup(small, b"s00000.bin", CONTEXT))
        await self.measure("lookup miss", lambda i: ops.lookup(show, b"NO %d" % i, CONTEXT))
        # A storm: names that nobody asked for before, of which the origin has none.
        cold = max(self._calls // 10, 20)
        await self.measure(
            "lookup, asks the origin", lambda i: ops.lookup(small, b"z%d.bin" % i, CONTEXT), cold
        )
        await self.measure("getattr", lambda _: ops.getattr(small, CONTEXT))
        await self.measure("getattr, open file", lambda _: ops.getattr(file, CONTEXT))
        await self._measure_opens(ops, file)
        for size, name in ((4096, "read 4 KiB"), (131072, "read 128 KiB")):
            await self.measure(name, lambda _, size=size: ops.read(warm.fh, 0, size))  # type: ignore[misc]
        await self._measure_outputs(ops, out)
        await self.measure("getxattr, unknown", lambda _: self._refused(ops, file))
        await self._measure_listing(ops, await self.look_up("bench", "many"), entries)
        await ops.release(warm.fh)

    async def _measure_opens(self, ops: Any, file: int) -> None:
        """Measure open and release, of a few at a time: an inode has a list of its handles."""
        open_ns = release_ns = 0
        rounds = self._calls // OPEN_AT_ONCE
        for _ in range(rounds):
            began = time.thread_time_ns()
            handles = [(await ops.open(file, os.O_RDONLY, CONTEXT)).fh for _ in range(OPEN_AT_ONCE)]
            opened = time.thread_time_ns()
            for handle in handles:
                await ops.release(handle)
            open_ns += opened - began
            release_ns += time.thread_time_ns() - opened
        self.us["open"] = open_ns / rounds / OPEN_AT_ONCE / 1000
        self.us["release"] = release_ns / rounds / OPEN_AT_ONCE / 1000

    async def _measure_outputs(self, ops: Any, out: int) -> None:
        calls = max(self._calls // 10, 20)
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL

        async def create(index: int) -> Any:
            return await ops.create(
                out, b"p%dx%d.bin" % (os.getpid(), index), 0o644, flags, CONTEXT
            )

        made = await self.measure("create", create, calls)
        handles = [info.fh for info, _ in made]
        await self.measure("write 4 KiB", lambda i: ops.write(handles[i], 0, BLOCK), calls)
        await self.measure("flush, 4 KiB to sync", lambda i: ops.flush(handles[i]), calls)
        await self.measure("flush, clean", lambda i: ops.flush(handles[i]), calls)
        await self.measure("release, written", lambda i: ops.release(handles[i]), calls)

    @staticmethod
    async def _refused(ops: Any, inode: int) -> None:
        try:
            await ops.getxattr(inode, b"security.capability", CONTEXT)
        except pyfuse3.FUSEError:
            return
        raise SystemExit("there is such an attribute")

    async def _measure_listing(self, ops: Any, inode: int, entries: int) -> None:
        pyfuse3.readdir_reply = lambda *_: True
        for name in ("readdir entry, first", "readdir entry, again"):
            began = time.thread_time_ns()
            fh = await ops.opendir(inode, CONTEXT)
            await ops.readdir(fh, 0, None)
            await ops.releasedir(fh)
            self.us[name] = (time.thread_time_ns() - began) / entries / 1000
        if entries <= KEPT_ENTRIES_MAX:
            cold = max(self._calls // 10, 20)
            await self.measure(
                "lookup, not in a listing",
                lambda i: ops.lookup(inode, b"z%d.bin" % i, CONTEXT),
                cold,
            )


async def main(config: str, calls: str, entries: str) -> None:
    """Make the node, measure, print."""
    metrics = Metrics()
    async with open_node(load(config, os.environ), metrics, read_only=False) as node:
        operations = Operations(
            node.filesystem,
            metrics,
            request_deadline_s=60.0,
            serving=lambda: None,
            passthrough=Passthrough(bytes_min=1 << 20, files_max=0),
        )
        gc.collect()
        gc.freeze()
        gc.set_threshold(GARBAGE_THRESHOLD, 20, 100)
        handlers = Handlers(operations, int(calls))
        await handlers.run(int(entries))
        await operations.abandon_all()
    print(json.dumps(handlers.us))


if __name__ == "__main__":
    trio.run(main, *sys.argv[1:])
