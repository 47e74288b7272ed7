"""Renaming: from every kind of thing onto every kind of thing."""

from __future__ import annotations

import errno
import os

import pytest
import trio

from shotfs.errors import PathNotFound
from shotfs.publish import State
from tests.unit.namespace.spec import FRAME, SHOT
from tests.unit.vfs.world import ARTIST, Site, World, fails_with

SCENE = "ant/config/scene.json"
KEY = "config/scene.json"
OTHER = "ant/config/other.json"
OTHER_KEY = "config/other.json"
COMPARED = "ant/compared/a.exr"
NOTES = "ant/notes"


# --- outputs -------------------------------------------------------------------------------------


async def test_s13_a_scratch_file_becomes_its_output(world: World) -> None:
    await world.mkdir(SHOT)
    await world.write(f"{FRAME}.tmp", b"whole")
    assert world.origin.count("put") == 0
    await world.fs.rename(f"{FRAME}.tmp", FRAME)
    assert await world.names(SHOT) == ["beauty.1001.exr"]
    await world.published(FRAME)
    assert world.origin.content(FRAME.removeprefix("ant/")) == b"whole"


async def test_s13_a_rename_replaces_what_is_not_published_yet(world: World) -> None:
    await world.write(f"{NOTES}/a", b"a")
    await world.write(f"{NOTES}/b", b"b")
    await world.fs.rename(f"{NOTES}/a", f"{NOTES}/b")
    assert await world.names(NOTES) == ["b"]
    assert await world.read(f"{NOTES}/b") == b"a"


async def test_s13_a_rename_that_shall_not_replace_does_not(world: World) -> None:
    world.origin.add(KEY, b"one")
    await world.write(f"{NOTES}/a", b"a")
    await world.write(f"{NOTES}/b", b"b")
    with fails_with(errno.EEXIST):
        await world.fs.rename(f"{NOTES}/a", f"{NOTES}/b", replace=False)
    with fails_with(errno.EEXIST):
        await world.fs.rename(f"{NOTES}/a", SCENE, replace=False)
    await world.fs.rename(f"{NOTES}/a", f"{NOTES}/c", replace=False)
    assert await world.names(NOTES) == ["b", "c"]


@pytest.mark.parametrize(
    ("new", "number"),
    [
        ("ant/library/a.png", errno.EROFS),
        (f"{SHOT}/beauty.exr", errno.EPERM),
        ("ant/nonsense", errno.EPERM),
        ("bee/a", errno.EPERM),
        ("ant/render", errno.EISDIR),
        (f"{NOTES}/d", errno.EISDIR),
    ],
)
async def test_s13_nothing_is_renamed_to_where_it_cannot_be(
    world: World, new: str, number: int
) -> None:
    await world.mkdir(f"{NOTES}/d")
    await world.write(f"{NOTES}/a", b"a")
    with fails_with(number):
        await world.fs.rename(f"{NOTES}/a", new)
    assert await world.read(f"{NOTES}/a") == b"a"


async def test_s13_what_is_not_there_cannot_be_renamed(world: World) -> None:
    with fails_with(errno.ENOENT):
        await world.fs.rename(f"{NOTES}/none", f"{NOTES}/b")


async def test_s13_a_file_is_renamed_while_it_is_written(world: World) -> None:
    await world.mkdir(SHOT)
    handle = await world.create(f"{FRAME}.tmp")
    await handle.write(0, b"one")
    await world.fs.rename(f"{FRAME}.tmp", FRAME)
    await handle.write(3, b" two")
    await handle.flush()
    await handle.close()
    await world.published(FRAME)
    assert world.origin.content(FRAME.removeprefix("ant/")) == b"one two"


# --- onto published immutable files --------------------------------------------------------------


async def test_s02_renaming_onto_a_published_immutable_file_is_refused_and_keeps_the_file(
    world: World,
) -> None:
    await world.mkdir(SHOT)
    await world.publish(FRAME, b"first")
    await world.write(f"{FRAME}.tmp", b"second")
    with fails_with(errno.EEXIST):
        await world.fs.rename(f"{FRAME}.tmp", FRAME)
    assert await world.read(FRAME) == b"first"
    assert await world.read(f"{FRAME}.tmp") == b"second"
    assert not world.node.publisher.queue()


async def test_s02_with_compare_the_same_bytes_are_welcome_without_an_upload(world: World) -> None:
    await world.publish(COMPARED, b"same")
    await world.write(f"{COMPARED}.tmp", b"same")
    await world.fs.rename(f"{COMPARED}.tmp", COMPARED)
    assert await world.names("ant/compared") == ["a.exr"]
    assert world.origin.count("put") == 1


@pytest.mark.parametrize("content", [b"othe", b"longer"])
async def test_s02_with_compare_other_bytes_are_quarantined(world: World, content: bytes) -> None:
    await world.publish(COMPARED, b"same")
    await world.write(f"{COMPARED}.tmp", content)
    with fails_with(errno.EEXIST):
        await world.fs.rename(f"{COMPARED}.tmp", COMPARED)
    assert await world.read(COMPARED) == b"same"
    (item,) = world.node.publisher.queue()
    assert item.state is State.QUARANTINED
    assert COMPARED in (item.error or "")
    assert await world.names("ant/compared") == ["a.exr"]


async def test_s02_with_compare_bytes_that_are_not_here_are_fetched_to_compare(
    world: World,
) -> None:
    world.origin.add("compared/a.exr", b"same")
    await world.write(f"{COMPARED}.tmp", b"same")
    await world.fs.rename(f"{COMPARED}.tmp", COMPARED)
    assert world.origin.count("read") >= 1
    assert not await world.exists(f"{COMPARED}.tmp")


async def test_s13_a_published_immutable_file_cannot_be_renamed(world: World) -> None:
    await world.mkdir(SHOT)
    await world.publish(FRAME)
    for new in (FRAME.replace("1001", "1002"), f"{FRAME}.tmp", f"{NOTES}/a"):
        with fails_with(errno.EPERM):
            await world.fs.rename(FRAME, new)
    assert await world.exists(FRAME)


# --- mutable files -------------------------------------------------------------------------------


async def test_s13_a_published_mutable_file_is_copied_then_deleted(world: World) -> None:
    world.origin.add(KEY, b"one")
    await world.fs.rename(SCENE, OTHER)
    assert list(world.origin.objects) == [OTHER_KEY]
    assert [one for one in world.origin.asked if one[0] in ("put", "delete")] == [
        ("put", OTHER_KEY),
        ("delete", KEY),
    ], "the copy is there before the original goes"
    assert await world.read(OTHER) == b"one"
    assert not await world.exists(SCENE)
    assert await world.names("ant/config") == ["other.json"]


async def test_s13_a_published_mutable_file_replaces_another(world: World) -> None:
    world.origin.add(KEY, b"one")
    world.origin.add(OTHER_KEY, b"other")
    await world.fs.rename(SCENE, OTHER)
    assert await world.read(OTHER) == b"one"
    assert not await world.exists(SCENE)
    assert list(world.origin.objects) == [OTHER_KEY]
    assert not world.node.publisher.queue()


async def test_s13_a_published_mutable_file_replaces_one_that_is_being_edited(
    world: World,
) -> None:
    world.origin.add(KEY, b"one")
    world.origin.add(OTHER_KEY, b"other")
    handle = await world.open(OTHER, os.O_WRONLY)
    await world.fs.rename(SCENE, OTHER)
    await handle.close()
    assert await world.read(OTHER) == b"one"
    assert world.origin.content(OTHER_KEY) == b"one"
    assert not world.node.publisher.queue()


async def test_s13_a_copy_that_cannot_be_published_leaves_the_original(world: World) -> None:
    world.origin.add(KEY, b"one")
    await world.read(SCENE)
    await world.fs.lookup(OTHER)
    world.origin.go_down()
    with fails_with(errno.ENETDOWN):
        await world.fs.rename(SCENE, OTHER)
    assert world.origin.count("delete") == 0
    world.origin.come_up()
    assert await world.read(SCENE) == b"one"


async def test_renaming_an_edited_file_takes_its_old_object_along(world: World) -> None:
    world.origin.add(KEY, b"one")
    handle = await world.open(SCENE, os.O_WRONLY)
    await handle.write(0, b"O")
    await handle.flush()
    await handle.close()
    await world.fs.rename(SCENE, OTHER)
    assert not await world.exists(SCENE), "the old name does not come back"
    assert await world.read(OTHER) == b"One"
    await world.published(OTHER)
    assert list(world.origin.objects) == [OTHER_KEY]


async def test_s13_a_published_file_is_not_moved_to_a_scratch_name_where_it_would_expire(
    world: World,
) -> None:
    """What editors do for a backup; told EXDEV, they and mv(1) copy instead."""
    world.origin.add(KEY, b"one")
    with fails_with(errno.EXDEV):
        await world.fs.rename(SCENE, f"{SCENE}~")
    assert list(world.origin.objects) == [KEY]
    assert world.origin.count("delete") == 0
    assert await world.names("ant/config") == ["scene.json"]


async def test_an_editor_that_writes_beside_and_renames_over(world: World) -> None:
    world.origin.add(KEY, b"one")
    for content in (b"two", b"three"):
        await world.write(f"{SCENE}.tmp", content)
        await world.fs.rename(f"{SCENE}.tmp", SCENE)
        assert await world.read(SCENE) == content
        await world.published(SCENE)
        assert world.origin.content(KEY) == content
    assert not world.node.publisher.queue()


async def test_saving_over_a_file_that_was_published_but_is_still_open(world: World) -> None:
    await world.write(SCENE, b"one")
    reader = await world.open(SCENE)
    await world.until(lambda: not world.node.publisher.queue())
    await world.write(f"{SCENE}.tmp", b"two")
    await world.fs.rename(f"{SCENE}.tmp", SCENE)
    assert bytes(await reader.read(0, 10)) == b"one"
    await world.published(SCENE)
    await reader.close()
    assert world.origin.content(KEY) == b"two"
    assert not world.node.publisher.queue()


async def test_saving_over_a_file_while_it_is_uploaded(world: World) -> None:
    """The interrupted upload may have stored the first state: that is no conflict."""
    gate = world.origin.gate("put")
    await world.write(SCENE, b"one")
    await world.origin.reached("put")
    world.origin.add(KEY, b"one")  # it has, and the answer is on its way
    await world.write(f"{SCENE}.tmp", b"two")
    await world.fs.rename(f"{SCENE}.tmp", SCENE)
    gate.set()
    await world.published(SCENE)
    assert not world.node.publisher.queue()
    assert world.origin.content(KEY) == b"two"


# --- symbolic links ------------------------------------------------------------------------------


async def test_a_link_is_renamed_where_a_link_may_be(world: World) -> None:
    await world.fs.make_symlink(f"{NOTES}/link", "a", ARTIST)
    await world.write(f"{NOTES}/b", b"b")
    await world.fs.rename(f"{NOTES}/link", f"{NOTES}/b")
    assert await world.fs.read_link(f"{NOTES}/b") == "a"
    for new, number in (
        ("ant/nonsense", errno.EPERM),
        ("ant/library/link", errno.EROFS),
    ):
        with fails_with(number):
            await world.fs.rename(f"{NOTES}/b", new)
    assert await world.names(NOTES) == ["b"]


async def test_a_link_renamed_onto_published_files(world: World) -> None:
    world.origin.add(KEY, b"one")
    world.origin.add("compared/a.exr", b"immutable")
    await world.fs.make_symlink(f"{NOTES}/link", "a", ARTIST)
    with fails_with(errno.EPERM):
        await world.fs.rename(f"{NOTES}/link", COMPARED)
    await world.fs.rename(f"{NOTES}/link", SCENE)
    assert await world.fs.read_link(SCENE) == "a"
    assert list(world.origin.objects) == ["compared/a.exr"]
    await world.fs.unlink(SCENE)
    assert not await world.exists(SCENE)


async def test_a_link_renamed_onto_an_edited_file_takes_its_object_away(world: World) -> None:
    world.origin.add(KEY, b"one")
    handle = await world.open(SCENE, os.O_WRONLY)
    await world.fs.make_symlink(f"{NOTES}/link", "a", ARTIST)
    await world.fs.rename(f"{NOTES}/link", SCENE)
    await handle.close()
    await world.fs.unlink(SCENE)
    assert not await world.exists(SCENE)
    assert not world.origin.objects


# --- directories ---------------------------------------------------------------------------------


async def test_s13_a_directory_made_here_is_renamed_with_everything_in_it(site: Site) -> None:
    async with site.open() as world:
        await world.mkdir(f"{NOTES}/a")
        await world.mkdir(f"{NOTES}/a/deep")
        await world.write(f"{NOTES}/a/deep/x", b"x")
        await world.fs.make_symlink(f"{NOTES}/a/link", "x", ARTIST)
        await world.fs.rename(f"{NOTES}/a", f"{NOTES}/b")
    async with site.open() as world:
        assert await world.names(NOTES) == ["b"]
        assert await world.names(f"{NOTES}/b") == ["deep", "link"]
        assert await world.read(f"{NOTES}/b/deep/x") == b"x"


async def test_s13_outputs_of_a_renamed_directory_are_published_under_their_new_names(
    world: World,
) -> None:
    newer = SHOT.replace("v005", "v006")
    await world.mkdir(SHOT)
    handle = await world.create(FRAME)
    await handle.write(0, b"frame")
    await world.fs.rename(SHOT, newer)
    await handle.flush()
    await handle.close()
    path = FRAME.replace("v005", "v006")
    await world.published(path)
    assert list(world.origin.objects) == [path.removeprefix("ant/")]


@pytest.mark.parametrize(
    ("old", "new", "number"),
    [
        (f"{NOTES}/a", f"{NOTES}/a/b", errno.EINVAL),
        (f"{NOTES}/a", f"{NOTES}/file", errno.ENOTDIR),
        (f"{NOTES}/a", f"{NOTES}/full", errno.ENOTEMPTY),
        (f"{NOTES}/a", "ant/render", errno.ENOTEMPTY),
        (f"{NOTES}/a", "ant/compared", errno.EPERM),
        (f"{NOTES}/a", "ant/library/a", errno.EROFS),
        (f"{NOTES}/a", "ant/nonsense", errno.EPERM),
        ("ant/render", f"{NOTES}/b", errno.EPERM),
        ("ant/library/wood", f"{NOTES}/b", errno.EPERM),
        (SHOT, SHOT.replace("v005", "v006"), errno.EPERM),
    ],
)
async def test_s13_directories_that_cannot_be_renamed(
    world: World, old: str, new: str, number: int
) -> None:
    world.origin.add("library/wood/oak.png")
    for path in (f"{NOTES}/a", f"{NOTES}/full", SHOT):
        await world.mkdir(path)
    await world.write(f"{NOTES}/a/x")
    await world.write(f"{NOTES}/full/x")
    await world.write(f"{NOTES}/file")
    await world.publish(FRAME)
    with fails_with(number):
        await world.fs.rename(old, new)
    assert await world.names(f"{NOTES}/a") == ["x"]
    assert await world.exists(FRAME)


async def test_s13_a_directory_whose_files_cannot_be_at_the_new_place_stays(world: World) -> None:
    await world.mkdir(f"{NOTES}/a")
    await world.write(f"{NOTES}/a/x")
    with fails_with(errno.EPERM):
        await world.fs.rename(f"{NOTES}/a", SHOT)
    assert await world.names(f"{NOTES}/a") == ["x"]
    assert not await world.exists(SHOT)


async def test_s13_an_empty_directory_made_here_is_replaced(world: World) -> None:
    await world.mkdir(f"{NOTES}/a")
    await world.write(f"{NOTES}/a/x", b"x")
    await world.mkdir(f"{NOTES}/empty")
    await world.fs.rename(f"{NOTES}/a", f"{NOTES}/empty")
    assert await world.names(NOTES) == ["empty"]
    assert await world.read(f"{NOTES}/empty/x") == b"x"


async def test_renames_of_one_file_by_many_leave_one(world: World) -> None:
    await world.write(f"{NOTES}/a", b"a")
    lost = 0

    async def rename(number: int) -> None:
        nonlocal lost
        try:
            await world.fs.rename(f"{NOTES}/a", f"{NOTES}/{number}")
        except PathNotFound:
            lost += 1

    async with trio.open_nursery() as nursery:
        for number in range(10):
            nursery.start_soon(rename, number)
    assert lost == 9
    assert len(await world.names(NOTES)) == 1
