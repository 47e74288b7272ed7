"""Files in many directories are found by pages of keys, where that is fewer requests."""

from __future__ import annotations

import pytest

from shotfs.errors import TierUnavailable
from shotfs.prewarm.finding import Absence, Absent, Found
from shotfs.vfs.tree_learning import TOLD_MIN, TREES_FROM
from tests.unit.vfs.world import World


def add(world: World, directories: int, per_directory: int = 1) -> list[str]:
    keys = [
        f"library/set/d{directory:04}/{number}.png"
        for directory in range(directories)
        for number in range(per_directory)
    ]
    for key in keys:
        world.origin.add(key, key.encode())
    world.origin.trees = True
    world.origin.asked.clear()
    return [f"ant/{key}" for key in keys]


@pytest.mark.parametrize("per_directory", [1, 3, 6])
async def test_a_file_or_some_of_each_of_many_directories_cost_a_page(
    world: World, per_directory: int
) -> None:
    paths = add(world, 150, per_directory)
    answers = await world.fs.prewarm_finder.find_many(paths)
    assert [one.path for one in answers] == paths
    assert all(isinstance(one, Found) for one in answers)
    assert len(world.origin.asked) == 1
    assert {one.revision for one in answers if isinstance(one, Found)} == {
        world.origin.objects[path[4:]][0] for path in paths
    }


async def test_what_lies_between_costs_no_page(world: World) -> None:
    wanted = add(world, 100)
    for number in range(5_000):
        world.origin.add(f"library/set/d0049/between/{number}.png", b"x")
    world.origin.page_entries = 60
    answers = await world.fs.prewarm_finder.find_many(wanted)
    assert all(isinstance(one, Found) for one in answers)
    assert world.origin.count("list_from") <= 3


async def test_a_tree_of_much_else_costs_one_page_and_the_files_are_asked_for(world: World) -> None:
    add(world, 100, 50)
    paths = [f"ant/library/set/d{number:04}/7.png" for number in range(100)]
    answers = await world.fs.prewarm_finder.find_many(paths)
    assert all(isinstance(one, Found) for one in answers)
    assert world.origin.count("list_from") == 1
    assert 100 - TOLD_MIN < world.origin.count("stat") < 100


async def test_few_files_are_asked_for_one_by_one(world: World) -> None:
    paths = add(world, TREES_FROM - 1)
    await world.fs.prewarm_finder.find_many(paths)
    assert world.origin.count("list_from") == 0
    assert world.origin.count("stat") == len(paths)


async def test_what_a_page_does_not_have_is_asked_for_and_missing(world: World) -> None:
    paths = add(world, 100)
    world.origin.remove(paths[50][4:])
    answers = await world.fs.prewarm_finder.find_many(paths)
    gone = answers.pop(50)
    assert isinstance(gone, Absent)
    assert gone.absence is Absence.MISSING
    assert all(isinstance(one, Found) for one in answers)
    assert world.origin.count("stat", paths[50][4:]) == 1


async def test_an_origin_that_lists_nothing_is_asked_for_each_file(world: World) -> None:
    paths = add(world, 100)

    def fault(operation: str, key: str) -> None:
        if operation == "list_from":
            raise TierUnavailable(f"{key}: nobody answers")

    world.origin.fault = fault
    answers = await world.fs.prewarm_finder.find_many(paths)
    assert all(isinstance(one, Found) for one in answers)
    assert world.origin.count("list_from") == 1


async def test_s03_what_was_published_since_the_page_was_asked_for_counts(world: World) -> None:
    keys = [f"notes/{number:03}/a.txt" for number in range(100)]
    for key in keys:
        world.origin.add(key, b"old")
    world.origin.trees = True
    world.fs.prewarm_finder.trees._wall_s = world.clock.wall_s
    answers = await world.fs.prewarm_finder.find_many([f"ant/{key}" for key in keys])
    assert world.origin.count("stat") == 0
    newest = world.origin.add(keys[3], b"newer")
    world.clock.advance(1_000_000.0)
    again = await world.fs.prewarm_finder.find_many([f"ant/{key}" for key in keys])
    assert isinstance(answers[3], Found)
    assert isinstance(again[3], Found)
    assert answers[3].revision != again[3].revision == newest
