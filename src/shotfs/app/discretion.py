"""Discretion: what a user of the mount is told of other users' processes (S12).

A report names processes, commands and jobs. Root, the service's user and the admin group hear all
of it; anybody else only of processes that are his own.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import Any

from shotfs.control.access import Peer

SOMEBODY_ELSE = {"pid": 0, "name": "another user", "job": ""}
"""Stands for a process that is nobody's business."""

Owns = Callable[[Mapping[str, Any]], bool]
"""Whether a process, as reports have it, is of who asks."""


def owned_by(peer: Peer) -> Owns:
    """Return what tells whether a process belongs to *peer*."""

    def owns(asker: Mapping[str, Any]) -> bool:
        if not asker["pid"]:
            return False
        try:
            return os.stat(f"/proc/{asker['pid']}").st_uid == peer.uid
        except OSError:
            return False  # it has ended, or is hidden from us

    return owns


def masked(report: Any, owns: Owns) -> Any:
    """Return *report* with every process that *owns* does not accept made anonymous.

    A process is a mapping with exactly the keys of `cache.Asker`, wherever it is. The job that has
    used most of a budget (`cache.scheduling.EgressUse`) has no owner that is known: its name is
    left out, the numbers are for everybody.
    """
    if isinstance(report, Mapping):
        if report.keys() == SOMEBODY_ELSE.keys():
            return report if owns(report) or not any(report.values()) else dict(SOMEBODY_ELSE)
        told = {key: masked(value, owns) for key, value in report.items()}
        return told | {"job": ""} if "job_bytes" in told else told
    if isinstance(report, list | tuple):
        return [masked(one, owns) for one in report]
    return report


def own_part(report: Mapping[str, Any], owns: Owns) -> dict[str, Any]:
    """Return the part of a report of `app.top` that is about who asks; numbers are for everybody.

    He sees a path only where a process of his own has it open or waits for it.
    """
    return {
        **report,
        "waits": [one for one in report["waits"] if owns(one["asker"])],
        "streams": [
            masked(one, owns)
            for one in report["streams"]
            if any(owns(reader) for reader in one["readers"])
        ],
        "crawlers": [one for one in report["crawlers"] if owns(one["asker"])],
    }
