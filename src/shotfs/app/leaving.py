"""Leaving: how a service ends, and what it says of what remains.

One course for every reason (SIGTERM, a cloud's notice, `shotfs drain --stop`, unmount): refuse new
work, let open writers finish, publish within the deadline, copy what is left to the emergency
place, end. A later reason can only shorten it.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence

import trio

from shotfs.app.node import Node
from shotfs.observe.notify import STOPPING, notify
from shotfs.publish import QueueItem

log = logging.getLogger(__name__)

OUTPUTS_REMAIN = 8
"""Exit code: outputs are on this node only."""

OUTPUTS_COPIED = 9
"""Exit code: outputs are not in the origin; all of them have a copy in the emergency place."""

ANSWER_S = 0.5
"""How long the socket stays after a drain that somebody asked for, so that he gets his answer."""

LOGGED_MAX = 100
"""So many of the outputs that remain are logged one by one."""


def code_of(remains: Iterable[QueueItem]) -> int:
    """Return the exit code that says what *remains*."""
    copied = [item.emergency is not None for item in remains]
    if not copied:
        return 0
    return OUTPUTS_COPIED if all(copied) else OUTPUTS_REMAIN


class Leaving:
    """Ends the service of a node, once.

    Args:
        node: whose service it is.
        end: called once, when the service shall end.

    Attributes:
        state: serving, draining or stopping.
        reason: why it ends; "" while it does not.
    """

    def __init__(self, node: Node, end: Callable[[], None]) -> None:
        self.state = "serving"
        self.reason = ""
        self._node = node
        self._end = end
        self._begun = trio.Event()
        self._drained = trio.Event()
        self._drain_s: float | None = None
        self._remains: Sequence[QueueItem] | None = None
        self._asked = 0

    @property
    def exit_code(self) -> int:
        """What the process should end with."""
        if self._drain_s is None:
            return 0
        remains = self._node.publisher.queue() if self._remains is None else self._remains
        return code_of(remains)

    def begin(self, reason: str, drain_s: float | None) -> None:
        """Begin to end; a service that ends already only hurries.

        Args:
            reason: for the log, and for those who are refused.
            drain_s: how long outputs may take; None: they stay in the spool.
        """
        if self._begun.is_set():
            if drain_s is not None and self.state == "draining":
                log.warning("the service drains already, now for %s: %g s", reason, drain_s)
                self._node.publisher.hurry(drain_s)
            return
        log.warning("the service ends: %s", reason, extra={"drain_s": drain_s})
        self.reason, self._drain_s = reason, drain_s
        self.state = "stopping" if drain_s is None else "draining"
        self._begun.set()

    async def drain(self, deadline_s: float, *, emergency: bool, stop: bool) -> Sequence[QueueItem]:
        """Drain because somebody asked; return what remains. With *stop* the service ends then."""
        if not stop:
            return await self._node.publisher.drain(deadline_s, emergency=emergency)
        self._asked += 1
        self.begin("shotfs drain --stop", deadline_s)
        await self._drained.wait()
        return list(self._remains or ())

    async def run(self) -> None:
        """Wait for `begin`, drain if asked to, then end the service."""
        await self._begun.wait()
        notify(STOPPING)
        if self._drain_s is not None:
            await self._drain(self._drain_s)
        self._drained.set()
        if self._asked:
            await trio.sleep(ANSWER_S)
        self.state = "stopping"
        self._end()

    async def _drain(self, deadline_s: float) -> None:
        node = self._node
        node.metrics.draining.set(1)
        node.filesystem.gate.close(self.reason)
        node.cache.uploads.hurry()
        remains = await node.publisher.drain(deadline_s, emergency=True, writers=True)
        self._remains = remains
        for item in remains[:LOGGED_MAX]:
            log.warning(
                "not in the origin: %s",
                item.path or f"serial {item.serial}",
                extra={
                    "state": item.state.value,
                    "bytes": item.size_bytes,
                    "error": item.error,
                    "emergency": item.emergency,
                },
            )
        log.warning(
            "drained",
            extra={
                "remain": len(remains),
                "bytes": sum(item.size_bytes for item in remains),
                "copied": sum(item.emergency is not None for item in remains),
                "exit_code": self.exit_code,
            },
        )
