"""Reads by inode: a mount whose files are opened and closed without asking us.

Such a mount answers the first OPEN with ENOSYS, after which the kernel asks for content only, by
inode. So nobody knows what is open: a file is leased from the cache while it is read and for a
moment longer. Evicted in between, it is fetched again (S11). Event loop only.
"""

from __future__ import annotations

import os
from collections import OrderedDict
from collections.abc import Awaitable, Callable

import trio

from shotfs.digest import Buffer
from shotfs.fuse.inodes import Node
from shotfs.vfs import FileSystem, Handle

HELD_MAX = 256
"""Files that are held at once; each may need a descriptor."""

IDLE_S = 5.0
"""How long a file is held after a read: the reads of one pass come closer together."""


class _Held:
    __slots__ = ("handle", "last_s", "reads")

    def __init__(self, handle: Handle) -> None:
        self.handle = handle
        self.last_s = 0.0
        self.reads = 0


class InodeReads:
    """Content of files by inode.

    Args:
        filesystem: opens them.
        held_max: see `HELD_MAX`.
    """

    def __init__(self, filesystem: FileSystem, *, held_max: int = HELD_MAX) -> None:
        self._filesystem = filesystem
        self._held_max = held_max
        self._held: OrderedDict[int, _Held] = OrderedDict()
        self._opening: dict[int, trio.Event] = {}

    def __len__(self) -> int:
        """How many files are held."""
        return len(self._held)

    async def read(self, node: Node, offset: int, size: int) -> Buffer:
        """Return up to *size* bytes of *node* from *offset*.

        Raises:
            Stale: its path has another revision now.
            As `Handle.read` otherwise.
        """
        held = self._held.get(node.number) or await self._open(node)
        held.reads += 1
        try:
            ready = held.handle.read_now(offset, size)
            return await held.handle.read(offset, size) if ready is None else ready
        except BaseException:
            # Whatever went wrong with this handle, the next read begins anew.
            if self._held.get(node.number) is held:
                del self._held[node.number]
            raise
        finally:
            held.reads -= 1
            held.last_s = trio.current_time()
            if self._held.get(node.number) is not held and not held.reads:
                with trio.CancelScope(shield=True):
                    await held.handle.close()

    async def run(self) -> None:
        """Give up what nobody has read for a moment; for ever."""
        while True:
            await trio.sleep(IDLE_S / 2)
            await self._give_up(lambda held: trio.current_time() - held.last_s >= IDLE_S)

    async def aclose(self) -> None:
        """Give everything up."""
        await self._give_up(lambda _: True)

    async def _open(self, node: Node) -> _Held:
        while (opening := self._opening.get(node.number)) is not None:
            await opening.wait()
            if (held := self._held.get(node.number)) is not None:
                return held
        self._opening[node.number] = trio.Event()
        try:
            handle = await self._filesystem.open(
                node.path, os.O_RDONLY, identity=node.identity, caller=None
            )
        finally:
            self._opening.pop(node.number).set()
        held = self._held[node.number] = _Held(handle)
        held.last_s = trio.current_time()
        if len(self._held) > self._held_max:
            held.reads += 1  # else somebody who opens meanwhile could give this one up
            await self._give_up(lambda _: True, count=1)
            held.reads -= 1
        return held

    async def _give_up(self, doomed: Callable[[_Held], bool], count: int | None = None) -> None:
        """Close what nobody reads now, the oldest first."""
        closing: list[Awaitable[None]] = []
        for number, held in sorted(self._held.items(), key=lambda item: item[1].last_s):
            if held.reads or not doomed(held):
                continue
            del self._held[number]
            closing.append(held.handle.close())
            if len(closing) == count:
                break
        for one in closing:
            with trio.CancelScope(shield=True):
                await one
