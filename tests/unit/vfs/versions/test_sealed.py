"""A sealed version is its manifest, whoever tries to change it."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Any

import pytest
import trio

from shotfs.errors import (
    ShotfsError,
    TierUnavailable,
)
from shotfs.publish import State
from shotfs.vfs import Change, Kind, Missing
from tests.unit.vfs.versioned import (
    FRAME,
    MANIFEST,
    MASTER,
    NOTE,
    SECOND_FRAME,
    SHOT,
    VersionNode,
    manifest,
    open_version_node,
)
from tests.unit.vfs.world import ARTIST, Site, fails_with

# --- once it is sealed ---------------------------------------------------------------------------


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
