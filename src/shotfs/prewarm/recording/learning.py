"""Learning: what several runs of the same work say together. Pure.

A file's confidence is the share of the runs that read it. Old runs count less and less: a merge
never gives what was known before more weight than `KEPT_RUNS` runs, so a texture that was replaced
fades within a few renders and goes once it is below `CONFIDENCE_MIN`, and a new one is believed
after as few.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

from shotfs.prewarm.manifest.entry import Entry
from shotfs.prewarm.manifest.merging import merged_entry

KEPT_RUNS = 8
"""How many runs the past may weigh."""

CONFIDENCE_MIN = 0.05
"""Below it a file is forgotten: with `KEPT_RUNS`, after 26 runs that did not read it."""

ENTRIES_MAX = 200_000
"""Files of one learned manifest; those that are read least go first."""

Entries = Mapping[str, Entry]


def by_path(entries: Iterable[Entry]) -> dict[str, Entry]:
    """Return *entries* by their paths; of a path that is there twice, both together."""
    found: dict[str, Entry] = {}
    for entry in entries:
        known = found.get(entry.path)
        found[entry.path] = entry if known is None else merged_entry(known, entry)
    return found


def runs_in(entries: Entries) -> int:
    """Return how many runs a manifest has learned from: some file was read by each of them."""
    return max((one.use.runs for one in entries.values() if one.use is not None), default=0)


def learn(known: Entries, fresh: Entries) -> dict[str, Entry]:
    """Return what *known* becomes by *fresh*, which is newer: one run, or several merged.

    Of a file that both have, size, mtime and digest are those of *fresh*.
    """
    if not known:
        return dict(fresh)
    if not fresh:
        return dict(known)
    past, now = min(runs_in(known), KEPT_RUNS), runs_in(fresh)
    share = now / (past + now) if past + now else 1.0
    found: dict[str, Entry] = {}
    for path, entry in known.items():
        again = fresh.get(path)
        confidence = entry.confidence * (1 - share)
        if again is not None:
            found[path] = _both(entry, again, confidence + again.confidence * share)
        elif confidence >= CONFIDENCE_MIN:
            found[path] = replace(entry, confidence=_rounded(confidence))
    for path, entry in fresh.items():
        if path not in known:
            found[path] = replace(entry, confidence=_rounded(entry.confidence * share))
    if len(found) > ENTRIES_MAX:
        kept = sorted(found.values(), key=lambda one: -one.confidence)[:ENTRIES_MAX]
        return by_path(kept)
    return found


def _both(known: Entry, fresh: Entry, confidence: float) -> Entry:
    both = merged_entry(known, fresh)
    use = both.use
    if use is not None and fresh.use is not None and known.size_bytes != fresh.size_bytes:
        # Offsets in another content mean nothing.
        use = replace(use, ranges=fresh.use.ranges)
    return replace(both, confidence=_rounded(confidence), use=use)


def _rounded(confidence: float) -> float:
    return round(min(confidence, 1.0), 4)
