"""Large files: which parts of them are read, so that the same parts of the next one are fetched.

Of a volume, a scene archive or a tiled image a renderer reads a head, a directory at the end, and
what lies in its view; the next frame's is read alike. What was read of the last few files of a
sequence is remembered, the fullest one counts, and what lay near the end is taken from the end, as
files of a sequence differ in size. Pure; bounded: `SHAPES_MAX` sequences of some 10 KB.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from shotfs.cache.blocks import BLOCK_BYTES
from shotfs.cache.reader import FILL_BYTES_MAX
from shotfs.cache.stream import SMALL_BYTES_MAX
from shotfs.pathspec import Fill
from shotfs.prewarm.recording.ranges import Range, Ranges
from shotfs.tiers.base import Span

WHOLE_BYTES_MAX = FILL_BYTES_MAX
"""A file up to this size comes whole when a part of it is read."""

HEAD_BYTES = 4 * 1024 * 1024
"""What is fetched of a large file while nobody knows what is read of it: its headers, and enough
to begin with for who reads on."""

LARGE_PARTS = 4
"""A large file of which a quarter is read is fetched whole in the next frame: who opens it would
have the rest fetched, too (`cache.access.TOUCHED_PARTS`)."""

SHAPES_MAX = 512
FILES_KEPT = 4
"""Of each sequence: several frames may be read at once, and none of them to its end yet."""


@dataclass(slots=True, eq=False)
class FileRead:
    """What was read of one file of a sequence, by whomever.

    Attributes:
        size_bytes: of the file.
        ranges: that were read.
    """

    size_bytes: int
    ranges: Ranges = field(default_factory=Ranges)

    @property
    def length_bytes(self) -> int:
        """How much was read; twice counts once."""
        return sum(stop - start for start, stop in self.ranges.all())


class LargeFiles:
    """What is read of the large files of each sequence."""

    def __init__(self) -> None:
        self._shapes: OrderedDict[str, OrderedDict[str, FileRead]] = OrderedDict()

    def file(self, shape: str, path: str, size_bytes: int) -> FileRead:
        """Return where reads of the file *path*, of the sequence *shape*, are noted."""
        files = self._shapes.setdefault(shape, OrderedDict())
        self._shapes.move_to_end(shape)
        if len(self._shapes) > SHAPES_MAX:
            self._shapes.popitem(last=False)
        found = files.get(path)
        if found is None or found.size_bytes != size_bytes:
            found = files[path] = FileRead(size_bytes)
        files.move_to_end(path)
        if len(files) > FILES_KEPT:
            # Several frames may have been opened, of which nothing is read yet.
            unread = (one for one, file in files.items() if one != path and not file.length_bytes)
            del files[next(unread, next(iter(files)))]
        return found

    def wanted(self, shape: str, fill: Fill, size_bytes: int) -> tuple[Span, ...] | None:
        """Return which parts of a file of the sequence *shape* are worth having; None: the whole.

        Args:
            shape: its key.
            fill: of its template.
            size_bytes: of the file.
        """
        if not comes_in_parts(fill, size_bytes):
            return None
        files = self._shapes.get(shape)
        read = () if files is None else files.values()
        fullest = max(read, key=lambda one: one.length_bytes, default=None)
        head = joined([(0, HEAD_BYTES)], size_bytes)
        if fullest is None or not fullest.length_bytes:
            return head
        if fill is not Fill.RANGES and fullest.length_bytes * LARGE_PARTS >= fullest.size_bytes:
            return None
        by = size_bytes - fullest.size_bytes
        parts = joined(
            (
                (start, stop) if start + stop <= fullest.size_bytes else (start + by, stop + by)
                for start, stop in fullest.ranges.all()
            ),
            size_bytes,
        )
        return parts or head  # none of it, where the file is so much smaller


def comes_in_parts(fill: Fill, size_bytes: int) -> bool:
    """Whether less than the whole of a file may be fetched: of a small one, a reader has it all."""
    if fill is Fill.RANGES:
        return size_bytes > SMALL_BYTES_MAX
    return fill is Fill.AUTO and size_bytes > WHOLE_BYTES_MAX


def joined(ranges: Iterable[Range], size_bytes: int) -> tuple[Span, ...]:
    """Return *ranges* in whole blocks, within a file of *size_bytes*, sorted and apart."""
    blocks = Ranges()
    for start, stop in ranges:
        first = max(start, 0) // BLOCK_BYTES
        blocks.add(first * BLOCK_BYTES, min(-(-stop // BLOCK_BYTES) * BLOCK_BYTES, size_bytes))
    return tuple(Span(start, stop) for start, stop in blocks.all())


def covers(parts: Iterable[Span], wanted: Iterable[Span]) -> bool:
    """Whether each of *wanted* lies in one of *parts*, both as `joined` gives them."""
    having = tuple(parts)
    return all(any(p.start <= w.start and w.stop <= p.stop for p in having) for w in wanted)


class LargeRead:
    """Notes what is read of a large file. A `ReadNotes`.

    Args:
        file: where it is noted.
        seen: told of each read.
        learned: called when twice as much was read as the last time, and at the end.
        closed: called at the end.
    """

    def __init__(
        self,
        file: FileRead,
        seen: Callable[[int, int], None],
        learned: Callable[[], None],
        closed: Callable[[], None],
    ) -> None:
        self._file = file
        self._seen = seen
        self._learned = learned
        self._closed = closed
        self._read_bytes = self._told_bytes = 0

    def read(self, start: int, stop: int, waited_s: float) -> None:
        """Note the bytes."""
        del waited_s
        self._file.ranges.add(start, stop)
        self._seen(start, stop)
        self._read_bytes += stop - start
        if self._read_bytes >= 2 * self._told_bytes:
            self._told_bytes = self._read_bytes
            self._learned()

    def closed(self) -> None:
        """What was read counts."""
        if self._read_bytes > self._told_bytes:
            self._learned()
        self._closed()
