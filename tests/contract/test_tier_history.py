"""The tier contract of the past: what `stat_at`, `list_at` and reads of old revisions promise."""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Callable
from contextlib import aclosing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from shotfs.digest import Checksums, digest_bytes
from shotfs.errors import BucketNotFound, ObjectNotFound, RevisionChanged, Unsupported
from shotfs.observe.metrics import Metrics
from shotfs.tiers.base import ListPage, Revision, Span, Tier
from shotfs.tiers.registry import open_tier
from tests.contract.places import Place, at
from tests.servers.handles import GcsBucket, S3Bucket

KEPT = ("gcs", "gcs-prefix", "gcs-fsspec", "s3-prefix", "s3-fsspec")
NOT_KEPT = ("file", "memory", "http")

MTIME_NS = 1_700_000_000_123_456_789


@pytest.fixture
def tick(request: pytest.FixtureRequest) -> Callable[[], int]:
    """Return a function that waits until the store's clock has another time, and says which.

    What happened before has an earlier time, what happens afterwards a later one.
    """
    whole_seconds = "s3" in request.node.callspec.params["place"]
    period_ns = 10**9 if whole_seconds else 10**6

    def next_tick() -> int:
        now = time.time_ns()
        at_ns = now - now % period_ns + period_ns - 1
        while time.time_ns() <= at_ns:
            # moto and S3 tell whole seconds, and nothing can set another process's clock.
            time.sleep((at_ns - now) / 10**9)
        return at_ns

    return next_tick


@pytest.fixture
def kept(place: Place, request: pytest.FixtureRequest) -> Place:
    """The place, keeping versions."""
    name = request.node.callspec.params["place"].partition("-")[0]
    bucket: GcsBucket | S3Bucket = request.getfixturevalue(name)
    bucket.keep_versions()
    return place


async def put(tier: Tier, key: str, data: bytes, expect: Revision | None = None) -> Revision:
    sums = Checksums(md5=hashlib.md5(data).hexdigest(), xxh128=digest_bytes(data))
    return await tier.put(
        key, data, expect=expect, checksums=sums, mtime_ns=MTIME_NS, metadata={"by": "test"}
    )


async def list_at(tier: Tier, prefix: str, at_ns: int) -> ListPage:
    objects: dict[str, Revision] = {}
    prefixes: list[str] = []
    async with aclosing(tier.list_at(prefix, at_ns)) as pages:
        async for page in pages:
            objects |= {revision.key: revision for revision in page.objects}
            prefixes.extend(page.prefixes)
    return ListPage(tuple(objects.values()), tuple(prefixes))


async def read_all(tier: Tier, revision: Revision) -> bytes:
    return bytes(await tier.read(revision, Span(0, revision.size_bytes)))


@at(*KEPT)
async def test_an_object_is_what_it_was_at_the_time(
    kept: Place, tier: Tier, tick: Callable[[], int], tmp_path: Path
) -> None:
    before_ns = time.time_ns() - 60 * 10**9
    first = await put(tier, "a/x", b"first")
    first_ns = tick()
    second = await put(tier, "a/x", b"the second", first)
    await put(tier, "a/x1", b"a longer name that begins alike")
    second_ns = tick()
    await tier.delete("a/x", expect=None)
    deleted_ns = tick()

    with pytest.raises(ObjectNotFound, match="did not exist at"):
        await tier.stat_at("a/x", before_ns)
    then = await tier.stat_at("a/x", first_ns)
    assert then == first
    assert then.identity == first.identity
    assert then.checksums.xxh128 == digest_bytes(b"first")
    assert then.checksums.md5 == hashlib.md5(b"first").hexdigest()
    assert await read_all(tier, then) == b"first"
    assert bytes(await tier.read(then, Span(1, 3))) == b"ir"
    assert await tier.stat_at("a/x", second_ns) == second
    with pytest.raises(ObjectNotFound):
        await tier.stat_at("a/x", deleted_ns)
    with pytest.raises(ObjectNotFound):
        await tier.stat_at("a", second_ns)

    # The object itself is gone, its bytes are not.
    path = tmp_path / "copy"
    descriptor = os.open(path, os.O_CREAT | os.O_RDWR)
    try:
        found = await tier.stat_at("a/x", second_ns)
        await tier.read_to_file(found, Span(4, found.size_bytes), descriptor)
    finally:
        os.close(descriptor)
    assert path.read_bytes() == b"\0\0\0\0second"


@at(*KEPT)
async def test_a_listing_is_what_it_was_at_the_time(
    kept: Place, tier: Tier, tick: Callable[[], int]
) -> None:
    before_ns = time.time_ns() - 60 * 10**9
    stays = await put(tier, "d/stays", b"s")
    old = await put(tier, "d/changes", b"old")
    goes = await put(tier, "d/goes", b"g")
    await put(tier, "d/emptied/x", b"x")
    await put(tier, "d/kept/x", b"x")
    then_ns = tick()
    new = await put(tier, "d/changes", b"newer", old)
    await tier.delete("d/goes", expect=None)
    await tier.delete("d/emptied/x", expect=None)
    comes = await put(tier, "d/comes", b"c")
    await put(tier, "d/made/x", b"x")
    now_ns = tick()

    then = await list_at(tier, "d", then_ns)
    assert {revision.key: revision for revision in then.objects} == {
        "d/stays": stays, "d/changes": old, "d/goes": goes,
    }  # fmt: skip
    assert then.prefixes == ("emptied", "kept")
    for revision in then.objects:
        assert revision == await tier.stat_at(revision.key, then_ns)
    assert await read_all(tier, then.objects[0]) == b"old"

    now = await list_at(tier, "d", now_ns)
    assert {revision.key: revision for revision in now.objects} == {
        "d/stays": stays, "d/changes": new, "d/comes": comes,
    }  # fmt: skip
    assert now.prefixes == ("kept", "made")
    assert (await list_at(tier, "", then_ns)).prefixes == ("d",)
    assert await list_at(tier, "d", before_ns) == ListPage((), ())
    assert await list_at(tier, "nothing", now_ns) == ListPage((), ())


@at("gcs", "s3")
async def test_a_root_says_whether_it_keeps_versions(
    place: Place, tier: Tier, request: pytest.FixtureRequest
) -> None:
    assert tier.properties.history
    assert not await tier.keeps_versions()
    bucket: GcsBucket | S3Bucket = request.getfixturevalue(request.node.callspec.params["place"])
    bucket.keep_versions()
    assert await tier.keeps_versions()


@at("gcs", "s3")
async def test_the_past_of_a_bucket_that_does_not_exist_says_so(place: Place) -> None:
    missing = await open_tier(place.missing_url, place.settings(), Metrics())
    try:
        with pytest.raises(BucketNotFound):
            await missing.keeps_versions()
        with pytest.raises(BucketNotFound):
            await missing.stat_at("a", 10**18)
        with pytest.raises(BucketNotFound):
            await list_at(missing, "a", 10**18)
    finally:
        await missing.aclose()


@at(*NOT_KEPT)
async def test_a_store_without_versions_says_so_and_what_to_do(place: Place, tier: Tier) -> None:
    assert not tier.properties.history
    assert not await tier.keeps_versions()
    with pytest.raises(Unsupported, match="keeps no old versions") as refused:
        await tier.stat_at("a", 10**18)
    assert "shotfs pin create" in str(refused.value)
    with pytest.raises(Unsupported, match=place.url.rstrip("/")):
        tier.list_at("", 10**18)


async def _old_revision_that_is_gone(
    place: Place, tier: Tier, bucket: GcsBucket | S3Bucket, at_ns: Callable[[], int]
) -> Revision:
    first = await put(tier, "x", b"first")
    then_ns = at_ns()
    await put(tier, "x", b"second", first)
    old = await tier.stat_at("x", then_ns)
    assert await read_all(tier, old) == b"first"
    if isinstance(bucket, GcsBucket):
        bucket.delete("x", generation=int(old.version))
    else:
        assert old.pin is not None
        bucket.forget("x", old.pin)
    return old


@at("gcs", "gcs-fsspec", "s3", "s3-fsspec")
async def test_an_old_revision_that_is_not_kept_any_more_has_changed(
    kept: Place, tier: Tier, tick: Callable[[], int], request: pytest.FixtureRequest
) -> None:
    name = request.node.callspec.params["place"].partition("-")[0]
    old = await _old_revision_that_is_gone(kept, tier, request.getfixturevalue(name), tick)
    with pytest.raises(RevisionChanged, match="any more"):
        await read_all(tier, old)


# --- pages and requests, where the server counts them --------------------------------------------


@at("gcs")
async def test_more_versions_than_a_page_holds_are_all_seen(
    kept: Place, tier: Tier, gcs: GcsBucket
) -> None:
    began = datetime.now(UTC) - timedelta(hours=2)
    for number in range(1, 1104):
        gcs.put("d/one", b"%d" % number, now=began + timedelta(seconds=number))
    gcs.put("d/two", b"other", now=began)

    for number in (1, 1000, 1001, 1103):
        then_ns = int((began + timedelta(seconds=number)).timestamp() * 1000) * 10**6 + 999_999
        assert await read_all(tier, await tier.stat_at("d/one", then_ns)) == b"%d" % number
        listed = {one.key: one for one in (await list_at(tier, "d", then_ns)).objects}
        assert set(listed) == {"d/one", "d/two"}
        assert await read_all(tier, listed["d/one"]) == b"%d" % number


@at("gcs")
async def test_a_look_at_the_past_is_one_request_and_one_more_for_each_directory(
    kept: Place, tier: Tier, gcs: GcsBucket
) -> None:
    for name in ("d/a", "d/b", "d/one/x", "d/two/x", "d/two/y"):
        gcs.put(name, b"x")
    await tier.stat_at("d/a", time.time_ns())
    assert len(gcs.requests()) == 1
    page = await list_at(tier, "d", time.time_ns())
    assert page.prefixes == ("one", "two")
    assert len(gcs.requests()) == 1 + 1 + 2


@at("gcs")
async def test_many_directories_are_looked_into_in_several_pages(
    kept: Place, tier: Tier, gcs: GcsBucket
) -> None:
    began = datetime.now(UTC) - timedelta(hours=2)
    for number in range(150):
        gcs.put(f"d/{number:03d}/x", b"x", now=began)
        if number % 3:
            gcs.delete(f"d/{number:03d}/x", now=began + timedelta(hours=1))
    now = await list_at(tier, "d", time.time_ns())
    assert now.prefixes == tuple(f"{number:03d}" for number in range(0, 150, 3))
    then_ns = int((began + timedelta(minutes=30)).timestamp()) * 10**9
    assert len((await list_at(tier, "d", then_ns)).prefixes) == 150


@at("s3")
async def test_an_s3_version_is_named_in_the_request_and_in_nothing_else(
    kept: Place, tier: Tier, tick: Callable[[], int]
) -> None:
    first = await put(tier, "x", b"first")
    then = await tier.stat_at("x", tick())
    assert first.pin is None
    assert then.pin
    assert then.version == first.version
    assert then.identity == first.identity
