"""Listings of aliases while their origin is away, and after a restart: whole or not at all."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import trio

from shotfs.errors import TierUnavailable
from shotfs.namespace.records import Records
from tests.unit.namespace.spec import MAIN
from tests.unit.namespace.test_aliases import MATCH, Node, Place, alias, alias_of


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


@pytest.fixture
async def node(place: Place) -> AsyncIterator[Node]:
    async with place.open() as opened:
        yield opened


async def test_s07_a_listing_after_a_restart_shows_the_aliases_of_the_last_one(
    place: Place,
) -> None:
    approved = alias("ab_approved")
    assert approved is not None
    async with place.open() as node:
        await node.move("v004")
        node.origin.add(".shotfs/aliases/render/xy_approved.json", b"{")  # damaged: never shown
        assert await node.listed() == {"xy_latest": "xy_v004"}
        # Moved on this node since: part of what it held last.
        await node.aliases.move("ant/render/ab_approved", approved, "v002", by="a@n")
    place.origin.go_down()
    async with place.open() as node:
        assert await node.listed() == {"xy_latest": "xy_v004", "ab_approved": "ab_v002"}
        assert await node.target() == "xy_v004"


async def test_an_alias_that_a_listing_missed_because_it_was_moved_meanwhile_is_kept(
    place: Place,
) -> None:
    approved = alias("ab_approved")
    assert approved is not None
    async with place.open() as node:
        await node.move("v004")
        await node.listed()
        node.clock.advance(11.0)
        # What the listing sees is what was there before the move.
        gate = node.origin.gate("list")
        async with trio.open_nursery() as nursery:
            nursery.start_soon(node.listed)
            await node.origin.reached("list")
            await node.aliases.move("ant/render/ab_approved", approved, "v002", by="a@n")
            node.origin.objects.pop(approved.key)
            gate.set()
    place.origin.go_down()
    async with place.open() as node:
        assert await node.listed() == {"xy_latest": "xy_v004", "ab_approved": "ab_v002"}


async def test_half_of_a_kept_listing_is_not_shown(place: Place) -> None:
    async with place.open() as node:
        await node.move("v004")
        await node.listed()
    place.origin.go_down()
    # The record of the alias itself is lost.
    async with place.open() as node:
        assert MATCH is not None
        await Records(str(place.directory / "node")).forget(f"alias  {MAIN} {MATCH.key}")
        with pytest.raises(TierUnavailable):
            await node.listed()


async def test_a_kept_listing_of_other_origins_is_not_shown(place: Place) -> None:
    async with place.open() as node:
        await node.move("v004")
        await node.listed()
    place.origin.go_down()
    async with place.open() as node:
        with pytest.raises(TierUnavailable):
            await node.aliases.listed("ant/render", "render", (MAIN, "mem://other"), 10.0, alias_of)


async def test_a_listing_whose_aliases_cannot_be_read_shows_where_they_pointed_or_nothing(
    node: Node, place: Place
) -> None:
    await node.move("v004")
    assert await node.listed() == {"xy_latest": "xy_v004"}
    approved = alias("ab_approved")
    assert approved is not None
    async with place.open("other") as other:
        await other.move("v005")

        def away(operation: str, _key: str) -> None:
            if operation == "read":
                raise TierUnavailable("away")

        node.clock.advance(11.0)
        node.origin.fault = away
        assert await node.listed() == {"xy_latest": "xy_v004"}
        node.origin.fault = lambda _operation, _key: None
        await other.aliases.move("ant/render/ab_approved", approved, "v002", by="a@n")
        node.clock.advance(11.0)
        node.origin.fault = away
        with pytest.raises(TierUnavailable):  # half a listing would be a wrong answer
            await node.listed()
        node.origin.fault = lambda _operation, _key: None
        assert await node.listed() == {"xy_latest": "xy_v005", "ab_approved": "ab_v002"}
