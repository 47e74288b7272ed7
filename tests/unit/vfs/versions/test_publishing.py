"""Versions that are published as a whole: open until then, and how they are published."""

from __future__ import annotations

import errno

import pytest
import trio

from shotfs.errors import (
    InvalidArgument,
    NotPermitted,
    PathNotFound,
    TierUnavailable,
    VersionBusy,
)
from shotfs.namespace.versions import SealState
from tests.unit.vfs.versioned import (
    APPROVED,
    FRAME,
    LATEST,
    MANIFEST,
    NOTE,
    SECOND_FRAME,
    SHOT,
    VersionNode,
    manifest,
)
from tests.unit.vfs.world import Site, fails_with

# --- while it is open ----------------------------------------------------------------------------


async def test_until_it_is_published_its_files_are_mutable(node: VersionNode) -> None:
    await node.make(FRAME, b"first")
    await node.publish(FRAME, b"second")
    assert node.origin.content(FRAME.removeprefix("ant/")) == b"second"
    attributes = await node.fs.attributes(FRAME)
    assert attributes.mode & 0o200
    assert attributes.ttl_s <= 10.0
    await node.fs.rename(FRAME, SECOND_FRAME)
    assert await node.read(SECOND_FRAME) == b"second"
    await node.fs.unlink(SECOND_FRAME)
    assert not await node.exists(SECOND_FRAME)


async def test_s03_what_another_node_writes_is_seen_after_the_ttl(
    node: VersionNode, other: VersionNode, site: Site
) -> None:
    await node.make(FRAME, b"first")
    assert await other.read(FRAME) == b"first"
    await node.publish(FRAME, b"second")
    site.clock.advance(10.1)
    assert await other.read(FRAME) == b"second"


async def test_that_it_is_open_is_asked_once_for_each_ttl(node: VersionNode, site: Site) -> None:
    node.origin.add(FRAME.removeprefix("ant/"), b"pixels")
    for _ in range(3):
        await node.fs.attributes(FRAME)
        await node.fs.lookup(SECOND_FRAME)
        await node.names(f"{SHOT}/beauty")
    assert node.origin.count("stat", MANIFEST) == 1
    site.clock.advance(10.1)
    await node.fs.attributes(FRAME)
    assert node.origin.count("stat", MANIFEST) == 2


# --- publishing ----------------------------------------------------------------------------------


async def test_publishing_writes_what_is_there_into_the_manifest(node: VersionNode) -> None:
    await node.make(FRAME, b"pixels")
    await node.make(NOTE, b"notes")
    node.origin.add("render/xy_010_v005/foreign.bin", b"no template makes this")
    node.origin.add("render/xy_010_v005/beauty/xy_010_v005.1003.exr.tmp", b"scratch")
    done = await node.seal(why="client notes")
    assert (done.state, done.files, done.bytes, done.already) == ("sealed", 2, 11, False)
    found = manifest(node)
    assert found["manifest"] == "shotfs-version/1"
    assert found["path"] == "render/xy_010_v005"
    assert (found["state"], found["by"], found["why"]) == ("sealed", "anna@a", "client notes")
    rows = {row["path"]: row for row in found["files"]}
    assert set(rows) == {"beauty.txt", "beauty/xy_010_v005.1001.exr"}
    revision, _ = node.origin.objects[FRAME.removeprefix("ant/")]
    frame = rows["beauty/xy_010_v005.1001.exr"]
    assert (frame["size"], frame["version"]) == (6, revision.version)
    assert frame["mtime_ns"] == revision.mtime_ns
    assert frame["digest"] == revision.checksums.xxh128


async def test_publishing_moves_the_aliases_that_follow_it_and_no_others(
    node: VersionNode,
) -> None:
    await node.make(FRAME)
    done = await node.seal()
    assert [(one.path, one.version, one.moved) for one in done.aliases] == [(LATEST, "v005", True)]
    assert await node.fs.read_link(LATEST) == "xy_010_v005"
    assert not await node.exists(APPROVED)
    history = await node.fs.aliases.history(LATEST)
    assert [(move.version, move.by) for move in history] == [("v005", "anna@a")]


async def test_aliases_stay_where_they_are_if_asked_to(node: VersionNode) -> None:
    await node.make(FRAME)
    assert (await node.seal(move_aliases=False)).aliases == ()
    assert not await node.exists(LATEST)


async def test_outputs_that_are_closed_are_waited_for(node: VersionNode) -> None:
    await node.make(FRAME)
    gate = node.origin.gate("put")
    await node.write(SECOND_FRAME, b"second")
    async with trio.open_nursery() as nursery:
        done: list[int] = []

        async def seal() -> None:
            done.append((await node.seal()).files)

        nursery.start_soon(seal)
        await node.origin.reached("put")
        assert not done
        gate.set()
    assert done == [2]


async def test_an_origin_that_is_away_for_a_moment_is_waited_for(node: VersionNode) -> None:
    await node.make(FRAME)
    failures = 2

    def fail(operation: str, _key: str) -> None:
        nonlocal failures
        if operation == "put" and failures:
            failures -= 1
            raise TierUnavailable("not now")

    node.origin.fault = fail
    await node.write(SECOND_FRAME, b"second")
    assert (await node.seal()).files == 2
    assert failures == 0


async def test_what_is_open_is_listed_and_refused(node: VersionNode) -> None:
    await node.make(FRAME)
    handle = await node.create(SECOND_FRAME)
    await handle.write(0, b"half")
    with pytest.raises(VersionBusy, match=r"1002.exr: open for writing"):
        await node.seal()
    assert MANIFEST not in node.origin.objects
    await handle.flush()
    await handle.close()
    assert (await node.seal()).files == 2


async def test_what_is_in_quarantine_or_failed_is_listed_and_refused(node: VersionNode) -> None:
    await node.make(FRAME)
    node.origin.add(SECOND_FRAME.removeprefix("ant/"), b"of another node")
    node.node.filesystem._finder.namespace.removed(SECOND_FRAME)
    resolution = node.fs._finder.resolve(SECOND_FRAME)
    assert resolution is not None
    terms = node.fs._files._terms.of(SECOND_FRAME, resolution, None)
    file = await node.node.spool.create(SECOND_FRAME, mode=0o644, uid=0, gid=0, terms=terms)
    await file.write(0, b"ours")
    await file.flush()
    await file.close()
    await node.until(lambda: any(one.path == SECOND_FRAME for one in node.node.spool.aside()))
    with pytest.raises(VersionBusy, match=r"quarantined: .*other bytes"):
        await node.seal()


async def test_outputs_that_do_not_arrive_in_time_are_listed(node: VersionNode) -> None:
    await node.make(FRAME)
    gate = node.origin.gate("put")
    await node.write(SECOND_FRAME)
    with pytest.raises(VersionBusy, match=r"after 0.1 s:\n  .*1002.exr"):
        await node.seal(deadline_s=0.1)
    gate.set()
    await node.published(SECOND_FRAME)
    assert (await node.seal()).files == 2


async def test_an_empty_version_is_not_published(node: VersionNode) -> None:
    await node.mkdir(SHOT)
    with pytest.raises(PathNotFound, match="no files"):
        await node.seal()
    assert MANIFEST not in node.origin.objects
    await node.make(FRAME)
    assert (await node.seal()).files == 1


@pytest.mark.parametrize(
    ("path", "what"),
    [
        (FRAME, "name ant/render/xy_010_v005"),
        (f"{SHOT}/beauty", "name ant/render/xy_010_v005"),
        ("ant/render", "no version directory"),
        (LATEST, "no version directory"),
        ("ant/nothing/like/this", "no version directory"),
        ("bee", "no version directory"),
        ("", "no version directory"),
    ],
)
async def test_only_version_directories_are_published(
    node: VersionNode, path: str, what: str
) -> None:
    with pytest.raises(InvalidArgument) as caught:
        await node.seal(path)
    assert what in str(caught.value)


async def test_s12_a_version_is_published_by_who_may_write_its_directory(
    node: VersionNode,
) -> None:
    await node.make(FRAME)
    with pytest.raises(NotPermitted, match="mode 0775"):
        await node.seal(allowed=lambda _attributes: False)
    assert MANIFEST not in node.origin.objects


async def test_publishing_again_changes_nothing(node: VersionNode, site: Site) -> None:
    await node.make(FRAME)
    first = await node.seal()
    site.clock.advance(3600)
    puts = node.origin.count("put")
    again = await node.seal(by="bert@b", why="again")
    assert (again.already, again.by, again.at) == (True, first.by, first.at)
    assert node.origin.count("put") == puts


async def test_publishing_again_does_not_take_an_alias_back(node: VersionNode) -> None:
    await node.make(FRAME)
    await node.seal()
    newer = FRAME.replace("v005", "v006")
    await node.make(newer)
    await node.seal(SHOT.replace("v005", "v006"))
    again = await node.seal()
    assert [(one.version, one.moved) for one in again.aliases] == [("v006", False)]
    assert await node.fs.read_link(LATEST) == "xy_010_v006"


# --- reports -------------------------------------------------------------------------------------


async def test_show_tells_what_a_version_is(node: VersionNode) -> None:
    await node.make(FRAME, b"pixels")
    before = await node.fs.reports.show(SHOT)
    assert (before["state"], before["files"], before["bytes"]) == ("open", 1, 6)
    await node.seal(why="final")
    after = await node.fs.reports.show(LATEST)
    assert after["path"] == SHOT
    assert (after["state"], after["by"], after["why"]) == ("sealed", "anna@a", "final")
    assert after["aliases"] == [LATEST]


async def test_new_names_the_version_after_all_that_exist(
    node: VersionNode, other: VersionNode
) -> None:
    assert await node.fs.reports.next(SHOT) == "ant/render/xy_010_v001"
    node.origin.add(FRAME.removeprefix("ant/"), b"")
    await node.mkdir("ant/render/xy_010_v007")
    await node.mkdir("ant/render/xy_011_v040")
    assert await node.fs.reports.next(SHOT) == "ant/render/xy_010_v008"
    assert await other.fs.reports.next(SHOT) == "ant/render/xy_010_v006"
    assert await other.fs.reports.next(FRAME) == FRAME.replace("v005", "v006")
    assert await other.fs.reports.next(f"{SHOT}/beauty") == "ant/render/xy_010_v006/beauty"
    assert await node.fs.reports.next("ant/plates/sky_v001.dpx") == "ant/plates/sky_v001.dpx"


async def test_new_makes_a_ulid_where_versions_are_some(node: VersionNode) -> None:
    path = "ant/takes/01ARZ3NDEKTSV4RRFFQ69G5FAV/voice.wav"
    first = await node.fs.reports.next(path)
    assert first != path
    assert first.endswith("/voice.wav")
    assert node.fs._finder.resolve(first) is not None


@pytest.mark.parametrize("path", ["ant/render", "ant/nothing", "bee/x", LATEST])
async def test_new_needs_a_path_with_a_version(node: VersionNode, path: str) -> None:
    with fails_with(errno.EINVAL if path in ("ant/render", LATEST) else errno.EPERM):
        await node.fs.reports.next(path)


async def test_verify_needs_a_published_version(node: VersionNode) -> None:
    await node.make(FRAME)
    with pytest.raises(InvalidArgument, match="not published"):
        await node.fs.reports.verify(SHOT)
    await node.seal()
    report = await node.fs.reports.verify(SHOT)
    assert (report.intact, report.files) == (True, 1)
    assert (
        await node.fs._finder.versions.ask("mem://main/ant", "render/xy_010_v005")
    ).state is SealState.SEALED
