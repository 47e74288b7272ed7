"""A node without a mount that can be told to prewarm: the engine of `shotfs prewarm`, timed.

    python -m bench.prewarm_node CONFIG

What it is told comes as JSON lines on the standard input, one at a time, and each is answered by
one line:

    {"do": "prewarm", "names": FILE, "below": D, "fetch": BOOL}

FILE has a name a line; D is the directory of the mount that they lie in. Without "fetch" they are
only looked up, as `shotfs prewarm --dry-run` does, so that the catalog knows them afterwards.
"""

from __future__ import annotations

import gc
import json
import os
import sys
import time
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from typing import Any

import trio

from bench.node import _lines
from shotfs.app.node import Node, open_node
from shotfs.app.process import prepare_process
from shotfs.app.run import GARBAGE_THRESHOLD
from shotfs.cache import NOBODY
from shotfs.config import load
from shotfs.errors import ShotfsError
from shotfs.observe.metrics import Metrics
from shotfs.prewarm.engine import PAGE_ENTRIES, Prewarmer, Progress, Terms
from shotfs.prewarm.manifest import Entry


async def _pages(entries: Sequence[Entry]) -> AsyncGenerator[Sequence[Entry], None]:
    for start in range(0, len(entries), PAGE_ENTRIES):
        yield entries[start : start + PAGE_ENTRIES]


def _entries(names: str, below: str) -> list[Entry]:
    with open(names, encoding="utf-8") as file:
        return [Entry(f"{below}/{name}") for name in file.read().split()]


async def _prewarm(node: Node, *, names: str, below: str, fetch: bool) -> dict[str, Any]:
    progress = Progress()
    engine = Prewarmer(node.cache, node.filesystem.prewarm_finder)
    entries = _entries(names, below)
    wall_s, cpu_s = time.perf_counter(), time.process_time()
    await engine.run(_pages(entries), Terms(NOBODY, fetch=fetch), progress)
    return {
        "seconds": time.perf_counter() - wall_s,
        "cpu_s": time.process_time() - cpu_s,
        "found": progress.files,
        "count": progress.fetched_files,
        "bytes": progress.fetched_bytes,
        "problems": [f"{one.path}: {one.reason}" for one in progress.problems[:3]],
    }


async def main(config: str) -> None:
    """Listen until the input ends."""
    loaded = load(config, os.environ)
    async with open_node(loaded, Metrics(), read_only=True) as node, aclosing(_lines()) as lines:
        gc.collect()
        gc.freeze()
        gc.set_threshold(GARBAGE_THRESHOLD, 20, 100)
        print(json.dumps({"pid": os.getpid()}), flush=True)
        async for line in lines:
            wish = json.loads(line)
            assert wish.pop("do") == "prewarm"
            print(json.dumps(await _prewarm(node, **wish)), flush=True)


if __name__ == "__main__":
    prepare_process()
    try:
        trio.run(main, sys.argv[1])
    except* ShotfsError as group:
        sys.exit(str(group.exceptions[0]))
