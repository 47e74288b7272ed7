"""The engine brings what is wanted here, says how far it is, and stops where it must."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence

import trio
import trio.testing

from shotfs.cache import NOBODY
from shotfs.prewarm.engine import Prewarmer, Progress, Stop, Terms
from shotfs.prewarm.finding import Absence, Found
from shotfs.prewarm.manifest import Entry
from tests.unit.prewarm.engine.test_finder import add
from tests.unit.vfs.world import World


async def pages_of(paths: Sequence[str], size: int = 10) -> AsyncGenerator[Sequence[Entry], None]:
    for start in range(0, len(paths), size):
        yield [Entry(path) for path in paths[start : start + size]]


async def run(world: World, paths: Sequence[str], terms: Terms | None = None) -> Progress:
    progress = Progress()
    prewarmer = Prewarmer(world.node.cache, world.fs.prewarm_finder)
    await prewarmer.run(pages_of(paths), terms or Terms(NOBODY), progress)
    return progress


async def test_what_is_wanted_comes_once_and_what_is_here_is_left_out(world: World) -> None:
    paths = add(world, 35)
    first = await run(world, paths[:12])
    assert (first.files, first.here_files, first.fetched_files) == (12, 0, 12)
    assert first.ended
    assert first.stopped is None
    read = world.origin.count("read")
    second = await run(world, paths)
    assert (second.files, second.here_files, second.fetched_files) == (35, 12, 23)
    assert second.bytes == sum(len(world.origin.content(one[4:])) for one in paths)
    assert second.templates["library"].done_bytes == second.bytes
    third = await run(world, paths)
    assert (third.here_files, third.fetched_files) == (35, 0)
    assert world.origin.count("read") <= read + 23


async def test_what_is_no_file_is_told_and_ends_nothing(world: World) -> None:
    paths = add(world, 3)
    progress = await run(world, [*paths, "ant/no/template.png", "ant/library/set/none.png"])
    assert progress.fetched_files == 3
    assert progress.absent == {Absence.OUTSIDE: 1, Absence.MISSING: 1}
    assert [one.path for one in progress.problems] == [
        "ant/no/template.png",
        "ant/library/set/none.png",
    ]


async def test_a_limit_ends_a_run_and_leaves_the_rest(world: World) -> None:
    paths = add(world, 30)
    progress = await run(world, paths, Terms(NOBODY, files_max=13))
    assert progress.stopped is Stop.LIMIT
    assert progress.fetched_files == 13
    assert progress.entries < 30
    size = sum(len(world.origin.content(one[4:])) for one in paths[13:20])
    progress = await run(world, paths, Terms(NOBODY, bytes_max=size))
    assert progress.stopped is Stop.LIMIT
    assert 0 < progress.fetched_bytes <= size


async def test_a_deadline_ends_a_run_in_which_an_origin_stands_still(world: World) -> None:
    paths = add(world, 3)
    await world.fs.prewarm_finder.find_many(paths)
    gate = world.origin.gate("read")
    progress = await run(world, paths, Terms(NOBODY, deadline_s=trio.current_time() + 0.01))
    gate.set()
    assert progress.stopped is Stop.DEADLINE
    assert progress.ended


async def test_a_cancelled_run_says_so(world: World) -> None:
    paths = add(world, 3)
    gate = world.origin.gate("read")
    progress = Progress()
    prewarmer = Prewarmer(world.node.cache, world.fs.prewarm_finder)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(prewarmer.run, pages_of(paths), Terms(NOBODY), progress)
        await world.origin.reached("read")
        nursery.cancel_scope.cancel()
    gate.set()
    assert progress.stopped is Stop.CANCELLED
    assert progress.ended


async def test_content_that_the_manifest_does_not_know_is_told_as_stale(world: World) -> None:
    paths = add(world, 2)
    progress = Progress()

    async def pages() -> AsyncGenerator[Sequence[Entry], None]:
        yield [Entry(paths[0], size_bytes=12345), Entry(paths[1], size_bytes=2)]

    await Prewarmer(world.node.cache, world.fs.prewarm_finder).run(pages(), Terms(NOBODY), progress)
    assert progress.stale_files == 1
    assert progress.fetched_files == 2


async def test_a_prewarm_larger_than_the_cache_stops_and_evicts_nothing_of_its_own(
    world: World,
) -> None:
    paths = add(world, 60)
    for number in range(40):
        world.origin.add(f"library/old/{number}.png", b"old %d" % number)
    await run(world, [f"ant/library/old/{number}.png" for number in range(40)])
    await world.node.cache.pin(world.origin.objects["library/old/0.png"][0], "job", None)
    room = world.node.cache._room
    room.files_max = 50
    progress = await run(world, paths)
    assert progress.stopped is Stop.CACHE_FULL
    assert "5 B of it pinned" in progress.reason
    brought = [world.origin.objects[path[4:]][0] for path in paths[: progress.entries]]
    assert all(await world.node.cache.known_many(brought))
    assert progress.fetched_files > 40
    assert world.node.cache.stats().evictions > 0
    assert (await world.node.cache.known_many([world.origin.objects["library/old/0.png"][0]]))[0]
    again = await run(world, paths)
    assert (again.fetched_files, again.stopped) == (0, Stop.CACHE_FULL)


async def test_a_file_that_was_replaced_before_it_was_asked_for_again_comes_as_it_is_now(
    world: World,
) -> None:
    paths = add(world, 12)
    await world.fs.prewarm_finder.find_many(paths)
    for path in paths[:3]:
        world.origin.add(path[4:], b"what is there by now")
    pinned: set[str] = set()

    async def pin(found: Sequence[Found]) -> None:
        pinned.update(one.revision.version for one in found)

    progress = await run(world, paths, Terms(NOBODY, found=pin, pins=True))
    assert {world.origin.objects[one[4:]][0].version for one in paths} <= pinned
    assert (progress.files, progress.fetched_files, progress.failed_files) == (12, 12, 0)
    size = sum(len(world.origin.content(one[4:])) for one in paths)
    assert progress.bytes == progress.fetched_bytes == size
    assert progress.templates["library"].bytes == progress.templates["library"].done_bytes == size
    assert (await run(world, paths)).here_files == 12


async def test_a_file_that_was_deleted_before_it_was_asked_for_again_is_missing(
    world: World,
) -> None:
    paths = add(world, 3)
    await world.fs.prewarm_finder.find_many(paths)
    world.origin.remove(paths[1][4:])
    progress = await run(world, paths)
    assert (progress.files, progress.fetched_files, progress.failed_files) == (2, 2, 0)
    assert progress.absent == {Absence.MISSING: 1}
    assert progress.bytes == progress.fetched_bytes


async def test_a_disk_that_is_full_is_named_where_the_cache_is_not(world: World) -> None:
    paths = add(world, 3)
    world.node.cache._room.free_bytes_min = 1 << 62
    progress = await run(world, paths)
    assert progress.stopped is Stop.CACHE_FULL
    assert "its disk has" in progress.reason
    assert "cache.free_bytes_min" in progress.reason
