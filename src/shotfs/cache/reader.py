"""Who reads a stream: an open file, or a fetch of the whole or of parts. Values only."""

from __future__ import annotations

from dataclasses import dataclass

from shotfs.cache.access import AccessPattern, Fill
from shotfs.cache.asker import NOBODY, Asker
from shotfs.cache.scheduling import FetchClass
from shotfs.tiers.base import Span

FILL_BYTES_MAX = 64 * 1024 * 1024
"""A file up to this size follows as a whole when a part of it was read (`Fill.AUTO`)."""


@dataclass(slots=True, eq=False)
class Reader:
    """One reader of one stream.

    Attributes:
        pattern: where it reads.
        asker: who it is.
        fill: whether the rest of the file is wanted when a part was read.
        fetch_class: DEMAND for an open file.
        parts: what a fetch of parts wants, sorted; () for the whole, and for an open file.
    """

    pattern: AccessPattern
    asker: Asker = NOBODY
    fill: Fill = Fill.AUTO
    fetch_class: FetchClass = FetchClass.DEMAND
    parts: tuple[Span, ...] = ()

    @property
    def opened(self) -> bool:
        """Whether it is an open file, as against a fetch."""
        return self.fetch_class is FetchClass.DEMAND

    def wants_whole(self, size_bytes: int, present_bytes: int) -> bool:
        """Whether the rest should follow now, of a file of which a part was read."""
        if self.fill is Fill.AUTO:
            return size_bytes <= FILL_BYTES_MAX or self.pattern.wants_whole(present_bytes)
        return self.fill is Fill.WHOLE

    def wants_it_finished(self, size_bytes: int) -> bool:
        """Whether the rest should follow also when everybody has closed it."""
        if self.fill is Fill.AUTO:
            return self.opened and size_bytes <= FILL_BYTES_MAX
        return self.opened and self.fill is Fill.WHOLE
