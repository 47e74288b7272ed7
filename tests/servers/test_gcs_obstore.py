"""The strict GCS server, seen by obstore (the XML API)."""

import os

import obstore
import pytest
import trio
from obstore.exceptions import (
    AlreadyExistsError,
    GenericError,
    NotModifiedError,
    PermissionDeniedError,
    PreconditionError,
    UnauthenticatedError,
)
from obstore.store import GCSStore

from tests.servers.gcs import Fault, GcsServer
from tests.servers.handles import GcsBucket

PART_BYTES = 5 << 20


@pytest.fixture
def store(gcs: GcsBucket) -> GCSStore:
    return GCSStore(**gcs.obstore_options)


def test_create_only_put_refuses_the_second_writer(gcs: GcsBucket, store: GCSStore) -> None:
    obstore.put(store, "a/one", b"first", mode="create")
    with pytest.raises(AlreadyExistsError):
        obstore.put(store, "a/one", b"second", mode="create")
    assert gcs.read("a/one") == b"first"


def test_replacing_needs_the_current_generation(gcs: GcsBucket, store: GCSStore) -> None:
    first = obstore.put(store, "a", b"first", use_multipart=False)
    second = obstore.put(store, "a", b"second", mode=first)
    assert int(second["version"]) > int(first["version"])
    with pytest.raises(PreconditionError):
        obstore.put(store, "a", b"third", mode=first)
    assert gcs.read("a") == b"second"


def test_a_read_of_an_old_generation_is_not_found_rather_than_new_bytes(
    gcs: GcsBucket, store: GCSStore
) -> None:
    old = gcs.put("a", b"old")
    options = {"version": str(old.generation)}
    assert bytes(obstore.get(store, "a", options=options).bytes()) == b"old"
    gcs.put("a", b"new")
    with pytest.raises(FileNotFoundError):
        obstore.get(store, "a", options=options)


def test_conditional_reads_compare_etags(gcs: GcsBucket, store: GCSStore) -> None:
    gcs.put("a", b"old")
    etag = obstore.head(store, "a")["e_tag"]
    with pytest.raises(NotModifiedError):
        obstore.get(store, "a", options={"if_none_match": etag})
    gcs.put("a", b"new")
    with pytest.raises(PreconditionError):
        obstore.get(store, "a", options={"if_match": etag})


def test_names_that_need_quoting_survive(gcs: GcsBucket, store: GCSStore) -> None:
    names = ["a b", "a+b", "a&b", "a=b", "ä/ö.exr", "x (1).exr", "a;b"]
    for name in names:
        obstore.put(store, name, name.encode(), use_multipart=False)
    assert gcs.names() == sorted(names)
    assert [meta["path"] for page in obstore.list(store) for meta in page] == sorted(names)
    assert [bytes(obstore.get(store, name).bytes()) for name in names] == [
        name.encode() for name in names
    ]


def test_ranges_are_served_exactly_and_beyond_the_end_is_an_error(
    gcs: GcsBucket, store: GCSStore
) -> None:
    data = os.urandom(9 << 20)
    gcs.put("big", data)
    for start, end in ((0, 1), (4_000_000, 8_500_000), (len(data) - 3, len(data))):
        assert bytes(obstore.get_range(store, "big", start=start, end=end)) == data[start:end]
    with pytest.raises(GenericError):
        obstore.get_range(store, "big", start=len(data), end=len(data) + 1)
    assert gcs.sent_bytes("big") == 1 + 4_500_000 + 3


def test_listing_pages_are_disjoint_and_complete(gcs: GcsBucket, store: GCSStore) -> None:
    names = [f"d/{number:04}" for number in range(2500)]
    for name in names:
        gcs.put(name, b"")
    assert [meta["path"] for page in obstore.list(store, "d") for meta in page] == names
    assert len(gcs.requests("list")) == 3


def test_listing_with_a_delimiter_gives_each_prefix_once(gcs: GcsBucket, store: GCSStore) -> None:
    for name in ("top", "a/1", "a/2", "a/b/3", "c/4"):
        gcs.put(name, b"")
    found = obstore.list_with_delimiter(store)
    assert sorted(found["common_prefixes"]) == ["a", "c"]
    assert [meta["path"] for meta in found["objects"]] == ["top"]


def test_multipart_upload_makes_one_object_without_md5(gcs: GcsBucket, store: GCSStore) -> None:
    data = os.urandom(2 * PART_BYTES + 17)
    made = obstore.put(store, "big", data, use_multipart=True, chunk_size=PART_BYTES)
    assert gcs.read("big") == data
    assert made["version"] == str(gcs.get("big").generation)
    assert gcs.get("big").content.md5 is None
    assert len(gcs.requests("multipart_part")) == 3
    assert gcs.server.multipart.open_uploads() == []


def test_copy_keeps_bytes_and_respects_create_only(gcs: GcsBucket, store: GCSStore) -> None:
    gcs.put("from", b"bytes")
    obstore.copy(store, "from", "to")
    assert gcs.read("to") == b"bytes"
    with pytest.raises(AlreadyExistsError):
        obstore.copy(store, "from", "to", overwrite=False)


def test_metadata_travels_in_headers(gcs: GcsBucket, store: GCSStore) -> None:
    attributes = {"Content-Type": "image/x-exr", "shotfs-xxh128": "abc"}
    obstore.put(store, "a", b"1", attributes=attributes, use_multipart=False)
    assert dict(gcs.get("a").metadata) == {"shotfs-xxh128": "abc"}
    assert gcs.get("a").content_type == "image/x-exr"


def test_an_unknown_bucket_is_not_found(gcs: GcsBucket) -> None:
    store = GCSStore(**{**gcs.obstore_options, "bucket": "no-such-bucket"})
    with pytest.raises(FileNotFoundError, match="NoSuchBucket"):
        obstore.get(store, "a")


def test_tokens_are_checked() -> None:
    with GcsServer(tokens=frozenset({"all"}), read_tokens=frozenset({"read"})) as server:
        server.store.create_bucket("show")
        server.store.put("show", "a", b"1")

        def store(token: str) -> GCSStore:
            bucket = GcsBucket(server.endpoint, "show", server)
            return GCSStore(**{**bucket.obstore_options, "bearer_token": token})

        assert bytes(obstore.get(store("read"), "a").bytes()) == b"1"
        with pytest.raises(PermissionDeniedError):
            obstore.put(store("read"), "a", b"2", use_multipart=False)
        with pytest.raises(UnauthenticatedError):
            obstore.get(store("wrong"), "a")
        obstore.put(store("all"), "a", b"2", use_multipart=False)
        assert server.store.read("show", "a") == b"2"


def test_a_status_fault_hits_only_what_it_matches_and_only_so_often(
    gcs: GcsBucket, store: GCSStore
) -> None:
    gcs.put("a", b"1")
    gcs.put("b", b"1")
    handle = gcs.fault(Fault("status", operation="read", object="a", status=503, times=2))
    assert bytes(obstore.get(store, "b").bytes()) == b"1"
    for _ in range(2):
        with pytest.raises(GenericError, match="503"):
            obstore.get(store, "a")
    assert bytes(obstore.get(store, "a").bytes()) == b"1"
    assert handle.hits == 2


def test_a_cut_reply_breaks_the_read(gcs: GcsBucket, store: GCSStore) -> None:
    gcs.put("a", bytes(1_000_000))
    gcs.fault(Fault("cut_reply", object="a", after_bytes=1000))
    with pytest.raises(GenericError):
        obstore.get_range(store, "a", start=0, end=1_000_000)
    (record,) = gcs.requests("read")
    assert (record.sent_bytes, record.complete) == (1000, False)


def test_a_dropped_reply_did_what_was_asked(gcs: GcsBucket, store: GCSStore) -> None:
    gcs.fault(Fault("drop_reply", operation="insert"))
    with pytest.raises(GenericError):
        obstore.put(store, "a", b"landed", mode="create")
    assert gcs.read("a") == b"landed"


def test_corruption_changes_one_byte(gcs: GcsBucket, store: GCSStore) -> None:
    gcs.put("a", b"\0\0\0")
    gcs.fault(Fault("corrupt", operation="read", after_bytes=1))
    assert bytes(obstore.get(store, "a").bytes()) == b"\0\xff\0"


def test_a_truncated_reply_looks_whole(gcs: GcsBucket, store: GCSStore) -> None:
    gcs.put("a", b"123456")
    gcs.fault(Fault("truncate", operation="read", after_bytes=2))
    assert bytes(obstore.get(store, "a").bytes()) == b"12"


async def test_a_stalled_read_goes_on_when_released(gcs: GcsBucket, store: GCSStore) -> None:
    gcs.put("a", b"1")
    handle = gcs.fault(Fault("stall", operation="read"))
    got: list[bytes] = []

    def read() -> None:
        got.append(bytes(obstore.get(store, "a").bytes()))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(trio.to_thread.run_sync, read)
        await trio.to_thread.run_sync(handle.wait_hits)
        assert got == []
        handle.release()
    assert got == [b"1"]


def test_down_refuses_connections_and_comes_back_on_the_same_port(
    gcs: GcsBucket, store: GCSStore
) -> None:
    gcs.put("a", b"1")
    assert bytes(obstore.get(store, "a").bytes()) == b"1"
    gcs.server.go_down()
    with pytest.raises(GenericError):
        obstore.get(store, "a")
    gcs.server.come_up()
    assert bytes(obstore.get(store, "a").bytes()) == b"1"
