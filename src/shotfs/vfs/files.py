"""Files: opening, creating and making a writable copy of a published mutable file."""

from __future__ import annotations

import errno
import os
from dataclasses import replace
from functools import partial

import trio

from shotfs.cache import NOBODY, Cache, FileState, Fill
from shotfs.digest import Checksums
from shotfs.errors import (
    IsADirectory,
    ObjectNotFound,
    PathExists,
    PathNotFound,
    PublishedImmutable,
    Stale,
)
from shotfs.namespace import TierPool
from shotfs.namespace.single_flight import SingleFlight
from shotfs.observe.metrics import Metrics
from shotfs.pathspec import Resolution
from shotfs.prewarm.watching import Created, Opened, OpenWatch
from shotfs.publish import Kind as EntryKind
from shotfs.publish import Publisher, Spool, SpoolEntry, SpoolFile
from shotfs.publish.provenance import written_by
from shotfs.tiers.base import Span
from shotfs.vfs.askers import Askers
from shotfs.vfs.attributes import Attributes, Caller
from shotfs.vfs.finder import NodeFinder
from shotfs.vfs.handles import Handle, PublishedHandle, SpoolHandle
from shotfs.vfs.nodes import Alias, Directory, Missing, Node, Published, Spooled
from shotfs.vfs.terms import Terms
from shotfs.vfs.waiting import ReadWatch, WaitTable

COPY_BLOCK_BYTES = 4 * 1024 * 1024

HOLD_S = 2.0
"""How long a writable copy waits for the open that it was made for; the kernel repeats that open
at once (ESTALE). A copy that nobody comes for, or changes, is dropped."""

_TEMPERATURES = {
    FileState.COMPLETE: "warm",
    FileState.STREAMING: "cold",
    FileState.UNKEPT: "streaming",
}


class Files:
    """Opens and creates files."""

    def __init__(
        self,
        finder: NodeFinder,
        terms: Terms,
        *,
        cache: Cache,
        spool: Spool,
        tiers: TierPool,
        publisher: Publisher,
        askers: Askers,
        metrics: Metrics,
        waits: WaitTable,
        nursery: trio.Nursery,
        watch: OpenWatch,
    ) -> None:
        self._watch = watch
        self._finder = finder
        self._terms = terms
        self._askers = askers
        self._cache = cache
        self._spool = spool
        self._tiers = tiers
        self._publisher = publisher
        self._metrics = metrics
        self._waits = waits
        self._nursery = nursery
        self._awaited: dict[int, trio.Event] = {}
        self._copies: SingleFlight[str, None] = SingleFlight(nursery)

    async def open(
        self, path: str, flags: int, *, identity: int = 0, caller: Caller | None = None
    ) -> Handle:
        """Open the file *path*.

        Args:
            path: mount-relative.
            flags: as of open(2); O_CREAT is not looked at.
            identity: what the caller thinks the file is (`Attributes.identity`); 0 if it has
                no opinion.
            caller: who opens it.

        Raises:
            Stale: the path has another revision, or has just got a writable copy: look it up
                again and repeat.
            DigestMismatch: its bytes were wrong, twice, since it was looked up: another look
                would not help.
            PublishedImmutable: opened for writing, with errno EEXIST.
            ReadOnly, IsADirectory, PathNotFound, TierError.
        """
        node = await self._finder.find(path)
        if isinstance(node, Spooled):
            try:
                return await self._open_spooled(node, flags, identity, caller)
            except Stale:
                if not node.entry.unlinked:
                    raise
            # It was published while we waited for it. The kernel looks a stale name up only once
            # more, and for a writer there may be a copy to make yet, which takes that once.
            node = await self._finder.find(path)
            if isinstance(node, Spooled):
                return await self._open_spooled(node, flags, identity, caller)
        if isinstance(node, Published):
            attributes = self.check_identity(node, identity)
            if _writes(flags):
                await self._shadow(node, truncate=bool(flags & os.O_TRUNC))
                raise Stale(f"{path}: a writable copy was made; open it again")
            return await self.open_published(node, caller, attributes)
        if identity and isinstance(node, Missing):
            # The caller saw a file here. Told that it is stale, the kernel looks the name up again
            # and may then create it; "no such file" would be an answer to O_CREAT.
            raise Stale(f"{path}: is gone; look it up again")
        raise _not_a_file(node)

    async def open_published(
        self,
        node: Published,
        caller: Caller | None = None,
        attributes: Attributes | None = None,
    ) -> PublishedHandle:
        """Open a published file for reading.

        Args:
            node: what to open.
            caller: who opens it.
            attributes: what stat shows of *node*, where that was just worked out.
        """
        began_s = trio.current_time()
        policy = node.resolution.template.policy
        tier = self._tiers.opened_reader(policy) or await self._tiers.reader(policy)
        if not tier.properties.lists_checksums and node.entry.revision.checksums == Checksums():
            node = await self._with_checksums(node)
        revision = node.entry.revision
        # Who asks costs system calls: what is here is opened without.
        asker = NOBODY if self._cache.is_warm(revision) else await self._askers.of(caller)
        fill = Fill(policy.fill.value)
        reader = None
        if caller is not None and self._watch.wants:
            reader = self._askers.reader_now(caller.pid, began_s)
            if reader is None:
                reader = await self._askers.reader(caller)
        cached = await self._cache.open(tier, revision, asker=asker, fill=fill)
        self._metrics.opens[_TEMPERATURES[cached.state]].inc()
        notes = None
        if reader is not None:
            warm = cached.state is FileState.COMPLETE
            # What is here takes no time to open: another look at the clock would say the same.
            at_s = began_s if warm else trio.current_time()
            notes = self._watch.opened(
                Opened(node.path, revision, node.resolution, reader, at_s, warm)
            )
        return PublishedHandle(
            cached,
            self._finder.published_attributes(node) if attributes is None else attributes,
            lambda: self._finder.namespace.removed(node.path),
            ReadWatch(
                self._waits,
                self._metrics,
                node.path,
                cached.asker,
                opened_s=None if cached.state is FileState.COMPLETE else began_s,
            ),
            immutable=node.immutable,
            notes=notes,
        )

    async def _with_checksums(self, node: Published) -> Published:
        """Return *node* with what its bytes are to be compared with (S6): a listing may not say.

        Raises:
            Stale: the origin has another revision by now, or none.
        """
        if await self._cache.known(node.entry.revision):
            return node
        if node.pinned:
            return await self._pinned_with_checksums(node)
        entry = await self._finder.namespace.confirm(node.path, node.resolution)
        if entry is None or entry.revision != node.entry.revision:
            raise Stale(f"{node.path}: another revision lies here now; look it up again")
        return replace(node, entry=entry)

    async def _pinned_with_checksums(self, node: Published) -> Published:
        """As `_with_checksums`, as far as the store still has this revision as its newest one."""
        entry, revision = node.entry, node.entry.revision
        tier = await self._tiers.get(node.resolution.template.policy.origin)
        try:
            now = await tier.stat(revision.key)
        except ObjectNotFound:
            return node
        if (now.version, now.size_bytes) != (revision.version, revision.size_bytes):
            return node
        checked = replace(revision, checksums=now.checksums)
        return replace(node, entry=replace(entry, revision=checked))

    async def create(
        self, path: str, mode: int, flags: int, caller: Caller
    ) -> tuple[Attributes, Handle]:
        """Create and open the file *path*; open it if it exists and O_EXCL is not set.

        Args:
            path: mount-relative; its name is valid.
            mode: permission bits, umask applied.
            flags: as of open(2).
            caller: who will own it.

        Raises:
            PathExists: O_EXCL, and it exists.
            NoTemplate, ReadOnly, PublishedImmutable, IsADirectory, SpoolFull.
            NodeLeaves: this node takes no new work.
        """
        resolution = self._terms.writable_file(path)
        node = await self._finder.find(path)
        if not isinstance(node, Missing):
            return await self._open_existing(node, flags, caller)
        self._terms.gate.check(path)
        await self._terms.check_unsealed(path)
        owner = self._terms.owner_of_file(resolution.template.policy, caller, mode)
        terms = self._terms.of(path, resolution, None)
        writer, reader = await self._askers.both(caller)
        file = await self._spool.create(
            path,
            mode=owner.mode,
            uid=owner.uid,
            gid=owner.gid,
            terms=written_by(terms, writer),
        )
        if self._watch.wants:
            self._watch.created(Created(path, resolution, reader))
        handle = self._spool_handle(file)
        return handle.attributes(), handle

    async def writable_copy(self, node: Published) -> None:
        """Put a copy of a published mutable file into the spool, where it shadows the original.

        Raises:
            PublishedImmutable: its template forbids changes, with errno EEXIST.
            ReadOnly, SpoolFull, TierError.
        """
        await self._shadow(node, truncate=False)

    async def _open_existing(
        self, node: Node, flags: int, caller: Caller
    ) -> tuple[Attributes, Handle]:
        if flags & os.O_EXCL:
            raise PathExists(f"{node.path}: exists")
        if isinstance(node, Published) and _writes(flags):
            await self._shadow(node, truncate=bool(flags & os.O_TRUNC))
        handle = await self.open(node.path, flags, caller=caller)
        return handle.attributes(), handle

    async def _open_spooled(
        self, node: Spooled, flags: int, identity: int, caller: Caller | None
    ) -> Handle:
        self.check_identity(node, identity)
        if node.entry.kind is EntryKind.SYMLINK:
            raise PathNotFound(f"{node.path}: a symbolic link has no content", errno=errno.ELOOP)
        writable = _writes(flags)
        if writable:
            self._terms.check_writable(node.path)
            self._terms.gate.check(node.path)
            if node.entry.publishable:
                await self._terms.check_unsealed(node.path)
        writer = None
        if writable:
            writer, reader = await self._askers.both(caller)
            resolution = self._finder.resolve(node.path)
            if self._watch.wants and resolution is not None:
                self._watch.created(Created(node.path, resolution, reader))
        file = await self._spool.open(node.entry, writable=writable, writer=writer)
        if writable:
            self.writer_came(node.entry)
        if writable and flags & os.O_TRUNC and (node.entry.size_bytes or node.entry.pristine):
            try:
                await file.truncate(0)
            except BaseException:
                with trio.CancelScope(shield=True):
                    await file.close()
                raise
        self._metrics.opens["spool"].inc()
        return self._spool_handle(file)

    def _spool_handle(self, file: SpoolFile) -> SpoolHandle:
        return SpoolHandle(
            file,
            lambda: self._finder.spooled_attributes(file.entry),
            self._publisher.publish_now,
        )

    def check_identity(self, node: Published | Spooled, identity: int) -> Attributes:
        """Refuse if *node* is not what the caller looked up; *identity* 0 is no opinion.

        Returns:
            What stat shows of it.

        Raises:
            Stale: look it up again.
            DigestMismatch: that would not help, because the bytes are wrong.
        """
        attributes = self._finder.attributes(node)
        if identity and attributes.identity != identity:
            # Each of two wrong attempts gave the file another identity (`FileSystem.distrust`),
            # and the kernel looks a stale name up only once more.
            rejection = None
            if isinstance(node, Published):
                rejection = self._cache.rejection(node.entry.revision)
            if rejection is not None:
                raise rejection
            raise Stale(f"{node.path}: another revision lies here now; look it up again")
        return attributes

    async def _shadow(self, node: Published, *, truncate: bool) -> None:
        resolution = self._terms.writable_file(node.path)
        if node.immutable:
            raise PublishedImmutable(
                f"{node.path}: published and immutable "
                f"(template {resolution.template.name!r}); its bytes never change",
                fix="write another version",
                errno=errno.EEXIST,
            )
        self._terms.gate.check(node.path)
        await self._terms.check_unsealed(node.path, onto=True)
        # Once for each path: two writers share a copy, and who gives up waiting spoils nothing.
        await self._copies.do(node.path, lambda: self._copy(node, resolution, truncate=truncate))

    async def _copy(self, node: Published, resolution: Resolution, *, truncate: bool) -> None:
        path, revision = node.path, node.entry.revision
        if self._spool.get(path) is not None:
            return  # somebody was faster
        attributes = self._finder.published_attributes(node)
        source = None if truncate else await self.open_published(node)
        try:
            file = await self._spool.create_copy(
                path,
                mode=attributes.mode,
                uid=attributes.uid,
                gid=attributes.gid,
                terms=self._terms.of(path, resolution, revision),
                fill=None if source is None else partial(_copy_bytes, source, revision.size_bytes),
            )
        finally:
            if source is not None:
                await source.close()
        self._nursery.start_soon(self._hold, file)

    def writer_came(self, entry: SpoolEntry) -> None:
        """Note that a writable copy, if *entry* is one, is not waiting for its writer any more."""
        arrived = self._awaited.get(entry.serial)
        if arrived is not None:
            arrived.set()

    async def _hold(self, file: SpoolFile) -> None:
        """Keep a writable copy until its writer has come back to open it; else it is dropped."""
        arrived = self._awaited[file.entry.serial] = trio.Event()
        try:
            with trio.move_on_after(HOLD_S):
                await arrived.wait()
        finally:
            del self._awaited[file.entry.serial]
            with trio.CancelScope(shield=True):
                await file.close()


async def _copy_bytes(source: PublishedHandle, size_bytes: int, target: SpoolFile) -> None:
    offset = 0
    while offset < size_bytes:
        data = await source.cached.read(Span(offset, min(offset + COPY_BLOCK_BYTES, size_bytes)))
        await target.write(offset, data)
        offset += len(data)


def _writes(flags: int) -> bool:
    return bool(flags & (os.O_WRONLY | os.O_RDWR | os.O_TRUNC))


def _not_a_file(node: Node) -> IsADirectory | PathNotFound:
    if isinstance(node, Alias):
        return PathNotFound(f"{node.path}: a symbolic link has no content", errno=errno.ELOOP)
    if isinstance(node, Directory):
        return IsADirectory(f"{node.path}: is a directory")
    return PathNotFound(f"{node.path}: no such file")
