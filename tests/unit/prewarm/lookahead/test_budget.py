"""Budget: what look-ahead may not spend."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import replace
from typing import Any

import pytest

from tests.unit.prewarm.lookahead.conftest import DOCUMENT, Job, LookAheadWorld
from tests.unit.vfs.world import Site

PLATES = [f"030/plate/bg.{frame}.exr" for frame in range(1001, 1011)]

Open = Callable[[str], AbstractAsyncContextManager[LookAheadWorld]]


@pytest.fixture
def configured(site: Site) -> Open:
    """Start a node with more configuration."""

    @asynccontextmanager
    async def opened(text: str) -> AsyncIterator[LookAheadWorld]:
        site.document = DOCUMENT
        site.more = text
        async with site.open() as world:
            yield LookAheadWorld(world)

    return opened


def refused(ahead: LookAheadWorld) -> dict[str, float]:
    found: dict[str, float] = {}
    for (reason,), count in ahead.world.node.metrics.lookahead_refused.values():
        found[reason] = count
    return found


async def test_switched_off_it_asks_nothing(configured: Open) -> None:
    async with configured("[lookahead]\nenabled = false\n") as ahead:
        ahead.add(*PLATES)
        assert not ahead.lookahead.wants
        await ahead.frame(1001).opens(PLATES[0])
        await ahead.comes()


async def test_a_job_has_no_more_ahead_than_its_budget(configured: Open) -> None:
    async with configured('[lookahead]\njob_bytes_max = "1 MiB"\n') as ahead:
        ahead.add(*PLATES, content=bytes(512 * 1024))
        await ahead.frame(1001).opens(PLATES[0])
        # The two nearest; another job has a budget of its own.
        await ahead.comes(*PLATES[1:3])
        assert refused(ahead) == {"budget": 1}
        await ahead.frame(1005, task="fx").opens(PLATES[4])
        await ahead.comes(*PLATES[1:3], *PLATES[5:7])


async def test_what_is_opened_makes_room_for_the_next(configured: Open) -> None:
    async with configured('[lookahead]\njob_bytes_max = "1 MiB"\n') as ahead:
        ahead.add(*PLATES, content=bytes(512 * 1024))
        for place in range(3):
            await ahead.frame(1001 + place).opens(PLATES[place])
            await ahead.settled()
        await ahead.comes(*PLATES[3:5])


async def test_a_budget_of_egress_that_warns_is_left_to_who_waits(configured: Open) -> None:
    origin = '[origins."mem://main"]\negress_bytes_per_day_max = "10 KiB"\n'
    async with configured(origin) as ahead:
        ahead.add(*PLATES, content=bytes(9 * 1024))
        await ahead.frame(1001).opens(PLATES[0])
        await ahead.comes()
        assert refused(ahead) == {"egress": 3}


async def test_a_large_file_is_fetched_once_its_sequence_was_read(
    ahead: LookAheadWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shotfs.prewarm.lookahead.large.WHOLE_BYTES_MAX", 1024)
    ahead.add(*PLATES, content=bytes(4096))
    await ahead.frame(1001).opens(PLATES[0])
    await ahead.settled()
    notes = await ahead.told(PLATES[1], ahead.frame(1002))
    assert notes is not None
    notes.read(0, 1000, 0.0)
    notes.read(1000, 1100, 0.0)
    notes.closed()
    await ahead.frame(1003).opens(PLATES[2])
    await ahead.comes(*PLATES[3:6])


async def test_a_full_cache_is_left_alone(ahead: LookAheadWorld, monkeypatch: Any) -> None:
    ahead.add(*PLATES)
    cache = ahead.world.node.cache
    stats = cache.stats
    monkeypatch.setattr(cache, "stats", lambda: _full(stats()))
    await ahead.frame(1001).opens(PLATES[0])
    await ahead.comes()
    assert refused(ahead) == {"cache": 3}


def _full(stats: Any) -> Any:
    return replace(stats, full="busy")


async def test_a_process_that_opens_files_everywhere_is_not_followed_any_more(
    ahead: LookAheadWorld,
) -> None:
    indexer = Job(ahead, name="indexer")
    for shot in range(1, 70):
        ahead.add(*(f"{shot:03d}/plate/bg.{frame}.exr" for frame in (1001, 1002)))
        await indexer.opens(f"{shot:03d}/plate/bg.1001.exr")
    here = await ahead.here()
    assert "060/plate/bg.1002.exr" in here
    assert not here & {f"{shot:03d}/plate/bg.1002.exr" for shot in range(65, 70)}
