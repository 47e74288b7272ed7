"""Traces of opens (`tools/bench/eviction`): a node's events become a trace that is read back."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest
from tools.lib.bench.opens import BadTrace, Opened, from_events, load, save, without_repeats

TRACES = Path(__file__).parents[3] / "tools/lib/bench/traces"


def event(**of: object) -> str:
    return json.dumps(of) + "\n"


OPEN_A = event(open=0, name="s3://b\na\nv1\n9", size_bytes=9)
CLOSE_A = event(close=0, read_bytes=4)


def test_opens_keep_their_order_whatever_the_order_in_which_they_close() -> None:
    events = [
        OPEN_A,
        event(open=1, name="b", size_bytes=0),
        event(open=2, name="s3://b\na\nv1\n9", size_bytes=9),
        event(close=2, read_bytes=9),
        CLOSE_A,
        event(close=1, read_bytes=0),
    ]
    assert from_events(events) == [
        Opened("s3://b\na\nv1\n9", 9, 4),
        Opened("b", 0, 0),
        Opened("s3://b\na\nv1\n9", 9, 9),
    ]


@pytest.mark.parametrize(
    ("events", "why"),
    [
        (["{"], "event 1"),
        (["[]"], "event 1"),
        (["{}"], "event 1"),
        ([event(open=1, name="a", size_bytes=9)], "count up from 0"),
        ([event(open=True, name="a", size_bytes=9)], "not a count"),
        ([event(open=0, name=7, size_bytes=9)], "a name is text"),
        ([event(open=0, name="a", size_bytes=-1)], "size_bytes is -1"),
        ([event(open=0, name="a")], "size_bytes"),
        ([CLOSE_A], "open 0 is not open"),
        ([OPEN_A, CLOSE_A, CLOSE_A], "event 3.*open 0 is not open"),
        ([OPEN_A, CLOSE_A[:-5]], "event 2"),
        ([OPEN_A], "1 opens were never closed"),
    ],
)
def test_events_that_are_wrong_or_cut_short_are_refused(events: list[str], why: str) -> None:
    with pytest.raises(BadTrace, match=why):
        from_events(events)


def test_a_trace_is_read_back_without_names_and_equal_opens_give_equal_bytes(
    tmp_path: Path,
) -> None:
    opened = [Opened("/home/ann/a b.png", 9, 4), Opened("c", 7), Opened("/home/ann/a b.png", 9, 0)]
    for name in ("one", "two"):
        save(tmp_path / name, ["how it was recorded"], opened)
    assert load(tmp_path / "one") == [Opened("0", 9, 4), Opened("1", 7), Opened("0", 9, 0)]
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()
    assert b"ann" not in gzip.decompress((tmp_path / "one").read_bytes())


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"0 1\n", "not a trace"),
        (gzip.compress(b"0 1\n", mtime=0)[:-6], "not a trace"),
        (gzip.compress(b"# only a title\n", mtime=0), "0 opens"),
        (gzip.compress(b"# t\n0 1\n0\n", mtime=0), "line 3"),
        (gzip.compress(b"0 -1\n", mtime=0), "line 1"),
        (gzip.compress(b"0 1 2 3\n", mtime=0), "line 1"),
        (gzip.compress(b"0 1.5\n", mtime=0), "line 1"),
    ],
)
def test_a_file_that_is_no_trace_is_refused_by_name(
    tmp_path: Path, content: bytes, why: str
) -> None:
    path = tmp_path / "x.trace.gz"
    path.write_bytes(content)
    with pytest.raises(BadTrace, match=f"x.trace.gz.*{why}"):
        load(path)


def test_an_open_soon_after_the_same_is_left_out_and_a_later_one_is_not() -> None:
    opened = [Opened(name, 1) for name in "aabacba"]
    assert [one.name for one in without_repeats(opened, distance=2)] == ["a", "b", "c", "a"]


@pytest.mark.parametrize("path", sorted(TRACES.glob("*.trace.gz")), ids=lambda path: path.name)
def test_each_recorded_trace_is_whole_and_tells_no_names(path: Path) -> None:
    opened = load(path)
    sizes: dict[str, int] = {}
    for one in opened:
        assert one.name.isdigit()
        assert sizes.setdefault(one.name, one.size_bytes) == one.size_bytes
    assert len(sizes) < len(opened)


def test_the_recorded_traces_stay_small() -> None:
    assert sum(path.stat().st_size for path in TRACES.glob("*.trace.gz")) < 300_000
