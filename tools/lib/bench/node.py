"""A node with a mount that can be told to prewarm, as the prewarm command of a later version will.

    python -m bench.node CONFIG MOUNTPOINT

Everything in one process, as in `shotfs mount`; what it is told comes as JSON lines on the standard
input, one at a time, and each is answered by one line:

    {"do": "fetch", "origin": URL, "directory": D, "tasks": N}     list D, fetch every file in it
    {"do": "stream", "origin": URL, "keys": [K, ...], "tasks": N}  fetch these for ever, evict them
    {"do": "stop"}                                                 end what "stream" began
    {"do": "evict"}                                                empty the cache

All fetches are of the class of prewarms. It ends with its standard input.
"""

from __future__ import annotations

import gc
import itertools
import json
import os
import sys
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator, Sequence
from contextlib import aclosing
from typing import Any

import trio

from shotfs.app.node import Node, open_node
from shotfs.app.process import prepare_process
from shotfs.app.run import GARBAGE_THRESHOLD
from shotfs.cache import FetchClass
from shotfs.config import load
from shotfs.errors import ShotfsError
from shotfs.fuse.mount import Mount
from shotfs.observe import loop_lag
from shotfs.observe.metrics import Metrics
from shotfs.tiers.base import Revision, Tier


class Told:
    """Does what the lines of the standard input say."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self._streaming = trio.CancelScope()
        self._streamed_bytes = 0
        self._began_s = 0.0

    async def run(self) -> None:
        """Answer line by line until the input ends."""
        async with trio.open_nursery() as nursery, aclosing(_lines()) as lines:
            async for line in lines:
                print(json.dumps(await self._do(nursery, **json.loads(line))), flush=True)

    async def _do(self, nursery: trio.Nursery, *, do: str, **wish: Any) -> dict[str, float]:
        if do == "fetch":
            return await self._fetch_directory(**wish)
        if do == "stream":
            return await self._start_streaming(nursery, **wish)
        if do == "stop":
            self._streaming.cancel()
            return {"bytes": self._streamed_bytes, "seconds": time.perf_counter() - self._began_s}
        if do == "evict":
            return {"files": (await self._node.cache.evict(None)).files}
        raise ValueError(f"cannot do {do!r}")

    async def _fetch_directory(
        self, *, origin: str, directory: str, tasks: int
    ) -> dict[str, float]:
        tier = await self._node.tiers.get(origin)
        cached = self._node.cache.stats().files
        began = _Clock()
        revisions: list[Revision] = []
        async with aclosing(tier.list(directory)) as pages:
            async for page in pages:
                revisions += page.objects
        listed = _Clock()
        waiting = iter(revisions)
        async with trio.open_nursery() as nursery:
            for _ in range(tasks):
                nursery.start_soon(self._fetch, tier, waiting)
        ended = _Clock()
        return {
            "count": len(revisions),
            "bytes": sum(one.size_bytes for one in revisions),
            "list_s": listed.wall_s - began.wall_s,
            "list_cpu_s": listed.cpu_s - began.cpu_s,
            "seconds": ended.wall_s - listed.wall_s,
            "cpu_s": ended.cpu_s - listed.cpu_s,
            "kept": self._node.cache.stats().files - cached,
        }

    async def _fetch(self, tier: Tier, revisions: Iterator[Revision]) -> None:
        for revision in revisions:
            await self._node.cache.fetch(tier, revision, fetch_class=FetchClass.PREWARM)

    async def _start_streaming(
        self, nursery: trio.Nursery, *, origin: str, keys: Sequence[str], tasks: int
    ) -> dict[str, float]:
        tier = await self._node.tiers.get(origin)
        revisions = itertools.cycle([await tier.stat(key) for key in keys])
        self._streaming, self._streamed_bytes = trio.CancelScope(), 0
        self._began_s = time.perf_counter()
        nursery.start_soon(self._stream_all, tier, revisions, tasks)
        return {}

    async def _stream_all(self, tier: Tier, revisions: Iterator[Revision], tasks: int) -> None:
        with self._streaming:
            async with trio.open_nursery() as nursery:
                for _ in range(tasks):
                    nursery.start_soon(self._stream, tier, revisions)

    async def _stream(self, tier: Tier, revisions: Iterator[Revision]) -> None:
        cache = self._node.cache
        for revision in revisions:
            await cache.fetch(tier, revision, fetch_class=FetchClass.PREWARM)
            self._streamed_bytes += revision.size_bytes
            await cache.evict(revision.size_bytes)


class _Clock:
    """A moment."""

    def __init__(self) -> None:
        self.wall_s = time.perf_counter()
        self.cpu_s = time.process_time()


async def _lines() -> AsyncGenerator[bytes, None]:
    async with trio.lowlevel.FdStream(os.dup(0)) as stream:
        kept = b""
        async for piece in stream:
            *lines, kept = (kept + piece).split(b"\n")
            for line in lines:
                yield line


async def serve(config: str, mountpoint: str, work: Callable[[Node], Awaitable[None]]) -> None:
    """Mount read-only, say so on the standard output, and serve until *work* ends."""
    loaded = load(config, os.environ)
    metrics = Metrics()
    async with open_node(loaded, metrics, read_only=True) as node, trio.open_nursery() as nursery:
        mount = Mount(
            node.filesystem, node.settings.mount, metrics, mountpoint=mountpoint, read_only=True,
            zero_upcall=False, backing_directory=node.settings.cache.directory,
        )  # fmt: skip
        await nursery.start(lambda *, task_status: mount.serve(task_status=task_status))
        nursery.start_soon(loop_lag.watch, metrics)
        gc.collect()
        gc.freeze()
        gc.set_threshold(GARBAGE_THRESHOLD, 20, 100)
        print(json.dumps({"pid": os.getpid()}), flush=True)
        await work(node)
        mount.stop()
        nursery.cancel_scope.cancel()


async def main(config: str, mountpoint: str) -> None:
    """Mount, serve and listen until the input ends."""
    await serve(config, mountpoint, lambda node: Told(node).run())


if __name__ == "__main__":
    prepare_process()
    try:
        trio.run(main, *sys.argv[1:])
    except* ShotfsError as group:
        sys.exit(str(group.exceptions[0]))
