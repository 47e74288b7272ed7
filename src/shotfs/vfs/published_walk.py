"""A walk: the published files below a directory, while several directories are listed at a time.

Each listing waits for its origin, so one after another they would take as long as there are
directories. What is found comes in no order. Event loop only.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, asynccontextmanager

import trio

from shotfs.namespace.listing import KEPT_ENTRIES_MAX
from shotfs.vfs import paths
from shotfs.vfs.attributes import Kind
from shotfs.vfs.directories import PREPARED_ENTRIES, Directories, Snapshot
from shotfs.vfs.finder import NodeFinder
from shotfs.vfs.nodes import Published

DIRECTORIES_AT_ONCE = 8
"""Listings under way together."""

LISTED_ONE_BY_ONE_AT_ONCE = 2
"""The same where a listing asks for each file, as many at once as its origin may be asked: files
come when their directory is whole, and if many shared these requests, all would be whole late."""

_Given = trio.MemorySendChannel[list[Published]]


class PublishedWalk:
    """Finds all published files below one directory; outputs are left out. Used once.

    Args:
        finder: what lies under a path.
        directories: what lies in one.
        top: the directory.
        at_once: how many directories are listed together.
    """

    def __init__(
        self, finder: NodeFinder, directories: Directories, top: str, *, at_once: int
    ) -> None:
        self._finder = finder
        self._directories = directories
        self._at_once = at_once
        self._waiting = [top]
        self._busy = 0
        self._changed = trio.Event()
        self._large = trio.Lock()
        self._failure: Exception | None = None

    @asynccontextmanager
    async def files(self) -> AsyncIterator[AsyncIterator[Published]]:
        """Iterate over the files.

        Raises:
            TierError: an origin had to be asked and could not answer; by the iterator.
        """
        failure: BaseException | None = None
        give, take = trio.open_memory_channel[list[Published]](0)
        async with trio.open_nursery() as nursery, give, take:
            for _ in range(self._at_once):
                nursery.start_soon(self._work, give.clone())
            give.close()
            try:
                async with aclosing(self._come(take)) as found:
                    yield found
            except (Exception, GeneratorExit) as error:  # noqa: BLE001  # raised below
                failure = error  # without the nursery's group, which no generator may end with
            nursery.cancel_scope.cancel()
        if failure is not None:
            raise failure

    async def _come(
        self, take: trio.MemoryReceiveChannel[list[Published]]
    ) -> AsyncGenerator[Published, None]:
        async for found in take:
            for one in found:
                yield one
        if self._failure is not None:
            raise self._failure

    async def _work(self, give: _Given) -> None:
        async with give:
            while self._waiting or self._busy:
                if not self._waiting:
                    await self._changed.wait()
                    continue
                path = self._waiting.pop()
                self._busy += 1
                try:
                    await self._list(path, give)
                except Exception as error:  # noqa: BLE001  # raised to who iterates
                    # Here it would be a group, and would cancel him while he does something else.
                    self._failure = self._failure or error
                    self._waiting.clear()
                finally:
                    self._busy -= 1
                    self._wake()

    async def _list(self, path: str, give: _Given) -> None:
        async with self._large:
            pass  # one directory that is too large to keep is enough in memory
        snapshot = await self._directories.snapshot(path)
        if len(snapshot) <= KEPT_ENTRIES_MAX:
            await self._look(snapshot, give)
        else:
            async with self._large:
                await self._look(snapshot, give)

    async def _look(self, snapshot: Snapshot, give: _Given) -> None:
        found: list[Published] = []
        for index in range(len(snapshot)):
            await snapshot.prepare(index)
            entry = snapshot.entry(index)
            if entry is None:
                continue
            path = paths.join(snapshot.path, entry[0])
            if entry[1].kind is Kind.DIRECTORY:
                self._waiting.append(path)
                self._wake()
            elif entry[1].kind is Kind.FILE:
                node = await self._finder.find(path)
                if isinstance(node, Published):
                    found.append(node)
            if len(found) >= PREPARED_ENTRIES:
                await give.send(found)
                found = []
        if found:
            await give.send(found)

    def _wake(self) -> None:
        self._changed.set()
        self._changed = trio.Event()
