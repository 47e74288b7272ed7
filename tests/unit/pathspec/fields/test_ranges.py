"""Ranges and gaps of frames, and the traps of fileseq that we step around."""

from __future__ import annotations

import time
from decimal import Decimal

import fileseq
import pytest
from fileseq import FileSequence, FrameSet
from hypothesis import given, settings
from hypothesis import strategies as st

from shotfs.pathspec.fields import FieldValue, Tile
from shotfs.pathspec.sequences import missing, ranges

FRAMES = st.sets(st.integers(-60, 60) | st.integers(-(10**9), 10**9), max_size=25)


@pytest.mark.parametrize(
    ("values", "text", "lacking"),
    [
        ([], "", ""),
        ([1001], "1001", ""),
        ([*range(1001, 1011), *range(1012, 1021, 2)], "1001-1010,1012-1020x2", "1011-1019x2"),
        ([3, 1, 2, 2, 1], "1-3", ""),
        ([-3, -2, -1, 2], "-3--1,2", "0-1"),
        ([1, 1000], "1,1000", "2-999"),
        ([Decimal(1001), Decimal(1002)], "1001-1002", ""),
        ([Decimal(1001), Decimal("1001.5"), Decimal("1002.5")], "1001,1001.5,1002.5", "1002"),
        ([Decimal(one) / 4 for one in range(8)], "0-1.75x0.25", ""),
        ([Decimal("-0.5"), Decimal("0.5"), Decimal("1.5")], "-0.5-1.5", ""),
        ([Decimal("0.5"), Decimal(10**9)], "0.5,1000000000", "1-999999999.5x0.5"),
        ([Decimal("1E+3"), 1001], "1000-1001", ""),
        (["right", "left"], "left,right", ""),
        ([Tile(1, 0), Tile(0, 10), Tile(0, 2)], "u0_v2,u0_v10,u1_v0", ""),
        ([10**40], str(10**40), ""),
        ([1, Decimal("0.0000001"), Decimal("NaN")], "1,1E-7,NaN", ""),
    ],
)  # fmt: skip
def test_ranges_and_what_is_missing(values: list[FieldValue], text: str, lacking: str) -> None:
    assert ranges(values) == text
    assert missing(values) == lacking


@given(FRAMES)
@settings(max_examples=60, deadline=None)
def test_fileseq_reads_the_ranges_of_frames(frames: set[int]) -> None:
    text = ranges(frames)
    assert sorted(FrameSet(text)) == sorted(frames) if frames else text == ""


@given(st.sets(st.integers(-300, 300), min_size=1, max_size=30))
@settings(max_examples=60, deadline=None)
def test_frames_and_missing_frames_are_all_between_the_ends(frames: set[int]) -> None:
    lacking = missing(frames)
    others = set(FrameSet(lacking)) if lacking else set()
    assert others.isdisjoint(frames)
    assert frames | others == set(range(min(frames), max(frames) + 1))


@given(st.sets(st.decimals(-20, 20, places=2), min_size=1, max_size=12))
@settings(max_examples=60, deadline=None)
def test_sub_frames_read_back(frames: set[Decimal]) -> None:
    assert sorted(FrameSet(ranges(frames))) == sorted(frames)


def test_wide_gap_is_told_without_counting_through_it() -> None:
    begun = time.process_time()
    assert missing([1, 10**12, 10**12 + 2]) == f"2-{10**12 - 1},{10**12 + 1}"
    assert time.process_time() - begun < 1


def test_traps_of_fileseq() -> None:
    """Why tokens are read here. A release that mends one of these makes this test fail."""
    hash1 = fileseq.PAD_STYLE_HASH1
    # "#" is four digits by default, so "####" is sixteen.
    assert FileSequence("/a/b.####.exr").zfill() == 16
    assert FileSequence("/a/b.####.exr", pad_style=hash1).zfill() == 4
    # A pattern without a range loses its padding as text.
    assert str(FileSequence("/a/b.####.exr", pad_style=hash1)) == "/a/b..exr"
    # Tokens that it does not know are torn to pieces, or taken for text.
    assert FileSequence("/a/b.<UVTILE>.exr", pad_style=hash1).padding() == ""
    assert "<F4>" not in str(FileSequence("/a/b.<F4>.exr", pad_style=hash1))
    assert str(FileSequence("/a/%V/b.1-2####.exr", pad_style=hash1)) == "/a/%V/b.1-2####.exr"
    # Lists of sub-frames make it fail, or name frames that are not there.
    with pytest.raises(AssertionError):
        FrameSet.framesToFrameRange([Decimal("-0.01"), Decimal(0), Decimal(1)])
    invented = FrameSet.framesToFrameRange([Decimal("-0.02"), Decimal("0.00"), Decimal("0.01")])
    assert Decimal("-0.005") in FrameSet(invented)
    # It counts the sign as a digit, as we do.
    assert fileseq.padFrameRange("-10", 4) == "-010"
