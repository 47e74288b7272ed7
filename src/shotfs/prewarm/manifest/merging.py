"""Merging: several manifests, or several runs of a job, as one. Streamed; pure."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable, Iterator, Sequence
from operator import attrgetter
from typing import Any, TypeVar

from shotfs.prewarm.manifest.checking import NAMES_MAX, RANGES_MAX
from shotfs.prewarm.manifest.entry import Entry, Use
from shotfs.prewarm.manifest.frames import joined_frames

T = TypeVar("T", bound=str)
Key = Callable[[Entry], Any]

by_path: Key = attrgetter("path")
"""The order of our manifests: by code points, which is that of the bytes of the UTF-8."""


def merged(manifests: Sequence[Iterable[Entry]], key: Key = by_path) -> Iterator[Entry]:
    """Yield the entries of all *manifests*, each sorted by *key*, as one: sorted, each path once.

    Later ones of *manifests* are newer, see `merged_entry`. Holds one entry of each in memory.
    """
    before: Entry | None = None
    for entry in heapq.merge(*manifests, key=key):
        if before is None:
            before = entry
        elif before.path == entry.path:
            before = merged_entry(before, entry)
        else:
            yield before
            before = entry
    if before is not None:
        yield before


def merged_entry(older: Entry, newer: Entry) -> Entry:
    """Return what two entries of one path say together.

    What the file is (digest, size, time) *newer* decides; what it leaves open comes from *older*
    unless the two speak of different bytes. Frames, views, sources and scanners are united: all
    stays all. The confidence is the greater one. Use is added up.
    """
    digest, size_bytes, mtime_ns = newer.digest, newer.size_bytes, newer.mtime_ns
    if _same_bytes(older, newer):
        digest = digest or older.digest
        size_bytes = older.size_bytes if size_bytes is None else size_bytes
        mtime_ns = older.mtime_ns if mtime_ns is None else mtime_ns
    return Entry(
        path=newer.path,
        digest=digest,
        size_bytes=size_bytes,
        mtime_ns=mtime_ns,
        frames=joined_frames(older.frames, newer.frames),
        views=_united_views(older.views, newer.views),
        sources=_united(older.sources, newer.sources),
        scanners=_united(older.scanners, newer.scanners),
        confidence=max(older.confidence, newer.confidence),
        use=merged_use(older.use, newer.use),
    )


def _same_bytes(one: Entry, other: Entry) -> bool:
    if one.digest is not None and other.digest is not None:
        return one.digest == other.digest
    return all(
        mine is None or theirs is None or mine == theirs
        for mine, theirs in (
            (one.size_bytes, other.size_bytes),
            (one.mtime_ns, other.mtime_ns),
        )
    )


def merged_use(one: Use | None, other: Use | None) -> Use | None:
    """Return what was seen by both: runs, cold opens and waits added up, ranges united.

    None where neither was recorded. Ranges that only one of them saw count: a run whose reads went
    past us (the kernel's memory) says nothing of them.
    """
    if one is None or other is None:
        return one or other
    return Use(
        runs=one.runs + other.runs,
        cold=one.cold + other.cold,
        stall_s=one.stall_s + other.stall_s,
        first_s=min(one.first_s, other.first_s),
        ranges=joined_ranges((*one.ranges, *other.ranges)),
    )


def joined_ranges(ranges: Iterable[tuple[int, int]]) -> tuple[tuple[int, int], ...]:
    """Return *ranges* sorted, those that touch as one; at most `RANGES_MAX`.

    Of more than that the nearest are joined: what is between them was not read, but is little.
    """
    joined: list[tuple[int, int]] = []
    for start, stop in sorted(ranges):
        if joined and start <= joined[-1][1]:
            joined[-1] = (joined[-1][0], max(stop, joined[-1][1]))
        elif start < stop:
            joined.append((start, stop))
    if len(joined) <= RANGES_MAX:
        return tuple(joined)
    gaps = sorted(range(1, len(joined)), key=lambda index: joined[index][0] - joined[index - 1][1])
    closed = set(gaps[: len(joined) - RANGES_MAX])
    kept: list[tuple[int, int]] = []
    for index, one in enumerate(joined):
        if index in closed:
            kept[-1] = (kept[-1][0], one[1])
        else:
            kept.append(one)
    return tuple(kept)


def _united_views(one: tuple[str, ...], other: tuple[str, ...]) -> tuple[str, ...]:
    return _united(one, other) if one and other else ()


def _united(one: tuple[T, ...], other: tuple[T, ...]) -> tuple[T, ...]:
    return one if one == other else tuple(sorted({*one, *other}))[:NAMES_MAX]
