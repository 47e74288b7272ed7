"""Lives of a node without its mount: a process that forks them, and what each of them does.

``python -m tests.crash.life`` imports everything once, then forks a process for each life that it
is asked for, line by line in JSON, before it has any thread. So a life costs milliseconds and still
is a process that can be killed. It begins when it is told to, so that whoever kills it is ready.
"""

from __future__ import annotations

import json
import logging
import os
import random
import signal
import sys
import traceback
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import trio

from shotfs.app.node import Node, open_node
from shotfs.config import load
from shotfs.digest import digest_bytes
from shotfs.observe.metrics import Metrics
from shotfs.vfs.attributes import Kind
from tests.crash import told
from tests.crash.hands import VfsHand
from tests.crash.site import SHOW
from tests.crash.told import Told
from tests.crash.writer import Writer

WRITERS = 2


@dataclass(frozen=True, slots=True)
class Life:
    """What a process is to do.

    Attributes:
        config: of the node.
        told: where its writers write down what they were told.
        seed: of the writers.
        name: part of the names of its files; unique in the round.
        steps: habits of each writer; 0: it writes nothing.
        habit: the only one that they have; None: all of them.
        drain_s: how long it may take to publish everything in the end.
        report: where it writes what its queue has then; None: it ends with SIGKILL instead, as all
            lives do that nobody has killed before.
        second: configuration of another node that then reads everything, with an empty cache.
    """

    config: str
    told: str
    seed: str
    name: str
    steps: int = 0
    habit: str | None = None
    drain_s: float = 20.0
    report: str | None = None
    second: str | None = None


@dataclass(frozen=True, slots=True)
class Report:
    """What the last life of a round found.

    Attributes:
        queue: what is not in the origin: path below the show, state, error.
        read: digest of every file that the second node shows, by its path below the show; of what
            cannot be read, the error.
    """

    queue: list[dict[str, Any]] = field(default_factory=list)
    read: dict[str, str] = field(default_factory=dict)

    @classmethod
    def load(cls, path: Path) -> Report:
        """Return what `Life` wrote."""
        return cls(**json.loads(path.read_text()))


async def live(life: Life) -> None:
    """Be a node for a while."""
    report = Report()
    loaded = load(life.config, {})
    async with open_node(loaded, Metrics(), read_only=False) as node:
        await _write(node, life)
        items = await node.publisher.drain(life.drain_s)
        for item in items:
            path = item.path.removeprefix(f"{SHOW}/")
            report.queue.append({"path": path, "state": item.state, "error": item.error})
        if life.report is None:
            os.kill(os.getpid(), signal.SIGKILL)
    if life.second is not None:
        async with open_node(load(life.second, {}), Metrics(), read_only=False) as node:
            await _read_tree(node, SHOW, report.read)
    if life.report is not None:
        text = json.dumps(asdict(report))
        await trio.to_thread.run_sync(Path(life.report).write_text, text)


async def _write(node: Node, life: Life) -> None:
    if not life.steps:
        return
    accounts = told.read(Path(life.told))
    unfinished = accounts.unfinished()
    hand, notes = VfsHand(node.filesystem), Told(Path(life.told))
    for path in ("passes", "passes/beauty", "render", "config", "safe"):
        with suppress(OSError):  # it is there, or the disk is full
            await hand.mkdir(path)
    async with trio.open_nursery() as nursery:
        for index in range(WRITERS):
            writer = Writer(
                hand,
                notes,
                accounts,
                random.Random(f"{life.seed}/{life.name}/{index}"),
                f"{life.name}-{index}",
                unfinished[index::WRITERS],
            )
            nursery.start_soon(lambda writer=writer: writer.work(life.steps, only=life.habit))


async def _read_tree(node: Node, directory: str, read: dict[str, str]) -> None:
    """Read every file below *directory* through *node*."""
    filesystem = node.filesystem
    snapshot = await filesystem.snapshot(directory)
    for index in range(len(snapshot)):
        await snapshot.prepare(index)
        entry = snapshot.entry(index)
        if entry is None:
            continue
        name, attributes = entry
        path = f"{directory}/{name}"
        if attributes.kind is Kind.DIRECTORY:
            await _read_tree(node, path, read)
            continue
        try:
            found = await filesystem.attributes(path)
            handle = await filesystem.open(path, os.O_RDONLY, identity=found.identity)
            try:
                content = await handle.read(0, found.size_bytes)
            finally:
                await handle.close()
            read[path.removeprefix(f"{SHOW}/")] = digest_bytes(bytes(content))
        except Exception as error:  # noqa: BLE001 - all of it is for the judge
            read[path.removeprefix(f"{SHOW}/")] = f"error: {error}"


def main() -> None:
    """Fork a life for each line of the input; answer its pid, and how it ended."""
    _import_all()
    print(json.dumps({"ready": True}), flush=True)
    for line in sys.stdin:
        life = Life(**json.loads(line))
        reader, writer = os.pipe()
        child = os.fork()
        if child == 0:
            os.close(writer)
            _child(life, reader)
        os.close(reader)
        print(json.dumps({"pid": child}), flush=True)
        sys.stdin.readline()  # go
        with suppress(BrokenPipeError):  # it was killed before it began
            os.write(writer, b"g")
        os.close(writer)
        _, status = os.waitpid(child, 0)
        print(json.dumps({"exit": os.waitstatus_to_exitcode(status)}), flush=True)


def _import_all() -> None:
    """Import what a node imports late, so that no life has to."""
    import aiobotocore.session  # noqa: F401
    import aiohttp  # noqa: F401
    import gcsfs  # noqa: F401
    import obstore.store  # noqa: F401
    import s3fs  # noqa: F401

    import shotfs.tiers.cloud.gcs
    import shotfs.tiers.cloud.local
    import shotfs.tiers.cloud.s3  # noqa: F401


def _child(life: Life, reader: int) -> None:
    code = 1
    try:
        os.read(reader, 1)
        log = Path(life.config).with_name("log")
        logging.basicConfig(filename=log, level=logging.INFO, force=True)
        trio.run(live, life)
        code = 0
    except BaseException:  # noqa: BLE001 - all of it goes to whoever asked
        sys.stderr.write(traceback.format_exc())
        sys.stderr.flush()
    finally:
        os._exit(code)  # nothing of the parent's may run here


if __name__ == "__main__":
    main()
