"""Uploads take turns of the least urgent class, part by part."""

from __future__ import annotations

from pathlib import Path

import pytest
import trio
import trio.testing

from shotfs.cache.scheduling import FetchClass, FetchScheduler, OriginLimits, UploadTurns
from shotfs.config.rates import Rate
from shotfs.tiers.source import Source, opened

MIB = 1024 * 1024


class Store:
    """Sends a file in parts of a MiB, as tiers do."""

    def __init__(self, turns: UploadTurns, path: Path) -> None:
        self.turns = turns
        self.path = path
        self.sent: list[float] = []
        self.began = trio.Event()

    async def put(self) -> None:
        async with (
            self.turns.turn("a", self.path.stat().st_size, "out.exr"),
            opened(str(self.path)) as source,
        ):
            for offset in range(0, source.size_bytes, MIB):
                length = min(MIB, source.size_bytes - offset)
                async with source.turn(length):
                    await source.part(offset, length)
                    self.sent.append(trio.current_time())
                    self.began.set()
                    await trio.sleep(0.1)


@pytest.fixture
def output(tmp_path: Path) -> Path:
    path = tmp_path / "out.exr"
    path.write_bytes(bytes(8 * MIB))
    return path


async def test_demand_goes_between_two_parts_of_an_upload(
    output: Path, autojump_clock: trio.testing.MockClock
) -> None:
    scheduler = FetchScheduler(lambda _: OriginLimits(1), 128 * MIB)
    store = Store(UploadTurns(scheduler, MIB), output)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(store.put)
        await store.began.wait()
        assert [one.fetch_class for one in scheduler.under_way()] == [FetchClass.PUBLISH]
        async with scheduler.slot("a", MIB, FetchClass.DEMAND):
            assert len(store.sent) < 8
            parts = len(store.sent)
            await trio.sleep(10)
            assert len(store.sent) == parts
    assert len(store.sent) == 8
    assert scheduler.bytes_in_flight == 0


async def test_uploads_keep_to_the_bandwidth(
    output: Path, autojump_clock: trio.testing.MockClock
) -> None:
    limits = OriginLimits(16, rates=(Rate(MIB),))
    store = Store(UploadTurns(FetchScheduler(lambda _: limits, 128 * MIB), MIB), output)
    await store.put()
    assert 7 <= store.sent[-1] - store.sent[0] <= 7 / 0.95


async def test_a_cancelled_upload_gives_its_turn_back(output: Path) -> None:
    scheduler = FetchScheduler(lambda _: OriginLimits(1), 128 * MIB)
    store = Store(UploadTurns(scheduler, MIB), output)
    async with scheduler.slot("a", MIB, FetchClass.DEMAND):
        with trio.move_on_after(0):
            await store.put()
        assert not store.sent
        assert scheduler.queue() == []
    async with trio.open_nursery() as nursery:
        nursery.start_soon(store.put)
        await store.began.wait()
        nursery.cancel_scope.cancel()
    assert scheduler.under_way() == []


async def test_parts_that_go_side_by_side_have_a_turn_each(
    output: Path, autojump_clock: trio.testing.MockClock
) -> None:
    scheduler = FetchScheduler(lambda _: OriginLimits(2), 128 * MIB)
    turns = UploadTurns(scheduler, MIB)
    under_way: list[int] = []

    async def send(source: Source) -> None:
        async with source.turn(MIB):
            under_way.append(len(scheduler.under_way()))
            await trio.sleep(0.1)

    async def put() -> None:
        async with (
            turns.turn("a", 8 * MIB, "out.exr"),
            opened(str(output)) as source,
            trio.open_nursery() as parts,
        ):
            for _ in range(8):
                parts.start_soon(send, source)

    async with trio.open_nursery() as uploads:
        for _ in range(3):
            uploads.start_soon(put)
    assert len(under_way) == 3 * 8
    assert max(under_way) <= 2
    assert scheduler.under_way() == []
    assert scheduler.bytes_in_flight == 0


async def test_a_node_that_leaves_uploads_on_every_connection_and_fetches_nothing_ahead() -> None:
    scheduler = FetchScheduler(lambda _: OriginLimits(4), 128 * MIB)
    granted: list[str] = []

    async def one(fetch_class: FetchClass, what: str) -> None:
        async with scheduler.slot("a", MIB, fetch_class, what=what):
            granted.append(what)
            await trio.sleep_forever()

    async with trio.open_nursery() as nursery:
        for number in range(6):
            nursery.start_soon(one, FetchClass.PUBLISH, f"publish {number}")
        await trio.testing.wait_all_tasks_blocked()
        assert len(granted) == 2, "half of them are for reads"
        UploadTurns(scheduler, MIB).hurry()
        await trio.testing.wait_all_tasks_blocked()
        assert len(granted) == 4
        nursery.cancel_scope.cancel()
    granted.clear()
    async with trio.open_nursery() as nursery:
        for fetch_class in (FetchClass.PREWARM, FetchClass.LOOKAHEAD, FetchClass.DEMAND):
            nursery.start_soon(one, fetch_class, fetch_class.label)
        await trio.testing.wait_all_tasks_blocked()
        assert granted == ["demand"], "who is blocked is served, also of an origin that is new"
        nursery.cancel_scope.cancel()
