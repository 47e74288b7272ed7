"""The object that says that a version is published."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shotfs.digest import Checksums, Digest
from shotfs.errors import RecordInvalid
from shotfs.namespace.manifests import (
    FILES_MAX,
    Manifest,
    decode,
    encode,
    key_of,
    snapshot_of,
)
from shotfs.tiers.base import Revision

AT = "2026-11-21T06:00:00.123456Z"
VERSION = "render/xy_010_v005"


def manifest(files: dict[str, Revision], *, sealed: bool = True) -> Manifest:
    return Manifest(VERSION, sealed, "anna@a", AT, "why", "a-1", files)


def revision(path: str, size_bytes: int = 3) -> Revision:
    sums = Checksums(md5="0" * 32, crc32c=None, xxh128=Digest("f" * 32))
    return Revision("gs://b/ant", f"{VERSION}/{path}", size_bytes, "17", 5, sums)


names = st.text(
    st.characters(exclude_categories=("Cs", "Cc"), exclude_characters="/"), min_size=1, max_size=20
).filter(lambda text: text not in (".", ".."))


@given(
    st.dictionaries(
        st.lists(names, min_size=1, max_size=3).map("/".join), st.integers(0, 2**63 - 1)
    )
)
def test_what_is_written_is_read_again(sizes: dict[str, int]) -> None:
    files = {path: revision(path, size) for path, size in sizes.items()}
    whole = manifest(files)
    found = decode(encode(whole), "gs://b/x", tier="gs://b/ant")
    assert found == whole
    for path, one in found.files.items():
        assert one.checksums == files[path].checksums
    assert set(snapshot_of(found, "x")) == set(files)


def test_a_marker_has_no_files() -> None:
    found = decode(encode(manifest({}, sealed=False)), "x", tier="t")
    assert (found.sealed, dict(found.files)) == (False, {})


def test_the_key_is_below_the_reserved_directory() -> None:
    assert key_of(VERSION) == ".shotfs/versions/render/xy_010_v005.json"


def test_one_line_for_each_file_in_the_order_of_names() -> None:
    text = encode(manifest({"b": revision("b"), "a/c": revision("a/c")})).decode()
    assert [json.loads(row.rstrip(","))["path"] for row in text.splitlines()[1:-1]] == ["a/c", "b"]


def changed(**changes: Any) -> bytes:
    document = json.loads(encode(manifest({"a": revision("a")})))
    row = document["files"][0]
    for name, value in changes.items():
        if name in row:
            row[name] = value
        document[name] = value
    return json.dumps(document).encode()


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"[]",
        b"{}",
        b"[" * 100_000,
        changed(manifest="shotfs-version/2"),
        changed(state="open"),
        changed(at="yesterday"),
        changed(by=7),
        changed(files={}) + b"x",
        changed(files=[7]),
        changed(size=-1),
        changed(size=1.5),
        changed(size=True),
        changed(mtime_ns="5"),
        changed(version=None),
        changed(checksums=[]),
        # What would fail later, at an application's look-up, with an error that names nothing.
        changed(size=2**63),
        changed(mtime_ns=-(10**30)),
        changed(version=""),
        changed(version="\udc80"),
        changed(version="1" * 2000),
        changed(checksums={"md5": 7}),
        changed(checksums={"md5": "0" * 31}),
        changed(checksums={"crc32c": "F" * 8}),
        changed(digest="x"),
        changed(digest=7),
        changed(files="abc"),
        changed(files=None),
        changed(files=[changed_row := {"path": "a", "size": 1, "mtime_ns": 1, "version": "1"}] * 2),
        changed(files=[{**changed_row, "path": f"f{n}"} for n in range(FILES_MAX + 1)]),
        changed(at="\u0662\u0660\u0662\u0666-11-21T06:00:00.123456Z"),
        changed(at="9999-12-31T23:59:59.999999Z"),
    ],
    ids=lambda content: content[:20] + content[-40:],
)
def test_what_is_no_manifest_is_refused_by_name(content: bytes) -> None:
    with pytest.raises(RecordInvalid, match="gs://b/k: not a version manifest"):
        decode(content, "gs://b/k", tier="t")


@pytest.mark.parametrize(
    "path",
    ["../a", "/a", "a//b", "", ".", "a/..", "a/./b", "a/../../b", "a/", "a\0b", "a\nb", "a\udcffb"],
)
def test_a_path_that_leaves_the_version_is_refused(path: str) -> None:
    with pytest.raises(RecordInvalid, match="not a path in a tree"):
        decode(encode(manifest({path: revision("a")})), "k", tier="t")


@pytest.mark.parametrize("path", ["x" * 1100, "/".join("a" * 5000)])
def test_a_path_that_no_store_takes_is_refused(path: str) -> None:
    with pytest.raises(RecordInvalid, match="longer than 1024 bytes"):
        decode(encode(manifest({path: revision("a")})), "k", tier="t")


def test_who_published_it_may_have_a_name_that_is_no_utf8() -> None:
    odd = Manifest(VERSION, True, "ann\udce9@a", AT, "why\udcff", "a-1", {})
    assert decode(encode(odd), "k", tier="t").by == "ann\udce9@a"
