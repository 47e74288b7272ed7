"""Versions and aliases when everything goes wrong at once: lost answers, clocks, damage, Ctrl-C."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import trio

from shotfs.errors import RecordInvalid, TierTimeout, VersionBusy
from shotfs.namespace.alias_document import BYTES_MAX, TEXT_MAX, Move, decode, encode, time_text
from shotfs.namespace.manifests import Manifest
from shotfs.namespace.manifests import encode as encode_manifest
from shotfs.vfs import publishing
from tests.unit.namespace.origin import Clock
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
from tests.unit.vfs.world import Site

LATEST_KEY = ".shotfs/aliases/render/xy_010_latest.json"
NEXT = SHOT.replace("v005", "v006")


# --- publishing ----------------------------------------------------------------------------------


@pytest.mark.parametrize("step", ["list", "put"])
async def test_a_publish_that_is_cancelled_lets_writers_go_on(node: VersionNode, step: str) -> None:
    await node.make(FRAME)
    async with trio.open_nursery() as nursery:
        if step == "list":
            node.origin.gate("list")
        else:
            # Before the second put of the manifest: the first one is of the marker.
            real = node.origin.put

            async def put(key: str, *args: Any, **named: Any) -> Any:
                if MANIFEST in node.origin.objects:
                    node.origin.gate("put")
                return await real(key, *args, **named)

            node.origin.put = put  # type: ignore[method-assign]  # this origin waits
        nursery.start_soon(node.seal)
        await node.until(lambda: step in node.origin.gates)
        await node.origin.reached(step)
        nursery.cancel_scope.cancel()
    node.origin.gates.clear()
    assert MANIFEST not in node.origin.objects
    await node.publish(NOTE)


@pytest.mark.parametrize("which", [1, 2])
async def test_a_publish_whose_answer_was_lost_closes_nothing_for_ever(
    node: VersionNode, which: int
) -> None:
    await node.make(FRAME)
    puts = 0
    real = node.origin.put

    async def put(key: str, *args: Any, **named: Any) -> Any:
        nonlocal puts
        revision = await real(key, *args, **named)
        puts += 1
        if puts == which:
            raise TierTimeout("the answer was lost")
        return revision

    node.origin.put = put  # type: ignore[method-assign]  # this origin loses an answer
    with pytest.raises(TierTimeout):
        await node.seal()
    if which == 1:
        assert MANIFEST not in node.origin.objects
        await node.publish(NOTE)
    else:
        assert json.loads(node.origin.content(MANIFEST))["state"] == "sealed"
    done = await node.seal()
    assert done.files == (2 if which == 1 else 1)
    assert await node.fs.read_link(LATEST) == "xy_010_v005"


async def test_a_node_that_died_with_its_clock_ahead_is_taken_over_all_the_same(
    node: VersionNode, site: Site
) -> None:
    await node.make(FRAME)
    at = time_text(site.clock.wall_s() + 10**7)
    marker = Manifest("render/xy_010_v005", False, "bert@dead", at, "", "dead-1", {})
    node.origin.add(MANIFEST, encode_manifest(marker))
    with pytest.raises(VersionBusy, match="bert@dead") as caught:
        await node.seal()
    assert caught.value.fix == "if that node is gone, try again in 60 s"
    site.clock.advance(publishing.TAKE_OVER_S + 0.1)
    assert (await node.seal()).files == 1


async def test_an_alias_is_not_taken_back_by_a_node_whose_clock_is_behind(
    site: Site, tmp_path: Path
) -> None:
    ahead = Clock()
    ahead.wall_offset_s += 600
    async with (
        open_version_node(tmp_path / "a", site.origin, ahead) as first,
        open_version_node(tmp_path / "b", site.origin, site.clock) as second,
    ):
        await first.make(FRAME)
        await first.seal(move_aliases=False)  # it dies before it moves them
        await second.seal()  # carries on
        await second.make(NOTE.replace("v005", "v006"))
        await second.seal(NEXT)
        await second.seal()  # somebody repeats it
        assert await second.fs.read_link(LATEST) == "xy_010_v006"


async def test_an_output_that_another_node_stored_too_late_counts_as_late_here(
    node: VersionNode, other: VersionNode
) -> None:
    """The same bytes lie there, but the manifest lacks them: published would be a lie."""
    await node.make_above(NOTE)
    node.origin.add(FRAME.removeprefix("ant/"), b"other")
    key = NOTE.removeprefix("ant/")
    real = node.origin.put

    async def put(which: str, *args: Any, **named: Any) -> Any:
        if which == key and key not in node.origin.objects:
            # Just before: another node seals the version, a third one stores these bytes late.
            node.origin.put = real  # type: ignore[method-assign]  # once
            await other.seal()
            node.origin.add(key, b"notes")
        return await real(which, *args, **named)

    node.origin.put = put  # type: ignore[method-assign]  # as above
    await node.write(NOTE, b"notes")
    await node.published(NOTE)
    [kept] = [one for one in node.node.publisher.queue() if one.path == NOTE]
    assert kept.state.value == "quarantined"


async def test_a_manifest_that_nobody_could_read_again_is_not_put(node: VersionNode) -> None:
    await node.make(FRAME)
    key = FRAME.removeprefix("ant/")
    revision, content = node.origin.objects[key]
    node.origin.objects[key] = (replace(revision, version="\n"), content)
    with pytest.raises(RecordInvalid, match="version has characters that no store uses"):
        await node.seal()
    assert MANIFEST not in node.origin.objects
    await node.publish(NOTE)


# --- what is damaged -----------------------------------------------------------------------------


async def test_a_damaged_manifest_is_read_once_for_each_ttl_and_revision(
    node: VersionNode, site: Site
) -> None:
    node.origin.add(FRAME.removeprefix("ant/"), b"pixels")
    node.origin.add(MANIFEST, b"{}")
    for _ in range(3):
        for path in (FRAME, NOTE, SHOT):
            with pytest.raises(RecordInvalid, match="not a version manifest"):
                await node.fs.lookup(path)
    assert (node.origin.count("stat", MANIFEST), node.origin.count("read", MANIFEST)) == (1, 1)
    site.clock.advance(10.1)
    with pytest.raises(RecordInvalid, match="not a version manifest"):
        await node.fs.lookup(FRAME)
    assert (node.origin.count("stat", MANIFEST), node.origin.count("read", MANIFEST)) == (2, 1)
    assert await node.names("ant/render") == ["xy_010_v005"]
    node.origin.remove(MANIFEST)
    site.clock.advance(10.1)
    assert await node.read(FRAME) == b"pixels"


async def test_a_damaged_alias_is_read_once_for_each_ttl_and_revision(
    node: VersionNode, site: Site
) -> None:
    node.origin.add(LATEST_KEY, b"[1]")
    for _ in range(3):
        with pytest.raises(RecordInvalid, match="not a version alias"):
            await node.fs.lookup(LATEST)
        assert await node.names("ant/render") == []
    assert node.origin.count("read", LATEST_KEY) == 1
    good = Move("v005", time_text(site.clock.wall_s()), "b@m", "")
    node.origin.add(LATEST_KEY, encode("render/xy_010_latest", [good]))
    site.clock.advance(10.1)
    assert await node.fs.read_link(LATEST) == "xy_010_v005"


# --- aliases -------------------------------------------------------------------------------------


async def test_a_move_whose_answer_was_lost_is_not_repeated_over_a_later_one(
    node: VersionNode, other: VersionNode
) -> None:
    await node.make(FRAME)
    real, lost = node.origin.put, False

    async def put(key: str, *args: Any, **named: Any) -> Any:
        nonlocal lost
        revision = await real(key, *args, **named)
        if key == LATEST_KEY and not lost:
            lost = True
            await other.move(LATEST, "v007", force=True)
            return await real(key, *args, **named)  # repeated, as the first answer never came
        return revision

    node.origin.put = put  # type: ignore[method-assign]  # this origin loses an answer
    await node.move(LATEST, "v005")
    history = await node.fs.aliases.history(LATEST)
    assert [move.version for move in history] == ["v005", "v007"]
    assert await node.fs.read_link(LATEST) == "xy_010_v007"


async def test_a_foreign_object_hides_an_alias_neither_from_lookups_nor_from_listings(
    node: VersionNode, site: Site
) -> None:
    await node.make(FRAME)
    node.origin.add("render/xy_010_latest", b"a file")
    node.origin.add("render/xy_010_latest/a.txt", b"a directory")
    node.origin.add("render/xy_010_approved/a.txt", b"a directory")
    await node.move(LATEST, "v005")
    site.clock.advance(10.1)
    assert await node.fs.read_link(LATEST) == "xy_010_v005"
    assert await node.names("ant/render") == ["xy_010_latest", "xy_010_v005"]
    assert not await node.exists(APPROVED)


async def test_long_reasons_do_not_make_an_alias_too_large_to_be_read(node: VersionNode) -> None:
    why = "\U0001f3ac" * TEXT_MAX
    long = [Move(f"v{n:03d}", time_text(n), why[:TEXT_MAX], why) for n in range(1_000)]
    data = encode("render/xy_010_latest", long)
    assert len(data) <= BYTES_MAX
    kept = decode(data, "k")
    assert kept == tuple(long[-len(kept) :])
    node.origin.add(LATEST_KEY, data)
    await node.make(FRAME)
    await node.move(LATEST, "v005", why=why)
    assert await node.fs.read_link(LATEST) == "xy_010_v005"


async def test_a_reason_that_is_no_utf8_moves_the_alias(node: VersionNode) -> None:
    await node.make(FRAME)
    await node.move(LATEST, "v005", why=os.fsdecode(b"fertig f\xfcr heute"))
    await node.seal(why=os.fsdecode(b"f\xfcr"))
    assert await node.fs.read_link(LATEST) == "xy_010_v005"
