"""What lies under a path: the spool, directories, the origin, or nothing."""

from __future__ import annotations

import errno
import os

import pytest
import trio

from shotfs.vfs import Attributes, Kind, Missing
from shotfs.vfs.finder import IMPOSSIBLE_TTL_S
from tests.unit.namespace.spec import FRAME, SHOT
from tests.unit.vfs.world import Site, World, fails_with

OAK = "ant/library/oak.png"


async def test_s01_a_file_is_the_object_at_its_key(world: World) -> None:
    revision = world.origin.add("library/wood/oak.png", b"oak")
    found = await world.fs.attributes("ant/library/wood/oak.png")
    assert (found.kind, found.size_bytes, found.mtime_ns) == (Kind.FILE, 3, revision.mtime_ns)
    assert await world.read("ant/library/wood/oak.png") == b"oak"


async def test_the_root_and_the_shows_are_always_there(world: World) -> None:
    for path in ("", "ant", "ant/render", "ant/assets/chars"):
        assert (await world.fs.attributes(path)).kind is Kind.DIRECTORY
    assert world.origin.count() == 0


@pytest.mark.parametrize(
    "path",
    [
        "bee",
        "bee/library/oak.png",
        "ant/nonsense",
        "ant/render/not_a_shot",
        "ant/render/not_a_shot/beauty.1001.exr",
        f"{SHOT}/beauty.exr",
        f"{SHOT}/beauty.01.exr",
        "ant/assets/plants",
        "ant/config/UPPER.json",
    ],
)
async def test_s09_an_impossible_path_costs_no_question(world: World, path: str) -> None:
    found = await world.fs.lookup(path)
    assert found == Missing(path, possible=False, ttl_s=IMPOSSIBLE_TTL_S)
    with fails_with(errno.ENOENT):
        await world.fs.attributes(path)
    assert world.origin.count() + world.second.count() == 0


@pytest.mark.parametrize(
    "path", ["ant/config/scene.json", "ant/library/oak.png", SHOT, "ant/library/listed"]
)
async def test_s09_a_missing_path_is_remembered_for_its_negative_ttl_by_us_and_the_kernel(
    world: World, path: str
) -> None:
    if path.endswith("listed"):
        await world.names("ant/library")
    assert await world.fs.lookup(path) == Missing(path, possible=True, ttl_s=5.0)
    asked = world.origin.count()
    world.clock.advance(3)
    assert await world.fs.lookup(path) == Missing(path, possible=True, ttl_s=2.0)
    assert world.origin.count() == asked
    world.clock.advance(2)
    assert await world.fs.lookup(path) == Missing(path, possible=True, ttl_s=5.0)
    assert world.origin.count() > asked


@pytest.mark.parametrize("name", ["beauty.1001.exr.tmp", "x.lock", ".nfs0001", "beauty.1001.exr~"])
async def test_scratch_names_are_never_looked_for_in_an_origin(world: World, name: str) -> None:
    world.origin.add(f"{SHOT.removeprefix('ant/')}/{name}", b"somebody's rubbish")
    assert not await world.exists(f"{SHOT}/{name}")
    assert world.origin.count() == 0


async def test_what_was_written_here_comes_before_what_the_origin_has(world: World) -> None:
    await world.mkdir(SHOT)
    await world.write("ant/notes/a.txt", b"ours")
    world.origin.add("notes/a.txt", b"theirs")
    assert await world.read("ant/notes/a.txt") == b"ours"
    assert world.origin.count("read") == 0


# --- files and directories of one name -----------------------------------------------------------


async def test_a_key_that_is_a_file_and_a_prefix_is_a_directory_each_time(world: World) -> None:
    world.origin.add("library/wood", b"a file")
    world.origin.add("library/wood/oak.png", b"oak")
    for _ in range(3):
        assert (await world.fs.attributes("ant/library/wood")).kind is Kind.DIRECTORY
        world.clock.advance(100)
    assert await world.names("ant/library") == ["wood"]
    assert (await world.fs.attributes("ant/library/wood")).kind is Kind.DIRECTORY
    assert await world.read("ant/library/wood/oak.png") == b"oak"


async def test_in_a_tree_a_path_is_asked_for_as_file_and_directory_at_once(world: World) -> None:
    world.origin.add("library/wood/oak.png", b"oak")
    assert (await world.fs.attributes("ant/library/wood")).kind is Kind.DIRECTORY
    assert sorted(world.origin.asked) == [("list", "library/wood"), ("stat", "library/wood")]
    await world.fs.attributes("ant/library/wood")
    assert world.origin.count() == 2


async def test_a_known_file_of_a_tree_needs_no_question_whether_it_is_a_directory(
    site: Site,
) -> None:
    site.origin.add("library/oak.png", b"oak")
    async with site.open() as world:
        assert await world.read(OAK) == b"oak"
    site.origin.go_down()
    site.clock.advance(1000)
    async with site.open() as world:
        assert await world.read(OAK) == b"oak"
        assert world.origin.count() == 0


async def test_s07_cached_files_in_directories_survive_a_restart_without_their_origin(
    site: Site,
) -> None:
    names = ("library/wood/dark/oak.png", FRAME.removeprefix("ant/"))
    async with site.open() as world:
        for name in names:
            site.origin.add(name, name.encode())
            for depth in range(1, name.count("/") + 1):
                await world.fs.attributes("ant/" + "/".join(name.split("/")[:depth]))
            assert await world.read(f"ant/{name}") == name.encode()
    site.origin.go_down()
    site.clock.advance(10**6)
    async with site.open() as world:
        for name in names:
            for depth in range(1, name.count("/") + 1):
                found = await world.fs.attributes("ant/" + "/".join(name.split("/")[:depth]))
                assert found.kind is Kind.DIRECTORY
            assert await world.read(f"ant/{name}") == name.encode()


async def test_a_store_that_cannot_list_is_walked_by_guessing(world: World) -> None:
    world.origin.listable = False
    world.origin.add("library/wood/oak.png", b"oak")
    assert (await world.fs.attributes("ant/library/wood")).kind is Kind.DIRECTORY
    assert await world.names("ant/library/wood") == []
    assert await world.read("ant/library/wood/oak.png") == b"oak"
    assert not await world.exists("ant/library/wood/elm.png")
    assert world.origin.count("list") == 0


async def test_an_origin_that_cannot_answer_is_an_error_and_not_a_missing_file(
    world: World,
) -> None:
    world.origin.go_down()
    for path in (OAK, "ant/config/scene.json", SHOT):
        with fails_with(errno.ENETDOWN):
            await world.fs.lookup(path)


async def test_a_directory_made_here_needs_no_origin(world: World) -> None:
    await world.mkdir(SHOT)
    world.origin.go_down()
    assert (await world.fs.attributes(SHOT)).kind is Kind.DIRECTORY


async def test_a_slow_answer_about_one_path_does_not_hold_up_another(world: World) -> None:
    world.origin.add("config/fast.json", b"fast")
    assert await world.read("ant/config/fast.json") == b"fast"
    gate = world.origin.gate("stat")
    async with trio.open_nursery() as nursery:
        for number in range(200):
            nursery.start_soon(world.fs.lookup, f"ant/config/slow{number}.json")
        await world.origin.reached("stat")
        assert await world.read("ant/config/fast.json") == b"fast"
        gate.set()


# --- attributes ----------------------------------------------------------------------------------


async def test_s12_owner_and_mode_come_from_the_policy(world: World) -> None:
    uid, gid = os.getuid(), os.getgid()
    world.origin.add("plates/a.dpx")
    world.second.add("plates/a.mov")
    world.origin.add("config/a.json")
    shown = {
        name: (found.mode, found.uid, found.gid)
        for name in ("plates/a.dpx", "plates/a.mov", "config/a.json")
        for found in (await world.fs.attributes(f"ant/{name}"),)
    }
    assert shown == {
        "plates/a.dpx": (0o444, 1234, 4321),  # flow in: nobody may write
        "plates/a.mov": (0o400, uid, gid),
        "config/a.json": (0o644, uid, gid),
    }


async def test_s12_immutable_files_and_read_only_directories_show_no_write_bits(
    world: World,
) -> None:
    await world.mkdir(SHOT)
    await world.publish(FRAME)
    assert (await world.fs.attributes(FRAME)).mode == 0o444
    assert (await world.fs.attributes("ant/library")).mode == 0o555
    assert (await world.fs.attributes("ant/render")).mode == 0o775


async def test_the_kernel_keeps_an_answer_as_long_as_the_policy_does(world: World) -> None:
    longest = world.node.settings.mount.attribute_ttl_s_max
    world.origin.add("library/oak.png")
    world.origin.add("config/a.json")
    await world.write("ant/notes/a.txt")
    assert (await world.fs.attributes(OAK)).ttl_s == longest
    assert (await world.fs.attributes("ant/config/a.json")).ttl_s == 10
    world.clock.advance(4)
    assert (await world.fs.attributes("ant/config/a.json")).ttl_s == pytest.approx(6)
    assert (await world.fs.attributes("ant/notes/a.txt")).ttl_s == 1
    assert (await world.fs.attributes("ant/render")).ttl_s == longest


async def test_s03_a_new_revision_is_a_new_inode(world: World) -> None:
    world.origin.add("config/a.json", b"one")
    before = await world.fs.attributes("ant/config/a.json")
    assert (await world.fs.attributes("ant/config/a.json")).identity == before.identity
    world.origin.add("config/a.json", b"two")
    world.clock.advance(10)
    assert (await world.fs.attributes("ant/config/a.json")).identity != before.identity


async def test_s16_the_inode_of_an_output_stays_from_writing_to_after_a_remount(
    site: Site,
) -> None:
    async with site.open() as world:
        await world.mkdir(SHOT)
        handle = await world.create(FRAME)
        first = handle.attributes().identity
        await handle.write(0, b"frame")
        await handle.flush()
        assert (await world.fs.attributes(FRAME)).identity == first
        await handle.close()
        await world.published(FRAME)
        published = await world.fs.attributes(FRAME)
        assert published.identity == first
    async with site.open() as world:
        # readdir first: it must not teach the catalog anything else.
        ((_, listed),) = await world.entries(SHOT)
        assert listed == published
        assert await world.fs.attributes(FRAME) == published
    async with site.open() as world:
        assert await world.fs.attributes(FRAME) == published


async def test_s16_a_rename_keeps_the_inode(world: World) -> None:
    await world.mkdir(SHOT)
    await world.write(f"{FRAME}.tmp", b"frame")
    before = await world.fs.attributes(f"{FRAME}.tmp")
    await world.fs.rename(f"{FRAME}.tmp", FRAME)
    assert (await world.fs.attributes(FRAME)).identity == before.identity
    await world.published(FRAME)
    assert (await world.fs.attributes(FRAME)).identity == before.identity


KNOWN_PATHS = [
    "",
    "ant",
    "ant/render",
    "bee/oak.png",
    "ant/nonsense",
    OAK,
    "ant/library",
    SHOT,
    FRAME,
    f"{SHOT}/beauty.1001.exr.tmp",
    "ant/notes/made",
    "ant/notes/made/local.txt",
    "ant/config/scene.json",
    "ant/config/none.json",
]


async def test_what_is_in_memory_is_found_without_awaiting(world: World) -> None:
    world.origin.add("library/oak.png", b"oak")
    world.origin.add(FRAME.partition("/")[2], b"frame")
    world.origin.add("config/scene.json", b"{}")
    await world.mkdir("ant/notes/made")
    await world.write("ant/notes/made/local.txt")
    for path in KNOWN_PATHS:
        await world.fs.lookup(path)
    asked = world.origin.count()
    for path in KNOWN_PATHS:
        assert world.fs.lookup_now(path) == await world.fs.lookup(path), path
    assert world.origin.count() == asked


async def test_what_is_not_known_any_more_is_not_answered_from_memory(world: World) -> None:
    world.origin.add("config/scene.json", b"{}")
    for path in ("ant/config/scene.json", "ant/config/none.json"):
        assert world.fs.lookup_now(path) is None
        await world.fs.lookup(path)
        assert world.fs.lookup_now(path) is not None
    world.clock.advance(10.5)
    assert world.fs.lookup_now("ant/config/scene.json") is None, "its TTL is 10 s"
    assert world.fs.lookup_now("ant/config/none.json") is None, "its negative TTL is 5 s"


async def test_s15_what_was_written_or_removed_here_is_found_so_at_once(world: World) -> None:
    assert isinstance(await world.fs.lookup("ant/config/new.json"), Missing)
    await world.write("ant/config/new.json", b"{}")
    found = world.fs.lookup_now("ant/config/new.json")
    assert isinstance(found, Attributes)
    assert found.size_bytes == 2
    await world.published("ant/config/new.json")
    published = world.fs.lookup_now("ant/config/new.json")
    assert isinstance(published, Attributes)
    assert published.identity == found.identity
    await world.fs.unlink("ant/config/new.json")
    after = world.fs.lookup_now("ant/config/new.json")
    assert after is None or isinstance(after, Missing)
