"""The finder: what lies under a path right now, from the spool, the specification and the origins.

The one place that decides which of them wins: the spool first (what this node wrote is seen at
once), then a directory, then a published file. Paths that no template can produce are missing
without a question to anybody.
"""

from __future__ import annotations

import logging
import time

import trio

from shotfs.errors import ShotfsError, TierUnavailable
from shotfs.namespace import Entry, ShowSet
from shotfs.namespace.aliases import Aliases
from shotfs.namespace.retractions import Retractions
from shotfs.namespace.versions import Seal, Versions
from shotfs.namespace.view import View
from shotfs.namespace.viewed import Lookup
from shotfs.pathspec import AliasMatch, DirectoryMatch, Flow, Immutable, Resolution
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
from shotfs.vfs.meanings import Meaning, Meanings
from shotfs.vfs.nodes import Alias, Directory, Missing, Node, Published, Spooled
from shotfs.vfs.pinned import PinnedAnswer, look_up
from shotfs.vfs.seals import Seals

log = logging.getLogger(__name__)

SPOOL_TTL_S = 1.0
"""How long the kernel keeps attributes of what is in the spool: sealing changes its mode."""

IMPOSSIBLE_TTL_S = 3600.0
"""How long the kernel may remember that no template can produce a path."""


class NodeFinder:
    """Finds nodes and says what stat shows of them.

    Args:
        shows: the specifications.
        namespace: what the origins have.
        aliases: where version aliases point.
        versions: which versions are published.
        retractions: which of them were taken back.
        spool: what this node wrote.
        view: what is pinned.
        uid: owner of what no policy gives to somebody else: the service's user.
        gid: likewise.
        attribute_ttl_s_max: the longest that the kernel is told to keep anything, seconds.
        unseen_wait_s: how long an origin may take to say whether an output exists, in a directory
            that was made here, seconds.
    """

    def __init__(
        self,
        shows: ShowSet,
        namespace: Lookup,
        aliases: Aliases,
        versions: Versions,
        retractions: Retractions,
        spool: Spool,
        *,
        view: View,
        uid: int,
        gid: int,
        attribute_ttl_s_max: float,
        unseen_wait_s: float,
    ) -> None:
        self.shows = shows
        self._meanings = Meanings(shows)
        self.namespace = namespace
        self.aliases = aliases
        self.versions = versions
        self.retractions = retractions
        self.seals = Seals(versions, retractions, attribute_ttl_s_max)
        self._spool = spool
        self.view = view
        self.uid = uid
        self.gid = gid
        self._ttl_s_max = attribute_ttl_s_max
        self._unseen_wait_s = unseen_wait_s
        self._started_ns = time.time_ns()

    # --- finding ---------------------------------------------------------------------------------

    def resolve(self, path: str) -> Resolution | None:
        """Return what the specification says of the file *path*."""
        meaning = self._meanings.of(path)
        return None if meaning is None else meaning.resolution

    def match(self, path: str) -> DirectoryMatch | None:
        """Return what the specification says of the directory *path*."""
        meaning = self._meanings.of(path)
        return None if meaning is None else meaning.match

    def alias(self, path: str) -> AliasMatch | None:
        """Return what the specification says of *path* as a version alias; None if it is none."""
        meaning = self._meanings.of(path)
        return None if meaning is None else meaning.alias

    async def seal_of(self, path: str, *, now: bool = False) -> tuple[Seal, str] | None:
        """Return the seal of the version that *path* is or lies in, and its path within it.

        None: it lies in none, or in one that nobody publishes or has published: as of its time to
        live ago, or *now*.

        Raises:
            TierError: the origin had to be asked and could not answer.
            RecordInvalid: what says whether it is published, or was taken back, is damaged.
        """
        meaning = self._meanings.of(path)
        if meaning is None:
            return None
        return await self.seals.of(meaning.rest, meaning.resolution, meaning.match, now=now)

    async def seal_to_read(self, path: str, match: DirectoryMatch) -> tuple[Seal, str] | None:
        """As `seal_of` the directory *path*, for who only reads.

        While its origin is away, an unknown version counts as open: nothing in it is lost by that,
        and what may be shown of it is decided file by file.
        """
        rest = path.partition("/")[2]
        return await self._seal_to_read(rest, None, match)

    async def _seal_to_read(
        self, rest: str, resolution: Resolution | None, match: DirectoryMatch | None
    ) -> tuple[Seal, str] | None:
        try:
            return await self.seals.of(rest, resolution, match)
        except TierUnavailable as exc:
            log.debug("taken for open: %s", exc.message, extra={"path": rest})
            return None

    def listed_directory(self, path: str, match: DirectoryMatch) -> Directory:
        """Return the directory that a listing shows, with its seal if that is in memory."""
        return Directory(path, match, None, self.seals.peek(path.partition("/")[2], match))

    async def find(self, path: str) -> Node:
        """Return what lies under *path*.

        Raises:
            TierError: an origin had to be asked and could not answer.
        """
        found = self._find_here(path)
        if not isinstance(found, Meaning):
            return found
        node = self._find_in_memory(path, found)
        if node is not None:
            return node
        alias = found.alias
        if alias is not None:
            return await self._find_alias(path, alias)
        rest, match, resolution = found.rest, found.match, _as_file(found)
        if not self._may_be_made_unseen(path, resolution, match):
            return await self._find_in_origins(path, rest, resolution, match)
        try:
            with trio.move_on_after(self._unseen_wait_s):
                return await self._find_in_origins(path, rest, resolution, match)
        except TierUnavailable as exc:
            log.info("taken for missing: %s", exc, extra={"path": path})
        return Missing(path, possible=True, ttl_s=0.0)

    def find_now(self, path: str) -> Node | None:
        """Return what `find` would, if nothing has to be awaited for it; else None."""
        found = self._find_here(path)
        return self._find_in_memory(path, found) if isinstance(found, Meaning) else found

    def _find_here(self, path: str) -> Node | Meaning:
        """Return what lies under *path* whatever the origins have; else what it means."""
        if not path:
            return Directory("", None)
        meaning = self._meanings.of(path)
        if meaning is None:
            return Missing(path, possible=False, ttl_s=IMPOSSIBLE_TTL_S)
        pinned = self.view.pinned(path)
        if pinned is not None:
            return self._pinned_node(path, look_up(pinned, meaning.show.spec))
        # What was written before the view began, and is not published yet, is no part of it.
        local = None if self.view.holds(path) else self._spool.get(path)
        if local is not None and local.kind is not EntryKind.DIRECTORY:
            return Spooled(path, local)
        if local is None and meaning.alias is not None:
            return meaning
        match = meaning.match
        exists = match is not None and self._exists_here(path, match)
        if local is not None or exists or (match and self.view.above_pins(path)):
            return Directory(path, match, local)
        return meaning

    def _find_in_memory(self, path: str, meaning: Meaning) -> Node | None:
        """Return what the origins have under *path*, if that is known and counts; else None."""
        if meaning.alias is not None:
            return None
        match, resolution = meaning.match, _as_file(meaning)
        unasked = _without_question(path, resolution, match)
        if unasked is not None:
            return unasked
        if not self.view.live or (match is not None and match.version_depth is not None):
            return None
        if match is not None and self.namespace.knows_directory(path):
            return Directory(path, match)
        if resolution is None or resolution.version_depth is not None:
            return None
        policy = resolution.template.policy
        entry = self.namespace.recalled(path, policy)
        if entry is not None:
            hidden = self.hides(path, entry.revision)
            return None if hidden else Published(path, entry, resolution)
        if match is None and self.namespace.known_missing(path):
            ttl_s = self.namespace.missing_for_s(path, policy.negative_ttl_s)
            return Missing(path, possible=True, ttl_s=ttl_s)
        return None

    def _pinned_node(self, path: str, answer: PinnedAnswer) -> Node:
        if answer.directory is not None:
            return Directory(path, answer.directory)
        if answer.entry is not None and answer.resolution is not None:
            return Published(path, answer.entry, answer.resolution, pinned=True)
        if answer.pointer is not None and answer.alias is not None:
            return Alias(path, answer.pointer, answer.alias)
        return Missing(path, possible=True, ttl_s=self._ttl_s_max)

    async def _find_alias(self, path: str, match: AliasMatch) -> Alias | Missing:
        pointer = await self.aliases.find(path, match)
        if pointer is not None:
            return Alias(path, pointer, match)
        ttl_s = self.aliases.fresh_for_s(path, match.negative_ttl_s, max_s=match.negative_ttl_s)
        return Missing(path, possible=True, ttl_s=ttl_s)

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
            if policy.immutable is not Immutable.ON_CLOSE:
                return False
            writable = writable or policy.flow is not Flow.IN
        made = self._spool.get(paths.parent(path))
        return writable and made is not None and made.kind is EntryKind.DIRECTORY

    def hides(self, path: str, revision: Revision) -> bool:
        """Whether *revision* is what a renamed file left under its old name, and will go soon."""
        return not self.view.holds(path) and self._spool.hides(path, revision)

    def _exists_here(self, path: str, match: DirectoryMatch) -> bool:
        return match.implied or self._spool.has_children(path)

    async def _find_in_origins(
        self,
        path: str,
        rest: str,
        resolution: Resolution | None,
        match: DirectoryMatch | None,
    ) -> Node:
        unasked = _without_question(path, resolution, match)
        if unasked is not None:
            return unasked
        found_seal = await self._seal_to_read(rest, resolution, match)
        if found_seal is not None and found_seal[0].snapshot is not None:
            return await self._find_sealed(path, *found_seal, resolution, match)
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

    async def _find_sealed(
        self,
        path: str,
        seal: Seal,
        inner: str,
        resolution: Resolution | None,
        match: DirectoryMatch | None,
    ) -> Node:
        """Return what a published version has under *path*: what its manifest says.

        Nothing, if it was taken back.
        """
        assert seal.snapshot is not None
        if seal.retracted is not None:
            log.debug("missing: its version was %s", seal.retracted, extra={"path": path})
            ttl_s = self.seals.fresh_for_s(path.partition("/")[2], resolution, match)
            return Missing(path, possible=True, ttl_s=ttl_s)
        if match is not None and seal.snapshot.has_directory(inner):
            return Directory(path, match, None, seal)
        revision = seal.snapshot.find(inner)
        if revision is None or resolution is None:
            return Missing(path, possible=True, ttl_s=self._ttl_s_max)
        await self.namespace.recall((path,))
        return Published(path, self.namespace.sealed(path, revision), resolution, sealed=True)

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
        entries: list[Entry | None] = []
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
            try:
                entries.append(await self.namespace.find(path, resolution))
            except ShotfsError as exc:
                problems.append(exc)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(probe)
            nursery.start_soon(ask)
        entry = entries[0] if entries else None
        if found:
            # Else the file would be what is known of the path, and the next answer another one.
            self.namespace.forget_file(path)
        elif problems and (
            entry is None or not all(isinstance(one, TierUnavailable) for one in problems)
        ):
            # A file that is known is one, also while nobody can say whether it is a directory, too.
            raise problems[0]
        return found, entry

    # --- attributes ------------------------------------------------------------------------------

    def attributes(self, node: Published | Spooled | Directory | Alias) -> Attributes:
        """Return what stat shows of *node*."""
        if isinstance(node, Alias):
            return self.alias_attributes(node)
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
        read_only = node.immutable or policy.flow is Flow.IN
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
            ttl_s=self._file_for_s(node),
        )

    def _file_for_s(self, node: Published) -> float:
        """Return for how long the kernel may believe what stat shows of *node*, seconds."""
        if node.pinned:
            return self._ttl_s_max
        if node.sealed:
            return self.seals.fresh_for_s(node.path.partition("/")[2], node.resolution, None)
        policy = node.resolution.template.policy
        return self.namespace.fresh_for_s(node.entry, policy, max_s=self._ttl_s_max)

    def alias_attributes(self, node: Alias) -> Attributes:
        """Return what stat shows of a version alias; a move gives it another inode."""
        moved_ns = int(node.pointer.at_s * 1e6) * 1000
        return Attributes(
            identity=revision_identity(node.path, node.pointer.revision),
            kind=Kind.SYMLINK,
            mode=0o777,
            uid=self.uid,
            gid=self.gid,
            size_bytes=len(node.pointer.target.encode()),
            mtime_ns=moved_ns,
            ctime_ns=moved_ns,
            ttl_s=self.aliases.fresh_for_s(node.path, node.match.ttl_s, max_s=self._ttl_s_max),
        )

    def spooled_attributes(self, entry: SpoolEntry) -> Attributes:
        """Return what stat shows of a file or symbolic link in the spool."""
        self._spool.measure(entry)
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
            if node.seal is not None:
                mode, mtime_ns = mode & ~0o222, node.seal.at_ns
                ttl_s = self.seals.fresh_for_s(node.path.partition("/")[2], None, match)
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


def _as_file(meaning: Meaning) -> Resolution | None:
    """Return what a path is as a file: a directory's name is nobody's scratch file."""
    resolution = meaning.resolution
    hidden = resolution is not None and resolution.scratch and meaning.match is not None
    return None if hidden else resolution


def _without_question(
    path: str, resolution: Resolution | None, match: DirectoryMatch | None
) -> Missing | None:
    """Return that nothing lies under *path*, where no origin has to be asked for that."""
    if resolution is None and match is None:
        return Missing(path, possible=False, ttl_s=IMPOSSIBLE_TTL_S)
    if resolution is not None and resolution.scratch:
        return Missing(path, possible=True, ttl_s=SPOOL_TTL_S)
    return None
