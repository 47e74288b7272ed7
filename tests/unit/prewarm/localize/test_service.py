"""What a service answers to those who have no mount: aliases, revisions, rights, wrong bytes."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from shotfs.app.localizing import NodeLocalizing
from shotfs.control.access import Peer
from shotfs.control.localize_service import Content
from shotfs.digest import Checksums, digest_bytes
from shotfs.errors import DigestMismatch, InvalidArgument, NotPermitted, PathNotFound, Stale
from shotfs.vfs import Caller
from tests.unit.namespace.spec import FRAME, SHOT
from tests.unit.vfs.conftest import site, world
from tests.unit.vfs.versioned import LATEST, VersionNode, open_version_node
from tests.unit.vfs.versioned import SHOT as VERSION
from tests.unit.vfs.world import Site, World

__all__ = ["site", "world"]

ME = Peer(uid=os.geteuid(), gid=os.getegid(), pid=os.getpid(), groups=frozenset())
ARTIST = Peer(uid=12345, gid=12345, pid=0, groups=frozenset())


@pytest.fixture
async def versions(site: Site, tmp_path: Path) -> AsyncIterator[VersionNode]:
    async with open_version_node(tmp_path / "a", site.origin, site.clock) as opened:
        yield opened


async def all_of(content: Content) -> bytes:
    try:
        return b"".join([block async for block in content.blocks])
    finally:
        await content.close()


async def files_of(
    desk: NodeLocalizing, path: str, frames: str = "", limit: int = 100
) -> list[str]:
    found = await desk.files(path, frames=frames, limit=limit, peer=ME, admin=False)
    return [one["path"] for one in found["files"]]


async def revision_of(desk: NodeLocalizing, path: str) -> str:
    found = await desk.files(path, frames="", limit=1, peer=ME, admin=False)
    return str(found["files"][0]["revision"])


async def test_a_version_alias_is_followed_to_the_version(versions: VersionNode) -> None:
    for frame in (1001, 1002):
        versions.origin.add(f"render/xy_010_v005/beauty/xy_010_v005.{frame}.exr", b"pixels")
    await versions.move(LATEST, "v005")
    desk = NodeLocalizing(versions.node)
    first = f"{VERSION}/beauty/xy_010_v005.1001.exr"
    assert await files_of(desk, f"{LATEST}/beauty/xy_010_v005.1001.exr") == [first]
    assert len(await files_of(desk, f"{LATEST}/beauty/xy_010_v005.####.exr")) == 2
    assert await files_of(desk, LATEST, limit=2) == [first, first.replace("1001", "1002")]
    with pytest.raises(PathNotFound):
        await files_of(desk, f"{LATEST}/beauty/nothing.exr")


async def test_s09_a_path_that_cannot_be_costs_no_request(world: World) -> None:
    desk = NodeLocalizing(world.node)
    for path in ("ant/impossible.exr", "other/show.exr", "other/show.####.exr"):
        with pytest.raises(PathNotFound):
            await files_of(desk, path)
    assert world.origin.asked == []


async def test_s03_another_revision_than_the_one_that_was_told_is_stale(world: World) -> None:
    world.origin.add("config/tools.json", b"old")
    desk = NodeLocalizing(world.node)
    revision = await revision_of(desk, "ant/config/tools.json")
    world.origin.add("config/tools.json", b"new")
    world.clock.advance(11)
    with pytest.raises(Stale):
        await desk.content("ant/config/tools.json", revision, peer=ME, admin=False)
    with pytest.raises(Stale):
        await desk.blob("ant/config/tools.json", revision, peer=ME)
    assert world.fs._files._cache.stats().streams == 0


async def test_s06_wrong_bytes_never_come_whole(world: World) -> None:
    content = os.urandom(3_000_000)
    revision = world.origin.add("library/oak.tx", content)
    wrong = Checksums(xxh128=digest_bytes(b"something else"))
    world.origin.objects["library/oak.tx"] = (
        type(revision)(
            revision.tier, revision.key, revision.size_bytes, revision.version,
            revision.mtime_ns, wrong,
        ),
        content,
    )  # fmt: skip
    desk = NodeLocalizing(world.node)
    told = await revision_of(desk, "ant/library/oak.tx")
    came: list[bytes] = []
    answer = await desk.content("ant/library/oak.tx", told, peer=ME, admin=False)

    async def take() -> None:
        async for block in answer.blocks:
            came.append(block)  # noqa: PERF401 - what came before the error counts

    with pytest.raises(DigestMismatch):
        await take()
    await answer.close()
    assert len(b"".join(came)) < len(content)


async def test_s12_who_may_not_read_a_file_gets_neither_its_name_nor_its_bytes(
    world: World,
) -> None:
    world.second.add("plates/a.mov", b"movie")
    private = await world.fs.make_directory("ant/notes/private", 0o700, Caller(1000, 1001, 7))
    assert private.mode == 0o700
    desk = NodeLocalizing(world.node)
    revision = await revision_of(desk, "ant/plates/a.mov")
    with pytest.raises(NotPermitted):
        await desk.files("ant/plates/a.mov", frames="", limit=1, peer=ARTIST, admin=False)
    with pytest.raises(NotPermitted):
        await desk.content("ant/plates/a.mov", revision, peer=ARTIST, admin=False)
    with pytest.raises(NotPermitted):
        await desk.blob("ant/plates/a.mov", revision, peer=ARTIST)
    content = await desk.content("ant/plates/a.mov", revision, peer=ARTIST, admin=True)
    assert await all_of(content) == b"movie"
    with pytest.raises(NotPermitted, match="may not search"):
        await desk.files("ant/notes/private/a", frames="", limit=1, peer=ARTIST, admin=False)


async def test_the_blob_is_told_to_who_may_read_the_cache(world: World) -> None:
    world.origin.add("library/elm.tx", b"elm" * 100_000)
    desk = NodeLocalizing(world.node)
    found = await desk.files("ant/library/elm.tx", frames="", limit=1, peer=ME, admin=False)
    assert found["shares"]
    told = await desk.blob("ant/library/elm.tx", found["files"][0]["revision"], peer=ME)
    blob = Path(told["path"])
    assert blob.read_bytes() == b"elm" * 100_000  # noqa: ASYNC240 - a test has nothing else to do
    assert told["inode"] == blob.stat().st_ino  # noqa: ASYNC240


async def test_s15_an_output_that_is_not_published_comes_from_the_spool(world: World) -> None:
    await world.mkdir(SHOT)
    handle = await world.create(FRAME)
    await handle.write(0, b"just written")
    await handle.flush()
    desk = NodeLocalizing(world.node)
    found = await desk.files(FRAME, frames="", limit=1, peer=ME, admin=True)
    assert not found["files"][0]["immutable"]
    revision = found["files"][0]["revision"]
    assert (await desk.blob(FRAME, revision, peer=ME))["path"] is None
    content = await desk.content(FRAME, revision, peer=ME, admin=True)
    assert await all_of(content) == b"just written"
    await handle.close()


async def test_frames_that_are_no_range_are_refused(world: World) -> None:
    with pytest.raises(InvalidArgument, match="names no frames"):
        await files_of(NodeLocalizing(world.node), FRAME, "first to last")
