"""Draining: as many outputs as possible within a deadline, and what goes to the emergency place."""

from __future__ import annotations

from pathlib import Path

import trio
from trio.testing import MockClock

from shotfs.errors import AccessDenied, TierUnavailable
from shotfs.publish import QueueItem, State
from shotfs.publish.emergency import decode, directory_of, node_prefix
from tests.unit.publish.fakes import (
    EMERGENCY,
    FakeTier,
    Site,
    breathe,
    make,
    site_in,
    terms,
    write_file,
)


def away(_key: str) -> None:
    raise TierUnavailable("the origin is away")


def refused(_key: str) -> None:
    raise AccessDenied("no permission")


def records(site: Site) -> dict[str, bool]:
    """Paths of the records in the emergency place, and whether they are partial."""
    found = {}
    for key, (_, content) in site.place.objects.items():
        if key.endswith(".json"):
            record = decode(content, key)
            assert key.removesuffix(".json") in site.place.objects, "a record means whole"
            found[record.path] = record.partial
    return found


async def let_pass(clock: MockClock, seconds: float) -> None:
    """Let *seconds* pass in steps of a tenth, and threads work between them."""
    for _ in range(round(seconds * 10)):
        clock.jump(0.1)
        for _ in range(6):
            await breathe()


def gone(_url: str) -> bool:
    """Stands for a breaker that is open: copies begin at once."""
    return True


async def drain_into_place(site: Site, clock: MockClock) -> list[QueueItem]:
    """Drain until everything is copied, then let the deadline pass."""
    left: list[QueueItem] = []

    async def drain() -> None:
        left.extend(await site.publisher.drain(20.0, emergency=True))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(drain)
        await site.until(lambda: all(item.emergency for item in site.publisher.queue()))
        clock.jump(21)
    return left


# --- order ---------------------------------------------------------------------------------------


async def test_a_drain_sends_the_smallest_first_also_of_what_was_due_before(tmp_path: Path) -> None:
    tier = FakeTier()
    tier.gate = trio.Event()
    async with site_in(tmp_path, tier, connections_max=1) as site:
        await write_file(site.spool, "show/0.exr", b"-")
        await tier.started.wait()  # has the only slot, and keeps it
        for name, size in (("a", 3000), ("b", 20), ("c", 1000)):
            await write_file(site.spool, f"show/{name}.exr", bytes(size))
        await write_file(site.spool, "show/dear.exr", bytes(9000), priority=10)
        for _ in range(20):
            await breathe()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(site.publisher.drain, 60.0)
            for _ in range(5):
                await breathe()
            tier.gate.set()
        # What a person said is worth more goes first; then whatever is over soonest.
        assert tier.puts == ["0.exr", "dear.exr", "b.exr", "c.exr", "a.exr"]


async def test_a_drain_may_use_every_connection_and_others_half_of_them(tmp_path: Path) -> None:
    tier = FakeTier()
    tier.gate = trio.Event()
    async with site_in(tmp_path, tier, connections_max=8) as site:
        for number in range(12):
            await write_file(site.spool, f"show/{number}.exr", b"x")
        await site.until(lambda: tier.in_flight == 4)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(site.publisher.drain, 60.0)
            await site.until(lambda: tier.in_flight == 8)
            tier.gate.set()
        assert tier.in_flight_peak == 8
        await site.until_empty()


async def test_after_a_drain_the_grace_counts_again(tmp_path: Path, mock_clock: MockClock) -> None:
    async with site_in(tmp_path) as site:
        assert await site.publisher.drain(5.0) == []
        entry = await write_file(site.spool, "show/a.exr", b"body", grace_s=100.0)
        for _ in range(20):
            await breathe()
        assert entry.state is State.OPEN
        mock_clock.jump(101)
        await site.until_empty()


async def test_a_drain_before_a_stop_waits_for_writers_until_its_deadline(
    tmp_path: Path, mock_clock: MockClock
) -> None:
    async with site_in(tmp_path) as site:
        file = await make(site.spool, "show/a.exr")
        await file.write(0, b"first half ")
        left = []

        async def drain() -> None:
            left.extend(await site.publisher.drain(25.0, writers=True))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(drain)
            await let_pass(mock_clock, 2)
            await file.write(11, b"and the other")
            await file.flush()
            await file.close()
        assert left == []
        assert site.tier.content("a.exr") == b"first half and the other"


async def test_a_drain_is_shortened_when_the_node_goes_earlier(
    tmp_path: Path, mock_clock: MockClock
) -> None:
    mock_clock.autojump_threshold = 0.05
    async with site_in(tmp_path) as site:
        site.tier.before = away
        await write_file(site.spool, "show/a.exr", b"body")
        async with trio.open_nursery() as nursery:
            nursery.start_soon(site.publisher.drain, 3600.0)
            await trio.sleep(10)
            site.publisher.hurry(20.0)
        assert trio.current_time() <= 31


# --- the emergency place -------------------------------------------------------------------------


async def test_without_being_told_to_a_drain_copies_nothing(
    tmp_path: Path, mock_clock: MockClock
) -> None:
    mock_clock.autojump_threshold = 0.05
    async with site_in(tmp_path) as site:
        site.tier.before = away
        await write_file(site.spool, "show/a.exr", b"body")
        (item,) = await site.publisher.drain(25.0)
        assert (item.path, item.emergency) == ("show/a.exr", None)
        assert not site.place.objects


async def test_what_is_left_near_the_deadline_is_copied_with_its_terms(
    tmp_path: Path, mock_clock: MockClock
) -> None:
    mock_clock.autojump_threshold = 0.05
    async with site_in(tmp_path) as site:
        site.tier.before = away
        entry = await write_file(
            site.spool, "show/a.exr", b"body", metadata={"shotfs-node": "node-7"}
        )
        (item,) = await site.publisher.drain(20.0, emergency=True)
        assert item.emergency is not None
        assert item.emergency.startswith(f"{EMERGENCY}/node-7/{site.spool.identity}/")
        assert 14 <= trio.current_time() <= 21
        key = item.emergency.removeprefix(f"{EMERGENCY}/")
        assert site.place.content(key) == b"body"
        record = decode(site.place.content(f"{key}.json"), key)
        assert (record.path, record.node, record.serial) == ("show/a.exr", "node-7", entry.serial)
        assert record.terms == entry.terms
        assert record.content == entry.content
        assert (record.mode, record.uid, record.gid) == (0o644, 1, 2)
        assert not record.partial


async def test_copies_begin_at_once_where_the_origin_is_known_to_be_gone(
    tmp_path: Path, mock_clock: MockClock
) -> None:
    async with site_in(tmp_path, gone=lambda url: True) as site:
        site.tier.before = away
        await write_file(site.spool, "show/a.exr", b"body")
        async with trio.open_nursery() as nursery:
            nursery.start_soon(lambda: site.publisher.drain(3600.0, emergency=True))
            await site.until(lambda: bool(records(site)))
            nursery.cancel_scope.cancel()
        assert mock_clock.current_time() < 60


async def test_quarantined_refused_and_partial_files_are_copied_and_marked(
    tmp_path: Path, mock_clock: MockClock
) -> None:
    async with site_in(tmp_path) as site:
        site.tier.add("lost.exr", b"theirs")
        lost = await write_file(site.spool, "show/lost.exr", b"ours")
        await site.until(lambda: lost.state is State.QUARANTINED)
        site.tier.before = refused
        no = await write_file(site.spool, "show/refused.exr", b"no")
        await site.until(lambda: no.state is State.FAILED)
        half = await make(site.spool, "show/half.exr")
        await half.write(0, b"so far")
        left: list[QueueItem] = []

        async def drain() -> None:
            left.extend(await site.publisher.drain(20.0, emergency=True, writers=True))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(drain)
            await site.until(lambda: len(records(site)) == 2)
            assert records(site) == {"show/lost.exr": False, "show/refused.exr": False}
            mock_clock.jump(15)  # now it is time for what may not get whole any more
            await site.until(lambda: all(item.emergency for item in site.publisher.queue()))
            mock_clock.jump(6)
        assert {item.path for item in left if item.emergency} == {
            "show/lost.exr",
            "show/refused.exr",
            "show/half.exr",
        }
        assert records(site)["show/half.exr"] is True
        contents = {content for _, content in site.place.objects.values()}
        assert {b"ours", b"no", b"so far"} <= contents
        await half.close()


async def test_the_node_that_publishes_after_all_takes_its_copies_away(
    tmp_path: Path, mock_clock: MockClock
) -> None:
    place = FakeTier(EMERGENCY)
    async with site_in(tmp_path, place=place, gone=gone) as site:
        site.tier.before = away
        await write_file(site.spool, "show/a.exr", b"body")
        await drain_into_place(site, mock_clock)
        assert len(place.objects) == 2
    # A restart later: the journal knows of them.
    async with site_in(tmp_path, place=place) as site:
        await site.until_empty()
        assert site.tier.content("a.exr") == b"body"
        assert not place.objects
    assert not list((tmp_path / "spool" / "files").iterdir())


async def test_a_copy_whose_record_never_came_is_taken_away_too(
    tmp_path: Path, mock_clock: MockClock
) -> None:
    place = FakeTier(EMERGENCY)
    tried = trio.Event()

    def no_records(key: str) -> None:
        if key.endswith(".json"):
            tried.set()
            raise TierUnavailable("gone in between")

    place.before = no_records
    async with site_in(tmp_path, place=place, gone=gone) as site:
        site.tier.before = away
        await write_file(site.spool, "show/a.exr", b"body")
        left: list[QueueItem] = []

        async def drain() -> None:
            left.extend(await site.publisher.drain(20.0, emergency=True))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(drain)
            await tried.wait()
            mock_clock.jump(21)
        assert [item.emergency for item in left] == [None], "without a record it is no copy"
        assert len(place.objects) == 1
        place.before = lambda _key: None
    async with site_in(tmp_path, place=place) as site:
        await site.until_empty()
        assert not place.objects


async def test_a_copy_of_what_is_published_meanwhile_does_not_stay(
    tmp_path: Path, mock_clock: MockClock
) -> None:
    place = FakeTier(EMERGENCY)
    place.gate = trio.Event()
    async with site_in(tmp_path, place=place, gone=gone) as site:
        site.tier.before = away
        entry = await write_file(site.spool, "show/a.exr", b"body")
        async with trio.open_nursery() as nursery:
            nursery.start_soon(lambda: site.publisher.drain(2000.0, emergency=True))
            await place.started.wait()
            site.tier.before = lambda _key: None
            await site.until_passed(mock_clock, lambda: entry.unlinked)
            place.gate.set()
        assert site.tier.content("a.exr") == b"body"
        assert not place.objects


async def test_a_second_drain_copies_only_what_changed(
    tmp_path: Path, mock_clock: MockClock
) -> None:
    async with site_in(tmp_path, gone=gone) as site:
        site.tier.before = away
        await write_file(site.spool, "show/a.exr", b"body")
        await drain_into_place(site, mock_clock)
        sent = len(site.place.puts)
        await write_file(site.spool, "show/b.exr", b"other")
        await drain_into_place(site, mock_clock)
        assert len(site.place.puts) == sent + 2


async def test_a_renamed_output_has_a_record_of_its_new_name(
    tmp_path: Path, mock_clock: MockClock
) -> None:
    async with site_in(tmp_path, gone=gone) as site:
        site.tier.before = away
        entry = await write_file(site.spool, "show/n.txt", b"body", immutable=False)
        await drain_into_place(site, mock_clock)
        await site.spool.rename("show/n.txt", "show/m.txt", terms("m.txt", immutable=False))
        async with trio.open_nursery() as nursery:
            nursery.start_soon(lambda: site.publisher.drain(20.0, emergency=True))
            await site.until(lambda: records(site) == {"show/m.txt": False})
            await site.until(
                lambda: [one.path for one in entry.emergency if one.done] == [entry.path]
            )
            mock_clock.jump(21)


async def test_an_emergency_place_that_fails_does_not_stop_the_drain(
    tmp_path: Path, mock_clock: MockClock
) -> None:
    async with site_in(tmp_path, place=FakeTier(EMERGENCY)) as site:
        site.tier.before = refused
        site.place.before = refused
        entry = await write_file(site.spool, "show/a.exr", b"body")
        await site.until(lambda: entry.state is State.FAILED)
        (item,) = await site.publisher.drain(20.0, emergency=True)
        assert item.emergency is None
        assert len(site.place.puts) == 3
        assert site.metrics.snapshot()["shotfs_emergency_copies_total{outcome=failed}"] == 3
        assert mock_clock.current_time() == 0


def test_any_node_name_is_one_element_of_a_key() -> None:
    assert node_prefix("render-0042") == "render-0042"
    assert node_prefix("..") == "%2E%2E"
    assert node_prefix("a/b") == "a%2Fb"
    assert directory_of("n", "id") == "n/id"
