"""Who asks for content, for `shotfs why`, budgets and limits. Values only."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Asker:
    """A process that opens, or a command that prewarms.

    Attributes:
        pid: thread group (process) id; 0 if it is not a process of this machine.
        name: its command, as the kernel tells it (`/proc/PID/comm`); "" if unknown.
        job: the render job that it belongs to; "" if unknown. Egress budgets count by it.
    """

    pid: int = 0
    name: str = ""
    job: str = ""


NOBODY = Asker()
"""The asker where nobody is known: requests of our own."""
