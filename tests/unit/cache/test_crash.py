"""kill -9 and cancellation at any point: nothing wrong is ever served, nothing is left behind."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import trio

from shotfs.digest import digest_bytes
from shotfs.tiers.base import Span
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

FILES = 40
PROGRAM = """
import sys, trio
from tests.unit.cache.fakes import FakeTier, cache_in, content_of, keep

async def main():
    tier = FakeTier()
    async with cache_in(sys.argv[1], bytes_max=3_000_000) as cache, trio.open_nursery() as nursery:
        print("ready", flush=True)
        async def work(first):
            for round in range(1000):
                for n in range(first, 40, 4):
                    await keep(cache, tier, tier.add(f"f{n}", content_of(1000 + n * 7919, n)))
                    print(n, flush=True)
        for first in range(4):
            nursery.start_soon(work, first)

trio.run(main)
"""


@pytest.fixture
def tier() -> FakeTier:
    return FakeTier()


def _kill_after(directory: Path, admissions: int) -> None:
    """Run a process that admits and evicts; kill it when it has announced so many admissions."""
    with subprocess.Popen(
        [sys.executable, "-c", PROGRAM, str(directory)], stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        for _ in range(admissions + 1):
            assert process.stdout.readline()
        process.send_signal(signal.SIGKILL)


async def test_s06_kill_9_at_any_point_leaves_no_wrong_entry(
    tier: FakeTier, tmp_path: Path
) -> None:
    directory = tmp_path / "c"
    points = random.Random(7)
    for _ in range(8):
        await trio.to_thread.run_sync(_kill_after, directory, points.randrange(90))
        async with cache_in(directory, bytes_max=3_000_000) as cache:
            # Each blob on the disk is what its name says, and each gets its row.
            for blob in (directory / "blobs").rglob("*"):
                if blob.is_file():
                    assert digest_bytes(blob.read_bytes()) == blob.name
            for number in range(0, FILES, 3):
                content = content_of(1000 + number * 7919, number)
                assert await read_all(cache, tier, tier.add(f"f{number}", content)) == content
            await settled(cache)
            # Blobs without a row count when the scan finds them; then as many others go.
            with trio.fail_after(10):
                while cache.stats().bytes > 3_000_000:
                    await trio.lowlevel.checkpoint()
            assert os.listdir(directory / "partials") == []


async def test_blobs_without_a_row_are_taken_in_after_an_unclean_end(
    tier: FakeTier, tmp_path: Path
) -> None:
    content = content_of(64 * KIB)
    revision = tier.add("a", content)
    async with cache_in(tmp_path / "c") as cache:
        await keep(cache, tier, revision)
        saved = (tmp_path / "c" / "index" / "cache.db").stat().st_size
        assert saved > 0
    for path in (tmp_path / "c" / "index").iterdir():
        path.unlink()
    (tmp_path / "c" / "clean").unlink(missing_ok=True)
    async with cache_in(tmp_path / "c") as cache:
        while not cache.stats().files:
            await trio.lowlevel.checkpoint()
        assert await read_all(cache, tier, revision) == content
    assert tier.bytes_read == len(content)


@pytest.mark.parametrize("size", [64 * KIB, 3 * MIB, 20 * MIB])
async def test_cancelling_a_reader_at_any_checkpoint_leaves_nothing_behind(
    tier: FakeTier, tmp_path: Path, size: int
) -> None:
    async with cache_in(tmp_path / "c") as cache:
        for steps in range(25):
            # Else a row that is written late would be told as settled with another one's.
            content = content_of(size, steps)
            revision = tier.add(f"f{steps}", content, f"{steps}", checksums=None)
            async with trio.open_nursery() as nursery:
                nursery.start_soon(read_all, cache, tier, revision)
                for _ in range(steps):
                    await trio.lowlevel.checkpoint()
                nursery.cancel_scope.cancel()
        await settled(cache)
        assert cache.stats().open_blobs == 0
        assert cache.stats().bytes_reserved == 0
        assert cache.stats().bytes_in_flight == 0
        assert await read_all(cache, tier, revision) == content


@pytest.mark.parametrize("steps", range(0, 60, 4))
async def test_closing_at_any_checkpoint_leaves_a_cache_that_opens_whole(
    tier: FakeTier, tmp_path: Path, steps: int
) -> None:
    revisions = [tier.add(f"f{n}", content_of(n * 700 * KIB + 10, n)) for n in range(4)]
    descriptors = open_descriptors()
    async with cache_in(tmp_path / "c") as cache, trio.open_nursery() as nursery:
        for revision in revisions:
            nursery.start_soon(read_all, cache, tier, revision)
        for _ in range(steps):
            await trio.lowlevel.checkpoint()
        nursery.cancel_scope.cancel()
    await closed_down_to(descriptors)
    async with cache_in(tmp_path / "c") as cache:
        left = set(os.listdir(tmp_path / "c" / "partials"))
        assert left == {f"{name.partition('.')[0]}{end}" for name in left for end in ("", ".map")}
        for number, revision in enumerate(revisions):
            assert await read_all(cache, tier, revision) == content_of(
                number * 700 * KIB + 10, number
            )


async def test_closing_while_fetches_hang_does_not_hang(tier: FakeTier, tmp_path: Path) -> None:
    tier.gate = trio.Event()
    async with cache_in(tmp_path / "c") as cache:
        file = await cache.open(tier, tier.add("a", content_of(30 * MIB)))
        async with trio.open_nursery() as nursery:
            nursery.start_soon(file.read, Span(0, 10))
            await tier.started.park()
            nursery.cancel_scope.cancel()
        file.close()
        assert cache.stats().bytes_in_flight > 0
    assert os.listdir(tmp_path / "c" / "partials") == []


async def test_closing_before_a_rebuild_has_ended_leaves_no_clean_mark(
    tier: FakeTier, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def never_ends(*_: object) -> None:
        await trio.sleep_forever()

    async with cache_in(tmp_path / "c") as cache:
        for number in range(5):
            await keep(cache, tier, tier.add(f"f{number}", content_of(KIB, number)))
    (tmp_path / "c" / "clean").unlink(missing_ok=True)
    with monkeypatch.context() as patch:
        patch.setattr("shotfs.cache.holdings.adopt_unknown_blobs", never_ends)
        async with cache_in(tmp_path / "c") as cache:
            assert cache._holdings.rebuilds_unfinished == 1
    assert not (tmp_path / "c" / "clean").exists()
    async with cache_in(tmp_path / "c") as cache:
        while cache._holdings.rebuilds_unfinished:
            await trio.lowlevel.checkpoint()
    assert (tmp_path / "c" / "clean").exists()
