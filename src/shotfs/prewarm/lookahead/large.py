"""Large files: how much of them is read, so that the next of the sequence is fetched or is not."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable

from shotfs.prewarm.lookahead.shapes import Shape

LARGE_PARTS = 4
"""A large file of which a quarter is read is fetched whole in the next frame."""


SHAPES_MAX = 4_096


class ReadWhole:
    """Sequences of large files that are read to a good part."""

    def __init__(self) -> None:
        self._keys: OrderedDict[str, None] = OrderedDict()

    def __contains__(self, shape: Shape) -> bool:
        return shape.key in self._keys

    def add(self, shape: Shape) -> None:
        """Note one."""
        self._keys[shape.key] = None
        if len(self._keys) > SHAPES_MAX:
            self._keys.popitem(last=False)


class LargeRead:
    """Notes how much of a large file is read. A `ReadNotes`.

    Args:
        size_bytes: of the file.
        read_whole: called once, when a good part was read.
    """

    def __init__(self, size_bytes: int, read_whole: Callable[[], None]) -> None:
        self._missing_bytes = size_bytes // LARGE_PARTS
        self._read_whole = read_whole

    def read(self, start: int, stop: int, waited_s: float) -> None:
        """Count the bytes."""
        del waited_s
        if self._missing_bytes > 0:
            self._missing_bytes -= stop - start
            if self._missing_bytes <= 0:
                self._read_whole()

    def closed(self) -> None:
        """What was read was noted."""
