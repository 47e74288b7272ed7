"""Entry: one file of a manifest. Values only; the codecs check what comes from outside."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from shotfs.digest import Digest


class Source(StrEnum):
    """Who says that a file is needed, or was made."""

    SCANNED = "scanned"
    RECORDED = "recorded"
    PUBLISHED = "published"
    HAND = "hand"


@dataclass(frozen=True, slots=True)
class Use:
    """What was seen of a file while jobs read it.

    Attributes:
        runs: recorded runs that read it.
        cold: opens of it that found it not, or not whole, on the node.
        stall_s: how long readers waited for its bytes, in all, in seconds.
        first_s: when it was opened first, after the run began, in seconds; the least of all runs.
        ranges: (start, stop) in bytes of what was read, sorted, apart from each other; () where
            that was not seen (the kernel read it by itself, or had it in memory).
    """

    runs: int = 1
    cold: int = 0
    stall_s: float = 0.0
    first_s: float = 0.0
    ranges: tuple[tuple[int, int], ...] = ()


@dataclass(frozen=True, slots=True)
class Entry:
    """A file.

    Attributes:
        path: relative to the mount, POSIX, never leaving it.
        digest: of its content; None where nobody has seen that yet.
        size_bytes: None if not known.
        mtime_ns: since the epoch; None if not known.
        frames: for which frames it is needed, like ``1001-1010,1012``; "" for all.
        views: for which views; () for all.
        sources: who says so, sorted, without doubles; at least one.
        scanners: names of the scanners that say so, sorted.
        confidence: how likely it is read, 0 to 1.
        use: what was seen of it; None where nobody has recorded it.
    """

    path: str
    digest: Digest | None = None
    size_bytes: int | None = None
    mtime_ns: int | None = None
    frames: str = ""
    views: tuple[str, ...] = ()
    sources: tuple[Source, ...] = (Source.HAND,)
    scanners: tuple[str, ...] = ()
    confidence: float = 1.0
    use: Use | None = None
