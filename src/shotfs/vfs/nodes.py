"""Nodes: what lies under a path right now, from the spool, the specification and the origins.

The one place that decides which of them wins: the spool first (what this node wrote is seen at
once), then a directory, then a published file. Paths that no template can produce are missing
without a question to anybody.
"""

from __future__ import annotations

import logging
import os
import time
from dataclasses import dataclass

import trio

from shotfs.errors import ShotfsError, TierUnavailable
from shotfs.namespace import Entry, Namespace, ShowSet
from shotfs.pathspec import DirectoryMatch, Flow, Immutable, Resolution
from shotfs.publish import Kind as EntryKind
from shotfs.publish import Spool, SpoolEntry
from shotfs.tiers.base import Revision
from shotfs.vfs import paths
from shotfs.vfs.attributes import (
    Attributes,
    Kind,
    directory_identity,
    revision_identity,
    spool_identity,
)

log = logging.getLogger(__name__)

SPOOL_TTL_S = 1.0
"""How long the kernel keeps attributes of what is in the spool: sealing changes its mode."""

IMPOSSIBLE_TTL_S = 3600.0
"""How long the kernel may remember that no template can produce a path."""


@dataclass(frozen=True, slots=True)
class Published:
    """A file that its origin has."""

    path: str
    entry: Entry
    resolution: Resolution

    @property
    def immutable(self) -> bool:
        """Whether its bytes may never change."""
        return self.resolution.template.policy.immutable is not Immutable.NEVER


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
    """

    path: str
    match: DirectoryMatch | None
    made: SpoolEntry | None = None


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


Node = Published | Spooled | Directory | Missing


class NodeFinder:
    """Finds nodes and says what stat shows of them.

    Args:
        shows: the specifications.
        namespace: what the origins have.
        spool: what this node wrote.
        uid: owner of what no policy gives to somebody else: the service's user.
        gid: likewise.
        attribute_ttl_s_max: the longest that the kernel is told to keep anything, seconds.
        unseen_wait_s: how long an origin may take to say whether an output exists, in a directory
            that was made here, seconds.
    """

    def __init__(
        self,
        shows: ShowSet,
        namespace: Namespace,
        spool: Spool,
        *,
        uid: int,
        gid: int,
        attribute_ttl_s_max: float,
        unseen_wait_s: float,
    ) -> None:
        self.shows = shows
        self.namespace = namespace
        self._spool = spool
        self.uid = uid
        self.gid = gid
        self._ttl_s_max = attribute_ttl_s_max
        self._unseen_wait_s = unseen_wait_s
        self._started_ns = time.time_ns()

    # --- finding ---------------------------------------------------------------------------------

    def resolve(self, path: str) -> Resolution | None:
        """Return what the specification says of the file *path*."""
        place = self.shows.split(path)
        return place[0].spec.resolve(place[1]) if place is not None else None

    def match(self, path: str) -> DirectoryMatch | None:
        """Return what the specification says of the directory *path*."""
        place = self.shows.split(path)
        return place[0].spec.directory(place[1]) if place is not None else None

    async def find(self, path: str) -> Node:
        """Return what lies under *path*.

        Raises:
            TierError: an origin had to be asked and could not answer.
        """
        if not path:
            return Directory("", None)
        place = self.shows.split(path)
        if place is None:
            return Missing(path, possible=False, ttl_s=IMPOSSIBLE_TTL_S)
        show, rest = place
        local = self._spool.get(path)
        if local is not None and local.kind is not EntryKind.DIRECTORY:
            return Spooled(path, local)
        match = show.spec.directory(rest)
        if local is not None or (match is not None and self._exists_here(path, match)):
            return Directory(path, match, local)
        resolution = show.spec.resolve(rest)
        if resolution is not None and resolution.scratch:
            resolution = None if match is not None else resolution
        if not self._may_be_made_unseen(path, resolution, match):
            return await self._find_in_origins(path, rest, resolution, match)
        try:
            with trio.move_on_after(self._unseen_wait_s):
                return await self._find_in_origins(path, rest, resolution, match)
        except TierUnavailable as exc:
            log.info("taken for missing: %s", exc, extra={"path": path})
        return Missing(path, possible=True, ttl_s=0.0)

    def _may_be_made_unseen(
        self, path: str, resolution: Resolution | None, match: DirectoryMatch | None
    ) -> bool:
        """Whether *path* counts as missing if its origin cannot be asked.

        Renders go on while an origin is gone, in directories that were made on this node: what
        lies there is most likely ours, and known. If somebody else did publish *path*, the
        create-only precondition decides when the origin is back. Anywhere else, and of mutable
        files, the error stays: "no such file" would be a wrong answer.
        """
        writable = match is not None and match.writable
        if resolution is not None:
            policy = resolution.template.policy
            if policy.immutable is Immutable.NEVER:
                return False
            writable = writable or policy.flow is not Flow.IN
        made = self._spool.get(paths.parent(path))
        return writable and made is not None and made.kind is EntryKind.DIRECTORY

    def hides(self, path: str, revision: Revision) -> bool:
        """Whether *revision* is what a renamed file left under its old name, and will go soon."""
        return self._spool.hides(path, revision)

    def _exists_here(self, path: str, match: DirectoryMatch) -> bool:
        return match.implied or self._spool.has_children(path)

    async def _find_in_origins(
        self,
        path: str,
        rest: str,
        resolution: Resolution | None,
        match: DirectoryMatch | None,
    ) -> Node:
        if resolution is None and match is None:
            return Missing(path, possible=False, ttl_s=IMPOSSIBLE_TTL_S)
        if resolution is not None and resolution.scratch:
            return Missing(path, possible=True, ttl_s=SPOOL_TTL_S)
        if match is None:
            assert resolution is not None
            entry = await self.namespace.find(path, resolution)
        elif resolution is None:
            if await self.namespace.has_directory(path, rest, match):
                return Directory(path, match)
            entry = None
        else:
            found, entry = await self._find_both(path, rest, resolution, match)
            if found:
                # A key that is both an object and a prefix is shown as a directory.
                return Directory(path, match)
        if entry is not None and resolution is not None:
            if self.hides(path, entry.revision):
                return Missing(path, possible=True, ttl_s=0.0)
            return Published(path, entry, resolution)
        ttls_s = [match.negative_ttl_s] if match is not None else []
        if resolution is not None:
            ttls_s.append(resolution.template.policy.negative_ttl_s)
        ttl_s = self.namespace.missing_for_s(path, min(ttls_s))
        return Missing(path, possible=True, ttl_s=ttl_s)

    async def _find_both(
        self, path: str, rest: str, resolution: Resolution, match: DirectoryMatch
    ) -> tuple[bool, Entry | None]:
        """Ask whether *path* is a directory and what file it is, at the same time.

        What is known is enough: otherwise no cached file could be opened without its origin.
        """
        if self.namespace.knows_directory(path):
            return True, None
        entry = await self.namespace.known(path, resolution.template.policy)
        if entry is not None:
            return False, entry
        if await self.namespace.must_guess(match):
            # A web server without index pages. Most files have an extension, few directories do.
            entry = await self.namespace.find(path, resolution)
            return entry is None and "." not in path.rpartition("/")[2], entry
        found = False
        problems: list[ShotfsError] = []

        async def probe() -> None:
            nonlocal found
            try:
                found = await self.namespace.has_directory(path, rest, match)
            except ShotfsError as exc:
                problems.append(exc)
            if found:
                # What file it is besides does not matter, nor whether anybody can say.
                nursery.cancel_scope.cancel()

        async def ask() -> None:
            nonlocal entry
            try:
                entry = await self.namespace.find(path, resolution)
            except ShotfsError as exc:
                problems.append(exc)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(probe)
            nursery.start_soon(ask)
        if found:
            # Else the file would be what is known of the path, and the next answer another one.
            self.namespace.forget_file(path)
        elif problems:
            raise problems[0]
        return found, entry

    # --- attributes ------------------------------------------------------------------------------

    def attributes(self, node: Published | Spooled | Directory) -> Attributes:
        """Return what stat shows of *node*."""
        if isinstance(node, Published):
            return self.published_attributes(node)
        if isinstance(node, Spooled):
            return self.spooled_attributes(node.entry)
        return self.directory_attributes(node)

    def published_attributes(self, node: Published) -> Attributes:
        """Return what stat shows of a published file: owner and mode come from the policy."""
        policy = node.resolution.template.policy
        entry = node.entry
        revision = entry.revision
        read_only = policy.immutable is not Immutable.NEVER or policy.flow is Flow.IN
        return Attributes(
            identity=(
                revision_identity(node.path, revision) if entry.identity is None else entry.identity
            ),
            kind=Kind.FILE,
            mode=policy.mode & ~0o222 if read_only else policy.mode,
            uid=self.uid if policy.uid is None else policy.uid,
            gid=self.gid if policy.gid is None else policy.gid,
            size_bytes=revision.size_bytes,
            mtime_ns=revision.mtime_ns,
            ctime_ns=revision.mtime_ns,
            ttl_s=self.namespace.fresh_for_s(entry, policy, max_s=self._ttl_s_max),
        )

    def spooled_attributes(self, entry: SpoolEntry) -> Attributes:
        """Return what stat shows of a file or symbolic link in the spool."""
        return Attributes(
            identity=spool_identity(self._spool.identity, entry.serial),
            kind=Kind.SYMLINK if entry.kind is EntryKind.SYMLINK else Kind.FILE,
            mode=entry.mode,
            uid=entry.uid,
            gid=entry.gid,
            size_bytes=entry.size_bytes,
            mtime_ns=entry.mtime_ns,
            ctime_ns=entry.ctime_ns,
            ttl_s=SPOOL_TTL_S,
        )

    def directory_attributes(self, node: Directory) -> Attributes:
        """Return what stat shows of a directory. Object stores keep no times of directories."""
        match, made = node.match, node.made
        if made is not None:
            mode, uid, gid, mtime_ns = made.mode, made.uid, made.gid, made.mtime_ns
            ttl_s = SPOOL_TTL_S
        elif match is None:
            mode, uid, gid, mtime_ns = 0o755, self.uid, self.gid, self._started_ns
            ttl_s = self._ttl_s_max
        else:
            mode = match.mode if match.writable else match.mode & ~0o222
            uid = self.uid if match.uid is None else match.uid
            gid = self.gid if match.gid is None else match.gid
            mtime_ns = self._started_ns
            ttl_s = self._ttl_s_max if match.implied else min(match.ttl_s, self._ttl_s_max)
        return Attributes(
            identity=directory_identity(node.path),
            kind=Kind.DIRECTORY,
            mode=mode,
            uid=uid,
            gid=gid,
            size_bytes=0,
            mtime_ns=mtime_ns,
            ctime_ns=mtime_ns,
            ttl_s=ttl_s,
        )


def service_user() -> tuple[int, int]:
    """Return uid and gid of this process."""
    return os.getuid(), os.getgid()
