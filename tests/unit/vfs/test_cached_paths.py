"""What is cached, by path: pages, pins, fetching ahead, letting go."""

from __future__ import annotations

import time

import pytest

from shotfs.cache import NOBODY
from shotfs.errors import InvalidArgument, PathNotFound
from shotfs.vfs.cached_paths import CachedPaths
from tests.unit.vfs.world import World

SET = "ant/library/set"


def paths_of(world: World) -> CachedPaths:
    return world.fs.cached_paths


async def fill(world: World, count: int) -> list[str]:
    """Add *count* files below `SET` to the origin; return their paths."""
    for number in range(count):
        world.origin.add(f"library/set/deep/{number}.png", bytes([number]) * (number + 1))
    return [f"{SET}/deep/{number}.png" for number in range(count)]


async def test_entries_come_in_pages_and_only_from_below_a_path(world: World) -> None:
    names = await fill(world, 5)
    world.origin.add("library/elsewhere.png", b"else")
    for path in [*names, "ant/library/elsewhere.png"]:
        await world.read(path)
    await world.until(lambda: world.node.cache.stats().files == 6)
    found: list[str] = []
    after: str | None = ""
    while after is not None:
        page = await paths_of(world).entries(SET, after, 2, "size")
        assert len(page.entries) <= 2
        found += [path for entry in page.entries for path in entry.paths]
        after = page.after
    assert found == names[::-1]
    everything = await paths_of(world).entries("", "", 100, "digest")
    assert len(everything.entries) == 6
    assert everything.after is None


@pytest.mark.parametrize(("after", "order"), [("x", "digest"), ("", "age"), ("5", "used")])
async def test_entries_refuse_what_is_no_place(world: World, after: str, order: str) -> None:
    with pytest.raises(InvalidArgument):
        await paths_of(world).entries("", after, 10, order)


async def test_s11_a_pinned_tree_stays_until_it_is_unpinned(world: World) -> None:
    names = await fill(world, 4)
    await world.read(names[0])
    await world.until(lambda: world.node.cache.stats().files == 1)
    kept, nodes = await paths_of(world).pin([SET], "xy_010", time.time() + 60, 100)
    assert (kept.files, kept.bytes, kept.cached_files, kept.cached_bytes) == (4, 10, 1, 1)
    report = paths_of(world).fetching(nodes)
    await paths_of(world).fetch(nodes, NOBODY, report)
    assert (report.done_files, report.done_bytes, report.failed_files) == (4, 10, 0)
    assert report.ended

    dropped = await paths_of(world).evict([SET], 100)
    assert (dropped.files, dropped.pinned) == (0, 4)
    pins, after = await paths_of(world).pins("xy_010", "", 3)
    assert after is not None
    more, end = await paths_of(world).pins("xy_010", after, 3)
    assert sorted(pin.path or "" for pin in [*pins, *more]) == names
    assert end is None
    assert (await paths_of(world).pins("somebody", "", 3)) == ([], None)

    assert await paths_of(world).unpin([names[0]], "xy_010") == 1
    assert await paths_of(world).unpin([SET], "somebody") == 0
    dropped = await paths_of(world).evict([SET], 100)
    assert (dropped.files, dropped.bytes, dropped.pinned) == (1, 1, 3)
    assert await paths_of(world).unpin([""], "xy_010") == 3


async def test_content_that_is_shared_stays_with_a_pin_of_any_of_its_paths(world: World) -> None:
    for name in ("a", "b"):
        world.origin.add(f"library/{name}.png", b"the same")
        await world.read(f"ant/library/{name}.png")
    await world.until(lambda: world.node.cache.stats().streams == 0)
    await paths_of(world).pin(["ant/library/a.png"], "x", None, 1)
    dropped = await paths_of(world).evict(["ant/library/b.png"], 1)
    assert (dropped.files, dropped.pinned) == (0, 1)


async def test_what_does_not_come_is_named(world: World) -> None:
    names = await fill(world, 2)
    _, nodes = await paths_of(world).pin([SET], "x", None, 100)
    world.origin.remove("library/set/deep/0.png")
    report = paths_of(world).fetching(nodes)
    await paths_of(world).fetch(nodes, NOBODY, report)
    assert (report.done_files, report.failed_files) == (1, 1)
    assert report.errors[0][0] == names[0]


async def test_more_files_than_allowed_pin_nothing(world: World) -> None:
    await fill(world, 3)
    with pytest.raises(InvalidArgument, match="more than 2 files"):
        await paths_of(world).pin([SET], "x", None, 2)
    assert (await paths_of(world).pins("", "", 10)) == ([], None)


async def test_a_path_that_is_not_there_is_named(world: World) -> None:
    with pytest.raises(PathNotFound, match=r"ant/library/none\.png"):
        await paths_of(world).pin(["ant/library/none.png"], "x", None, 2)


async def test_a_cursor_that_is_none_is_refused(world: World) -> None:
    with pytest.raises(InvalidArgument, match="no place in a listing of pins"):
        await paths_of(world).pins("", "x", 10)
