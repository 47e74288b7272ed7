"""Finding: what prewarm asks of the file system, and what it is told. Protocols and values.

The file system (`vfs`) lies above this layer, so it comes as a `Finder` to whoever needs it.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from shotfs.pathspec import Resolution
from shotfs.tiers.base import Revision, Tier
from shotfs.tiers.columns import RevisionColumns

Visible = Callable[[str], bool]
"""Whether who asks may see what lies directly in a directory (mount-relative), and read it."""


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


@dataclass(frozen=True, slots=True)
class KnownFiles:
    """Published files of one template that the catalog knows, as columns.

    Attributes:
        first: one of them, for what is the same of all: template, policy, owner, mode; its
            modification time is not told.
        places: where they are in what was asked for, ascending.
        revisions: of each of them.
    """

    first: Found
    places: Sequence[int]
    revisions: RevisionColumns


class Absence(StrEnum):
    """Why a path is no published file."""

    OUTSIDE = "outside"
    """No template can produce it, or it lies in no show of this mount."""
    MISSING = "missing"
    """Its origin has no such object."""
    RETRACTED = "retracted"
    """Its version was taken back."""
    DIRECTORY = "directory"
    OUTPUT = "output"
    """This node wrote it: it is here, and not yet in its origin."""
    FORBIDDEN = "forbidden"
    """Who asks may not see it."""
    FAILED = "failed"
    """Its origin had to be asked and could not answer."""


@dataclass(frozen=True, slots=True)
class Absent:
    """A path that is no published file.

    Attributes:
        path: mount-relative, as it was asked for.
        absence: why.
        reason: the same as a sentence for people.
    """

    path: str
    absence: Absence
    reason: str


class Finder(Protocol):
    """Says what lies under a path of the mount. Event loop only."""

    def resolve(self, path: str) -> Resolution | None:
        """Return what the specification says of the file *path*, from memory."""
        ...

    async def find(self, path: str) -> Found | None:
        """Return the published file *path*; None: there is none, it is a directory or an output.

        Version aliases in *path* are followed; what is returned has the path without them.

        Raises:
            TierError: its origin had to be asked and could not answer.
        """
        ...

    async def find_again(self, found: Found) -> Found | None:
        """Return what lies where *found* did, whose revision its origin does not have any more.

        The origin is asked, whatever is remembered, as it is for who opens the file.

        Returns:
            Another revision, or *found* itself if no other may be read there (a sealed version);
            None: there is nothing.

        Raises:
            TierError: its origin could not answer.
        """
        ...

    async def find_many(
        self, paths: Sequence[str], visible: Visible | None = None
    ) -> list[Found | Absent]:
        """Return what each of *paths* is, in their order; raises nothing of single paths.

        Asks as seldom as it can: the catalog once for all of them, an origin for a listing where
        several lie in one directory.

        Args:
            paths: a few thousand at most.
            visible: what who asks may see; None: everything.
        """
        ...

    async def known(self, paths: Sequence[str], visible: Visible | None = None) -> list[KnownFiles]:
        """Return what of *paths* is plainly a file that the catalog knows; asks no origin.

        For checks of a million: no object for each. Of the others says `find_many` what they are,
        also that they are known: only what is simple comes from here.

        Args:
            paths: as manifests name them; a thousand or so.
            visible: as for `find_many`.
        """
        ...

    def below(
        self, path: str, visible: Visible | None = None
    ) -> AbstractAsyncContextManager[AsyncIterator[Found]]:
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
