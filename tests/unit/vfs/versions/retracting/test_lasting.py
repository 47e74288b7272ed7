"""Versions that are taken back: nothing takes their place, and they can be restored."""

from __future__ import annotations

import errno
import os

import pytest

from shotfs.errors import (
    InvalidArgument,
    NotPermitted,
    PublishedImmutable,
)
from shotfs.publish import SpoolEntry, State
from shotfs.vfs.version_retracting import Role
from tests.unit.vfs.versioned import (
    FRAME,
    SHOT,
    VersionNode,
)
from tests.unit.vfs.versions.retracting.marks import OLDER, link, mark
from tests.unit.vfs.world import ARTIST, fails_with


async def test_its_number_is_never_given_again(two: VersionNode) -> None:
    await two.retract(delete=True)
    assert not [key for key in two.origin.objects if key.startswith("render/xy_010_v005")]
    assert await two.fs.reports.next(OLDER) == "ant/render/xy_010_v006"


async def test_nothing_is_published_as_it_again(two: VersionNode, other: VersionNode) -> None:
    await two.retract()
    with pytest.raises(PublishedImmutable, match="taken back by root@a") as caught:
        await other.seal()
    assert "shotfs version restore" in (caught.value.fix or "")
    refused = fails_with(errno.EPERM)
    for one in (two, other):
        with refused:
            await one.fs.create(f"{SHOT}/beauty/xy_010_v005.1003.exr", 0o644, os.O_WRONLY, ARTIST)
        with refused:
            await one.fs.make_directory(SHOT, 0o755, ARTIST)
    with pytest.raises(PublishedImmutable, match="nothing is published as it again"):
        await two.fs.make_directory(SHOT, 0o755, ARTIST)


async def test_s04_an_output_that_comes_too_late_for_it_is_kept_in_quarantine(
    two: VersionNode, other: VersionNode
) -> None:
    """Also if it is what the version had: with --delete there is no other copy."""
    version = "ant/render/xy_010_v007"
    path = f"{version}/beauty/xy_010_v007.1001.exr"
    await other.make_above(path)
    handle = await other.create(path)
    await handle.write(0, b"late")
    await two.make(path, b"late")
    await two.seal(version)
    await two.retract(version, delete=True)
    await handle.flush()
    await handle.close()
    await other.until(lambda: bool(_quarantined(other)))
    (entry,) = _quarantined(other)
    assert (entry.path, "taken back by root@a" in (entry.error or "")) == (path, True)
    assert path.removeprefix("ant/") not in other.origin.objects


def _quarantined(node: VersionNode) -> list[SpoolEntry]:
    entries = (*node.node.spool.entries(), *node.node.spool.aside())
    return [one for one in entries if one.state is State.QUARANTINED]


# --- and again ------------------------------------------------------------------------------------


async def test_restored_it_is_what_it_was(two: VersionNode, other: VersionNode) -> None:
    before = await two.fs.attributes(FRAME)
    await two.retract()
    two.clock.advance(20)
    assert not await other.exists(FRAME)
    done = await two.restore()
    assert (done.state, done.already) == ("restored", False)
    assert [(one.version, one.moved) for one in done.aliases] == [("v005", True)]
    assert (await two.fs.attributes(FRAME)).identity == before.identity
    assert "xy_010_v005" in await two.names("ant/render")
    two.clock.advance(11)
    assert await other.read(FRAME) == b"pixels"
    assert await link(other) == "xy_010_v005"
    assert [(one["state"], one["why"]) for one in mark(two)] == [
        ("retracted", "wrong colour"), ("restored", "was right"),
    ]  # fmt: skip


async def test_an_alias_that_was_moved_since_does_not_come_back(two: VersionNode) -> None:
    await two.retract()
    await two.make("ant/render/xy_010_v006/beauty/xy_010_v006.1001.exr")
    await two.seal("ant/render/xy_010_v006")
    assert [(one.version, one.moved) for one in (await two.restore()).aliases] == [("v006", False)]


async def test_what_was_not_taken_back_cannot_be_restored(two: VersionNode) -> None:
    with pytest.raises(InvalidArgument, match="was not taken back"):
        await two.restore()
    await two.retract()
    await two.restore()
    assert (await two.restore()).already


async def test_it_is_not_restored_without_its_bytes(two: VersionNode) -> None:
    await two.retract()
    two.origin.remove(FRAME.removeprefix("ant/"))
    with pytest.raises(NotPermitted, match="1 of its files are missing"):
        await two.restore()
    assert not await two.exists(FRAME)


async def test_repeated_it_is_told_who_was_first(two: VersionNode) -> None:
    await two.retract()
    again = await two.retract(why="once more", role=Role("bert@b", admin=True))
    assert (again.already, again.by, again.why) == (True, "root@a", "wrong colour")
    assert len(mark(two)) == 1
