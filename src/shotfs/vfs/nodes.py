"""Nodes: what can lie under a path of the mount (see `finder` for what does)."""

from __future__ import annotations

from dataclasses import dataclass

from shotfs.namespace import Entry
from shotfs.namespace.aliases import Pointer
from shotfs.namespace.versions import Seal
from shotfs.pathspec import AliasMatch, DirectoryMatch, Immutable, Resolution
from shotfs.publish import SpoolEntry


@dataclass(frozen=True, slots=True)
class Published:
    """A file that its origin has.

    Attributes:
        path: mount-relative.
        entry: its revision; in a sealed version the one that the manifest names.
        resolution: what the specification says.
        sealed: it is in a version that was published as a whole.
        pinned: a pin file says that it is this revision.
    """

    path: str
    entry: Entry
    resolution: Resolution
    sealed: bool = False
    pinned: bool = False

    @property
    def immutable(self) -> bool:
        """Whether its bytes may never change."""
        on_close = self.resolution.template.policy.immutable is Immutable.ON_CLOSE
        return on_close or self.sealed


@dataclass(frozen=True, slots=True)
class Spooled:
    """A file or symbolic link that this node made and the origin does not have yet."""

    path: str
    entry: SpoolEntry


@dataclass(frozen=True, slots=True)
class Directory:
    """A directory.

    Attributes:
        path: mount-relative.
        match: what the specification says; None for the mount's root.
        made: its entry in the spool, if it was made here; None otherwise.
        seal: of the published version that it is, or is in; None otherwise.
    """

    path: str
    match: DirectoryMatch | None
    made: SpoolEntry | None = None
    seal: Seal | None = None


@dataclass(frozen=True, slots=True)
class Alias:
    """A version alias that points somewhere: a symbolic link that nobody can write."""

    path: str
    pointer: Pointer
    match: AliasMatch


@dataclass(frozen=True, slots=True)
class Missing:
    """Nothing.

    Attributes:
        path: mount-relative.
        possible: whether some template can produce the path as a file or directory.
        ttl_s: how long the kernel may remember it, seconds.
    """

    path: str
    possible: bool
    ttl_s: float


Node = Published | Spooled | Directory | Alias | Missing
