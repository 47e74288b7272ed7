"""Changes: everything that alters names or attributes. What is published and immutable stays."""

from __future__ import annotations

import errno
import logging
import time

import trio

from shotfs.errors import (
    CrossDevice,
    DirectoryNotEmpty,
    InvalidArgument,
    IsADirectory,
    NotADirectory,
    NotPermitted,
    ObjectNotFound,
    PathExists,
    PathNotFound,
    PreconditionFailed,
    PublishedImmutable,
    Stale,
)
from shotfs.namespace import TierPool
from shotfs.pathspec import Rewrite
from shotfs.publish import Kind as EntryKind
from shotfs.publish import Publisher, PublishTerms, Spool, SpoolEntry
from shotfs.publish.rival import Rival
from shotfs.tiers.base import Revision
from shotfs.vfs.attributes import Attributes, Caller, Change
from shotfs.vfs.directories import Directories
from shotfs.vfs.files import Files
from shotfs.vfs.finder import NodeFinder
from shotfs.vfs.handles import Handle, SpoolHandle
from shotfs.vfs.nodes import Alias, Directory, Missing, Node, Published, Spooled
from shotfs.vfs.terms import Terms, alias_refused, no_template

log = logging.getLogger(__name__)


class Changes:
    """Makes, moves, removes and changes entries."""

    def __init__(
        self,
        finder: NodeFinder,
        terms: Terms,
        files: Files,
        directories: Directories,
        *,
        spool: Spool,
        publisher: Publisher,
        tiers: TierPool,
    ) -> None:
        self._finder = finder
        self._terms = terms
        self._files = files
        self._directories = directories
        self._spool = spool
        self._publisher = publisher
        self._tiers = tiers

    # --- making ----------------------------------------------------------------------------------

    async def make_directory(self, path: str, mode: int, caller: Caller) -> Attributes:
        """Make the directory *path* on this node; the origin gets it with its first file.

        Raises:
            PathExists: something lies there.
            NoTemplate, ReadOnly: the specification has no such directory, or nobody writes there.
        """
        match = self._terms.writable_directory(path)
        self._terms.gate.check(path)
        await self._must_be_free(path)
        await self._terms.check_unsealed(path)
        owner = self._terms.owner_of_directory(match, caller, mode)
        entry = await self._spool.mkdir(path, mode=owner.mode, uid=owner.uid, gid=owner.gid)
        return self._finder.directory_attributes(Directory(path, match, entry))

    async def make_symlink(self, path: str, target: str, caller: Caller) -> Attributes:
        """Make a symbolic link; it stays on this node, because objects have none.

        Raises:
            PathExists: something lies there.
            NoTemplate, ReadOnly: no template has such a file or directory, or nobody writes it.
        """
        self._check_symlink(path)
        self._terms.gate.check(path)
        await self._must_be_free(path)
        await self._terms.check_unsealed(path)
        entry = await self._spool.symlink(path, target, uid=caller.uid, gid=caller.gid)
        return self._finder.spooled_attributes(entry)

    def _check_symlink(self, path: str) -> None:
        if self._finder.match(path) is not None:
            self._terms.writable_directory(path)
        else:
            self._terms.writable_file(path)

    async def _must_be_free(self, path: str) -> None:
        if not isinstance(await self._finder.find(path), Missing):
            raise PathExists(f"{path}: exists")

    # --- removing --------------------------------------------------------------------------------

    async def unlink(self, path: str) -> None:
        """Remove the file or symbolic link *path*.

        Raises:
            PublishedImmutable: it is published under an immutable template.
            IsADirectory, PathNotFound, ReadOnly, TierError.
        """
        self._terms.check_writable(path)
        node = await self._finder.find(path)
        if isinstance(node, Directory):
            raise IsADirectory(f"{path}: is a directory")
        if isinstance(node, Missing):
            raise PathNotFound(f"{path}: no such file")
        if isinstance(node, Alias):
            raise alias_refused(path)
        if isinstance(node, Published):
            await self._delete_published(node)
            if self._spool.get(path) is None:
                return
            # A writable copy was on its way.
        else:
            await self._unlink_spooled(node)
            return
        await self._spool.unlink(path)

    async def _unlink_spooled(self, node: Spooled) -> None:
        if node.entry.publishable:
            await self._terms.check_unsealed(node.path)
        # What the origin has of it goes first: if that fails, the local version is still there.
        await self._spool.unlink(node.path, self._publisher.remove_objects)

    async def remove_directory(self, path: str) -> None:
        """Remove the empty directory *path*.

        Raises:
            DirectoryNotEmpty: it has entries.
            NotPermitted: the specification says that it exists.
            NotADirectory, PathNotFound, ReadOnly.
        """
        self._terms.check_writable(path)
        node = await self._finder.find(path)
        if isinstance(node, Missing):
            raise PathNotFound(f"{path}: no such directory")
        if not isinstance(node, Directory):
            raise NotADirectory(f"{path}: not a directory")
        await self._terms.check_unsealed(path)
        if not await self._directories.is_empty(path):
            raise DirectoryNotEmpty(f"{path}: not empty")
        if node.made is None:
            raise NotPermitted(f"{path}: the specification says that this directory exists")
        await self._spool.rmdir(path)

    async def _delete_published(self, node: Published) -> None:
        resolution = self._terms.writable_file(node.path)
        if node.immutable:
            raise PublishedImmutable(
                f"{node.path}: published and immutable "
                f"(template {resolution.template.name!r}); it cannot be removed"
            )
        await self._delete_revision(node.path, node.entry.revision)

    async def _delete_revision(self, path: str, revision: Revision) -> None:
        resolution = self._finder.resolve(path)
        if resolution is None:
            raise no_template(path)
        # Not as of the TTL: what is removed from a version that somebody has published is lost.
        await self._terms.check_unsealed(path, now=True)
        tier = await self._tiers.get(resolution.template.policy.origin)
        try:
            await tier.delete(revision.key, expect=revision)
        except ObjectNotFound:
            log.info("was deleted by somebody else", extra={"path": path})
        except PreconditionFailed as exc:
            self._finder.namespace.removed(path)
            raise Stale(f"{path}: was replaced by somebody else; look it up again") from exc
        self._finder.namespace.removed(path)

    # --- renaming --------------------------------------------------------------------------------

    async def rename(self, old: str, new: str, *, replace: bool) -> None:
        """Move *old* to *new*.

        Within the spool this is atomic. A published mutable file is copied, published under its
        new name and then deleted, which is not.

        Args:
            old: what to move.
            new: where to; its name is valid.
            replace: whether an existing *new* may be replaced.

        Raises:
            PublishedImmutable: *old* is (EPERM), or *new* is (EEXIST).
            PathExists: *new* exists and *replace* is false.
            NoTemplate, ReadOnly, PathNotFound, IsADirectory, NotADirectory, DirectoryNotEmpty.
        """
        self._terms.check_writable(new)
        source = await self._finder.find(old)
        target = await self._finder.find(new)
        if isinstance(source, Missing):
            raise PathNotFound(f"{old}: no such file")
        if not replace and not isinstance(target, Missing):
            raise PathExists(f"{new}: exists")
        if isinstance(source, Alias):
            raise alias_refused(old)
        self._terms.check_no_alias(new)
        await self._check_versions(source, target)
        if isinstance(source, Directory):
            await self._rename_directory(source, target)
        elif isinstance(target, Directory):
            raise IsADirectory(f"{new}: is a directory")
        elif isinstance(source, Published):
            await self._rename_published(source, target)
        else:
            await self._rename_spooled(source, target)

    async def _check_versions(self, source: Node, target: Node) -> None:
        """Refuse to take anything out of a version that is published, or to put it in."""
        if not (isinstance(source, Spooled) and not source.entry.publishable):
            await self._terms.check_unsealed(source.path)
        onto = isinstance(target, Published)
        if isinstance(target, Published) and target.immutable and _is_file(source):
            return  # the same bytes may be accepted (`rewrite: compare`)
        await self._terms.check_unsealed(target.path, onto=onto)

    async def _rename_spooled(self, source: Spooled, target: Node) -> None:
        entry, old, new = source.entry, source.path, target.path
        if entry.kind is EntryKind.SYMLINK:
            await self._rename_symlink(source, target)
            return
        resolution = self._terms.writable_file(new)
        if isinstance(target, Published) and target.immutable:
            await self._rename_onto_immutable(source, target)
            return
        terms = self._terms.of(new, resolution, _in_origin(target))
        # What the origin has under the old name goes when the file is published under its new one.
        await self._spool.rename(old, new, terms=terms)

    async def _rename_symlink(self, source: Spooled, target: Node) -> None:
        self._check_symlink(target.path)
        if isinstance(target, Published):
            await self._delete_published(target)
        await self._spool.rename(source.path, target.path)
        hidden = _in_origin(target) if isinstance(target, Spooled) else None
        if hidden is not None:
            await self._delete_revision(target.path, hidden)

    async def _rename_onto_immutable(self, source: Spooled, target: Published) -> None:
        """Refuse (`rewrite: refuse`), or accept the same bytes (`rewrite: compare`)."""
        entry = source.entry
        policy = target.resolution.template.policy
        if policy.rewrite is Rewrite.COMPARE:
            if await self._same_bytes(entry, target):
                await self._unlink_spooled(source)
                return
            await self._spool.quarantine(
                entry,
                f"renamed onto {target.path}, which is published with other bytes",
                Rival(time.time_ns(), target.entry.revision, path=target.path),
            )
        raise PublishedImmutable(
            f"{target.path}: published and immutable "
            f"(template {target.resolution.template.name!r}); {entry.path} was kept",
            fix="publish it under another version",
            errno=errno.EEXIST,
        )

    async def _same_bytes(self, entry: SpoolEntry, target: Published) -> bool:
        if entry.size_bytes != target.entry.revision.size_bytes:
            return False
        published = await self._files.open_published(target)
        try:
            theirs = await published.cached.complete()
        finally:
            await published.close()
        return theirs == await self._spool.digest(entry)

    async def _rename_published(self, source: Published, target: Node) -> None:
        if source.immutable:
            raise PublishedImmutable(
                f"{source.path}: published and immutable; it cannot be renamed"
            )
        self._terms.writable_file(source.path)
        resolution = self._terms.writable_file(target.path)
        if isinstance(target, Published) and target.immutable:
            raise PublishedImmutable(f"{target.path}: published and immutable", errno=errno.EEXIST)
        terms = self._terms.of(target.path, resolution, _in_origin(target))
        if terms.scratch:
            raise CrossDevice(
                f"{target.path}: a scratch name, where the only copy of the file would expire"
            )
        await self._files.writable_copy(source)
        await self._spool.rename(source.path, target.path, terms=terms)
        moved = self._spool.get(target.path)
        assert moved is not None
        self._files.writer_came(moved)
        try:
            await self._publisher.publish_now(moved)
        except BaseException:
            # The application is told that nothing was renamed, so nothing may be later on.
            with trio.CancelScope(shield=True):
                await self._spool.unlink(target.path)
            raise
        await self._publisher.remove_earlier(moved)

    async def _rename_directory(self, source: Directory, target: Node) -> None:
        old, new = source.path, target.path
        if new.startswith(f"{old}/"):
            raise InvalidArgument(f"{old}: cannot be moved into itself")
        if source.made is None or await self._has_published(old):
            raise NotPermitted(
                f"{old}: only directories that were made here and hold nothing published can be "
                "renamed"
            )
        if isinstance(target, Directory):
            if not await self._directories.is_empty(new):
                raise DirectoryNotEmpty(f"{new}: not empty")
            if target.made is None:
                raise NotPermitted(f"{new}: the specification says that this directory exists")
            await self._spool.rmdir(new)
        elif not isinstance(target, Missing):
            raise NotADirectory(f"{new}: not a directory")
        self._terms.writable_directory(new)
        await self._spool.rename_directory(old, new, self._terms_for_move)

    def _terms_for_move(self, path: str) -> PublishTerms:
        resolution = self._terms.writable_file(path)
        return self._terms.of(path, resolution, None)

    async def _has_published(self, path: str) -> bool:
        match = self._finder.match(path)
        rest = path.partition("/")[2]
        return match is not None and await self._finder.namespace.has_directory(path, rest, match)

    # --- attributes ------------------------------------------------------------------------------

    async def change(
        self, path: str, change: Change, handle: Handle | None, *, identity: int = 0
    ) -> Attributes:
        """Apply *change* to what lies under *path*, or to an open *handle* of it.

        Args:
            path: mount-relative.
            change: what to change.
            handle: an open file of the inode: what was written here is changed through it, also
                when it has no name any more.
            identity: what the caller thinks the file is (`Attributes.identity`); 0 if it has
                no opinion.

        Raises:
            PublishedImmutable, ReadOnly, NotPermitted, PathNotFound, IsADirectory.
            Stale: something else lies there now, or a writable copy was made; repeat.
        """
        if isinstance(handle, SpoolHandle):
            self._terms.check_writable(path)
            return await self._change_spooled(handle.file.entry, change, handle)
        node = await self._finder.find(path)
        if isinstance(node, Missing):
            raise PathNotFound(f"{path}: no such file")
        if isinstance(node, Directory):
            self._terms.check_writable(path)
            return await self._change_directory(node, change)
        if isinstance(node, Alias):
            attributes = self._finder.attributes(node)
            if not _changes_nothing(attributes, change):
                raise alias_refused(path)
            return attributes
        self._files.check_identity(node, identity)
        if isinstance(node, Published):
            return await self._change_published(node, change)
        self._terms.check_writable(path)
        if node.entry.publishable:
            await self._terms.check_unsealed(path)
        return await self._change_spooled(node.entry, change, None)

    async def _change_spooled(
        self, entry: SpoolEntry, change: Change, handle: SpoolHandle | None
    ) -> Attributes:
        if change.size_bytes is not None:
            await self._truncate(entry, change.size_bytes, handle)
        await self._set_attributes(entry, change)
        return self._finder.spooled_attributes(entry)

    async def _truncate(
        self, entry: SpoolEntry, size_bytes: int, handle: SpoolHandle | None
    ) -> None:
        if handle is not None and handle.file.writable:
            await handle.truncate(size_bytes)
            return
        self._terms.gate.check(entry.path)
        await self._spool.truncate(entry, size_bytes)
        self._files.writer_came(entry)

    async def _set_attributes(self, entry: SpoolEntry, change: Change) -> None:
        wanted = (change.mode, change.uid, change.gid, change.atime_ns, change.mtime_ns)
        if any(value is not None for value in wanted):
            await self._spool.set_attributes(
                entry,
                mode=change.mode,
                uid=change.uid,
                gid=change.gid,
                atime_ns=change.atime_ns,
                mtime_ns=change.mtime_ns,
            )

    async def _change_published(self, node: Published, change: Change) -> Attributes:
        attributes = self._finder.published_attributes(node)
        if _changes_nothing(attributes, change):
            return attributes
        self._terms.writable_file(node.path)
        if node.immutable:
            raise PublishedImmutable(f"{node.path}: published and immutable")
        await self._terms.check_unsealed(node.path)
        if change.size_bytes is None:
            raise NotPermitted(
                f"{node.path}: mode, owner and times of published files come from the specification"
            )
        await self._files.writable_copy(node)
        raise Stale(f"{node.path}: a writable copy was made; truncate it again")

    async def _change_directory(self, node: Directory, change: Change) -> Attributes:
        if change.size_bytes is not None:
            raise IsADirectory(f"{node.path}: is a directory")
        if node.made is not None:
            await self._terms.check_unsealed(node.path)
            await self._set_attributes(node.made, change)
            return self._finder.directory_attributes(node)
        attributes = self._finder.directory_attributes(node)
        if not _changes_nothing(attributes, Change(change.mode, change.uid, change.gid)):
            raise NotPermitted(
                f"{node.path}: mode and owner of this directory come from the specification"
            )
        # Object stores keep no times of directories; refusing would fail every rsync -t.
        return attributes


def _in_origin(node: Node) -> Revision | None:
    """Return the revision that the origin has under the path of *node*, as far as we know."""
    if isinstance(node, Published):
        return node.entry.revision
    if isinstance(node, Spooled):
        return node.entry.revision or node.entry.base
    return None


def _is_file(node: Node) -> bool:
    return isinstance(node, Spooled) and node.entry.kind is EntryKind.FILE


def _changes_nothing(attributes: Attributes, change: Change) -> bool:
    pairs = (
        (change.mode, attributes.mode),
        (change.uid, attributes.uid),
        (change.gid, attributes.gid),
        (change.size_bytes, attributes.size_bytes),
        (change.mtime_ns, attributes.mtime_ns),
    )
    return all(wanted is None or wanted == present for wanted, present in pairs) and (
        change.atime_ns is None or change.mtime_ns is not None
    )
