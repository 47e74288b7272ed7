"""Front: a native thread that answers for files which are whole and never change.

It stands between the kernel and pyfuse3 (`_front.c`) and answers opens, reads and closes of the
files that it was told of; everything else comes to Python as before. A file is told of when it was
opened once through Python and is closed: the handle is not given up but stays, idle, in the name of
all who open the file next. So its content cannot be evicted between two opens. Idle handles are
given up when they were not used for a while, and all of them at once when the cache needs room.

Owns the table of those files. Event loop only; the thread is the C library's own.

Without the C helper, or where `mount.native_thread` is off, nothing is ever told of.
"""

from __future__ import annotations

import errno
import logging
import os
import resource
import struct
from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import Any

import trio

from shotfs.fuse import helper
from shotfs.fuse.inodes import Node
from shotfs.observe.metrics import Metrics
from shotfs.vfs.attributes import Attributes
from shotfs.vfs.filesystem import BLOCK_BYTES
from shotfs.vfs.handles import PublishedHandle

log = logging.getLogger(__name__)

ROUND_S = 5.0
"""How often uses are brought to the cache, which evicts by them."""

IDLE_ROUNDS = 6
"""After so many rounds without a use a file is not answered for any more."""

DESCRIPTORS_SHARE = 4
"""The part of the process's descriptors that idle files may take: a fourth."""

KEEP_CACHE, NOFLUSH, PASSTHROUGH = 1 << 1, 1 << 5, 1 << 7
"""FOPEN_* of <linux/fuse.h>."""

_ATTR_OUT = struct.Struct("=QIIQQQQQQIIIIIIIIII")
"""struct fuse_attr_out: validity, then struct fuse_attr."""

_IDLE = {"files": 0, "open_files": 0}


def attributes_out(number: int, attributes: Attributes) -> bytes:
    """Return the answer to FUSE_GETATTR for inode *number*, 104 bytes."""
    seconds = int(attributes.ttl_s)
    mtime_s, mtime_ns = divmod(attributes.mtime_ns, 1_000_000_000)
    ctime_s, ctime_ns = divmod(attributes.ctime_ns, 1_000_000_000)
    mask = (1 << 64) - 1  # times before 1970
    return _ATTR_OUT.pack(
        seconds,
        int((attributes.ttl_s - seconds) * 1e9),
        0,
        number,
        attributes.size_bytes,
        (attributes.size_bytes + 511) // 512,
        mtime_s & mask,  # atime: as in `entries.entry_of`
        mtime_s & mask,
        ctime_s & mask,
        mtime_ns,
        mtime_ns,
        ctime_ns,
        attributes.kind | attributes.mode,
        1,
        attributes.uid,
        attributes.gid,
        0,
        BLOCK_BYTES,
        0,
    )


class Front:
    """The files that the native thread answers for.

    Args:
        files_max: how many at once; each holds a descriptor.
        metrics: counts opens.
        give_up: ends the handle that was kept for a node nobody has open.

    Attributes:
        problem: why there is no native thread; "" while there is.
    """

    def __init__(
        self, *, files_max: int, metrics: Metrics, give_up: Callable[[Node], None]
    ) -> None:
        self.problem = "the mount is not open"
        self._files_max = files_max
        self._metrics = metrics
        self._give_up = give_up
        self._idle_rounds: OrderedDict[Node, int] = OrderedDict()
        self._opens_counted = 0

    def __repr__(self) -> str:
        return f"<Front {self.problem or 'on'} files={len(self._idle_rounds)}>"

    @property
    def active(self) -> bool:
        """Whether files are answered for."""
        return not self.problem

    def start(self, descriptor: int, setting: str) -> int:
        """Put the thread between the device *descriptor* and pyfuse3.

        Args:
            descriptor: as pyfuse3 knows the session.
            setting: `mount.native_thread`.

        Returns:
            The descriptor of the device from now on: *descriptor* itself if there is no thread.
        """
        if setting == "off":
            self.problem = "mount.native_thread is off"
        elif helper.MODULE is None:
            self.problem = helper.PROBLEM
        else:
            soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
            if soft != resource.RLIM_INFINITY:
                self._files_max = max(1, min(self._files_max, soft // DESCRIPTORS_SHARE))
            try:
                device: int = helper.MODULE.start(descriptor, self._files_max)
            except OSError as exc:
                self.problem = f"it could not be started: {os.strerror(exc.errno or errno.EIO)}"
                log.warning("requests are not answered natively: %s", self.problem)
            else:
                self.problem = ""
                return device
        return descriptor

    def stop(self) -> None:
        """Give pyfuse3 its device back. Blocks for a moment: call it from a thread."""
        if not self.problem:
            self.problem = "the mount has ended"
            assert helper.MODULE is not None
            helper.MODULE.stop()

    def counts(self) -> Mapping[str, int]:
        """Return how many files are answered for and open, and what was answered by operation."""
        if self.problem or helper.MODULE is None:
            return _IDLE
        counted: Mapping[str, int] = helper.MODULE.counts()
        return counted

    def report(self) -> Mapping[str, Any]:
        """Return what `status` says."""
        return {
            "native_thread": self.active,
            "native_thread_problem": self.problem or None,
            "native": dict(self.counts()) if self.active else None,
        }

    # --- files -----------------------------------------------------------------------------------

    def answer_for(self, node: Node, handle: PublishedHandle, number: int) -> bool:
        """Answer for *node* from now on, with *handle*, which nobody else uses any more.

        Args:
            node: the kernel knows it.
            handle: stays open until `give_up` is called for *node*.
            number: file handle under which everybody has it open.

        Returns:
            False: it is not answered for.
        """
        if self.problem or helper.MODULE is None:
            return False
        descriptor = handle.lasting_descriptor()
        if descriptor is None or not self._make_place():
            return False
        attributes = handle.attributes()
        flags = NOFLUSH | (PASSTHROUGH if node.backing else KEEP_CACHE)
        added = helper.MODULE.add(
            node.number,
            number,
            descriptor,
            attributes.size_bytes,
            flags,
            node.backing,
            attributes_out(node.number, attributes),
        )
        if added:
            self._idle_rounds[node] = 0
        return bool(added)

    def retire(self, node: Node) -> None:
        """Answer for *node* no more; whoever has it open keeps it until he closes it."""
        if self._idle_rounds.pop(node, None) is None or helper.MODULE is None:
            return
        if helper.MODULE.retire(node.number) == 0:
            self._give_up(node)

    def retire_all(self, wanted: Callable[[Node], bool] = lambda _: True) -> None:
        """Answer no more for those that are *wanted*."""
        for node in list(self._idle_rounds):
            if wanted(node):
                self.retire(node)

    def retire_idle(self) -> None:
        """Answer no more for files that nobody has open now: the cache needs their room."""
        for node in list(self._idle_rounds):
            self._bring_use(node)
        # What is open stays open, and is answered for again when it was closed.
        self.retire_all()

    async def run(self) -> None:
        """Bring uses to the cache and give up what is not used; for ever."""
        while True:
            await trio.sleep(ROUND_S)
            self.count_opens()
            self.settle()

    def settle(self) -> None:
        """End a round: bring uses to the cache, give up what was idle for long."""
        for node in list(self._idle_rounds):
            if self._bring_use(node):
                # Nobody else would notice that the kernel gets EIO from the disk.
                if node.backing and not _readable(node):
                    self.retire(node)
            elif self._idle_rounds[node] >= IDLE_ROUNDS:
                self.retire(node)

    def count_opens(self) -> None:
        """Bring the opens that the thread answered to the metrics."""
        opens = self.counts().get("open", 0)
        self._metrics.opens["warm"].inc(max(opens - self._opens_counted, 0))
        self._metrics.cache_hits.inc(max(opens - self._opens_counted, 0))
        self._opens_counted = opens

    def _bring_use(self, node: Node) -> bool:
        """Tell the cache if *node* was used since it was asked last."""
        assert helper.MODULE is not None
        if not helper.MODULE.take_used(node.number):
            self._idle_rounds[node] += 1
            return False
        self._idle_rounds[node] = 0
        for handle in node.handles:
            if isinstance(handle, PublishedHandle):
                handle.touch()
        return True

    def _make_place(self) -> bool:
        """Give up the file that was told of first and not used since, if there are too many."""
        if len(self._idle_rounds) < self._files_max:
            return True
        for _ in range(8):
            node = next(iter(self._idle_rounds))
            if not self._bring_use(node):
                self.retire(node)
                return True
            self._idle_rounds.move_to_end(node)
        return False


def _readable(node: Node) -> bool:
    """Whether the disk still has what the kernel reads of *node* by itself."""
    return all(
        handle.lasting_descriptor() is not None
        for handle in node.handles
        if isinstance(handle, PublishedHandle)
    )
