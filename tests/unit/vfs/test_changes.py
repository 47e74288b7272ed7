"""Making and removing names, and attributes: every refusal with its errno."""

from __future__ import annotations

import errno
import os

import pytest
import trio

from shotfs.errors import Stale
from shotfs.vfs import Change, Kind
from tests.unit.namespace.spec import FRAME, SHOT
from tests.unit.vfs.world import ARTIST, Site, World, fails_with

SCENE = "ant/config/scene.json"
KEY = "config/scene.json"
NOTE = "ant/notes/a.txt"


# --- mkdir, symlink ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "number"),
    [
        ("ant/render", errno.EEXIST),
        (SHOT, errno.EEXIST),
        ("ant/render/not_a_shot", errno.EPERM),
        ("ant/nonsense", errno.EPERM),
        ("ant/library/new", errno.EROFS),
        ("ant/notes/file", errno.EEXIST),
        ("bee", errno.EPERM),
    ],
)
async def test_a_directory_is_made_only_where_outputs_go(
    world: World, path: str, number: int
) -> None:
    world.origin.add(FRAME.removeprefix("ant/"))
    await world.write("ant/notes/file")
    with fails_with(number):
        await world.mkdir(path)


async def test_a_directory_stays_on_this_node_until_something_is_in_it(site: Site) -> None:
    async with site.open() as world:
        made = await world.mkdir(SHOT)
        assert made.kind is Kind.DIRECTORY
        assert await world.names("ant/render") == ["xy_1_100_030_00_v005"]
        assert await world.names(SHOT) == []
        assert world.origin.objects == {}
    async with site.open() as world:
        assert (await world.fs.attributes(SHOT)).kind is Kind.DIRECTORY
        await world.publish(FRAME)
        assert list(world.origin.objects) == [FRAME.removeprefix("ant/")], "no marker objects"


async def test_s17_a_symbolic_link_stays_on_this_node(site: Site) -> None:
    async with site.open() as world:
        link = await world.fs.make_symlink("ant/notes/link", "täglich/a.txt", ARTIST)
        assert (link.kind, link.mode, link.uid) == (Kind.SYMLINK, 0o777, ARTIST.uid)
        assert link.size_bytes == len("täglich/a.txt".encode())
    async with site.open() as world:
        assert await world.fs.read_link("ant/notes/link") == "täglich/a.txt"
        assert await world.names("ant/notes") == ["link"]
        assert not world.node.publisher.queue()
        await world.fs.unlink("ant/notes/link")
        with fails_with(errno.ENOENT):
            await world.fs.read_link("ant/notes/link")


@pytest.mark.parametrize(
    ("path", "number"),
    [
        (NOTE, errno.EEXIST),
        ("ant/library/link", errno.EROFS),
        ("ant/assets/chars/a.png", errno.EROFS),
        (f"{SHOT}/link", errno.EPERM),
        ("ant/nonsense", errno.EPERM),
    ],
)
async def test_a_symbolic_link_is_made_only_where_outputs_go(
    world: World, path: str, number: int
) -> None:
    await world.write(NOTE)
    with fails_with(number):
        await world.fs.make_symlink(path, "a.txt", ARTIST)


async def test_what_is_no_link_cannot_be_read_as_one(world: World) -> None:
    await world.write(NOTE)
    for path in (NOTE, "ant/notes", "ant/notes/none"):
        with fails_with(errno.ENOENT):
            await world.fs.read_link(path)


# --- unlink --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "number"),
    [
        ("ant/library/oak.png", errno.EROFS),
        ("ant/notices/a.txt", errno.EROFS),
        ("ant/config/none.json", errno.ENOENT),
        ("ant/nonsense", errno.ENOENT),
        ("ant/render", errno.EISDIR),
    ],
)
async def test_what_cannot_be_unlinked(world: World, path: str, number: int) -> None:
    world.origin.add("library/oak.png")
    world.origin.add("notices/a.txt")
    with fails_with(number):
        await world.fs.unlink(path)
    assert world.origin.count("delete") == 0


async def test_s14_a_published_immutable_file_cannot_be_unlinked(world: World) -> None:
    await world.mkdir(SHOT)
    await world.publish(FRAME)
    with fails_with(errno.EPERM):
        await world.fs.unlink(FRAME)
    assert world.origin.count("delete") == 0
    assert await world.exists(FRAME)


async def test_unlinking_a_published_mutable_file_deletes_its_object(world: World) -> None:
    world.origin.add(KEY)
    await world.fs.unlink(SCENE)
    assert not world.origin.objects
    assert not await world.exists(SCENE)
    assert await world.names("ant/config") == []


async def test_unlinking_an_edited_file_deletes_its_object_too(world: World) -> None:
    world.origin.add(KEY, b"one")
    handle = await world.open(SCENE, os.O_WRONLY)
    await world.fs.unlink(SCENE)
    await handle.close()
    assert not world.origin.objects
    assert not await world.exists(SCENE)


async def test_unlinking_a_file_that_was_published_but_is_still_open_deletes_its_object(
    world: World,
) -> None:
    await world.write(SCENE, b"one")
    reader = await world.open(SCENE)
    await world.until(lambda: KEY in world.origin.objects)
    await world.until(lambda: not world.node.publisher.queue())
    await world.fs.unlink(SCENE)
    assert not world.origin.objects
    assert not await world.exists(SCENE)
    assert bytes(await reader.read(0, 10)) == b"one"
    await reader.close()
    assert not await world.exists(SCENE)


async def test_unlinking_while_the_upload_runs_leaves_no_object(world: World) -> None:
    """Nobody knows whether a put that was interrupted has stored its object."""
    gate = world.origin.gate("put")
    await world.write(SCENE, b"one")
    await world.origin.reached("put")
    world.origin.add(KEY, b"one")  # it has, and the answer is on its way
    await world.fs.unlink(SCENE)
    gate.set()
    assert not world.origin.objects
    assert not await world.exists(SCENE)


async def test_an_output_that_was_never_published_can_be_unlinked_without_its_origin(
    world: World,
) -> None:
    await world.mkdir(SHOT)
    handle = await world.create(FRAME)
    await handle.write(0, b"x")
    world.origin.go_down()
    await world.fs.unlink(FRAME)
    await handle.flush()
    await handle.close()
    assert not world.node.publisher.queue()
    assert world.origin.count("put") == 0


async def test_unlinking_what_somebody_else_has_replaced_looks_again(world: World) -> None:
    world.origin.add(KEY, b"one")
    await world.fs.attributes(SCENE)
    world.origin.add(KEY, b"two")
    with pytest.raises(Stale):
        await world.fs.unlink(SCENE)
    assert world.origin.content(KEY) == b"two"
    await world.fs.unlink(SCENE)
    assert not world.origin.objects


async def test_unlinking_what_somebody_else_has_deleted_succeeds(world: World) -> None:
    world.origin.add(KEY, b"one")
    await world.fs.attributes(SCENE)
    del world.origin.objects[KEY]
    await world.fs.unlink(SCENE)
    assert not await world.exists(SCENE)


async def test_unlinking_while_a_writable_copy_is_made_takes_the_copy_too(world: World) -> None:
    world.origin.add(KEY, b"one")
    await world.read(SCENE)
    gate = world.origin.gate("delete")
    async with trio.open_nursery() as nursery:
        nursery.start_soon(world.fs.unlink, SCENE)
        await world.origin.reached("delete")
        handle = await world.open(SCENE, os.O_WRONLY)
        gate.set()
    await handle.flush()
    await handle.close()
    assert not await world.exists(SCENE)
    assert not world.origin.objects


async def test_a_writer_whose_file_is_unlinked_under_him_is_told_to_look_again(
    world: World,
) -> None:
    world.origin.add(KEY, b"one")
    await world.fs.attributes(SCENE)
    gate = world.origin.gate("read")
    async with trio.open_nursery() as nursery:

        async def write() -> None:
            with fails_with(errno.ESTALE):
                await world.open(SCENE, os.O_WRONLY)

        nursery.start_soon(write)
        await world.origin.reached("read")
        await world.fs.unlink(SCENE)
        gate.set()
    assert not await world.exists(SCENE)
    assert len(world.node.spool) == 0


# --- rmdir ---------------------------------------------------------------------------------------


async def test_what_cannot_be_removed_as_a_directory(world: World) -> None:
    world.origin.add("library/wood/oak.png")
    await world.mkdir("ant/notes/full")
    await world.write("ant/notes/full/a.txt")
    for path, number in (
        ("ant/notes/full", errno.ENOTEMPTY),
        ("ant/library/wood", errno.ENOTEMPTY),
        ("ant/notes/full/a.txt", errno.ENOTDIR),
        ("ant/notes/none", errno.ENOENT),
        ("ant/render", errno.EPERM),
        ("ant/compared", errno.EPERM),
        ("ant/nonsense", errno.ENOENT),
    ):
        with fails_with(number):
            await world.fs.remove_directory(path)


async def test_an_empty_directory_made_here_can_be_removed(world: World) -> None:
    await world.mkdir("ant/notes/d")
    await world.write("ant/notes/d/a.txt")
    await world.fs.unlink("ant/notes/d/a.txt")
    await world.fs.remove_directory("ant/notes/d")
    assert not await world.exists("ant/notes/d")
    assert await world.names("ant/notes") == []


async def test_a_directory_with_published_files_is_not_empty(world: World) -> None:
    await world.mkdir(SHOT)
    await world.publish(FRAME)
    with fails_with(errno.ENOTEMPTY):
        await world.fs.remove_directory(SHOT)


# --- setattr -------------------------------------------------------------------------------------


async def test_s14_outputs_in_the_spool_do_what_posix_says(world: World) -> None:
    await world.write(NOTE, b"0123456789")
    changed = await world.fs.change(
        NOTE, Change(mode=0o600, uid=5, gid=6, mtime_ns=10**9, atime_ns=1)
    )
    assert (changed.mode, changed.uid, changed.gid, changed.mtime_ns) == (0o600, 5, 6, 10**9)
    assert await world.fs.attributes(NOTE) == changed
    assert (await world.truncate(NOTE, 4)).size_bytes == 4
    assert await world.read(NOTE) == b"0123"
    assert (await world.truncate(NOTE, 6)).size_bytes == 6
    assert await world.read(NOTE) == b"0123\0\0"


@pytest.mark.parametrize(
    "change",
    [
        Change(mode=0o600),
        Change(uid=5),
        Change(gid=5),
        Change(size_bytes=0),
        Change(mtime_ns=1),
        Change(atime_ns=1),
    ],
)
async def test_s14_published_immutable_files_cannot_be_changed(
    world: World, change: Change
) -> None:
    await world.mkdir(SHOT)
    await world.publish(FRAME)
    world.origin.add("library/oak.png", b"oak")
    world.origin.add(KEY, b"mutable")
    with fails_with(errno.EPERM):
        await world.fs.change(FRAME, change)
    with fails_with(errno.EROFS):
        await world.fs.change("ant/library/oak.png", change)
    if change.size_bytes is None:
        with fails_with(errno.EPERM):
            await world.fs.change(SCENE, change)
    assert world.origin.count("put") == 1


async def test_a_change_that_changes_nothing_is_fine(world: World) -> None:
    world.origin.add("library/oak.png", b"oak")
    found = await world.fs.attributes("ant/library/oak.png")
    same = Change(
        mode=found.mode, uid=found.uid, gid=found.gid, size_bytes=3, mtime_ns=found.mtime_ns
    )
    assert await world.fs.change("ant/library/oak.png", same) == found


async def test_truncating_a_published_mutable_file_makes_a_copy_and_then_truncates_it(
    world: World,
) -> None:
    world.origin.add(KEY, b"0123456789")
    with pytest.raises(Stale):
        await world.fs.change(SCENE, Change(size_bytes=4))
    assert (await world.fs.change(SCENE, Change(size_bytes=4))).size_bytes == 4
    assert await world.read(SCENE) == b"0123"


async def test_a_truncated_file_is_published_without_waiting_for_anybody(world: World) -> None:
    world.origin.add(KEY, b"0123456789")
    await world.truncate(SCENE, 4)
    await world.published(SCENE)
    assert world.origin.content(KEY) == b"0123"


async def test_what_is_not_there_cannot_be_changed(world: World) -> None:
    with fails_with(errno.ENOENT):
        await world.fs.change(NOTE, Change(mode=0o600))


async def test_directories_made_here_keep_their_attributes_and_others_refuse_new_ones(
    world: World,
) -> None:
    await world.mkdir("ant/notes/d")
    changed = await world.fs.change("ant/notes/d", Change(mode=0o700, mtime_ns=10**9))
    assert (changed.mode, changed.mtime_ns) == (0o700, 10**9)
    for path in ("ant/notes/d", "ant/render"):
        with fails_with(errno.EISDIR):
            await world.fs.change(path, Change(size_bytes=0))
    before = await world.fs.attributes("ant/render")
    with fails_with(errno.EPERM):
        await world.fs.change("ant/render", Change(mode=0o700))
    assert await world.fs.change("ant/render", Change(mtime_ns=1)) == before, "rsync -t goes on"


async def test_fchmod_and_ftruncate_change_the_file_that_is_open_and_not_its_names_successor(
    world: World,
) -> None:
    await world.write(NOTE, b"old")
    handle = await world.open(NOTE, os.O_RDWR)
    await world.write("ant/notes/new.txt", b"new")
    await world.fs.rename("ant/notes/new.txt", NOTE)
    changed = await world.fs.change(NOTE, Change(mode=0o600, size_bytes=1), handle)
    assert (changed.identity, changed.size_bytes) == (handle.attributes().identity, 1)
    assert bytes(await handle.read(0, 10)) == b"o"
    successor = await world.fs.attributes(NOTE)
    assert (successor.mode, successor.size_bytes) == (0o640, 3)
    await handle.close()


async def test_s17_an_unlinked_file_that_is_open_can_be_truncated(world: World) -> None:
    await world.write(NOTE, b"content")
    handle = await world.open(NOTE, os.O_RDWR)
    await world.fs.unlink(NOTE)
    assert (await world.fs.change(NOTE, Change(size_bytes=3), handle)).size_bytes == 3
    assert bytes(await handle.read(0, 10)) == b"con"
    await handle.close()


async def test_a_change_of_an_inode_that_has_another_successor_is_estale(world: World) -> None:
    await world.write(NOTE, b"old")
    old = await world.fs.attributes(NOTE)
    await world.write("ant/notes/new.txt", b"new")
    await world.fs.rename("ant/notes/new.txt", NOTE)
    with pytest.raises(Stale):
        await world.fs.change(NOTE, Change(mode=0o600), identity=old.identity)
    assert (await world.fs.attributes(NOTE)).mode == 0o640


# --- a mount that is read-only -------------------------------------------------------------------


async def test_a_read_only_mount_refuses_every_change_and_reads_everything(site: Site) -> None:
    site.origin.add(KEY, b"one")
    site.origin.add(FRAME.removeprefix("ant/"), b"frame")
    async with site.open() as world:
        await world.write(NOTE, b"note")
        await world.mkdir("ant/notes/d")
    async with site.open(read_only=True) as world:
        refused = (
            lambda: world.create("ant/notes/new.txt"),
            lambda: world.create(NOTE),
            lambda: world.open(NOTE, os.O_WRONLY),
            lambda: world.open(SCENE, os.O_WRONLY),
            lambda: world.open(FRAME, os.O_RDWR),
            lambda: world.mkdir("ant/notes/new"),
            lambda: world.fs.make_symlink("ant/notes/link", "a", ARTIST),
            lambda: world.fs.unlink(NOTE),
            lambda: world.fs.unlink(SCENE),
            lambda: world.fs.remove_directory("ant/notes/d"),
            lambda: world.fs.rename(NOTE, "ant/notes/b.txt"),
            lambda: world.fs.change(NOTE, Change(mode=0o600)),
            lambda: world.fs.change(NOTE, Change(size_bytes=0)),
            lambda: world.fs.change(SCENE, Change(size_bytes=0)),
            lambda: world.fs.change("ant/notes/d", Change(mode=0o700)),
        )
        for change in refused:
            with fails_with(errno.EROFS):
                await change()
        assert await world.read(NOTE) == b"note"
        assert await world.read(SCENE) == b"one"
        assert await world.read(FRAME) == b"frame"
        assert world.origin.count("put") + world.origin.count("delete") == 0
