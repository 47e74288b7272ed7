"""A walk lists several directories at a time, and says what went wrong by its own name."""

from __future__ import annotations

from contextlib import aclosing
from unittest.mock import patch

import pytest
import trio

from shotfs.errors import TierUnavailable
from shotfs.prewarm.targets import PathTarget, Sources, Wanted
from shotfs.vfs.published_walk import DIRECTORIES_AT_ONCE, LISTED_ONE_BY_ONE_AT_ONCE
from tests.unit.prewarm.engine.test_finder import add
from tests.unit.vfs.world import World


async def paths_below(world: World, directory: str) -> list[str]:
    async with world.fs.prewarm_finder.below(directory) as found:
        return sorted([one.path async for one in found])


@pytest.mark.parametrize("one_by_one", [False, True])
async def test_several_directories_are_listed_at_a_time_and_no_more(
    world: World, one_by_one: bool
) -> None:
    at_once = LISTED_ONE_BY_ONE_AT_ONCE if one_by_one else DIRECTORIES_AT_ONCE
    paths = [path for number in range(30) for path in add(world, 2, f"library/set/d{number}")]
    world.origin.one_by_one = one_by_one
    under_way, most, ask, gate = 0, 0, world.origin._request, trio.Event()

    async def request(operation: str, key: str) -> None:
        nonlocal under_way, most
        if operation == "list" and key.startswith("library/set/"):
            under_way += 1
            most = max(most, under_way)
            if under_way == at_once:
                gate.set()
            await gate.wait()
            under_way -= 1
        await ask(operation, key)

    with patch.object(world.origin, "_request", request):
        assert await paths_below(world, "ant/library/set") == sorted(paths)
    assert most == at_once
    assert world.origin.count("stat") <= 1  # of the directory itself, which could be a file


async def test_a_directory_that_cannot_be_listed_is_the_error_of_all(world: World) -> None:
    add(world, 3, "library/set/one")
    add(world, 3, "library/set/two")

    def fault(operation: str, key: str) -> None:
        if (operation, key) == ("list", "library/set/two"):
            raise TierUnavailable("nobody answers")

    world.origin.fault = fault
    with pytest.raises(TierUnavailable, match="nobody answers"):
        await paths_below(world, "ant/library/set")


async def test_what_goes_wrong_for_who_iterates_is_raised_as_it_is(world: World) -> None:
    for number in range(30):
        add(world, 2, f"library/set/d{number}")
    sources = Sources(world.fs.prewarm_finder, world.node.shows)

    async def iterate() -> None:
        async with aclosing(sources.entries(PathTarget("ant/library/set"), Wanted())) as entries:
            async for _ in entries:
                raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await iterate()
    with trio.CancelScope() as scope:
        async with aclosing(sources.entries(PathTarget("ant/library/set"), Wanted())) as entries:
            async for _ in entries:
                scope.cancel()
                await trio.sleep_forever()
    assert scope.cancelled_caught


async def test_an_error_that_nobody_expected_is_raised_to_who_iterates(world: World) -> None:
    add(world, 3, "library/set/one")

    def fault(operation: str, key: str) -> None:
        if (operation, key) == ("list", "library/set/one"):
            raise ZeroDivisionError

    world.origin.fault = fault
    with pytest.RaisesGroup(ZeroDivisionError, flatten_subgroups=True, allow_unwrapped=True):
        await paths_below(world, "ant/library/set")


async def test_who_stops_early_ends_the_walk(world: World) -> None:
    for number in range(30):
        add(world, 2, f"library/set/d{number}")
    async with world.fs.prewarm_finder.below("ant/library/set") as found:
        first = await anext(found)
    assert first.path.startswith("ant/library/set/")
