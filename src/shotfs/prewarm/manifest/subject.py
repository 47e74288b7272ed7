"""Subject: which work a manifest, or a process, is about. Values only."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Subject:
    """A piece of work, as the production names it; "" is: not said, or all of them.

    Attributes:
        show: directory below the mount.
        shot: like ``xy_1_100_030_00`` or ``030``; what the specification calls a shot there.
        task: like ``lighting``; the render layer, where a farm renders those one by one.
        frame: its number as text: ``1001``, or a range (``1001-1010``) for a job of several.
        view: like ``left``.
        job: the render manager's own name for the job; not part of what is learned.
    """

    show: str = ""
    shot: str = ""
    task: str = ""
    frame: str = ""
    view: str = ""
    job: str = ""
