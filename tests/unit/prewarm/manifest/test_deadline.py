"""Deadline Cloud asset manifests: the same bytes as its own library, in both directions."""

from __future__ import annotations

import io
import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings

from shotfs.digest import Digest
from shotfs.errors import ManifestInvalid
from shotfs.prewarm.manifest import Entry, Source, json_stream
from shotfs.prewarm.manifest.deadline import read_deadline, write_deadline
from shotfs.prewarm.manifest.verifying import Verdict, verified
from tests.unit.prewarm.manifest.strategies import manifests

GOLDEN = Path(__file__).with_name("deadline-manifest-2023-03-03.json")
PYTHON = Path(__file__).parents[4] / ".venv-deadline" / "bin" / "python"

DIGEST = Digest("99aa06d3014798d86001c324468d497f")


def written(entries: list[Entry], below: str = "") -> bytes:
    stream = io.BytesIO()
    write_deadline(stream, "m", entries, below=below)
    return stream.getvalue()


def read(data: bytes, below: str = "") -> list[Entry]:
    return list(read_deadline(io.BytesIO(data), "d.json", below=below))


def document(**changes: Any) -> dict[str, Any]:
    return {
        "hashAlg": "xxh128",
        "manifestVersion": "2023-03-03",
        "paths": [{"hash": DIGEST, "mtime": 1, "path": "a.exr", "size": 5}],
        "totalSize": 5,
    } | changes


def refused(data: bytes | dict[str, Any]) -> str:
    raw = data if isinstance(data, bytes) else json.dumps(data).encode()
    with pytest.raises(ManifestInvalid) as caught:
        read(raw)
    assert caught.value.fix
    return caught.value.message


# --- our side ------------------------------------------------------------------------------------


def test_the_golden_manifest_comes_out_as_it_went_in() -> None:
    entries = read(GOLDEN.read_bytes())
    assert [entry.path for entry in entries] == ["a/b.exr", "é/b.exr"]
    assert entries[1].mtime_ns == 1_700_000_000_123_456_000
    assert written(entries) == GOLDEN.read_bytes()


def test_its_root_is_a_directory_of_the_mount() -> None:
    entries = read(GOLDEN.read_bytes(), below="ant/tex")
    assert [entry.path for entry in entries] == ["ant/tex/a/b.exr", "ant/tex/é/b.exr"]
    assert written(entries, below="ant/tex") == GOLDEN.read_bytes()


def test_who_says_it_can_be_told() -> None:
    stream = io.BytesIO(GOLDEN.read_bytes())
    entries = read_deadline(stream, "d", source=Source.PUBLISHED)
    assert {entry.sources for entry in entries} == {(Source.PUBLISHED,)}


@settings(max_examples=50)
@given(manifests)
def test_what_was_written_is_read_again(entries: list[Entry]) -> None:
    whole = [
        Entry(
            one.path, DIGEST, (one.size_bytes or 0) // 2000, abs(one.mtime_ns or 0) // 1000 * 1000
        )
        for one in entries
        if "\\" not in one.path and one.path[1:2] != ":"
    ]
    if whole:
        assert read(written(whole)) == whole


def test_paths_are_in_the_order_of_utf16() -> None:
    # By code points U+FFFD comes before U+1F3AC, by UTF-16 after it.
    entries = [Entry(name, DIGEST, 1, 0) for name in ("\ufffd", "\U0001f3ac", "z", "\udcff")]
    paths = [row["path"] for row in json.loads(written(entries))["paths"]]
    assert paths == sorted(paths, key=lambda path: path.encode("utf-16_be", "surrogatepass"))
    assert paths[0] == "z"
    assert paths.index("\U0001f3ac") < paths.index("\ufffd")
    assert read(written(entries)) == sorted(entries, key=lambda entry: entry.path)


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("/etc/passwd", "is absolute"),
        ("../../etc/passwd", "leaves its directory"),
        ("a/../../b", "leaves its directory"),
        ("a//b", "an empty part"),
        ("a\0b", "NUL"),
        ("C:/Windows/a", "a path of Windows"),
        ("C:a", "a path of Windows"),
        ("..\\..\\a", "a path of Windows"),
        ("", "is no path"),
        (7, "is no path"),
        (None, "a path is missing"),
    ],
)
def test_a_path_that_leaves_the_root_is_refused(path: Any, message: str) -> None:
    said = refused(document(paths=[{"hash": DIGEST, "mtime": 1, "path": path, "size": 5}]))
    assert said.startswith("d.json:1: ")
    assert message in said


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"manifestVersion": "2024-01-01"}, "manifestVersion is '2024-01-01'"),
        ({"hashAlg": "md5"}, "hashAlg is 'md5'"),
        ({"hashAlg": None}, "hashAlg is 'None'"),
        ({"totalSize": 6}, "totalSize is 6, its files have 5 bytes"),
        ({"paths": {}}, "'[' was expected"),
        ({"paths": [{"path": "a"}]}, "without hash, mtime, path or size"),
        ({"paths": ["a"]}, "without hash"),
    ],
)
def test_another_kind_of_document_is_refused(changes: dict[str, Any], message: str) -> None:
    assert message in refused(document(**changes))


@pytest.mark.parametrize(
    "fields",
    [{"hash": "x"}, {"hash": DIGEST.upper()}, {"size": -1}, {"size": 1.5}, {"size": True},
     {"mtime": "now"}, {"mtime": 2**62}, {"size": 2**63}],
)  # fmt: skip
def test_a_file_that_makes_no_sense_is_refused(fields: dict[str, Any]) -> None:
    row = {"hash": DIGEST, "mtime": 1, "path": "a.exr", "size": 5} | fields
    assert "a.exr" in refused(document(paths=[row]))


def test_a_path_that_is_there_twice_is_refused() -> None:
    row = {"hash": DIGEST, "mtime": 1, "path": "a.exr", "size": 5}
    assert "twice" in refused(document(paths=[row, row], totalSize=10))


def test_damage_is_noticed_wherever_it_is() -> None:
    whole = GOLDEN.read_bytes()
    for length in range(len(whole)):
        refused(whole[:length])
    refused(whole + b"x")
    refused(b'{"paths":' + whole + b"}")
    refused(b'{"paths":[],"paths":[]}')
    refused(b"[]")
    refused(b'{"a":1}')
    refused(b'{"a":' + b"[" * 100_000)
    refused(b'{"a":NaN}')
    refused(b'{"a":"\xff"}')
    refused(b'{"a":"' + b"x" * 2_000_000 + b'"}')
    refused(json.dumps({f"k{number}": 1 for number in range(200)}).encode())


@pytest.mark.parametrize("block_bytes", [1, 2, 3, 7, 64])
def test_it_does_not_matter_how_a_document_falls_into_blocks(
    block_bytes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(json_stream, "BLOCK_BYTES", block_bytes)
    entries = [
        Entry(name, DIGEST, 10**9 + len(name), 123_000) for name in ("a", "z", "é\U0001f3ac")
    ]
    spread = json.dumps(json.loads(written(entries)), indent=1, ensure_ascii=False)
    assert read(spread.encode()) == entries
    wrong = spread.replace('"z"', '"/z"').encode()
    # The line in which its entry begins.
    line = spread[: spread.index('"z"')].rpartition("{")[0].count("\n") + 1
    assert refused(wrong).startswith(f"d.json:{line}: '/z' is absolute")


def test_an_export_says_which_files_lack_something() -> None:
    entries = [
        Entry("a", DIGEST, 1, 1),
        *(Entry(f"b{index:02}", None, 1, 1) for index in range(30)),
    ]
    with pytest.raises(ManifestInvalid, match="30 files have no digest, size or time") as caught:
        written(entries)
    assert "b00" in caught.value.message
    assert "and 10 more" in caught.value.message
    assert "--root" in str(caught.value.fix)


def test_an_export_without_files_is_refused() -> None:
    with pytest.raises(ManifestInvalid, match="at least one file"):
        written([])


@pytest.mark.parametrize("path", ["a\\b.exr", "C:x"])
def test_names_that_are_other_paths_on_windows_are_not_exported(path: str) -> None:
    with pytest.raises(ManifestInvalid, match="another path on Windows"):
        written([Entry(path, DIGEST, 1, 1)])


# --- the other side: the deadline package, in the environment that tools/setup makes for it -------

READ_AND_WRITE = """
import json, sys
from deadline.job_attachments.asset_manifests.decode import decode_manifest
manifest = decode_manifest(sys.stdin.buffer.read().decode())
told = [[one.path, one.hash, one.size, one.mtime] for one in manifest.paths]
print(json.dumps(told), file=sys.stderr)
sys.stdout.write(manifest.encode())
"""

MAKE = """
import sys
from deadline.job_attachments.asset_manifests.hash_algorithms import HashAlgorithm, hash_file
from deadline.job_attachments.asset_manifests.v2023_03_03 import AssetManifest, ManifestPath
import os
root = sys.argv[1]
paths = []
for directory, _, names in os.walk(root):
    for name in names:
        whole = os.path.join(directory, name)
        status = os.stat(whole)
        paths.append(ManifestPath(
            path=os.path.relpath(whole, root), hash=hash_file(whole, HashAlgorithm.XXH128),
            size=status.st_size, mtime=status.st_mtime_ns // 1000,
        ))
total = sum(one.size for one in paths)
sys.stdout.write(
    AssetManifest(hash_alg=HashAlgorithm.XXH128, paths=paths, total_size=total).encode()
)
"""


def deadline(code: str, *arguments: str, data: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    assert PYTHON.exists(), "make it: tools/setup --deadline"
    return subprocess.run(
        [str(PYTHON), "-X", "utf8", "-c", code, *arguments],
        input=data, capture_output=True, check=True, timeout=100,
    )  # fmt: skip


NAMES = [
    "a/b.exr",
    "é/\U0001f3ac.exr",
    "z\ufffd",
    "quote\"'.exr",
    "tab\t.exr",
    "\udcff.bin",
    "Ω.1001",
]


def test_deadline_reads_what_we_write_and_writes_the_same_bytes() -> None:
    entries = [
        Entry(name, Digest(f"{index:032x}"), index * 10**9, 1_700_000_000_123_456_789 + index)
        for index, name in enumerate(NAMES)
    ]
    ours = written([*entries, Entry("ant", DIGEST, 0, 0)])
    theirs = deadline(READ_AND_WRITE, data=ours)
    assert theirs.stdout == ours
    told = {one[0]: one[1:] for one in json.loads(theirs.stderr)}
    assert told.keys() == {"ant", *NAMES}
    for entry in entries:
        mtime = (entry.mtime_ns or 0) // 1000
        assert told[entry.path] == [entry.digest, entry.size_bytes, mtime]


def test_we_read_what_deadline_writes_of_a_directory_and_write_the_same_bytes(
    tmp_path: Path,
) -> None:
    for index, name in enumerate(NAMES[:-2]):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"pixels" * index)
    theirs = deadline(MAKE, str(tmp_path)).stdout
    entries = read(theirs, below="ant/assets")
    assert [entry.path for entry in entries] == sorted(f"ant/assets/{one}" for one in NAMES[:-2])
    assert written(entries, below="ant/assets") == theirs
    relative = read(theirs)
    assert {one.verdict for one in verified(relative, str(tmp_path), read=True)} == {Verdict.SAME}
