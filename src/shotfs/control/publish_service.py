"""Outputs as the control socket sees them; see `control.service`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol


@dataclass(frozen=True, slots=True)
class Outputs:
    """Which outputs a request means; at least one of them is said.

    Attributes:
        serial: the number of one output in this node's spool; None: not said by number.
        path: relative to the mount: the outputs of that name, and all below a directory; None:
            not said by path.
    """

    serial: int | None = None
    path: str | None = None


class PublishService(Protocol):
    """What can be asked of outputs on their way to the origin. Paths are relative to the mount."""

    async def retry(self, which: Outputs | None) -> Mapping[str, Any]:
        """Try outputs again now that wait for their next attempt; None: all of them.

        Returns:
            ``retried`` (how many), ``items`` (those that were named and are not tried, as
            `Service.queue` has them), each with ``why_not``.

        Raises:
            PathNotFound: there is no such output in the spool.
        """
        ...
