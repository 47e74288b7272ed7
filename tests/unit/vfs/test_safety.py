"""Is my frame safe? Only what the origin has, and says so now, is."""

from __future__ import annotations

import pytest

from shotfs.errors import AccessDenied, NotPermitted
from shotfs.vfs import Attributes
from shotfs.vfs.safety import Safety
from tests.unit.namespace.spec import FRAME, SHOT
from tests.unit.vfs.world import World

KEY = FRAME.removeprefix("ant/")


def anybody(_: Attributes) -> bool:
    return True


def nobody(_: Attributes) -> bool:
    return False


async def stat(world: World, path: str = FRAME) -> Safety:
    return await world.fs.safety.of(path, may_search=anybody, may_read=anybody)


async def test_a_frame_is_safe_when_the_origin_has_it(world: World) -> None:
    await world.mkdir(SHOT)
    await world.publish(FRAME, b"frame")
    found = await stat(world)
    assert (found.safe, found.state, found.verified) == (True, "published", True)
    assert found.size_bytes == 5
    assert found.recorded["shotfs-template"] == "frames"
    assert found.origin == f"{world.origin.name}/{KEY}"


async def test_a_frame_on_its_way_is_not_safe(world: World) -> None:
    await world.mkdir(SHOT)
    handle = await world.create(FRAME)
    await handle.write(0, b"frame")
    assert (await stat(world)).state == "open"
    gate = world.origin.gate("put")
    await handle.flush()
    await handle.close()
    await world.origin.reached("put")
    found = await stat(world)
    assert (found.safe, found.state) == (False, "uploading")
    gate.set()
    await world.published(FRAME)
    assert (await stat(world)).safe


async def test_a_closed_file_says_what_it_waits_for(world: World) -> None:
    await world.write("ant/notes/a.txt", b"an hour of grace")
    found = await stat(world, "ant/notes/a.txt")
    assert (found.safe, found.state) == (False, "closed")
    assert "grace" in found.says


@pytest.mark.parametrize(
    ("path", "state"),
    [
        (f"{FRAME}.tmp", "scratch"),
        (FRAME, "missing"),
        ("ant/nothing/here", "impossible"),
    ],
)
async def test_what_will_never_be_there_is_not_safe(world: World, path: str, state: str) -> None:
    await world.mkdir(SHOT)
    if state == "scratch":
        await world.write(path, b"scratch")
    found = await stat(world, path)
    assert (found.safe, found.state) == (False, state)


async def test_s18_somebody_elses_frame_under_the_path_of_ours_is_not_ours(world: World) -> None:
    await world.mkdir(SHOT)
    handle = await world.create(FRAME)
    await handle.write(0, b"ours")
    world.origin.add(KEY, b"theirs")
    await handle.flush()
    entry = world.spooled(FRAME)
    assert entry is not None
    await handle.close()
    await world.until(lambda: entry in set(world.node.spool.aside()))
    assert await world.read(FRAME) == b"theirs"
    found = await stat(world)
    assert (found.safe, found.state, found.aside) == (False, "quarantined", (entry.serial,))
    assert found.size_bytes == 4
    assert await world.fs.extended_attribute(FRAME, "user.shotfs.safe") == "no"
    above = await stat(world, SHOT)
    assert (above.safe, above.state) == (False, "directory")
    assert "1 output below it is not" in above.says


async def test_a_refused_frame_says_why(world: World) -> None:
    def refuse(operation: str, key: str) -> None:
        if operation == "put":
            raise AccessDenied(f"{key}: may not be written")

    world.origin.fault = refuse
    await world.mkdir(SHOT)
    await world.write(FRAME, b"frame")
    entry = world.spooled(FRAME)
    assert entry is not None
    await world.until(lambda: entry.history != ())
    found = await stat(world)
    assert (found.safe, found.state) == (False, "failed")
    assert "may not be written" in (found.error or "")
    (attempt,) = entry.history
    assert attempt.failure == "permission"


async def test_an_origin_that_does_not_answer_makes_nothing_safe(world: World) -> None:
    await world.mkdir(SHOT)
    await world.publish(FRAME, b"frame")
    world.origin.go_down()
    found = await stat(world)
    assert (found.safe, found.state) == (False, "unknown")
    assert "nobody answers" in found.says


async def test_what_somebody_deleted_or_replaced_in_the_bucket_is_not_safe(world: World) -> None:
    await world.mkdir(SHOT)
    await world.publish(FRAME, b"frame")
    world.origin.add(KEY, b"other")
    assert (await stat(world)).state == "changed"
    world.origin.remove(KEY)
    found = await stat(world)
    assert (found.safe, found.state) == (False, "missing")


async def test_a_directory_is_safe_when_all_that_was_written_below_is(world: World) -> None:
    await world.mkdir(SHOT)
    await world.publish(FRAME, b"frame")
    assert (await stat(world, SHOT)).safe
    assert (await stat(world, "ant")).safe
    await world.write(f"{FRAME}.tmp", b"scratch")
    assert (await stat(world, SHOT)).safe, "scratch files are not outputs"


async def test_s12_who_may_not_look_there_is_told_nothing(world: World) -> None:
    await world.mkdir(SHOT)
    await world.publish(FRAME, b"frame")
    with pytest.raises(NotPermitted):
        await world.fs.safety.of(FRAME, may_search=nobody, may_read=anybody)
    found = await world.fs.safety.of(FRAME, may_search=anybody, may_read=nobody)
    assert (found.safe, found.digest, found.recorded) == (True, None, {})
