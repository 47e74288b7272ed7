"""Summary: the numbers of a manifest, counted as its entries pass. Pure, bounded memory."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from shotfs.prewarm.manifest.entry import Entry
from shotfs.prewarm.manifest.frames import check_frames, parse_frames

GROUPS_MAX = 10_000
"""Rows of one table; what comes after that many is counted as `OTHERS`."""
OTHERS = "(others)"
DIGESTS_MAX = 2_000_000
"""Contents that are remembered to find those that are there twice: about 120 MB."""
FRAMES_COUNTED_MAX = 5_000_000
"""Frames of all entries whose frames differ, for the histogram."""

_DIGITS = re.compile(r"[0-9]+")


@dataclass(slots=True)
class Tally:
    """Files and bytes of one row."""

    count: int = 0
    size_bytes: int = 0


@dataclass(slots=True)
class Summary:
    """The numbers of a manifest.

    Args:
        group_of: returns the name of the template, or pattern, of a path.

    Attributes:
        whole: all entries.
        unsized: entries whose size is not known.
        undigested: entries whose digest is not known.
        by_source, by_scanner, by_extension, by_group: rows of them. An entry that several say is
            in several rows of the first two.
        duplicates: entries with a digest that an earlier one has: they need no room of their own.
        digests_full: there are more than `DIGESTS_MAX` contents, and *duplicates* is too low.
        cold: opens that were recorded of files that were not on the node then.
        stall_s: how long readers waited for them, in all, in seconds.
    """

    group_of: Callable[[str], str]
    whole: Tally = field(default_factory=Tally)
    unsized: int = 0
    undigested: int = 0
    by_source: dict[str, Tally] = field(default_factory=dict)
    by_scanner: dict[str, Tally] = field(default_factory=dict)
    by_extension: dict[str, Tally] = field(default_factory=dict)
    by_group: dict[str, Tally] = field(default_factory=dict)
    duplicates: Tally = field(default_factory=Tally)
    digests_full: bool = False
    cold: int = 0
    stall_s: float = 0.0
    _frames: Counter[str] = field(default_factory=Counter)
    _digests: set[int] = field(default_factory=set)

    def add(self, entry: Entry) -> None:
        """Count *entry*."""
        size_bytes = entry.size_bytes or 0
        self.whole.count += 1
        self.whole.size_bytes += size_bytes
        if entry.size_bytes is None:
            self.unsized += 1
        for source in entry.sources:
            _count(self.by_source, source.value, size_bytes)
        for scanner in entry.scanners:
            _count(self.by_scanner, scanner, size_bytes)
        _count(self.by_extension, extension_of(entry.path), size_bytes)
        _count(self.by_group, self.group_of(entry.path), size_bytes)
        frames = entry.frames
        self._frames[
            frames if len(self._frames) < GROUPS_MAX or frames in self._frames else ""
        ] += 1
        if entry.use is not None:
            self.cold += entry.use.cold
            self.stall_s += entry.use.stall_s
        if entry.digest is None:
            self.undigested += 1
            return
        # Half a digest: two of two million contents have the same with 1 to 10^7 (birthdays).
        content = int(entry.digest[:16], 16)
        if content in self._digests:
            self.duplicates.count += 1
            self.duplicates.size_bytes += size_bytes
        elif len(self._digests) < DIGESTS_MAX:
            self._digests.add(content)
        else:
            self.digests_full = True

    @property
    def for_all_frames(self) -> int:
        """Entries that are needed for every frame, or of which nobody says for which.

        Those with frames like no other, after `GROUPS_MAX` different sets, are among them.
        """
        return self._frames[""]

    def frames(self) -> Iterator[tuple[int, int, int]]:
        """Yield (first, last, entries) of frames, in order, that need as many files each.

        Without those that all frames need; nothing where they are too many to count.
        """
        named = {text: count for text, count in self._frames.items() if text}
        if sum(check_frames(text) for text in named) > FRAMES_COUNTED_MAX:
            return
        counts: Counter[int] = Counter()
        for text, count in named.items():
            for frame in parse_frames(text):
                counts[frame] += count
        first = last = entries = 0
        for frame, count in sorted(counts.items()):
            if entries and (frame, count) == (last + 1, entries):
                last = frame
                continue
            if entries:
                yield first, last, entries
            first, last, entries = frame, frame, count
        if entries:
            yield first, last, entries


def _count(table: dict[str, Tally], name: str, size_bytes: int) -> None:
    tally = table.get(name)
    if tally is None:
        tally = table.setdefault(name if len(table) < GROUPS_MAX else OTHERS, Tally())
    tally.count += 1
    tally.size_bytes += size_bytes


def pattern_of(path: str) -> str:
    """Return *path* with ``#`` for each number in its name: what stands for a sequence."""
    directory, slash, name = path.rpartition("/")
    return directory + slash + _DIGITS.sub("#", name)


def extension_of(path: str) -> str:
    """Return the extension of *path* with its dot, in lower case; "" where it has none."""
    return os.path.splitext(path)[1].lower()
