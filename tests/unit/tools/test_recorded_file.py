"""What a recording node writes down: opens, reads and closes of its cache engine, each once."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from tools.lib.bench.opens import Opened, from_events
from tools.lib.bench.recorded_file import Events, RecordedFile

from shotfs.cache import lending
from shotfs.tiers.base import Span
from tests.unit.cache.fakes import MIB, FakeTier, cache_in, content_of, keep


@pytest.fixture
def log(monkeypatch: pytest.MonkeyPatch) -> io.StringIO:
    log = io.StringIO()
    monkeypatch.setattr(RecordedFile, "events", Events(log), raising=False)
    monkeypatch.setattr(lending, "CachedFile", RecordedFile)
    return log


async def test_cold_and_warm_opens_are_recorded_with_what_was_read(
    log: io.StringIO, tmp_path: Path
) -> None:
    tier = FakeTier()
    revision = tier.add("a", content_of(MIB + 9))
    async with cache_in(tmp_path / "c") as cache:
        cold = await cache.open(tier, revision)
        assert len(await cold.read(Span(0, 100))) == 100
        await cold.complete()
        warm = await cache.open(tier, revision)
        assert warm.read_now(Span(MIB, 2 * MIB)) is not None
        warm.close()
        warm.close()
        cold.close()
    whole = Opened(revision.identity, MIB + 9, 100)
    assert from_events(log.getvalue().splitlines()) == [
        whole,
        Opened(revision.identity, MIB + 9, 9),
    ]


async def test_a_read_that_must_wait_counts_once(log: io.StringIO, tmp_path: Path) -> None:
    tier = FakeTier()
    revision = tier.add("a", content_of(MIB))
    async with cache_in(tmp_path / "c") as cache:
        file = await cache.open(tier, revision)
        assert file.read_now(Span(0, 50)) is None
        await file.read(Span(0, 50))
        file.close()
    assert [one.read_bytes for one in from_events(log.getvalue().splitlines())] == [50]


async def test_what_is_open_at_the_end_is_recorded_as_it_is(
    log: io.StringIO, tmp_path: Path
) -> None:
    tier = FakeTier()
    revision = tier.add("a", content_of(100))
    async with cache_in(tmp_path / "c") as cache:
        await keep(cache, tier, revision)
        file = await cache.open(tier, revision)
        await file.read(Span(0, 70))
        RecordedFile.events.finish()
        assert [one.read_bytes for one in from_events(log.getvalue().splitlines())][-1] == 70
        file.close()
