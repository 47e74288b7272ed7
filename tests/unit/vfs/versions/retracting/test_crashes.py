"""Versions that are taken back: crashes, and others who do the same."""

from __future__ import annotations

import pytest
import trio

from shotfs.errors import (
    NotPermitted,
    TierUnavailable,
    VersionBusy,
)
from shotfs.vfs.version_retracting import Role
from tests.unit.vfs.versioned import (
    FRAME,
    VersionNode,
)
from tests.unit.vfs.versions.retracting.marks import link, mark


async def test_taking_back_while_it_is_being_published_waits_for_the_end(
    node: VersionNode, other: VersionNode
) -> None:
    await node.make(FRAME)
    async with trio.open_nursery() as nursery:
        gate = node.origin.gate("list")
        nursery.start_soon(node.seal)
        await node.origin.reached("list")
        del node.origin.gates["list"]
        with pytest.raises(VersionBusy, match="anna@a is publishing it"):
            await other.retract()
        gate.set()
    assert (await other.retract()).state == "retracted"


@pytest.mark.parametrize("delete", [False, True])
async def test_after_a_crash_between_any_two_requests_repeating_it_carries_on(
    two: VersionNode, other: VersionNode, delete: bool
) -> None:
    """Each attempt changes one object, and dies at the second; the two nodes take turns."""
    deaths = 0
    while True:
        changes = 0

        def die(operation: str, key: str) -> None:
            nonlocal changes
            changes += operation == "put" or (operation == "delete" and key in two.origin.objects)
            if changes == 2:
                raise TierUnavailable(f"{key}: {operation}: the node died")

        two.origin.fault = die
        try:
            done = await (two if deaths % 2 else other).retract(delete=delete)
            break
        except TierUnavailable:
            deaths += 1
        finally:
            two.origin.come_up()
    # Mark, alias, and with --delete two objects and the mark again.
    assert deaths == (4 if delete else 1)
    assert done.state == ("deleted" if delete else "retracted")
    two.clock.advance(11)
    for one in (two, other):
        assert not await one.exists(FRAME)
        assert await link(one) == "xy_010_v004"
    left = [key for key in two.origin.objects if key.startswith("render/xy_010_v005")]
    assert bool(left) is not delete


async def test_of_two_who_take_it_back_at_once_both_are_told_the_first(
    two: VersionNode, other: VersionNode
) -> None:
    done = {}

    async def one(which: VersionNode, by: str) -> None:
        done[by] = await which.retract(role=Role(by, admin=True))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(one, two, "anna@a")
        nursery.start_soon(one, other, "bert@b")
    assert len(mark(two)) == 1
    assert {one.by for one in done.values()} == {mark(two)[0]["by"]}
    assert sorted(one.already for one in done.values()) == [False, True]


async def test_restoring_loses_against_deleting(two: VersionNode, other: VersionNode) -> None:
    await two.retract()
    problems: list[str] = []

    async def restore() -> None:
        try:
            await other.restore()
        except NotPermitted as exc:
            problems.append(exc.message)

    gate = two.origin.gate("put")
    async with trio.open_nursery() as nursery:
        nursery.start_soon(restore)
        await two.origin.reached("put")
        del two.origin.gates["put"]
        await two.retract(delete=True)
        gate.set()
    assert "objects were deleted" in problems[0]
    assert [one["state"] for one in mark(two)] == ["retracted", "deleting", "deleted"]
