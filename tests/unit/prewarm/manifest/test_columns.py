"""Manifests as columns: the same files as entry by entry, and the same is refused."""

from __future__ import annotations

import io
import json
from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shotfs.digest import Digest
from shotfs.errors import ManifestInvalid
from shotfs.prewarm.manifest import Entry, Head, ManifestReader, encode, reading, writing
from shotfs.prewarm.manifest.canonical import files_in
from shotfs.prewarm.manifest.checking import Mistake, entry_of, file_of
from shotfs.prewarm.manifest.encoding import entry_line
from shotfs.prewarm.manifest.files import Files, are_ordered, checked_files, files_of
from tests.unit.prewarm.manifest.strategies import entries_of, manifests

plain = entries_of(st.text("ab./-_1 ", min_size=1, max_size=12))
"""Entries as most are, and some paths that none may have."""


def as_files(data: bytes) -> Files | str:
    """Return the files of a manifest, or why it is none."""
    paths, digests, sizes = [], [], []
    try:
        for files in ManifestReader(io.BytesIO(data), "m").files():
            paths += files.paths
            digests += files.digests
            sizes += files.sizes
    except ManifestInvalid as error:
        return str(error)
    return Files(paths, digests, sizes)


def as_entries(data: bytes) -> Files | str:
    try:
        return files_of(list(ManifestReader(io.BytesIO(data), "m")))
    except ManifestInvalid as error:
        return str(error)


@settings(max_examples=60)
@given(manifests, st.integers(1, 400))
def test_files_of_a_manifest_are_those_of_its_entries(entries: list[Entry], block: int) -> None:
    stream = io.BytesIO()
    writing.write_lines(stream, "m", Head(), iter(entries))
    before, reading.BLOCK_BYTES = reading.BLOCK_BYTES, block
    try:
        for data in (stream.getvalue(), encode(Head(), entries)):
            assert as_files(data) == as_entries(data) == files_of(entries)
    finally:
        reading.BLOCK_BYTES = before


@settings(max_examples=300)
@given(st.lists(plain, min_size=1, max_size=3), st.data())
def test_a_line_that_is_read_quickly_is_an_entry(entries: list[Entry], data: st.DataObject) -> None:
    lines = [entry_line(one) for one in entries]
    if data.draw(st.booleans()):
        line = data.draw(st.integers(0, len(lines) - 1))
        place = data.draw(st.integers(0, len(lines[line])))
        more = data.draw(st.text('{}[]",:\\/.0129-ae \n\r\x00é', max_size=3))
        gone = data.draw(st.integers(0, 3))
        lines[line] = lines[line][:place] + more + lines[line][place + gone :]
    files = files_in([line.encode() for line in lines])
    if files is not None:
        found = files_of([entry_of(json.loads(line)) for line in lines])
        assert files.entries() == found.entries()


def test_lines_as_they_are_written_are_read_quickly() -> None:
    line = (
        b'{"path":"ant/a b/wood.1001.exr","digest":"%b","size_bytes":4,"mtime_ns":-1,'
        b'"frames":"1001-1010x2,7","views":["left"],"sources":["recorded","scanned"],'
        b'"scanners":["usd"],"confidence":0.25,"use":{"runs":3,"cold":1,"stall_s":0.25,'
        b'"first_s":1.5,"ranges":[[0,65536],[70000,70001]]}}' % (b"0a" * 16)
    )
    files = files_in([line, b'{"path":"b","sources":["hand"]}'])
    assert files is not None
    assert files.entries() == [Entry("ant/a b/wood.1001.exr", Digest("0a" * 16), 4), Entry("b")]


@pytest.mark.parametrize(
    "line",
    [
        '{"path":"a","sources":["hand"],"use":{"runs":1,"ranges":[[5,4]]}}',
        '{"path":"a","sources":["hand"],"use":{"runs":1,"ranges":[[0,4],[4,5]]}}',
        '{"path":"a","sources":["hand"],"use":{"runs":1,"ranges":[[0,9999999999999999999]]}}',
        '{"path":"a","sources":["hand"],"use":{"runs":1,"ranges":[[00,1]]}}',
        '{"path":"a","frames":"7-5","sources":["hand"]}',
        '{"path":"a","size_bytes":9223372036854775808,"sources":["hand"]}',
        '{"path":"a","size_bytes":007,"sources":["hand"]}',
        '{"path":"a","sources":["nobody"]}',
        '{"path":"a","sources":["hand"],"confidence":1.5}',
        '{"path":"a/../b","sources":["hand"]}',
        '{"path":"/a","sources":["hand"]}',
        '{"path":"a","sources":["hand"]}{"path":"b","sources":["hand"]}',
        'x{"path":"a","sources":["hand"]}',
    ],
)
def test_what_no_entry_may_be_is_refused_as_always(line: str) -> None:
    foot = '{"end":{"count":1,"size_bytes":0}}'
    data = f'{{"format":"shotfs-manifest/1"}}\n{line}\n{foot}\n'.encode()
    assert as_files(data) == as_entries(data)
    assert isinstance(as_files(data), str)


@pytest.mark.parametrize(
    "lines",
    [["b", "a"], ["a", "a"], ["a"], ["a", "b", "c"], []],
)
def test_order_and_counts_are_checked(lines: Sequence[str]) -> None:
    rows = [f'{{"path":"{one}","size_bytes":1,"sources":["hand"]}}' for one in lines]
    foot = '{"end":{"count":2,"size_bytes":2}}'
    for data in ((*rows, foot), rows, (*rows, foot, "{}"), (*rows, foot, foot)):
        text = "\n".join(['{"format":"shotfs-manifest/1"}', *data, ""]).encode()
        assert as_files(text) == as_entries(text)
        assert isinstance(as_files(text), str)


@given(st.lists(st.tuples(
    st.text("ab./\n\0", max_size=4) | st.none(),
    st.none() | st.text("0af\n", min_size=31, max_size=33) | st.just("0" * 32) | st.just(7),
    st.none() | st.integers(-1, 2) | st.just(2**63) | st.booleans() | st.just("1"),
), max_size=3))  # fmt: skip
def test_columns_are_checked_as_each_file_is(rows: list[tuple[object, object, object]]) -> None:
    columns = [[row[place] for row in rows] for place in range(3)]
    refused = ""
    expected: list[Entry] = []
    try:
        expected = [file_of(*row) for row in rows]
    except Mistake as mistake:
        refused = mistake.message
    if not refused:
        assert checked_files(*columns).entries() == expected
        return
    with pytest.raises(Mistake) as caught:
        checked_files(*columns)
    assert caught.value.message == refused


def test_columns_of_other_lengths_and_types_are_refused() -> None:
    for columns in (([], [None], []), ("a", [None], [1]), ({}, [], []), (None, None, None)):
        with pytest.raises((ValueError, TypeError)):
            checked_files(*columns)
    assert checked_files([], [], []) == Files([], [], [])


@given(st.lists(st.text("ab", max_size=2)), st.text("ab", max_size=1))
def test_order_is_order(paths: list[str], last: str) -> None:
    every = [last, *paths]
    assert are_ordered(paths, last) == (sorted(set(every)) == every)
