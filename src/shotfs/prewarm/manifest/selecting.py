"""Selecting: the entries of a manifest that somebody wants. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from shotfs.prewarm.manifest.checking import check_path
from shotfs.prewarm.manifest.entry import Entry, Source
from shotfs.prewarm.manifest.frames import check_frames, meets


@dataclass(frozen=True, slots=True)
class Selection:
    """What an entry must be like; what is left out does not matter.

    Attributes:
        sources: one of them says that the file is needed.
        scanners: one of them does.
        frames: like ``1001-1010``: it is needed for one of them.
        views: it is needed for one of them.
        below: it is this path, or lies below it.
        confidence: it is at least as likely to be read.

    Raises:
        InvalidArgument: *frames* are none.
        Mistake: *below* is no path.
    """

    sources: frozenset[Source] = frozenset()
    scanners: frozenset[str] = frozenset()
    frames: str = ""
    views: frozenset[str] = frozenset()
    below: str = ""
    confidence: float = 0.0

    def __post_init__(self) -> None:
        check_frames(self.frames)
        if self.below:
            check_path(self.below)

    def takes(self, entry: Entry) -> bool:
        """Whether *entry* is like that."""
        return (
            (not self.sources or not self.sources.isdisjoint(entry.sources))
            and (not self.scanners or not self.scanners.isdisjoint(entry.scanners))
            and (not self.views or not entry.views or not self.views.isdisjoint(entry.views))
            and entry.confidence >= self.confidence
            and (not self.below or entry.path == self.below or self.contains(entry.path))
            and meets(self.frames, entry.frames)
        )

    def contains(self, path: str) -> bool:
        """Whether *path* lies below `below`."""
        return not self.below or path.startswith(f"{self.below}/")

    def of(self, entries: Iterable[Entry]) -> Iterator[Entry]:
        """Yield those of *entries* that are like that, in their order."""
        return filter(self.takes, entries)
