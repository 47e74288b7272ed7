"""Reading through the cache: what is fetched, when, and what the reader gets."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import trio
import trio.testing

from shotfs.cache import FileState
from shotfs.cache.blocks import BLOCK_BYTES
from shotfs.cache.files import CachedFile
from shotfs.digest import Checksums, digest_bytes
from shotfs.errors import DigestMismatch
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


@pytest.fixture
def tier() -> FakeTier:
    return FakeTier()


@pytest.mark.parametrize("size", [0, 1, 4096, MIB - 1, MIB, MIB + 1, 9 * MIB + 17, 20 * MIB])
async def test_a_file_of_any_size_reads_as_its_origin_has_it(
    tier: FakeTier, tmp_path: Path, size: int
) -> None:
    content = content_of(size)
    revision = tier.add("a", content)
    async with cache_in(tmp_path / "c") as cache:
        assert await read_all(cache, tier, revision) == content
        file = await cache.open(tier, revision)
        assert await file.complete() == digest_bytes(content)
        file.close()
        again = await cache.open(tier, revision)
        assert again.state is FileState.COMPLETE
        assert await read_all(cache, tier, revision) == content
        again.close()
    assert tier.bytes_read == size


async def test_a_warm_open_makes_no_system_call_and_reads_without_a_thread(
    tier: FakeTier, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = content_of(100 * KIB)
    revision = tier.add("a", content)
    opened: list[object] = []
    real_open = os.open

    def counting(path: str, flags: int, *rest: int) -> int:
        opened.append(path)
        return real_open(path, flags, *rest)

    async with cache_in(tmp_path / "c") as cache:
        await keep(cache, tier, revision)
        monkeypatch.setattr(os, "open", counting)
        with pytest.raises(StopIteration) as ended:
            cache.open(tier, revision).send(None)  # it never gives way to another task
        file = ended.value.value
        assert opened == []
        found = file.read_now(Span(10, 50))
        assert found is not None
        assert bytes(found) == content[10:50]
        assert opened == [cache.blob_path(digest_bytes(content))]
        file.close()
        monkeypatch.undo()


async def test_read_now_never_waits_for_a_range_that_is_not_here(
    tier: FakeTier, tmp_path: Path
) -> None:
    revision = tier.add("a", content_of(20 * MIB))
    async with cache_in(tmp_path / "c") as cache:
        file = await cache.open(tier, revision)
        assert file.state is FileState.STREAMING
        assert file.read_now(Span(0, 100)) is None
        await file.read(Span(0, 100))
        assert file.read_now(Span(0, 100)) is not None
        file.close()


async def test_a_span_beyond_the_end_is_cut_like_read_2_does(
    tier: FakeTier, tmp_path: Path
) -> None:
    revision = tier.add("a", b"hello")
    async with cache_in(tmp_path / "c") as cache:
        file = await cache.open(tier, revision)
        assert bytes(await file.read(Span(3, 4096))) == b"lo"
        assert bytes(await file.read(Span(5, 10))) == b""
        assert file.read_now(Span(100, 200)) == b""
        file.close()


async def test_a_revision_whose_recorded_digest_is_here_is_not_fetched(
    tier: FakeTier, tmp_path: Path
) -> None:
    content = content_of(64 * KIB)
    first, copy = tier.add("v005/a", content), tier.add("v006/a", content)
    async with cache_in(tmp_path / "c") as cache:
        await keep(cache, tier, first)
        assert await read_all(cache, tier, copy) == content
        assert await cache.known(copy)
        assert cache.stats().files == 1
    assert [key for key, _ in tier.reads] == ["v005/a"]


async def test_s06_a_claimed_digest_alone_is_not_trusted(tier: FakeTier, tmp_path: Path) -> None:
    content, lie = content_of(64 * KIB), content_of(64 * KIB, 1)
    digest = Checksums(xxh128=digest_bytes(content))
    original = tier.add("v005/a", content)
    claimed = tier.add("v006/a", lie, checksums=digest)
    async with cache_in(tmp_path / "c") as cache:
        await keep(cache, tier, original)
        file = await cache.open(tier, claimed)
        with pytest.raises(DigestMismatch):
            await file.read(Span(0, 1))
        file.close()
    assert ("v006/a", Span(0, 64 * KIB)) in tier.reads


async def test_status_follows_a_revision_from_remote_to_cached(
    tier: FakeTier, tmp_path: Path
) -> None:
    revision = tier.add("a", content_of(20 * MIB))
    async with cache_in(tmp_path / "c") as cache:
        assert (await cache.status_of(revision)).state == "remote"
        tier.gates[8 * MIB] = trio.Event()
        file = await cache.open(tier, revision)
        await file.read(Span(0, 1))
        status = await cache.status_of(revision)
        assert status.state == "partial"
        assert status.bytes_present >= BLOCK_BYTES
        tier.gates[8 * MIB].set()
        for gate in tier.gates.values():
            gate.set()
        await file.complete()
        assert (await cache.status_of(revision)).state == "cached"
        file.close()


async def test_content_and_order_of_use_survive_a_restart(tier: FakeTier, tmp_path: Path) -> None:
    revisions = [tier.add(f"f{n}", content_of(64 * KIB, n)) for n in range(4)]
    async with cache_in(tmp_path / "c") as cache:
        for revision in revisions:
            await keep(cache, tier, revision)
        await read_all(cache, tier, revisions[0])
    reads = len(tier.reads)
    async with cache_in(tmp_path / "c", bytes_max=4 * 64 * KIB, eviction="lru") as cache:
        assert cache.stats().files == 4
        for revision in revisions:
            assert await cache.known(revision)
        await keep(cache, tier, tier.add("new", content_of(64 * KIB, 9)))
        # Each eviction frees a little more than it must, here one file.
        kept = [await cache.known(revision) for revision in revisions]
        assert kept == [True, False, False, True]
        assert await cache.digest_of(revisions[1]) == digest_bytes(content_of(64 * KIB, 1))
    assert len(tier.reads) == reads + 1


@pytest.mark.parametrize("on_other_disk", [False, True])
async def test_a_published_file_is_adopted_without_a_fetch(
    tier: FakeTier, tmp_path: Path, on_other_disk: bool
) -> None:
    if on_other_disk and os.stat("/dev/shm").st_dev == os.stat(tmp_path).st_dev:
        pytest.skip("needs two disks")
    content = content_of(3 * MIB)
    spool = (Path("/dev/shm") if on_other_disk else tmp_path) / f"out-{os.getpid()}.exr"
    spool.write_bytes(content)
    revision = tier.add("out", content)
    try:
        async with cache_in(tmp_path / "c") as cache:
            digest = digest_bytes(content)
            assert await cache.adopt(str(spool), digest, len(content), revision)
            assert spool.exists() is on_other_disk
            assert await cache.known(revision)
            assert await read_all(cache, tier, revision) == content
            blob = cache.blob_path(digest)
            assert os.stat(blob).st_mode & 0o777 == 0o400
            assert b'"out"' in os.getxattr(blob, "user.shotfs.origins")
            assert cache.stats().bytes_reserved == 0
    finally:
        spool.unlink(missing_ok=True)
    assert tier.reads == []


async def test_a_file_that_is_not_what_its_publisher_says_is_not_adopted(
    tier: FakeTier, tmp_path: Path
) -> None:
    spool = tmp_path / "out.exr"
    spool.write_bytes(b"changed!")
    revision = tier.add("out", b"original")
    async with cache_in(tmp_path / "c") as cache:
        assert not await cache.adopt(str(spool), digest_bytes(b"original"), 8, revision)
        assert not await cache.known(revision)
    assert spool.read_bytes() == b"changed!"


async def test_a_blob_that_somebody_unlinked_is_fetched_again(
    tier: FakeTier, tmp_path: Path
) -> None:
    content = content_of(2 * MIB)
    revision = tier.add("a", content)
    async with cache_in(tmp_path / "c") as cache:
        await keep(cache, tier, revision)
        files = [await cache.open(tier, revision) for _ in range(3)]
        os.unlink(cache.blob_path(digest_bytes(content)))
        for file in files:
            assert bytes(await file.read(Span(0, 10))) == content[:10]
            assert await file.complete() == digest_bytes(content)
        for file in files:
            file.close()
        assert await cache.known(revision)
        assert cache.stats().files == 1
        assert cache.stats().open_blobs == 0
    assert tier.bytes_read == 2 * len(content)


@pytest.mark.parametrize("size_bytes", [3 * KIB, 2 * MIB])
async def test_s11_a_file_that_is_closed_in_the_middle_of_a_read_lets_go_after_it(
    tier: FakeTier, tmp_path: Path, size_bytes: int
) -> None:
    content = content_of(size_bytes)
    revision = tier.add("a", content)
    contents: list[bytes] = []
    async with cache_in(tmp_path / "c") as cache:
        descriptors = open_descriptors()

        async def read(file: CachedFile) -> None:
            contents.append(bytes(await file.read(Span(0, 10))))

        async def close_in_the_middle(file: CachedFile) -> None:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(read, file)
                await trio.testing.wait_all_tasks_blocked()
                file.close()
                tier.gate.set()

        tier.gate = trio.Event()
        await close_in_the_middle(await cache.open(tier, revision))
        await keep(cache, tier, revision)
        closed, other = [await cache.open(tier, revision) for _ in range(2)]
        os.unlink(cache.blob_path(digest_bytes(content)))
        tier.gate = trio.Event()
        await close_in_the_middle(closed)
        assert contents == 2 * [content[:10]]
        await settled(cache)
        assert cache.stats().open_blobs == 1
        other.close()
        assert cache.stats().open_blobs == 0
        await closed_down_to(descriptors)
