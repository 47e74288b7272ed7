"""Outputs: what the control socket can ask of the spool and its publisher."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict
from typing import Any

from shotfs.app.node import Node
from shotfs.control.publish_service import Outputs
from shotfs.errors import PathNotFound
from shotfs.publish import SpoolEntry
from shotfs.publish.table import unpublished


class NodePublishing:
    """Implements `control.publish_service.PublishService` on a `Node`."""

    def __init__(self, node: Node) -> None:
        self._node = node

    async def retry(self, which: Outputs | None) -> Mapping[str, Any]:
        """Try outputs again now that wait for their next attempt."""
        publisher = self._node.publisher
        retried, left = 0, []
        for entry in self.named(which):
            why_not = publisher.retry(entry)
            if why_not is None:
                retried += 1
            elif which is not None:
                left.append(asdict(publisher.item(entry)) | {"why_not": why_not})
        return {"retried": retried, "items": left}

    def named(self, which: Outputs | None) -> list[SpoolEntry]:
        """Return the outputs that *which* means, oldest first; None: all that are unpublished.

        Raises:
            PathNotFound: there is no such output in the spool.
        """
        entries = sorted(self._unpublished(), key=lambda entry: entry.serial)
        if which is None:
            return entries
        if which.serial is not None:
            found = [entry for entry in entries if entry.serial == which.serial]
            what = f"output {which.serial}"
        else:
            path = which.path or ""
            found = [entry for entry in entries if _at_or_below(entry.path, path)]
            what = path
        if not found:
            raise PathNotFound(
                f"{what}: this node has no output of that name that is not in the origin",
                fix="shotfs publish queue shows those that it has",
            )
        return found

    def _unpublished(self) -> Iterator[SpoolEntry]:
        spool = self._node.spool
        yield from (entry for entry in spool.entries() if unpublished(entry))
        yield from spool.aside()


def _at_or_below(path: str, directory: str) -> bool:
    return not directory or path == directory or path.startswith(f"{directory}/")
