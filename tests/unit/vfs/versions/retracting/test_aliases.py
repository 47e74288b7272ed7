"""Versions that are taken back: where their aliases go."""

from __future__ import annotations

import pytest
import trio

from shotfs.errors import (
    InvalidArgument,
    PathNotFound,
)
from shotfs.vfs.version_targets import target_of
from tests.unit.namespace.spec import MAIN
from tests.unit.vfs.versioned import (
    APPROVED,
    FRAME,
    LATEST,
    SHOT,
    VersionNode,
)
from tests.unit.vfs.versions.retracting.marks import OLDER, OLDER_FRAME, link


async def test_an_alias_that_follows_goes_back_to_what_was_published_before(
    two: VersionNode, other: VersionNode
) -> None:
    assert await link(other) == "xy_010_v005"
    done = await two.retract()
    assert [(one.path, one.version, one.moved) for one in done.aliases] == [(LATEST, "v004", True)]
    assert await link(two) == "xy_010_v004"
    history = await two.fs.aliases.history(LATEST)
    assert history[-1].why == "v005 was taken back: wrong colour"
    two.clock.advance(11)
    assert await link(other) == "xy_010_v004"


async def test_an_alias_that_is_moved_by_hand_stays_and_leads_nowhere(two: VersionNode) -> None:
    done = await two.retract()
    assert done.staying == (APPROVED,)
    assert await link(two, APPROVED) == "xy_010_v005"
    assert not await two.exists(SHOT)


async def test_an_alias_without_an_older_version_points_nowhere(node: VersionNode) -> None:
    await node.make(FRAME)
    await node.seal()
    done = await node.retract()
    assert [one.version for one in done.aliases] == [None]
    assert await link(node) is None


async def test_an_alias_skips_what_was_taken_back_before(two: VersionNode) -> None:
    await two.retract(OLDER)
    done = await two.retract()
    assert [one.version for one in done.aliases] == [None]


async def test_an_alias_finds_a_version_that_it_never_pointed_to(node: VersionNode) -> None:
    await node.make(OLDER_FRAME)
    await node.seal(OLDER, move_aliases=False)
    await node.make(FRAME)
    await node.seal()
    assert [one.version for one in (await node.retract()).aliases] == ["v004"]


async def test_the_version_that_aliases_go_to_can_be_named(two: VersionNode) -> None:
    third = "ant/render/xy_010_v003"
    await two.make(f"{third}/beauty/xy_010_v003.1001.exr")
    await two.seal(third, move_aliases=False)
    with pytest.raises(PathNotFound, match="xy_010_v009"):
        await two.retract(alias_to="v009")
    with pytest.raises(InvalidArgument, match="what is taken back"):
        await two.retract(alias_to="v005")
    assert [one.version for one in (await two.retract(alias_to="v003")).aliases] == ["v003"]


async def test_no_alias_can_be_moved_to_it_but_by_force(two: VersionNode) -> None:
    await two.retract()
    with pytest.raises(PathNotFound, match="taken back by root@a"):
        await two.move(LATEST, "v005")
    assert (await two.move(APPROVED, "v005", force=True)).version == "v005"


async def test_an_alias_that_a_publish_moves_to_it_meanwhile_does_not_stay(
    two: VersionNode, other: VersionNode
) -> None:
    """One node takes v005 back while another, repeating its publish, moves the alias there."""
    await two.move(LATEST, "v004")
    done: list[str | None] = []

    async def repeat() -> None:
        finder = other.fs._finder
        seal = await finder.versions.ask(MAIN, "render/xy_010_v005")
        target = target_of(finder, SHOT)
        moved = await other.fs.aliases.follow(target, seal, "bert@b", "", already=False)
        done.extend(one.version for one in moved)

    gate = two.origin.gate("put")
    async with trio.open_nursery() as nursery:
        nursery.start_soon(repeat)
        await two.origin.reached("put")
        del two.origin.gates["put"]
        await two.retract()  # finds the alias at v004: nothing to do
        gate.set()
    assert done == ["v004"]
    assert [one.version for one in await two.fs.aliases.history(LATEST)][-2:] == ["v005", "v004"]
