"""Pins stay, survive restarts, end by a clock that can be believed; and blobs come in pages."""

from __future__ import annotations

from pathlib import Path

import pytest

from shotfs.cache import index as cache_index
from shotfs.cache.index import PinsFull
from shotfs.cache.pins import STEADY_S, SteadyClock
from shotfs.errors import CacheError
from tests.unit.cache.fakes import KIB, FakeTier, cache_in, content_of, keep


@pytest.fixture
def tier() -> FakeTier:
    return FakeTier()


async def test_s11_eviction_never_takes_what_is_pinned(tier: FakeTier, tmp_path: Path) -> None:
    revisions = [tier.add(f"f{number}", content_of(KIB, number)) for number in range(6)]
    async with cache_in(tmp_path / "c", files_max=4) as cache:
        await keep(cache, tier, revisions[0])
        await cache.pin(revisions[0], "layout", None)
        await cache.pin(revisions[1], "layout", None)  # not here yet
        for revision in revisions[1:]:
            await keep(cache, tier, revision)
        assert [await cache.known(revision) for revision in revisions[:2]] == [True, True]
        stats = cache.stats()
        assert (stats.pins, stats.pinned_files, stats.pinned_bytes) == (2, 2, 2 * KIB)
        await cache.evict(None)
        assert [await cache.known(one) for one in revisions] == [True, True] + [False] * 4
        digest = await cache.digest_of(revisions[0])
        assert digest is not None
        assert await cache.drop([digest]) == []
        assert await cache.unpin(revisions[0], "layout")
        assert not await cache.unpin(revisions[0], "layout")
        assert await cache.drop([digest]) == [digest]


async def test_a_pin_of_two_owners_ends_with_the_later_one_and_survives_a_restart(
    tier: FakeTier, tmp_path: Path
) -> None:
    revision = tier.add("a", content_of(KIB))
    async with cache_in(tmp_path / "c") as cache:
        await cache.pin(revision, "comp", None)
        await cache.pin(revision, "layout", 5000.0)
        await keep(cache, tier, revision)
    async with cache_in(tmp_path / "c") as cache:
        pins = await cache.pins()
        assert [(pin.owner, pin.until_s, pin.cached, pin.key) for pin in pins] == [
            ("comp", None, True, "a"),
            ("layout", 5000.0, True, "a"),
        ]
        assert await cache.pins(pins[0], 1) == [pins[1]]
        assert await cache.unpin(pins[0], "comp")
        assert (await cache.evict(None)).files == 0
        await cache._pins.expire(4999.0)
        assert (await cache.evict(None)).files == 0
        await cache._pins.expire(5000.0)
        assert (await cache.evict(None)).files == 1
        stats = cache.stats()
        assert (stats.pins, stats.pins_bytes, stats.pinned_files, stats.pinned_bytes) == (0,) * 4


async def test_s08_a_cache_full_of_pins_streams_without_keeping_and_says_so_once(
    tier: FakeTier, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    revisions = [tier.add(f"f{number}", content_of(KIB, number)) for number in range(5)]
    async with cache_in(tmp_path / "c", files_max=2) as cache:
        for revision in revisions[:2]:
            await keep(cache, tier, revision)
            await cache.pin(revision, "layout", None)
        assert cache.stats().full == ""
        for revision in revisions[2:]:
            file = await cache.open(tier, revision)
            with pytest.raises(CacheError):
                await file.complete()
            file.close()
        assert "pinned" in cache.stats().full
    said = [record for record in caplog.records if "the cache is full" in record.message]
    assert len(said) == 1


async def test_pins_are_bounded_and_their_owners_checked(
    tier: FakeTier, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cache_index.pins, "PINS_MAX", 2)
    revisions = [tier.add(f"f{number}", content_of(KIB, number)) for number in range(3)]
    async with cache_in(tmp_path / "c") as cache:
        for owner in ("", "two\nlines", "x" * 257):
            with pytest.raises(CacheError):
                await cache.pin(revisions[0], owner, None)
        for revision in (*revisions[:2], revisions[0]):
            await cache.pin(revision, "me", None)
        with pytest.raises(PinsFull, match="shotfs cache unpin"):
            await cache.pin(revisions[2], "me", None)
        assert len(await cache.pins()) == 2


def test_the_wall_clock_is_believed_when_it_has_not_jumped_for_a_while() -> None:
    wall_s, passed_s = 1e9, 0.0
    clock = SteadyClock(lambda: wall_s, lambda: passed_s)

    def after(seconds: float, jump_s: float = 0) -> float | None:
        nonlocal wall_s, passed_s
        passed_s += seconds
        wall_s += seconds + jump_s
        return clock.now_s()

    assert after(STEADY_S - 60) is None  # a node that booted with a wrong clock
    assert after(60) == wall_s
    assert after(60, jump_s=3600 * 24 * 365) is None
    assert after(STEADY_S) == wall_s
    assert after(60, jump_s=-3600) is None
    assert after(STEADY_S - 1) is None
    assert after(60) == wall_s


@pytest.mark.parametrize("order", ["digest", "size", "used"])
async def test_all_blobs_come_in_pages_in_three_orders(
    tier: FakeTier, tmp_path: Path, order: str
) -> None:
    sizes = [300, 100, 100, 200, 500]
    revisions = [tier.add(f"f{n}", content_of(size, n)) for n, size in enumerate(sizes)]
    async with cache_in(tmp_path / "c") as cache:
        for revision in revisions:
            await keep(cache, tier, revision)
        await cache.pin(revisions[3], "me", None)
        file = await cache.open(tier, revisions[4])
        entries, after = [], ""
        while page := await cache.entries(after, 2, order):  # type: ignore[arg-type]
            assert len(page) <= 2
            entries += page
            after = page[-1].cursor
        digests = [await cache.digest_of(revision) for revision in revisions]
        assert {one.digest for one in entries} == set(digests)
        assert [one.digest for one in entries if one.pinned] == [digests[3]]
        assert [one.digest for one in entries if one.open] == [digests[4]]
        keys = {
            "digest": [one.digest for one in entries],
            "size": [-one.size_bytes for one in entries],
            "used": [-one.used_serial for one in entries],
        }
        assert keys[order] == sorted(keys[order])
        with pytest.raises(ValueError, match=r"digest|number"):
            await cache.entries("no cursor", 2, order)  # type: ignore[arg-type]
        file.close()
