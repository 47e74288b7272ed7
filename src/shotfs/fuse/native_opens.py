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
from shotfs.prewarm.watching import WholeFile
from shotfs.vfs import FileSystem
from shotfs.vfs.handles import PublishedHandle

log = logging.getLogger(__name__)

BATCH_S = 0.05
"""How long opens are gathered before they are told: look-ahead must not wait long for them, and a
renderer that opens a thousand textures must not wake the event loop a thousand times."""


FILES_MAX = 20_000
"""Files that are remembered; beyond it all are looked up again. One takes 100 bytes, and keeps what
the specification says of it."""


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
        # By inode number, which stands for a path and a revision.
        self._files: dict[int, WholeFile] = {}
        self._generation = filesystem.generation

    async def run(self) -> None:
        """Tell of opens, for ever; does nothing where nobody could ever want to know."""
        if helper.MODULE is None or not self._filesystem.watch:
            return
        bell = helper.MODULE.opens_bell()
        self._filesystem.watch.tell_changes(self._switch)
        self._switch()
        try:
            while True:
                await trio.lowlevel.wait_readable(bell)
                await trio.sleep(BATCH_S)
                await self._tell()
        finally:
            helper.MODULE.unwatch_opens()

    def _switch(self) -> None:
        """Have opens noted only while somebody wants to know."""
        assert helper.MODULE is not None
        if self._filesystem.watch.wants:
            helper.MODULE.watch_opens()
        else:
            helper.MODULE.unwatch_opens()

    async def _tell(self) -> None:
        assert helper.MODULE is not None
        noted, lost = helper.MODULE.take_opens(trio.current_time())
        if lost > self._lost:
            log.warning("%d opens of cached files were not recorded: too many", lost - self._lost)
            self._lost = lost
        if self._generation != self._filesystem.generation or len(self._files) > FILES_MAX:
            self._files.clear()
            self._generation = self._filesystem.generation
        for thread, (numbers, at_s) in noted.items():
            try:
                # `map` takes no step of Python's for each open.
                files = list(map(self._files.__getitem__, numbers))
                known_at_s = at_s
            except KeyError:
                found = [
                    (self._file_of(number), when)
                    for number, when in zip(numbers, at_s, strict=True)
                ]
                files = [file for file, _ in found if file is not None]
                known_at_s = [when for file, when in found if file is not None]
            if files:
                await self._filesystem.opened_again(thread, files, known_at_s)

    def _file_of(self, number: int) -> WholeFile | None:
        known = self._files.get(number)
        if known is not None:
            return known
        node = self._node_of(number)
        handle = None if node is None else _shared(node)
        if node is None or handle is None:
            return None
        known = self._filesystem.whole_file(node.path, handle)
        if known is not None:
            self._files[number] = known
        return known


def _shared(node: Node) -> PublishedHandle | None:
    for handle in node.handles:
        if isinstance(handle, PublishedHandle):
            return handle
    return None
