"""Entries and heads of any kind, for property tests."""

from __future__ import annotations

from hypothesis import strategies as st

from shotfs.digest import Digest
from shotfs.prewarm.manifest import Entry, Head, Source, Subject, Use
from shotfs.prewarm.manifest.merging import joined_ranges

signs = st.characters(exclude_characters="/\0") | st.sampled_from(
    ["a", "b", ".", "1", "é", "\n", '"', "\\", " ", "\udcff", "\ud800", "\U0001f3ac", "\ufffd"]
)
names = st.text(signs, min_size=1, max_size=8).filter(lambda name: name not in (".", ".."))
paths = st.lists(names, min_size=1, max_size=4).map("/".join)
digests = st.integers(0, 2**128 - 1).map(lambda number: Digest(f"{number:032x}"))
sizes = st.integers(0, 2**63 - 1)
counts = st.integers(0, 10**6)
# Microseconds are what is written.
seconds = st.integers(0, 10**12).map(lambda number: number / 10**6)
frames = st.sampled_from(["", "1001", "1001-1010", "1-9x2,20", "-5-5", "1001-1086,1100"])
labels = st.lists(st.sampled_from(["left", "right", "usd", "nuke"]), unique=True).map(
    lambda names: tuple(sorted(names))
)
ranges = st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 10**6)), max_size=5).map(
    joined_ranges
)
uses = st.builds(Use, st.integers(1, 10**6), counts, seconds, seconds, ranges)
sources = st.lists(st.sampled_from(list(Source)), min_size=1, unique=True).map(
    lambda found: tuple(sorted(found))
)


def entries_of(path: st.SearchStrategy[str]) -> st.SearchStrategy[Entry]:
    """Entries of the paths that *path* draws."""
    return st.builds(
        Entry,
        path,
        st.none() | digests,
        st.none() | sizes,
        st.none() | st.integers(-(2**62), 2**62),
        frames,
        labels,
        sources,
        labels,
        st.floats(0, 1),
        st.none() | uses,
    )


entries = entries_of(paths)
manifests = st.lists(entries, max_size=12, unique_by=lambda entry: entry.path).map(
    lambda found: sorted(found, key=lambda entry: entry.path)
)
"""Entries as a manifest has them: sorted, each path once."""

few = st.lists(
    entries_of(st.sampled_from(["a", "a/b", "b", "c/d/e", "\udcff"])),
    max_size=5,
    unique_by=lambda entry: entry.path,
).map(lambda found: sorted(found, key=lambda entry: entry.path))
"""Manifests that have paths in common."""

texts = st.text(max_size=12)
subjects = st.builds(Subject, texts, texts, texts, texts, texts, texts)
heads = st.builds(Head, subjects, st.sampled_from(["", "2026-11-21T22:00:00Z"]), texts, texts)
