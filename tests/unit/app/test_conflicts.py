"""Conflicts of a whole node: what is told of them, and the ways out. Nothing is overwritten."""

from __future__ import annotations

import errno
from collections.abc import AsyncIterator

import pytest

from shotfs.app.conflicts import NodeConflicts
from shotfs.control.access import Peer
from shotfs.control.publish_service import Outputs
from shotfs.digest import digest_bytes
from shotfs.errors import InvalidArgument, PathNotFound, ReadOnly, ShotfsError
from tests.unit.namespace.spec import FRAME, SHOT
from tests.unit.vfs.world import World, fails_with

ME = Peer(uid=0, gid=0, pid=7, groups=frozenset())
KEY = FRAME.removeprefix("ant/")
OTHER = f"{SHOT}/other.1001.exr"
NEXT = SHOT.replace("v005", "v006")


async def conflict(world: World, path: str = FRAME, ours: bytes = b"our frame") -> int:
    """Write *path* and lose it to another node; return its serial."""
    if world.spooled(SHOT) is None and path.startswith(SHOT):
        await world.mkdir(SHOT)
    handle = await world.create(path)
    await handle.write(0, ours)
    await handle.flush()
    key = path.removeprefix("ant/")
    world.origin.add(key, b"their frame")
    world.origin.metadata[key] = {"shotfs-node": "render-07"}
    entry = world.spooled(path)
    assert entry is not None
    await handle.close()
    await world.until(lambda: entry in set(world.node.spool.aside()))
    return entry.serial


def conflicts_of(world: World) -> NodeConflicts:
    return NodeConflicts(world.node, None)


async def all_of(blocks: AsyncIterator[bytes]) -> bytes:
    return b"".join([block async for block in blocks])


async def test_s18_a_conflict_tells_both_provenances_while_the_origin_is_away(world: World) -> None:
    serial = await conflict(world)
    world.origin.go_down()
    (told,) = conflicts_of(world).conflicts(None)
    assert (told["serial"], told["path"], told["kind"]) == (serial, FRAME, "conflict")
    assert told["ours"]["recorded"]["shotfs-node"] == r"node-\xe9"
    assert told["ours"]["digest"] == digest_bytes(b"our frame")
    assert told["theirs"]["recorded"] == {"shotfs-node": "render-07"}
    assert told["theirs"]["size_bytes"] == len(b"their frame")


async def test_comparing_reads_both_sides_and_says_where_they_differ(world: World) -> None:
    serial = await conflict(world, ours=b"their frAme, longer")
    told = await conflicts_of(world).compare(serial)
    assert (told["same"], told["first_difference"]) == (False, 8)
    assert told["ours"]["digest"] == digest_bytes(b"their frAme, longer")
    assert told["theirs"]["digest"] == digest_bytes(b"their frame")
    world.origin.add(KEY, b"their frAme, longer")
    assert (await conflicts_of(world).compare(serial))["same"]


async def test_the_bytes_of_both_sides_can_be_had(world: World) -> None:
    serial = await conflict(world)
    desk = conflicts_of(world)
    for side, content in (("ours", b"our frame"), ("theirs", b"their frame")):
        size_bytes, blocks = await desk.content(serial, side)
        assert size_bytes == len(content)
        assert await all_of(blocks) == content


async def test_s18_ours_is_published_under_another_path(world: World) -> None:
    serial = await conflict(world)
    (done,) = await conflicts_of(world).resolve(Outputs(serial=serial), path=OTHER, by=ME)
    assert done == {"serial": serial, "old": FRAME, "new": OTHER}
    assert await world.read(OTHER) == b"our frame", "seen at once"
    await world.published(OTHER)
    assert world.origin.content(KEY) == b"their frame"
    assert world.origin.content(OTHER.removeprefix("ant/")) == b"our frame"
    assert world.origin.metadata[OTHER.removeprefix("ant/")]["shotfs-template"] == "frames"
    assert conflicts_of(world).conflicts(None) == []


async def test_all_conflicts_of_a_version_go_into_the_same_next_one(world: World) -> None:
    second = FRAME.replace("1001", "1002")
    await conflict(world)
    await conflict(world, second)
    done = await conflicts_of(world).resolve(Outputs(path=SHOT), path=None, by=ME)
    assert [one["new"] for one in done] == [
        FRAME.replace(SHOT, NEXT),
        second.replace(SHOT, NEXT),
    ]
    assert await world.names(NEXT) == ["beauty.1001.exr", "beauty.1002.exr"]
    await world.published(*(one["new"] for one in done))


@pytest.mark.parametrize("where", ["the origin", "this node"])
async def test_s18_a_path_that_is_taken_is_not_overwritten(world: World, where: str) -> None:
    serial = await conflict(world)
    assert not await world.exists(OTHER), "that it is missing is remembered"
    if where == "the origin":
        world.origin.add(OTHER.removeprefix("ant/"), b"taken")
    else:
        await world.create(OTHER)
    with fails_with(errno.EEXIST):
        await conflicts_of(world).resolve(Outputs(serial=serial), path=OTHER, by=ME)
    assert len(conflicts_of(world).conflicts(None)) == 1


@pytest.mark.parametrize(
    ("path", "error"),
    [
        (FRAME, InvalidArgument),
        (f"{OTHER}.tmp", InvalidArgument),
        ("ant/library/oak.png", ReadOnly),
        ("ant/nothing", ShotfsError),
        ("", ShotfsError),
    ],
    ids=["its own", "scratch", "read-only", "impossible", "none"],
)
async def test_a_path_where_nobody_may_write_is_refused(
    world: World, path: str, error: type[ShotfsError]
) -> None:
    serial = await conflict(world)
    with pytest.raises(error):
        await conflicts_of(world).resolve(Outputs(serial=serial), path=path, by=ME)
    assert len(conflicts_of(world).conflicts(None)) == 1


async def test_an_origin_that_cannot_say_what_is_there_keeps_ours_in_quarantine(
    world: World,
) -> None:
    serial = await conflict(world)
    world.origin.go_down()
    with pytest.raises(ShotfsError):
        await conflicts_of(world).resolve(Outputs(serial=serial), path=OTHER, by=ME)
    assert len(conflicts_of(world).conflicts(None)) == 1


async def test_several_conflicts_do_not_fit_under_one_path(world: World) -> None:
    await conflict(world)
    await conflict(world, FRAME.replace("1001", "1002"))
    with pytest.raises(InvalidArgument, match="2 outputs"):
        await conflicts_of(world).resolve(Outputs(path=SHOT), path=OTHER, by=ME)


async def test_what_was_renamed_onto_a_published_path_is_told_and_resolved_by_that_path(
    world: World,
) -> None:
    final = "ant/compared/plate.exr"
    world.origin.add("compared/plate.exr", b"their plate")
    await world.write(f"{final}.tmp", b"our plate")
    with fails_with(errno.EEXIST):
        await world.fs.rename(f"{final}.tmp", final, replace=True)
    (told,) = conflicts_of(world).conflicts(Outputs(path=final))
    assert (told["path"], told["ours"]["written_as"]) == (final, f"{final}.tmp")
    assert (await conflicts_of(world).compare(told["serial"]))["first_difference"] == 0
    new = "ant/compared/plate-2.exr"
    await conflicts_of(world).resolve(Outputs(path=final), path=new, by=ME)
    await world.published(new)
    assert world.origin.content("compared/plate-2.exr") == b"our plate"


async def test_a_dropped_output_is_gone_and_the_log_says_who_did_it(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    serial = await conflict(world)
    (dropped,) = await conflicts_of(world).drop(Outputs(serial=serial), by=ME)
    assert dropped["path"] == FRAME
    assert f"was dropped by {ME}: 9 bytes, digest {digest_bytes(b'our frame')}" in caplog.text
    with pytest.raises(PathNotFound):
        await conflicts_of(world).drop(Outputs(serial=serial), by=ME)
    assert world.origin.content(KEY) == b"their frame"
