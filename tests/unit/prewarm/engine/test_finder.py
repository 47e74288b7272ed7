"""What prewarm finds: many paths at once, with few questions."""

from __future__ import annotations

from shotfs.prewarm.finding import Absence, Absent, Found
from tests.unit.namespace.spec import FRAME, SHOT
from tests.unit.vfs.world import World


def add(world: World, count: int, directory: str = "library/set") -> list[str]:
    for number in range(count):
        world.origin.add(f"{directory}/{number}.png", bytes([number % 256]) * (number % 50 + 1))
    return [f"ant/{directory}/{number}.png" for number in range(count)]


async def test_many_files_of_one_directory_cost_one_listing_and_no_stat(world: World) -> None:
    paths = add(world, 40)
    world.origin.asked.clear()
    answers = await world.fs.prewarm_finder.find_many(paths)
    assert [one.path for one in answers] == paths
    assert all(isinstance(one, Found) for one in answers)
    assert world.origin.count("stat") == 0
    assert world.origin.count("list") == 1
    again = await world.fs.prewarm_finder.find_many(paths)
    assert again == answers
    assert len(world.origin.asked) == 1


async def test_an_origin_that_lists_one_by_one_is_asked_for_what_is_wanted(world: World) -> None:
    paths = add(world, 40)
    world.origin.one_by_one = True
    world.origin.asked.clear()
    answers = await world.fs.prewarm_finder.find_many(paths[:6])
    assert [one.path for one in answers] == paths[:6]
    assert (world.origin.count("stat"), world.origin.count("list", "library/set")) == (6, 0)


async def test_a_single_file_costs_no_listing_of_its_directory(world: World) -> None:
    path = add(world, 40)[7]
    world.origin.asked.clear()
    found = await world.fs.prewarm_finder.find(path)
    assert found is not None
    assert found.revision == world.origin.objects["library/set/7.png"][0]
    assert ("list", "library/set") not in world.origin.asked


async def test_each_path_that_is_no_file_says_why(world: World) -> None:
    paths = add(world, 3)
    await world.mkdir(SHOT)
    output = await world.create(FRAME)
    asked = [
        paths[0],
        "ant/library/set/none.png",
        "ant/library/set",
        "ant/nowhere/at/all.png",
        "beetle/library/a.png",
        FRAME,
    ]
    answers = await world.fs.prewarm_finder.find_many(asked)
    assert isinstance(answers[0], Found)
    absent = [one for one in answers if isinstance(one, Absent)]
    assert [one.absence for one in absent] == [
        Absence.MISSING,
        Absence.DIRECTORY,
        Absence.OUTSIDE,
        Absence.OUTSIDE,
        Absence.OUTPUT,
    ]
    assert [one.path for one in absent] == asked[1:]
    await output.close()


async def test_what_may_not_be_seen_is_not_found(world: World) -> None:
    paths = add(world, 5) + add(world, 2, "library/secret")
    answers = await world.fs.prewarm_finder.find_many(
        paths, lambda directory: not directory.endswith("secret")
    )
    assert [isinstance(one, Found) for one in answers] == [True] * 5 + [False] * 2
    assert {one.absence for one in answers if isinstance(one, Absent)} == {Absence.FORBIDDEN}


async def test_an_origin_that_is_away_fails_single_files_and_not_the_search(world: World) -> None:
    paths = add(world, 10)
    await world.fs.prewarm_finder.find(paths[0])
    world.origin.go_down()
    answers = await world.fs.prewarm_finder.find_many(paths)
    assert isinstance(answers[0], Found)
    failed = [one for one in answers if isinstance(one, Absent)]
    assert {one.absence for one in failed} == {Absence.FAILED}
    assert len(failed) == 9


async def test_all_files_below_a_directory_are_found_and_their_names(world: World) -> None:
    paths = add(world, 4) + add(world, 3, "library/set/deep")
    async with world.fs.prewarm_finder.below("ant/library/set") as found:
        assert sorted([one.path async for one in found]) == sorted(paths)
    assert await world.fs.prewarm_finder.names("ant/library/set") == [
        "0.png", "1.png", "2.png", "3.png", "deep",
    ]  # fmt: skip
    assert await world.fs.prewarm_finder.names("ant/library/none") == []


async def test_a_directory_that_is_too_large_to_keep_is_listed_once(world: World) -> None:
    paths = add(world, 20_100)
    world.origin.page_entries = 20_100
    world.origin.asked.clear()
    for start in range(0, 4_000, 1_000):
        answers = await world.fs.prewarm_finder.find_many(paths[start : start + 1_000])
        assert all(isinstance(one, Found) for one in answers)
    assert world.origin.count("list", "library/set") <= 1
    assert world.origin.count("stat") == 0
