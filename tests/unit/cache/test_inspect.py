"""Reports on what comes in and what waits: filled from real streams and the real scheduler."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

import trio

from shotfs.cache import Asker, Cache, CachedFile
from shotfs.tiers.base import Revision, Span
from tests.unit.cache.fakes import MIB, FakeTier, cache_in, content_of, keep

MAYA = Asker(7, "maya", "job-1")
NUKE = Asker(8, "nuke", "")


async def until(condition: Callable[[], bool]) -> None:
    """Return when *condition* holds; lets tasks and threads work."""
    while not condition():
        await trio.to_thread.run_sync(int)


def asks(cache: Cache, revision: Revision) -> bool:
    """Whether a request for *revision* waits or is under way."""
    report = cache.inspector.stream_of(revision)
    return report is not None and bool(report.queued or report.under_way)


async def read(file: CachedFile, span: Span) -> None:
    await file.read(span)


async def prewarm(cache: Cache, tier: FakeTier, revision: Revision) -> None:
    await cache.fetch(tier, revision, asker=NUKE)


async def test_a_blocked_read_is_reported_with_its_range_and_asker(tmp_path: Path) -> None:
    tier = FakeTier()
    revision = tier.add("sim.vdb", content_of(4 * MIB))
    tier.gate = trio.Event()
    async with cache_in(tmp_path / "cache") as cache, trio.open_nursery() as nursery:
        file = await cache.open(tier, revision, asker=MAYA)
        nursery.start_soon(read, file, Span(MIB, MIB + 10))
        await until(lambda: tier.in_flight > 0)
        report = cache.inspector.stream_of(revision)
        assert report is not None
        (wait,) = report.waits
        assert (wait.start, wait.stop, wait.fetch_class) == (MIB, MIB + 10, "demand")
        assert wait.asker == MAYA
        assert any(one.start <= MIB < one.stop for one in report.under_way)
        assert (report.key, report.bytes_present, report.readers) == ("sim.vdb", 0, (MAYA,))
        assert report.rest_s is None  # nothing has come: nobody can say
        ((listed, same),) = cache.inspector.streams(10)
        assert (listed, same.key) == (revision, "sim.vdb")
        tier.gate.set()
        await file.complete()
        file.close()


async def test_what_waits_for_its_turn_knows_how_many_go_before_it(tmp_path: Path) -> None:
    tier = FakeTier()
    revisions = [tier.add(f"{number}.vdb", content_of(2 * MIB, number)) for number in range(6)]
    tier.gate = trio.Event()
    network = {"connections_max": 2}
    async with (
        cache_in(tmp_path / "cache", network=network) as cache,
        trio.open_nursery() as nursery,
    ):
        for revision in revisions:
            nursery.start_soon(prewarm, cache, tier, revision)
            # In this order: the disk's threads would mix it up.
            await until(partial(asks, cache, revision))
        last = cache.inspector.stream_of(revisions[-1])
        first = cache.inspector.stream_of(revisions[0])
        assert first is not None
        assert last is not None
        assert first.under_way
        assert not first.queued
        assert last.queued[0].fetch_class == "prewarm"
        assert last.queued[0].ahead == last.queued[0].position > 0
        (line,) = cache.inspector.lines()
        assert (line.origin, line.fetch_class) == (tier.name, "prewarm")
        assert line.under_way >= 1
        assert line.waiting >= 4
        assert line.waiting_bytes > 0
        tier.gate.set()


async def test_limits_of_an_origin_without_any_are_none(tmp_path: Path) -> None:
    async with cache_in(tmp_path / "cache") as cache:
        limits = cache.inspector.limits_of("fake://origin")
        assert (limits.bandwidth_bytes_per_s, limits.egress) == (None, None)
        assert cache.inspector.streams(10) == []
        assert cache.inspector.lines() == []


async def test_a_blob_knows_its_revisions_and_goes_when_nobody_has_it_open(
    tmp_path: Path,
) -> None:
    tier = FakeTier()
    revision = tier.add("oak.png", b"oak")
    async with cache_in(tmp_path / "cache") as cache:
        await keep(cache, tier, revision)
        digest = await cache.digest_of(revision)
        assert digest is not None
        ((origin,),) = await cache.inspector.origins([digest])
        assert (origin.tier, origin.key) == (tier.name, "oak.png")
        file = await cache.open(tier, revision, asker=MAYA)
        assert cache.inspector.readers_of(revision) == (MAYA,)
        assert await cache.drop([digest]) == []
        file.close()
        assert await cache.drop([digest]) == [digest]
        assert not await cache.known(revision)
        assert await cache.inspector.origins([digest]) == [()]
