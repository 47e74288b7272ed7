"""File handles: the numbers by which the kernel calls what is open.

The kernel gives a handle back as it got it, so its upper bits carry what the C helper tells the
kernel about an open (`_interpose.c`); without the helper they stay empty.
"""

from __future__ import annotations

from collections.abc import Container

from shotfs.fuse import helper

_NUMBER_BITS = 29


class FileHandles:
    """Gives numbers that nothing open has.

    Args:
        taken: handles that are in use.
    """

    def __init__(self, *taken: Container[int]) -> None:
        self._taken = taken
        self._last = 0
        module = helper.MODULE
        self._noflush = 0 if module is None else module.NOFLUSH
        self._cached_directory = 0 if module is None else module.CACHE_DIR
        self._kept_directory = 0 if module is None else module.CACHE_DIR | module.KEEP_CACHE
        self._backing_shift = 0 if module is None else module.BACKING_SHIFT

    def of_file(self, *, writable: bool, backing: int) -> int:
        """Return a handle of a file.

        Args:
            writable: whether its close() must come by here.
            backing: number of its backing file, 0 for none; only with the helper.
        """
        flags = 0 if writable else self._noflush
        return self._free(flags | (backing << self._backing_shift))

    def of_directory(self, *, cached: bool, kept: bool) -> int:
        """Return a handle of a directory.

        Args:
            cached: the kernel may list it from its pages while it is open, and later.
            kept: what it has in its pages already is still right.
        """
        flags = (self._kept_directory if kept else self._cached_directory) if cached else 0
        return self._free(flags)

    def _free(self, flags: int) -> int:
        while True:
            self._last = self._last % ((1 << _NUMBER_BITS) - 1) + 1
            number = self._last | flags
            if not any(number in taken for taken in self._taken):
                return number
