"""Rescue: another node publishes what one that was taken away left in the emergency place."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest
import trio
from trio.testing import MockClock

from shotfs.errors import NoTemplate, TierUnavailable
from shotfs.pathspec import SealOn
from shotfs.publish import PublishTerms, QueueItem, State
from shotfs.publish.emergency import decode, put_record
from shotfs.publish.rescue import Rescued, Rescuer
from shotfs.tiers.base import Revision
from tests.unit.publish.fakes import (
    EMERGENCY,
    ORIGIN,
    FakeTier,
    Site,
    key_of,
    make,
    site_in,
    terms,
    write_file,
)


def away(_key: str) -> None:
    raise TierUnavailable("the origin is away")


def own_terms(path: str, base: Revision | None) -> PublishTerms:
    """What the rescuing node's specification says."""
    if "nowhere" in path:
        raise NoTemplate(path)
    mutable = path.endswith(".txt")
    return terms(key_of(path), base=base, immutable=not mutable, grace_s=3600.0)


def rescuer(site: Site, place: FakeTier | None = None) -> Rescuer:
    place = place or site.place

    async def tiers(url: str) -> FakeTier:
        return {ORIGIN: site.tier, EMERGENCY: place}[url]

    return Rescuer(site.spool, site.publisher, tiers, own_terms, EMERGENCY)


@asynccontextmanager
async def node_that_goes(
    tmp_path: Path, place: FakeTier, clock: MockClock, tier: FakeTier | None = None
) -> AsyncIterator[Site]:
    """A node whose outputs the block makes; at its end they are in *place*, and it is gone."""
    tier = tier or FakeTier()
    async with site_in(tmp_path, tier, place=place, gone=lambda _url: True) as site:
        tier.before = away
        yield site
        async with trio.open_nursery() as nursery:
            nursery.start_soon(lambda: site.publisher.drain(20.0, emergency=True, writers=True))
            queue: list[QueueItem] = []
            while not queue or not all(item.emergency for item in queue):
                clock.jump(0.2)
                await trio.testing.wait_all_tasks_blocked(0.005)
                queue = site.publisher.queue()
            nursery.cancel_scope.cancel()
        tier.before = lambda _key: None


def outcomes(found: list[Rescued]) -> dict[str, str]:
    return {one.path: one.outcome for one in found}


async def test_another_node_publishes_what_was_left_and_takes_the_copies_away(
    tmp_path: Path, mock_clock: MockClock
) -> None:
    place = FakeTier(EMERGENCY)
    async with node_that_goes(tmp_path / "a", place, mock_clock) as gone:
        await write_file(gone.spool, "show/a.exr", b"pixels", metadata={"shotfs-node": "node-7"})
        await write_file(gone.spool, "show/e.exr", b"")
    async with site_in(tmp_path / "b", place=place) as site:
        found = await rescuer(site).run(None, dry_run=True)
        assert outcomes(found) == {"show/a.exr": "would", "show/e.exr": "would"}
        assert not site.tier.objects
        found = await rescuer(site).run(None, dry_run=False)
        assert outcomes(found) == {"show/a.exr": "published", "show/e.exr": "published"}, found
        assert {one.node for one in found} == {"node-7"}
        assert site.tier.content("a.exr") == b"pixels"
        assert site.tier.content("e.exr") == b""
        assert site.tier.metadata["a.exr"] == {"shotfs-node": "node-7"}, "who rendered it"
        await site.until_empty()
        assert not place.objects
        assert await rescuer(site).run(None, dry_run=False) == []


@pytest.mark.parametrize("seal", [SealOn.RENAME, SealOn.JOB_END])
async def test_a_whole_copy_is_published_whatever_its_template_waits_for(
    tmp_path: Path, mock_clock: MockClock, seal: SealOn
) -> None:
    waits = {"seal": seal, "job": "7"}
    place = FakeTier(EMERGENCY)
    async with node_that_goes(tmp_path / "a", place, mock_clock) as gone:
        await write_file(gone.spool, "show/a.exr.tmp", b"pixels", scratch=True, **waits)
        await gone.spool.rename("show/a.exr.tmp", "show/a.exr", terms("a.exr", **waits))
    async with site_in(tmp_path / "b", place=place) as site:

        def waiting_terms(path: str, base: Revision | None) -> PublishTerms:
            return replace(own_terms(path, base), seal=seal)

        async def tiers(url: str) -> FakeTier:
            return {ORIGIN: site.tier, EMERGENCY: place}[url]

        rescue = Rescuer(site.spool, site.publisher, tiers, waiting_terms, EMERGENCY)
        assert outcomes(await rescue.run(None, dry_run=False)) == {"show/a.exr": "published"}
        assert site.tier.content("a.exr") == b"pixels"


async def test_only_one_nodes_copies_are_taken_where_one_is_named(
    tmp_path: Path, mock_clock: MockClock
) -> None:
    place = FakeTier(EMERGENCY)
    async with node_that_goes(tmp_path / "a", place, mock_clock) as gone:
        await write_file(gone.spool, "show/a.exr", b"pixels")
    async with site_in(tmp_path / "b", place=place) as site:
        assert await rescuer(site).run("node-8", dry_run=False) == []
        assert len(await rescuer(site).run("node-7", dry_run=False)) == 1


async def test_s18_the_same_bytes_in_the_origin_are_a_success_and_no_second_object(
    tmp_path: Path, mock_clock: MockClock
) -> None:
    place = FakeTier(EMERGENCY)
    async with node_that_goes(tmp_path / "a", place, mock_clock) as gone:
        await write_file(gone.spool, "show/a.exr", b"pixels")
    async with site_in(tmp_path / "b", place=place) as site:
        site.tier.add("a.exr", b"pixels")
        assert outcomes(await rescuer(site).run(None, dry_run=False)) == {"show/a.exr": "same"}
        assert not place.objects
        assert site.tier.puts == []


async def test_s18_other_bytes_in_the_origin_stay_and_ours_go_into_quarantine(
    tmp_path: Path, mock_clock: MockClock
) -> None:
    place = FakeTier(EMERGENCY)
    async with node_that_goes(tmp_path / "a", place, mock_clock) as gone:
        await write_file(gone.spool, "show/a.exr", b"pixels")
    async with site_in(tmp_path / "b", place=place) as site:
        site.tier.add("a.exr", b"theirs")
        assert outcomes(await rescuer(site).run(None, dry_run=False)) == {"show/a.exr": "conflict"}
        assert site.tier.content("a.exr") == b"theirs"
        (kept,) = site.spool.aside()
        assert kept.state is State.QUARANTINED
        assert not place.objects, "the quarantine of this node has it now"


async def test_two_rescuers_at_once_make_one_object(tmp_path: Path, mock_clock: MockClock) -> None:
    place, tier = FakeTier(EMERGENCY), FakeTier()
    async with node_that_goes(tmp_path / "a", place, mock_clock, tier) as gone:
        for number in range(5):
            await write_file(gone.spool, f"show/{number}.exr", b"%d" % number)
    found: list[Rescued] = []
    async with (
        site_in(tmp_path / "b", tier, place=place) as one,
        site_in(tmp_path / "c", tier, place=place) as two,
    ):

        async def run(site: Site) -> None:
            found.extend(await rescuer(site).run(None, dry_run=False))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(run, one)
            nursery.start_soon(run, two)
        await one.until(lambda: one.empty() and two.empty())
        assert {key: content for key, (_, content) in tier.objects.items()} == {
            f"{number}.exr": b"%d" % number for number in range(5)
        }
        assert {one.outcome for one in found} <= {"published", "same"}
        assert not place.objects
        assert not one.conflicts
        assert not two.conflicts


async def test_partial_files_and_foreign_paths_stay_where_they_are(
    tmp_path: Path, mock_clock: MockClock
) -> None:
    place = FakeTier(EMERGENCY)
    async with node_that_goes(tmp_path / "a", place, mock_clock) as gone:
        half = await make(gone.spool, "show/half.exr")
        await half.write(0, b"so far")
        await write_file(gone.spool, "show/nowhere.exr", b"1")
        moved = await write_file(gone.spool, "show/moved.exr", b"2")
        moved.terms = replace(terms("elsewhere.exr"), grace_s=0.0)
    before = set(place.objects)
    async with site_in(tmp_path / "b", place=place) as site:
        found = await rescuer(site).run(None, dry_run=False)
        assert outcomes(found) == {
            "show/half.exr": "partial",
            "show/nowhere.exr": "refused",
            "show/moved.exr": "refused",
        }
        assert set(place.objects) == before
        assert not site.tier.objects
        assert site.empty()
    await half.close()


async def test_a_copy_that_is_not_what_was_written_is_never_published(
    tmp_path: Path, mock_clock: MockClock
) -> None:
    place = FakeTier(EMERGENCY)
    async with node_that_goes(tmp_path / "a", place, mock_clock) as gone:
        await write_file(gone.spool, "show/a.exr", b"pixels")
        await write_file(gone.spool, "show/b.exr", b"pixels too")
    a, b = sorted(key for key in place.objects if not key.endswith(".json"))
    place.add(a, b"PIXELS")
    del place.objects[b]
    async with site_in(tmp_path / "b", place=place) as site:
        found = await rescuer(site).run(None, dry_run=False)
        assert outcomes(found) == {"show/a.exr": "failed", "show/b.exr": "failed"}
        assert not site.tier.objects
        assert site.spool.used_bytes == 0
        site.tier.add("b.exr", b"pixels too")
        found = await rescuer(site).run(None, dry_run=False)
        assert outcomes(found)["show/b.exr"] == "same", "its data is gone because it was published"


async def test_what_is_no_record_is_said_and_left(tmp_path: Path) -> None:
    async with site_in(tmp_path) as site:
        site.place.add("n/i/1-aa.json", b"{}")
        site.place.add("n/i/2-bb.json", b"\x00 not json")
        site.place.add("n/i/3-cc.json", b'{"emergency": "shotfs-emergency/9"}')
        found = await rescuer(site).run(None, dry_run=False)
        assert [one.outcome for one in found] == ["failed"] * 3
        assert len(site.place.objects) == 3


async def test_the_node_itself_leaves_its_copies_to_its_spool(
    tmp_path: Path, mock_clock: MockClock
) -> None:
    place, tier = FakeTier(EMERGENCY), FakeTier()
    async with node_that_goes(tmp_path, place, mock_clock, tier) as gone:
        await write_file(gone.spool, "show/a.exr", b"pixels")
    tier.gate = trio.Event()
    async with site_in(tmp_path, tier, place=place) as site:
        assert outcomes(await rescuer(site).run(None, dry_run=False)) == {"show/a.exr": "own"}


async def test_a_mutable_file_replaces_what_it_was_opened_from_and_nothing_else(
    tmp_path: Path, mock_clock: MockClock
) -> None:
    place, tier = FakeTier(EMERGENCY), FakeTier()
    base = tier.add("n.txt", b"old")
    async with node_that_goes(tmp_path / "a", place, mock_clock, tier) as gone:
        await write_file(gone.spool, "show/n.txt", b"new", immutable=False, base=base)
    async with site_in(tmp_path / "b", tier, place=place) as site:
        found = await rescuer(site).run(None, dry_run=False)
        assert outcomes(found) == {"show/n.txt": "published"}
        assert tier.content("n.txt") == b"new"
        await site.until_empty()


async def test_records_survive_a_round_through_json(tmp_path: Path, mock_clock: MockClock) -> None:
    place = FakeTier(EMERGENCY)
    async with node_that_goes(tmp_path / "a", place, mock_clock) as gone:
        await write_file(gone.spool, "show/a.exr", b"pixels", version="shots/v001", priority=3)
    (key,) = (key for key in place.objects if key.endswith(".json"))
    record = decode(place.content(key), key)
    assert record.terms is not None
    assert (record.terms.version, record.terms.priority) == ("shots/v001", 3)
    await put_record(place, key, replace(record, path="show/b.exr"))
    assert decode(place.content(key), key).path == "show/b.exr"
