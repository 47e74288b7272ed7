"""Who waits: look-ups, opens and reads while they wait, and how long it was."""

from __future__ import annotations

import trio

from shotfs.tiers.base import Span
from shotfs.vfs.waiting import WaitTable
from tests.unit.vfs.world import World


async def test_the_longest_wait_comes_first_and_ends_without_a_trace(
    mock_clock: trio.testing.MockClock,
) -> None:
    table = WaitTable()
    first = table.begin("lookup", "ant/a")
    mock_clock.jump(3)
    second = table.begin("read", "ant/b", span=Span(5, 9))
    mock_clock.jump(1)
    longest, other = table.longest(10)
    assert (longest.operation, longest.path, longest.since_s) == ("lookup", "ant/a", 4)
    assert (other.start, other.stop, other.since_s) == (5, 9, 1)
    assert table.longest(1) == [longest]
    assert table.of("ant/b", 10) == [other]
    assert table.counts() == {"lookup": 1, "read": 1}
    table.end(first)
    table.end(second)
    assert len(table) == 0


async def test_a_look_up_and_a_read_of_a_stalled_origin_are_in_the_table(world: World) -> None:
    world.origin.add("library/oak.png", b"oak")
    gate = world.origin.gate("stat")
    async with trio.open_nursery() as nursery:
        nursery.start_soon(world.fs.lookup, "ant/library/oak.png")
        await world.until(lambda: world.fs.waits.counts() == {"lookup": 1})
        gate.set()
    assert len(world.fs.waits) == 0


async def test_reads_that_were_fetched_are_measured_and_warm_ones_are_not(world: World) -> None:
    world.origin.add("library/oak.png", b"oak")
    await world.read("ant/library/oak.png")
    counted = world.node.metrics.snapshot()
    assert counted["shotfs_wait_seconds_count{what=read}"] == 1
    assert counted["shotfs_wait_seconds_count{what=first byte}"] == 1
    await world.read("ant/library/oak.png")
    assert world.node.metrics.snapshot()["shotfs_wait_seconds_count{what=read}"] == 1
