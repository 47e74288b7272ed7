"""Keeps what egress was counted in its file. Disk work goes to threads."""

from __future__ import annotations

import logging

import trio

from shotfs.cache.scheduling.egress import Egress

log = logging.getLogger(__name__)

KEEP_EVERY_S = 5.0
"""What a kill may forget: at 10 Gbit/s 6 GB, little beside the budgets that people set."""


class EgressKeeper:
    """Reads the file at start and writes it while it changes. One task.

    Args:
        egress: what is kept.
    """

    def __init__(self, egress: Egress) -> None:
        self._egress = egress
        self._told = False

    async def start(self) -> None:
        """Read what an earlier process counted."""
        await trio.to_thread.run_sync(self._egress.load)

    async def keep_for_ever(self) -> None:
        """Write every few seconds, if something was counted."""
        while True:
            await trio.sleep(KEEP_EVERY_S)
            await self.flush()

    async def flush(self) -> None:
        """Write now, if something was counted. A disk that fails is told of once."""
        if not self._egress.changed:
            return
        try:
            await trio.to_thread.run_sync(self._egress.write, self._egress.snapshot())
        except OSError as error:
            self._egress.changed = True
            if not self._told:
                log.warning("egress counts are not kept: %s", error)
            self._told = True
        else:
            self._told = False
