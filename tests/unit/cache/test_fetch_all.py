"""A page of files that a prewarm wants: each is told of once, whatever goes wrong."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import trio
import trio.testing

from shotfs.cache import Asker, Cache, batches, landing
from shotfs.cache.batches import BATCH_FILES_MAX, LANES_MAX, UNRECORDED_MAX
from shotfs.cache.blobs import BlobStore
from shotfs.cache.landing import SmallFile, land_all
from shotfs.cache.scheduling import OriginLimits
from shotfs.digest import Buffer, Digest, digest_bytes
from shotfs.errors import (
    CacheFull,
    DigestMismatch,
    EgressSpent,
    RevisionChanged,
    ShotfsError,
)
from shotfs.tiers.base import Revision
from tests.unit.cache.fakes import KIB, MIB, FakeTier, cache_in, content_of, keep, read_all
from tests.unit.cache.small_tier import SmallTier


async def page(
    cache: Cache, tier: FakeTier, revisions: Sequence[Revision], asker: Asker | None = None
) -> list[Digest | ShotfsError]:
    """Fetch *revisions* together; return what was told, once of each."""
    told: dict[int, Digest | ShotfsError] = {}

    def note(position: int, outcome: Digest | ShotfsError) -> None:
        assert position not in told
        told[position] = outcome

    wanted = [(tier, one) for one in revisions]
    await cache.fetch_all(wanted, note, asker=asker or Asker())
    return [told[position] for position in range(len(revisions))]


def digests_of(tier: FakeTier, revisions: Sequence[Revision]) -> list[Digest]:
    return [digest_bytes(tier.objects[one.key][1]) for one in revisions]


def assert_nothing_is_left(cache: Cache) -> None:
    """Nothing is under way, and nothing is held for it."""
    assert not cache._batches._items
    assert not cache._batches._queues
    assert not cache._batches._recordings
    assert cache._batches._unrecorded == 0
    assert not cache.stats().bytes_reserved
    assert cache._room.reserved_files == 0
    assert not cache.stats().open_blobs
    assert not cache.stats().bytes_in_flight


def files_below(directory: Path) -> int:
    return sum(len(files) for _, _, files in os.walk(directory))


@pytest.fixture(params=["native", "python", "named"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """How files come into place: by the C helper, without it, or on a disk that needs names."""
    if request.param == "native" and landing.NATIVE is None:
        pytest.skip("the C helper was not built")
    if request.param != "native":
        monkeypatch.setattr(landing, "NATIVE", None)
    if request.param == "named":
        monkeypatch.setattr(BlobStore, "make_unnamed", lambda *_: None)
    way: str = request.param
    return way


@pytest.mark.usefixtures("way")
async def test_a_page_of_all_sizes_comes_and_each_file_is_told_of(tmp_path: Path) -> None:
    tier = SmallTier()
    small = tier.add_many(100)
    others = [
        tier.add("large", content_of(3 * MIB)),
        tier.add("empty", b""),
        tier.add("middle", content_of(300 * KIB)),
    ]
    revisions = [*small[:50], *others, *small[50:]]
    async with cache_in(tmp_path) as cache:
        assert await page(cache, tier, revisions) == digests_of(tier, revisions)
        assert cache.stats().files == len(revisions)
        assert_nothing_is_left(cache)
        read = sum(len(batch) for batch in tier.batches)
        assert read == 100
        assert await page(cache, tier, revisions) == digests_of(tier, revisions)
        assert sum(len(batch) for batch in tier.batches) == read
        for revision in revisions[::20]:
            assert await read_all(cache, tier, revision) == tier.objects[revision.key][1]
    assert not files_below(tmp_path / "partials")


@pytest.mark.usefixtures("way")
async def test_equal_content_is_one_blob_that_names_all_its_origins(tmp_path: Path) -> None:
    tier = SmallTier()
    first = tier.add("first", content_of(KIB), checksums=without_md5(content_of(KIB)))
    again = [
        tier.add(f"again{n}", content_of(KIB), checksums=without_md5(content_of(KIB)))
        for n in range(3)
    ]
    async with cache_in(tmp_path) as cache:
        await keep(cache, tier, first)
        assert await page(cache, tier, again) == digests_of(tier, again)
        assert cache.stats().files == 1
        origins = cache._blobs.origins(digest_bytes(content_of(KIB)))
        assert {one.key for one in origins} == {"first", "again0", "again1", "again2"}
        assert_nothing_is_left(cache)
    assert not files_below(tmp_path / "partials")


@pytest.mark.usefixtures("way")
async def test_s06_wrong_bytes_of_a_page_are_never_kept(tmp_path: Path) -> None:
    tier = SmallTier(wrong={"s3", "s4"})
    revisions = tier.add_many(10)
    tier.objects["s4"] = (revisions[4], tier.objects["s4"][1][:-1] + b"!")  # the origin itself
    async with cache_in(tmp_path) as cache:
        told = await page(cache, tier, revisions)
        assert isinstance(told[4], DigestMismatch)
        assert told[:4] + told[5:] == digests_of(tier, revisions[:4] + revisions[5:])
        assert cache.stats().files == 9
        assert_nothing_is_left(cache)


@dataclass
class ShortTier(SmallTier):
    """One whose small objects come without their last byte."""

    async def read_small(self, revisions: Sequence[Revision]) -> Sequence[Buffer | None]:
        contents = await super().read_small(revisions)
        return [None if one is None else bytes(one)[:-1] for one in contents]


@pytest.mark.usefixtures("way")
async def test_s06_short_bodies_are_not_kept_also_where_the_origin_has_no_checksums(
    tmp_path: Path,
) -> None:
    tier = ShortTier()
    content = content_of(KIB)
    bare = [
        tier.add(f"b{n}", content + bytes([n]), checksums=landing.Checksums()) for n in range(5)
    ]
    async with cache_in(tmp_path) as cache:
        assert await page(cache, tier, bare) == digests_of(tier, bare)
        assert {key for key, _ in tier.reads} == {one.key for one in bare}
        assert_nothing_is_left(cache)


async def test_a_file_that_changes_or_goes_meanwhile_is_told_of_and_the_others_come(
    tmp_path: Path,
) -> None:
    tier = SmallTier()
    revisions = tier.add_many(6)

    async def read_small(asked: Sequence[Revision]) -> Sequence[Buffer | None]:
        # As adapters do: what cannot be read ends the batch, the others are tried again.
        contents: list[Buffer | None] = []
        for one in asked:
            now = tier.objects.get(one.key)
            if now is None or now[0].identity != one.identity:
                if not contents:
                    raise RevisionChanged(one.key)
                return [*contents, None]
            contents.append(now[1])
        await trio.lowlevel.checkpoint()
        return contents

    tier.read_small = read_small  # type: ignore[method-assign]
    tier.add("s2", content_of(KIB, 99), version="2")
    del tier.objects["s4"]
    async with cache_in(tmp_path) as cache:
        told = await page(cache, tier, revisions)
        assert isinstance(told[2], RevisionChanged)
        assert isinstance(told[4], RevisionChanged)  # gone is what a change may be, too
        assert [isinstance(one, str) for one in told] == [True, True, False, True, False, True]
        assert_nothing_is_left(cache)


async def test_a_cancelled_page_leaves_nothing_but_what_has_come(tmp_path: Path) -> None:
    tier = SmallTier()
    tier.batch_gate = trio.Event()
    revisions = tier.add_many(2 * LANES_MAX * BATCH_FILES_MAX)
    async with cache_in(tmp_path) as cache:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(page, cache, tier, revisions)
            while len(tier.batches) < LANES_MAX:
                await tier.asked.park()
            nursery.cancel_scope.cancel()
        begun = sum(len(batch) for batch in tier.batches)
        tier.batch_gate.set()
        with trio.fail_after(30):
            while cache._batches._items or cache._batches._queues:
                await trio.testing.wait_all_tasks_blocked(0.01)
        assert sum(len(batch) for batch in tier.batches) == begun < len(revisions)
        assert cache.stats().files == begun
        assert_nothing_is_left(cache)
        assert len(await page(cache, tier, revisions)) == len(revisions)


async def test_s08_a_disk_that_gets_full_in_a_batch_keeps_what_has_its_row(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    landed, lock = 0, threading.Lock()

    def land_some(blobs: BlobStore, new_path: Any, files: Sequence[SmallFile]) -> OSError | None:
        nonlocal landed
        with lock:
            room = max(0, 10 - landed)
            landed += len(files[:room])
        failure = land_all(blobs, new_path, files[:room])
        return failure or (OSError(errno.ENOSPC, "full") if len(files) > room else None)

    def full(*_: Any) -> None:
        raise CacheFull("no stream brings the others")

    monkeypatch.setattr(batches, "land_all", land_some)
    tier = SmallTier()
    tier.fault = full
    revisions = tier.add_many(200)
    async with cache_in(tmp_path) as cache:
        told = await page(cache, tier, revisions)
        here = [one for one in told if isinstance(one, str)]
        assert all(isinstance(one, CacheFull) for one in told if one not in here)
        assert len(here) == cache.stats().files == files_below(tmp_path / "blobs") == 10
        assert_nothing_is_left(cache)


async def test_s07_a_reader_of_a_page_shares_its_download_or_takes_his_file_out(
    tmp_path: Path,
) -> None:
    tier = SmallTier()
    tier.batch_gate = trio.Event()
    revisions = tier.add_many(2 * LANES_MAX * BATCH_FILES_MAX)
    contents: dict[str, bytes] = {}

    async with cache_in(tmp_path) as cache, trio.open_nursery() as nursery:

        async def read(revision: Revision) -> None:
            contents[revision.key] = await read_all(cache, tier, revision)

        nursery.start_soon(page, cache, tier, revisions)
        while len(tier.batches) < LANES_MAX:
            await tier.asked.park()
        begun = {key for batch in tier.batches for key in batch}
        under_way = next(one for one in revisions if one.key in begun)
        waiting = next(one for one in revisions if one.key not in begun)
        nursery.start_soon(read, under_way)
        await read(waiting)
        assert under_way.key not in contents
        tier.batch_gate.set()
    assert contents == {one.key: tier.objects[one.key][1] for one in (under_way, waiting)}
    assert [key for key, _ in tier.reads] == [waiting.key]
    read_once = [key for batch in tier.batches for key in batch]
    assert len(read_once) == len(set(read_once)) == len(revisions) - 1


async def test_two_prewarms_of_a_page_fetch_each_file_once(tmp_path: Path) -> None:
    tier = SmallTier()
    revisions = tier.add_many(300)
    told: list[list[Digest | ShotfsError]] = []

    async with cache_in(tmp_path) as cache:

        async def fetch() -> None:
            told.append(await page(cache, tier, revisions))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(fetch)
            nursery.start_soon(fetch)
        assert told == [digests_of(tier, revisions)] * 2
        assert sum(len(batch) for batch in tier.batches) == len(revisions)
        assert_nothing_is_left(cache)


async def test_s10_a_page_stops_at_the_egress_budget(tmp_path: Path) -> None:
    tier = SmallTier()
    revisions = tier.add_many(500)
    budget = 100 * KIB
    limits = OriginLimits(account="a", egress_job_bytes_max=budget, egress_warn_share=1.0)
    async with cache_in(tmp_path, limits_of=lambda _: limits) as cache:
        told = await page(cache, tier, revisions, Asker(job="night"))
        refused = [one for one in told if isinstance(one, EgressSpent)]
        here = [one for one in told if isinstance(one, str)]
        assert len(here) + len(refused) == len(revisions)
        assert refused
        assert sum(one.size_bytes for one in revisions[: len(here)]) <= budget
        assert_nothing_is_left(cache)


async def test_s10_what_a_large_page_has_in_memory_is_bounded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    held = peak = 0
    lock = threading.Lock()
    land = batches.land_all
    record = batches._rows_in

    def landing_now(blobs: BlobStore, new_path: Any, files: Sequence[SmallFile]) -> OSError | None:
        nonlocal held, peak
        with lock:
            held += len(files)
            peak = max(peak, held)
        return land(blobs, new_path, files)

    def recording_now(index: Any, kept: Any) -> Any:
        nonlocal held
        with lock:
            held -= len(kept)
        return record(index, kept)

    monkeypatch.setattr(batches, "land_all", landing_now)
    monkeypatch.setattr(batches, "_rows_in", recording_now)
    tier = SmallTier()
    revisions = tier.add_many(4000, 8)
    async with cache_in(tmp_path) as cache:
        await page(cache, tier, revisions)
        assert peak <= UNRECORDED_MAX + 2 * LANES_MAX * BATCH_FILES_MAX
        assert_nothing_is_left(cache)


KILLED = """
import os, signal, sys, threading
import trio
from pathlib import Path
from shotfs.cache import landing
from tests.unit.cache.fakes import cache_in
from tests.unit.cache.small_tier import SmallTier

directory, named = sys.argv[1], 0
landing.NATIVE = None
link, one_at_a_time = os.link, threading.Lock()

def link_some(*args, **options):
    global named
    with one_at_a_time:
        if named == 6:
            os.kill(os.getpid(), signal.SIGKILL)
        link(*args, **options)
        named += 1

os.link = link_some

async def main():
    tier = SmallTier()
    wanted = [(tier, one) for one in tier.add_many(50)]
    async with cache_in(directory) as cache:
        await cache.fetch_all(wanted, lambda position, outcome: None)

trio.run(main)
"""


async def test_s06_kill_9_in_a_batch_leaves_whole_blobs_and_nothing_else(tmp_path: Path) -> None:
    root = Path(__file__).parents[3]
    done = await trio.to_thread.run_sync(
        lambda: subprocess.run(
            [sys.executable, "-c", KILLED, str(tmp_path / "c")],
            cwd=root,
            env=os.environ | {"PYTHONPATH": str(root)},
            check=False,
            timeout=60,
        )
    )
    assert done.returncode == -signal.SIGKILL
    assert files_below(tmp_path / "c" / "partials") == 0
    blobs = files_below(tmp_path / "c" / "blobs")
    assert blobs == 6
    tier = SmallTier()
    revisions = tier.add_many(50)
    async with cache_in(tmp_path / "c") as cache:
        assert await page(cache, tier, revisions) == digests_of(tier, revisions)
        assert cache.stats().files == 50
        assert files_below(tmp_path / "c" / "blobs") == 50


def without_md5(content: bytes) -> landing.Checksums:
    """Checksums that let nothing be linked without a fetch."""
    return landing.Checksums(xxh128=digest_bytes(content))
