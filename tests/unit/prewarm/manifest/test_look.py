"""What a service says of many paths at once, to who compares a manifest with the shows."""

from __future__ import annotations

import dataclasses
import os

from shotfs.app.looking import look
from shotfs.control.access import Peer
from shotfs.digest import Checksums, digest_bytes
from tests.unit.vfs.conftest import site, world
from tests.unit.vfs.world import World

__all__ = ["site", "world"]

ME = Peer(uid=os.geteuid(), gid=os.getegid(), pid=os.getpid(), groups=frozenset())
ARTIST = Peer(uid=12345, gid=12345, pid=0, groups=frozenset())
HERE, THERE = "ant/library/elm.tx", "ant/library/oak.tx"


async def test_s09_what_is_there_what_is_here_and_what_cannot_be(world: World) -> None:
    world.origin.add("library/elm.tx", b"elm")
    world.origin.add("library/oak.tx", b"oak!")
    assert await world.read(HERE) == b"elm"
    paths = [THERE, HERE, "ant/library/ash.tx", "ant/impossible.exr", "other/x", "ant/library"]
    told = await look(world.node, paths, peer=ME, admin=False)
    assert [one["path"] for one in told] == paths
    oak, elm, *others = told
    assert (oak["size_bytes"], oak["digest"], oak["local"]) == (4, digest_bytes(b"oak!"), False)
    assert (elm["size_bytes"], elm["digest"], elm["local"]) == (3, digest_bytes(b"elm"), True)
    absences = [one["absence"] for one in others]
    assert absences == ["missing", "outside", "outside", "directory"]
    assert all(one["reason"] for one in others)


async def test_a_digest_that_only_the_cache_knows_is_told(world: World) -> None:
    revision = world.origin.add("library/elm.tx", b"elm")
    bare = dataclasses.replace(revision, checksums=Checksums())
    world.origin.objects["library/elm.tx"] = (bare, b"elm")
    (told,) = await look(world.node, [HERE], peer=ME, admin=False)
    assert told["digest"] is None
    assert await world.read(HERE) == b"elm"
    (told,) = await look(world.node, [HERE], peer=ME, admin=False)
    assert (told["digest"], told["local"]) == (digest_bytes(b"elm"), True)


async def test_s12_who_may_not_read_a_file_is_not_told_its_digest(world: World) -> None:
    world.second.add("plates/a.mov", b"movie")  # 0400, of somebody else than the artist
    for peer, admin in ((ME, False), (ARTIST, True)):
        (told,) = await look(world.node, ["ant/plates/a.mov"], peer=peer, admin=admin)
        assert (told["size_bytes"], told["digest"]) == (5, digest_bytes(b"movie"))
    (told,) = await look(world.node, ["ant/plates/a.mov"], peer=ARTIST, admin=False)
    assert (told["size_bytes"], told["digest"]) == (5, None), "as stat shows it"
