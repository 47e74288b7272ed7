"""Inodes: which path and revision an inode number stands for, and how often the kernel knows it.

A number derives from the identity (path and revision) by its low 63 bits, so that it is the same
after a remount; two identities that collide are told apart here, for as long as the kernel knows
the first one. A node goes when the kernel forgets it: nothing here grows with the show.
"""

from __future__ import annotations

from collections.abc import Iterator

from shotfs.fuse.kernel_pages import KernelPages
from shotfs.vfs import Attributes, Handle, Kind
from shotfs.vfs.attributes import directory_identity

ROOT = 1
"""The root's inode number, by the protocol."""

_NUMBER_MASK = (1 << 63) - 1


class Node:
    """One inode that the kernel knows.

    Attributes:
        number: inode number.
        path: mount-relative; follows renames.
        identity: `Attributes.identity` when it was looked up.
        lookups: how many of the kernel's references are left.
        handles: open files of this inode; fstat asks the newest.
        front: handle under which the native thread has it open for all; 0: it does not answer.
        pages: of a directory: which listing the kernel may have in its pages.
        backing: the kernel's number of the file that it reads in place of asking us; 0: it asks.
    """

    __slots__ = ("backing", "front", "handles", "identity", "lookups", "number", "pages", "path")

    def __init__(self, number: int, path: str, identity: int) -> None:
        self.number = number
        self.path = path
        self.identity = identity
        self.lookups = 0
        self.handles: tuple[Handle, ...] = ()
        self.backing = 0
        self.front = 0
        self.pages: KernelPages | None = None

    def shows(self, attributes: Attributes) -> bool:
        """Whether what was found under the path is what this inode stands for."""
        # A directory is its path: whatever made it, it stays the same.
        return attributes.identity == self.identity or attributes.kind is Kind.DIRECTORY


class InodeTable:
    """The inodes that the kernel knows."""

    def __init__(self, root_identity: int) -> None:
        root = Node(ROOT, "", root_identity)
        root.lookups = 1
        self._nodes: dict[int, Node] = {ROOT: root}

    def __len__(self) -> int:
        return len(self._nodes)

    def __iter__(self) -> Iterator[Node]:
        return iter(self._nodes.values())

    def get(self, number: int) -> Node | None:
        """Return the node of inode *number*, None if the kernel should not know it."""
        return self._nodes.get(number)

    def find(self, identity: int) -> Node | None:
        """Return the node of *identity*, None if the kernel does not know it."""
        root = self._nodes[ROOT]
        return root if identity == root.identity else self._nodes.get(self.number(identity))

    def number(self, identity: int) -> int:
        """Return the inode number of *identity*, whether the kernel knows it or not."""
        number = max(identity & _NUMBER_MASK, ROOT + 1)
        while (node := self._nodes.get(number)) is not None and node.identity != identity:
            number = number + 1 if number < _NUMBER_MASK else ROOT + 1
        return number

    def remember(self, path: str, attributes: Attributes) -> Node:
        """Return the node of what lies under *path*, with one more reference by the kernel."""
        identity = attributes.identity
        return self.remember_as(self.number(identity), path, identity)

    def remember_as(self, number: int, path: str, identity: int) -> Node:
        """As `remember`, where *number* was just worked out from the *identity*."""
        node = self._nodes.get(number)
        if node is None:
            node = self._nodes[number] = Node(number, path, identity)
        else:
            node.path = path
        node.lookups += 1
        return node

    def forget(self, number: int, count: int) -> Node | None:
        """Take back *count* references of the kernel; return the node if it was the last."""
        node = self._nodes.get(number)
        if node is None or number == ROOT:
            return None
        node.lookups -= count
        if node.lookups > 0:
            return None
        del self._nodes[number]
        return node

    def moved(self, old: str, new: str, identity: int, *, directory: bool) -> None:
        """Note that what lay under *old*, with *identity*, lies under *new*.

        A directory's identity is its path, so it changes; its number stays for as long as the
        kernel knows it, and whatever is made under the old name gets another.
        """
        node = self._nodes.get(self.number(identity))
        if node is not None:
            _move(node, new)
        if directory:
            # Rare (directories that hold nothing published), so a scan costs less than an index.
            prefix = f"{old}/"
            for below in self._nodes.values():
                if below.path.startswith(prefix):
                    _move(below, f"{new}/{below.path[len(prefix) :]}")


def _move(node: Node, path: str) -> None:
    if node.identity == directory_identity(node.path):
        node.identity = directory_identity(path)
        if node.pages is not None:
            node.pages.doubt()
    node.path = path
