"""Extended attributes: what shotfs knows of a file."""

from __future__ import annotations

import errno
import json

from shotfs.digest import digest_bytes
from tests.unit.namespace.spec import FRAME, MAIN, SHOT
from tests.unit.vfs.world import ARTIST, World, fails_with

OAK = "ant/library/wood/oak.png"
PREFIX = "user.shotfs."


async def all_of(world: World, path: str) -> dict[str, str]:
    """Every attribute, without the prefix."""
    return {
        name.removeprefix(PREFIX): await world.fs.extended_attribute(path, name)
        for name in await world.fs.extended_attributes(path)
    }


async def test_s17_a_file_that_was_never_read(world: World) -> None:
    world.origin.checksummed = False
    world.origin.add("library/wood/oak.png", b"oak")
    assert await all_of(world, OAK) == {
        "fields": json.dumps({"rest": "wood/oak.png"}),
        "origin": f"{MAIN}/library/wood/oak.png",
        "safe": "origin",
        "state": "remote",
        "template": "library",
        "tier": MAIN,
    }


async def test_s17_a_file_that_was_read(world: World) -> None:
    world.origin.checksummed = False
    world.origin.add("library/wood/oak.png", b"oak")
    await world.read(OAK)
    while (found := await all_of(world, OAK))["state"] != "cached":
        continue
    assert (found["tier"], found["digest"]) == ("cache", digest_bytes(b"oak"))


async def test_the_digest_that_the_object_claims_is_told_before_the_bytes_are_here(
    world: World,
) -> None:
    world.origin.add("library/wood/oak.png", b"oak")
    found = await all_of(world, OAK)
    assert (found["state"], found["digest"]) == ("remote", digest_bytes(b"oak"))


async def test_a_file_that_is_coming_in(world: World) -> None:
    world.origin.add("library/wood/oak.png", b"oak")
    gate = world.origin.gate("read")
    handle = await world.open(OAK)
    await world.origin.reached("read")
    assert (await all_of(world, OAK))["state"] == "partial"
    gate.set()
    await handle.close()


async def test_an_output_on_its_way(world: World) -> None:
    await world.mkdir(SHOT)
    handle = await world.create(FRAME)
    await handle.write(0, b"frame")
    found = await all_of(world, FRAME)
    assert json.loads(found.pop("fields"))["version"] == "v005"
    assert found == {
        "origin": f"{MAIN}/{FRAME.removeprefix('ant/')}",
        "safe": "no",
        "state": "open",
        "template": "frames",
        "tier": "spool",
    }
    await handle.flush()
    assert (await all_of(world, FRAME))["safe"] == "node"
    gate = world.origin.gate("put")
    await handle.close()
    await world.origin.reached("put")
    found = await all_of(world, FRAME)
    assert (found["state"], found["digest"]) == ("uploading", digest_bytes(b"frame"))
    gate.set()
    await world.published(FRAME)
    found = await all_of(world, FRAME)
    assert (found["state"], found["digest"]) == ("cached", digest_bytes(b"frame"))
    assert json.loads(found["fields"])["version"] == "v005"


async def test_scratch_files_links_and_directories(world: World) -> None:
    await world.mkdir("ant/notes/made")
    await world.write(f"{FRAME}.tmp")
    await world.fs.make_symlink("ant/notes/link", "x", ARTIST)
    assert (await all_of(world, f"{FRAME}.tmp"))["state"] == "scratch"
    assert await all_of(world, "ant/notes/made") == {"state": "made"}
    assert await all_of(world, "ant/render") == {"state": "directory"}
    assert "template" not in await all_of(world, "ant/notes/link")


async def test_names_that_are_not_ours_do_not_exist(world: World) -> None:
    await world.write("ant/notes/a.txt")
    for name in ("security.capability", "user.colour", f"{PREFIX}colour", f"{PREFIX}digest"):
        with fails_with(errno.ENODATA):
            await world.fs.extended_attribute("ant/notes/a.txt", name)
