"""Plain lists, checkouts of Shaman, and what is read from files: sizes, digests, mistakes."""

from __future__ import annotations

import hashlib
import io
import json
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shotfs.digest import Digest, digest_bytes
from shotfs.errors import ManifestInvalid
from shotfs.prewarm.manifest import Entry, Use
from shotfs.prewarm.manifest import summary as summary_module
from shotfs.prewarm.manifest.completing import completed
from shotfs.prewarm.manifest.plain import COLUMNS, LINE_BYTES_MAX, read_plain, write_plain
from shotfs.prewarm.manifest.shaman import read_shaman, write_shaman
from shotfs.prewarm.manifest.summary import DIGESTS_MAX, Summary, extension_of, pattern_of
from shotfs.prewarm.manifest.verifying import Verdict, verified
from tests.unit.prewarm.manifest.strategies import manifests

SHA = "a" * 64


def listed(data: bytes, **options: Any) -> list[Entry]:
    return list(read_plain(io.BytesIO(data), "list.txt", **options))


def plain(entries: list[Entry], **options: Any) -> bytes:
    stream = io.BytesIO()
    write_plain(stream, "list.txt", entries, **options)
    return stream.getvalue()


# --- plain lists ---------------------------------------------------------------------------------


def test_a_list_is_sorted_and_each_path_is_there_once() -> None:
    entries = listed(b"b.exr\n\n./a.exr\nb.exr\n\xff.bin")
    assert [entry.path for entry in entries] == ["a.exr", "b.exr", "\udcff.bin"]


def test_absolute_paths_lose_the_mount_point() -> None:
    data = b"/shows/ant/a.exr\nant/b.exr\n"
    assert [one.path for one in listed(data, strip="/shows")] == ["ant/a.exr", "ant/b.exr"]
    with pytest.raises(ManifestInvalid, match=r"list.txt:1: '/shows/ant/a.exr' is absolute"):
        listed(data)
    with pytest.raises(ManifestInvalid, match="is absolute"):
        listed(b"/showsx/a\n", strip="/shows")


@settings(max_examples=50)
@given(manifests, st.booleans())
def test_what_a_list_can_carry_is_read_again(entries: list[Entry], whole: bool) -> None:
    columns = COLUMNS if whole else ("path",)
    kept = [
        Entry(
            one.path,
            one.digest if whole else None,
            (one.size_bytes or 0) // 10 if whole else None,
            abs(one.mtime_ns or 0) // 10 if whole else None,
        )
        for one in entries
        if "\t" not in one.path and is_on_a_disk(one.path)
    ]
    assert listed(plain(kept, null=True, columns=columns), null=True, columns=columns) == kept


def is_on_a_disk(path: str) -> bool:
    """Whether a disk can have this name: as bytes, of which one comes back."""
    try:
        return os.fsdecode(os.fsencode(path)) == path
    except UnicodeEncodeError:
        return False


def test_columns_may_stand_in_any_order() -> None:
    entry = Entry("a b.exr", Digest("0" * 32), 5, 7)
    data = plain([entry, Entry("c")], columns=("size", "path", "digest"))
    assert data == b"5\ta b.exr\t" + b"0" * 32 + b"\n-\tc\t-\n"
    assert listed(data, columns=("size", "path", "digest"))[0].digest == entry.digest


def test_paths_may_be_below_a_directory() -> None:
    entries = listed(b"a\nb\n", below="ant/tex")
    assert [one.path for one in entries] == ["ant/tex/a", "ant/tex/b"]
    assert plain(entries, below="ant/tex") == b"a\nb\n"


@pytest.mark.parametrize(
    ("data", "options", "message"),
    [
        (b"a\n../b\n", {}, "list.txt:2: '../b' leaves its directory"),
        (b"a\r\n", {}, "list.txt:1: 'a\\r' ends as lines of Windows do"),
        (b"a\tb\n", {"columns": ("path", "size")}, "size: 'b' is no number"),
        (b"a\t5\t6\n", {"columns": ("path", "size")}, "has 3 columns"),
        (b"a\tx\n", {"columns": ("path", "digest")}, "not an xxh3-128 digest"),
        (b"a\t-1\n", {"columns": ("path", "size")}, "'-1' is no number"),
        (b"x" * (LINE_BYTES_MAX + 300_000), {}, "a line of more than"),
        (b"\x1f\x8bno gzip", {}, "its gzip packing is damaged"),
    ],
)
def test_a_line_of_another_form_is_refused(
    data: bytes, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(ManifestInvalid) as caught:
        listed(data, **options)
    assert message in caught.value.message
    assert caught.value.fix


def test_names_that_a_list_cannot_carry_are_refused() -> None:
    for path, options in (
        ("a\nb", {}),
        ("a\r", {}),
        ("a\tb", {"columns": ("path", "size")}),
        ("\ud800", {"null": True}),
    ):
        with pytest.raises(ManifestInvalid):
            plain([Entry(path)], **options)
    assert plain([Entry("a\nb")], null=True) == b"a\nb\0"


# --- Shaman --------------------------------------------------------------------------------------


def shaman(data: Any) -> list[Entry]:
    return list(read_shaman(io.BytesIO(json.dumps(data).encode()), "s.json", below="ant"))


def test_a_checkout_names_the_bytes_that_are_there(tmp_path: Path) -> None:
    (tmp_path / "ant").mkdir()
    (tmp_path / "ant" / "a.blend").write_bytes(b"blend")
    (tmp_path / "ant" / "é.png").write_bytes(b"")
    entries = [Entry("ant/a.blend", digest_bytes(b"blend"), 5), Entry("ant/é.png")]
    stream = io.BytesIO()
    assert write_shaman(stream, "m", entries, str(tmp_path), below="ant") == (2, 5)
    document = json.loads(stream.getvalue())
    assert document == {
        "files": [
            {"sha": hashlib.sha256(b"blend").hexdigest(), "size": 5, "path": "a.blend"},
            {"sha": hashlib.sha256(b"").hexdigest(), "size": 0, "path": "é.png"},
        ]
    }
    assert [(one.path, one.size_bytes) for one in shaman(document)] == [
        ("ant/a.blend", 5),
        ("ant/é.png", 0),
    ]


def test_a_checkout_of_other_bytes_is_not_made(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"other")
    os.mkfifo(tmp_path / "pipe")
    entries = [Entry("a", digest_bytes(b"these")), Entry("gone"), Entry("pipe")]
    with pytest.raises(ManifestInvalid, match="3 files have no") as caught:
        write_shaman(io.BytesIO(), "m", entries, str(tmp_path))
    assert "a: has other bytes than the manifest says" in caught.value.message
    assert "gone: No such file" in caught.value.message
    assert "pipe: it is no regular file" in caught.value.message
    with pytest.raises(ManifestInvalid, match="nothing to write"):
        write_shaman(io.BytesIO(), "m", [], str(tmp_path))


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"sha": SHA, "size": 1, "path": "../x"}, "leaves its directory"),
        ({"sha": SHA, "size": 1, "path": "/x"}, "is absolute"),
        ({"sha": "x", "size": 1, "path": "x"}, "no SHA-256"),
        ({"sha": SHA, "size": -1, "path": "x"}, "size"),
        ({"size": 1, "path": "x"}, "without sha"),
        (5, "without sha"),
    ],
)
def test_a_file_of_a_checkout_that_makes_no_sense_is_refused(row: Any, message: str) -> None:
    with pytest.raises(ManifestInvalid, match=message):
        shaman({"files": [row]})


def test_a_checkout_has_each_path_once() -> None:
    row = {"sha": SHA, "size": 1, "path": "x"}
    with pytest.raises(ManifestInvalid, match="twice"):
        shaman({"files": [row, row]})


# --- files ---------------------------------------------------------------------------------------


def test_what_is_not_known_is_read_from_the_files(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"bytes")
    os.utime(tmp_path / "a", ns=(5, 5))
    asked = []

    def root() -> str:
        asked.append(1)
        return str(tmp_path)

    known = Entry("nowhere", Digest("0" * 32), 1, 1)
    assert list(completed([known], root, name="m")) == [known]
    assert asked == [], "nobody is asked where files lie that need not be read"
    found = list(completed([Entry("a"), known], root, name="m"))
    assert found == [Entry("a", digest_bytes(b"bytes"), 5, 5), known]
    assert list(completed([Entry("a")], lambda: None, name="m")) == [Entry("a")]
    with pytest.raises(ManifestInvalid, match="a: has 5 bytes, not 4"):
        list(completed([Entry("a", None, 4)], root, name="m"))


def test_verifying_tells_files_apart(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"bytes")
    (tmp_path / "d").mkdir()
    same, other = digest_bytes(b"bytes"), Digest("0" * 32)
    entries = [
        Entry("a", same, 5), Entry("a", other, 5), Entry("a", other, 4), Entry("a", None, 5),
        Entry("a"), Entry("a", same), Entry("gone"), Entry("a/b"), Entry("d"), Entry("\ud800"),
    ]  # fmt: skip
    found = [one.verdict for one in verified(entries, str(tmp_path), read=True)]
    assert found == [
        Verdict.SAME, Verdict.DIGEST, Verdict.SIZE, Verdict.SIZE_ONLY, Verdict.PRESENT,
        Verdict.SAME, Verdict.MISSING, Verdict.MISSING, Verdict.UNREADABLE, Verdict.MISSING,
    ]  # fmt: skip
    unread = [one.verdict for one in verified(entries[:3], str(tmp_path), read=False)]
    assert unread == [Verdict.SIZE_ONLY, Verdict.SIZE_ONLY, Verdict.SIZE]


# --- summary -------------------------------------------------------------------------------------


def test_a_summary_counts_files_bytes_frames_and_what_is_there_twice() -> None:
    summary = Summary(pattern_of)
    digest = Digest("1" * 32)
    for entry in (
        Entry("ant/v2/a.1001.EXR", digest, 10, frames="1001-1003"),
        Entry("ant/v2/a.1002.exr", digest, 10, frames="1002-1003", use=Use(1, 2, 1.5)),
        Entry("ant/v2/b", None, None, scanners=("nuke", "usd")),
    ):
        summary.add(entry)
    assert (summary.whole.count, summary.whole.size_bytes) == (3, 20)
    assert (summary.unsized, summary.undigested, summary.for_all_frames) == (1, 1, 1)
    assert (summary.duplicates.count, summary.duplicates.size_bytes) == (1, 10)
    assert list(summary.by_group) == ["ant/v2/a.#.EXR", "ant/v2/a.#.exr", "ant/v2/b"]
    assert {name: row.count for name, row in summary.by_extension.items()} == {".exr": 2, "": 1}
    assert list(summary.by_scanner) == ["nuke", "usd"]
    assert list(summary.frames()) == [(1001, 1001, 1), (1002, 1003, 2)]
    assert (summary.cold, summary.stall_s) == (2, 1.5)
    assert not summary.digests_full
    assert extension_of("a/.hidden") == ""


def test_a_summary_has_bounds(monkeypatch: pytest.MonkeyPatch) -> None:
    assert DIGESTS_MAX >= 1_000_000, "a manifest of a million is summed up exactly"
    monkeypatch.setattr(summary_module, "GROUPS_MAX", 2)
    monkeypatch.setattr(summary_module, "DIGESTS_MAX", 2)
    monkeypatch.setattr(summary_module, "FRAMES_COUNTED_MAX", 2)
    summary = Summary(lambda path: path)
    for index in range(6):
        summary.add(Entry(f"{index}.{index}", Digest(f"{index:x}" * 32), 1, frames=str(index)))
    assert {name: row.count for name, row in summary.by_group.items()} == {
        "0.0": 1, "1.1": 1, "(others)": 4,
    }  # fmt: skip
    assert summary.digests_full
    assert sum(1 for _ in summary.frames()) <= 2
    wide = Summary(lambda path: path)
    wide.add(Entry("a", frames="1-100"))
    assert list(wide.frames()) == []
