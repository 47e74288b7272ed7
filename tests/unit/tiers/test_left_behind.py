"""Calls that nobody waits for any more: threads and asyncio tasks that were left behind."""

from __future__ import annotations

import asyncio
import contextlib
import os
import threading
from pathlib import Path

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from shotfs.config import Settings
from shotfs.errors import TierTimeout
from shotfs.tiers.cloud.bridge import in_loop, request
from shotfs.tiers.cloud.origin import Origin
from shotfs.tiers.cloud.progress import Body, Progress
from shotfs.tiers.cloud.threads import Abandoned, Call, in_thread, put_in_thread, with_descriptor
from shotfs.tiers.keys import parse_root

MIB = 1024 * 1024


def an_origin(**network: float) -> Origin:
    settings = Settings(network={"connections_max": 1, **network})  # type: ignore[arg-type]  # pydantic parses it
    return Origin(parse_root("file:///x"), settings.origin_for("file:///x"), settings.network)


async def test_a_thread_left_behind_cannot_write_into_a_file_that_got_its_number(
    tmp_path: Path,
) -> None:
    go_on, done = threading.Event(), threading.Event()
    began = trio.Event()
    token = trio.lowlevel.current_trio_token()
    first = os.open(tmp_path / "first", os.O_RDWR | os.O_CREAT)

    def work(own: int, call: Call) -> None:
        token.run_sync_soon(began.set)
        go_on.wait(10)
        with contextlib.suppress(Abandoned):
            call.moved()
            raise AssertionError("it is still waited for")
        os.pwrite(own, b"late", 0)
        done.set()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(lambda: with_descriptor(an_origin(), "x", first, work, bulk_bytes=1))
        await began.wait()
        nursery.cancel_scope.cancel()
    os.close(first)
    second = os.open(tmp_path / "second", os.O_RDWR | os.O_CREAT)
    assert second == first  # the number is used again
    go_on.set()
    assert await trio.to_thread.run_sync(done.wait, 10)
    os.close(second)
    assert (tmp_path / "second").read_bytes() == b""
    assert (tmp_path / "first").read_bytes() == b"late"


async def test_a_descriptor_lent_to_a_thread_that_never_started_is_closed(tmp_path: Path) -> None:
    origin = an_origin()
    descriptor = os.open(tmp_path / "f", os.O_RDWR | os.O_CREAT)

    def work(own: int, call: Call) -> None:
        raise AssertionError("nobody lets it start")

    before = len(os.listdir("/proc/self/fd"))
    await origin.bulk.acquire_on_behalf_of("somebody else")
    with trio.move_on_after(0.01) as scope:
        await with_descriptor(origin, "x", descriptor, work, bulk_bytes=1)
    assert scope.cancelled_caught
    assert len(os.listdir("/proc/self/fd")) == before
    os.close(descriptor)


async def test_waiting_for_a_place_does_not_count_as_standing_still(
    mock_clock: MockClock,
) -> None:
    origin = an_origin(metadata_timeout_s=20.0)
    await origin.metadata.acquire_on_behalf_of("somebody else")
    results: list[str] = []
    release, token = threading.Event(), trio.lowlevel.current_trio_token()
    began = trio.Event()

    def work() -> str:
        token.run_sync_soon(began.set)
        release.wait(10)
        return "answer"

    async def ask() -> None:
        results.append(await in_thread(origin, "x", work))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(ask)
        await wait_all_tasks_blocked()
        mock_clock.jump(15.0)
        origin.metadata.release_on_behalf_of("somebody else")
        await began.wait()
        mock_clock.jump(15.0)
        release.set()
    assert results == ["answer"]


async def test_s07_threads_left_behind_on_a_hung_store_let_no_later_call_wait_for_ever(
    autojump_clock: MockClock,
) -> None:
    origin = an_origin(metadata_timeout_s=20.0)
    await origin.metadata.acquire_on_behalf_of("a thread that was left behind")

    async def never() -> None:
        raise AssertionError("nobody lets it start")

    began = trio.current_time()
    with pytest.raises(TierTimeout, match="1 requests to this origin") as caught:
        await in_thread(origin, "x", lambda: None)
    assert trio.current_time() - began == 20.0
    assert "connections_max" in str(caught.value)
    with pytest.raises(TierTimeout, match="1 requests to this origin"):
        await request(origin, "x", never, limiter=origin.metadata, deadline_s=20.0)
    assert trio.current_time() - began == 40.0


async def test_s07_a_thread_that_never_answers_times_out() -> None:
    release = threading.Event()
    with pytest.raises(TierTimeout, match="metadata_timeout_s"):
        await in_thread(an_origin(metadata_timeout_s=0.05), "x", lambda: release.wait(10))
    release.set()


async def test_cancelling_the_trio_side_cancels_the_asyncio_task() -> None:
    running, cancelled = threading.Event(), threading.Event()

    async def forever() -> None:
        running.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cancelled.set()
            raise

    async with trio.open_nursery() as nursery:
        nursery.start_soon(in_loop, forever)
        assert await trio.to_thread.run_sync(running.wait, 10)
        nursery.cancel_scope.cancel()
    assert await trio.to_thread.run_sync(cancelled.wait, 10)


async def test_s07_a_thread_is_given_up_when_nothing_moves_and_not_while_something_does(
    mock_clock: MockClock,
) -> None:
    origin = an_origin(progress_timeout_s=30.0)
    token = trio.lowlevel.current_trio_token()
    told, go_on = trio.Event(), threading.Event()

    def work(call: Call) -> None:
        for _ in range(4):
            call.moved()
            token.run_sync_soon(told.set)
            go_on.wait(10)
            go_on.clear()

    async def put() -> None:
        with pytest.raises(TierTimeout, match="progress, for 30 s"):
            await put_in_thread(origin, "x", work, bulk_bytes=100 * MIB, idle_s=30.0)
        ended.set()

    ended = trio.Event()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(put)
        for _ in range(3):
            await told.wait()
            told = trio.Event()
            mock_clock.jump(25.0)
            go_on.set()
        await told.wait()
        mock_clock.jump(31.0)
        await ended.wait()
    go_on.set()


async def test_s07_an_upload_is_given_up_when_the_network_takes_nothing(
    mock_clock: MockClock,
) -> None:
    origin = an_origin(progress_timeout_s=30.0)
    size = 16 * MIB
    progress = Progress(origin.upload_idle_s(size))
    body = Body(bytes(size), progress)
    asked = threading.Event()

    async def send() -> None:
        body.read(65536)
        asked.set()
        await asyncio.Event().wait()

    async with trio.open_nursery() as nursery:

        @nursery.start_soon
        async def upload() -> None:
            with pytest.raises(TierTimeout, match="progress_timeout_s"):
                await request(
                    origin, "x", send, limiter=origin.bulk,
                    deadline_s=origin.bulk_deadline_s(size), progress=progress,
                )  # fmt: skip

        assert await trio.to_thread.run_sync(asked.wait, 10)
        await wait_all_tasks_blocked()
        mock_clock.jump(33.0)
        await wait_all_tasks_blocked()
        assert len(nursery.child_tasks) == 1
        mock_clock.jump(2.0)
