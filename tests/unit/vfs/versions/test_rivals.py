"""Versions that several nodes publish at once, or that one left in the middle."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Any

import pytest
import trio

from shotfs.errors import (
    TierUnavailable,
    VersionBusy,
)
from shotfs.namespace.alias_document import time_text
from shotfs.namespace.manifests import Manifest, encode
from shotfs.publish import State
from shotfs.vfs import publishing
from tests.unit.vfs.versioned import (
    FRAME,
    LATEST,
    MANIFEST,
    NOTE,
    SECOND_FRAME,
    SHOT,
    VersionNode,
    manifest,
    open_version_node,
)
from tests.unit.vfs.world import ARTIST, Site, fails_with

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
