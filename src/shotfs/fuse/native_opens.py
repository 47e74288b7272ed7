"""Native opens: tells the file system of opens that the native thread answers (`_opens.c`).

In batches, a moment later. The first open of a thread comes to Python in any case, and one every
second, so that who it is was found out while its process waits for the answer.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

import trio

from shotfs.fuse import helper
from shotfs.fuse.inodes import Node
from shotfs.vfs import FileSystem
from shotfs.vfs.handles import PublishedHandle

log = logging.getLogger(__name__)

BATCH_S = 0.02
"""How long opens are gathered before they are told: look-ahead must not wait long for them, and a
renderer that opens a thousand textures must not wake the event loop a thousand times."""


def know_thread(thread: int) -> None:
    """Let opens by *thread*, which was looked at just now, be answered natively for a while."""
    if helper.MODULE is not None:
        helper.MODULE.know_thread(thread)


class NativeOpens:
    """Brings opens from the native thread to who watches them.

    Args:
        filesystem: is told.
        node_of: the inode of a number, None if the kernel does not know it any more.
    """

    def __init__(self, filesystem: FileSystem, node_of: Callable[[int], Node | None]) -> None:
        self._filesystem = filesystem
        self._node_of = node_of
        self._lost = 0

    async def run(self) -> None:
        """Tell of opens, for ever; does nothing where nobody could ever want to know."""
        if helper.MODULE is None or not self._filesystem.has_watches:
            return
        bell = helper.MODULE.watch_opens()
        try:
            while True:
                await trio.lowlevel.wait_readable(bell)
                await trio.sleep(BATCH_S)
                await self._tell()
        finally:
            helper.MODULE.unwatch_opens()

    async def _tell(self) -> None:
        assert helper.MODULE is not None
        noted, lost = helper.MODULE.take_opens()
        if lost > self._lost:
            log.warning("%d opens of cached files were not recorded: too many", lost - self._lost)
            self._lost = lost
        opens = []
        for number, thread, age_s in noted:
            node = self._node_of(number)
            handle = None if node is None else _shared(node)
            if node is not None and handle is not None:
                opens.append((node.path, handle, thread, age_s))
        if opens:
            await self._filesystem.opened_again(opens)


def _shared(node: Node) -> PublishedHandle | None:
    for handle in node.handles:
        if isinstance(handle, PublishedHandle):
            return handle
    return None
