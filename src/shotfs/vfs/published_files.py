"""Published files: those at and below a path, one directory after the other (pins, evictions).

A prewarm, whose requests fill an origin, lists several at a time: `published_walk`.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator

from shotfs.vfs import paths
from shotfs.vfs.attributes import Kind
from shotfs.vfs.directories import Directories
from shotfs.vfs.finder import NodeFinder
from shotfs.vfs.nodes import Directory, Node, Published


async def published_below(
    finder: NodeFinder, directories: Directories, node: Node
) -> AsyncGenerator[Published, None]:
    """Yield *node* if it is a published file, else those below it; outputs are left out.

    Raises:
        TierError: an origin had to be asked and could not answer.
    """
    waiting = [node.path] if isinstance(node, Directory) else []
    if isinstance(node, Published):
        yield node
    while waiting:
        snapshot = await directories.snapshot(waiting.pop())
        for index in range(len(snapshot)):
            await snapshot.prepare(index)
            entry = snapshot.entry(index)
            if entry is None:
                continue
            path = paths.join(snapshot.path, entry[0])
            if entry[1].kind is Kind.DIRECTORY:
                waiting.append(path)
            elif entry[1].kind is Kind.FILE:
                child = await finder.find(path)
                if isinstance(child, Published):
                    yield child
