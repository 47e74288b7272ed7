"""Open files: which handle the kernel means by a number, and how its inode is open.

Owns the handles of open files from open to release, and with them what depends on an inode being
open: its mode (`passthrough`), and the handles that stay after the last release because the native
thread answers for the file (`front`). Event loop only.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Container

import trio
from pyfuse3 import FileHandleT, FileInfo

from shotfs.fuse.file_handles import FileHandles
from shotfs.fuse.front import Front
from shotfs.fuse.inodes import Node
from shotfs.fuse.passthrough import Passthrough
from shotfs.observe.metrics import Metrics
from shotfs.vfs import Handle
from shotfs.vfs.handles import PublishedHandle


class OpenFile:
    """A handle and the inode that it is of."""

    __slots__ = ("handle", "node")

    def __init__(self, handle: Handle, node: Node) -> None:
        self.handle = handle
        self.node = node


class OpenFiles:
    """The open files of one session.

    Args:
        metrics: counts opens that the native thread answers.
        passthrough: decides which files the kernel reads and writes by itself.
        native_files_max: how many files the native thread may answer for.
        directories: handles of directories, which share their numbers.
        is_known: whether the kernel still knows an inode.

    Attributes:
        front: the native thread.
        numbers: gives numbers that nothing open has.
    """

    def __init__(
        self,
        metrics: Metrics,
        passthrough: Passthrough,
        *,
        native_files_max: int,
        directories: Container[int],
        is_known: Callable[[Node], bool],
    ) -> None:
        self._files: dict[int, OpenFile] = {}
        self._passthrough = passthrough
        self._is_known = is_known
        self.numbers = FileHandles(self._files, directories)
        self.front = Front(files_max=native_files_max, metrics=metrics, give_up=self._give_up)

    def __len__(self) -> int:
        """How many times files are open; those that are kept for the native thread are not."""
        native = self.front.counts()
        return len(self._files) - native["files"] + native["open_files"]

    def __getitem__(self, number: int) -> OpenFile:
        """Return what the kernel means by *number*."""
        return self._files[number]

    def get(self, number: int | None) -> OpenFile | None:
        """Return what the kernel means by *number*; None: nothing, or it named none."""
        return None if number is None else self._files.get(number)

    def opened(self, handle: Handle, node: Node, flags: int, *, creating: bool = False) -> FileInfo:
        """Take *handle* in; return what the kernel is told.

        No await, here and from here to the reply: the mode of an inode is one.

        Args:
            handle: of *node*.
            node: what was opened.
            flags: as of open(2).
            creating: the file is new, and this its first open.
        """
        backing = self._passthrough.open(node, handle, creating=creating)
        writable = flags & os.O_ACCMODE != os.O_RDONLY
        number = self.numbers.of_file(writable=writable, backing=backing)
        self._files[number] = OpenFile(handle, node)
        node.handles = (*node.handles, handle)
        # An inode is one revision, so the kernel's pages of it are right for as long as it lives.
        return FileInfo(fh=FileHandleT(number), keep_cache=True)

    async def released(self, number: int) -> None:
        """Give *number* up: nobody has it open any more."""
        opened = self._files.pop(number)
        if self._keep_for_all(opened):
            return
        self._leave(opened)
        if opened.node.front == number:
            opened.node.front = 0
        with trio.CancelScope(shield=True):
            await opened.handle.close()

    async def abandon_all(self) -> None:
        """Give up what applications had open when the session ended: they never closed it."""
        while self._files:
            _, opened = self._files.popitem()
            with trio.CancelScope(shield=True):
                await opened.handle.abandon()

    def _keep_for_all(self, opened: OpenFile) -> bool:
        """Let the native thread answer for a file that was closed, if it can."""
        node, handle = opened.node, opened.handle
        if node.front or not self.front.active or not isinstance(handle, PublishedHandle):
            return False
        if not self._is_known(node):
            return False  # forgotten meanwhile
        number = self.numbers.of_file(writable=False, backing=node.backing)
        if not self.front.answer_for(node, handle, number):
            return False
        self._files[number] = opened
        node.front = number
        handle.serve_all()
        return True

    def _give_up(self, node: Node) -> None:
        """End the handle that was kept for all: nobody has *node* open through it."""
        opened = self._files.pop(node.front)
        node.front = 0
        self._leave(opened)
        assert isinstance(opened.handle, PublishedHandle)
        opened.handle.end()

    def _leave(self, opened: OpenFile) -> None:
        opened.node.handles = tuple(
            handle for handle in opened.node.handles if handle is not opened.handle
        )
        self._passthrough.released(opened.node)
