"""The strict GCS server, seen by gcsfs (the JSON API)."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gcsfs
import pytest
from gcsfs.retry import HttpError

from tests.servers.gcs import Fault
from tests.servers.handles import EmulatorBucket, GcsBucket

CHUNK_BYTES = 256 << 10


@pytest.fixture
def fs(gcs: GcsBucket) -> Iterator[Any]:
    made = gcsfs.GCSFileSystem(**gcs.gcsfs_options)
    yield made
    close(made)


def close(fs: Any) -> None:
    import fsspec.asyn

    if fs.session is not None:
        fsspec.asyn.sync(fs.loop, fs.session.close)


def test_create_only_refuses_the_second_writer(gcs: GcsBucket, fs: Any) -> None:
    fs.pipe_file(f"{gcs.bucket}/a", b"first", mode="create")
    with pytest.raises(FileExistsError):
        fs.pipe_file(f"{gcs.bucket}/a", b"second", mode="create")
    assert gcs.read("a") == b"first"


def test_create_only_is_decided_before_a_resumable_upload_moves_bytes(
    gcs: GcsBucket, fs: Any
) -> None:
    gcs.put("a", b"first")
    with pytest.raises(FileExistsError):
        fs.pipe_file(
            f"{gcs.bucket}/a", bytes(3 * CHUNK_BYTES), chunksize=CHUNK_BYTES, mode="create"
        )
    assert gcs.requests("resumable_chunk") == []


def test_create_only_is_decided_again_when_a_resumable_upload_ends(gcs: GcsBucket, fs: Any) -> None:
    data = bytes(2 * CHUNK_BYTES)
    opened = fs.open(f"{gcs.bucket}/a", "xb", block_size=CHUNK_BYTES)
    opened.write(data)
    opened.flush()
    gcs.put("a", b"somebody else's")
    with pytest.raises(FileExistsError):
        opened.close()
    assert gcs.read("a") == b"somebody else's"


def test_uploads_of_all_three_kinds_arrive_whole(gcs: GcsBucket, fs: Any, tmp_path: Path) -> None:
    small, large = os.urandom(1000), os.urandom(5 * CHUNK_BYTES + 3)
    fs.pipe_file(f"{gcs.bucket}/small", small, consistency="md5")
    fs.pipe_file(f"{gcs.bucket}/large", large, chunksize=CHUNK_BYTES, consistency="md5")
    with fs.open(f"{gcs.bucket}/streamed", "wb", block_size=CHUNK_BYTES) as file:
        file.write(large)
    local = tmp_path / "local"
    local.write_bytes(large)
    fs.put_file(str(local), f"{gcs.bucket}/put", consistency="md5")
    assert [gcs.read(name) for name in ("large", "put", "small", "streamed")] == [
        large,
        large,
        small,
        large,
    ]
    assert gcs.server.uploads.open_sessions() == []


def test_bytes_that_look_like_multipart_separators_survive(gcs: GcsBucket, fs: Any) -> None:
    data = b"\n--==0==\n\n--==0==--\n\r\n"
    fs.pipe_file(f"{gcs.bucket}/a", data)
    assert gcs.read("a") == data


def test_downloads_check_against_the_hash_header(gcs: GcsBucket, fs: Any, tmp_path: Path) -> None:
    data = os.urandom(100_000)
    gcs.put("a", data)
    fs.get_file(f"{gcs.bucket}/a", str(tmp_path / "a"), consistency="md5")
    assert (tmp_path / "a").read_bytes() == data
    assert fs.cat_file(f"{gcs.bucket}/a", start=10, end=20) == data[10:20]


def test_info_has_what_tiers_need(gcs: GcsBucket, fs: Any) -> None:
    made = gcs.put("d/a", b"hello", metadata={"k": "v"})
    info = fs.info(f"{gcs.bucket}/d/a")
    assert info["generation"] == str(made.generation)
    assert (info["size"], info["md5Hash"], info["crc32c"]) == (
        5,
        "XUFAKrxLKna5cZ2REBfFkg==",
        "mnG7TA==",
    )
    assert info["metadata"] == {"k": "v"}
    assert info["mtime"].tzinfo is not None
    assert fs.info(f"{gcs.bucket}/d")["type"] == "directory"
    with pytest.raises(FileNotFoundError):
        fs.info(f"{gcs.bucket}/absent")


def test_listings_are_paged_and_generations_read_back(gcs: GcsBucket, fs: Any) -> None:
    for number in range(1500):
        gcs.put(f"d/{number:04}", b"")
    gcs.put("d/sub/x", b"")
    names = fs.ls(f"{gcs.bucket}/d", detail=False)
    assert len(names) == 1501
    assert f"{gcs.bucket}/d/sub" in names
    assert len(gcs.requests("list")) == 2


def test_copy_move_and_delete(gcs: GcsBucket, fs: Any) -> None:
    gcs.put("a", b"1", metadata={"k": "v"})
    fs.cp_file(f"{gcs.bucket}/a", f"{gcs.bucket}/b")
    fs.mv(f"{gcs.bucket}/b", f"{gcs.bucket}/c")
    fs.rm_file(f"{gcs.bucket}/a")
    assert gcs.names() == ["c"]
    assert dict(gcs.get("c").metadata) == {"k": "v"}
    with pytest.raises(FileNotFoundError):
        fs.rm_file(f"{gcs.bucket}/a")


def test_patching_metadata_keeps_the_generation(gcs: GcsBucket, fs: Any) -> None:
    made = gcs.put("a", b"1", metadata={"keep": "1", "drop": "1"})
    assert fs.setxattrs(f"{gcs.bucket}/a", new="2", drop=None) == {"keep": "1", "new": "2"}
    assert (gcs.get("a").generation, gcs.get("a").metageneration) == (made.generation, 2)


def test_an_unknown_bucket_is_not_found(fs: Any) -> None:
    with pytest.raises(FileNotFoundError):
        fs.pipe_file("no-such-bucket/a", b"1")
    with pytest.raises(FileNotFoundError):
        fs.ls("no-such-bucket")


def test_names_that_google_refuses_are_refused(gcs: GcsBucket, fs: Any) -> None:
    for name in ("a\nb", "x" * 1025, ".well-known/acme-challenge/x"):
        with pytest.raises((HttpError, ValueError, OSError)):
            fs.pipe_file(f"{gcs.bucket}/{name}", b"1")
    assert gcs.names() == []


def test_an_interrupted_read_is_retried_by_gcsfs(gcs: GcsBucket, fs: Any) -> None:
    gcs.put("a", bytes(100_000))
    handle = gcs.fault(Fault("cut_reply", operation="read", after_bytes=5000))
    assert fs.cat_file(f"{gcs.bucket}/a") == bytes(100_000)
    assert handle.hits == 1
    assert len(gcs.requests("read")) == 2


def test_faults_match_uploads_by_the_name_in_their_body(gcs: GcsBucket, fs: Any) -> None:
    gcs.fault(Fault("status", operation="insert", object="b", status=403))
    fs.pipe_file(f"{gcs.bucket}/a", b"1")
    with pytest.raises(OSError, match="Forbidden"):
        fs.pipe_file(f"{gcs.bucket}/b", b"1")
    assert gcs.names() == ["a"]


def test_the_emulator_agrees_on_the_basics(gcs_emulator: EmulatorBucket) -> None:
    fs = gcsfs.GCSFileSystem(**gcs_emulator.gcsfs_options)
    fs.pipe_file(f"{gcs_emulator.bucket}/d/a", b"hello")
    assert fs.cat_file(f"{gcs_emulator.bucket}/d/a") == b"hello"
    assert fs.info(f"{gcs_emulator.bucket}/d/a")["md5Hash"] == "XUFAKrxLKna5cZ2REBfFkg=="
    assert fs.ls(f"{gcs_emulator.bucket}/d", detail=False) == [f"{gcs_emulator.bucket}/d/a"]
    close(fs)
