"""Manifests on disks: what is written is read again, and nothing else is."""

from __future__ import annotations

import gzip
import io
import os
import random
import re
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shotfs.errors import InvalidArgument, ManifestInvalid
from shotfs.prewarm.manifest import (
    Entry,
    Head,
    ManifestReader,
    Source,
    Use,
    decode,
    encode,
    open_manifest,
    reading,
    write_manifest,
    writing,
)
from shotfs.prewarm.manifest.frames import (
    FRAMES_MAX,
    has_frame,
    joined_frames,
    meets,
    parse_frames,
)
from tests.unit.prewarm.manifest.strategies import heads, manifests

HEAD = '{"format":"shotfs-manifest/1"}\n'
FOOT = '{"end":{"count":1,"size_bytes":0}}\n'
GOOD = '{"path":"ant/a.exr","sources":["hand"]}\n'


def lines_of(head: Head, entries: list[Entry]) -> bytes:
    stream = io.BytesIO()
    writing.write_lines(stream, "m", head, iter(entries))
    return stream.getvalue()


def refused(text: str | bytes) -> str:
    data = text if isinstance(text, bytes) else text.encode("utf-8", "surrogatepass")
    with pytest.raises(ManifestInvalid) as caught:
        decode(data, "m.jsonl")
    assert caught.value.fix, "every mistake says what to do"
    assert str(caught.value).startswith("m.jsonl"), "and in which file it is"
    return caught.value.message


@settings(max_examples=50)
@given(heads, manifests)
def test_what_is_written_is_read_again_in_both_forms(head: Head, entries: list[Entry]) -> None:
    for data in (encode(head, entries), lines_of(head, entries)):
        found, read = decode(data, "m")
        assert read == entries
        assert replace(found, count=None, size_bytes=None) == head
        assert decode(gzip.compress(data), "m")[1] == entries
    assert found.count is None, "a stream does not know at its beginning"
    assert decode(encode(head, entries), "m")[0].count == len(entries)


@settings(max_examples=50)
@given(manifests, st.integers(1, 60), st.integers(1, 5))
def test_it_does_not_matter_how_a_manifest_falls_into_blocks(
    entries: list[Entry], block_bytes: int, page: int
) -> None:
    before = reading.BLOCK_BYTES
    reading.BLOCK_BYTES = block_bytes
    try:
        with ManifestReader(io.BytesIO(lines_of(Head(), entries)), "m") as manifest:
            pages = list(manifest.pages(page))
    finally:
        reading.BLOCK_BYTES = before
    assert [entry for one in pages for entry in one] == entries
    assert all(len(one) == page for one in pages[:-1])
    assert manifest.count == len(entries)
    assert manifest.size_bytes == sum(entry.size_bytes or 0 for entry in entries)


@pytest.mark.parametrize("name", ["m.json", "m.jsonl", "m.json.gz", "m.jsonl.gz", "m"])
def test_the_name_of_a_file_says_its_form(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    entries = [Entry("ant/a\udcff.exr", size_bytes=3), Entry("ant/b.exr", size_bytes=4)]
    path.write_bytes(b"what was there before")
    written = write_manifest(str(path), Head(), iter(entries))
    assert (written.count, written.size_bytes) == (2, 7)
    with open_manifest(str(path)) as manifest:
        assert list(manifest) == entries
    data = path.read_bytes()
    assert (data[:2] == b"\x1f\x8b") == name.endswith(".gz")
    text = gzip.decompress(data) if name.endswith(".gz") else data
    assert (b'"entries"' in text) == (".json" in name and ".jsonl" not in name)
    assert os.listdir(tmp_path) == [name], "nothing else is left beside it"


def test_a_manifest_that_cannot_be_written_leaves_what_was_there(tmp_path: Path) -> None:
    path = tmp_path / "m.jsonl"
    path.write_text("before")
    for entries in ([Entry("b"), Entry("a")], [Entry("a"), Entry("a")], [Entry("../a")]):
        with pytest.raises(ManifestInvalid):
            write_manifest(str(path), Head(), entries)
    assert path.read_text() == "before"
    assert os.listdir(tmp_path) == ["m.jsonl"]


def test_the_same_manifest_has_the_same_bytes(tmp_path: Path) -> None:
    for name in ("a.jsonl.gz", "b.jsonl.gz"):
        write_manifest(str(tmp_path / name), Head(), [Entry("x")])
    assert (tmp_path / "a.jsonl.gz").read_bytes() == (tmp_path / "b.jsonl.gz").read_bytes()


def test_the_head_is_there_before_the_rest_is_read() -> None:
    with ManifestReader(io.BytesIO(HEAD.encode() + b"broken"), "m") as manifest:
        assert manifest.head == Head()
        with pytest.raises(ManifestInvalid, match="m:2:"):
            list(manifest)


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("/etc/passwd", "is absolute"),
        ("../a", r"leaves its directory"),
        ("ant/../../a", r"leaves its directory"),
        ("ant//a", "an empty part"),
        ("ant/./a", "an empty part or '.'"),
        ("./a", "an empty part or '.'"),
        ("ant/", "an empty part"),
        ("ant/\\u0000a", "NUL"),
        ("", "is no path"),
        (".", "an empty part or '.'"),
        ("..", "leaves its directory"),
        ("a" * 5000, "5000 characters"),
    ],
)
def test_a_path_that_leaves_the_mount_is_refused_with_its_line(path: str, message: str) -> None:
    said = refused(f'{HEAD}{GOOD}{{"path":"{path}","sources":["hand"]}}\n')
    assert said.startswith("m.jsonl:3: ")
    assert message in said


@pytest.mark.parametrize("path", [".hidden", "ant/.hidden", "ant/..a", "ant/a..", "...", "C:\\\\a"])
def test_names_that_only_look_like_it_are_names(path: str) -> None:
    _, found = decode(f'{HEAD}{{"path":"{path}","sources":["hand"]}}\n{FOOT}'.encode(), "m")
    assert found[0].path == path.replace("\\\\", "\\")


@pytest.mark.parametrize(
    "fields",
    [
        '"digest":"ABC"',
        '"digest":"99AA06D3014798D86001C324468D497F"',
        '"digest":5',
        '"size_bytes":-1',
        '"size_bytes":1.5',
        '"size_bytes":true',
        '"size_bytes":"1"',
        '"size_bytes":9223372036854775808',
        '"mtime_ns":"now"',
        '"mtime_ns":1e3',
        '"frames":"all"',
        '"frames":"10-1"',
        '"frames":7',
        '"frames":"1-100000000"',
        '"views":"left"',
        '"views":[1]',
        '"views":[[]]',
        '"views":[""]',
        '"scanners":{}',
        '"confidence":1.01',
        '"confidence":-0.1',
        '"confidence":"high"',
        '"confidence":true',
        '"confidence":1e999',
        '"use":[]',
        '"use":{"runs":-1}',
        '"use":{"runs":1.0}',
        '"use":{"stall_s":1e13}',
        '"use":{"weeks":1}',
        '"use":{"ranges":[[5,1]]}',
        '"use":{"ranges":[[0,5],[5,9]]}',
        '"use":{"ranges":[[0,5,9]]}',
        '"use":{"ranges":[[0,true]]}',
        '"use":{"ranges":"all"}',
        '"diggest":"x"',
    ],
)
def test_a_field_that_makes_no_sense_is_refused_and_named(fields: str) -> None:
    said = refused(f'{HEAD}{GOOD}{{"path":"b","sources":["hand"],{fields}}}\n')
    assert said.startswith("m.jsonl:3: ")
    assert "'b'" in said
    named = re.findall(r'"([a-z_]+)":', fields)
    assert any(name in said for name in named)


@pytest.mark.parametrize("sources", ["[]", '["me"]', '"hand"', "null", "[5]", "[[]]"])
def test_an_entry_says_who_wants_it(sources: str) -> None:
    assert "sources" in refused(f'{HEAD}{{"path":"b","sources":{sources}}}\n')


def test_not_a_number_is_no_json() -> None:
    for value in ("NaN", "Infinity", "-Infinity"):
        row = f'{{"path":"b","sources":["hand"],"confidence":{value}}}\n'
        assert "is no number" in refused(HEAD + row)


@pytest.mark.parametrize(
    ("head", "message"),
    [
        ("{}", "says no format"),
        ('{"format":"shotfs-manifest/2"}', "this shotfs reads shotfs-manifest/1"),
        ('{"format":1}', "this shotfs reads"),
        ('{"format":"shotfs-manifest/1","rooot":"/"}', "rooot"),
        ('{"format":"shotfs-manifest/1","subject":[]}', "no subject"),
        ('{"format":"shotfs-manifest/1","subject":{"shoe":"x"}}', "shoe"),
        ('{"format":"shotfs-manifest/1","subject":{"show":7}}', "show"),
        ('{"format":"shotfs-manifest/1","created_at":"yesterday"}', "is no time"),
        ('{"format":"shotfs-manifest/1","created_by":"%s"}' % ("x" * 300), "created_by"),
        ('{"format":"shotfs-manifest/1","count":-1}', "is no count"),
        ("[]", "extra data"),
        ("no json", "no manifest, or a damaged one"),
        ("", "no manifest, or a damaged one"),
    ],
)
def test_a_head_of_another_kind_is_refused(head: str, message: str) -> None:
    assert message in refused(f"{head}\n{GOOD}{FOOT}" if head else "")


def test_a_manifest_that_was_cut_off_is_noticed() -> None:
    whole = lines_of(Head(), [Entry("a", size_bytes=1), Entry("b", size_bytes=2)])
    for length in range(len(whole) - 1):
        refused(whole[:length])
    assert len(decode(whole[:-1], "m")[1]) == 2, "but for the very last line end"
    packed = gzip.compress(whole)
    for length in range(3, len(packed)):
        refused(packed[:length])


def test_counts_that_are_wrong_are_noticed() -> None:
    assert "says count 1, there is 0" in refused(HEAD + FOOT)
    assert "says size_bytes 0" in refused(
        f'{HEAD}{{"path":"b","size_bytes":1,"sources":["hand"]}}\n{FOOT}'
    )
    head = '{"format":"shotfs-manifest/1","count":2}\n'
    assert "the head says count 2" in refused(head + GOOD + FOOT)
    assert "the head says count 2" in refused(
        f'{{"format":"shotfs-manifest/1","count":2,"entries":[{GOOD}]}}'
    )


def test_order_and_doubles_are_noticed() -> None:
    rows = [f'{{"path":"{name}","sources":["hand"]}}\n' for name in ("b", "a", "b")]
    assert "m.jsonl:3: 'a' comes after 'b'" in refused(HEAD + rows[0] + rows[1])
    assert "m.jsonl:3: 'b' is there twice" in refused(HEAD + rows[0] + rows[2])


def test_nothing_may_follow_the_foot() -> None:
    for rest in (GOOD, FOOT, "x", "\n"):
        assert "m.jsonl:4:" in refused(HEAD + GOOD + FOOT + rest)


def test_two_entries_on_a_line_are_refused() -> None:
    assert "m.jsonl:2:" in refused(HEAD + GOOD.strip() + "," + GOOD + FOOT)
    assert "m.jsonl:3:" in refused(HEAD + GOOD + "\n" + FOOT)


def test_a_mistake_in_a_document_has_its_line() -> None:
    rows = ',\n  {"path":"b","sources":["hand"],"views":["]},{"]},\n {"path":"/c"}'
    document = '{"format":"shotfs-manifest/1",\n"entries": [\n' + GOOD.strip() + rows + "]}"
    assert refused(document).startswith("m.jsonl:5: '/c' is absolute")
    assert refused(document[:-1]).startswith("m.jsonl:5: ")
    assert refused('{"format":"shotfs-manifest/1",\n"entries":{}}').startswith("m.jsonl:1: ")


def test_what_is_no_utf8_is_refused() -> None:
    row = b'{"path":"a\xff","sources":["hand"]}\n'
    assert "m.jsonl:2:" in refused(HEAD.encode() + row + FOOT.encode())
    assert "not UTF-8" in refused(b"\xff\xfe")


def test_lines_and_nesting_have_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    deep = "[" * 100_000
    assert "m.jsonl:2:" in refused(HEAD + deep + "\n")
    refused(deep)
    assert "an object was expected" in refused("[]")
    long = f'{HEAD}{{"path":"{"x" * reading.LINE_BYTES_MAX}'
    assert "a line of more than" in refused(long + "x" * reading.BLOCK_BYTES)
    monkeypatch.setattr(reading, "ENTRIES_MAX", 1)
    assert "more than 1 entries" in refused(lines_of(Head(), [Entry("a"), Entry("b")]))
    monkeypatch.setattr(reading, "DOCUMENT_BYTES_MAX", 100)
    assert "one JSON document of more" in refused('{"format":\n' + " " * 200)


def test_a_document_that_would_be_too_large_is_not_written(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writing, "DOCUMENT_BYTES_MAX", 50)
    with pytest.raises(ManifestInvalid, match="too many for one JSON document"):
        encode(Head(), [Entry("a"), Entry("b")])


@settings(max_examples=50)
@given(manifests, st.booleans(), st.booleans(), st.data())
def test_a_damaged_manifest_is_refused_or_read_but_never_worse(
    entries: list[Entry], lines: bool, packed: bool, data: st.DataObject
) -> None:
    whole = lines_of(Head(), entries) if lines else encode(Head(), entries)
    damaged = bytearray(gzip.compress(whole) if packed else whole)
    for _ in range(data.draw(st.integers(1, 4))):
        place = data.draw(st.integers(0, len(damaged) - 1))
        damaged[place : place + data.draw(st.integers(0, 3))] = data.draw(st.binary(max_size=3))
        if not damaged:
            break
    with suppress(ManifestInvalid):
        _, read = decode(bytes(damaged), "m")
        assert [entry.path for entry in read] == sorted({entry.path for entry in read})


@given(st.binary(max_size=200))
def test_any_bytes_are_refused_with_a_message(data: bytes) -> None:
    refused(data)


# --- frames --------------------------------------------------------------------------------------


def test_a_set_of_frames_is_checked_without_making_it() -> None:
    assert len(parse_frames(f"1-{FRAMES_MAX}")) == FRAMES_MAX
    with pytest.raises(InvalidArgument, match="more than"):
        parse_frames(",".join(f"{start}-{start + 999_999}" for start in range(3)))
    with pytest.raises(InvalidArgument):
        parse_frames("1," * 20_000)


def test_frames_that_do_not_fit_into_text_become_their_span_or_all() -> None:
    numbers = random.Random(7).sample(range(100_000, 900_000), 3_000)
    halves = [",".join(map(str, numbers[start::2])) for start in (0, 1)]
    assert joined_frames(*halves) == f"{min(numbers)}-{max(numbers)}"
    assert joined_frames(f"1-{FRAMES_MAX}", f"{FRAMES_MAX}-{2 * FRAMES_MAX - 1}") == ""
    assert joined_frames("1-3", "") == ""
    assert joined_frames("1-3", "4-6") == "1-6"
    assert not meets("1-9x2", "2-8x2")


TEXTS = ("", "5", "-3", "1-9x2", "2-8x2", "-10--2", "7,9-12,20-40x7", "13", "40-40")


@pytest.mark.parametrize("one", TEXTS)
def test_frames_meet_where_they_have_one_in_common(one: str) -> None:
    for other in TEXTS:
        common = parse_frames(one) & parse_frames(other)
        assert meets(one, other) == (not one or not other or bool(common)), other
    assert all(has_frame(one, frame) for frame in parse_frames(one))
    assert not has_frame(one, 41)


def test_a_large_range_is_not_written_out_for_each_file_that_is_asked_for() -> None:
    # Written out each time, this takes minutes.
    whole = f"1-{FRAMES_MAX}"
    assert all(meets(str(frame), whole) and has_frame(whole, frame) for frame in range(1, 5_000))


def test_every_field_of_an_entry_is_written() -> None:
    entry = Entry(
        "ant/a.exr", None, 7, -5, "1001-1010", ("left",), (Source.RECORDED,), ("usd",), 0.25,
        Use(3, 2, 1.5, 0.5, ((0, 10), (20, 30))),
    )  # fmt: skip
    assert decode(encode(Head(), [entry]), "m")[1] == [entry]
