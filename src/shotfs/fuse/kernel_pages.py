"""Kernel pages: which listing of a directory the kernel may have; see `listings`."""

from __future__ import annotations

from shotfs.vfs.directories import SnapshotStamp


class KernelPages:
    """What the kernel's pages of one directory hold, or may hold.

    Attributes:
        stamp: of the listing; None: of more than one, perhaps.
        begun: somebody was sent its beginning since it is this one.
        handles: how many are open that may read or fill the pages.
    """

    __slots__ = ("begun", "handles", "stamp")

    def __init__(self, stamp: SnapshotStamp) -> None:
        self.stamp: SnapshotStamp | None = stamp
        self.begun = False
        self.handles = 0

    def doubt(self) -> None:
        """Note that nobody knows any more what they hold."""
        self.stamp, self.begun = None, False
