"""Large outputs whose upload was cut off: gone on with, or given up; nothing stays at the store."""

from __future__ import annotations

import json
import logging
import signal
import subprocess
import sys
from contextlib import AbstractAsyncContextManager
from pathlib import Path

import pytest
import trio

from shotfs.publish import State
from shotfs.publish.begun import Begun, GivenUp, dump_begun, load_begun
from tests.contract.cut_off import (
    EACH,
    OVERHEAD_BYTES,
    S3Store,
    Store,
    gcs_store,
    s3_store,
    store,
)
from tests.contract.places import PART_BYTES
from tests.unit.publish.real_nodes import PATH, SIZE, Node, content, node_at

__all__ = ["gcs_store", "s3_store", "store"]


def node(store: Store, directory: Path) -> AbstractAsyncContextManager[Node]:
    return node_at(directory, store.place.url, store.place.origin)


def victim_command(store: Store, directory: Path, *point: str) -> list[str]:
    origin = json.dumps(dict(store.place.origin))
    module = "tests.unit.publish.real_nodes"
    return [sys.executable, "-m", module, str(directory), store.place.url, origin, *point]


async def killed_mid_upload(store: Store, directory: Path) -> None:
    """Write and close a large output in a process, and kill -9 that when a part has arrived."""
    fault = store.stall_part()
    command = victim_command(store, directory)
    with subprocess.Popen(command) as victim:  # noqa: ASYNC220  # killed below, by its own pid
        await trio.to_thread.run_sync(fault.wait_hits, 1)
        victim.kill()
    fault.release()
    assert store.left() == 1


@EACH
async def test_s05_a_kill_mid_upload_costs_no_more_than_a_part(
    store: Store, tmp_path: Path
) -> None:
    await killed_mid_upload(store, tmp_path)
    async with node(store, tmp_path) as again:
        # What has arrived is known to the store only, so it is asked before anything goes on.
        entry = again.spool.get(PATH)
        assert entry is not None
        assert entry.begun is not None
        arrived, before = store.arrived(entry.begun.token), store.received()
        await again.until_empty()
    assert store.received() - before <= SIZE - arrived + PART_BYTES + OVERHEAD_BYTES
    assert store.read() == content()
    assert store.left() == 0


@pytest.mark.parametrize(
    ("point", "left"), [("before_the_intent", 0), ("before_the_name", 1), ("before_the_end", 0)]
)
async def test_s05_a_kill_between_the_store_and_the_journal_leaves_no_orphan(
    s3_store: S3Store, tmp_path: Path, point: str, left: int
) -> None:
    died = await trio.run_process(victim_command(s3_store, tmp_path, point), check=False)
    assert died.returncode == -signal.SIGKILL
    assert s3_store.left() == left
    async with node(s3_store, tmp_path) as again:
        await again.until_empty()
    assert s3_store.left() == 0
    assert s3_store.read() == content()
    assert s3_store.completions() == 1


@EACH
async def test_an_upload_that_a_service_stopped_goes_on_at_its_next_start(
    store: Store, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    fault = store.stall_part()
    async with node(store, tmp_path) as first:
        entry = await first.write(content())
        await trio.to_thread.run_sync(fault.wait_hits, 1)
        await first.until(lambda: entry.remaining_bytes <= SIZE - PART_BYTES)
    fault.release()
    assert store.left() == 1
    assert entry.begun is not None
    arrived, before = store.arrived(entry.begun.token), store.received()
    async with node(store, tmp_path) as again:
        await again.until_empty()
    assert store.received() - before <= SIZE - arrived + PART_BYTES + OVERHEAD_BYTES
    assert store.read() == content()
    assert store.left() == 0
    secrets = [str(entry.begun.token.get(name)) for name in ("url", "upload_id")]
    ours = [one.getMessage() for one in caplog.records if one.name.startswith("shotfs")]
    assert not [text for text in ours for secret in secrets if secret in text]


@EACH
async def test_a_mutable_output_that_is_written_again_gives_its_upload_up(
    store: Store, tmp_path: Path
) -> None:
    fault = store.stall_part()
    async with node(store, tmp_path) as one:
        entry = await one.write(content(), immutable=False)
        await trio.to_thread.run_sync(fault.wait_hits, 1)
        file = await one.spool.open(entry, writable=True)
        await file.write(0, b"other")
        fault.release()
        await file.flush()
        await file.close()
        await one.until_empty()
    assert store.read() == b"other" + content()[5:]
    assert store.left() == 0


@EACH
async def test_an_output_that_is_renamed_or_removed_gives_its_upload_up_after_a_restart_too(
    store: Store, tmp_path: Path
) -> None:
    fault = store.stall_part()
    async with node(store, tmp_path) as one:
        entry = await one.write(content(), immutable=False)
        await trio.to_thread.run_sync(fault.wait_hits, 1)
        # The publisher that would tell the store is stopped before it can.
        one.publisher._aborter._tiers = never
        new = PATH.replace("1001", "1002")
        await one.spool.rename(PATH, new, one.terms(new, immutable=False))
        assert entry.begun is None
        await one.spool.unlink(new)
        assert len(one.spool.core.given_up) == 1
    fault.release()
    assert store.left() == 1
    async with node(store, tmp_path) as again:
        assert again.spool.get(PATH) is None
        await again.until_empty()
    assert store.left() == 0
    async with node(store, tmp_path) as again:
        assert len(again.spool.core.given_up) == 0


@EACH
async def test_s18_a_conflict_leaves_nothing_of_the_upload(store: Store, tmp_path: Path) -> None:
    await killed_mid_upload(store, tmp_path)
    store.place.write(PATH.partition("/")[2], b"theirs")
    async with node(store, tmp_path) as again:
        await again.until(lambda: bool(again.conflicts))
        assert again.conflicts[0].state is State.QUARANTINED
        await again.until_empty()
    assert store.read() == b"theirs"
    assert store.left() == 0


@EACH
async def test_s18_two_nodes_that_publish_the_same_large_frame_both_succeed(
    store: Store, tmp_path: Path
) -> None:
    async with node(store, tmp_path / "one") as one, node(store, tmp_path / "two") as two:
        entries = [await one.write(content()), await two.write(content())]
        await one.until_empty()
        await two.until_empty()
        assert [entry.state for entry in entries] == [State.PUBLISHED] * 2
        assert not one.conflicts
        assert not two.conflicts
    assert store.read() == content()
    assert store.left() == 0


async def never(_url: str) -> None:
    await trio.sleep_forever()


def test_a_begun_upload_survives_its_record_and_shows_no_secret() -> None:
    begun = Begun("gs://b", "k", {"url": "http://store/secret", "mark": "m"})
    assert load_begun(dump_begun(begun)) == begun
    assert load_begun(None) is None
    assert "secret" not in repr(begun)


def test_what_is_given_up_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shotfs.publish.begun.GIVEN_UP_MAX", 2)
    every = [Begun("gs://b", f"k{number}", {}) for number in range(3)]
    given_up = GivenUp()
    dropped = [given_up.add(one) for one in every]
    assert dropped == [[], [], [every[0]]]
    assert given_up.waiting() == every[1:]
