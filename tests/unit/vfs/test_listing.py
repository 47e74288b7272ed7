"""Listing a directory: what is implied, what the origins have and what was made here, by name."""

from __future__ import annotations

import errno

import pytest
import trio

from shotfs.vfs import Kind, directories
from tests.unit.namespace.spec import FRAME, SHOT
from tests.unit.vfs.world import ARTIST, Site, World, fails_with


async def test_the_root_lists_the_shows(world: World) -> None:
    assert await world.names("") == ["ant"]
    assert world.origin.count() == 0


async def test_implied_directories_are_listed_without_any_object(world: World) -> None:
    assert await world.names("ant") == sorted(
        [
            "assets",
            "compared",
            "config",
            "durable",
            "library",
            "notes",
            "notices",
            "plates",
            "render",
        ]
    )
    assert await world.names("ant/assets") == ["chars", "props"]


async def test_a_listing_merges_by_name_and_not_by_key(world: World) -> None:
    for key in ("library/a-b", "library/a.exr", "library/a/x", "library/Z"):
        world.origin.add(key)
    assert await world.names("ant/library") == ["Z", "a", "a-b", "a.exr"]


async def test_s15_outputs_are_listed_among_what_the_origin_has(world: World) -> None:
    world.origin.add(FRAME.removeprefix("ant/"), b"frame")
    await world.write(FRAME.replace("1001", "1000"), b"ours")
    await world.write(f"{FRAME}.tmp", b"scratch")
    await world.fs.make_symlink("ant/notes/link", "x", ARTIST)
    assert await world.names(SHOT) == ["beauty.1000.exr", "beauty.1001.exr", "beauty.1001.exr.tmp"]
    ((_, link),) = await world.entries("ant/notes")
    assert link.kind is Kind.SYMLINK


async def test_s16_listings_and_stat_agree_about_everything(world: World) -> None:
    world.origin.add("notes/published.txt", b"published")
    world.origin.add("notes/deep/x", b"x")
    await world.mkdir("ant/notes/made")
    await world.write("ant/notes/ours.txt", b"ours")
    await world.fs.make_symlink("ant/notes/link", "x", ARTIST)
    asked = world.origin.count("stat")
    shown = await world.entries("ant/notes")
    assert [name for name, _ in shown] == ["deep", "link", "made", "ours.txt", "published.txt"]
    for name, attributes in shown:
        assert await world.fs.attributes(f"ant/notes/{name}") == attributes, name
    assert world.origin.count("stat") == asked, "and the listing was enough to know"


async def test_s16_a_directory_made_here_keeps_its_owner_in_listings_when_it_is_published(
    world: World,
) -> None:
    made = await world.mkdir("ant/notes/d")
    world.origin.add("notes/d/x")
    assert await world.entries("ant/notes") == [("d", made)]
    assert await world.fs.attributes("ant/notes/d") == made


async def test_ours_shadows_theirs_of_the_same_name(world: World) -> None:
    world.origin.add("config/a.json", b"theirs")
    await world.write("ant/config/a.json", b"ours, and longer")
    ((name, shown),) = await world.entries("ant/config")
    assert (name, shown.size_bytes) == ("a.json", 16)


async def test_keys_that_no_template_can_produce_are_hidden(world: World) -> None:
    for key in (
        FRAME.removeprefix("ant/"),
        f"{SHOT.removeprefix('ant/')}/README",
        f"{SHOT.removeprefix('ant/')}/beauty.1001.exr.tmp",
        f"{SHOT.removeprefix('ant/')}/below/x",
        "render/not_a_shot/x",
        "render/file",
        "somewhere/else",
    ):
        world.origin.add(key)
    assert await world.names(SHOT) == ["beauty.1001.exr"]
    assert await world.names("ant/render") == ["xy_1_100_030_00_v005"]
    assert "somewhere" not in await world.names("ant")


async def test_foreign_marker_objects_are_tolerated(world: World) -> None:
    world.origin.add("library/", b"")
    world.origin.add("library/wood/", b"")
    world.origin.add("library/wood/oak.png", b"oak")
    assert await world.names("ant/library") == ["wood"]
    assert await world.names("ant/library/wood") == ["oak.png"]


async def test_a_directory_of_two_origins_shows_each_file_from_its_own(world: World) -> None:
    world.origin.add("plates/a.dpx", b"plate")
    world.origin.add("plates/a.mov", b"not the movie")
    world.second.add("plates/a.mov", b"the movie")
    world.second.add("plates/a.dpx", b"not the plate, and longer")
    shown = {name: found.size_bytes for name, found in await world.entries("ant/plates")}
    assert shown == {"a.dpx": 5, "a.mov": 9}
    assert await world.read("ant/plates/a.mov") == b"the movie"


async def test_one_origin_that_is_gone_makes_the_listing_fail(world: World) -> None:
    world.origin.add("plates/a.dpx")
    world.second.go_down()
    with fails_with(errno.ENETDOWN):
        await world.fs.snapshot("ant/plates")


async def test_what_is_no_directory_cannot_be_listed(world: World) -> None:
    world.origin.add("config/a.json")
    for path, number in (
        ("ant/config/a.json", errno.ENOTDIR),
        ("ant/library/none", errno.ENOENT),
        ("ant/nonsense", errno.ENOENT),
        ("bee", errno.ENOENT),
    ):
        with fails_with(number):
            await world.fs.snapshot(path)


async def test_a_snapshot_does_not_change_while_it_is_read(world: World) -> None:
    for number in range(3):
        await world.write(f"ant/notes/{number}")
    snapshot = await world.fs.snapshot("ant/notes")
    await world.fs.unlink("ant/notes/1")
    await world.write("ant/notes/new")
    await snapshot.prepare(0)
    assert [snapshot.entry(index)[0] for index in range(len(snapshot))] == ["0", "1", "2"]
    assert await world.names("ant/notes") == ["0", "2", "new"]


async def test_s15_a_file_that_is_published_during_a_listing_is_in_it(world: World) -> None:
    await world.mkdir(SHOT)
    gate = world.origin.gate("list")
    seen: list[list[str]] = []

    async def names() -> None:
        seen.append(await world.names(SHOT))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(names)
        await world.origin.reached("list")
        handle = await world.create(FRAME)
        await handle.write(0, b"frame")
        await handle.close()
        await world.published(FRAME)
        gate.set()
    assert seen == [["beauty.1001.exr"]]


async def test_readdir_of_an_old_snapshot_does_not_take_a_publish_back(world: World) -> None:
    await world.publish("ant/config/a.json", b"one")
    snapshot = await world.fs.snapshot("ant/config")
    world.clock.advance(1)
    await world.publish("ant/config/a.json", b"second")
    await snapshot.prepare(0)
    assert snapshot.entry(0)[1].size_bytes == 6
    assert (await world.fs.attributes("ant/config/a.json")).size_bytes == 6
    assert await world.read("ant/config/a.json") == b"second"


async def test_s16_a_large_directory_of_outputs_keeps_its_inodes_after_a_restart(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(directories, "PREPARED_ENTRIES", 4)
    async with site.open() as world:
        await world.mkdir(SHOT)
        paths = [f"{SHOT}/beauty.{number:04}.exr" for number in range(11)]
        for path in paths:
            await world.write(path)
        before = {path: (await world.fs.attributes(path)).identity for path in paths}
        await world.published(*paths)
    async with site.open() as world:
        after = {f"{SHOT}/{name}": found.identity for name, found in await world.entries(SHOT)}
        assert after == before


async def test_s17_a_directory_of_many_entries_lists_in_order_and_in_pieces(world: World) -> None:
    world.origin.page_entries = 700
    for number in range(3000):
        world.origin.add(f"library/{number:05}")
    snapshot = await world.fs.snapshot("ant/library")
    assert len(snapshot) == 3000
    await snapshot.prepare(2999)
    assert snapshot.entry(2999)[0] == "02999", "from anywhere, as after seekdir"
    names = await world.names("ant/library")
    assert names == [f"{number:05}" for number in range(3000)]
    assert world.origin.count() == 5


async def test_emptiness_is_about_what_can_be_seen(world: World) -> None:
    await world.mkdir(SHOT)
    world.origin.add(f"{SHOT.removeprefix('ant/')}/README")
    await world.fs.remove_directory(SHOT)
    assert await world.names("ant/render") == ["xy_1_100_030_00_v005"], "an object lies below it"
