"""Forgetting: make the kernel ask again about what another specification now says.

The kernel remembers names, also impossible ones, for as long as it was told, and asks nobody
meanwhile. Since Linux 6.16 one notification makes every remembered name of a mount count as old
(FUSE_NOTIFY_INC_EPOCH); answers that are on their way are covered too. Before, dropping the entry
of the show's directory drops all names below it that nobody is using. In both cases files keep
their inodes, and with them the pages of those whose revision is the same.

Blocking; call these in threads: dropping an entry waits for look-ups in its directory.

References: fuse_notify_inc_epoch and fuse_reverse_inval_entry in fs/fuse/dev.c and dir.c of Linux.
"""

from __future__ import annotations

import errno
import logging
import os
import struct
from collections.abc import Iterable

import pyfuse3
from pyfuse3 import InodeT

from shotfs.fuse.inodes import Node
from shotfs.vfs.attributes import directory_identity

log = logging.getLogger(__name__)

INC_EPOCH = 8
"""FUSE_NOTIFY_INC_EPOCH. The header's error field carries the code of a notification."""

DIRECTORIES_MAX = 100_000
"""Directories whose attributes are dropped, one by one."""

_OUT_HEADER = struct.Struct("=IiQ")  # length, code, unique (0: a notification)


def forget_names(descriptor: int, show: str) -> bool:
    """Make the kernel ask again about every name below *show*.

    Args:
        descriptor: the FUSE device of the session.
        show: the name of a directory in the mount's root.

    Returns:
        Whether everything was forgotten. Else, names of files in use may be remembered.
    """
    if _increment_epoch(descriptor):
        return True
    try:
        pyfuse3.invalidate_entry(pyfuse3.ROOT_INODE, os.fsencode(show))
    except OSError as exc:
        if exc.errno != errno.ENOENT:  # else the kernel does not know the show at all
            log.warning("the kernel keeps names of the show: %s", exc, extra={"show": show})
            return False
    return True


def forget_name(directory: InodeT, name: str) -> None:
    """Make the kernel look *name* in the inode *directory* up again."""
    try:
        pyfuse3.invalidate_entry(directory, os.fsencode(name))
    except OSError as exc:
        if exc.errno != errno.ENOENT:  # else the kernel does not remember it
            log.info("name not dropped: %s", exc, extra={"entry": name})


def forget_directories(nodes: Iterable[Node], top: str) -> None:
    """Make the kernel ask again for owner and mode of *top* and directories below, of *nodes*.

    Whoever works in a directory does not look it up by its name, and may write there or not by
    the mode that the kernel remembers.
    """
    prefix = f"{top}/"
    dropped = 0
    for node in nodes:
        inside = node.path == top or node.path.startswith(prefix)
        if not inside or node.identity != directory_identity(node.path):
            continue
        if dropped == DIRECTORIES_MAX:
            log.warning("modes of some directories may be old for their time to live")
            return
        dropped += 1
        try:
            pyfuse3.invalidate_inode(InodeT(node.number), attr_only=True)
        except OSError as exc:
            if exc.errno != errno.ENOENT:
                log.info("attributes not dropped: %s", exc, extra={"path": node.path})


def _increment_epoch(descriptor: int) -> bool:
    try:
        os.write(descriptor, _OUT_HEADER.pack(_OUT_HEADER.size, INC_EPOCH, 0))
    except OSError as exc:
        # EINVAL: a kernel that does not know this notification.
        if exc.errno != errno.EINVAL:
            log.warning("the kernel did not take a notification: %s", exc)
        return False
    return True
