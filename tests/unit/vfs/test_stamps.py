"""Stamps of listings: whoever has an unchanged one need not list again; in doubt it changed."""

from __future__ import annotations

import pytest

from shotfs.namespace.listing import ListingChanges
from shotfs.vfs.directories import SnapshotStamp
from tests.unit.namespace.spec import SHOT
from tests.unit.vfs.world import World

LIBRARY = "ant/library/set"
CONFIG = "ant/config"


async def stamp_of(world: World, path: str) -> SnapshotStamp:
    stamp = (await world.fs.snapshot(path)).stamp
    assert stamp is not None
    assert world.fs.unchanged(path, stamp)
    return stamp


@pytest.fixture
def filled(world: World) -> World:
    world.origin.add("library/set/oak.png", b"oak")
    world.origin.add("config/scene.json", b"{}")
    return world


async def test_an_unchanged_directory_has_the_same_stamp(filled: World) -> None:
    assert await stamp_of(filled, LIBRARY) == await stamp_of(filled, LIBRARY)


async def test_a_listing_that_is_asked_for_again_has_another_stamp(filled: World) -> None:
    stamp = await stamp_of(filled, LIBRARY)
    filled.clock.advance(61)
    assert not filled.fs.unchanged(LIBRARY, stamp), "its time to live is 60 s"
    assert await stamp_of(filled, LIBRARY) != stamp


async def test_s15_what_this_node_makes_changes_the_directory_at_once(filled: World) -> None:
    stamp = await stamp_of(filled, CONFIG)
    await filled.write("ant/config/new.json", b"{}")
    assert not filled.fs.unchanged(CONFIG, stamp)
    await filled.published("ant/config/new.json")
    assert not filled.fs.unchanged(CONFIG, stamp), "it lies in the origin now"


async def test_what_this_node_removes_changes_the_directory(filled: World) -> None:
    stamp = await stamp_of(filled, CONFIG)
    await filled.fs.unlink("ant/config/scene.json")
    assert not filled.fs.unchanged(CONFIG, stamp)


async def test_a_new_revision_changes_the_directory(filled: World) -> None:
    await filled.fs.lookup("ant/config/scene.json")
    filled.clock.advance(9)
    stamp = await stamp_of(filled, CONFIG)
    filled.origin.add("config/scene.json", b"{ }")
    filled.clock.advance(2)
    await filled.fs.lookup("ant/config/scene.json")
    assert not filled.fs.unchanged(CONFIG, stamp), "the file has another inode"


async def test_doubted_bytes_change_the_directory(filled: World) -> None:
    stamp = await stamp_of(filled, LIBRARY)
    await filled.fs.lookup(f"{LIBRARY}/oak.png")
    revision, _ = filled.origin.objects["library/set/oak.png"]
    assert await filled.fs.distrust(revision)
    assert not filled.fs.unchanged(LIBRARY, stamp)


async def test_another_specification_changes_every_directory(filled: World) -> None:
    stamp = await stamp_of(filled, LIBRARY)
    shows = filled.node.shows
    show = shows.get("ant")
    assert show is not None
    shows.replace(show)
    filled.fs.respecified("ant")
    assert not filled.fs.unchanged(LIBRARY, stamp)


async def test_a_directory_with_outputs_of_this_node_has_no_stamp(world: World) -> None:
    world.origin.add(f"{SHOT}/beauty.1001.exr".partition("/")[2], b"1")
    await world.write(f"{SHOT}/beauty.1002.exr")
    assert (await world.fs.snapshot(SHOT)).stamp is None
    await world.published(f"{SHOT}/beauty.1002.exr")
    await stamp_of(world, SHOT)


async def test_a_change_while_the_origin_lists_leaves_no_wrong_stamp(filled: World) -> None:
    first = await stamp_of(filled, CONFIG)
    await filled.publish("ant/config/new.json", b"{}")
    second = await stamp_of(filled, CONFIG)
    assert first != second
    assert await filled.names(CONFIG) == ["new.json", "scene.json"]


def test_s10_changes_are_remembered_of_so_many_directories_and_doubted_of_others() -> None:
    changes = ListingChanges(directories_max=3)
    never = changes.of("z")
    old = changes.note("a")
    assert changes.of("z") == never
    for name in "bcd":
        changes.note(name)
    assert changes.of("a") == old, "it did not change"
    assert changes.of("z") != never, "it may have"
    changes.note("a")
    assert changes.of("a") != old
    changes.note_all()
    assert len({changes.of(name) for name in "abcdz"}) == 1
