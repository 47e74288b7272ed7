"""Verify and scrub: what the disk forgets is found, dropped and fetched again."""

from __future__ import annotations

import errno
import json
import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import trio
from trio.testing import MockClock

from shotfs.cache import Cache
from shotfs.cache.blobs import BlobStore
from shotfs.cache.scrub import DAY_S, Scrub
from shotfs.cache.verify import State, Verification
from shotfs.digest import Checksums, Digest, digest_bytes
from shotfs.errors import CacheBusy, DigestMismatch
from shotfs.observe.metrics import Metrics
from shotfs.tiers.base import Revision, Span
from tests.unit.cache.fakes import (
    KIB,
    MIB,
    FakeTier,
    cache_in,
    closed_down_to,
    content_of,
    keep,
    open_descriptors,
    read_all,
    settled,
)

FAST = 2**40
SIZES = (0, 1, 4095, 4096, 4097, MIB - 1, MIB, MIB + 1, 3 * MIB + 77)


@pytest.fixture
def tier() -> FakeTier:
    return FakeTier()


def _damage(cache: Cache, content: bytes) -> None:
    """Flip a bit of a blob behind the cache's back."""
    path = cache.blob_path(digest_bytes(content))
    os.chmod(path, 0o600)
    with open(path, "r+b") as blob:
        blob.seek(len(content) // 2)
        blob.write(bytes([content[len(content) // 2] ^ 4]))
    os.chmod(path, 0o400)


async def _verify(cache: Cache, *, repair: bool, only: list[Digest] | None = None) -> Verification:
    run = cache.verifier.start(repair=repair, bytes_per_s=FAST, only=only)
    await cache.verifier.wait()
    return run


async def test_s06_verify_reads_every_blob_and_finds_nothing_where_nothing_is_wrong(
    tier: FakeTier, tmp_path: Path
) -> None:
    async with cache_in(tmp_path / "c") as cache:
        for size in SIZES:
            await keep(cache, tier, tier.add(f"f{size}", content_of(size)))
        await settled(cache)
        run = await _verify(cache, repair=False)
        assert run.state is State.DONE
        assert (run.files, run.bytes) == (len(SIZES), sum(SIZES))
        assert (run.files_total, run.bytes_total) == (len(SIZES), sum(SIZES))
        assert (run.corrupt_count, run.unchecked_count, run.error) == (0, 0, "")


@pytest.mark.parametrize("size", [1, 4097, 3 * MIB + 77])
async def test_s06_verify_reports_a_corrupt_blob_with_its_origins_and_leaves_it_without_repair(
    tier: FakeTier, tmp_path: Path, size: int
) -> None:
    content = content_of(size)
    revision = tier.add("a", content)
    async with cache_in(tmp_path / "c") as cache:
        await keep(cache, tier, revision)
        await keep(cache, tier, tier.add("b", content, checksums=Checksums()))
        _damage(cache, content)
        run = await _verify(cache, repair=False)
        assert run.corrupt_count == 1
        (found,) = run.corrupt
        assert found.digest == digest_bytes(content)
        assert [origin.key for origin in found.origins] == ["a", "b"]
        assert "hashes to" in found.reason
        assert not found.dropped
        assert cache.stats().files == 1


async def test_s06_repair_drops_a_corrupt_blob_and_the_next_open_fetches_it_again(
    tier: FakeTier, tmp_path: Path
) -> None:
    content, other = content_of(64 * KIB), content_of(KIB, 2)
    revision = tier.add("a", content)
    damaged: list[Revision] = []
    async with cache_in(tmp_path / "c", on_damaged=damaged.append) as cache:
        await keep(cache, tier, revision)
        await keep(cache, tier, tier.add("b", other))
        await settled(cache)
        _damage(cache, content)
        run = await _verify(cache, repair=True)
        assert (run.files, run.corrupt_count, run.corrupt[0].dropped) == (2, 1, True)
        assert [one.identity for one in damaged] == [revision.identity]
        assert (cache.stats().files, cache.stats().bytes) == (1, KIB)
        assert not await cache.known(revision)
        assert await read_all(cache, tier, revision) == content
        assert (await _verify(cache, repair=False)).corrupt_count == 0


async def test_s06_who_has_read_from_a_damaged_blob_gets_eio_others_get_the_right_bytes(
    tier: FakeTier, tmp_path: Path
) -> None:
    content = content_of(2 * MIB)
    revision = tier.add("a", content)
    async with cache_in(tmp_path / "c") as cache:
        streamed = await cache.open(tier, revision)
        await streamed.complete()
        await settled(cache)
        reader, fresh = await cache.open(tier, revision), await cache.open(tier, revision)
        await reader.read(Span(0, 10))
        _damage(cache, content)
        await _verify(cache, repair=True)
        for seen in (streamed, reader):
            with pytest.raises(DigestMismatch, match="fetched again"):
                await seen.read(Span(0, 10))
        assert await fresh.read(Span(0, 2 * MIB)) == content
        for file in (streamed, reader, fresh):
            file.close()
        assert await read_all(cache, tier, revision) == content
        await settled(cache)
        assert cache.stats().open_blobs == 0


async def test_verify_of_some_blobs_looks_at_these_only(tier: FakeTier, tmp_path: Path) -> None:
    contents = [content_of(KIB, seed) for seed in range(4)]
    async with cache_in(tmp_path / "c") as cache:
        for number, content in enumerate(contents):
            await keep(cache, tier, tier.add(f"f{number}", content))
        for content in contents[:2]:
            _damage(cache, content)
        only = [digest_bytes(contents[1]), digest_bytes(contents[2]), Digest("0" * 32)]
        run = await _verify(cache, repair=False, only=only)
        assert (run.files, run.files_total) == (2, 3)
        assert [one.digest for one in run.corrupt] == [digest_bytes(contents[1])]


async def test_one_verification_runs_at_a_time_and_it_can_be_stopped(
    tier: FakeTier, tmp_path: Path
) -> None:
    async with cache_in(tmp_path / "c") as cache:
        for seed in range(3):
            await keep(cache, tier, tier.add(f"f{seed}", content_of(MIB, seed)))
        run = cache.verifier.start(repair=False, bytes_per_s=1000)
        with pytest.raises(CacheBusy, match="verified already"):
            cache.verifier.start(repair=False, bytes_per_s=1000)
        await cache.verifier.stop()
        assert run.state is State.STOPPED
        assert (await _verify(cache, repair=False)).files == 3


async def test_closing_the_cache_ends_a_verification(tier: FakeTier, tmp_path: Path) -> None:
    descriptors = open_descriptors()
    async with cache_in(tmp_path / "c") as cache:
        await keep(cache, tier, tier.add("a", content_of(3 * MIB)))
        run = cache.verifier.start(repair=False, bytes_per_s=1000)
        await trio.testing.wait_all_tasks_blocked()
    assert run.state is State.STOPPED
    await closed_down_to(descriptors)


@pytest.fixture
def jump(mock_clock: MockClock, monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """A function after which trio's time flies; work for threads is then done at once."""

    async def inline(function: Any, *arguments: Any, **_: Any) -> Any:
        await trio.lowlevel.checkpoint()
        return function(*arguments)

    def start() -> None:
        # trio's clock does not know of threads: it would fly while they work.
        monkeypatch.setattr(trio.to_thread, "run_sync", inline)
        mock_clock.autojump_threshold = 0

    return start


async def test_verify_keeps_to_its_rate(
    tier: FakeTier, tmp_path: Path, mock_clock: MockClock, jump: Callable[[], None]
) -> None:
    async with cache_in(tmp_path / "c") as cache:
        await keep(cache, tier, tier.add("a", content_of(30 * MIB)))
        jump()
        start = trio.current_time()
        cache.verifier.start(repair=False, bytes_per_s=MIB)
        await cache.verifier.wait()
        # One second's worth may be caught up.
        assert trio.current_time() - start >= 28


# --- the scrub -----------------------------------------------------------------------------------


PASS_S = 0.1 * DAY_S


class _Wall:
    """The time of day: trio's clock and what somebody set it off by."""

    def __init__(self) -> None:
        self.offset_s = 1_700_000_000.0

    def __call__(self) -> float:
        return trio.current_time() + self.offset_s


@asynccontextmanager
async def _scrubbing(
    cache: Cache, tmp_path: Path, wall: _Wall, metrics: Metrics, *, busy: bool = False
) -> AsyncIterator[Scrub]:
    """Scrub for the block: the whole cache in `PASS_S`, at 64 KiB a second at most."""
    scrub = Scrub(
        cache.verifier, str(tmp_path / "scrub.json"), days=0.1, bytes_per_s=64 * KIB,
        busy=lambda: busy, metrics=metrics, wall_s=wall,
    )  # fmt: skip
    async with trio.open_nursery() as nursery:
        nursery.start_soon(scrub.run)
        yield scrub
        nursery.cancel_scope.cancel()


async def _filled(cache: Cache, tier: FakeTier) -> list[bytes]:
    """Keep 64 files of 256 KiB; return their contents in the order of their digests."""
    contents = [content_of(256 * KIB, seed) for seed in range(64)]
    for number, content in enumerate(contents):
        await keep(cache, tier, tier.add(f"f{number}", content))
    await settled(cache)
    return sorted(contents, key=digest_bytes)


def _passes(metrics: Metrics) -> float:
    return metrics.snapshot()["shotfs_cache_scrub_passes_total"]


async def _passed(metrics: Metrics, count: int) -> None:
    """Wait until so many passes have ended; time also flies while the index works."""
    with trio.fail_after(3 * PASS_S):
        while _passes(metrics) < count:  # noqa: ASYNC110  # a counter has no event
            await trio.sleep(60)


async def test_s06_the_scrub_hashes_every_blob_once_in_its_days_and_drops_what_is_corrupt(
    tier: FakeTier, tmp_path: Path, mock_clock: MockClock, jump: Callable[[], None]
) -> None:
    metrics, wall = Metrics(), _Wall()
    async with cache_in(tmp_path / "c", metrics=metrics) as cache:
        contents = await _filled(cache, tier)
        jump()
        async with _scrubbing(cache, tmp_path, wall, metrics) as scrub:
            await trio.sleep(PASS_S / 2)
            assert 0.45 < scrub.now.share < 0.6
            read = metrics.snapshot()["shotfs_cache_checked_bytes_total"]
            done = sum(digest_bytes(content) <= scrub.now.after for content in contents)
            assert done * 256 * KIB <= read < (done + 1) * 264 * KIB
            _damage(cache, contents[0])  # had its turn: found in the next pass
            _damage(cache, contents[-1])
            await _passed(metrics, 1)
            assert not await trio.Path(cache.blob_path(digest_bytes(contents[-1]))).exists()
            await _passed(metrics, 2)
            assert cache.stats().files == 62
    found = metrics.snapshot()["shotfs_cache_corrupt_blobs_total{found_by=scrub}"]
    assert found == 2


async def test_the_scrub_goes_on_after_a_restart_where_it_was(
    tier: FakeTier, tmp_path: Path, mock_clock: MockClock, jump: Callable[[], None]
) -> None:
    metrics, wall = Metrics(), _Wall()
    async with cache_in(tmp_path / "c") as cache:
        await _filled(cache, tier)
        jump()
        async with _scrubbing(cache, tmp_path, wall, metrics) as scrub:
            await trio.sleep(0.4 * PASS_S)
            before = scrub.now.after
        async with _scrubbing(cache, tmp_path, wall, metrics) as scrub:
            await trio.sleep(60)
            assert scrub.now.after == before
            await trio.sleep(PASS_S / 10)
            assert scrub.now.after > before
            # A fifth off is caught up, at the bounded rate.
            wall.offset_s += 0.2 * PASS_S
            await trio.sleep(600)
            assert scrub.now.share > 0.65


@pytest.mark.parametrize("text", ["", "{", "[]", '{"after": 7, "began_s": 1}', '{"after": "zz"}'])
async def test_a_damaged_position_begins_a_new_pass(
    tier: FakeTier, tmp_path: Path, mock_clock: MockClock, jump: Callable[[], None], text: str
) -> None:
    (tmp_path / "scrub.json").write_text(text)
    async with cache_in(tmp_path / "c") as cache:
        await _filled(cache, tier)
        jump()
        async with _scrubbing(cache, tmp_path, _Wall(), Metrics()) as scrub:
            await trio.sleep(PASS_S / 10)
            assert 0.05 < scrub.now.share < 0.2
    assert json.loads((tmp_path / "scrub.json").read_text())["after"] == scrub.now.after


@pytest.fixture
def stuck(monkeypatch: pytest.MonkeyPatch) -> None:
    """A disk that does not let blobs go."""

    def refuse(*_: Any) -> bool:
        raise OSError(errno.EROFS, "Read-only file system")

    monkeypatch.setattr(BlobStore, "remove", refuse)


@pytest.mark.usefixtures("stuck")
async def test_s06_the_scrub_goes_on_after_a_corrupt_blob_that_cannot_be_unlinked(
    tier: FakeTier,
    tmp_path: Path,
    mock_clock: MockClock,
    jump: Callable[[], None],
    caplog: pytest.LogCaptureFixture,
) -> None:
    metrics, wall = Metrics(), _Wall()
    async with cache_in(tmp_path / "c", metrics=metrics) as cache:
        contents = await _filled(cache, tier)
        _damage(cache, contents[0])
        jump()
        async with _scrubbing(cache, tmp_path, wall, metrics):
            await _passed(metrics, 1)
    found = [one for one in caplog.records if one.message == "a blob is corrupt"]
    assert len(found) == 1
    assert not vars(found[0])["dropped"]


@pytest.mark.usefixtures("stuck")
async def test_s06_a_corrupt_blob_that_cannot_be_unlinked_is_reported_as_not_dropped(
    tier: FakeTier, tmp_path: Path
) -> None:
    content = content_of(64 * KIB)
    revision = tier.add("a", content)
    damaged: list[Revision] = []
    async with cache_in(tmp_path / "c", on_damaged=damaged.append) as cache:
        await keep(cache, tier, revision)
        await settled(cache)
        _damage(cache, content)
        run = await _verify(cache, repair=True)
        assert (run.state, run.corrupt[0].dropped) == (State.DONE, False)
        assert [one.identity for one in damaged] == [revision.identity]
        assert await read_all(cache, tier, revision) == content


@pytest.mark.parametrize("jump_s", [-400 * DAY_S, -3600.0, 400 * DAY_S])
async def test_a_clock_that_jumps_neither_stops_the_scrub_nor_makes_it_faster_than_its_rate(
    tier: FakeTier, tmp_path: Path, mock_clock: MockClock, jump: Callable[[], None], jump_s: float
) -> None:
    metrics, wall = Metrics(), _Wall()
    async with cache_in(tmp_path / "c") as cache:
        await _filled(cache, tier)
        jump()
        async with _scrubbing(cache, tmp_path, wall, metrics) as scrub:
            await trio.sleep(0.3 * PASS_S)
            before = metrics.snapshot()["shotfs_cache_checked_bytes_total"]
            wall.offset_s += jump_s
            await trio.sleep(60)
            after = metrics.snapshot()["shotfs_cache_checked_bytes_total"]
            assert after - before <= 62 * 64 * KIB + 256 * KIB
            await _passed(metrics, 1)
            assert scrub.now.began_s <= wall()


async def test_the_scrub_pauses_under_load_until_it_is_a_tenth_behind(
    tier: FakeTier, tmp_path: Path, mock_clock: MockClock, jump: Callable[[], None]
) -> None:
    metrics, wall = Metrics(), _Wall()
    async with cache_in(tmp_path / "c") as cache:
        await _filled(cache, tier)
        jump()
        async with _scrubbing(cache, tmp_path, wall, metrics, busy=True) as scrub:
            await trio.sleep(0.09 * PASS_S)
            assert scrub.now.share == 0
            await trio.sleep(0.21 * PASS_S)
            assert 0.15 < scrub.now.share < 0.25


async def test_opens_and_fetches_are_load(tier: FakeTier, tmp_path: Path) -> None:
    async with cache_in(tmp_path / "c") as cache:
        assert not cache._busy()
        revision = tier.add("a", content_of(KIB))
        await keep(cache, tier, revision)
        await settled(cache)
        assert cache._busy()
        assert not cache._busy()
        tier.gate = trio.Event()
        slow = await cache.open(tier, tier.add("b", content_of(KIB, 2)))
        assert cache._busy()
        assert cache._busy()
        slow.close()
        tier.gate.set()
