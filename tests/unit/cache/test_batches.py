"""Small files of a prewarm come in batches; whatever goes wrong there is left to a stream."""

from __future__ import annotations

import contextlib
import errno
import os
import threading
from collections.abc import Sequence, Sized
from contextlib import AsyncExitStack
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import trio
import trio.testing

from shotfs.cache import Asker, Cache, FetchClass, batches
from shotfs.cache.batches import BATCH_FILES_MAX, FILE_BYTES_MAX, LANES_MAX, LANES_MIN
from shotfs.cache.blobs import BlobStore
from shotfs.cache.landing import SmallFile, land_all
from shotfs.cache.scheduling import OriginLimits
from shotfs.digest import digest_bytes
from shotfs.errors import AccessDenied, CacheFull, EgressSpent, TierUnavailable
from shotfs.tiers.base import Revision, Span
from tests.unit.cache.fakes import KIB, cache_in, content_of, read_all
from tests.unit.cache.small_tier import SmallTier


async def fetch_all(cache: Cache, tier: SmallTier, revisions: Sequence[Revision]) -> None:
    async def fetch(revision: Revision) -> None:
        digest = await cache.fetch(tier, revision)
        assert digest == digest_bytes(tier.objects[revision.key][1])

    async with trio.open_nursery() as nursery:
        for revision in revisions:
            nursery.start_soon(fetch, revision)


async def test_small_files_come_in_batches_and_stay(tmp_path: Path) -> None:
    tier = SmallTier()
    count = LANES_MAX * BATCH_FILES_MAX + 20
    revisions = tier.add_many(count)
    async with cache_in(tmp_path) as cache:
        await fetch_all(cache, tier, revisions)
        assert sorted(key for batch in tier.batches for key in batch) == sorted(tier.objects)
        assert max(len(batch) for batch in tier.batches) == BATCH_FILES_MAX
        assert not tier.reads
        assert cache.stats().files == count
        assert cache.stats().bytes == sum(one.size_bytes for one in revisions)
        assert not cache.stats().bytes_reserved
        for revision in revisions[::50]:
            assert await read_all(cache, tier, revision) == tier.objects[revision.key][1]
    async with cache_in(tmp_path) as cache:
        await fetch_all(cache, tier, revisions)
        assert sum(len(batch) for batch in tier.batches) == count
        assert not tier.reads


async def test_s06_wrong_bytes_of_a_batch_are_not_kept_and_the_file_is_fetched_again(
    tmp_path: Path,
) -> None:
    tier = SmallTier(wrong={"s3"})
    revisions = tier.add_many(10)
    async with cache_in(tmp_path) as cache:
        await fetch_all(cache, tier, revisions)
        assert [key for key, _ in tier.reads] == ["s3"]
        assert await read_all(cache, tier, revisions[3]) == tier.objects["s3"][1]


async def test_what_does_not_come_in_time_comes_with_the_next_batch(tmp_path: Path) -> None:
    tier = SmallTier(come=1)
    revisions = tier.add_many(40)
    async with cache_in(tmp_path) as cache:
        await fetch_all(cache, tier, revisions)
        assert cache.stats().files == 40
        assert len(tier.batches) == 40
        assert not tier.reads


async def test_what_a_batch_cannot_read_is_fetched_by_a_stream(tmp_path: Path) -> None:
    tier = SmallTier(come=0, last_fails=True)
    revisions = tier.add_many(20)
    async with cache_in(tmp_path) as cache:
        await fetch_all(cache, tier, revisions)
        assert cache.stats().files == 20
        assert len(tier.reads) == len(tier.batches)
        assert not cache.stats().bytes_reserved


async def test_an_error_of_a_batch_is_left_to_the_stream_that_can_tell_it(tmp_path: Path) -> None:
    tier = SmallTier(batch_fault=TierUnavailable("away"))
    revision = tier.add_many(1)[0]

    def denied(*_: object) -> None:
        raise AccessDenied("not yours")

    async with cache_in(tmp_path) as cache:
        tier.fault = denied
        with pytest.raises(AccessDenied):
            await cache.fetch(tier, revision)
        tier.fault = None
        assert await cache.fetch(tier, revision) == digest_bytes(tier.objects["s0"][1])


async def test_a_reader_does_not_wait_for_a_batch_that_has_not_begun(tmp_path: Path) -> None:
    tier = SmallTier()
    tier.batch_gate = trio.Event()
    revisions = tier.add_many(LANES_MAX * BATCH_FILES_MAX + 4)
    async with cache_in(tmp_path) as cache, trio.open_nursery() as nursery:
        nursery.start_soon(fetch_all, cache, tier, revisions)
        while len(tier.batches) < LANES_MAX:
            await tier.asked.park()
        begun = {key for batch in tier.batches for key in batch}
        waiting = next(one for one in revisions if one.key not in begun)
        assert await read_all(cache, tier, waiting) == tier.objects[waiting.key][1]
        assert [key for key, _ in tier.reads] == [waiting.key]
        tier.batch_gate.set()
    assert sum(len(batch) for batch in tier.batches) == len(revisions) - 1


async def test_s07_a_reader_shares_the_download_of_a_batch_that_has_begun(tmp_path: Path) -> None:
    tier = SmallTier()
    tier.batch_gate = trio.Event()
    revisions = tier.add_many(3)
    contents: list[bytes] = []

    async with cache_in(tmp_path) as cache, trio.open_nursery() as nursery:

        async def read() -> None:
            contents.append(await read_all(cache, tier, revisions[1]))

        nursery.start_soon(fetch_all, cache, tier, revisions)
        while sum(len(batch) for batch in tier.batches) < 3:
            await tier.asked.park()
        nursery.start_soon(read)
        await trio.testing.wait_all_tasks_blocked()
        assert not contents
        tier.batch_gate.set()
    assert contents == [tier.objects["s1"][1]]
    assert not tier.reads


async def test_s07_a_reader_of_what_a_batch_has_not_come_to_asks_for_himself(
    tmp_path: Path,
) -> None:
    tier = SmallTier(come=1)
    tier.batch_gate = trio.Event()
    revisions = tier.add_many(30)
    contents: list[bytes] = []

    async with cache_in(tmp_path) as cache, trio.open_nursery() as nursery:

        async def read(revision: Revision) -> None:
            contents.append(await read_all(cache, tier, revision))

        nursery.start_soon(fetch_all, cache, tier, revisions)
        while not tier.batches:
            await tier.asked.park()
        await trio.testing.wait_all_tasks_blocked()
        batch = next(one for one in tier.batches if len(one) > 1)
        last = next(one for one in revisions if one.key == batch[-1])
        nursery.start_soon(read, last)
        await trio.testing.wait_all_tasks_blocked()
        assert not contents
        tier.batch_gate.set()
    assert contents == [tier.objects[last.key][1]]
    assert [key for key, _ in tier.reads] == [last.key]
    assert True in tier.waited_for
    assert cache.stats().files == len(revisions)


async def test_a_cancelled_prewarm_fetches_nothing_that_has_not_begun(tmp_path: Path) -> None:
    tier = SmallTier()
    tier.batch_gate = trio.Event()
    revisions = tier.add_many(LANES_MAX * BATCH_FILES_MAX + 4)
    async with cache_in(tmp_path) as cache:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(fetch_all, cache, tier, revisions)
            while len(tier.batches) < LANES_MAX:
                await tier.asked.park()
            nursery.cancel_scope.cancel()
        begun = sum(len(batch) for batch in tier.batches)
        tier.batch_gate.set()
        while cache.stats().files < begun:
            await trio.lowlevel.checkpoint()
        assert sum(len(batch) for batch in tier.batches) == begun < len(revisions)


async def test_two_prewarms_of_a_file_fetch_it_once(tmp_path: Path) -> None:
    tier = SmallTier()
    revisions = tier.add_many(5)
    async with cache_in(tmp_path) as cache:
        await fetch_all(cache, tier, revisions * 3)
        assert sum(len(batch) for batch in tier.batches) == 5
        assert not tier.reads


async def test_files_of_equal_content_are_one_blob(tmp_path: Path) -> None:
    tier = SmallTier()
    revisions = [tier.add(f"same{n}", content_of(KIB)) for n in range(20)]
    async with cache_in(tmp_path) as cache:
        await fetch_all(cache, tier, revisions)
        assert cache.stats().files == 1
        assert not cache.stats().bytes_reserved


async def test_s08_a_batch_that_does_not_fit_is_refused_as_any_file(tmp_path: Path) -> None:
    tier = SmallTier()
    revision = tier.add_many(1, 10 * KIB)[0]
    async with cache_in(tmp_path, bytes_max=KIB) as cache:
        with pytest.raises(CacheFull):
            await cache.fetch(tier, revision)
        assert not tier.batches
        assert not cache.stats().bytes


async def test_a_demand_and_large_files_are_for_streams(tmp_path: Path) -> None:
    tier = SmallTier()
    large = tier.add("large", content_of(FILE_BYTES_MAX + 1))
    small = tier.add("small", content_of(KIB, 1))
    empty = tier.add("empty", b"")
    async with cache_in(tmp_path) as cache:
        await cache.fetch(tier, large)
        await cache.fetch(tier, small, fetch_class=FetchClass.DEMAND)
        await cache.fetch(tier, empty)
        assert not tier.batches
        assert (small.key, Span(0, KIB)) in tier.reads


async def test_closing_the_cache_ends_batches_that_stall(tmp_path: Path) -> None:
    tier = SmallTier()
    tier.batch_gate = trio.Event()
    revisions = tier.add_many(30)
    async with trio.open_nursery() as nursery, cache_in(tmp_path) as cache:
        nursery.start_soon(fetch_all, cache, tier, revisions)
        while not tier.batches:
            await tier.asked.park()
        nursery.cancel_scope.cancel()
    async with cache_in(tmp_path) as cache:
        assert cache.stats().files == 0
        assert await read_all(cache, tier, revisions[0]) == tier.objects["s0"][1]


async def test_two_threads_may_need_the_same_new_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make = os.mkdir

    def make_after_another(path: str, mode: int = 0o777) -> None:
        if "/blobs/" in path:
            make(path, mode)
        make(path, mode)

    tier = SmallTier()
    revisions = tier.add_many(5)
    async with cache_in(tmp_path) as cache:
        monkeypatch.setattr(os, "mkdir", make_after_another)
        await fetch_all(cache, tier, revisions)
        assert not tier.reads


async def test_closing_waits_for_what_is_becoming_blobs_and_their_rows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    landing, go_on = threading.Event(), threading.Event()
    land_all = batches.land_all

    def land_later(*args: Any) -> Any:
        landing.set()
        assert go_on.wait(10)
        return land_all(*args)

    monkeypatch.setattr(batches, "land_all", land_later)
    tier = SmallTier()
    async with trio.open_nursery() as nursery, cache_in(tmp_path) as cache:
        nursery.start_soon(fetch_all, cache, tier, tier.add_many(3))
        await trio.to_thread.run_sync(landing.wait)
        nursery.cancel_scope.cancel()
        go_on_soon = threading.Timer(0.05, go_on.set)
        go_on_soon.start()
    go_on_soon.join()
    blobs = sum(len(files) for _, _, files in os.walk(tmp_path / "blobs"))
    async with cache_in(tmp_path) as cache:
        assert cache.stats().files == blobs == 3


async def test_s08_what_a_batch_landed_before_the_disk_failed_has_its_rows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def land_some(blobs: BlobStore, new_path: Any, files: Sequence[SmallFile]) -> Any:
        odd = [int(one.revision.key[1:]) % 2 == 1 for one in files]
        until = odd.index(True) if True in odd else len(files)
        failure = land_all(blobs, new_path, files[:until])
        assert failure is None
        return OSError(errno.ENOSPC, "no space left") if True in odd else None

    def refuse(*_: Any) -> None:
        raise TierUnavailable("no stream brings the others")

    monkeypatch.setattr(batches, "land_all", land_some)
    tier = SmallTier()
    tier.fault = refuse
    async with cache_in(tmp_path) as cache:

        async def fetch(revision: Revision) -> None:
            with contextlib.suppress(TierUnavailable):
                await cache.fetch(tier, revision)

        async with trio.open_nursery() as nursery:
            for one in tier.add_many(2 * LANES_MAX):
                nursery.start_soon(fetch, one)
        assert any(len(batch) > 1 for batch in tier.batches)
        blobs = sum(len(files) for _, _, files in os.walk(tmp_path / "blobs"))
        assert cache.stats().files == blobs > 0


async def test_s07_a_batch_that_waits_for_its_turn_becomes_as_urgent_as_its_reader(
    tmp_path: Path,
) -> None:
    tier = SmallTier()
    (revision,) = tier.add_many(1)
    async with (
        cache_in(tmp_path) as cache,
        trio.open_nursery() as nursery,
        AsyncExitStack() as others,
    ):
        for _ in range(LANES_MAX):  # all that prewarms may have
            slot = cache._scheduler.slot(tier.name, 1, FetchClass.DEMAND)
            await others.enter_async_context(slot)
        nursery.start_soon(fetch_all, cache, tier, [revision])
        await trio.testing.wait_all_tasks_blocked(0.05)
        assert not tier.batches
        with trio.fail_after(30):  # it would wait for ever
            assert await read_all(cache, tier, revision) == tier.objects["s0"][1]


async def test_s07_a_reader_waits_for_a_batch_that_stands_still_for_moments_only(
    tmp_path: Path, mock_clock: trio.testing.MockClock
) -> None:
    tier = SmallTier()
    tier.batch_gate = trio.Event()
    (revision,) = tier.add_many(1)
    contents: list[bytes] = []

    async with cache_in(tmp_path) as cache, trio.open_nursery() as nursery:

        async def read() -> None:
            contents.append(await read_all(cache, tier, revision))
            tier.batch_gate.set()

        nursery.start_soon(fetch_all, cache, tier, [revision])
        while not tier.batches:
            await tier.asked.park()
        nursery.start_soon(read)
        await trio.testing.wait_all_tasks_blocked()
        mock_clock.jump(batches.GIVE_WAY_S)
    assert contents == [tier.objects["s0"][1]]


async def test_files_of_different_jobs_are_in_different_batches_and_counted_for_their_own(
    tmp_path: Path,
) -> None:
    tier = SmallTier()
    revisions = tier.add_many(4 * BATCH_FILES_MAX)
    jobs = {one.key: f"job-{at % 3}" for at, one in enumerate(revisions)}
    limits = OriginLimits(account="a", egress_job_bytes_max=10 * 1024 * KIB)
    async with cache_in(tmp_path, limits_of=lambda _: limits) as cache:
        tier.batch_gate = trio.Event()
        async with trio.open_nursery() as nursery:
            for revision in revisions:
                asker = Asker(0, "prewarm", jobs[revision.key])
                nursery.start_soon(partial(cache.fetch, tier, revision, asker=asker))
            await trio.testing.wait_all_tasks_blocked()
            tier.batch_gate.set()
        assert all(len({jobs[key] for key in batch}) == 1 for batch in tier.batches)
        assert len(tier.batches) < len(revisions) / 2, (
            "jobs that alternate are batched all the same"
        )
        counted = cache._scheduler._egress._accounts["a"].jobs
        assert counted == {
            job: sum(one.size_bytes for one in revisions if jobs[one.key] == job)
            for job in set(jobs.values())
        }


async def test_a_job_whose_budget_is_spent_keeps_no_other_from_its_small_files(
    tmp_path: Path,
) -> None:
    tier = SmallTier()
    revisions = tier.add_many(2 * BATCH_FILES_MAX)
    limits = OriginLimits(account="a", egress_job_bytes_max=256 * KIB, egress_warn_share=1.0)
    got: list[str] = []

    async def fetch(revision: Revision, job: str) -> None:
        with contextlib.suppress(EgressSpent):
            await cache.fetch(tier, revision, asker=Asker(0, "prewarm", job))
            got.append(job)

    async with cache_in(tmp_path, limits_of=lambda _: limits) as cache:
        cache._scheduler._egress.count("a", limits, 256 * KIB, "spent")
        async with trio.open_nursery() as nursery:
            for at, revision in enumerate(revisions):
                nursery.start_soon(fetch, revision, ("spent", "other")[at % 2])
        assert got == ["other"] * BATCH_FILES_MAX


async def count_of(sized: Sized, expected: int) -> int:
    """Return how many there are when nothing moves any more, *expected* at least."""
    while len(sized) < expected:
        await trio.lowlevel.checkpoint()
    await trio.testing.wait_all_tasks_blocked(0.05)
    return len(sized)


async def measure(cache: Cache, tier: SmallTier, latency_s: float) -> None:
    for _ in range(32):
        async with cache._scheduler.slot(tier.name, 1000, FetchClass.DEMAND) as slot:
            slot.record(1000, latency_s)


@pytest.mark.parametrize(
    ("latency_s", "lanes"), [(0.05, LANES_MAX), (0.007, 7), (0.0005, LANES_MIN)]
)
async def test_few_batches_are_under_way_where_files_come_at_once(
    tmp_path: Path, mock_clock: trio.testing.MockClock, latency_s: float, lanes: int
) -> None:
    tier = SmallTier()
    revisions = tier.add_many(2 * LANES_MAX * BATCH_FILES_MAX)
    async with cache_in(tmp_path) as cache:
        await measure(cache, tier, latency_s)
        tier.batch_gate = trio.Event()
        async with trio.open_nursery() as nursery:
            for revision in revisions:
                nursery.start_soon(partial(cache.fetch, tier, revision))
            assert await count_of(tier.batches, lanes) == lanes
            tier.batch_gate.set()
        assert cache.stats().files == len(revisions)


async def test_batches_beyond_those_of_use_end_while_files_wait(
    tmp_path: Path, mock_clock: trio.testing.MockClock
) -> None:
    tier = SmallTier()
    revisions = tier.add_many(4 * LANES_MAX * BATCH_FILES_MAX)
    async with cache_in(tmp_path) as cache:
        first = tier.batch_gate = trio.Event()
        async with trio.open_nursery() as nursery:
            for revision in revisions:
                nursery.start_soon(partial(cache.fetch, tier, revision))
            assert await count_of(tier.batches, LANES_MAX) == LANES_MAX
            await measure(cache, tier, 0.0005)
            tier.batch_gate = trio.Event()
            first.set()
            # Twelve come; four go on.
            assert await count_of(tier.batches, LANES_MAX + LANES_MIN) == LANES_MAX + LANES_MIN
            tier.batch_gate.set()
        assert cache.stats().files == len(revisions)
