"""Forgetting: make the kernel ask again about what is different now.

The kernel remembers names, also impossible ones, and attributes for as long as it was told, and
asks nobody meanwhile. Of what this node itself changes (a specification, an alias, a version, what
`shotfs refresh` finds, wrong bytes) it is told by notifications, messages on the FUSE device:

- Dropping one name waits for every look-up that is under way in its directory, and look-ups of
  names that the kernel does not know yet queue behind it. Where such a look-up waits for an origin
  that would be a minute (S7; measured 2026-11, Linux 6.18). So while one is under way,
- an epoch makes every remembered name of the mount count as old; it waits for nothing, and covers
  answers that are on their way. Since Linux 6.16 (FUSE_NOTIFY_INC_EPOCH). Each name that is used
  again costs one look-up, from memory: too much for each name that moved.

Before 6.16 dropping names is all there is. In both cases files keep their inodes, and with them the
pages of those whose revision is the same.

Messages are written here and not by pyfuse3, whose session may be gone by the time a thread gets to
it, and the process with it. A thread writes each message, never the event loop, which answers what
the message may wait for.

References: fuse_notify in fs/fuse/dev.c, fuse_reverse_inval_entry in dir.c, inode.c of Linux.
"""

from __future__ import annotations

import errno
import logging
import os
import struct
import threading
from collections.abc import Callable, Iterable, Sequence
from typing import TypeVar

import trio

from shotfs.fuse.inodes import ROOT, Node
from shotfs.vfs.attributes import directory_identity

log = logging.getLogger(__name__)

R = TypeVar("R")

INVAL_INODE = 2
"""FUSE_NOTIFY_INVAL_INODE. The header's error field carries the code of a notification."""

INVAL_ENTRY = 3
"""FUSE_NOTIFY_INVAL_ENTRY."""

INC_EPOCH = 8
"""FUSE_NOTIFY_INC_EPOCH."""

ATTRIBUTES_MAX = 100_000
"""Inodes whose attributes are dropped, one by one."""

NAMES_MAX = 1_000
"""More names than this are forgotten by an epoch, where there are epochs."""

PATIENCE_S = 1.0
"""How long names may wait for something that holds their directory before an epoch is begun. The
thread waits on: at most for a request's deadline."""

THREADS_MAX = 8
"""Messages that wait at once. Threads of their own: nothing else stops when they are used up."""

_OUT_HEADER = struct.Struct("=IiQ")  # length, code, unique (0: a notification)
_INVAL_INODE = struct.Struct("=Qqq")  # inode, offset, length (0: to the end)
_INVAL_ENTRY = struct.Struct("=QII")  # inode of the directory, length of the name, flags

NO_PAGES = -1
"""The offset that drops attributes and leaves pages alone."""


class Forgetting:
    """Makes the kernel forget, for as long as a session is open. Event loop only.

    Args:
        looks_in: whether a look-up is under way in the directory of that path.
    """

    def __init__(self, looks_in: Callable[[str], bool]) -> None:
        self._looks_in = looks_in
        self._threads = trio.CapacityLimiter(THREADS_MAX)
        # Between the end of a session and a thread that is about to write to it.
        self._lock = threading.Lock()
        self._device = -1
        self._has_epochs = True

    def begin(self, device: int) -> None:
        """Start, with the descriptor of the session's FUSE device."""
        self._device = device

    def end(self) -> None:
        """Stop: the descriptor stands for something else soon. What comes later does nothing."""
        with self._lock:
            self._device = -1

    async def forget_show(self, show: str) -> None:
        """Make the kernel ask again about every name below *show*, a directory of the root."""
        if not await self._begin_epoch():
            # Drops what lies below it, except names of what is in use.
            await self._write(_drop_names, [(ROOT, show)])

    async def forget_names(self, names: Sequence[tuple[Node, str]]) -> None:
        """Make the kernel look up again what lies in these directories under these names.

        Of a directory's name that drops all names below it that nobody is using.
        """
        busy = len(names) > NAMES_MAX or any(self._looks_in(node.path) for node, _ in names)
        if not names or (busy and await self._begin_epoch()):
            return
        with trio.move_on_after(PATIENCE_S) as patience:
            await self._write(_drop_names, [(node.number, name) for node, name in names])
        if patience.cancelled_caught:
            await self._begin_epoch()

    async def forget_attributes(self, nodes: Iterable[Node], top: str, *, files: bool) -> None:
        """Make the kernel ask again for the attributes of *top* and what lies below it.

        Who works in a directory does not look it up by its name, and may write there or not by the
        mode that the kernel remembers. Pages stay.

        Args:
            nodes: what the kernel knows; a copy, gone through in a thread.
            top: mount-relative path.
            files: also of files; else of directories only.
        """
        await self._write(_drop_attributes, nodes, top, files)

    async def drop_pages(self, node: Node) -> None:
        """Make the kernel forget content and attributes of a file."""
        await self._write(_drop_inode, node.number, 0)

    async def _begin_epoch(self) -> bool:
        """Let every remembered name count as old; return whether the kernel can do that."""
        if self._has_epochs and await self._write(_increment_epoch) is False:
            self._has_epochs = False
        return self._has_epochs

    async def _write(self, write: Callable[..., R], *arguments: object) -> R | None:
        """Call *write* in a thread with a descriptor of its own; None: the session is over."""

        def run() -> R | None:
            with self._lock:
                if self._device < 0:
                    return None
                descriptor = os.dup(self._device)
            try:
                return write(descriptor, *arguments)
            finally:
                os.close(descriptor)

        return await trio.to_thread.run_sync(run, limiter=self._threads, abandon_on_cancel=True)


def _drop_names(device: int, names: Iterable[tuple[int, str]]) -> None:
    for directory, name in names:
        encoded = os.fsencode(name)
        body = _INVAL_ENTRY.pack(directory, len(encoded), 0) + encoded + b"\0"
        try:
            _send(device, INVAL_ENTRY, body)
        except OSError as exc:
            if exc.errno != errno.ENOENT:  # else the kernel does not remember it
                log.warning("the kernel keeps a name: %s", exc, extra={"entry": name})


def _drop_attributes(device: int, nodes: Iterable[Node], top: str, files: bool) -> None:
    prefix = f"{top}/"
    dropped = 0
    for node in nodes:
        inside = node.path == top or node.path.startswith(prefix)
        if not inside or not (files or node.identity == directory_identity(node.path)):
            continue
        if dropped == ATTRIBUTES_MAX:
            log.warning("attributes of some inodes may be old for their time to live")
            return
        dropped += 1
        _drop_inode(device, node.number, NO_PAGES)


def _drop_inode(device: int, inode: int, offset: int) -> None:
    try:
        _send(device, INVAL_INODE, _INVAL_INODE.pack(inode, offset, 0))
    except OSError as exc:
        if exc.errno != errno.ENOENT:  # else the kernel does not know it any more
            log.warning("the kernel keeps what it has of an inode: %s", exc, extra={"inode": inode})


def _increment_epoch(device: int) -> bool:
    try:
        _send(device, INC_EPOCH, b"")
    except OSError as exc:
        if exc.errno == errno.EINVAL:  # a kernel that does not know this notification
            return False
        log.warning("the kernel did not take a notification: %s", exc)
    return True


def _send(device: int, code: int, body: bytes) -> None:
    os.write(device, _OUT_HEADER.pack(_OUT_HEADER.size + len(body), code, 0) + body)
