"""Finding: what prewarm asks of the file system, and what it is told. Protocols and values.

The file system (`vfs`) lies above this layer, so it comes as a `Finder` to whoever needs it.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Protocol

from shotfs.pathspec import Resolution
from shotfs.tiers.base import Revision, Tier


@dataclass(frozen=True, slots=True)
class Found:
    """A published file.

    Attributes:
        path: mount-relative.
        revision: what its origin has of it now, or what is pinned.
        tier: where its bytes are read, nearest first.
        resolution: what the specification says of it: template, fields, policy.
    """

    path: str
    revision: Revision
    tier: Tier
    resolution: Resolution


class Finder(Protocol):
    """Says what lies under a path of the mount. Event loop only."""

    def resolve(self, path: str) -> Resolution | None:
        """Return what the specification says of the file *path*, from memory."""
        ...

    async def find(self, path: str) -> Found | None:
        """Return the published file *path*; None: there is none, it is a directory or an output.

        Raises:
            TierError: its origin had to be asked and could not answer.
        """
        ...

    def below(self, path: str) -> AbstractAsyncContextManager[AsyncIterator[Found]]:
        """Iterate over *path*, if it is a published file, or all those below it.

        Raises:
            PathNotFound: there is nothing.
            TierError: an origin had to be asked and could not answer.
        """
        ...

    async def names(self, directory: str) -> list[str]:
        """Return the names in *directory*, sorted; [] where there is no such directory.

        Raises:
            TierError: its origin had to be asked and could not answer.
        """
        ...
