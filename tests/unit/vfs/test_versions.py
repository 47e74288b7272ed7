"""Versions that are published as a whole: open until then, and their manifest ever after."""

from __future__ import annotations

import errno
import json
import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import trio

from shotfs.errors import (
    InvalidArgument,
    NotPermitted,
    PathNotFound,
    ShotfsError,
    TierUnavailable,
    VersionBusy,
)
from shotfs.namespace.alias_document import time_text
from shotfs.namespace.manifests import Manifest, encode
from shotfs.namespace.versions import SealState
from shotfs.publish import State
from shotfs.vfs import Change, Kind, Missing, publishing
from tests.unit.vfs.versioned import (
    APPROVED,
    FRAME,
    LATEST,
    MANIFEST,
    NOTE,
    SHOT,
    VersionNode,
    open_version_node,
)
from tests.unit.vfs.world import ARTIST, Site, fails_with

MASTER = f"{SHOT}/beauty.mov"
SECOND_FRAME = FRAME.replace("1001", "1002")


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody else uploads in most tests, so nobody is waited for."""
    monkeypatch.setattr(publishing, "SETTLE_S", 0.0)
    monkeypatch.setattr(publishing, "LOOK_AGAIN_S", 0.001)


@pytest.fixture
async def node(site: Site, tmp_path: Path) -> AsyncIterator[VersionNode]:
    async with open_version_node(tmp_path / "a", site.origin, site.clock) as opened:
        yield opened


@pytest.fixture
async def other(site: Site, tmp_path: Path) -> AsyncIterator[VersionNode]:
    async with open_version_node(tmp_path / "b", site.origin, site.clock) as opened:
        yield opened


def manifest(node: VersionNode) -> dict[str, Any]:
    found = json.loads(node.origin.content(MANIFEST))
    assert isinstance(found, dict)
    return found


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


# --- once it is sealed ---------------------------------------------------------------------------


@pytest.fixture
async def sealed(node: VersionNode) -> VersionNode:
    """The node that published a version of two frames in one directory, and notes."""
    await node.make(FRAME, b"pixels")
    await node.make(SECOND_FRAME, b"more")
    await node.make(NOTE, b"notes")
    await node.seal()
    return node


async def test_a_sealed_version_is_answered_without_a_question(
    sealed: VersionNode, other: VersionNode, site: Site
) -> None:
    for node in (sealed, other):
        await node.fs.attributes(SHOT)
        node.origin.asked.clear()
        site.clock.advance(100_000)
        assert await node.names(SHOT) == ["beauty", "beauty.txt"]
        assert await node.names(f"{SHOT}/beauty") == [
            "xy_010_v005.1001.exr",
            "xy_010_v005.1002.exr",
        ]
        assert (await node.fs.attributes(FRAME)).size_bytes == 6
        assert (await node.fs.attributes(f"{SHOT}/beauty")).kind is Kind.DIRECTORY
        for missing in (f"{SHOT}/depth", FRAME.replace("1001", "1003"), f"{SHOT}/depth.txt"):
            found = await node.fs.lookup(missing)
            assert isinstance(found, Missing)
            assert found.possible
            assert found.ttl_s > 3600
        assert node.origin.asked == []


async def test_s16_attributes_are_those_of_the_manifest_everywhere(
    sealed: VersionNode, other: VersionNode, tmp_path: Path, site: Site
) -> None:
    paths = (SHOT, f"{SHOT}/beauty", FRAME, NOTE)
    here = [await sealed.fs.attributes(path) for path in paths]
    there = [await other.fs.attributes(path) for path in paths]
    for ours, theirs in zip(here, there, strict=True):
        assert (ours.size_bytes, ours.mtime_ns, ours.mode) == (
            theirs.size_bytes,
            theirs.mtime_ns,
            theirs.mode,
        )
        assert not ours.mode & 0o222
        assert ours.ttl_s > 3600
    listed = dict(await other.entries(f"{SHOT}/beauty"))
    assert listed["xy_010_v005.1001.exr"] == await other.fs.attributes(FRAME)
    shown = dict(await other.entries(SHOT))
    assert shown["beauty"] == await other.fs.attributes(f"{SHOT}/beauty")
    async with open_version_node(tmp_path / "c", site.origin, site.clock) as first:
        before = [await first.fs.attributes(path) for path in paths]
    async with open_version_node(tmp_path / "c", site.origin, site.clock) as again:
        assert [await again.fs.attributes(path) for path in paths] == before


async def test_s16_the_node_that_wrote_a_file_keeps_its_inode(node: VersionNode) -> None:
    await node.make(FRAME)
    before = (await node.fs.attributes(FRAME)).identity
    await node.seal()
    assert (await node.fs.attributes(FRAME)).identity == before


async def test_s02_s14_nothing_in_a_sealed_version_changes(
    sealed: VersionNode, other: VersionNode
) -> None:
    exists, refused = fails_with(errno.EEXIST), fails_with(errno.EPERM)
    new = FRAME.replace("1001", "1009")
    outside = FRAME.replace("v005", "v006")
    scratch = outside + ".tmp"
    await other.mkdir("ant/render/xy_010_v006")
    await other.mkdir("ant/render/xy_010_v006/beauty")
    for node in (sealed, other):
        fs = node.fs
        with exists:
            await node.open(FRAME, os.O_WRONLY)
        with exists:
            await node.open(FRAME, os.O_RDWR | os.O_TRUNC)
        with exists:
            await node.open(NOTE, os.O_WRONLY)
        with exists:
            await fs.create(FRAME, 0o644, os.O_WRONLY, ARTIST)
        with exists:
            await fs.create(FRAME, 0o644, os.O_WRONLY | os.O_EXCL, ARTIST)
        with refused:
            await fs.create(new, 0o644, os.O_WRONLY, ARTIST)
        with refused:
            await fs.create(f"{SHOT}/depth.txt", 0o644, os.O_WRONLY, ARTIST)
        with refused:
            await fs.create(MASTER, 0o644, os.O_WRONLY, ARTIST)
        with refused:
            await fs.create(new + ".tmp", 0o644, os.O_WRONLY, ARTIST)
        with refused:
            await node.truncate(FRAME, 1)
        with refused:
            await node.truncate(NOTE, 1)
        with refused:
            await fs.unlink(FRAME)
        with refused:
            await fs.unlink(NOTE)
        with refused:
            await fs.make_directory(f"{SHOT}/depth", 0o755, ARTIST)
        with refused:
            await fs.make_symlink(f"{SHOT}/depth.txt", "beauty.txt", ARTIST)
        with refused:
            await fs.remove_directory(f"{SHOT}/beauty")
        with refused:
            await fs.remove_directory(SHOT)
        with refused:
            await fs.rename(FRAME, new)
        with refused:
            await fs.rename(FRAME, outside)
        with refused:
            await fs.rename(NOTE, f"{SHOT}/depth.txt")
        with refused:
            await fs.rename(SHOT, "ant/render/xy_010_v007")
        with refused:
            await fs.rename(f"{SHOT}/beauty", "ant/render/xy_010_v006/depth")
        for path in (FRAME, NOTE, SHOT, f"{SHOT}/beauty"):
            with refused:
                await fs.change(path, Change(mode=0o777))
            with refused:
                await fs.change(path, Change(uid=12345))
        with refused:
            await fs.change(FRAME, Change(mtime_ns=1))
    handle = await other.create(scratch)
    await handle.write(0, b"late")
    await handle.flush()
    await handle.close()
    with refused:
        await other.fs.rename(scratch, new)
    with exists:
        await other.fs.rename(scratch, FRAME)
    with exists:
        await other.fs.rename(scratch, NOTE)
    assert await other.exists(scratch)
    for node in (sealed, other):
        assert await node.read(FRAME) == b"pixels"
        assert await node.read(NOTE) == b"notes"
    assert len(manifest(sealed)["files"]) == 3


async def test_s02_the_same_bytes_may_be_renamed_onto_a_published_path(
    node: VersionNode,
) -> None:
    await node.make(MASTER, b"movie")
    scratch = "ant/render/xy_010_v006/beauty.mov.tmp"
    await node.mkdir("ant/render/xy_010_v006")
    await node.write(scratch, b"movie")
    await node.seal()
    puts = node.origin.count("put")
    await node.fs.rename(scratch, MASTER)
    assert not await node.exists(scratch)
    assert node.origin.count("put") == puts


async def test_the_refusal_says_who_published_it_and_what_to_do(sealed: VersionNode) -> None:
    with fails_with(errno.EPERM) as caught:
        await sealed.fs.create(f"{SHOT}/depth.txt", 0o644, os.O_WRONLY, ARTIST)
    assert "published (by anna@a" in str(caught.value)
    assert "shotfs version new" in str(caught.value)


async def test_other_versions_stay_open(sealed: VersionNode) -> None:
    newer = FRAME.replace("v005", "v006")
    await sealed.make(newer, b"next")
    await sealed.publish(newer, b"changed")
    assert await sealed.read(newer) == b"changed"


async def test_scratch_files_that_were_left_can_be_removed(node: VersionNode) -> None:
    await node.make(FRAME)
    scratch = f"{SHOT}/beauty/xy_010_v005.1003.exr.tmp"
    await node.write(scratch, b"left by a killed job")
    await node.seal()
    assert (await node.fs.attributes(scratch)).size_bytes > 0
    await node.fs.unlink(scratch)
    assert not await node.exists(scratch)


# --- behind our back -----------------------------------------------------------------------------


async def test_s02_other_bytes_are_never_read_from_a_sealed_version(
    sealed: VersionNode, other: VersionNode
) -> None:
    await other.fs.attributes(FRAME)
    sealed.origin.add(FRAME.removeprefix("ant/"), b"forged")
    del sealed.origin.objects[SECOND_FRAME.removeprefix("ant/")]
    assert await sealed.read(FRAME) == b"pixels", "it was in the cache of who wrote it"
    for path in (FRAME, SECOND_FRAME):
        for _ in range(2):
            with pytest.RaisesExc(
                Exception, check=lambda exc: getattr(exc, "errno", 0) in (errno.ESTALE, errno.EIO)
            ):
                await other.read(path)
    assert await other.names(f"{SHOT}/beauty") == ["xy_010_v005.1001.exr", "xy_010_v005.1002.exr"]
    report = await other.fs.reports.verify(SHOT)
    assert not report.intact
    assert report.named == (
        ("missing", "beauty/xy_010_v005.1002.exr"),
        ("changed", "beauty/xy_010_v005.1001.exr"),
    )


async def test_what_is_added_behind_our_back_is_not_shown(
    sealed: VersionNode, other: VersionNode
) -> None:
    sealed.origin.add("render/xy_010_v005/depth/xy_010_v005.1001.exr", b"late")
    assert await other.names(SHOT) == ["beauty", "beauty.txt"]
    assert not await other.exists(f"{SHOT}/depth")
    report = await other.fs.reports.verify(SHOT)
    assert report.named == (("extra", "depth/xy_010_v005.1001.exr"),)


async def test_a_manifest_that_was_deleted_is_put_back(sealed: VersionNode) -> None:
    before = manifest(sealed)
    del sealed.origin.objects[MANIFEST]
    report = await sealed.fs.reports.verify(SHOT)
    assert not report.intact
    assert "deleted" in report.manifest
    assert (await sealed.seal()).already
    assert manifest(sealed) == before
    assert (await sealed.fs.reports.verify(SHOT)).intact


async def test_a_restart_without_the_origin_forgets_no_seal(
    site: Site, tmp_path: Path, sealed: VersionNode
) -> None:
    async with open_version_node(tmp_path / "c", site.origin, site.clock) as first:
        assert await first.read(FRAME) == b"pixels"
    site.origin.go_down()
    async with open_version_node(tmp_path / "c", site.origin, site.clock) as again:
        assert await again.read(FRAME) == b"pixels"
        assert await again.names(SHOT) == ["beauty", "beauty.txt"]
        assert not await again.exists(f"{SHOT}/depth.txt")
        with fails_with(errno.EEXIST):
            await again.open(FRAME, os.O_WRONLY)
        with pytest.raises(TierUnavailable):
            await again.read(SECOND_FRAME)
    site.origin.come_up()


# --- who comes too late --------------------------------------------------------------------------


async def test_a_late_file_is_kept_and_reported_and_never_uploaded(
    node: VersionNode, other: VersionNode
) -> None:
    await node.make(FRAME)
    await other.make_above(FRAME)
    late = await other.create(SECOND_FRAME)
    await late.write(0, b"late")
    await node.seal()
    await late.flush()
    await late.close()
    await other.until(lambda: any(one.path == SECOND_FRAME for one in other.node.spool.aside()))
    (item,) = (one for one in other.node.publisher.queue() if one.path == SECOND_FRAME)
    assert item.state is State.QUARANTINED
    assert "too late: its version was published by anna@a" in (item.error or "")
    assert SECOND_FRAME.removeprefix("ant/") not in node.origin.objects
    assert not await other.exists(SECOND_FRAME)


async def test_a_late_file_with_the_published_bytes_is_no_conflict(
    node: VersionNode, other: VersionNode
) -> None:
    await other.make_above(FRAME)
    late = await other.create(FRAME)
    await late.write(0, b"pixels")
    await node.make(FRAME, b"pixels")
    await node.seal()
    await late.flush()
    await late.close()
    await other.published(FRAME)
    assert other.node.publisher.queue() == []
    assert await other.read(FRAME) == b"pixels"


async def test_s02_a_node_that_does_not_know_yet_removes_nothing(
    node: VersionNode, other: VersionNode
) -> None:
    await node.make(FRAME, b"pixels")
    await node.make(NOTE, b"notes")
    for path in (FRAME, NOTE):
        assert (await other.fs.attributes(path)).mode & 0o200, "it believes that it is open"
    await node.seal()
    with fails_with(errno.EPERM):
        await other.fs.unlink(FRAME)
    assert FRAME.removeprefix("ant/") in node.origin.objects
    assert (await node.fs.reports.verify(SHOT)).intact


async def test_s02_what_a_node_that_does_not_know_yet_writes_is_not_published(
    node: VersionNode, other: VersionNode
) -> None:
    await node.make(NOTE, b"notes")
    assert (await other.fs.attributes(NOTE)).mode & 0o200
    await node.seal()
    await other.write(NOTE, b"changed")
    await other.until(lambda: any(one.path == NOTE for one in other.node.spool.aside()))
    assert await other.read(NOTE) == b"notes"
    assert (await node.fs.reports.verify(SHOT)).intact


async def test_s13_a_rename_by_a_node_that_does_not_know_yet_changes_nothing(
    node: VersionNode, other: VersionNode
) -> None:
    await node.make(NOTE, b"notes")
    assert (await other.fs.attributes(NOTE)).mode & 0o200
    await node.seal()
    for target in (f"{SHOT}/depth.txt", NOTE.replace("v005", "v006")):
        with pytest.raises(ShotfsError):
            await other.fs.rename(NOTE, target)
        assert await other.read(NOTE) == b"notes"
        assert (await node.fs.reports.verify(SHOT)).intact


async def test_an_upload_that_was_under_way_when_the_version_was_sealed_is_taken_back(
    node: VersionNode, other: VersionNode
) -> None:
    await node.make(FRAME)
    await other.make_above(FRAME)
    real = node.origin.put
    reached, go_on = trio.Event(), trio.Event()

    async def slow(key: str, *args: Any, **named: Any) -> Any:
        if key == SECOND_FRAME.removeprefix("ant/"):
            reached.set()
            await go_on.wait()
        return await real(key, *args, **named)

    node.origin.put = slow  # type: ignore[method-assign]  # a slow one
    await other.write(SECOND_FRAME, b"late")
    await reached.wait()
    await node.seal()
    go_on.set()
    await other.until(lambda: any(one.path == SECOND_FRAME for one in other.node.spool.aside()))
    assert SECOND_FRAME.removeprefix("ant/") not in node.origin.objects
    assert (await node.fs.reports.verify(SHOT)).intact


async def test_an_old_name_is_not_removed_from_a_sealed_version(
    node: VersionNode, other: VersionNode
) -> None:
    await node.make(FRAME)
    await node.make(NOTE, b"notes")
    # The other node renames a file of the version, and sees only afterwards that it is published.
    handle = await other.open(NOTE, os.O_WRONLY)
    await handle.write(0, b"changed")
    gate = node.origin.gate("put")
    await other.fs.rename(NOTE, f"{SHOT}/depth.txt")
    await handle.flush()
    await handle.close()
    gate.set()
    del node.origin.gates["put"]
    await other.published(f"{SHOT}/depth.txt")
    await node.seal()
    assert (await node.fs.reports.verify(SHOT)).intact


# --- crashes and rivals --------------------------------------------------------------------------


def sealing(node: VersionNode, *, by: str, age_s: float, attempt: str = "elsewhere-1") -> None:
    """Leave what a publish that died after its first step leaves."""
    at = time_text(node.clock.wall_s() - age_s)
    content = encode(Manifest("render/xy_010_v005", False, by, at, "", attempt, {}))
    node.origin.add(MANIFEST, content)


async def test_while_it_is_being_published_nobody_writes(
    node: VersionNode, other: VersionNode
) -> None:
    await node.make(FRAME)
    await node.make(NOTE)
    sealing(node, by="bert@b", age_s=1)
    exists, refused = fails_with(errno.EEXIST), fails_with(errno.EPERM)
    with exists:
        await other.open(FRAME, os.O_WRONLY)
    with refused:
        await other.fs.create(SECOND_FRAME, 0o644, os.O_WRONLY, ARTIST)
    with refused:
        await other.fs.unlink(NOTE)
    with refused:
        await other.truncate(FRAME, 0)
    assert await other.read(FRAME) == b"pixels"


async def test_an_output_waits_for_the_end_of_a_publish(
    node: VersionNode, other: VersionNode, site: Site
) -> None:
    await node.make(FRAME)
    await other.make_above(FRAME)
    late = await other.create(SECOND_FRAME)
    await late.write(0, b"late")
    sealing(node, by="bert@b", age_s=1)
    await late.flush()
    await late.close()
    await other.until(
        lambda: any("being published by bert@b" in (one.error or "") for one in _queue(other))
    )
    assert SECOND_FRAME.removeprefix("ant/") not in node.origin.objects
    assert [one.state for one in _queue(other)] == [State.SEALED]


def _queue(node: VersionNode) -> list[Any]:
    return node.node.publisher.queue()


async def test_another_node_is_told_who_publishes_and_takes_over_when_that_died(
    node: VersionNode, site: Site
) -> None:
    await node.make(FRAME)
    sealing(node, by="bert@b", age_s=30)
    with pytest.raises(VersionBusy, match=r"bert@b is publishing it, since .*Z"):
        await node.seal()
    site.clock.advance(31)
    done = await node.seal()
    assert (done.files, done.by) == (1, "anna@a")


async def test_a_node_carries_on_at_once_what_it_began_itself(site: Site, tmp_path: Path) -> None:
    async with open_version_node(tmp_path / "a", site.origin, site.clock) as node:
        await node.make(FRAME)
        sealing(node, by="anna@a", age_s=1, attempt=f"{node.node.spool.identity}-1")
    async with open_version_node(tmp_path / "a", site.origin, site.clock) as node:
        assert (await node.seal()).files == 1


async def test_a_publish_that_was_overtaken_says_who_did_it(
    node: VersionNode, other: VersionNode, site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    await node.make(FRAME)
    problems: list[str] = []
    gate = node.origin.gate("list")

    async def slow() -> None:
        try:
            await node.seal()
        except VersionBusy as exc:
            problems.append(exc.message)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(slow)
        await node.origin.reached("list")
        del node.origin.gates["list"]
        site.clock.advance(61)
        await other.seal(by="bert@b")
        gate.set()
    assert len(problems) == 1
    assert "bert@b has published it" in problems[0]
    assert manifest(node)["by"] == "bert@b"
    assert (await node.fs.reports.show(SHOT))["state"] == "sealed"


async def test_of_two_who_publish_at_once_one_wins(node: VersionNode, other: VersionNode) -> None:
    await node.make(FRAME)
    outcomes: list[str] = []

    async def seal(one: VersionNode, by: str) -> None:
        try:
            outcomes.append((await one.seal(by=by)).by)
        except VersionBusy as exc:
            outcomes.append(f"{by} lost: {exc.message}")

    async with trio.open_nursery() as nursery:
        nursery.start_soon(seal, node, "anna@a")
        nursery.start_soon(seal, other, "bert@b")
    winner = manifest(node)["by"]
    assert winner in outcomes
    lost = [text for text in outcomes if "lost" in text]
    assert all(winner in text for text in lost)
    assert len(lost) == 1 or outcomes == [winner, winner]


async def test_two_on_one_node_are_kept_apart(node: VersionNode) -> None:
    await node.make(FRAME)
    gate = node.origin.gate("list")
    async with trio.open_nursery() as nursery:
        nursery.start_soon(node.seal)
        await node.origin.reached("list")
        with pytest.raises(VersionBusy, match="anna@a is publishing it on this node"):
            await node.seal(by="bert@a")
        gate.set()
    assert manifest(node)["state"] == "sealed"


@pytest.mark.parametrize("step", range(7))
async def test_a_crash_at_any_step_leaves_what_the_next_publish_carries_on(
    node: VersionNode, other: VersionNode, site: Site, step: int
) -> None:
    """Every request to the origin is once the last that the node made."""
    await node.make(FRAME)
    await node.make(NOTE)
    count = 0

    def die(_operation: str, _key: str) -> None:
        nonlocal count
        count += 1
        if count > step:
            raise TierUnavailable("the node is gone")

    node.origin.fault = die
    with pytest.raises(TierUnavailable):
        await node.seal()
    node.origin.come_up()
    site.clock.advance(publishing.TAKE_OVER_S + 1)
    done = await other.seal(by="bert@b")
    assert done.files == 2
    assert manifest(node)["state"] == "sealed"
    assert await other.fs.read_link(LATEST) == "xy_010_v005"
    site.clock.advance(11)
    assert await node.fs.read_link(LATEST) == "xy_010_v005"
    assert (await node.seal()).already


async def test_a_publish_that_fails_lets_writers_go_on(node: VersionNode) -> None:
    await node.make(FRAME)

    def fail(operation: str, key: str) -> None:
        if operation == "list" and not key.startswith(".shotfs"):
            raise TierUnavailable("no listing today")

    node.origin.fault = fail
    with pytest.raises(TierUnavailable):
        await node.seal()
    node.origin.come_up()
    assert MANIFEST not in node.origin.objects
    await node.publish(FRAME, b"changed")
    assert (await node.seal()).files == 1


async def test_a_damaged_manifest_is_an_error_and_no_open_version(node: VersionNode) -> None:
    await node.make(FRAME)
    node.origin.add(MANIFEST, b'{"manifest": "shotfs-version/1"')
    node.node.filesystem._finder.versions._unsealed.clear()
    with fails_with(errno.EIO):
        await node.fs.create(SECOND_FRAME, 0o644, os.O_WRONLY, ARTIST)


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
