"""Room: what the limits leave, counting what is here and what is promised. No I/O but statvfs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Shortage:
    """What must go before something fits. Never negative."""

    bytes: int
    files: int

    @property
    def none(self) -> bool:
        """Whether it fits as it is."""
        return self.bytes == 0 and self.files == 0


def _nothing() -> None:
    """Nobody minds."""


@dataclass(slots=True)
class Room:
    """The account of the cache.

    Attributes:
        bytes_max: limit of the content.
        files_max: limit of the number of files.
        free_bytes_min: floor of the disk, which others may fill too.
        free_bytes: asks the disk.
        used_bytes: content of blobs.
        used_files: blobs.
        reserved_bytes: what files that are coming in are going to hold.
        reserved_files: how many are coming in.
        written_bytes: how much of `reserved_bytes` is on the disk already.
        on_floor: called when bytes were written and the floor of the disk is reached.
    """

    bytes_max: int
    files_max: int
    free_bytes_min: int
    free_bytes: Callable[[], int]
    used_bytes: int = 0
    used_files: int = 0
    reserved_bytes: int = 0
    reserved_files: int = 0
    written_bytes: int = 0
    on_floor: Callable[[], None] = _nothing

    def shortage(self, size_bytes: int, *, files: int = 1, on_disk: bool = False) -> Shortage:
        """Return what stands in the way of one more file, or of more of one that is coming in.

        Args:
            size_bytes: of what is to come.
            files: 0: of a file that is counted already.
            on_disk: it occupies this disk already, so the floor does not matter.
        """
        over = self.used_bytes + self.reserved_bytes + size_bytes - self.bytes_max
        if not on_disk:
            coming = size_bytes + self.reserved_bytes - self.written_bytes
            over = max(over, coming + self.free_bytes_min - self.free_bytes())
        too_many = self.used_files + self.reserved_files + files - self.files_max
        return Shortage(max(over, 0), max(too_many, 0))

    def fits(self, files: int, size_bytes: int) -> bool:
        """Whether so many files of *size_bytes* together fit as it is."""
        some = self.shortage(size_bytes)
        return some.none and self.used_files + self.reserved_files + files <= self.files_max

    def excess(self) -> Shortage:
        """Return what is here, or promised, beyond the limits."""
        over = self.used_bytes + self.reserved_bytes - self.bytes_max
        return Shortage(
            max(over, 0), max(self.used_files + self.reserved_files - self.files_max, 0)
        )

    def floor_missing(self) -> int:
        """Return how many bytes the disk lacks to its floor, whoever has taken them."""
        return max(self.free_bytes_min - self.free_bytes(), 0) if self.free_bytes_min else 0

    def never_fits(self, size_bytes: int) -> bool:
        """Whether even an empty cache has no room for it."""
        return size_bytes > self.bytes_max or self.files_max < 1

    def reserve(self, size_bytes: int, *, files: int = 1) -> None:
        """Promise room for a file that is coming in; *files* 0: more of it, negative: less."""
        self.reserved_bytes += size_bytes
        self.reserved_files += files

    def release(self, size_bytes: int, written_bytes: int) -> None:
        """Take the promise back: the file became a blob, or was dropped."""
        self.reserved_bytes -= size_bytes
        self.reserved_files -= 1
        self.written_bytes -= written_bytes

    def wrote(self, length_bytes: int) -> None:
        """Count bytes of a promised file that reached the disk; negative: taken back."""
        self.written_bytes += length_bytes
        if length_bytes > 0 and self.floor_missing():
            self.on_floor()
