"""The tier contract: what `tiers.base.Tier` promises, at every kind of place that keeps it."""

from __future__ import annotations

import hashlib
import os
from contextlib import aclosing
from pathlib import Path

import pytest
import trio

from shotfs.digest import Checksums, digest_bytes, hash_file
from shotfs.errors import (
    BucketNotFound,
    NameTooLong,
    ObjectNotFound,
    PreconditionFailed,
    RevisionChanged,
    TierReadOnly,
)
from shotfs.observe.metrics import Metrics
from shotfs.tiers.base import ListPage, Revision, Span, Tier
from shotfs.tiers.registry import open_tier
from tests.contract.places import (
    ATOMIC,
    ATOMIC_VARIANTS,
    CHECKED,
    PART_BYTES,
    READABLE,
    READABLE_VARIANTS,
    WRITABLE,
    Place,
    at,
    noise,
)

MTIME_NS = 1_700_000_000_123_456_789

ODD_KEYS = (
    "sq010/sh0100/a b.exr",
    "per%20cent%2F.exr",
    "plus+and&=;,.exr",
    "tilde~[1](2){3}'!.exr",
    "Grüße-日本.exr",
    "hash#1.exr",
    "question?.exr",
)


async def put(tier: Tier, key: str, data: bytes, *, expect: Revision | None = None) -> Revision:
    checksums = Checksums(md5=hashlib.md5(data).hexdigest(), xxh128=digest_bytes(data))
    return await tier.put(
        key, data, expect=expect, checksums=checksums, mtime_ns=MTIME_NS, metadata={"by": "test"}
    )


async def list_all(tier: Tier, prefix: str) -> ListPage:
    objects: list[Revision] = []
    prefixes: list[str] = []
    async with aclosing(tier.list(prefix)) as pages:
        async for page in pages:
            objects.extend(page.objects)
            prefixes.extend(page.prefixes)
    return ListPage(tuple(objects), tuple(prefixes))


async def read_all(tier: Tier, revision: Revision) -> bytes:
    return bytes(await tier.read(revision, Span(0, revision.size_bytes)))


# --- reading -------------------------------------------------------------------------------------


@at(*READABLE)
async def test_every_tier_is_a_tier_and_its_root_can_be_checked(place: Place, tier: Tier) -> None:
    place.write("a", b"1")
    assert isinstance(tier, Tier)
    assert tier.name == place.url.rstrip("/")
    await tier.check()


@at(*READABLE_VARIANTS)
async def test_stat_and_list_give_the_same_revision(place: Place, tier: Tier) -> None:
    place.write("one.exr", b"12345")
    place.write("dir/two.exr", b"123")
    revision = await tier.stat("one.exr")
    assert (revision.tier, revision.key, revision.size_bytes) == (tier.name, "one.exr", 5)
    assert (await list_all(tier, "")).objects == (revision,)
    assert (await list_all(tier, "dir")).objects == (await tier.stat("dir/two.exr"),)


@at(*ATOMIC_VARIANTS, "memory")
async def test_s06_a_tier_says_whether_its_listings_carry_what_stat_says_of_the_bytes(
    tier: Tier,
) -> None:
    await put(tier, "a", b"12345")
    told, listed = await tier.stat("a"), (await list_all(tier, "")).objects[0]
    assert (told.checksums == listed.checksums) is tier.properties.lists_checksums


@at(*READABLE_VARIANTS)
async def test_a_listing_has_direct_children_only_each_once(place: Place, tier: Tier) -> None:
    for key in ("a/1", "a/2", "a/deep/er/3", "a-b", "a.exr", "b/1"):
        place.write(key, b"x")
    top = await list_all(tier, "")
    assert [revision.key for revision in top.objects] == ["a-b", "a.exr"]
    assert sorted(top.prefixes) == ["a", "b"]
    below = await list_all(tier, "a")
    assert [revision.key for revision in below.objects] == ["a/1", "a/2"]
    assert below.prefixes == ("deep",)


@at(*READABLE)
async def test_a_prefix_without_anything_below_is_empty(place: Place, tier: Tier) -> None:
    place.write("a", b"x")
    assert await list_all(tier, "nothing/here") == ListPage((), ())


@at(*READABLE)
async def test_a_prefix_of_other_keys_is_no_object(place: Place, tier: Tier) -> None:
    place.write("dir/file", b"x")
    for key in ("dir", "nothing", "dir/file/below", "di"):
        with pytest.raises(ObjectNotFound, match=key):
            await tier.stat(key)


@at(*READABLE_VARIANTS)
async def test_read_returns_exactly_the_span(place: Place, tier: Tier) -> None:
    data = noise(300_000)
    place.write("a.exr", data)
    revision = await tier.stat("a.exr")
    for start, stop in ((0, 1), (0, 300_000), (299_999, 300_000), (1000, 200_000), (5, 5)):
        assert bytes(await tier.read(revision, Span(start, stop))) == data[start:stop]


@at(*READABLE_VARIANTS)
async def test_read_to_file_writes_the_span_at_its_own_offset(
    place: Place, tier: Tier, tmp_path: Path
) -> None:
    data = noise(700_000)
    place.write("a.exr", data)
    revision = await tier.stat("a.exr")
    with (tmp_path / "partial").open("w+b") as file:
        os.truncate(file.fileno(), len(data))
        async with trio.open_nursery() as nursery:
            for start in range(100_000, 700_000, 100_000):
                span = Span(start, start + 100_000)
                nursery.start_soon(tier.read_to_file, revision, span, file.fileno())
        assert os.pread(file.fileno(), 100_000, 0) == bytes(100_000)
        assert os.pread(file.fileno(), 600_000, 100_000) == data[100_000:]
        assert file.tell() == 0


@at(*READABLE)
async def test_a_span_beyond_the_end_is_refused(place: Place, tier: Tier) -> None:
    place.write("a", b"12345")
    revision = await tier.stat("a")
    with pytest.raises(ValueError, match="5 bytes"):
        await tier.read(revision, Span(0, 6))
    with pytest.raises(ValueError, match="5 bytes"):
        await tier.read_to_file(revision, Span(0, 6), 0)


@at(*READABLE)
async def test_an_empty_object_can_be_read_and_listed(place: Place, tier: Tier) -> None:
    place.write("empty", b"")
    revision = await tier.stat("empty")
    assert revision.size_bytes == 0
    assert bytes(await tier.read(revision, Span(0, 0))) == b""
    assert (await list_all(tier, "")).objects == (revision,)


@at(*READABLE_VARIANTS)
async def test_odd_names_mean_themselves(place: Place, tier: Tier) -> None:
    for number, key in enumerate(ODD_KEYS):
        place.write(key, b"%d" % number)
    for number, key in enumerate(ODD_KEYS):
        revision = await tier.stat(key)
        assert await read_all(tier, revision) == b"%d" % number
    top = await list_all(tier, "")
    assert {one.key for one in top.objects} == {key for key in ODD_KEYS if "/" not in key}


@at(*READABLE_VARIANTS)
async def test_a_read_of_a_replaced_object_is_refused(
    place: Place, tier: Tier, tmp_path: Path
) -> None:
    place.write("a", b"12345")
    for replacement in (b"abcde", b"longer than before", b"s"):
        revision = await tier.stat("a")
        place.write("a", replacement)
        whole = Span(0, revision.size_bytes)
        with pytest.raises(RevisionChanged, match="/a "):
            await tier.read(revision, whole)
        with (tmp_path / "f").open("w+b") as file, pytest.raises(RevisionChanged):
            await tier.read_to_file(revision, whole, file.fileno())
        assert (await tier.stat("a")).identity != revision.identity


@at(*READABLE_VARIANTS)
async def test_a_read_of_a_deleted_object_says_so(place: Place, tier: Tier) -> None:
    place.write("a", b"12345")
    revision = await tier.stat("a")
    place.remove("a")
    with pytest.raises(ObjectNotFound):
        await tier.read(revision, Span(0, 5))


@at(*READABLE_VARIANTS)
async def test_a_full_local_disk_is_an_os_error(place: Place, tier: Tier) -> None:
    place.write("a", b"12345")
    revision = await tier.stat("a")
    descriptor = os.open("/dev/full", os.O_WRONLY)
    try:
        with pytest.raises(OSError, match="No space left") as caught:
            await tier.read_to_file(revision, Span(0, 5), descriptor)
    finally:
        os.close(descriptor)
    assert caught.type is OSError


@at(*READABLE)
async def test_what_is_no_key_is_refused_before_anything_is_sent(place: Place, tier: Tier) -> None:
    for key in ("", "/a", "a/", "a//b", "a/../b", ".", "a/.", "new\nline"):
        with pytest.raises(ValueError, match="not an object key"):
            await tier.stat(key)
    with pytest.raises(NameTooLong, match="1024"):
        await tier.stat("é" * 513)


@at(*READABLE)
async def test_a_root_that_does_not_exist_says_so_with_the_fix(place: Place) -> None:
    tier = await open_tier(place.missing_url, place.settings(), Metrics())
    try:
        with pytest.raises(BucketNotFound, match="does not exist") as caught:
            await tier.check()
        assert tier.name in str(caught.value)
        assert caught.value.fix is not None
    finally:
        await tier.aclose()


@at(*WRITABLE)
async def test_everything_in_a_bucket_that_does_not_exist_says_so(place: Place) -> None:
    tier = await open_tier(place.missing_url, place.settings(), Metrics())
    try:
        with pytest.raises(BucketNotFound):
            await list_all(tier, "")
        if "memory" not in tier.name:
            with pytest.raises(BucketNotFound):
                await tier.stat("a")
            with pytest.raises(BucketNotFound):
                await put(tier, "a", b"x")
    finally:
        await tier.aclose()


# --- writing -------------------------------------------------------------------------------------


@at(*WRITABLE)
async def test_put_returns_the_revision_that_stat_finds(place: Place, tier: Tier) -> None:
    made = await put(tier, "new/a.exr", b"12345")
    assert made == await tier.stat("new/a.exr")
    assert made.size_bytes == 5
    assert await read_all(tier, made) == b"12345"


@at(*WRITABLE)
async def test_put_takes_a_file_and_leaves_it_alone(
    place: Place, tier: Tier, tmp_path: Path
) -> None:
    source = tmp_path / "spooled"
    source.write_bytes(b"from a file")
    made = await tier.put(
        "a", str(source), expect=None, checksums=Checksums(), mtime_ns=MTIME_NS, metadata={}
    )
    assert await read_all(tier, made) == b"from a file"
    assert source.read_bytes() == b"from a file"


@at(*WRITABLE)
async def test_put_of_a_source_that_is_not_there_is_an_os_error(
    place: Place, tier: Tier, tmp_path: Path
) -> None:
    with pytest.raises(FileNotFoundError, match="missing"):
        await tier.put(
            "a",
            str(tmp_path / "missing"),
            expect=None,
            checksums=Checksums(),
            mtime_ns=0,
            metadata={},
        )
    with pytest.raises(ObjectNotFound):
        await tier.stat("a")


@at("gcs", "gcs-fsspec", "emulator", "file", "s3", "s3-fsspec")
async def test_the_digest_is_kept_with_the_object(place: Place, tier: Tier) -> None:
    made = await put(tier, "a", b"12345")
    assert made.checksums.xxh128 == digest_bytes(b"12345")
    assert (await tier.stat("a")).checksums.xxh128 == digest_bytes(b"12345")


@at("gcs", "emulator", "file")
async def test_the_recorded_mtime_is_in_stat_and_listing(place: Place, tier: Tier) -> None:
    await put(tier, "a", b"12345")
    assert (await tier.stat("a")).mtime_ns == MTIME_NS
    (listed,) = (await list_all(tier, "")).objects
    assert listed.mtime_ns == MTIME_NS


@at("s3", "http", "nginx")
async def test_where_listings_carry_no_metadata_the_mtime_is_the_stores_in_seconds(
    place: Place, tier: Tier
) -> None:
    place.write("a", b"12345")
    (listed,) = (await list_all(tier, "")).objects
    assert (await tier.stat("a")).mtime_ns == listed.mtime_ns
    assert listed.mtime_ns % 10**9 == 0
    assert listed.mtime_ns > 10**18


@at(*CHECKED)
async def test_s18_create_only_never_replaces(place: Place, tier: Tier) -> None:
    place.write("a", b"first")
    before = await tier.stat("a")
    with pytest.raises(PreconditionFailed, match="/a exists already"):
        await put(tier, "a", b"second")
    assert await tier.stat("a") == before
    assert await read_all(tier, before) == b"first"


@at(*CHECKED)
async def test_s18_replace_replaces_exactly_the_expected_revision(place: Place, tier: Tier) -> None:
    first = await put(tier, "a", b"first")
    second = await put(tier, "a", b"second", expect=first)
    assert await tier.stat("a") == second
    with pytest.raises(PreconditionFailed):
        await put(tier, "a", b"third", expect=first)
    assert await read_all(tier, second) == b"second"


@at(*CHECKED)
async def test_s18_replace_of_what_is_gone_is_refused(place: Place, tier: Tier) -> None:
    first = await put(tier, "a", b"first")
    place.remove("a")
    with pytest.raises(PreconditionFailed):
        await put(tier, "a", b"second", expect=first)
    with pytest.raises(ObjectNotFound):
        await tier.stat("a")


@at(*CHECKED)
async def test_s18_of_many_writers_one_wins(place: Place, tier: Tier) -> None:
    outcomes: list[str] = []

    async def write(number: int) -> None:
        try:
            await put(tier, "a", b"writer %d" % number)
            outcomes.append(f"won {number}")
        except PreconditionFailed:
            outcomes.append("lost")

    async with trio.open_nursery() as nursery:
        for number in range(6):
            nursery.start_soon(write, number)
    (winner,) = [outcome for outcome in outcomes if outcome != "lost"]
    content = await read_all(tier, await tier.stat("a"))
    assert content.decode() == f"writer {winner.removeprefix('won ')}"


@at(*ATOMIC)
async def test_s18_of_many_replacers_one_wins(place: Place, tier: Tier) -> None:
    base = await put(tier, "a", b"base")
    outcomes: list[bool] = []

    async def write(number: int) -> None:
        try:
            await put(tier, "a", b"writer %d" % number, expect=base)
            outcomes.append(True)
        except PreconditionFailed:
            outcomes.append(False)

    async with trio.open_nursery() as nursery:
        for number in range(6):
            nursery.start_soon(write, number)
    assert sorted(outcomes) == [False] * 5 + [True]


@at(*ATOMIC_VARIANTS)
async def test_a_large_put_goes_in_parts_under_the_same_preconditions(
    place: Place, tier: Tier, tmp_path: Path
) -> None:
    source = tmp_path / "large"

    async def put_large(data: bytes, expect: Revision | None) -> Revision:
        source.write_bytes(data)
        with source.open("rb") as file:
            checksums = hash_file(file.fileno(), len(data), md5=True, crc32c=True)
        return await tier.put(
            "large", str(source), expect=expect, checksums=checksums, mtime_ns=1, metadata={}
        )

    data = os.urandom(12_345) + bytes(PART_BYTES)
    first = await put_large(data, None)
    assert first.size_bytes == len(data)
    with pytest.raises(PreconditionFailed):
        await put_large(b"other" + data, None)
    second = await put_large(b"second" + data, first)
    with pytest.raises(PreconditionFailed):
        await put_large(b"third" + data, first)
    assert await tier.stat("large") == second
    assert await read_all(tier, second) == b"second" + data


@at(*WRITABLE)
async def test_delete_deletes_and_says_when_there_is_nothing(place: Place, tier: Tier) -> None:
    await put(tier, "dir/a", b"1")
    await tier.delete("dir/a", expect=None)
    with pytest.raises(ObjectNotFound):
        await tier.stat("dir/a")
    with pytest.raises(ObjectNotFound):
        await tier.delete("dir/a", expect=None)


@at(*CHECKED)
async def test_delete_deletes_only_the_expected_revision(place: Place, tier: Tier) -> None:
    first = await put(tier, "a", b"first")
    second = await put(tier, "a", b"second", expect=first)
    with pytest.raises(PreconditionFailed):
        await tier.delete("a", expect=first)
    await tier.delete("a", expect=second)
    with pytest.raises(ObjectNotFound):
        await tier.delete("a", expect=second)


@at("gcs", "s3", "emulator")
async def test_marker_objects_are_tolerated_and_never_listed(place: Place, tier: Tier) -> None:
    place.write("dir/", b"")
    place.write("dir/a", b"1")
    assert (await list_all(tier, "")).prefixes == ("dir",)
    assert [one.key for one in (await list_all(tier, "dir")).objects] == ["dir/a"]


@at("http", "nginx")
async def test_a_web_server_is_read_only(place: Place, tier: Tier) -> None:
    place.write("a", b"1")
    assert not tier.properties.writable
    with pytest.raises(TierReadOnly, match="read-only"):
        await put(tier, "b", b"1")
    with pytest.raises(TierReadOnly):
        await tier.delete("a", expect=None)


@at(*WRITABLE)
async def test_properties_tell_the_truth_about_preconditions(place: Place, tier: Tier) -> None:
    assert tier.properties.writable
    assert tier.properties.listable
    assert tier.properties.preconditions == (not tier.name.startswith("memory"))


@at(*READABLE)
async def test_requests_and_bytes_are_counted(place: Place, tier: Tier, metrics: Metrics) -> None:
    place.write("a", b"12345")
    await tier.read(await tier.stat("a"), Span(1, 4))
    counted = metrics.snapshot()
    assert counted[f"shotfs_tier_requests_total{{origin={tier.name},op=stat,outcome=ok}}"] == 1
    assert counted[f"shotfs_tier_read_bytes_total{{origin={tier.name}}}"] == 3
