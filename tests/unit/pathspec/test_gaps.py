"""Missing frames and views, against a plain computation over all files at once."""

from __future__ import annotations

import math
from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

from shotfs.pathspec import Specification
from shotfs.pathspec.delivery import Entry, FindingKind, judge
from shotfs.pathspec.gaps import ranges, spanned

from .documents import spec

VIEWS = ("left", "right")
FILES = st.sets(
    st.tuples(
        st.sampled_from(["ab010", "ab020"]),
        st.sampled_from([1, 2, 4]),
        st.sampled_from([None, *VIEWS]),
        st.integers(1001, 1008),
    ),
    max_size=30,
)


def stereo() -> Specification:
    return spec(
        {"frames": "{shot}/{version}[/{view}]/a.{frame}.exr"},
        {
            "shot": {"type": "str"},
            "version": {"type": "version"},
            "view": {"type": "view"},
            "frame": {"type": "frame"},
        },
    )


def path_of(shot: str, version: int, view: str | None, frame: int) -> str:
    middle = "" if view is None else f"{view}/"
    return f"{shot}/v{version:03d}/{middle}a.{frame}.exr"


def wanted_frames(frames: set[int]) -> set[int]:
    every = sorted(frames)
    steps = [after - before for before, after in pairwise(every)]
    step = math.gcd(*steps) if len(every) >= 3 and math.gcd(*steps) == min(steps) else 1
    return set(range(every[0], every[-1] + 1, step))


@given(FILES)
@settings(max_examples=150, deadline=None)
def test_walk_finds_what_all_files_at_once_show(
    files: set[tuple[str, int, str | None, int]],
) -> None:
    report = judge(
        stereo(), (Entry(path, size_bytes=1) for path in sorted(path_of(*one) for one in files))
    )
    expected: set[tuple[FindingKind, str]] = set()
    for shot, version in {(one[0], one[1]) for one in files}:
        mine = [one for one in files if one[:2] == (shot, version)]
        mono = {one[3] for one in mine if one[2] is None}
        eyes = {view: {one[3] for one in mine if one[2] == view} for view in VIEWS}
        if mono and wanted_frames(mono) - mono:
            expected.add((FindingKind.FRAMES, f"{shot}/v{version:03d}/a.####.exr"))
        both = eyes["left"] | eyes["right"]
        if not both:
            continue
        wanted = wanted_frames(both)
        for view, found in eyes.items():
            where = f"{shot}/v{version:03d}/{view}/a.####.exr"
            if found and wanted - found:
                expected.add((FindingKind.FRAMES, where))
        if not all(eyes.values()):
            expected.add((FindingKind.VIEW, f"{shot}/v{version:03d}/%V/a.####.exr"))
    for shot in {one[0] for one in files}:
        numbers = {one[1] for one in files if one[0] == shot}
        lacking = sorted(set(range(min(numbers), max(numbers))) - numbers)
        if lacking:
            expected.add((FindingKind.VERSION, f"{shot}/v{lacking[0]:03d}"))
    assert {(one.kind, one.path) for one in report.findings} == expected


@given(st.lists(st.integers(-50, 50), unique=True).map(sorted))
def test_ranges_read_back(numbers: list[int]) -> None:
    found: list[int] = []
    text = ranges(numbers)
    if "more" in text:
        return
    for part in text.split(", ") if text else []:
        first, _, last = part[1:].partition("-")
        first = part[0] + first
        found += range(int(first), int(last or first) + 1)
    assert found == numbers


def test_one_frame_is_what_it_spans() -> None:
    assert list(spanned([[7]])) == [7]
    assert list(spanned([[], []])) == []
    assert list(spanned([[1, 5], [3]])) == [1, 3, 5]
