"""Hooks: commands of the administrator that hear what becomes of outputs.

Told from within the spool, under its locks, so telling only queues. The commands run two at a time,
as the service's user, without its environment (which may hold credentials), each in a process group
of its own that is killed when its time is over. What they do never changes what becomes of outputs.
"""

from __future__ import annotations

import json
import logging
import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

import trio

from shotfs.config import HookSettings
from shotfs.observe.metrics import Metrics
from shotfs.publish import SpoolEntry
from shotfs.publish.happenings import Happening
from shotfs.vfs.conflicts import wanted_path

log = logging.getLogger(__name__)

WAITING_MAX = 1_000
"""Events that wait for their command; what comes on top is dropped. One takes about 2 KiB."""

RUNNING_MAX = 2
"""Commands at the same time: a node renders, and a mail gateway may be slow."""

SAID_BYTES_MAX = 2_000
"""How much of what a command says on standard error is logged."""

ENVIRONMENT = ("PATH", "HOME", "USER", "LANG", "LC_ALL", "TZ", "TMPDIR")
"""What of the service's environment the commands get."""


class Hooks:
    """Runs the commands of `[hooks]`.

    Args:
        settings: which, and for how long.
        node: this node's name, for the events.
        metrics: counts how they end.
    """

    def __init__(self, settings: HookSettings, node: str, metrics: Metrics) -> None:
        self._commands: Mapping[Happening, Sequence[str]] = {
            Happening.CONFLICT: settings.on_conflict,
            Happening.FAILED: settings.on_failed,
            Happening.PUBLISHED: settings.on_published,
        }
        self._timeout_s = settings.timeout_s
        self._node = node
        self._metrics = metrics
        self._queue, self._waiting = trio.open_memory_channel[tuple[Happening, bytes]](WAITING_MAX)

    def tell(self, happening: Happening, entry: SpoolEntry) -> None:
        """Have the command for *happening* hear of *entry*, if there is one; `publish.Tell`."""
        if not self._commands[happening]:
            return
        event = json.dumps(event_of(happening, entry, self._node)).encode("ascii")
        try:
            self._queue.send_nowait((happening, event))
        except trio.WouldBlock:
            self._metrics.hooks[happening, "dropped"].inc()

    async def run(self) -> None:
        """Run commands until cancelled; those that run then are killed."""
        async with trio.open_nursery() as nursery:
            for _ in range(RUNNING_MAX):
                nursery.start_soon(self._work)

    async def _work(self) -> None:
        while True:
            happening, event = await self._waiting.receive()
            outcome, said = await self._run(happening, event)
            self._metrics.hooks[happening, outcome].inc()
            if outcome != "ok":
                log.warning(
                    "hook on_%s: %s: %s: %s",
                    happening,
                    self._commands[happening][0],
                    outcome,
                    said,
                )

    async def _run(self, happening: Happening, event: bytes) -> tuple[str, str]:
        """Run one command; return how it ended, and what is to be said of that."""
        try:
            process = await trio.lowlevel.open_process(
                self._commands[happening],
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                start_new_session=True,
                cwd="/",
                env=_environment(happening),
            )
        except OSError as error:
            return "failed", str(error)
        said = bytearray()
        timed_out = False
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(_give, process, event)
                nursery.start_soon(_listen, process, said)
                with trio.move_on_after(self._timeout_s) as scope:
                    await process.wait()
                timed_out = scope.cancelled_caught
                if timed_out:
                    _kill(process)
                # Something that it left running may hold its standard error open for ever.
                nursery.cancel_scope.cancel()
        finally:
            _kill(process)
            with trio.CancelScope(shield=True):
                await process.wait()
                for stream in (process.stdin, process.stderr):
                    if stream is not None:
                        await stream.aclose()
        text = said.decode("utf-8", "backslashreplace").strip()
        if timed_out:
            return "timeout", f"killed after {self._timeout_s:g} s. {text}"
        if process.returncode:
            return "failed", f"exit code {process.returncode}. {text}"
        return "ok", text


def event_of(happening: Happening, entry: SpoolEntry, node: str) -> dict[str, Any]:
    """Return what a command is told of *entry*."""
    terms, rival = entry.terms, entry.rival
    theirs: dict[str, Any] | None = None
    if rival is not None and rival.revision is not None:
        theirs = {
            "size_bytes": rival.revision.size_bytes,
            "version": rival.revision.version,
            "digest": rival.revision.checksums.xxh128,
            "recorded": dict(rival.recorded),
        }
    return {
        "event": happening.value,
        "at": datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z"),
        "node": node,
        "path": wanted_path(entry),
        "serial": entry.serial,
        "state": "partial" if entry.aside else entry.state.value,
        "size_bytes": entry.size_bytes,
        "digest": entry.digest,
        "uid": entry.uid,
        "job": None if terms is None else terms.job,
        "template": None if terms is None else terms.template,
        "origin": None if terms is None else terms.origin,
        "key": None if terms is None else terms.key,
        "version": None if entry.revision is None else entry.revision.version,
        "error": entry.error,
        "recorded": {} if terms is None else dict(terms.metadata),
        "theirs": theirs,
    }


def _environment(happening: Happening) -> dict[str, str]:
    kept = {name: os.environ[name] for name in ENVIRONMENT if name in os.environ}
    return {**kept, "SHOTFS_EVENT": happening.value}


async def _give(process: trio.Process, event: bytes) -> None:
    """Write the event; a command that does not read it is none of our business."""
    assert process.stdin is not None
    with suppress(trio.BrokenResourceError, trio.ClosedResourceError):
        await process.stdin.send_all(event)
        await process.stdin.aclose()


async def _listen(process: trio.Process, said: bytearray) -> None:
    """Keep the beginning of what it says, and take the rest, so that it never waits for us."""
    assert process.stderr is not None
    with suppress(trio.BrokenResourceError, trio.ClosedResourceError):
        async for block in process.stderr:
            said += block[: SAID_BYTES_MAX - len(said)]


def _kill(process: trio.Process) -> None:
    """Kill it with all that it started. Once it has ended its number may be somebody else's."""
    if process.returncode is None:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
