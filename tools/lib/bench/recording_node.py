"""A node that writes down what its cache is asked for.

    python -m bench.recording_node CONFIG MOUNTPOINT EVENTS

Everything in one process, as in `shotfs mount`, read-only. Each open for reading that reaches the
cache engine, and what is read through it, goes to the file EVENTS (`bench.opens` has the format).
It ends with its standard input.
"""

from __future__ import annotations

import sys

import trio

from bench import node
from bench.recorded_file import Events, RecordedFile
from shotfs.app.node import Node
from shotfs.app.process import prepare_process
from shotfs.cache import lending
from shotfs.errors import ShotfsError


async def _until_told(_node: Node) -> None:
    async with trio.lowlevel.FdStream(0) as stream:
        async for _ in stream:
            pass


def main(config: str, mountpoint: str, events_file: str) -> None:
    """Mount, serve and record until the standard input ends."""
    with open(events_file, "w", encoding="utf-8") as file:
        RecordedFile.events = Events(file)
        lending.CachedFile = RecordedFile  # type: ignore[attr-defined]  # it makes these now
        trio.run(node.serve, config, mountpoint, _until_told)
        RecordedFile.events.finish()


if __name__ == "__main__":
    prepare_process()
    try:
        main(*sys.argv[1:])
    except* ShotfsError as group:
        sys.exit(str(group.exceptions[0]))
