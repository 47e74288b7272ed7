"""Promise S7: who waits for the hash of a large file is told when the cache's disk hangs.

The disk hangs where it hangs in the field: in the read of a hashing thread, which nothing can end.
"""

from __future__ import annotations

import errno
import os
import threading
from collections.abc import Awaitable, Callable, Iterator, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import trio
import trio.testing

from shotfs.cache import Cache
from shotfs.cache.hashing import HASH_THREADS, LOOKS, STUCK_MAX, STUCK_PARTS
from shotfs.cache.index import Index, identity_of
from shotfs.cache.phase import Phase
from shotfs.digest import digest_bytes
from shotfs.errors import CacheStalled
from shotfs.tiers.base import Revision, Span
from tests.unit.cache.fakes import KIB, MIB, FakeTier, cache_in, content_of, keep, read_all, settled

DEADLINE_S = 60.0
BLOCK_BYTES = 256 * KIB
SIZE = 2 * MIB


class Disk:
    """The disk as threads see it that hash: it gives files of some sizes only when told to.

    Attributes:
        held: sizes of files whose reads wait.
        hashes: sizes of files in the order in which their hashes began.
    """

    def __init__(self) -> None:
        self.held: set[int] = set()
        self.hashes: list[int] = []
        self._changed = threading.Condition()
        self._reads = 0
        self._given: dict[int, int] = {}

    def preadv(self, number: int, buffers: Sequence[Any], offset: int) -> int:
        """Read, in a hashing thread, once the disk gives it."""
        size = os.fstat(number).st_size
        with self._changed:
            self._reads += 1
            if offset == 0:
                self.hashes.append(size)
            self._changed.notify_all()
            self._changed.wait_for(lambda: size not in self.held or self._given.get(size, 0) > 0)
            self._given[size] = self._given.get(size, 0) - (size in self.held)
        return os.preadv(number, buffers, offset)

    def give(self, size: int) -> None:
        """Give one block of the files of *size*, and nothing else of them."""
        with self._changed:
            self._given[size] = self._given.get(size, 0) + 1
            self._changed.notify_all()

    def answer(self) -> None:
        """Give everything again."""
        with self._changed:
            self.held.clear()
            self._changed.notify_all()

    @property
    def reads(self) -> int:
        """How many reads were begun."""
        return self._reads

    async def reached(self, *, hashes: int = 0, reads: int = 0) -> None:
        """Return when as many hashes and reads have begun."""

        def wait() -> None:
            with self._changed:
                enough = self._changed.wait_for(
                    lambda: len(self.hashes) >= hashes and self._reads >= reads, timeout=60
                )
            assert enough, f"{len(self.hashes)} hashes and {self._reads} reads began"

        await trio.to_thread.run_sync(wait)


@pytest.fixture
def tier() -> FakeTier:
    return FakeTier()


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> Iterator[Disk]:
    disk = Disk()
    monkeypatch.setattr("shotfs.digest.os", SimpleNamespace(preadv=disk.preadv))
    monkeypatch.setattr("shotfs.digest.HASH_BLOCK_BYTES", BLOCK_BYTES)
    yield disk
    disk.answer()


class Attempt:
    """A call that runs in the background: whether it ended, and how."""

    def __init__(self, nursery: trio.Nursery, call: Callable[[], Awaitable[Any]]) -> None:
        self.result: Any = None
        self.error: Exception | None = None
        self.ended = trio.Event()
        self.scope = trio.CancelScope()
        nursery.start_soon(self._run, call)

    async def _run(self, call: Callable[[], Awaitable[Any]]) -> None:
        try:
            with self.scope:
                self.result = await call()
        except CacheStalled as error:
            self.error = error
        finally:
            self.ended.set()

    async def timed_out(self) -> None:
        """Assert that it ended, without more time passing, because the disk hangs."""
        await self.ended.wait()
        assert self.error is not None
        assert getattr(self.error, "errno", None) == errno.ETIMEDOUT
        assert "the cache's disk made no progress within 60 s" in str(self.error)


async def pass_time(clock: trio.testing.MockClock, deadlines: float) -> None:
    """Let as many deadlines pass, in steps that the watch over the threads can follow."""
    for _ in range(round(deadlines * LOOKS * 2)):
        clock.jump(DEADLINE_S / LOOKS / 2)
        await trio.testing.wait_all_tasks_blocked()


def cut_power(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have the next owner of the cache doubt all blobs that were not fsynced."""
    (directory / "clean").unlink(missing_ok=True)
    monkeypatch.setattr("shotfs.cache.engine.boot_identity", lambda: "another boot")


async def open_and_read(cache: Cache, tier: FakeTier, revision: Revision) -> bytes:
    """Return the first bytes of a new open file."""
    file = await cache.open(tier, revision)
    try:
        return bytes(await file.read(Span(0, 10)))
    finally:
        file.close()


async def test_s07_who_waits_for_a_hash_that_hangs_gets_etimedout_and_readers_read_on(
    tier: FakeTier, tmp_path: Path, disk: Disk, mock_clock: trio.testing.MockClock
) -> None:
    content = content_of(SIZE)
    revision = tier.add("a", content)
    disk.held = {SIZE}
    async with cache_in(tmp_path) as cache, trio.open_nursery() as nursery:
        file = await cache.open(tier, revision)
        waiter = Attempt(nursery, file.complete)
        await disk.reached(hashes=1)
        await pass_time(mock_clock, 0.75)
        assert not waiter.ended.is_set()
        await pass_time(mock_clock, 0.5)
        await waiter.timed_out()
        assert bytes(await file.read(Span(0, SIZE))) == content
        # Who comes while it still hangs is told at once; nothing is hashed or fetched twice.
        late = Attempt(nursery, file.complete)
        await late.timed_out()
        disk.answer()
        await disk.reached(reads=SIZE // BLOCK_BYTES)
        assert await file.complete() == digest_bytes(content)
        file.close()
    assert disk.hashes == [SIZE]
    assert tier.bytes_read == SIZE


async def test_s07_a_hash_that_moves_is_waited_for_however_long_it_takes(
    tier: FakeTier, tmp_path: Path, disk: Disk, mock_clock: trio.testing.MockClock
) -> None:
    revision = tier.add("a", content_of(SIZE))
    disk.held = {SIZE}
    async with cache_in(tmp_path) as cache, trio.open_nursery() as nursery:
        waiter = Attempt(nursery, lambda: cache.fetch(tier, revision))
        for block in range(SIZE // BLOCK_BYTES):
            await disk.reached(reads=block + 1)
            await pass_time(mock_clock, 0.75)
            assert not waiter.ended.is_set()
            disk.give(SIZE)
        await waiter.ended.wait()
        assert waiter.result == digest_bytes(content_of(SIZE))


async def test_s07_a_prewarm_that_a_hung_disk_ends_finds_its_bytes_again(
    tier: FakeTier, tmp_path: Path, disk: Disk, mock_clock: trio.testing.MockClock
) -> None:
    revision = tier.add("a", content_of(SIZE))
    disk.held = {SIZE}
    async with cache_in(tmp_path) as cache, trio.open_nursery() as nursery:
        prewarm = Attempt(nursery, lambda: cache.fetch(tier, revision))
        await disk.reached(hashes=1)
        await pass_time(mock_clock, 1.25)
        await prewarm.timed_out()
        await settled(cache)
        disk.answer()
        assert await cache.fetch(tier, revision) == digest_bytes(content_of(SIZE))
    assert tier.bytes_read == SIZE


async def test_s07_an_open_after_a_power_cut_gets_etimedout_when_the_hash_of_its_blob_hangs(
    tier: FakeTier,
    tmp_path: Path,
    disk: Disk,
    mock_clock: trio.testing.MockClock,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    content = content_of(SIZE)
    first, second = tier.add("a", content), tier.add("b", content)
    async with cache_in(tmp_path) as cache:
        await keep(cache, tier, first)
        await keep(cache, tier, second)
    cut_power(tmp_path, monkeypatch)
    disk.hashes.clear()
    disk.held = {SIZE}
    fetched = tier.bytes_read
    async with cache_in(tmp_path) as cache, trio.open_nursery() as nursery:
        opens = [
            Attempt(nursery, lambda one=one: open_and_read(cache, tier, one))
            for one in (first, first, second)
        ]
        cancelled = opens[0]
        await disk.reached(hashes=1)
        cancelled.scope.cancel()
        await cancelled.ended.wait()
        await pass_time(mock_clock, 0.75)
        assert [one.ended.is_set() for one in opens] == [True, False, False]
        await pass_time(mock_clock, 0.5)
        for one in opens[1:]:
            await one.timed_out()
        late = Attempt(nursery, lambda: open_and_read(cache, tier, first))
        await late.timed_out()
        # The hash outlived all who waited for it, and serves the next ones.
        disk.answer()
        while len(cache._proofs):
            await trio.lowlevel.checkpoint()
        for revision in (first, second):
            assert await cache.known(revision)
            assert await open_and_read(cache, tier, revision) == content[:10]
        assert cache.stats().open_blobs == 0
    assert disk.hashes == [SIZE]
    assert tier.bytes_read == fetched


async def test_s07_closing_does_not_wait_for_hashes_that_hang(
    tier: FakeTier,
    tmp_path: Path,
    disk: Disk,
    mock_clock: trio.testing.MockClock,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    old, new = tier.add("old", content_of(SIZE)), tier.add("new", content_of(SIZE + 1))
    async with cache_in(tmp_path) as cache:
        await keep(cache, tier, old)
    cut_power(tmp_path, monkeypatch)
    disk.hashes.clear()
    disk.held = {SIZE, SIZE + 1}
    async with trio.open_nursery() as nursery, cache_in(tmp_path) as cache:
        proof = Attempt(nursery, lambda: open_and_read(cache, tier, old))
        file = await cache.open(tier, new)
        await file.read(Span(0, 10))
        await disk.reached(hashes=2)
        file.close()
        proof.scope.cancel()
    disk.answer()
    async with cache_in(tmp_path) as cache:
        assert await read_all(cache, tier, old) == content_of(SIZE)
        assert await read_all(cache, tier, new) == content_of(SIZE + 1)
    assert tier.bytes_read == 2 * SIZE + 1


async def test_s07_hashes_that_hang_give_their_places_to_other_files(
    tier: FakeTier, tmp_path: Path, disk: Disk, mock_clock: trio.testing.MockClock
) -> None:
    warm, small = tier.add("warm", content_of(SIZE)), tier.add("small", content_of(KIB))
    stuck = [tier.add(f"f{n}", content_of(SIZE + n, n)) for n in range(1, 3)]
    other = tier.add("other", content_of(3 * MIB))
    assert len(stuck) == HASH_THREADS
    async with cache_in(tmp_path) as cache, trio.open_nursery() as nursery:
        await keep(cache, tier, warm)
        disk.held = {one.size_bytes for one in stuck}
        hung = [Attempt(nursery, lambda one=one: cache.fetch(tier, one)) for one in stuck]
        await disk.reached(hashes=1 + len(stuck))
        late = Attempt(nursery, lambda: cache.fetch(tier, other))
        # What needs no hash waits for nothing, and what comes in is read as it comes.
        assert await read_all(cache, tier, warm) == content_of(SIZE)
        assert await read_all(cache, tier, small) == content_of(KIB)
        assert await read_all(cache, tier, other) == content_of(3 * MIB)
        assert not late.ended.is_set()
        await pass_time(mock_clock, 1 / STUCK_PARTS + 2 / LOOKS)
        await disk.reached(hashes=2 + len(stuck))
        await late.ended.wait()
        assert late.result == digest_bytes(content_of(3 * MIB))
        assert not any(one.ended.is_set() for one in hung)
        disk.answer()
        for one in hung:
            await one.ended.wait()
            assert one.error is None


async def test_s07_more_hashes_that_hang_than_there_are_threads_end_in_etimedout_not_in_threads(
    tier: FakeTier, tmp_path: Path, disk: Disk, mock_clock: trio.testing.MockClock
) -> None:
    threads = HASH_THREADS + STUCK_MAX
    stuck = [tier.add(f"f{n}", content_of(SIZE + n, n)) for n in range(threads + 3)]
    disk.held = {one.size_bytes for one in stuck}
    async with cache_in(tmp_path) as cache, trio.open_nursery() as nursery:
        hung = []
        for number, one in enumerate(stuck):
            hung.append(Attempt(nursery, lambda one=one: cache.fetch(tier, one)))
            await disk.reached(hashes=min(number + 1, threads))
            stream = cache._streams.get(identity_of(one))
            while stream is None or stream.phase is not Phase.VERIFYING:
                await trio.lowlevel.checkpoint()
                stream = cache._streams.get(identity_of(one))
            await pass_time(mock_clock, 1 / STUCK_PARTS + 2 / LOOKS)
        await pass_time(mock_clock, 1)
        for one in hung:
            await one.timed_out()
        assert len(disk.hashes) == threads
        assert await read_all(cache, tier, stuck[-1]) == content_of(SIZE + threads + 2, threads + 2)
        disk.answer()
        for one in stuck:
            assert await cache.fetch(tier, one) == digest_bytes(tier.objects[one.key][1])
        await pass_time(mock_clock, 2 / LOOKS)
        assert cache._hashing.stuck == 0


async def test_s07_who_stands_in_line_behind_hashes_that_move_is_not_told_to_give_up(
    tier: FakeTier, tmp_path: Path, disk: Disk, mock_clock: trio.testing.MockClock
) -> None:
    slow = [tier.add(f"f{n}", content_of(SIZE + n, n)) for n in range(HASH_THREADS)]
    other = tier.add("other", content_of(3 * MIB))
    disk.held = {one.size_bytes for one in slow}
    async with cache_in(tmp_path) as cache, trio.open_nursery() as nursery:
        for one in slow:
            Attempt(nursery, lambda one=one: cache.fetch(tier, one))
        await disk.reached(hashes=len(slow))
        late = Attempt(nursery, lambda: cache.fetch(tier, other))
        for _ in range(6):
            reads = disk.reads
            for one in slow:
                disk.give(one.size_bytes)
            await disk.reached(reads=reads + len(slow))
            await pass_time(mock_clock, 3 / LOOKS)
            assert not late.ended.is_set()
        disk.answer()
        await late.ended.wait()
        assert late.error is None


async def test_s07_an_output_is_not_adopted_when_its_hash_hangs(
    tier: FakeTier, tmp_path: Path, disk: Disk, mock_clock: trio.testing.MockClock
) -> None:
    content = content_of(SIZE)
    spool, revision = tmp_path / "out.exr", tier.add("out", content)
    spool.write_bytes(content)
    disk.held = {SIZE}
    async with cache_in(tmp_path / "c") as cache, trio.open_nursery() as nursery:
        adoption = Attempt(
            nursery, lambda: cache.adopt(str(spool), digest_bytes(content), SIZE, revision)
        )
        await disk.reached(hashes=1)
        await pass_time(mock_clock, 1.25)
        await adoption.ended.wait()
        assert adoption.result is False
        assert spool.read_bytes() == content
        stats = cache.stats()
        assert (stats.bytes_reserved, stats.open_blobs) == (0, 0)


async def test_s07_who_waits_for_the_row_of_a_blob_gets_etimedout_when_the_index_hangs(
    tier: FakeTier,
    tmp_path: Path,
    mock_clock: trio.testing.MockClock,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    began, answers, admit = threading.Event(), threading.Event(), Index.admit

    def hang(*args: Any, **settings: Any) -> Any:
        began.set()
        answers.wait(60)
        return admit(*args, **settings)

    monkeypatch.setattr(Index, "admit", hang)
    revision = tier.add("a", content_of(SIZE))
    async with cache_in(tmp_path) as cache, trio.open_nursery() as nursery:
        waiter = Attempt(nursery, lambda: cache.fetch(tier, revision))
        await trio.to_thread.run_sync(began.wait)
        await trio.testing.wait_all_tasks_blocked()
        await pass_time(mock_clock, 1.25)
        await waiter.timed_out()
        answers.set()
        await cache.fetch(tier, revision)
