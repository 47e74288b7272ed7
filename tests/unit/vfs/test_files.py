"""Opening, creating, reading and writing files."""

from __future__ import annotations

import errno
import os

import pytest
import trio
from trio.testing import MockClock

from shotfs.digest import digest_bytes
from shotfs.errors import Stale
from shotfs.publish import State
from shotfs.vfs import Missing
from tests.unit.namespace.spec import FRAME, SHOT
from tests.unit.vfs.world import ARTIST, Site, World, fails_with

SCENE = "ant/config/scene.json"
KEY = "config/scene.json"
NOTE = "ant/notes/a.txt"


async def metric(world: World, name: str) -> float:
    return world.node.metrics.snapshot().get(name, 0.0)


# --- reading -------------------------------------------------------------------------------------


async def test_reads_end_at_the_end_of_the_file(world: World) -> None:
    world.origin.add("library/oak.png", b"0123456789")
    handle = await world.open("ant/library/oak.png")
    assert bytes(await handle.read(0, 4)) == b"0123"
    assert bytes(await handle.read(8, 100)) == b"89"
    assert bytes(await handle.read(10, 100)) == b""
    assert handle.read_now(10, 5) == b""
    assert handle.attributes() == await world.fs.attributes("ant/library/oak.png")
    await handle.close()


async def test_opens_are_counted_by_where_the_bytes_are(world: World) -> None:
    world.origin.add("library/oak.png", b"oak")
    await world.read("ant/library/oak.png")
    await world.read("ant/library/oak.png")
    await world.write(NOTE)
    await world.read(NOTE)
    opens = {
        kind: await metric(world, f"shotfs_opens_total{{temperature={kind}}}")
        for kind in ("cold", "warm", "spool")
    }
    assert opens == {"cold": 1, "warm": 1, "spool": 1}


async def test_s06_an_open_of_a_file_that_was_wrong_twice_since_its_look_up_is_eio(
    world: World,
) -> None:
    # Each wrong attempt gives it another inode, and the kernel repeats a stale open only once.
    right = world.origin.add("library/oak.png", b"right")
    world.origin.objects["library/oak.png"] = (right, b"wrong")
    looked_up = await world.fs.attributes("ant/library/oak.png")
    handle = await world.open("ant/library/oak.png")
    with fails_with(errno.EIO):
        await handle.read(0, 10)
    await handle.close()
    for _ in range(2):
        await world.fs.distrust(right)
    with fails_with(errno.EIO):
        await world.fs.open("ant/library/oak.png", os.O_RDONLY, identity=looked_up.identity)


async def test_s03_a_descriptor_keeps_its_revision(world: World) -> None:
    world.origin.add(KEY, b"one")
    before = await world.open(SCENE)
    assert bytes(await before.read(0, 10)) == b"one"
    world.origin.add(KEY, b"two, longer")
    world.clock.advance(10)
    assert await world.read(SCENE) == b"two, longer"
    assert bytes(await before.read(0, 10)) == b"one"
    assert before.attributes().size_bytes == 3
    await before.close()


async def test_s03_an_inode_of_another_revision_is_not_opened(world: World) -> None:
    world.origin.add(KEY, b"one")
    looked_up = await world.fs.attributes(SCENE)
    world.origin.add(KEY, b"two")
    world.clock.advance(10)
    with pytest.raises(Stale):
        await world.fs.open(SCENE, os.O_RDONLY, identity=looked_up.identity)
    assert await world.read(SCENE) == b"two"


@pytest.mark.parametrize("replaced", [True, False])
async def test_a_revision_that_went_away_while_it_was_open_is_estale(
    world: World, replaced: bool
) -> None:
    world.origin.add(KEY, b"one")
    handle = await world.open(SCENE)
    if replaced:
        world.origin.add(KEY, b"two")
    else:
        del world.origin.objects[KEY]
    with fails_with(errno.ESTALE):
        await handle.read(0, 10)
    await handle.close()
    # It is not trusted for the rest of its TTL.
    if replaced:
        assert await world.read(SCENE) == b"two"
    else:
        assert not await world.exists(SCENE)


async def test_what_cannot_be_opened_says_why(world: World) -> None:
    await world.fs.make_symlink("ant/notes/link", "a.txt", ARTIST)
    for path, number in (
        ("ant/render", errno.EISDIR),
        ("ant/config/none.json", errno.ENOENT),
        ("ant/nonsense", errno.ENOENT),
        ("ant/notes/link", errno.ELOOP),
    ):
        with fails_with(number):
            await world.fs.open(path, os.O_RDONLY)


async def test_a_handle_for_reading_does_not_write(world: World) -> None:
    world.origin.add(KEY, b"one")
    await world.write(NOTE)
    for path in (SCENE, NOTE):
        handle = await world.open(path)
        with fails_with(errno.EPERM):
            await handle.write(0, b"x")
        with fails_with(errno.EPERM):
            await handle.truncate(0)
        await handle.flush()
        await handle.fsync()
        await handle.close()
    assert await world.read(SCENE) == b"one"
    assert await world.read(NOTE) == b"content"


# --- creating ------------------------------------------------------------------------------------


async def test_s15_what_is_written_is_seen_at_once_and_published_after_close(world: World) -> None:
    await world.mkdir(SHOT)
    handle = await world.create(FRAME)
    await handle.write(0, b"pix")
    await handle.write(3, b"els")
    assert await world.read(FRAME) == b"pixels"
    assert (await world.fs.attributes(FRAME)).size_bytes == 6
    assert await world.names(SHOT) == ["beauty.1001.exr"]
    await handle.flush()
    assert world.origin.count("put") == 0
    await handle.close()
    await world.published(FRAME)
    key = FRAME.removeprefix("ant/")
    assert world.origin.content(key) == b"pixels"
    told = world.origin.metadata[key]
    assert told["shotfs-node"] == "node-\\xe9"
    assert (told["shotfs-show"], told["shotfs-template"]) == ("ant", "frames")
    assert await world.read(FRAME) == b"pixels"
    assert world.origin.count("read") == 0, "the node that rendered it has it warm"


@pytest.mark.parametrize(
    ("path", "number"),
    [
        ("ant/library/oak.png", errno.EROFS),
        ("ant/assets/chars/ant.png", errno.EROFS),
        (f"{SHOT}/beauty.exr", errno.EPERM),
        ("ant/nonsense", errno.EPERM),
        ("bee/a", errno.EPERM),
    ],
)
async def test_s09_creating_where_nothing_may_be_written_is_refused_without_a_question(
    world: World, path: str, number: int
) -> None:
    with fails_with(number):
        await world.create(path)
    assert world.origin.count() + world.second.count() == 0
    assert len(world.node.spool) == 0


async def test_creating_what_exists_opens_it_unless_it_shall_be_new(world: World) -> None:
    await world.write(NOTE, b"first")
    with fails_with(errno.EEXIST):
        await world.create(NOTE, os.O_WRONLY | os.O_EXCL)
    handle = await world.create(NOTE)
    await handle.write(0, b"F")
    await handle.close()
    assert await world.read(NOTE) == b"First"
    handle = await world.create(NOTE, os.O_WRONLY | os.O_TRUNC)
    await handle.close()
    assert await world.read(NOTE) == b""


async def test_s17_exclusive_creation_sees_what_the_origin_has(world: World) -> None:
    world.origin.add(KEY, b"one")
    with fails_with(errno.EEXIST):
        await world.create(SCENE, os.O_WRONLY | os.O_EXCL)
    await world.mkdir("ant/notes/directory")
    with fails_with(errno.EISDIR):
        await world.create("ant/notes/directory", os.O_WRONLY)
    assert await world.read(SCENE) == b"one"


async def test_creating_over_a_published_mutable_file_opens_a_copy(world: World) -> None:
    world.origin.add(KEY, b"one")
    handle = await world.create(SCENE, os.O_WRONLY)
    await handle.write(0, b"O")
    await handle.flush()
    await handle.close()
    assert await world.read(SCENE) == b"One"


async def test_s12_the_template_says_whom_a_new_file_belongs_to(world: World) -> None:
    await world.write(NOTE)
    await world.mkdir("ant/notes/mine")
    await world.mkdir(SHOT)
    handle = await world.create(FRAME, mode=0o600)
    shown = {
        path: (found.mode, found.uid, found.gid)
        for path in (NOTE, "ant/notes/mine", FRAME, SHOT)
        for found in (await world.fs.attributes(path),)
    }
    service = os.getuid(), os.getgid()
    assert shown == {
        NOTE: (0o640, ARTIST.uid, ARTIST.gid),
        "ant/notes/mine": (0o755, ARTIST.uid, ARTIST.gid),
        FRAME: (0o644, *service),
        SHOT: (0o775, *service),
    }
    await handle.close()


async def test_s01_what_cannot_be_published_stays_and_says_why(world: World) -> None:
    await world.mkdir(SHOT)
    world.origin.go_down()
    await world.write(FRAME, b"frame")
    await world.until(lambda: world.node.publisher.queue()[0].error is not None)
    (item,) = world.node.publisher.queue()
    assert (item.path, item.attempts) == (FRAME, 1)
    assert "nobody answers" in item.error
    assert await world.read(FRAME) == b"frame"


# --- immutable outputs ---------------------------------------------------------------------------


@pytest.mark.parametrize("flags", [os.O_WRONLY, os.O_RDWR, os.O_WRONLY | os.O_TRUNC, os.O_TRUNC])
async def test_s02_opening_a_published_immutable_file_for_writing_is_refused_at_once(
    world: World, flags: int
) -> None:
    await world.mkdir(SHOT)
    await world.publish(FRAME, b"frame")
    with fails_with(errno.EEXIST):
        await world.open(FRAME, flags)
    with fails_with(errno.EEXIST):
        await world.create(FRAME, flags)
    assert len(world.node.publisher.queue()) == 0
    assert await world.read(FRAME) == b"frame"


async def test_s02_opening_it_to_read_with_o_append_is_reading(world: World) -> None:
    await world.mkdir(SHOT)
    await world.publish(FRAME, b"frame")
    handle = await world.open(FRAME, os.O_RDONLY | os.O_APPEND)
    assert bytes(await handle.read(0, 10)) == b"frame"
    await handle.close()


async def test_s02_an_input_is_read_only_for_writers(world: World) -> None:
    world.origin.add("library/oak.png", b"oak")
    world.origin.add("notices/a.txt", b"mutable, but only read")
    for path in ("ant/library/oak.png", "ant/notices/a.txt"):
        with fails_with(errno.EROFS):
            await world.open(path, os.O_WRONLY)


async def test_s02_a_sealed_output_that_waits_for_its_origin_cannot_be_rewritten(
    world: World,
) -> None:
    await world.mkdir(SHOT)
    gate = world.origin.gate("put")
    await world.write(FRAME, b"frame")
    await world.origin.reached("put")
    with fails_with(errno.EEXIST):
        await world.open(FRAME, os.O_WRONLY)
    assert await world.read(FRAME) == b"frame"
    gate.set()
    await world.published(FRAME)


async def test_s18_whoever_publishes_first_wins_and_the_loser_is_kept_aside(world: World) -> None:
    await world.mkdir(SHOT)
    gate = world.origin.gate("put")
    await world.write(FRAME, b"ours")
    await world.origin.reached("put")
    world.origin.add(FRAME.removeprefix("ant/"), b"theirs")
    gate.set()
    await world.until(lambda: world.spooled(FRAME) is None)
    assert [item.state for item in world.node.publisher.queue()] == [State.QUARANTINED]
    assert await world.read(FRAME) == b"theirs"


# --- durability: origin --------------------------------------------------------------------------

DURABLE = "ant/durable/a.exr"


async def test_s04_with_durability_origin_close_answers_when_the_origin_has_it(
    world: World,
) -> None:
    handle = await world.create(DURABLE)
    await handle.write(0, b"frame")
    gate = world.origin.gate("put")
    flushed = trio.Event()

    async def flush() -> None:
        await handle.flush()
        flushed.set()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(flush)
        await world.origin.reached("put")
        assert not flushed.is_set()
        gate.set()
    assert world.origin.content("durable/a.exr") == b"frame"
    with fails_with(errno.EPERM):
        await handle.write(5, b"more")
    await handle.flush()
    assert world.origin.count("put") == 1, "a clean flush is free"
    await handle.close()
    await world.published(DURABLE)


async def test_s04_with_durability_origin_close_tells_the_real_error(
    world: World, mock_clock: MockClock
) -> None:
    handle = await world.create(DURABLE)
    await handle.write(0, b"frame")
    world.origin.go_down()
    with fails_with(errno.ENETDOWN):
        await handle.flush()
    await handle.close()
    world.origin.come_up()
    mock_clock.jump(100)
    await world.published(DURABLE)
    assert world.origin.content("durable/a.exr") == b"frame", "it was kept, and tried again"


async def test_s04_with_durability_origin_a_lost_race_is_eexist(world: World) -> None:
    handle = await world.create(DURABLE)
    await handle.write(0, b"ours")
    world.origin.add("durable/a.exr", b"theirs")
    with fails_with(errno.EEXIST):
        await handle.flush()
    await handle.close()
    assert await world.read(DURABLE) == b"theirs"


async def test_s04_a_flush_without_data_publishes_nothing(world: World) -> None:
    handle = await world.create(DURABLE)
    await handle.flush()
    assert world.origin.count("put") == 0
    await handle.write(0, b"frame")
    await handle.flush()
    assert world.origin.content("durable/a.exr") == b"frame"
    await handle.close()


async def test_s04_scratch_files_wait_for_nobody(world: World) -> None:
    world.origin.go_down()
    await world.write(f"{DURABLE}.tmp", b"half")
    assert await world.read(f"{DURABLE}.tmp") == b"half"


async def test_s04_a_preemptible_node_is_durable_in_the_origin(site: Site) -> None:
    site.preemptible = True
    async with site.open() as world:
        await world.mkdir(SHOT)
        handle = await world.create(FRAME)
        await handle.write(0, b"frame")
        await handle.flush()
        assert world.origin.content(FRAME.removeprefix("ant/")) == b"frame"
        await handle.close()


# --- POSIX ---------------------------------------------------------------------------------------


async def test_s14_an_unlinked_file_lives_until_its_last_close(world: World) -> None:
    await world.write(NOTE, b"content")
    handle = await world.open(NOTE)
    await world.fs.unlink(NOTE)
    assert bytes(await handle.read(0, 10)) == b"content"
    assert not await world.exists(NOTE)
    await handle.close()
    assert len(world.node.spool) == 0


async def test_s17_writes_may_leave_holes_and_files_may_shrink(world: World) -> None:
    handle = await world.create(NOTE, os.O_RDWR)
    await handle.write(4, b"x")
    assert bytes(await handle.read(0, 10)) == b"\0\0\0\0x"
    await handle.truncate(2)
    assert bytes(await handle.read(0, 10)) == b"\0\0"
    assert handle.attributes().size_bytes == 2
    await handle.fsync()
    await handle.close()
    assert not isinstance(await world.fs.lookup(NOTE), Missing)


async def test_s05_what_was_closed_is_published_after_a_restart(site: Site) -> None:
    async with site.open() as world:
        await world.mkdir(SHOT)
        world.origin.go_down()
        await world.write(FRAME, b"frame")
    site.origin.come_up()
    async with site.open() as world:
        await world.published(FRAME)
        assert world.origin.content(FRAME.removeprefix("ant/")) == b"frame"
        assert await world.fs.extended_attribute(FRAME, "user.shotfs.digest") == digest_bytes(
            b"frame"
        )
