"""The gate of new work: while a node leaves, no output begins, and what is open may be finished.

Asked where a file is created or opened for writing. Renames, removals, attributes and reads go on:
they are how writers finish.
"""

from __future__ import annotations

import logging

from shotfs.errors import NodeLeaves
from shotfs.observe.metrics import Metrics

log = logging.getLogger(__name__)

LOGGED_MAX = 20
"""So many refusals are logged one by one: a farm's job may try a thousand times a second."""


class WorkGate:
    """Open until somebody closes it.

    Args:
        metrics: counts what is refused.
    """

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self._reason: str | None = None
        self._refused = 0

    @property
    def closed(self) -> bool:
        """Whether new work is refused."""
        return self._reason is not None

    def close(self, reason: str) -> None:
        """Refuse new work from now on."""
        self._reason = reason
        self._refused = 0

    def check(self, path: str) -> None:
        """Return if *path* may be created, or opened for writing, as far as this node stays.

        Raises:
            NodeLeaves: it does not.
        """
        if self._reason is None:
            return
        self._metrics.refused_work.inc()
        self._refused += 1
        if self._refused <= LOGGED_MAX:
            last = "; others are not logged" if self._refused == LOGGED_MAX else ""
            log.warning("%s: refused: this node leaves (%s)%s", path, self._reason, last)
        raise NodeLeaves(
            f"{path}: this node takes no new work: {self._reason}",
            fix="run the job on another node; what is open here may be finished",
        )
