"""moto as our S3: what obstore and s3fs rely on."""

from typing import Any

import obstore
import pytest
import s3fs
from obstore.exceptions import AlreadyExistsError
from obstore.store import S3Store

from tests.servers.handles import S3Bucket


@pytest.fixture
def store(s3: S3Bucket) -> S3Store:
    return S3Store(**s3.obstore_options)


def test_obstore_create_only_refuses_the_second_writer(s3: S3Bucket, store: S3Store) -> None:
    obstore.put(store, "a b/1", b"first", mode="create")
    with pytest.raises(AlreadyExistsError):
        obstore.put(store, "a b/1", b"second", mode="create")
    assert s3.read("a b/1") == b"first"


def test_s3fs_create_only_refuses_the_second_writer(s3: S3Bucket) -> None:
    fs: Any = s3fs.S3FileSystem(**s3.s3fs_options)
    fs.pipe_file(f"{s3.bucket}/a", b"first", mode="create")
    with pytest.raises(FileExistsError):
        fs.pipe_file(f"{s3.bucket}/a", b"second", mode="create")
    assert fs.cat_file(f"{s3.bucket}/a", start=1, end=3) == b"ir"
    assert s3.read("a") == b"first"
    fs.close_session(fs.loop, fs._s3)


def test_what_is_put_behind_the_back_is_seen(s3: S3Bucket, store: S3Store) -> None:
    s3.put("d/a", b"one")
    first = obstore.head(store, "d/a")["e_tag"]
    s3.put("d/a", b"two")
    assert obstore.head(store, "d/a")["e_tag"] != first
    s3.delete("d/a")
    with pytest.raises(FileNotFoundError):
        obstore.head(store, "d/a")
