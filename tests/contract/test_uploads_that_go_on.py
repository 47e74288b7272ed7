"""Large uploads: what arrived is not sent again, nothing is believed, and nothing stays behind."""

from __future__ import annotations

import hashlib
import time
from pathlib import Path

import pytest
import trio

from shotfs.digest import Checksums, digest_bytes
from shotfs.errors import PreconditionFailed, TierCorrupt, TierUnavailable
from shotfs.tiers.base import Revision, Tier
from tests.contract.cut_off import EACH, KEY, OVERHEAD_BYTES, SIZE, GcsStore, Kept, S3Store, Store
from tests.contract.places import PART_BYTES, noise
from tests.servers.faults import Fault
from tests.servers.http_proxy import Rule


@pytest.fixture(scope="module")
def data() -> bytes:
    return noise(SIZE)


@pytest.fixture
def source(tmp_path: Path, data: bytes) -> str:
    path = tmp_path / "large.exr"
    path.write_bytes(data)
    return str(path)


async def put(
    tier: Tier, source: str | bytes, session: Kept | None, *, node: str = "n1"
) -> Revision:
    content = source if isinstance(source, bytes) else await trio.Path(source).read_bytes()
    sums = Checksums(md5=hashlib.md5(content).hexdigest(), xxh128=digest_bytes(content))
    return await tier.put(
        KEY,
        source,
        expect=None,
        checksums=sums,
        mtime_ns=1,
        metadata={"node": node},
        session=session,
    )


async def begin(store: Store, source: str) -> Kept:
    """Send what goes beside the second part, and be cut off."""
    session = Kept()
    fault = store.cut_part()
    async with store.tier() as tier:
        with pytest.raises(TierUnavailable):
            await put(tier, source, session)
    fault.release()
    assert session.token is not None
    assert store.left() == 1
    return session.after_a_restart()


@EACH
async def test_s05_an_upload_that_was_cut_off_is_not_sent_again_from_its_start(
    store: Store, source: str, data: bytes
) -> None:
    session = await begin(store, source)
    assert session.token is not None
    arrived, before = store.arrived(session.token), store.received()
    assert arrived >= PART_BYTES
    async with store.tier() as tier:
        made = await put(tier, source, session)
        assert made == await tier.stat(KEY)
    assert store.received() - before <= SIZE - arrived + OVERHEAD_BYTES
    assert session.told == sorted(session.told)
    assert PART_BYTES <= session.told[-1] <= SIZE
    assert store.read() == data
    assert session.token is None
    assert store.left() == 0


@EACH
async def test_an_upload_that_was_cancelled_goes_on(store: Store, source: str, data: bytes) -> None:
    session = Kept()
    fault = store.stall_part()
    async with store.tier() as tier:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(put, tier, source, session)
            await trio.to_thread.run_sync(fault.wait_hits, 1)
            nursery.cancel_scope.cancel()
        assert session.token is not None
        assert store.left() == 1
        fault.release()
        arrived, before = store.arrived(session.token), store.received()
        await put(tier, source, session)
    assert store.received() - before <= SIZE - arrived + PART_BYTES + OVERHEAD_BYTES
    assert store.read() == data
    assert store.left() == 0


@EACH
async def test_without_a_session_an_upload_that_fails_leaves_nothing(
    store: Store, source: str
) -> None:
    store.cut_part()
    async with store.tier() as tier:
        with pytest.raises(TierUnavailable):
            await put(tier, source, None)
    assert store.left() == 0


@EACH
async def test_retries_go_on_with_what_arrived(store: Store, source: str, data: bytes) -> None:
    session = Kept()
    fault = store.cut_part()
    async with (
        store.tier(attempts_max=20, retry_budget_per_s=100.0) as tier,
        trio.open_nursery() as nursery,
    ):
        nursery.start_soon(put, tier, source, session)
        await trio.to_thread.run_sync(fault.wait_hits, 1)
        fault.release()
    assert store.received() <= SIZE + PART_BYTES + 2 * OVERHEAD_BYTES
    assert store.read() == data
    assert store.left() == 0


@EACH
async def test_an_upload_that_the_store_has_forgotten_begins_again(
    store: Store, source: str, data: bytes
) -> None:
    session = await begin(store, source)
    assert session.token is not None
    store.forget_upload(session.token)
    async with store.tier() as tier:
        await put(tier, source, session)
    assert store.read() == data
    assert store.left() == 0


@EACH
async def test_an_upload_with_other_metadata_is_not_gone_on_with(
    store: Store, source: str, data: bytes
) -> None:
    session = await begin(store, source)
    async with store.tier() as tier:
        await put(tier, source, session, node="n2")
    assert store.read() == data
    assert store.left() == 0


@EACH
async def test_s18_a_completion_whose_answer_was_lost_is_known_without_reading_back(
    store: Store, source: str, data: bytes
) -> None:
    session = Kept()
    fault = store.lose_completion()
    async with store.tier() as tier:
        with pytest.raises((TierUnavailable, TierCorrupt)):
            await put(tier, source, session)
    fault.release()
    assert session.token is not None
    before = store.received()
    async with store.tier() as tier:
        made = await put(tier, source, session.after_a_restart())
        assert made == await tier.stat(KEY)
    assert store.received() - before <= OVERHEAD_BYTES
    assert store.reads() == 0
    assert store.completions() == 1
    assert store.read() == data
    assert store.left() == 0


@EACH
async def test_s18_an_upload_loses_to_what_came_meanwhile(store: Store, source: str) -> None:
    session = await begin(store, source)
    store.place.write(KEY, b"theirs")
    async with store.tier() as tier:
        with pytest.raises(PreconditionFailed):
            await put(tier, source, session)
    assert store.read() == b"theirs"
    assert session.token is None
    assert store.left() == 0


@EACH
async def test_an_upload_can_be_given_up_and_once_more(store: Store, source: str) -> None:
    session = await begin(store, source)
    assert session.token is not None
    async with store.tier() as tier:
        await tier.give_up(KEY, session.token)
        assert store.left() == 0
        await tier.give_up(KEY, session.token)


@EACH
async def test_small_objects_go_in_one_request_and_begin_nothing(store: Store) -> None:
    session = Kept()
    async with store.tier() as tier:
        await put(tier, b"small", session)
    assert session.saved == []
    assert store.left() == 0


@EACH
async def test_s18_of_two_nodes_that_send_one_large_object_one_wins(
    store: Store, source: str, data: bytes
) -> None:
    results: list[str] = []
    sessions = [Kept(), Kept()]

    async def node(session: Kept, content: str | bytes) -> None:
        async with store.tier() as tier:
            try:
                await put(tier, content, session)
            except PreconditionFailed:
                results.append("lost")
            else:
                results.append("won")

    async with trio.open_nursery() as nursery:
        nursery.start_soon(node, sessions[0], source)
        nursery.start_soon(node, sessions[1], data[::-1])
    assert sorted(results) == ["lost", "won"]
    assert store.read() in (data, data[::-1])
    assert [session.token for session in sessions] == [None, None]
    assert store.left() == 0


# --- what only S3 can do wrong -------------------------------------------------------------------


async def test_s06_a_part_that_is_not_ours_is_sent_again(
    s3_store: S3Store, source: str, data: bytes
) -> None:
    session = await begin(s3_store, source)
    assert session.token is not None
    path = f"/{s3_store.bucket.bucket}/{KEY}?partNumber=2&uploadId={session.token['upload_id']}"
    s3_store.bucket.server.request("PUT", path, bytes(PART_BYTES)).raise_for_status()
    async with s3_store.tier() as tier:
        await put(tier, source, session)
    assert s3_store.read() == data


async def test_the_intent_is_kept_before_the_store_knows_of_an_upload(
    s3_store: S3Store, source: str, data: bytes
) -> None:
    s3_store.proxy.rule(Rule("cut", lambda head: head.target.endswith("?uploads"), times=1))
    session = Kept()
    async with s3_store.tier() as tier:
        with pytest.raises(TierUnavailable):
            await put(tier, source, session)
        # It was begun, and its name was lost with the answer.
        assert s3_store.left() == 1
        assert session.token is not None
        assert session.token["upload_id"] == ""
    session = session.after_a_restart()
    async with s3_store.tier() as tier:
        await put(tier, source, session)
    assert s3_store.read() == data
    assert s3_store.left() == 0


async def test_an_account_that_may_not_ask_what_arrived_publishes_all_the_same(
    s3_store: S3Store, source: str, data: bytes
) -> None:
    session = await begin(s3_store, source)
    s3_store.proxy.rule(
        Rule("status", lambda head: head.method == "GET" and "uploadId=" in head.target, status=403)
    )
    async with s3_store.tier() as tier:
        await put(tier, source, session)
    assert s3_store.read() == data
    assert s3_store.left() == 0


async def test_only_uploads_of_that_key_and_since_then_are_taken_for_ours(
    s3_store: S3Store,
) -> None:
    s3_store.begin(KEY)
    s3_store.begin(f"{KEY}.other")
    intent = {"meant": "", "step": PART_BYTES, "since_s": int(time.time()) + 3600, "upload_id": ""}
    async with s3_store.tier() as tier:
        await tier.give_up(KEY, intent)  # begun long before the intent
        assert s3_store.left() == 2
        await tier.give_up(KEY, {**intent, "since_s": int(time.time())})
    assert s3_store.bucket.uploads() == [f"{KEY}.other"]


async def test_an_upload_that_another_node_aborts_begins_again(
    s3_store: S3Store, source: str, data: bytes
) -> None:
    session = Kept()
    fault = s3_store.stall_part()
    async with (
        s3_store.tier(attempts_max=5, retry_budget_per_s=100.0) as tier,
        trio.open_nursery() as nursery,
    ):
        nursery.start_soon(put, tier, source, session)
        await trio.to_thread.run_sync(fault.wait_hits, 1)
        assert session.token is not None
        s3_store.forget_upload(session.token)
        fault.release()
    assert s3_store.read() == data
    assert s3_store.left() == 0


async def test_parts_of_an_upload_are_sent_side_by_side(s3_store: S3Store, source: str) -> None:
    fault = s3_store.proxy.rule(Rule("stall", lambda head: "partNumber=" in head.target))
    async with s3_store.tier() as tier, trio.open_nursery() as nursery:
        nursery.start_soon(put, tier, source, Kept())
        await trio.to_thread.run_sync(fault.wait_hits, 3)
        fault.release()


# --- what only GCS can do wrong ------------------------------------------------------------------


async def test_a_store_that_forgot_how_much_it_has_gets_it_all(
    gcs_store: GcsStore, source: str, data: bytes
) -> None:
    session = await begin(gcs_store, source)
    gcs_store.bucket.fault(Fault("status", "resumable_status", status=308))  # and no range
    async with gcs_store.tier() as tier:
        await put(tier, source, session)
    assert gcs_store.read() == data


async def test_a_store_that_takes_a_chunk_and_has_no_more_than_before_is_not_asked_for_ever(
    gcs_store: GcsStore, source: str, data: bytes
) -> None:
    session = Kept()
    gcs_store.bucket.fault(Fault("status", "resumable_chunk", status=308))
    async with gcs_store.tier() as tier:
        with pytest.raises(TierCorrupt, match="session says"):
            await put(tier, source, session)
        assert session.token is None
        await put(tier, source, session)
    assert gcs_store.read() == data
    assert gcs_store.left() == 0


async def test_s06_a_session_whose_bytes_are_not_ours_makes_no_object(
    gcs_store: GcsStore, source: str, tmp_path: Path, data: bytes
) -> None:
    session = await begin(gcs_store, source)
    for one in gcs_store.bucket.server.uploads.open_sessions():
        one.resource["md5Hash"] = "AAAAAAAAAAAAAAAAAAAAAA=="
    async with gcs_store.tier() as tier:
        with pytest.raises(TierCorrupt):
            await put(tier, source, session)
        assert gcs_store.bucket.names() == []
        assert session.token is None
        await put(tier, source, session)
    assert gcs_store.read() == data
    assert gcs_store.left() == 0
