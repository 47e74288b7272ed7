"""Directories and listings: what lies below a prefix, without asking for each name."""

from __future__ import annotations

import errno

import pytest
import trio

from shotfs.errors import TierError, TierUnavailable
from shotfs.namespace import known_directories
from shotfs.namespace import listing as listings
from tests.unit.namespace.conftest import Places, Site
from tests.unit.namespace.spec import FRAME, SHOT

KEY = FRAME.removeprefix("ant/")


# --- existence -----------------------------------------------------------------------------------


async def test_a_directory_exists_when_an_object_lies_below_it(site: Site) -> None:
    assert not await site.has_directory(SHOT)
    site.clock.advance(5)
    site.origin.add(KEY)
    assert await site.has_directory(SHOT)
    assert site.namespace.knows_directory(SHOT)


async def test_the_answer_is_kept_for_its_ttl_and_a_no_for_the_negative_one(site: Site) -> None:
    for _ in range(10):
        assert not await site.has_directory(SHOT)
    assert site.origin.count() == 1
    site.origin.add(KEY)
    site.clock.advance(5)
    for _ in range(10):
        assert await site.has_directory(SHOT)
        site.clock.advance(5.9)
    assert site.origin.count() == 2
    site.clock.advance(1)
    await site.has_directory(SHOT)
    assert site.origin.count() == 3


async def test_one_page_is_enough_to_know(site: Site) -> None:
    site.origin.page_entries = 2
    for number in range(10):
        site.origin.add(f"{KEY}.{number}")
    assert await site.has_directory(SHOT)
    assert site.origin.asked == [("list", SHOT.removeprefix("ant/"))]


async def test_many_callers_probe_once(site: Site) -> None:
    site.origin.add(KEY)
    gate = site.origin.gate("list")
    async with trio.open_nursery() as nursery:
        for _ in range(50):
            nursery.start_soon(site.has_directory, SHOT)
        await site.origin.reached("list")
        gate.set()
    assert site.origin.count() == 1


async def test_a_directory_of_several_origins_exists_if_one_of_them_has_it(site: Site) -> None:
    site.second.add("plates/a.mov")
    assert await site.has_directory("ant/plates")
    assert site.origin.count("list") == site.second.count("list") == 1


async def test_s10_only_so_many_directories_are_remembered(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(known_directories, "DIRECTORIES_MAX", 5)
    for number in range(20):
        site.origin.add(f"library/{number}/a")
        await site.has_directory(f"ant/library/{number}")
    assert len(site.namespace._directories) == 5
    assert site.namespace._directories.noted <= 5


async def test_publishing_makes_its_directories_exist_at_once(site: Site) -> None:
    assert not await site.has_directory(SHOT)
    site.namespace.published(FRAME, site.origin.add(KEY), identity=1)
    assert await site.has_directory(SHOT)


async def test_a_no_that_was_overtaken_by_a_publish_is_not_believed(site: Site) -> None:
    gate = site.origin.gate("list")
    answers: list[bool] = []

    async def ask() -> None:
        answers.append(await site.has_directory(SHOT))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(ask)
        await site.origin.reached("list")
        site.namespace.published(FRAME, site.origin.add(KEY), identity=1)
        gate.set()
    assert answers == [True]
    assert await site.has_directory(SHOT)


# --- a slow or absent origin ---------------------------------------------------------------------


async def test_s07_a_known_directory_is_taken_for_granted_while_its_origin_is_gone(
    site: Site,
) -> None:
    site.origin.add(KEY)
    await site.has_directory(SHOT)
    site.clock.advance(100)
    site.origin.go_down()
    assert await site.has_directory(SHOT)
    before = site.origin.count()
    assert await site.has_directory(SHOT)
    assert site.origin.count() == before, "nor is it asked for each look-up"
    with pytest.raises(TierUnavailable):
        await site.has_directory("ant/render/xy_1_100_030_00_v006")


async def test_s07_a_known_directory_waits_only_a_second_for_a_slow_origin(
    site: Site, autojump_clock: trio.testing.MockClock
) -> None:
    site.origin.add(KEY)
    await site.has_directory(SHOT)
    site.clock.advance(100)
    gate = site.origin.gate("list")
    started = trio.current_time()
    assert await site.has_directory(SHOT)
    assert trio.current_time() - started == pytest.approx(known_directories.KNOWN_DIRECTORY_WAIT_S)
    assert await site.has_directory(SHOT)
    assert trio.current_time() - started == pytest.approx(known_directories.KNOWN_DIRECTORY_WAIT_S)
    gate.set()


@pytest.mark.parametrize("how", ["probe", "stat", "listing", "published"])
async def test_s07_directories_above_what_is_known_survive_a_restart_without_their_origin(
    places: Places, how: str
) -> None:
    revision = places.origin.add(KEY)
    async with places.open() as site:
        if how == "probe":
            await site.has_directory(SHOT)
        elif how == "stat":
            await site.find(FRAME)
        elif how == "listing":
            policy = site.resolution(FRAME).template.policy
            site.namespace.listed(FRAME, revision, policy, listed_at_s=places.clock.wall_s())
        else:
            site.namespace.published(FRAME, revision, identity=1)
    places.origin.go_down()
    async with places.open() as site:
        assert await site.has_directory(SHOT)


async def test_a_directory_that_went_away_is_not_taken_for_granted(places: Places) -> None:
    places.origin.add(KEY)
    async with places.open() as site:
        assert await site.has_directory(SHOT)
    del places.origin.objects[KEY]
    async with places.open() as site:
        assert not await site.has_directory(SHOT)
    places.origin.go_down()
    async with places.open() as site:
        with pytest.raises(TierUnavailable):
            await site.has_directory(SHOT)


# --- listings ------------------------------------------------------------------------------------


async def test_a_listing_is_kept_for_its_ttl_and_asked_for_once(site: Site) -> None:
    site.origin.add("library/a.png")
    site.origin.add("library/wood/oak.png")
    gate = site.origin.gate("list")
    async with trio.open_nursery() as nursery:
        for _ in range(20):
            nursery.start_soon(site.listing, "ant/library")
        await site.origin.reached("list")
        gate.set()
    assert await site.names("ant/library") == {"a.png", "wood"}
    site.clock.advance(59)
    site.origin.add("library/b.png")
    assert await site.names("ant/library") == {"a.png", "wood"}
    assert site.origin.count() == 1
    site.clock.advance(1)
    assert await site.names("ant/library") == {"a.png", "b.png", "wood"}


async def test_s09_a_listing_answers_for_missing_names_without_a_question(site: Site) -> None:
    site.origin.add("library/a.png")
    await site.listing("ant/library")
    assert await site.find("ant/library/b.png") is None
    assert not await site.has_directory("ant/library/stone")
    assert site.origin.asked == [("list", "library")]
    assert site.metrics.snapshot()["shotfs_negative_hits_total"] == 1
    site.clock.advance(5)
    site.origin.add("library/b.png")
    assert await site.find("ant/library/b.png") is not None, "only for the negative TTL"


async def test_a_listing_answers_for_directories_that_it_shows(site: Site) -> None:
    site.origin.add("library/wood/oak.png")
    await site.listing("ant/library")
    assert await site.has_directory("ant/library/wood")
    assert site.origin.asked == [("list", "library")]


async def test_a_listing_of_one_origin_says_nothing_of_another(site: Site) -> None:
    site.second.add("plates/a.mov")
    site.second.listable = False
    assert await site.names("ant/plates") == set()
    assert await site.find("ant/plates/a.mov") is not None
    assert await site.find("ant/plates/a.dpx") is None
    assert site.origin.count("stat") == 0


async def test_a_store_that_cannot_list_is_asked_for_each_name(site: Site) -> None:
    site.origin.listable = False
    site.origin.add("library/wood/oak.png")
    assert await site.names("ant/library") == set()
    assert await site.find("ant/library/wood/oak.png") is not None
    assert await site.has_directory("ant/library/wood")
    assert site.origin.count("list") == 0


async def test_publishing_and_removing_end_a_listing(site: Site) -> None:
    site.origin.add(KEY)
    await site.listing(SHOT)
    other = FRAME.replace("1001", "1002")
    revision = site.origin.add(other.removeprefix("ant/"))
    site.namespace.published(other, revision, identity=1)
    assert await site.names(SHOT) == {"beauty.1001.exr", "beauty.1002.exr"}
    del site.origin.objects[other.removeprefix("ant/")]
    site.namespace.removed(other)
    assert await site.names(SHOT) == {"beauty.1001.exr"}


async def test_removing_the_last_file_ends_its_directories(site: Site) -> None:
    site.origin.add("library/wood/dark/oak.png")
    for path in ("ant/library", "ant/library/wood"):
        await site.listing(path)
        assert await site.has_directory(f"{path}/{'wood' if path == 'ant/library' else 'dark'}")
    site.origin.objects.clear()
    site.namespace.removed("ant/library/wood/dark/oak.png")
    assert await site.names("ant/library") == set()
    assert not await site.has_directory("ant/library/wood")
    assert not await site.has_directory("ant/library/wood/dark")


async def test_publishing_shows_its_directory_in_the_listing_above(site: Site) -> None:
    assert await site.names("ant/render") == set()
    site.namespace.published(FRAME, site.origin.add(KEY), identity=1)
    assert await site.names("ant/render") == {"xy_1_100_030_00_v005"}


async def test_s15_a_listing_that_was_overtaken_by_a_publish_shows_it(site: Site) -> None:
    gate = site.origin.gate("list")
    seen: dict[str, set[str]] = {}

    async def names(path: str) -> None:
        seen[path] = await site.names(path)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(names, SHOT)
        nursery.start_soon(names, "ant/render")
        while site.origin.count("list") < 2:
            await trio.testing.wait_all_tasks_blocked()
        site.namespace.published(FRAME, site.origin.add(KEY), identity=1)
        gate.set()
    assert seen == {SHOT: {"beauty.1001.exr"}, "ant/render": {"xy_1_100_030_00_v005"}}


async def test_a_listing_that_was_overtaken_by_a_removal_does_not_show_it(site: Site) -> None:
    site.origin.add("config/a.json")
    site.origin.add("config/b.json")
    gate = site.origin.gate("list")
    seen: list[set[str]] = []

    async def names() -> None:
        seen.append(await site.names("ant/config"))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(names)
        await site.origin.reached("list")
        del site.origin.objects["config/a.json"]
        site.namespace.removed("ant/config/a.json")
        gate.set()
    assert seen == [{"b.json"}]


async def test_an_origin_that_cannot_be_listed_now_is_an_error_and_not_a_gap(site: Site) -> None:
    site.origin.add("plates/a.dpx")
    site.second.go_down()
    with pytest.raises(TierUnavailable):
        await site.listing("ant/plates")
    site.second.come_up()
    assert await site.names("ant/plates") == {"a.dpx"}


async def test_a_directory_that_is_too_large_says_so(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listings, "LISTED_ENTRIES_MAX", 3)
    for number in range(4):
        site.origin.add(f"library/{number}")
    with pytest.raises(TierError, match="more than 3 entries") as caught:
        await site.listing("ant/library")
    assert caught.value.errno == errno.EOVERFLOW
    assert caught.value.fix is not None


async def test_s10_listings_are_kept_within_a_number_of_entries(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listings, "KEPT_ENTRIES_MAX", 5)
    for directory, count in (("a", 3), ("b", 2), ("c", 1), ("huge", 6)):
        for number in range(count):
            site.origin.add(f"library/{directory}/{number}")
        await site.listing(f"ant/library/{directory}")
    asked = site.origin.count()
    for directory in ("b", "c"):
        await site.listing(f"ant/library/{directory}")
    assert site.origin.count() == asked, "the youngest are kept"
    for directory in ("a", "huge"):
        await site.listing(f"ant/library/{directory}")
    assert site.origin.count() == asked + 2
