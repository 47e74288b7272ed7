"""Promises S8, S10 and S11: limits hold, memory is bounded, open files stay."""

from __future__ import annotations

import contextlib
import errno
import os
import tracemalloc
from pathlib import Path
from typing import Any

import pytest
import trio

from shotfs.cache import Asker, FileState
from shotfs.cache.direct import WINDOW_BYTES, DirectReader, WindowBudget
from shotfs.cache.room import Room
from shotfs.cache.scheduling import FetchScheduler, OriginLimits
from shotfs.errors import CacheFull, TierUnavailable
from shotfs.tiers.base import Revision, Span
from tests.unit.cache.fakes import KIB, MIB, FakeTier, cache_in, content_of, keep, read_all, settled


@pytest.fixture
def tier() -> FakeTier:
    return FakeTier()


def blob_bytes(directory: Path) -> tuple[int, int]:
    """What is really on the disk: files and bytes."""
    blobs = [path for path in (directory / "blobs").rglob("*") if path.is_file()]
    return len(blobs), sum(path.stat().st_size for path in blobs)


async def test_s08_bytes_and_files_stay_within_their_limits(tier: FakeTier, tmp_path: Path) -> None:
    async with cache_in(tmp_path / "c", bytes_max=MIB, files_max=6) as cache:
        for number in range(40):
            size = 1 + (number * 37 % 11) * 40 * KIB
            revision = tier.add(f"f{number}", content_of(size, number))
            assert await read_all(cache, tier, revision) == content_of(size, number)
            await settled(cache)
            files, size_bytes = blob_bytes(tmp_path / "c")
            assert files <= 6
            assert size_bytes <= MIB
            stats = cache.stats()
            assert (stats.files, stats.bytes, stats.bytes_reserved) == (files, size_bytes, 0)
        assert cache.stats().evictions > 20


async def test_s08_the_longest_unused_file_goes_first(tier: FakeTier, tmp_path: Path) -> None:
    revisions = [tier.add(f"f{number}", content_of(KIB, number)) for number in range(5)]
    async with cache_in(tmp_path / "c", eviction="lru") as cache:
        for revision in revisions:
            await keep(cache, tier, revision)
        for number in (1, 0, 3):
            await read_all(cache, tier, revisions[number])
        gone = []
        for _ in range(5):
            assert (await cache.evict(1)).files == 1
            gone.append([await cache.known(revision) for revision in revisions].count(False))
            gone[-1] = [n for n in range(5) if not await cache.known(revisions[n])]
    assert gone == [[2], [2, 4], [1, 2, 4], [0, 1, 2, 4], [0, 1, 2, 3, 4]]


async def test_s08_a_file_larger_than_the_cache_streams_without_keeping(
    tier: FakeTier, tmp_path: Path
) -> None:
    content = content_of(9 * MIB + 5)
    revision = tier.add("big", content)
    async with cache_in(tmp_path / "c", bytes_max=MIB) as cache:
        file = await cache.open(tier, revision)
        first = await file.read(Span(0, 128 * KIB))
        assert bytes(first) == content[: 128 * KIB]
        assert file.state is FileState.UNKEPT
        ahead = file.read_now(Span(128 * KIB, 256 * KIB))
        assert ahead is not None
        assert bytes(ahead) == content[128 * KIB : 256 * KIB]
        with pytest.raises(CacheFull) as caught:
            await file.complete()
        assert "cache.bytes_max" in str(caught.value)
        file.close()
        assert await read_all(cache, tier, revision) == content
        assert cache.stats().unkept >= 1
    assert blob_bytes(tmp_path / "c") == (0, 0)
    assert os.listdir(tmp_path / "c" / "partials") == []


async def test_s08_the_floor_of_the_disk_is_kept_whoever_fills_it(
    tier: FakeTier, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    free = 100 * MIB
    monkeypatch.setattr("shotfs.cache.directory.CacheDirectory.free_bytes", lambda self: free)
    small, large = tier.add("small", content_of(MIB)), tier.add("large", content_of(40 * MIB))
    async with cache_in(tmp_path / "c", free_bytes_min=70 * MIB) as cache:
        await keep(cache, tier, small)
        file = await cache.open(tier, large)
        await file.read(Span(0, 10))
        assert file.state is FileState.UNKEPT
        file.close()
        # Emptying the cache would not have helped, so it was left alone.
        assert await cache.known(small)


async def test_s08_a_stream_goes_on_without_keeping_when_others_fill_the_disk_meanwhile(
    tier: FakeTier, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    free = 10**12
    monkeypatch.setattr("shotfs.cache.directory.CacheDirectory.free_bytes", lambda self: free)
    content = content_of(60 * MIB)
    revision = tier.add("a", content)
    async with cache_in(tmp_path / "c", free_bytes_min=70 * MIB) as cache:
        file = await cache.open(tier, revision)
        assert bytes(await file.read(Span(0, 10))) == content[:10]
        assert file.state is not FileState.UNKEPT
        free = 60 * MIB
        for start in range(0, 60 * MIB, MIB):
            assert bytes(await file.read(Span(start, start + 100))) == content[start : start + 100]
        while file.state is not FileState.UNKEPT:
            await trio.lowlevel.checkpoint()
        assert bytes(await file.read(Span(5, 90))) == content[5:90]
        file.close()
        await settled(cache)
        assert cache.stats().bytes_reserved == 0
    assert blob_bytes(tmp_path / "c") == (0, 0)


async def test_s08_the_cache_gives_the_disk_back_when_others_need_it(
    tier: FakeTier, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    others = 0
    directory = tmp_path / "c"

    def free(_: object) -> int:
        here = 0
        for path in (directory / "blobs").rglob("*/*"):
            with contextlib.suppress(FileNotFoundError):  # evicted while we look
                here += path.stat().st_size
        return 100 * MIB - others - here

    monkeypatch.setattr("shotfs.cache.directory.CacheDirectory.free_bytes", free)
    async with cache_in(directory, free_bytes_min=70 * MIB) as cache:
        for number in range(8):
            await keep(cache, tier, tier.add(f"f{number}", content_of(MIB, number)))
        others = 25 * MIB
        cache._room.on_floor()
        while cache._room.floor_missing():
            await trio.lowlevel.checkpoint()
        assert 4 <= cache.stats().files <= 5


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EIO, errno.EROFS])
async def test_s08_a_disk_that_fails_in_the_middle_degrades_to_streaming(
    tier: FakeTier, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    content = content_of(30 * MIB)
    revision = tier.add("a", content)
    real = os.pwrite

    def full(descriptor: int, data: bytes, offset: int) -> int:
        if offset >= 9 * MIB:
            raise OSError(code, os.strerror(code))
        return real(descriptor, data, offset)

    async with cache_in(tmp_path / "c") as cache:
        file = await cache.open(tier, revision)
        assert bytes(await file.read(Span(0, 10))) == content[:10]
        monkeypatch.setattr(os, "pwrite", full)
        for start in range(0, 30 * MIB, MIB):
            assert bytes(await file.read(Span(start, start + 100))) == content[start : start + 100]
        assert file.state is FileState.UNKEPT
        file.close()
        await settled(cache)
        assert cache.stats().bytes_reserved == 0
        assert not await cache.known(revision)


async def test_s11_an_open_file_is_never_evicted(tier: FakeTier, tmp_path: Path) -> None:
    held, other = tier.add("held", content_of(500 * KIB, 1)), tier.add("o", content_of(KIB, 2))
    large = tier.add("large", content_of(800 * KIB, 3))
    async with cache_in(tmp_path / "c", bytes_max=MIB) as cache:
        await keep(cache, tier, held)
        await keep(cache, tier, other)
        file = await cache.open(tier, held)
        result = await cache.evict(None)
        assert (result.files, result.bytes) == (1, KIB)
        pressed = await cache.open(tier, large)
        await pressed.read(Span(0, 10))
        assert pressed.state is FileState.UNKEPT
        assert await cache.known(held)
        assert os.stat(cache.blob_path(await file.complete())).st_size == 500 * KIB
        file.close()
        pressed.close()
        await keep(cache, tier, large)
        assert not await cache.known(held)


async def test_s11_a_file_that_streams_in_is_not_evicted(tier: FakeTier, tmp_path: Path) -> None:
    content = content_of(12 * MIB)
    revision = tier.add("a", content)
    async with cache_in(tmp_path / "c") as cache:
        file = await cache.open(tier, revision)
        await file.read(Span(0, 10))
        assert (await cache.evict(None)).files == 0
        await file.complete()
        assert (await cache.evict(None)).files == 0
        assert bytes(await file.read(Span(MIB, 2 * MIB))) == content[MIB : 2 * MIB]
        file.close()
        assert (await cache.evict(None)).files == 1


async def test_s11_opens_and_evictions_at_once_never_lose_bytes(
    tier: FakeTier, tmp_path: Path
) -> None:
    contents = [content_of(40 * KIB, number) for number in range(12)]
    revisions = [tier.add(f"f{number}", content) for number, content in enumerate(contents)]
    async with cache_in(tmp_path / "c", bytes_max=200 * KIB) as cache:

        async def read(offset: int) -> None:
            for step in range(24):
                number = (offset * 5 + step * 7) % 12
                assert await read_all(cache, tier, revisions[number]) == contents[number]

        async with trio.open_nursery() as nursery:
            for offset in range(8):
                nursery.start_soon(read, offset)
        await settled(cache)
        stats = cache.stats()
        assert (stats.open_blobs, stats.bytes_reserved) == (0, 0)
        assert (stats.files, stats.bytes) == blob_bytes(tmp_path / "c")
        assert stats.bytes <= 200 * KIB


async def test_s10_windows_of_all_unkept_readers_share_one_budget(tier: FakeTier) -> None:
    content = content_of(20 * MIB)
    revision = tier.add("a", content)
    budget = WindowBudget(2 * WINDOW_BYTES)
    scheduler = FetchScheduler(lambda _: OriginLimits(), 64 * MIB)
    readers = [DirectReader(tier, revision, scheduler, budget, 60.0) for _ in range(8)]
    for start in range(0, 4 * MIB, MIB):
        for reader in readers:
            assert bytes(await reader.read(Span(start, start + 10))) == content[start : start + 10]
            assert budget.used_bytes <= budget.bytes_max
    for reader in readers:
        reader.close()
        reader.close()
    assert budget.used_bytes == 0


async def test_s10_a_failed_window_gives_its_budget_back(tier: FakeTier) -> None:
    revision = tier.add("a", content_of(20 * MIB))
    budget = WindowBudget(2 * WINDOW_BYTES)
    scheduler = FetchScheduler(lambda _: OriginLimits(), 64 * MIB)
    reader = DirectReader(tier, revision, scheduler, budget, 60.0)
    tier.gate = trio.Event()
    with trio.move_on_after(0):
        await reader.read(Span(0, 10))
    assert budget.used_bytes == 0
    reader.close()


async def test_s10_streaming_a_file_holds_a_few_requests_in_memory_not_the_file(
    tier: FakeTier, tmp_path: Path
) -> None:
    block = bytes(MIB)

    async def zeros(_: Revision, span: Span, descriptor: int) -> None:
        await trio.lowlevel.checkpoint()
        for start in range(span.start, span.stop, MIB):
            os.pwrite(descriptor, block[: span.stop - start], start)

    revision = tier.add("a", b"")
    revision = Revision(tier.name, "a", 256 * MIB, "1", 0)
    tier.read_to_file = zeros  # type: ignore[method-assign]
    async with cache_in(tmp_path / "c") as cache:
        tracemalloc.start()
        try:
            file = await cache.open(tier, revision)
            for start in range(0, revision.size_bytes, MIB):
                await file.read(Span(start, start + MIB))
            await file.complete()
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
        file.close()
    assert peak < 24 * MIB


def test_room_counts_what_is_promised_and_what_of_it_is_written() -> None:
    room = Room(100, 3, 10, lambda: 60)
    assert room.shortage(50).none
    assert room.shortage(51).bytes == 1  # the floor of the disk
    assert room.shortage(51, on_disk=True).none
    room.reserve(40)
    assert room.shortage(50).bytes == 40
    room.wrote(40)
    assert room.shortage(50).none
    room.release(40, 40)
    assert (room.reserved_bytes, room.reserved_files, room.written_bytes) == (0, 0, 0)
    room.used_files = 3
    assert room.shortage(1).files == 1
    assert room.never_fits(101)


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting a small disk needs root")
async def test_s08_a_really_full_disk_degrades_to_streaming(tier: FakeTier, tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=8m,mode=700", "tmpfs", str(disk)]
    if (await trio.run_process(mount, check=False)).returncode:
        pytest.skip("this machine does not let us mount")
    try:
        content = content_of(12 * MIB)
        revision, small = tier.add("a", content), tier.add("b", content_of(100 * KIB, 1))
        async with cache_in(disk / "c") as cache:
            # The account says that it fits until the disk is asked for its floor.
            cache._room.free_bytes = lambda: 2**40
            for _ in range(2):
                assert await read_all(cache, tier, revision) == content
                await settled(cache)
                assert cache.stats().bytes_reserved == 0
            assert not await cache.known(revision)
            # The account has its room back at once; the file goes in a thread, and then the disk.
            while _free_bytes(disk) < MIB:
                await trio.lowlevel.checkpoint()
            await keep(cache, tier, small)
            assert await cache.known(small)
    finally:
        await trio.run_process(["umount", str(disk)])


def _free_bytes(disk: Path) -> int:
    status = os.statvfs(disk)
    return status.f_bavail * status.f_frsize


@pytest.mark.parametrize("stalls", [False, True], ids=["nobody asks", "its origin stands still"])
async def test_s08_a_small_file_that_is_given_up_for_the_disk_opens_again(
    tier: FakeTier, tmp_path: Path, stalls: bool
) -> None:
    def fail(*_: Any) -> None:
        raise TierUnavailable("not now")

    content = content_of(3 * KIB)
    revision = tier.add("f", content)
    async with cache_in(tmp_path) as cache:
        if stalls:
            tier.gate = trio.Event()
            file = await cache.open(tier, revision)
            await tier.started.park()
        else:
            tier.fault = fail
            file = await cache.open(tier, revision)
            with pytest.raises(TierUnavailable):
                await file.read(Span(0, KIB))
        await cache._streams.keep_nothing()
        with trio.fail_after(10):
            await settled(cache)
        tier.fault, tier.gate = None, trio.Event()
        tier.gate.set()
        with trio.fail_after(10):
            assert await read_all(cache, tier, revision) == content
            assert await file.read(Span(0, KIB)) == content[:KIB]
        file.close()
        await settled(cache)
        assert cache.stats().bytes_reserved == 0


async def test_s08_what_is_read_without_keeping_counts_for_the_job_that_reads_it(
    tier: FakeTier, tmp_path: Path
) -> None:
    asker = Asker(7, "kick", "job-7")
    revision = tier.add("f", content_of(3 * KIB))
    async with cache_in(tmp_path, bytes_max=KIB) as cache, trio.open_nursery() as nursery:
        file = await cache.open(tier, revision, asker=asker)
        await settled(cache)
        tier.gate = trio.Event()
        nursery.start_soon(file.read, Span(0, KIB))
        await tier.started.park()
        assert [one.asker for one in cache._scheduler.under_way()] == [asker]
        tier.gate.set()
    file.close()
