"""Merging, sorting, selecting and comparing manifests: streamed, and right in every order."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shotfs.digest import Digest
from shotfs.errors import InvalidArgument, ManifestInvalid
from shotfs.prewarm.manifest import (
    Entry,
    Head,
    Source,
    Subject,
    Use,
    in_order,
    merged,
    merged_entry,
    merged_head,
    merged_use,
    sorting,
)
from shotfs.prewarm.manifest.checking import RANGES_MAX, Mistake, entry_of
from shotfs.prewarm.manifest.comparing import Change, differences
from shotfs.prewarm.manifest.encoding import entry_line
from shotfs.prewarm.manifest.frames import parse_frames
from shotfs.prewarm.manifest.merging import joined_ranges
from shotfs.prewarm.manifest.selecting import Selection
from tests.unit.prewarm.manifest.strategies import entries, entries_of, few, ranges

ONE, OTHER = Digest("1" * 32), Digest("2" * 32)
some = st.lists(entries_of(st.sampled_from(["a", "b", "b/c", "\udcff", "é"])), max_size=10)


# --- merging -------------------------------------------------------------------------------------


@settings(max_examples=60)
@given(st.lists(few, max_size=4))
def test_merged_manifests_are_a_manifest_of_all_their_files(manifests: list[list[Entry]]) -> None:
    found = list(merged(manifests))
    paths = [entry.path for entry in found]
    assert paths == sorted({entry.path for one in manifests for entry in one})
    for entry in found:
        mine = [one for manifest in manifests for one in manifest if one.path == entry.path]
        assert set(entry.sources) == {source for one in mine for source in one.sources}
        assert set(entry.scanners) == {scanner for one in mine for scanner in one.scanners}
        assert entry.confidence == max(one.confidence for one in mine)
        assert (entry.views == ()) == any(one.views == () for one in mine) or len(mine) == 1
        used = [one.use for one in mine if one.use is not None]
        assert (entry.use is None) == (not used)
        if entry.use is not None:
            assert entry.use.runs == sum(use.runs for use in used)
            assert entry.use.first_s == min(use.first_s for use in used)
        if any(one.frames == "" for one in mine):
            assert entry.frames == ""
        else:
            assert parse_frames(entry.frames) == frozenset().union(
                *(parse_frames(one.frames) for one in mine)
            )
        assert entry_of(json.loads(entry_line(entry))).path == entry.path, "it can be written"


@given(entries)
def test_merging_with_itself_changes_only_what_is_counted(entry: Entry) -> None:
    found = merged_entry(entry, entry)
    assert found.use == merged_use(entry.use, entry.use)
    assert (found.digest, found.size_bytes, found.frames) == (
        entry.digest,
        entry.size_bytes,
        entry.frames,
    )


@pytest.mark.parametrize(
    ("older", "newer", "digest", "size_bytes", "mtime_ns"),
    [
        # What the newer one leaves open comes from the older one...
        (Entry("a", ONE, 5, 7), Entry("a"), ONE, 5, 7),
        (Entry("a", ONE, 5, 7), Entry("a", None, 5), ONE, 5, 7),
        (Entry("a"), Entry("a", ONE, 5, 7), ONE, 5, 7),
        (Entry("a", ONE, 5, 7), Entry("a", ONE), ONE, 5, 7),
        # ...unless they speak of different bytes.
        (Entry("a", ONE, 5, 7), Entry("a", None, 6), None, 6, None),
        (Entry("a", ONE, 5, 7), Entry("a", None, 5, 8), None, 5, 8),
        (Entry("a", ONE, 5, 7), Entry("a", OTHER), OTHER, None, None),
        (Entry("a", ONE, 5, 7), Entry("a", OTHER, 6, 8), OTHER, 6, 8),
    ],
)
def test_what_a_file_is_the_newer_entry_decides(
    older: Entry, newer: Entry, digest: Digest | None, size_bytes: int | None, mtime_ns: int | None
) -> None:
    found = merged_entry(older, newer)
    assert (found.digest, found.size_bytes, found.mtime_ns) == (digest, size_bytes, mtime_ns)


def test_the_use_of_runs_adds_up() -> None:
    one = Use(2, 1, 0.5, 3.0, ((0, 10), (20, 30)))
    other = Use(1, 1, 0.25, 1.0, ((5, 20),))
    assert merged_use(one, other) == Use(3, 2, 0.75, 1.0, ((0, 30),))
    assert merged_use(None, other) == other
    assert merged_use(one, None) == one
    assert merged_use(None, None) is None


@given(st.lists(ranges))
def test_joined_ranges_hold_what_they_were_made_of(many: list[tuple[tuple[int, int], ...]]) -> None:
    every = [one for some in many for one in some]
    joined = joined_ranges(every)
    assert all(before[1] < after[0] for before, after in pairwise(joined))
    for start, stop in every:
        assert any(first <= start and stop <= last for first, last in joined)


def test_of_too_many_ranges_the_nearest_are_joined() -> None:
    far = [(index * 1000, index * 1000 + 10) for index in range(RANGES_MAX)]
    near = [(100_000_011, 100_000_012), (100_000_014, 100_000_015)]
    joined = joined_ranges([*far, *near])
    assert len(joined) == RANGES_MAX
    assert (100_000_011, 100_000_015) in joined
    assert joined[0] in ((0, 10), (0, 1010))


def test_a_merged_head_is_of_what_all_agree_in() -> None:
    one = Head(Subject(show="ant", shot="010", task="light"), created_by="n1")
    other = Head(Subject(show="ant", shot="010", task="comp"), created_by="n1")
    head = merged_head([one, other])
    assert head.subject == Subject(show="ant", shot="010")
    assert head.created_by == "n1"
    assert head.created_at.endswith("Z")
    assert merged_head([one, Head()]).created_by == ""


# --- sorting -------------------------------------------------------------------------------------


@settings(max_examples=60)
@given(some, st.integers(1, 4), st.integers(2, 3))
def test_sorting_outside_of_memory_is_sorting(found: list[Entry], run: int, runs: int) -> None:
    expected: dict[str, Entry] = {}
    for entry in found:
        before = expected.get(entry.path)
        expected[entry.path] = entry if before is None else merged_entry(before, entry)
    kept = sorting.RUNS_MAX
    sorting.RUNS_MAX = runs
    try:
        ordered = list(in_order(found, run_entries=run))
    finally:
        sorting.RUNS_MAX = kept
    assert [entry.path for entry in ordered] == sorted(expected)
    for entry in ordered:
        wanted = expected[entry.path]
        assert (entry.digest, entry.size_bytes, entry.frames) == (
            wanted.digest,
            wanted.size_bytes,
            wanted.frames,
        )
        assert (entry.use is None) == (wanted.use is None)


def test_sorting_has_a_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sorting, "ENTRIES_MAX", 2)
    with pytest.raises(ManifestInvalid, match="more than 2 entries"):
        list(in_order([Entry("c"), Entry("b"), Entry("a")], directory=str(tmp_path)))


# --- selecting -----------------------------------------------------------------------------------


def test_a_selection_takes_what_is_like_it() -> None:
    manifest = [
        Entry("ant/a/1", frames="1-5", sources=(Source.SCANNED,), confidence=0.5),
        Entry("ant/a/2", frames="6-9", views=("left",), scanners=("usd",)),
        Entry("ant/ab", sources=(Source.HAND, Source.RECORDED)),
    ]

    def paths(**wanted: object) -> list[str]:
        return [one.path[4:] for one in Selection(**wanted).of(manifest)]  # type: ignore[arg-type]

    assert paths() == ["a/1", "a/2", "ab"]
    assert paths(below="ant/a") == ["a/1", "a/2"]
    assert paths(below="ant/ab") == ["ab"]
    assert paths(frames="5") == ["a/1", "ab"], "what all frames need is needed for this one"
    assert paths(views=frozenset({"right"})) == ["a/1", "ab"]
    assert paths(sources=frozenset({Source.RECORDED})) == ["ab"]
    assert paths(scanners=frozenset({"usd"})) == ["a/2"]
    assert paths(confidence=0.6) == ["a/2", "ab"]
    with pytest.raises(InvalidArgument):
        Selection(frames="x")
    with pytest.raises(Mistake):
        Selection(below="../x")


# --- comparing -----------------------------------------------------------------------------------


@settings(max_examples=60)
@given(few, few)
def test_a_comparison_has_every_file_once(old: list[Entry], new: list[Entry]) -> None:
    found = list(differences(old, new))
    before, after = {one.path: one for one in old}, {one.path: one for one in new}
    assert [one.entry.path for one in found] == sorted(before | after)
    for one in found:
        path = one.entry.path
        assert (one.old, one.new) == (before.get(path), after.get(path))
        assert (one.change is Change.ADDED) == (path not in before)
        assert (one.change is Change.REMOVED) == (path not in after)
    assert all(one.change is Change.SAME for one in differences(old, old))


@pytest.mark.parametrize(
    ("old", "new", "change"),
    [
        (Entry("a", ONE, 5), Entry("a", OTHER, 5), Change.CHANGED),
        (Entry("a", ONE, 5, 1), Entry("a", ONE, None, 2), Change.SAME),
        (Entry("a", ONE, 5), Entry("a", None, 6), Change.CHANGED),
        (Entry("a", ONE, 5), Entry("a", None, 5), Change.SAME),
        (Entry("a", ONE), Entry("a", None, 5), Change.SAME),
    ],
)
def test_digests_decide_and_then_sizes(old: Entry, new: Entry, change: Change) -> None:
    assert [one.change for one in differences([old], [new])] == [change]
