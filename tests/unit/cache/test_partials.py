"""Partials: what came of an unfinished file is gone on with, and nothing that is not certain."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import trio
import trio.testing

from shotfs.cache import Cache, Fill
from shotfs.cache.blocks import BLOCK_BYTES, BlockMap, Run
from shotfs.cache.partials import IDLE_MAX
from shotfs.errors import TierUnavailable
from shotfs.tiers.base import Revision, Span
from tests.unit.cache.fakes import KIB, MIB, FakeTier, cache_in, content_of, read_all, settled

SIZE = 12 * MIB
PLACES = (0, 3 * MIB, 7 * MIB + 5, SIZE - 10)

PROGRAM = """
import sys, trio
from shotfs.cache import Fill
from tests.unit.cache.fakes import FakeTier, cache_in, content_of
from tests.unit.cache.test_partials import PLACES, SIZE
from shotfs.tiers.base import Span

async def main():
    tier = FakeTier()
    revision = tier.add("a", content_of(SIZE))
    async with cache_in(sys.argv[1]) as cache:
        file = await cache.open(tier, revision, fill=Fill.RANGES)
        for place in PLACES:
            await file.read(Span(place, place + 10))
        if sys.argv[2] == "saved":
            for stream, coming in cache._admission._coming.items():
                await cache._partials.save(coming.partial, stream.blocks.pack())
        print("here", flush=True)
        await trio.sleep_forever()

trio.run(main)
"""


@pytest.fixture
def tier() -> FakeTier:
    return FakeTier()


async def _leave_a_partial(tier: FakeTier, directory: Path, revision: Revision) -> int:
    """Read some places of it, close everything; return how many bytes came."""
    async with cache_in(directory) as cache:
        file = await cache.open(tier, revision, fill=Fill.RANGES)
        for place in PLACES:
            await file.read(Span(place, place + 10))
        file.close()
        await _rebuilt(cache)
    return tier.bytes_read


async def _rebuilt(cache: Cache) -> None:
    """Return when the search for blobs without a row has ended: before, no end is a clean one."""
    while cache._holdings.rebuilds_unfinished:
        await trio.lowlevel.checkpoint()


def _files(directory: Path) -> list[str]:
    return sorted(os.listdir(directory / "partials"))


async def test_an_unfinished_file_is_gone_on_with_after_a_restart(
    tier: FakeTier, tmp_path: Path
) -> None:
    content = content_of(SIZE)
    revision = tier.add("a", content)
    came = await _leave_a_partial(tier, tmp_path / "c", revision)
    assert came == len(PLACES) * BLOCK_BYTES
    async with cache_in(tmp_path / "c") as cache:
        status = await cache.status_of(revision)
        assert (status.state, status.bytes_present) == ("partial", came)
        assert cache.stats().bytes_reserved == came
        tier.gate = trio.Event()  # the origin says nothing more
        file = await cache.open(tier, revision, fill=Fill.RANGES)
        for place in PLACES:
            with trio.fail_after(30):  # it would wait for ever
                found = await file.read(Span(place, place + 10))
            assert bytes(found) == content[place : place + 10]
        tier.gate.set()
        await file.complete()
        file.close()
        assert await cache.known(revision)
    assert tier.bytes_read == SIZE
    assert _files(tmp_path / "c") == []


@pytest.mark.parametrize("saved", ["saved", "not saved"])
async def test_s06_after_kill_9_only_what_the_map_says_is_served(
    tier: FakeTier, tmp_path: Path, saved: str
) -> None:
    def kill() -> None:
        command = [sys.executable, "-c", PROGRAM, str(tmp_path / "c"), saved]
        with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
            assert process.stdout is not None
            assert process.stdout.readline() == b"here\n"
            process.send_signal(signal.SIGKILL)

    await trio.to_thread.run_sync(kill)
    content = content_of(SIZE)
    revision = tier.add("a", content)
    async with cache_in(tmp_path / "c") as cache:
        here = (await cache.status_of(revision)).bytes_present
        # Killed between the bytes and their map, the bytes do not count.
        assert (here > 0) is (saved == "saved")
        assert await read_all(cache, tier, revision) == content
    assert tier.bytes_read == SIZE - here


@pytest.mark.parametrize("clean", [True, False])
async def test_s06_after_a_power_cut_a_partial_is_dropped_and_after_a_clean_end_it_is_not(
    tier: FakeTier, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, clean: bool
) -> None:
    content = content_of(SIZE)
    revision = tier.add("a", content)
    came = await _leave_a_partial(tier, tmp_path / "c", revision)
    monkeypatch.setattr("shotfs.cache.engine.boot_identity", lambda: "another boot")
    if not clean:
        # The blocks were never written: the file has its size and reads as zeros.
        (tmp_path / "c" / "clean").unlink()
        for name in _files(tmp_path / "c"):
            if not name.endswith(".map"):
                os.truncate(tmp_path / "c" / "partials" / name, 0)
                os.truncate(tmp_path / "c" / "partials" / name, SIZE)
    async with cache_in(tmp_path / "c") as cache:
        here = (await cache.status_of(revision)).bytes_present
        assert here == (came if clean else 0)
        assert bool(_files(tmp_path / "c")) is clean
        assert await read_all(cache, tier, revision) == content
    assert tier.bytes_read == came + SIZE - here


async def test_a_partial_that_outlived_a_clean_end_survives_a_kill_of_the_next_owner(
    tier: FakeTier, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    revision = tier.add("a", content_of(SIZE))
    came = await _leave_a_partial(tier, tmp_path / "c", revision)
    monkeypatch.setattr("shotfs.cache.engine.boot_identity", lambda: "second boot")
    async with cache_in(tmp_path / "c") as cache:
        await _rebuilt(cache)
    (tmp_path / "c" / "clean").unlink()  # killed, in the boot that took it over
    async with cache_in(tmp_path / "c") as cache:
        assert (await cache.status_of(revision)).bytes_present == came


async def test_s03_a_partial_of_another_revision_is_never_gone_on_with(
    tier: FakeTier, tmp_path: Path
) -> None:
    old, new = content_of(SIZE, 1), content_of(SIZE, 2)
    await _leave_a_partial(tier, tmp_path / "c", tier.add("a", old, "1"))
    revision = tier.add("a", new, "2")
    async with cache_in(tmp_path / "c") as cache:
        assert (await cache.status_of(revision)).state == "remote"
        assert await read_all(cache, tier, revision) == new


@pytest.mark.parametrize("damage", ["map", "map cut", "content cut", "content gone", "map gone"])
async def test_what_is_damaged_or_incomplete_is_garbage_and_goes_at_start(
    tier: FakeTier, tmp_path: Path, damage: str
) -> None:
    content = content_of(SIZE)
    revision = tier.add("a", content)
    await _leave_a_partial(tier, tmp_path / "c", revision)
    content_name, map_name = (tmp_path / "c" / "partials" / name for name in _files(tmp_path / "c"))
    if damage == "map":
        text = bytearray(map_name.read_bytes())
        text[-1] ^= 255  # bits that say more than is here
        map_name.write_bytes(text)
    elif damage == "map cut":
        os.truncate(map_name, 40)
    elif damage == "content cut":
        os.truncate(content_name, SIZE // 2)
    else:
        (content_name if damage == "content gone" else map_name).unlink()
    (tmp_path / "c" / "partials" / "stray").mkdir()
    async with cache_in(tmp_path / "c") as cache:
        assert _files(tmp_path / "c") == []
        assert cache.stats().bytes_reserved == 0
        assert await read_all(cache, tier, revision) == content


async def test_closing_before_a_partial_is_gone_on_with_leaves_it(
    tier: FakeTier, tmp_path: Path
) -> None:
    revision = tier.add("a", content_of(SIZE))
    came = await _leave_a_partial(tier, tmp_path / "c", revision)
    for checkpoints in range(6):
        async with cache_in(tmp_path / "c") as cache:
            file = await cache.open(tier, revision)
            for _ in range(checkpoints):
                await trio.lowlevel.checkpoint()
            file.close()
        async with cache_in(tmp_path / "c") as cache:
            assert (await cache.status_of(revision)).bytes_present >= came


@pytest.mark.parametrize("how", ["gone", "cut"])
async def test_a_partial_that_somebody_damages_while_it_waits_is_fetched_from_the_start(
    tier: FakeTier, tmp_path: Path, how: str
) -> None:
    content = content_of(SIZE)
    revision = tier.add("a", content)
    came = await _leave_a_partial(tier, tmp_path / "c", revision)
    async with cache_in(tmp_path / "c") as cache:
        name = tmp_path / "c" / "partials" / _files(tmp_path / "c")[0]
        name.unlink() if how == "gone" else os.truncate(name, SIZE // 2)
        assert await read_all(cache, tier, revision) == content
        await settled(cache)
        assert cache.stats().bytes_reserved == 0
    assert tier.bytes_read == came + SIZE
    assert _files(tmp_path / "c") == []


async def test_s08_partials_are_bounded_in_number_and_go_before_blobs(
    tier: FakeTier, tmp_path: Path, mock_clock: trio.testing.MockClock
) -> None:
    revisions = [tier.add(f"f{n}", bytes(3 * MIB)) for n in range(IDLE_MAX + 3)]
    blob = tier.add("blob", content_of(MIB, 7))
    async with cache_in(tmp_path / "c") as cache:
        await cache.fetch(tier, blob)
        for revision in revisions:
            file = await cache.open(tier, revision, fill=Fill.RANGES)
            await file.read(Span(0, 1))
            file.close()
            await trio.testing.wait_all_tasks_blocked()
            mock_clock.jump(6)
            await settled(cache)
        states = [(await cache.status_of(revision)).state for revision in revisions]
        assert states == ["remote"] * 3 + ["partial"] * IDLE_MAX
        assert cache.stats().bytes_reserved == IDLE_MAX * BLOCK_BYTES
        assert len(_files(tmp_path / "c")) == 2 * IDLE_MAX
        await cache.evict(0)
        assert cache.stats().bytes_reserved == 0
        assert await cache.known(blob)
    assert _files(tmp_path / "c") == []


async def test_bytes_that_prove_wrong_are_not_gone_on_with(tier: FakeTier, tmp_path: Path) -> None:
    content = content_of(12 * MIB)
    revision = tier.add("a", content)
    tier.corrupt = 1
    async with cache_in(tmp_path / "c") as cache:
        await cache.fetch(tier, revision)
        assert cache.stats().verify_failures == 1
    assert tier.bytes_read == 2 * 12 * MIB
    assert _files(tmp_path / "c") == []


async def test_an_origin_that_fails_while_nobody_reads_leaves_a_partial(
    tier: FakeTier, tmp_path: Path
) -> None:
    revision = tier.add("a", content_of(30 * MIB))  # it would be finished

    def later(_: Revision, span: Span) -> None:
        if span.start:
            raise TierUnavailable("not now")

    async with cache_in(tmp_path / "c") as cache:
        file = await cache.open(tier, revision)
        await file.read(Span(0, 1))
        tier.fault = later
        file.close()
        await settled(cache)
        assert (await cache.status_of(revision)).state == "partial"


def test_a_map_packs_to_one_bit_a_block_and_back() -> None:
    for count in (0, 1, 7, 8, 9, 1000):
        size = max(0, count * BLOCK_BYTES - 5)
        blocks = BlockMap(size)
        for first in range(0, count, 3):
            run = blocks.claim(Run(first, first + 1), 1)
            assert run is not None
            blocks.settle(run)
        if count > 1:
            blocks.claim(Run(1, 2), 1)  # on its way: not here
        packed = blocks.pack()
        again = BlockMap(size)
        again.unpack(packed)
        assert again.pack() == packed
        assert again.present_bytes == blocks.present_bytes
        assert len(packed) == -(-count // 8)
    with pytest.raises(ValueError, match="no map of"):
        BlockMap(KIB).unpack(b"")


async def test_s08_a_disk_that_is_full_at_start_takes_no_partial_and_no_mount(
    tier: FakeTier, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "no space left")

    revision = tier.add("a", content_of(SIZE))
    came = await _leave_a_partial(tier, tmp_path / "c", revision)
    monkeypatch.setattr("shotfs.cache.partials._replace", full)
    async with cache_in(tmp_path / "c") as cache:
        assert (await cache.status_of(revision)).bytes_present == came
