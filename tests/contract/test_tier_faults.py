"""Faults: what a tier does when its store is slow, broken, busy, gone, or says no."""

from __future__ import annotations

import hashlib
import logging
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import trio

from shotfs.config import Settings
from shotfs.digest import Checksums, digest_bytes
from shotfs.errors import (
    AccessDenied,
    ObjectNotFound,
    PreconditionFailed,
    TierCorrupt,
    TierError,
    TierTimeout,
    TierUnavailable,
    Unsupported,
)
from shotfs.observe.metrics import Metrics
from shotfs.tiers.base import Revision, Span, Tier
from shotfs.tiers.registry import open_tier
from tests.contract.places import NETWORK, PART_BYTES, noise, write_file
from tests.servers.faults import Fault
from tests.servers.gcs import GcsServer
from tests.servers.handles import EmulatorBucket, GcsBucket, HttpRoot
from tests.servers.http import HttpFeatures, HttpServer

DATA = noise(400_000)
ENGINES = pytest.mark.parametrize("engine", ["auto", "fsspec"])


@asynccontextmanager
async def opened(
    bucket: GcsBucket | EmulatorBucket, *, origin: dict[str, Any] | None = None, **network: Any
) -> AsyncIterator[Tier]:
    own = {"endpoint_url": bucket.endpoint, "anonymous": True, **(origin or {})}
    async with opened_at(bucket.url, own, **network) as tier:
        yield tier


@asynccontextmanager
async def opened_at(
    url: str, origin: dict[str, Any], metrics: Metrics | None = None, **network: Any
) -> AsyncIterator[Tier]:
    settings = Settings(
        network={**NETWORK, **network},  # type: ignore[arg-type]  # pydantic parses it
        origins={url.rstrip("/"): origin},  # type: ignore[dict-item]  # as above
    )
    tier = await open_tier(url, settings, metrics or Metrics())
    try:
        yield tier
    finally:
        await tier.aclose()


async def put(tier: Tier, key: str, data: bytes) -> Revision:
    checksums = Checksums(md5=hashlib.md5(data).hexdigest(), xxh128=digest_bytes(data))
    return await tier.put(key, data, expect=None, checksums=checksums, mtime_ns=1, metadata={})


# --- busy ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 504])
async def test_a_busy_store_is_asked_again(gcs: GcsBucket, status: int) -> None:
    gcs.put("a", DATA)
    async with opened(gcs) as tier:
        gcs.fault(Fault("status", operation="stat", status=status, times=2))
        gcs.fault(Fault("status", operation="read", status=status, times=2))
        gcs.fault(Fault("status", operation="insert", status=status, times=2))
        revision = await tier.stat("a")
        assert bytes(await tier.read(revision, Span(0, 400_000))) == DATA
        await put(tier, "b", b"new")
    assert len(gcs.requests("read", object="a")) == 3
    assert len(gcs.requests("insert")) == 3
    assert gcs.read("b") == b"new"


async def test_attempts_are_limited_and_counted(gcs: GcsBucket) -> None:
    metrics = Metrics()
    gcs.fault(Fault("status", operation="stat", status=503, times=None))
    own = {"endpoint_url": gcs.endpoint, "anonymous": True}
    async with opened_at(gcs.url, own, metrics, attempts_max=4) as tier:
        with pytest.raises(TierUnavailable, match="503"):
            await tier.stat("a")
    assert len(gcs.requests("stat")) == 4
    assert metrics.snapshot()[f"shotfs_tier_retries_total{{origin={gcs.url}}}"] == 3


async def test_retries_stop_when_the_budget_is_used_up(gcs: GcsBucket) -> None:
    gcs.fault(Fault("status", operation="stat", status=503, times=None))
    async with opened(gcs, attempts_max=100, retry_budget_per_s=0.2) as tier:
        for _ in range(2):
            with pytest.raises(TierUnavailable):
                await tier.stat("a")
    # 0.2 a second over a burst of 10 s are 2 retries, whoever needs them first.
    assert len(gcs.requests("stat")) == 2 + 2


async def test_a_listing_goes_on_where_it_failed(gcs: GcsBucket) -> None:
    for number in range(1500):
        gcs.put(f"d/{number:04d}", b"")
    async with opened(gcs) as tier:
        keys: list[str] = []
        pages = tier.list("d")
        keys += [one.key for one in (await anext(pages)).objects]
        gcs.fault(Fault("status", operation="list", status=503, times=2))
        async for page in pages:
            keys += [one.key for one in page.objects]
    assert keys == [f"d/{number:04d}" for number in range(1500)]
    assert len(gcs.requests("list")) == 4


# --- broken --------------------------------------------------------------------------------------


@ENGINES
@pytest.mark.parametrize("kind", ["cut_reply", "truncate", "drop_reply"])
async def test_s06_a_body_that_ends_early_is_fetched_again(
    gcs: GcsBucket, engine: str, kind: Any, tmp_path: Path
) -> None:
    gcs.put("a", DATA)
    async with opened(gcs, origin={"engine": engine}) as tier:
        revision = await tier.stat("a")
        gcs.fault(Fault(kind, operation="read", after_bytes=100_000))
        with (tmp_path / "f").open("w+b") as file:
            await tier.read_to_file(revision, Span(0, 400_000), file.fileno())
            assert os.pread(file.fileno(), 400_000, 0) == DATA
    assert len(gcs.requests("read")) == 2


@ENGINES
async def test_s06_a_body_that_always_ends_early_is_corrupt(gcs: GcsBucket, engine: str) -> None:
    gcs.put("a", DATA)
    async with opened(gcs, origin={"engine": engine}, attempts_max=2) as tier:
        revision = await tier.stat("a")
        gcs.fault(Fault("truncate", operation="read", after_bytes=10, times=None))
        with pytest.raises(TierCorrupt):
            await tier.read(revision, Span(0, 400_000))
    assert len(gcs.requests("read")) == 2


async def test_s06_the_store_refuses_an_upload_that_does_not_match_its_checksum(
    gcs: GcsBucket,
) -> None:
    async with opened(gcs, attempts_max=1) as tier:
        with pytest.raises(TierError):
            await tier.put(
                "a",
                b"bytes",
                expect=None,
                checksums=Checksums(crc32c="00000000"),
                mtime_ns=1,
                metadata={},
            )
    assert gcs.names() == []


# --- slow ----------------------------------------------------------------------------------------


async def test_s07_a_stat_that_gets_no_answer_times_out(gcs: GcsBucket) -> None:
    gcs.put("a", b"1")
    # A second request must not time out, also on a busy machine: it has one attempt.
    async with opened(gcs, metadata_timeout_s=2.0, attempts_max=1) as tier:
        await tier.check()
        fault = gcs.fault(Fault("stall", operation="stat"))
        with pytest.raises(TierTimeout, match="metadata_timeout_s"):
            await tier.stat("a")
        fault.release()
        assert (await tier.stat("a")).size_bytes == 1


@ENGINES
@pytest.mark.parametrize("kind", ["stall", "stall_reply"])
async def test_s07_a_read_that_stands_still_is_tried_again(
    gcs: GcsBucket, engine: str, kind: Any
) -> None:
    gcs.put("a", DATA[:50_000])
    # Long enough for the second attempt, also on a busy machine: there are two of them.
    async with opened(gcs, origin={"engine": engine}, progress_timeout_s=2.0) as tier:
        revision = await tier.stat("a")
        gcs.fault(Fault(kind, operation="read", after_bytes=1000))
        assert bytes(await tier.read(revision, Span(0, 50_000))) == DATA[:50_000]
    assert len(gcs.requests("read")) == 2


@ENGINES
async def test_s07_a_long_read_that_stands_still_is_not_waited_for_by_its_length(
    gcs: GcsBucket, engine: str
) -> None:
    data = noise(3_000_000)
    gcs.put("a", data)
    async with opened(gcs, origin={"engine": engine}, progress_timeout_s=0.4) as tier:
        revision = await tier.stat("a")
        gcs.fault(Fault("stall_reply", operation="read", after_bytes=1000))
        with trio.fail_after(10):  # 64 KiB/s would allow it 46 s
            assert bytes(await tier.read(revision, Span(0, 3_000_000))) == data


async def test_s07_an_upload_that_gets_no_answer_is_tried_again(gcs: GcsBucket) -> None:
    data = noise(1_000_000)
    async with opened(gcs, progress_timeout_s=0.4) as tier:
        await tier.check()
        fault = gcs.fault(Fault("stall", operation="insert"))
        with trio.fail_after(10):  # 64 KiB/s would allow it 15 s
            await put(tier, "a", data)
        fault.release()
    assert gcs.read("a") == data


@ENGINES
async def test_s07_stalled_reads_keep_no_stat_waiting(gcs: GcsBucket, engine: str) -> None:
    gcs.put("a", DATA)
    origin = {"engine": engine, "connections_max": 2}
    async with opened(gcs, origin=origin, progress_timeout_s=0.5) as tier:
        revision = await tier.stat("a")
        fault = gcs.fault(Fault("stall", operation="read", times=None))
        async with trio.open_nursery() as nursery:
            for _ in range(6):
                nursery.start_soon(tier.read, revision, Span(0, 10))
            await trio.to_thread.run_sync(fault.wait_hits, 2)
            with trio.fail_after(5):
                assert await tier.stat("a") == revision
            nursery.cancel_scope.cancel()
        fault.release()


@ENGINES
async def test_s07_a_cancelled_read_gives_its_place_back(
    gcs: GcsBucket, engine: str, tmp_path: Path
) -> None:
    gcs.put("a", DATA)
    origin = {"engine": engine, "connections_max": 1}
    async with opened(gcs, origin=origin, progress_timeout_s=0.5) as tier:
        revision = await tier.stat("a")
        fault = gcs.fault(Fault("stall_reply", operation="read", after_bytes=1000))
        with (tmp_path / "f").open("w+b") as file:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(tier.read_to_file, revision, Span(0, 400_000), file.fileno())
                await trio.to_thread.run_sync(fault.wait_hits, 1)
                with trio.fail_after(0.3):
                    nursery.cancel_scope.cancel()
                    await trio.lowlevel.checkpoint_if_cancelled()
        # The thread that was left behind may hold the only place until its own timeout.
        with trio.fail_after(30):
            assert bytes(await tier.read(revision, Span(0, 400_000))) == DATA
        fault.release()


# --- writes of unknown outcome -------------------------------------------------------------------


async def test_s18_a_put_whose_answer_was_lost_is_looked_up_not_sent_again(
    gcs: GcsBucket,
) -> None:
    async with opened(gcs) as tier:
        gcs.fault(Fault("drop_reply", operation="insert"))
        made = await put(tier, "a", b"ours")
        assert made == await tier.stat("a")
    assert len(gcs.requests("insert")) == 1
    assert gcs.read("a") == b"ours"


async def test_s18_a_put_that_did_not_arrive_is_sent_again(gcs: GcsBucket) -> None:
    async with opened(gcs) as tier:
        gcs.fault(Fault("cut_request", operation="insert", after_bytes=10))
        await put(tier, "a", b"ours" * 100)
    assert gcs.read("a") == b"ours" * 100
    assert len(gcs.requests("insert")) == 2


async def test_s18_after_a_lost_answer_other_bytes_are_a_lost_race(gcs: GcsBucket) -> None:
    # The store is down for a moment: more attempts than that takes, however the jitter falls.
    async with opened(gcs, attempts_max=100, retry_budget_per_s=1000.0) as tier:
        fault = gcs.fault(Fault("stall", operation="insert"))
        raised: list[PreconditionFailed] = []

        async def write() -> None:
            try:
                await put(tier, "a", b"ours")
            except PreconditionFailed as exc:
                raised.append(exc)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(write)
            await trio.to_thread.run_sync(fault.wait_hits, 1)
            gcs.put("a", b"theirs")
            await trio.to_thread.run_sync(gcs.server.go_down)
            gcs.server.come_up()
            fault.release()
    assert len(raised) == 1
    assert gcs.read("a") == b"theirs"


@pytest.mark.parametrize("status", [503, 410, 404])
async def test_a_failed_chunk_cancels_its_session_and_the_upload_is_repeated(
    gcs: GcsBucket, tmp_path: Path, status: int
) -> None:
    source = tmp_path / "large"
    data = os.urandom(PART_BYTES) + b"end"
    source.write_bytes(data)
    async with opened(gcs) as tier:
        gcs.fault(Fault("status", operation="resumable_chunk", status=status))
        await tier.put(
            "large", str(source), expect=None, checksums=Checksums(), mtime_ns=1, metadata={}
        )
    assert gcs.read("large") == data
    assert len(gcs.requests("resumable_abort")) == 1
    assert len(gcs.requests("resumable_start")) == 2


# --- gone, or refused ----------------------------------------------------------------------------


@ENGINES
async def test_a_store_that_is_down_is_unavailable_and_comes_back(
    gcs: GcsBucket, engine: str
) -> None:
    gcs.put("a", b"1")
    async with opened(gcs, origin={"engine": engine}, attempts_max=1) as tier:
        revision = await tier.stat("a")
        await trio.to_thread.run_sync(gcs.server.go_down)
        for call in (tier.stat("a"), tier.read(revision, Span(0, 1)), put(tier, "b", b"2")):
            with pytest.raises(TierUnavailable, match=gcs.url) as caught:
                await call
            assert "endpoint_url" in str(caught.value)
        gcs.server.come_up()
        assert bytes(await tier.read(revision, Span(0, 1))) == b"1"


@pytest.mark.parametrize("url", ["gs://b", "s3://b", "http://no-such-host.invalid/x"])
async def test_a_host_without_an_address_is_unavailable(url: str) -> None:
    origin = {"endpoint_url": "http://no-such-host.invalid", "anonymous": True}
    async with opened_at(url, origin, attempts_max=1) as tier:
        with pytest.raises(TierUnavailable, match=url):
            await tier.stat("a")


@ENGINES
async def test_wrong_credentials_are_denied_at_once(engine: str) -> None:
    with GcsServer(tokens=frozenset({"good"})) as server:
        server.store.create_bucket("bucket")
        server.store.put("bucket", "a", b"1")
        origin = {"endpoint_url": server.endpoint, "anonymous": True, "engine": engine}
        async with opened_at("gs://bucket", origin) as tier:
            revision = Revision("gs://bucket", "a", 1, "1", 0)
            for call in (
                tier.check(),
                tier.stat("a"),
                tier.read(revision, Span(0, 1)),
                put(tier, "b", b""),
            ):
                with pytest.raises(AccessDenied, match="credentials_file"):
                    await call
        assert len(server.journal.records(bucket="bucket")) == 4


async def test_an_access_key_that_is_not_in_the_environment_is_named() -> None:
    origin = {"access_key_env": "SHOTFS_NO_SUCH_A", "secret_key_env": "SHOTFS_NO_SUCH_B"}
    async with opened_at("s3://b", origin) as tier:
        with pytest.raises(AccessDenied, match="SHOTFS_NO_SUCH_A is not set"):
            await tier.stat("a")


# --- engines and servers that lack something -----------------------------------------------------


async def test_a_server_that_obstore_cannot_use_is_read_by_fsspec_from_then_on(
    gcs_emulator: EmulatorBucket, caplog: pytest.LogCaptureFixture
) -> None:
    async with opened(gcs_emulator) as tier:
        made = await put(tier, "a", b"12345")
        with caplog.at_level(logging.WARNING, "shotfs.tiers"):
            for _ in range(3):
                assert bytes(await tier.read(made, Span(1, 4))) == b"234"
    assert [record.message.count("does not suit obstore") for record in caplog.records] == [1]


async def test_an_engine_that_was_asked_for_is_not_replaced(
    gcs_emulator: EmulatorBucket,
) -> None:
    async with opened(gcs_emulator, origin={"engine": "obstore"}) as tier:
        made = await put(tier, "a", b"12345")
        with pytest.raises(Unsupported, match="engine"):
            await tier.read(made, Span(1, 4))


@pytest.mark.parametrize(
    "features",
    [
        HttpFeatures(ranges=False),
        HttpFeatures(etags=False),
        HttpFeatures(etags=False, last_modified=False),
        HttpFeatures(ranges=False, etags=False),
    ],
)
async def test_a_web_server_that_lacks_something_is_read_all_the_same(
    features: HttpFeatures, tmp_path: Path
) -> None:
    write_file(tmp_path, "a", DATA)
    with HttpServer(str(tmp_path), features) as server:
        async with opened_at(server.endpoint, {}) as tier:
            revision = await tier.stat("a")
            assert revision.size_bytes == len(DATA)
            assert bytes(await tier.read(revision, Span(1000, 300_000))) == DATA[1000:300_000]


async def test_a_web_server_without_index_pages_is_not_listable(tmp_path: Path) -> None:
    write_file(tmp_path, "a", DATA)
    with HttpServer(str(tmp_path), HttpFeatures(index_pages=False)) as server:
        async with opened_at(server.endpoint, {}) as tier:
            await tier.check()
            assert not tier.properties.listable
            with pytest.raises(Unsupported, match="index"):
                await anext(tier.list(""))
            assert (await tier.stat("a")).size_bytes == len(DATA)


async def test_a_file_that_goes_while_it_is_listed_is_left_out(http_root: HttpRoot) -> None:
    write_file(http_root.path, "a", b"1")
    write_file(http_root.path, "b", b"2")
    http_root.fault(Fault("status", operation="stat", object="a", status=404))
    async with opened_at(http_root.url, {}) as tier:
        keys = [one.key async for page in tier.list("") for one in page.objects]
    assert keys == ["b"]


async def test_an_unknown_scheme_is_unsupported_with_the_fix() -> None:
    with pytest.raises(Unsupported, match="nosuch://") as caught:
        await open_tier("nosuch://x", Settings(), Metrics())
    assert caught.value.fix is not None


async def test_a_deleted_object_is_not_found_even_when_its_name_is_a_prefix(
    gcs: GcsBucket,
) -> None:
    gcs.put("a/b", b"1")
    async with opened(gcs) as tier:
        with pytest.raises(ObjectNotFound):
            await tier.delete("a", expect=None)
