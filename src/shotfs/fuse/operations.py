"""Operations: the kernel's requests, translated to `vfs` calls and back. Nothing is decided here.

Owns the inode table and the open handles. One event loop.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from collections.abc import Callable, Iterator, Sequence

import pyfuse3
import trio
from pyfuse3 import (
    EntryAttributes,
    FileHandleT,
    FileInfo,
    FileNameT,
    FlagT,
    FUSEError,
    InodeT,
    ModeT,
    ReaddirToken,
    RequestContext,
    SetattrFields,
    StatvfsData,
    XAttrNameT,
)

from shotfs.digest import Buffer
from shotfs.fuse import helper
from shotfs.fuse.entries import entry_of, missing_entry
from shotfs.fuse.front import Front
from shotfs.fuse.inode_reads import InodeReads
from shotfs.fuse.inodes import InodeTable, Node
from shotfs.fuse.listings import Listings
from shotfs.fuse.native_opens import know_thread
from shotfs.fuse.open_files import OpenFiles
from shotfs.fuse.passthrough import Passthrough
from shotfs.fuse.probe import ProbeFile
from shotfs.fuse.upcalls import upcall
from shotfs.observe.metrics import Metrics
from shotfs.vfs import Attributes, Caller, Change, FileSystem, Handle, Kind, Missing
from shotfs.vfs.attributes import directory_identity
from shotfs.vfs.filesystem import BLOCK_BYTES
from shotfs.vfs.killed import was_killed
from shotfs.vfs.paths import child, new_child
from shotfs.vfs.xattrs import PREFIX

_OUR_ATTRIBUTES = PREFIX.encode()


class Operations(pyfuse3.Operations):
    """The request handlers that pyfuse3 calls.

    Args:
        filesystem: decides everything.
        metrics: counts requests.
        request_deadline_s: seconds after which a request is answered ETIMEDOUT.
        serving: called once, when the kernel has opened the session.
        passthrough: decides which files the kernel reads and writes by itself.
        native_files_max: how many files the native thread may answer for.
        inode_reads: answers the reads of a mount without opens; None for any other mount.
    """

    supports_dot_lookup = False
    enable_writeback_cache = False
    enable_acl = False

    def __init__(
        self,
        filesystem: FileSystem,
        metrics: Metrics,
        *,
        request_deadline_s: float,
        serving: Callable[[], None],
        passthrough: Passthrough,
        native_files_max: int = 1,
        inode_reads: InodeReads | None = None,
    ) -> None:
        super().__init__()
        self.metrics = metrics
        self.request_deadline_s = request_deadline_s
        self._filesystem = filesystem
        self._serving = serving
        self._inodes = InodeTable(directory_identity(""))
        self._listings = Listings(filesystem, self._inodes, deadline_s=request_deadline_s)
        self._inode_reads = inode_reads
        self._files = OpenFiles(
            metrics,
            passthrough,
            native_files_max=native_files_max,
            directories=self._listings,
            is_known=lambda node: self._inodes.get(node.number) is node,
        )
        self._probe: tuple[int, ProbeFile] | None = None
        # pyfuse3 does not tell who closes a file; without the helper nobody does.
        module = helper.MODULE
        self._flush_thread = (lambda: 0) if module is None else module.flush_thread

    @contextlib.contextmanager
    def showing(self, probe: ProbeFile) -> Iterator[None]:
        """Show *probe* in the mount's root for the block, to whoever knows its name."""
        number = self._inodes.number(probe.attributes().identity)
        self._probe = number, probe
        try:
            yield
        finally:
            self._probe = None

    @property
    def inode_count(self) -> int:
        """How many inodes the kernel knows."""
        return len(self._inodes)

    @property
    def open_count(self) -> int:
        """How many files are open."""
        return len(self._files)

    @property
    def front(self) -> Front:
        """The native thread that answers for files which never change."""
        return self._files.front

    def inode(self, number: int) -> Node | None:
        """Return the inode *number*; None if the kernel does not know it."""
        return self._inodes.get(number)

    def known_inodes(self, identities: Sequence[int]) -> list[Node]:
        """Return the inodes of those *identities* that the kernel knows."""
        found = (self._inodes.find(identity) for identity in identities)
        return [node for node in found if node is not None]

    def inodes(self) -> list[Node]:
        """Return the inodes that the kernel knows now. A copy: a thread may go through it."""
        return list(self._inodes)

    def init(self) -> None:
        """Note that the kernel has opened the session."""
        self._serving()

    async def abandon_all(self) -> None:
        """Give up what applications had open when the session ended: they never closed it."""
        await self._files.abandon_all()
        if self._inode_reads is not None:
            await self._inode_reads.aclose()

    # --- names -----------------------------------------------------------------------------------

    def _lookup_now(
        self, parent_inode: InodeT, name: FileNameT, ctx: RequestContext
    ) -> EntryAttributes | None:
        """Return what `lookup` would, if nothing has to be awaited for it; else None."""
        path = self._path(parent_inode, name)
        found = self._filesystem.lookup_now(path) if self._probe is None else None
        if found is None:
            return None
        return missing_entry(found) if isinstance(found, Missing) else self._remembered(path, found)

    @upcall("lookup", now=_lookup_now)
    async def lookup(
        self, parent_inode: InodeT, name: FileNameT, ctx: RequestContext
    ) -> EntryAttributes:
        """Look a name up; a miss is remembered by the kernel as long as the policy says."""
        path = self._path(parent_inode, name)
        if self._probe is not None and path == self._probe[1].name:
            return self._remembered(path, self._probe[1].attributes())
        generation = self._filesystem.generation
        found = await self._filesystem.lookup(path, _caller(ctx))
        if isinstance(found, Missing):
            return self._current(missing_entry(found), generation)
        return self._current(self._remembered(path, found), generation)

    async def forget(self, inode_list: Sequence[tuple[InodeT, int]]) -> None:
        """Take references back."""
        for number, lookups in inode_list:
            gone = self._inodes.forget(number, lookups)
            if gone is not None and gone.front:
                self.front.retire(gone)

    def _getattr_now(self, inode: InodeT, ctx: RequestContext) -> EntryAttributes | None:
        """Return what `getattr` would, if nothing has to be awaited for it; else None."""
        node = self._node(inode)
        if node.handles:
            return entry_of(node.handles[-1].attributes(), inode)
        found = self._filesystem.lookup_now(node.path)
        if found is None or isinstance(found, Missing) or not node.shows(found):
            return None
        return entry_of(found, inode)

    @upcall("getattr", now=_getattr_now)
    async def getattr(self, inode: InodeT, ctx: RequestContext) -> EntryAttributes:
        """Answer stat."""
        node = self._node(inode)
        generation = self._filesystem.generation
        return self._current(entry_of(await self._attributes(node), inode), generation)

    @upcall("setattr")
    async def setattr(
        self,
        inode: InodeT,
        attr: EntryAttributes,
        fields: SetattrFields,
        fh: FileHandleT | None,
        ctx: RequestContext,
    ) -> EntryAttributes:
        """Change attributes or size."""
        node = self._node(inode)
        change = Change(
            mode=stat.S_IMODE(attr.st_mode) if fields.update_mode else None,
            uid=attr.st_uid if fields.update_uid else None,
            gid=attr.st_gid if fields.update_gid else None,
            size_bytes=attr.st_size if fields.update_size else None,
            atime_ns=attr.st_atime_ns if fields.update_atime else None,
            mtime_ns=attr.st_mtime_ns if fields.update_mtime else None,
        )
        opened = self._files.get(fh)
        # Without a handle in the request, an open one still knows files that lost their name.
        handles = node.handles if opened is None else (opened.handle,)
        changed = await self._filesystem.change(
            node.path, change, handles[-1] if handles else None, identity=node.identity
        )
        return entry_of(changed, inode)

    @upcall("readlink")
    async def readlink(self, inode: InodeT, ctx: RequestContext) -> FileNameT:
        """Read a symbolic link; the kernel keeps the answer for as long as it knows the inode."""
        node = self._node(inode)
        target = await self._filesystem.read_link(node.path, identity=node.identity)
        return FileNameT(os.fsencode(target))

    @upcall("symlink")
    async def symlink(
        self, parent_inode: InodeT, name: FileNameT, target: FileNameT, ctx: RequestContext
    ) -> EntryAttributes:
        """Make a symbolic link."""
        path = self._new_path(parent_inode, name)
        made = await self._filesystem.make_symlink(path, os.fsdecode(target), _caller(ctx))
        return self._remembered(path, made)

    @upcall("mkdir")
    async def mkdir(
        self, parent_inode: InodeT, name: FileNameT, mode: ModeT, ctx: RequestContext
    ) -> EntryAttributes:
        """Make a directory."""
        path = self._new_path(parent_inode, name)
        made = await self._filesystem.make_directory(path, stat.S_IMODE(mode), _caller(ctx))
        return self._remembered(path, made)

    @upcall("mknod")
    async def mknod(
        self,
        parent_inode: InodeT,
        name: FileNameT,
        mode: ModeT,
        rdev: int,
        ctx: RequestContext,
    ) -> EntryAttributes:
        """Make a regular file; devices, pipes and sockets do not exist here."""
        if not stat.S_ISREG(mode):
            raise FUSEError(errno.ENOTSUP)
        path = self._new_path(parent_inode, name)
        made, handle = await self._filesystem.create(
            path, stat.S_IMODE(mode), os.O_WRONLY | os.O_EXCL, _caller(ctx)
        )
        await _close_flushed(handle)
        return self._remembered(path, made)

    @upcall("link")
    async def link(
        self, inode: InodeT, new_parent_inode: InodeT, new_name: FileNameT, ctx: RequestContext
    ) -> EntryAttributes:
        """Refuse: object storage has no hard links."""
        raise FUSEError(errno.EPERM)

    @upcall("unlink")
    async def unlink(self, parent_inode: InodeT, name: FileNameT, ctx: RequestContext) -> None:
        """Remove a file or symbolic link."""
        await self._filesystem.unlink(self._path(parent_inode, name))

    @upcall("rmdir")
    async def rmdir(self, parent_inode: InodeT, name: FileNameT, ctx: RequestContext) -> None:
        """Remove an empty directory."""
        await self._filesystem.remove_directory(self._path(parent_inode, name))

    @upcall("rename", deadline=False)
    async def rename(
        self,
        parent_inode_old: InodeT,
        name_old: FileNameT,
        parent_inode_new: InodeT,
        name_new: FileNameT,
        flags: FlagT,
        ctx: RequestContext,
    ) -> None:
        """Move an entry. No deadline: a published mutable file is copied and published."""
        if flags & ~pyfuse3.RENAME_NOREPLACE:
            raise FUSEError(errno.EINVAL)
        old = self._path(parent_inode_old, name_old)
        new = self._new_path(parent_inode_new, name_new)
        before = await self._filesystem.attributes(old)
        replace = not flags & pyfuse3.RENAME_NOREPLACE
        await self._filesystem.rename(old, new, replace=replace)
        self._inodes.moved(old, new, before.identity, directory=before.kind is Kind.DIRECTORY)

    # --- files -----------------------------------------------------------------------------------

    @upcall("open", deadline=False)
    async def open(self, inode: InodeT, flags: FlagT, ctx: RequestContext) -> FileInfo:
        """Open a file. No deadline: a writable copy of a large file takes its time."""
        if self._inode_reads is not None:
            raise FUSEError(errno.ENOSYS)  # from now on the kernel opens without asking
        node = self._node(inode)
        if self._probe is not None and inode == self._probe[0]:
            return self._files.opened(self._probe[1], node, flags)
        handle = await self._filesystem.open(
            node.path, flags, identity=node.identity, caller=_caller(ctx)
        )
        if self._filesystem.watch.wants:
            know_thread(ctx.pid)  # it was looked at just now
        return self._files.opened(handle, node, flags)

    @upcall("create")
    async def create(
        self,
        parent_inode: InodeT,
        name: FileNameT,
        mode: ModeT,
        flags: FlagT,
        ctx: RequestContext,
    ) -> tuple[FileInfo, EntryAttributes]:
        """Create and open a file."""
        path = self._new_path(parent_inode, name)
        made, handle = await self._filesystem.create(path, stat.S_IMODE(mode), flags, _caller(ctx))
        entry = self._remembered(path, made)
        node = self._node(entry.st_ino)
        return self._files.opened(handle, node, flags, creating=True), entry

    @upcall("read", deadline=False)
    async def read(self, fh: FileHandleT, off: int, size: int) -> Buffer:  # type: ignore[override]  # pyfuse3 takes any contiguous buffer, its stub says bytes
        """Read. The cache watches progress and ends what stalls."""
        if self._inode_reads is not None:
            return await self._inode_reads.read(self._node(fh), off, size)
        handle = self._files[fh].handle
        ready = handle.read_now(off, size)
        return await handle.read(off, size) if ready is None else ready

    @upcall("write", deadline=False)
    async def write(self, fh: FileHandleT, off: int, buf: bytes) -> int:
        """Write into the spool, at the speed of its disk."""
        return await self._files[fh].handle.write(off, buf)

    @upcall("flush", deadline=False)
    async def flush(self, fh: FileHandleT) -> None:
        """Answer close(): durable on this node, or in the origin."""
        thread = self._flush_thread()  # before anything is awaited: it is that of this request
        if self._inode_reads is not None:
            raise FUSEError(errno.ENOSYS)  # nor does it ask when one is closed
        handle = self._files[fh].handle
        if was_killed(thread):
            await handle.cut_off()
        else:
            await handle.flush()

    @upcall("fsync", deadline=False)
    async def fsync(self, fh: FileHandleT, datasync: bool) -> None:
        """Make what was written durable."""
        if self._inode_reads is not None:
            return  # nothing is ever written
        await self._files[fh].handle.fsync()

    @upcall("release", deadline=False)
    async def release(self, fh: FileHandleT) -> None:
        """Give a handle up."""
        await self._files.released(fh)

    # --- directories -----------------------------------------------------------------------------

    @upcall("opendir", deadline=False)
    async def opendir(self, inode: InodeT, ctx: RequestContext) -> FileHandleT:
        """Take the snapshot that this handle will list. Tiers end what stalls, page by page."""
        node = self._node(inode)
        number = await self._listings.open(node, _caller(ctx), self._files.numbers)
        return FileHandleT(number)

    @upcall("readdir", deadline=False)
    async def readdir(self, fh: FileHandleT, start_id: int, token: ReaddirToken) -> None:
        """List entries with their attributes, as many as the kernel has room for."""
        await self._listings.read(fh, start_id, token)

    @upcall("releasedir", deadline=False)
    async def releasedir(self, fh: FileHandleT) -> None:
        """Drop the snapshot."""
        self._listings.close(fh)

    @upcall("fsyncdir", deadline=False)
    async def fsyncdir(self, fh: FileHandleT, datasync: bool) -> None:
        """Names are journalled when they are made; there is nothing to wait for."""

    # --- the rest --------------------------------------------------------------------------------

    @upcall("statfs")
    async def statfs(self, ctx: RequestContext) -> StatvfsData:
        """Answer df: how much can be written here."""
        space = await self._filesystem.space()
        data = StatvfsData()
        data.f_bsize = data.f_frsize = BLOCK_BYTES
        data.f_blocks = space.total_bytes // BLOCK_BYTES
        data.f_bfree = data.f_bavail = space.free_bytes // BLOCK_BYTES
        data.f_files = data.f_ffree = data.f_favail = 0
        data.f_namemax = space.name_bytes_max
        return data

    def _getxattr_now(self, inode: InodeT, name: XAttrNameT, ctx: RequestContext) -> bytes | None:
        """Answer foreign names at once, from memory; None: it is one of ours."""
        if name.startswith(_OUR_ATTRIBUTES):
            return None
        raise FUSEError(pyfuse3.ENOATTR)

    @upcall("getxattr", now=_getxattr_now)
    async def getxattr(self, inode: InodeT, name: XAttrNameT, ctx: RequestContext) -> bytes:
        """Read an extended attribute."""
        path = self._node(inode).path
        return (await self._filesystem.extended_attribute(path, name.decode())).encode()

    @upcall("listxattr")
    async def listxattr(self, inode: InodeT, ctx: RequestContext) -> Sequence[XAttrNameT]:
        """List extended attributes."""
        names = await self._filesystem.extended_attributes(self._node(inode).path)
        return [XAttrNameT(name.encode()) for name in names]

    @upcall("setxattr")
    async def setxattr(
        self, inode: InodeT, name: XAttrNameT, value: bytes, ctx: RequestContext
    ) -> None:
        """Refuse: ours cannot be set, and objects carry no others."""
        raise FUSEError(errno.EPERM if name.startswith(_OUR_ATTRIBUTES) else errno.ENOTSUP)

    @upcall("removexattr")
    async def removexattr(self, inode: InodeT, name: XAttrNameT, ctx: RequestContext) -> None:
        """Refuse, as `setxattr`."""
        raise FUSEError(errno.EPERM if name.startswith(_OUR_ATTRIBUTES) else pyfuse3.ENOATTR)

    # --- helpers ---------------------------------------------------------------------------------

    def _node(self, inode: int) -> Node:
        node = self._inodes.get(inode)
        if node is None:
            raise FUSEError(errno.ESTALE)
        return node

    def _path(self, parent: int, name: bytes) -> str:
        return child(self._node(parent).path, name)

    def _new_path(self, parent: int, name: bytes) -> str:
        return new_child(self._node(parent).path, name)

    async def _attributes(self, node: Node) -> Attributes:
        if node.handles:
            return node.handles[-1].attributes()
        found = await self._filesystem.attributes(node.path)
        if not node.shows(found):
            raise FUSEError(errno.ESTALE)
        return found

    def _remembered(self, path: str, attributes: Attributes) -> EntryAttributes:
        return entry_of(attributes, InodeT(self._inodes.remember(path, attributes).number))

    def _current(self, entry: EntryAttributes, generation: int) -> EntryAttributes:
        """Return *entry*, of which the kernel keeps nothing if a specification was swapped since.

        Args:
            entry: what was found.
            generation: `FileSystem.generation` when the question came.
        """
        if generation != self._filesystem.generation:
            entry.entry_timeout = entry.attr_timeout = 0.0
        return entry


async def _close_flushed(handle: Handle) -> None:
    try:
        await handle.flush()
    finally:
        with trio.CancelScope(shield=True):
            await handle.close()


def _caller(ctx: RequestContext) -> Caller:
    return Caller(uid=ctx.uid, gid=ctx.gid, pid=ctx.pid)
