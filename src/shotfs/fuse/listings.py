"""Listings: open directories, and which listings the kernel may answer for from its own pages.

The kernel keeps the names of a directory in pages like those of a file, where the answer to an open
lets it (FOPEN_CACHE_DIR), and lists from them at the next open if that says so too
(FOPEN_KEEP_CACHE). It drops them by itself when something is made, removed or renamed in the
directory through this mount. All other changes are ours to know of, so:

- The pages of a directory are of one listing, which a stamp tells from others. A handle of another
  listing neither reads nor fills them; while one is open that does, they belong to its listing.
- They are kept if nothing changed since (`FileSystem.unchanged`), and only once somebody was sent
  their beginning: by then the pages of the listing before are dropped for certain.
- A handle of kept pages has no snapshot. If the kernel asks after all, because it needed the memory
  or has seen a change, the directory is listed then.

Owns the handles of directories. Event loop only.

References: fs/fuse/readdir.c and fuse_dir_open in fs/fuse/dir.c of Linux.
"""

from __future__ import annotations

import os

import pyfuse3
import trio
from pyfuse3 import InodeT, ReaddirToken

from shotfs.fuse.entries import entry_of
from shotfs.fuse.file_handles import FileHandles
from shotfs.fuse.inodes import InodeTable, Node
from shotfs.fuse.kernel_pages import KernelPages
from shotfs.vfs import Caller, FileSystem, Snapshot
from shotfs.vfs.directories import SnapshotStamp
from shotfs.vfs.paths import join


class _OpenDirectory:
    """A handle; its snapshot is taken when the kernel wants it, or at once."""

    __slots__ = ("caller", "node", "pages", "snapshot")

    def __init__(
        self, node: Node, caller: Caller, snapshot: Snapshot | None, pages: KernelPages | None
    ) -> None:
        self.node = node
        self.caller = caller
        self.snapshot = snapshot
        self.pages = pages


class Listings:
    """Open directories.

    Args:
        filesystem: lists them.
        inodes: remembers what the kernel was told of.
        deadline_s: how long a part of a listing may take, once it is taken.
    """

    def __init__(self, filesystem: FileSystem, inodes: InodeTable, *, deadline_s: float) -> None:
        self._filesystem = filesystem
        self._inodes = inodes
        self._deadline_s = deadline_s
        self._open: dict[int, _OpenDirectory] = {}

    def __len__(self) -> int:
        return len(self._open)

    def __contains__(self, number: object) -> bool:
        return number in self._open

    async def open(self, node: Node, caller: Caller, numbers: FileHandles) -> int:
        """Return a handle of *node*, listed as it is now."""
        pages = node.pages
        if (
            pages is not None
            and pages.begun
            and pages.stamp is not None
            and (self._filesystem.unchanged(node.path, pages.stamp))
        ):
            return self._opened(node, caller, None, pages, numbers, kept=True)
        snapshot = await self._filesystem.snapshot(node.path, caller)
        pages = self._pages_for(node, snapshot.stamp)
        kept = pages is not None and pages.begun
        return self._opened(node, caller, snapshot, pages, numbers, kept=kept)

    async def read(self, number: int, start: int, token: ReaddirToken) -> None:
        """Send entries from index *start* on, with their attributes, as many as there is room for.

        Where pages of an earlier listing were given up in the middle, and the directory is another
        one by now, an entry may be sent twice or left out.
        """
        opened = self._open[number]
        snapshot = opened.snapshot
        if snapshot is None:
            snapshot = await self._list_now(opened)
        inodes, directory = self._inodes, snapshot.path
        for index in range(start, len(snapshot)):
            if not snapshot.is_prepared(index):
                with trio.fail_after(self._deadline_s):
                    await snapshot.prepare(index)
            shown = snapshot.entry(index)
            if shown is None:
                continue
            name, attributes = shown
            inode = inodes.number(attributes.identity)
            entry = entry_of(attributes, InodeT(inode))
            if not pyfuse3.readdir_reply(token, os.fsencode(name), entry, index + 1):
                break
            # Only what was sent counts as a look-up.
            inodes.remember_as(inode, join(directory, name), attributes.identity)
        pages = opened.pages
        if start == 0 and pages is not None and pages.stamp is not None:
            pages.begun = True

    def close(self, number: int) -> None:
        """Drop a handle; an unknown one is none."""
        opened = self._open.pop(number, None)
        if opened is not None and opened.pages is not None:
            opened.pages.handles -= 1

    def _opened(
        self,
        node: Node,
        caller: Caller,
        snapshot: Snapshot | None,
        pages: KernelPages | None,
        numbers: FileHandles,
        *,
        kept: bool,
    ) -> int:
        if pages is not None:
            pages.handles += 1
        number = numbers.of_directory(cached=pages is not None, kept=kept)
        self._open[number] = _OpenDirectory(node, caller, snapshot, pages)
        return number

    def _pages_for(self, node: Node, stamp: SnapshotStamp | None) -> KernelPages | None:
        """Return the pages that a listing with *stamp* may read and fill; None: none."""
        pages = node.pages
        if stamp is None:
            return None
        if pages is not None and pages.stamp == stamp:
            return pages
        if pages is not None and pages.handles:
            return None
        node.pages = KernelPages(stamp)
        return node.pages

    async def _list_now(self, opened: _OpenDirectory) -> Snapshot:
        """List for a handle that was to do without."""
        snapshot = await self._filesystem.snapshot(opened.node.path, opened.caller)
        pages = opened.pages
        if pages is not None and pages.stamp != snapshot.stamp:
            pages.doubt()
        opened.snapshot = snapshot
        return snapshot
