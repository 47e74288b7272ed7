"""Inhibitor: holds a shutdown of the machine up while outputs are not in the origin.

The lock is logind's, taken by systemd-inhibit: a child process that holds it as long as its
standard input is open. So it is released whatever becomes of us. Without systemd there is nothing
to hold.

References: systemd-inhibit(1), logind.conf(5) (InhibitDelayMaxSec).
"""

from __future__ import annotations

import logging
import subprocess
from collections.abc import Callable, Sequence

import trio

log = logging.getLogger(__name__)

LOOK_EVERY_S = 5.0
"""How often it is looked whether outputs wait; most are published sooner than that."""

END_S = 2.0
"""How long the child may take to end."""


def command_of(mode: str) -> list[str]:
    """Return the command that holds a lock of *mode* (delay, block) until its input ends."""
    return [
        "systemd-inhibit",
        "--what=shutdown",
        "--who=shotfs",
        "--why=outputs are not in the origin yet",
        f"--mode={mode}",
        "cat",
    ]


class Inhibitor:
    """Holds the lock while there is reason to.

    Args:
        command: what holds it, as long as its standard input is open.
        waiting: whether outputs are not in the origin.
        look_every_s: how often that is looked at.

    Attributes:
        held: whether the lock is held now, as far as the child says.
        problem: why it could not be taken the last time; None: no reason.
    """

    def __init__(
        self,
        command: Sequence[str],
        waiting: Callable[[], bool],
        *,
        look_every_s: float = LOOK_EVERY_S,
    ) -> None:
        self._command = list(command)
        self._waiting = waiting
        self._look_every_s = look_every_s
        self._child: trio.Process | None = None
        self.problem: str | None = None

    @property
    def held(self) -> bool:
        """Whether the child lives that holds the lock."""
        return self._child is not None and self._child.poll() is None

    async def run(self) -> None:
        """Take and release the lock until cancelled; then it is released."""
        try:
            while True:
                if self._waiting():
                    await self._hold()
                else:
                    await self._release()
                await trio.sleep(self._look_every_s)
        finally:
            with trio.CancelScope(shield=True):
                await self._release()

    async def _hold(self) -> None:
        if self.held:
            return
        if self._child is not None:
            self._note(f"{self._command[0]} ended with {self._child.returncode}")
            await self._release()
        try:
            self._child = await trio.lowlevel.open_process(
                self._command,
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
        except OSError as error:
            self._note(f"{self._command[0]}: {error.strerror}")

    async def _release(self) -> None:
        child, self._child = self._child, None
        if child is None:
            return
        assert child.stdin is not None
        await child.stdin.aclose()
        with trio.move_on_after(END_S) as scope:
            await child.wait()
        if scope.cancelled_caught:
            child.kill()
            await child.wait()

    def _note(self, problem: str) -> None:
        if problem != self.problem:
            log.warning("a shutdown is not held up: %s", problem)
        self.problem = problem
