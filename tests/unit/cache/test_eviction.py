"""The eviction policies: S3-FIFO as its paper says, LRU, and the same on the index's own rows."""

from __future__ import annotations

import random
from collections import deque
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from shotfs.cache.eviction import POLICIES, Amount, Lru, Policy, S3Fifo
from shotfs.cache.eviction.policy import EXAMINED_MAX
from shotfs.cache.eviction.replay import ReplayCache
from shotfs.cache.index import Index, NewRow
from shotfs.digest import Checksums, Digest, digest_bytes

ACCESSES = st.lists(st.tuples(st.integers(0, 15), st.sampled_from((1, 2, 7))), max_size=120)


class PaperS3Fifo:
    """Algorithm 1 of the S3-FIFO paper, line by line, for objects of size 1."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.small: deque[str] = deque()
        self.main: deque[str] = deque()
        self.ghost: deque[str] = deque()
        self.freq: dict[str, int] = {}

    def access(self, name: str) -> bool:
        if name in self.freq:
            self.freq[name] = min(self.freq[name] + 1, 3)
            return True
        while len(self.freq) >= self.size:
            self._evict()
        while len(self.ghost) > max(len(self.freq), 1):
            self.ghost.pop()
        if name in self.ghost:
            self.ghost.remove(name)
            self.main.appendleft(name)
        else:
            self.small.appendleft(name)
        self.freq[name] = 0
        return False

    def _evict(self) -> None:
        if len(self.small) * 10 >= len(self.freq):
            self._evict_small()
        else:
            self._evict_main()

    def _evict_small(self) -> None:
        while self.small:
            tail = self.small.pop()
            if self.freq[tail] > 1:
                self.main.appendleft(tail)
                self.freq[tail] = 0
            else:
                del self.freq[tail]
                self.ghost.appendleft(tail)
                return
        self._evict_main()

    def _evict_main(self) -> None:
        while self.main:
            tail = self.main.pop()
            if self.freq[tail] > 0:
                self.freq[tail] -= 1
                self.main.appendleft(tail)
            else:
                del self.freq[tail]
                return
        self._evict_small()


@pytest.mark.parametrize("size", [1, 2, 10, 40, 100])
def test_s3_fifo_hits_and_misses_as_the_algorithm_of_the_paper(size: int) -> None:
    chance = random.Random(size)
    paper, ours = PaperS3Fifo(size), ReplayCache(S3Fifo(promoted_uses=2), size)
    for _ in range(4000):
        name = str(min(int(chance.paretovariate(0.6)), 400))
        assert ours.access(name, 1) == paper.access(name)
        assert ours.ghosts <= size


def test_lru_drops_what_was_not_used_for_the_longest_time() -> None:
    cache = ReplayCache(Lru(), 3)
    for name in ("a", "b", "c", "a", "d"):
        cache.access(name, 1)
    assert [name for name in "abcd" if name in cache] == ["a", "c", "d"]


def test_a_scan_of_large_files_does_not_flush_what_is_used_again_and_again() -> None:
    textures = [f"t{number}" for number in range(100)]
    hits: dict[str, int] = {}
    for policy in POLICIES.values():
        cache = ReplayCache(policy, 10_000)
        for frame in range(8):
            for texture in textures:
                cache.access(texture, 40)
            if frame >= 3:
                for number in range(40):
                    cache.access(f"scan-{frame}-{number}", 500)
        hits[policy.name] = sum(texture in cache for texture in textures)
    assert hits["s3-fifo"] == 100
    assert hits["lru"] == 0


@pytest.mark.parametrize("policy", POLICIES.values(), ids=list(POLICIES))
@given(accesses=ACCESSES)
def test_s08_no_policy_holds_more_than_the_limit_nor_evicts_more_than_it_must(
    policy: Policy, accesses: list[tuple[int, int]]
) -> None:
    cache = ReplayCache(policy, 12)
    for number, size_bytes in accesses:
        cache.access(f"{number}-{size_bytes}", size_bytes)
        held = sum(cache.held(queue).bytes for queue in cache.queues)
        assert held <= 12
        assert f"{number}-{size_bytes}" in cache


def index_in(directory: Path) -> Index:
    return Index(str(directory), revisions_max=1000, boot="boot", was_clean=False)


class IndexCache:
    """What `ReplayCache` is, over the rows of an index, with some blobs open."""

    def __init__(self, index: Index, policy: Policy, bytes_max: int) -> None:
        self.index, self.policy, self.bytes_max = index, policy, bytes_max
        self.here: set[Digest] = set()
        self.open: set[Digest] = set()

    def access(self, name: str, size_bytes: int) -> bool:
        digest = digest_bytes(name.encode())
        if digest in self.here:
            self.index.touch([(digest, 1)])
            return True
        over = self.index.current().bytes + size_bytes - self.bytes_max
        victims = self.index.choose(self.policy, Amount(max(over, 0)), 1000, self.open)
        assert self.open.isdisjoint(victim.digest for victim in victims)
        self.index.remove([victim.digest for victim in victims], evicted=True)
        self.here -= {victim.digest for victim in victims}
        self.here.add(digest)
        self.index.admit([NewRow(digest, Checksums(xxh128=digest), size_bytes, sound=True)])
        return False


@pytest.mark.parametrize("policy", POLICIES.values(), ids=list(POLICIES))
@settings(max_examples=15, deadline=None, suppress_health_check=list(HealthCheck))
@example(accesses=[(2, 7), (0, 1), (0, 2), (1, 2), (1, 7), (2, 2), (2, 7), (0, 7), (1, 7)])
@given(accesses=ACCESSES)
def test_the_rows_of_the_index_decide_as_the_queues_in_memory(
    policy: Policy, accesses: list[tuple[int, int]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    index = index_in(tmp_path_factory.mktemp("index"))
    stored, memory = IndexCache(index, policy, 20), ReplayCache(policy, 20)
    for number, size_bytes in accesses:
        name = f"{number}-{size_bytes}"
        assert stored.access(name, size_bytes) == memory.access(name, size_bytes)
        totals = index.current()
        assert totals.bytes == sum(memory.held(queue).bytes for queue in memory.queues)
        assert (totals.small_bytes, totals.small_files) == (
            memory.held(min(memory.queues)).bytes,
            memory.held(min(memory.queues)).files,
        )
    index.close()


@pytest.mark.parametrize("policy", POLICIES.values(), ids=list(POLICIES))
def test_s11_what_is_open_is_never_chosen_and_the_rest_is(policy: Policy, tmp_path: Path) -> None:
    index = index_in(tmp_path / "i")
    digests = [digest_bytes(bytes([number])) for number in range(30)]
    index.admit([NewRow(one, Checksums(xxh128=one), 10, sound=True) for one in digests])
    index.touch([(one, 3) for one in digests])
    keep = set(digests[::3])
    chosen = {victim.digest for victim in index.choose(policy, Amount(2**60), 1000, keep)}
    assert chosen == set(digests) - keep
    index.close()


def test_a_choice_ends_soon_although_every_blob_is_in_use(tmp_path: Path) -> None:
    index = index_in(tmp_path / "i")
    digests = [digest_bytes(number.to_bytes(4)) for number in range(EXAMINED_MAX + 500)]
    index.admit([NewRow(one, Checksums(xxh128=one), 1, sound=True) for one in digests])
    index.touch([(one, 3) for one in digests])
    before = index.current().serial
    assert len(index.choose(S3Fifo(), Amount(0, 20), 20, ())) == 20
    assert index.current().serial - before <= EXAMINED_MAX + 1
    index.close()


def test_changing_the_policy_keeps_the_record(tmp_path: Path) -> None:
    index = index_in(tmp_path / "i")
    digests = [digest_bytes(bytes([number])) for number in range(20)]
    index.admit([NewRow(one, Checksums(xxh128=one), 1, sound=True) for one in digests])
    index.touch([(one, 2) for one in digests[:5]])
    assert [one.digest for one in index.choose(Lru(), Amount(0, 3), 9, ())] == digests[5:8]
    index.close()
    index = index_in(tmp_path / "i")
    chosen = {one.digest for one in index.choose(S3Fifo(), Amount(0, 15), 15, ())}
    assert chosen == set(digests[5:])
    chosen = {one.digest for one in index.choose(Lru(), Amount(0, 15), 15, ())}
    assert chosen == set(digests[5:])
    index.close()


def test_names_of_evicted_blobs_are_bounded(tmp_path: Path) -> None:
    index = index_in(tmp_path / "i")
    for number in range(300):
        digest = digest_bytes(number.to_bytes(4))
        index.admit([NewRow(digest, Checksums(xxh128=digest), 1, sound=True)])
        if number >= 50:
            index.remove([digest], evicted=True)
    assert index.current().ghosts == 50
    index.close()
