"""Versions that are taken back and deleted."""

from __future__ import annotations

import pytest

from shotfs.errors import (
    InvalidArgument,
    NotPermitted,
    VersionBusy,
)
from tests.unit.namespace.spec import MAIN
from tests.unit.vfs.versioned import (
    APPROVED,
    FRAME,
    SECOND_FRAME,
    SHOT,
    VersionNode,
)
from tests.unit.vfs.versions.retracting.marks import MARK, mark


async def test_deleting_removes_what_the_manifest_names_and_nothing_else(two: VersionNode) -> None:
    foreign = f"{SHOT}/beauty/xy_010_v005.1009.exr".removeprefix("ant/")
    two.origin.add(foreign, b"late")
    replaced = SECOND_FRAME.removeprefix("ant/")
    two.origin.add(replaced, b"other bytes")
    done = await two.retract(delete=True)
    assert (done.state, done.deleted, done.kept) == ("deleted", 1, 2)
    assert done.named == (
        ("changed", "beauty/xy_010_v005.1002.exr"), ("extra", "beauty/xy_010_v005.1009.exr"),
    )  # fmt: skip
    left = [key for key in two.origin.objects if key.startswith("render/xy_010_v005")]
    assert sorted(left) == sorted([foreign, replaced])
    assert [one["state"] for one in mark(two)] == ["deleting", "deleted"]
    with pytest.raises(NotPermitted, match="objects were deleted"):
        await two.restore()
    with pytest.raises(InvalidArgument, match="objects were deleted"):
        await two.fs.reports.verify(SHOT)


async def test_what_was_taken_back_can_be_deleted_later(two: VersionNode) -> None:
    await two.retract()
    done = await two.retract(why="make room", delete=True)
    assert (done.state, done.deleted) == ("deleted", 2)
    assert [one["state"] for one in mark(two)] == ["retracted", "deleting", "deleted"]


async def test_what_the_cache_has_of_it_goes_with_it(two: VersionNode) -> None:
    await two.read(FRAME)
    seal = two.fs._finder.versions.peek(MAIN, "render/xy_010_v005")
    assert seal is not None
    assert seal.snapshot is not None
    frame = seal.snapshot.find("beauty/xy_010_v005.1001.exr")
    assert frame is not None
    assert await two.node.cache.known(frame)
    await two.retract(delete=True)
    assert not await two.node.cache.known(frame)


async def test_what_is_pinned_here_is_deleted_only_if_that_is_said(two: VersionNode) -> None:
    await two.fs.cached_paths.pin([FRAME], "job-7", None, 10)
    with pytest.raises(VersionBusy, match="1 of its files are pinned"):
        await two.retract(delete=True)
    assert MARK not in two.origin.objects
    assert (await two.retract(delete=True, dry_run=True, pinned_too=True)).pinned == 1
    assert (await two.retract(delete=True, pinned_too=True)).deleted == 2


async def test_a_dry_run_does_nothing(two: VersionNode) -> None:
    two.origin.asked.clear()
    done = await two.retract(delete=True, dry_run=True)
    assert (done.dry_run, done.state, done.files) == (True, "deleted", 2)
    assert [(one.version, one.moved) for one in done.aliases] == [("v004", True)]
    assert done.staying == (APPROVED,)
    assert not [one for one in two.origin.asked if one[0] in ("put", "delete")]
    assert await two.exists(FRAME)
