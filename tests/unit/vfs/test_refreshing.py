"""Asking the origins again about a path or a tree."""

from __future__ import annotations

import errno
from collections.abc import Callable
from typing import Any

import pytest

from shotfs.errors import InvalidArgument, NotPermitted
from shotfs.vfs import Attributes
from shotfs.vfs.refreshing import Refreshed
from tests.unit.vfs.test_outages import DOCUMENT
from tests.unit.vfs.world import ARTIST, Site, World, fails_with


@pytest.fixture
def site(site: Site) -> Site:
    site.document = {**DOCUMENT, "defaults": {**DOCUMENT["defaults"], "negative_ttl": "1h"}}
    return site


def always(_: Attributes) -> bool:
    return True


async def refresh(
    world: World, path: str, *, tree: bool = False, may: Callable[[Attributes], bool] = always
) -> Refreshed:
    return await world.fs.refresher.refresh(path, tree=tree, may_search=may, may_read=may)


def told(report: Refreshed) -> list[tuple[Any, ...]]:
    return [
        (
            one.path,
            one.what,
            one.immutable,
            one.old and one.old.version,
            one.new and one.new.version,
        )
        for one in report.changes
    ]


async def test_s03_a_mutable_file_is_what_its_origin_has_now(site: Site) -> None:
    first = site.origin.add("config/a.json", b"one")
    async with site.open() as world:
        assert await world.read("ant/config/a.json") == b"one"
        second = site.origin.add("config/a.json", b"second")
        assert await world.read("ant/config/a.json") == b"one", "within its ttl"
        report = await refresh(world, "ant/config/a.json")
        assert told(report) == [
            ("ant/config/a.json", "changed", False, first.version, second.version)
        ]
        assert await world.read("ant/config/a.json") == b"second"
        assert told(await refresh(world, "ant/config/a.json")) == []


async def test_what_was_missing_is_found(site: Site) -> None:
    async with site.open() as world:
        assert not await world.exists("ant/library/wood/oak.png")
        assert not await world.exists("ant/library/wood")
        site.origin.add("library/wood/oak.png", b"oak")
        assert not await world.exists("ant/library/wood/oak.png"), "remembered for an hour"
        report = await refresh(world, "ant/library/wood/oak.png")
        assert [(one[0], one[1]) for one in told(report)] == [("ant/library/wood/oak.png", "new")]
        assert await world.read("ant/library/wood/oak.png") == b"oak"
        await refresh(world, "ant/library/wood")
        assert await world.names("ant/library/wood") == ["oak.png"]


async def test_a_file_that_was_refreshed_is_in_its_directory_too(site: Site) -> None:
    site.origin.add("library/oak.png", b"oak")
    async with site.open() as world:
        assert await world.names("ant/library") == ["oak.png"]
        stamp = await world.fs.snapshot("ant/library")
        site.origin.add("library/elm.png", b"elm")
        site.origin.add("library/wood/ash.png", b"ash")
        assert await world.names("ant/library") == ["oak.png"], "within its ttl"
        await refresh(world, "ant/library/elm.png")
        assert await world.names("ant/library") == ["elm.png", "oak.png", "wood"]
        site.origin.add("library/stone/slate.png", b"slate")
        await refresh(world, "ant/library/stone/slate.png")
        assert "stone" in await world.names("ant/library")
        await refresh(world, "ant/library/oak.png")
        asked = site.origin.count("list")
        assert "oak.png" in await world.names("ant/library")
        assert site.origin.count("list") == asked, "what a listing shows already costs none"
        assert len(stamp) == 1, "who has it open goes on with what it was"


async def test_s02_an_immutable_file_stays_and_another_revision_of_it_is_told_apart(
    site: Site,
) -> None:
    first = site.origin.add("library/oak.png", b"oak")
    async with site.open() as world:
        assert await world.read("ant/library/oak.png") == b"oak"
        assert told(await refresh(world, "ant/library/oak.png")) == []
        second = site.origin.add("library/oak.png", b"by hand")
        assert await world.read("ant/library/oak.png") == b"oak"
        assert told(await refresh(world, "ant/library/oak.png")) == [
            ("ant/library/oak.png", "changed", True, first.version, second.version)
        ]
        assert await world.read("ant/library/oak.png") == b"by hand"
        site.origin.remove("library/oak.png")
        assert told(await refresh(world, "ant/library/oak.png")) == [
            ("ant/library/oak.png", "gone", True, second.version, None)
        ]
        assert not await world.exists("ant/library/oak.png")


async def test_s07_a_refresh_in_an_outage_takes_nothing_away(site: Site) -> None:
    site.origin.add("library/wood/oak.png", b"oak")
    site.origin.add("config/a.json", b"one")
    async with site.open() as world:
        for path in ("ant/library/wood/oak.png", "ant/config/a.json"):
            await world.read(path)
        await world.names("ant/library/wood")
        site.origin.go_down()
        for path, tree in (("ant/library/wood/oak.png", False), ("ant/library", True)):
            with fails_with(errno.ENETDOWN):
                await refresh(world, path, tree=tree)
        world.clock.advance(600)
        assert await world.read("ant/library/wood/oak.png") == b"oak"
        assert await world.names("ant/library/wood") == ["oak.png"]
        assert await world.read("ant/config/a.json") == b"one"


async def test_a_tree_costs_a_listing_for_each_directory_of_which_something_is_known(
    site: Site,
) -> None:
    for name in ("a", "b", "c"):
        for number in range(3):
            site.origin.add(f"library/{name}/{number}.png", b"x")
    async with site.open() as world:
        for name in ("a", "b"):
            await world.read(f"ant/library/{name}/0.png")
        await world.names("ant/library/a")
        site.origin.add("library/a/0.png", b"other")
        site.origin.remove("library/b/0.png")
        site.origin.add("library/a/3.png", b"more")
        site.origin.asked.clear()
        world.clock.advance(1)
        report = await refresh(world, "ant/library", tree=True)
        assert {one[:3] for one in told(report)} >= {
            ("ant/library/a/0.png", "changed", True),
            ("ant/library/a/3.png", "new", False),
            ("ant/library/b/0.png", "gone", True),
        }
        assert report.directories == 3, "c was never heard of"
        lists = [key for operation, key in site.origin.asked if operation == "list"]
        assert sorted(lists) == ["library", "library/a", "library/b"]
        assert site.origin.count("stat") <= 2, "only what a listing does not show"
        assert await world.read("ant/library/a/0.png") == b"other"
        assert await world.names("ant/library/a") == ["0.png", "1.png", "2.png", "3.png"]


async def test_what_waits_here_is_known_best_here(site: Site) -> None:
    async with site.open() as world:
        gate = site.origin.gate("put")
        await world.write("ant/config/a.json", b"mine")
        report = await refresh(world, "ant/config/a.json")
        assert report.files == 0
        assert "this node knows best" in report.notes[0]
        gate.set()


async def test_who_may_not_see_a_path_may_not_refresh_it(site: Site) -> None:
    site.origin.add("library/oak.png", b"oak")
    async with site.open() as world:
        with pytest.raises(NotPermitted, match="ant"):
            await refresh(world, "ant/library/oak.png", may=lambda _: False)
        with pytest.raises(InvalidArgument, match="no template"):
            await refresh(world, "ant/nowhere/x")
        with pytest.raises(InvalidArgument, match="is in no show"):
            await refresh(world, "bee/x")
        assert site.origin.count("stat") == 0


async def test_a_file_that_is_found_leads_to_its_directories(site: Site) -> None:
    async with site.open() as world:
        assert not await world.exists("ant/library/wood")
        assert not await world.exists("ant/library/wood/dark")
        site.origin.add("library/wood/dark/oak.png", b"oak")
        assert not await world.exists("ant/library/wood"), "remembered for an hour"
        await refresh(world, "ant/library/wood/dark/oak.png")
        assert await world.exists("ant/library/wood")
        assert await world.exists("ant/library/wood/dark")


async def test_a_directory_that_a_listing_shows_is_found(site: Site) -> None:
    async with site.open() as world:
        assert not await world.exists("ant/library/wood")
        site.origin.add("library/wood/oak.png", b"oak")
        report = await refresh(world, "ant/library", tree=True)
        assert [one[:2] for one in told(report)] == []
        assert await world.exists("ant/library/wood")


@pytest.mark.parametrize("listed_long_ago", [False, True])
async def test_s02_what_was_found_gone_is_not_brought_back_by_an_older_listing(
    site: Site, listed_long_ago: bool
) -> None:
    for name in ("oak", "elm"):
        site.origin.add(f"library/{name}.png", b"wood")
    async with site.open() as world:
        assert await world.names("ant/library") == ["elm.png", "oak.png"]
        site.origin.remove("library/oak.png")
        world.clock.advance(7200 if listed_long_ago else 1)
        assert told(await refresh(world, "ant/library/oak.png"))[0][1] == "gone"
        if listed_long_ago:
            site.origin.go_down()
        assert await world.names("ant/library") == ["elm.png"]
        site.origin.come_up()
        assert not await world.exists("ant/library/oak.png")
        world.clock.advance(7200)
        assert not await world.exists("ant/library/oak.png")


async def test_s12_what_lies_in_a_directory_that_one_may_not_search_is_not_told(
    site: Site,
) -> None:
    notes = {"path": "notes/{rest}", "flow": "inout", "owner": "caller", "directory_mode": "0777"}
    site.document = {**site.document, "templates": {"notes": notes}}
    async with site.open() as world:
        await world.fs.make_directory("ant/notes/mine", 0o700, ARTIST)
        site.origin.add("notes/mine/deep/a.txt", b"one")
        assert await world.read("ant/notes/mine/deep/a.txt") == b"one"
        site.origin.asked.clear()
        report = await refresh(
            world, "ant/notes", tree=True, may=lambda found: bool(found.mode & 0o005)
        )
        assert report.directories == 1
        assert report.notes == ["ant/notes/mine: you may not search it"]
        assert [key for operation, key in site.origin.asked if operation == "list"] == ["notes"]
