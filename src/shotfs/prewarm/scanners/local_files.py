"""`LocalFiles`: what lies where, as this machine sees it: through the mount, or on plain disks."""

from __future__ import annotations

import errno
import os
import stat

from shotfs.prewarm.scanners.expansion import Facts

_NO_SUCH_NAME = frozenset({errno.ENAMETOOLONG, errno.EILSEQ, errno.ELOOP, errno.EINVAL})
"""Names that no file can have here."""


class LocalFiles:
    """`expansion.Files` of paths that can be opened here as they are written."""

    def local(self, path: str) -> str:
        """Return *path* itself."""
        return path

    def names(self, directory: str) -> list[str]:
        """Return the names in *directory*; none where there is no such directory."""
        try:
            # Names that are no UTF-8 cannot be named by a manifest either.
            return [name for name in os.listdir(directory) if name.isprintable()]
        except (FileNotFoundError, NotADirectoryError):
            return []

    def facts(self, path: str) -> Facts | None:
        """Return the size and time of the file *path*; None: there is none."""
        try:
            found = os.stat(path)
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as exc:
            if exc.errno in _NO_SUCH_NAME:
                return None
            raise
        return Facts(found.st_size, found.st_mtime_ns) if stat.S_ISREG(found.st_mode) else None
