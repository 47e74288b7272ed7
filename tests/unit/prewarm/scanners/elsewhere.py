"""`expansion.Files` of a host without a mount: scenes are read from copies."""

from __future__ import annotations

import os
import shutil

from shotfs.prewarm.scanners.expansion import Facts
from shotfs.prewarm.scanners.local_files import LocalFiles


class Elsewhere:
    """Says that what lies in *origin* lies below *root*, which is not there; copies what is read.

    Copies lie alone, under names of their own: nothing relative leads anywhere.
    """

    def __init__(self, root: str, origin: str, copies: str) -> None:
        self._root, self._origin, self._copies = root, origin, copies
        self._files = LocalFiles()

    def _there(self, path: str) -> str:
        assert path == self._root or path.startswith(self._root + "/"), path
        return self._origin + path[len(self._root) :]

    def local(self, path: str) -> str:
        stem, suffix = os.path.splitext(os.path.basename(path))
        copy = os.path.join(self._copies, str(abs(hash(path))), f"{stem}_copy{suffix}")
        os.makedirs(os.path.dirname(copy), exist_ok=True)
        return shutil.copyfile(self._there(path), copy)

    def names(self, directory: str) -> list[str]:
        return self._files.names(self._there(directory))

    def facts(self, path: str) -> Facts | None:
        return self._files.facts(self._there(path))
