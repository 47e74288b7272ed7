"""Passthrough: files that the kernel reads and writes by itself, without asking us.

Owns the backing files of one session and the rule that an inode has one mode for as long as it is
open: the kernel refuses an open that breaks it (EIO), whether the inode is open through its page
cache or with another backing file. So whoever opens an inode that is open already gets the mode of
those before him, and only the first one chooses. Nothing here waits; event loop only.

References: fs/fuse/passthrough.c, backing.c and iomode.c of Linux 6.9 and later;
Documentation/filesystems/fuse/fuse-passthrough.rst.
"""

from __future__ import annotations

import errno
import fcntl
import logging
import struct

from shotfs.fuse.inodes import Node
from shotfs.vfs import Handle

log = logging.getLogger(__name__)

_MAP = struct.Struct("=iIQ")  # descriptor, flags, padding: struct fuse_backing_map


def _write_ioctl(number: int, size_bytes: int) -> int:
    """Return the request of _IOW(229, *number*, ...) (include/uapi/asm-generic/ioctl.h)."""
    return (1 << 30) | (size_bytes << 16) | (229 << 8) | number


BACKING_OPEN = _write_ioctl(1, _MAP.size)
BACKING_CLOSE = _write_ioctl(2, 4)


class Passthrough:
    """Backing files of a session.

    Args:
        bytes_min: smaller files go through the page cache of the mount: after a read, the kernel
            asks for the attributes of a passthrough file once more.
        files_max: how many at once; each holds a file open in the kernel.

    Attributes:
        problem: why there is no passthrough; "" while there is.
        opens: how many opens were answered with a backing file.
    """

    def __init__(self, *, bytes_min: int, files_max: int) -> None:
        self.problem = "the mount is not open"
        self.opens = 0
        self._bytes_min = bytes_min
        self._files_max = files_max
        self._device = -1
        self._count = 0
        self._warned: set[int | None] = set()

    def __repr__(self) -> str:
        return f"<Passthrough {self.problem or 'on'} files={self._count}>"

    @property
    def files(self) -> int:
        """How many backing files there are now."""
        return self._count

    @property
    def active(self) -> bool:
        """Whether files are opened passthrough."""
        return not self.problem

    def start(self, device: int) -> None:
        """Begin, on the descriptor *device* of the session."""
        self._device = device
        self.problem = ""

    def stop(self, problem: str) -> None:
        """Open nothing passthrough any more; what is open stays so until it is closed."""
        self.problem = problem

    def open(self, node: Node, handle: Handle, *, creating: bool) -> int:
        """Return the backing file for one more open of *node* by *handle*, 0 for none.

        Args:
            node: `Node.handles` are those that are open already, *handle* not among them.
            handle: the new one.
            creating: the file is new, and this its first open.
        """
        if node.handles:
            # Also where it could go passthrough by now: the mode is that of those before.
            if node.backing:
                handle.join_backing()
                self.opens += 1
            return node.backing
        if self.problem or self._count >= self._files_max:
            return 0
        descriptor = handle.backing(bytes_min=self._bytes_min, creating=creating)
        if descriptor is None:
            return 0
        identifier = self._register(descriptor)
        if identifier:
            handle.join_backing()
            self.opens += 1
        node.backing = identifier
        return identifier

    def released(self, node: Node) -> None:
        """Note that an open of *node* ended; after the last one its backing file goes."""
        if node.handles or not node.backing:
            return
        identifier, node.backing = node.backing, 0
        self.close(identifier)

    def register(self, descriptor: int) -> int:
        """Make the file behind *descriptor* a backing file.

        Returns:
            Its number, not 0.

        Raises:
            OSError: the kernel refuses: ELOOP or EOPNOTSUPP say that this file system cannot be
                one, EPERM that we are not allowed.
        """
        # Mutable: else Python returns the buffer in place of the number.
        identifier: int = fcntl.ioctl(
            self._device, BACKING_OPEN, bytearray(_MAP.pack(descriptor, 0, 0))
        )
        self._count += 1
        return identifier

    def close(self, identifier: int) -> None:
        """Let a backing file go; those who have it open keep it."""
        self._count -= 1
        try:
            fcntl.ioctl(self._device, BACKING_CLOSE, struct.pack("=I", identifier))
        except OSError as exc:
            # The session ended meanwhile, and with it all backing files.
            log.debug("backing file not closed: %s", exc)

    def _register(self, descriptor: int) -> int:
        try:
            return self.register(descriptor)
        except OSError as exc:
            if exc.errno not in self._warned:
                self._warned.add(exc.errno)
                log.warning("files are opened without passthrough: %s", exc)
            if exc.errno in (errno.EPERM, errno.ELOOP, errno.EOPNOTSUPP):
                self.stop(f"the kernel refuses backing files: {exc.strerror}")
            return 0
