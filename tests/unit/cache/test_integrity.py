"""Promise S6: bytes are verified, and a bad blob is never served."""

from __future__ import annotations

import errno
import os
from dataclasses import replace
from pathlib import Path

import pytest

from shotfs.digest import Checksums, Digest, digest_bytes
from shotfs.errors import DigestMismatch
from shotfs.tiers.base import Revision, Span
from tests.unit.cache.fakes import KIB, MIB, FakeTier, cache_in, content_of, keep, read_all, settled


@pytest.fixture
def tier() -> FakeTier:
    return FakeTier()


async def test_s06_a_small_corrupt_file_is_fetched_once_more_and_nobody_sees_it(
    tier: FakeTier, tmp_path: Path
) -> None:
    content = content_of(64 * KIB)
    revision = tier.add("a", content)
    tier.corrupt = 1
    async with cache_in(tmp_path / "c") as cache:
        assert await read_all(cache, tier, revision) == content
        assert cache.stats().verify_failures == 1
        # Found by the model: a lease on the wrong content stayed for ever.
        assert cache.stats().open_blobs == 0
    assert tier.bytes_read == 2 * len(content)


@pytest.mark.parametrize("size", [64 * KIB, 12 * MIB])
async def test_s06_corrupt_twice_is_eio_and_not_asked_for_again_at_once(
    tier: FakeTier, tmp_path: Path, size: int, caplog: pytest.LogCaptureFixture
) -> None:
    revision = tier.add("a", content_of(size))
    tier.corrupt = 2
    async with cache_in(tmp_path / "c") as cache:
        file = await cache.open(tier, revision)
        with pytest.raises(DigestMismatch) as caught:
            await file.complete()
        assert caught.value.errno == errno.EIO
        assert "a: the bytes that arrived" in str(caught.value)
        file.close()
        again = await cache.open(tier, revision)
        with pytest.raises(DigestMismatch):
            await again.read(Span(0, 10))
        again.close()
        assert tier.bytes_read == 2 * size
        assert not await cache.known(revision)
        assert cache.stats().files == 0
        assert cache.stats().bytes_reserved == 0
    reasons = [record.__dict__.get("reason", "") for record in caplog.records]
    assert any("promised was" in str(reason) for reason in reasons)


async def test_s06_who_read_bytes_of_a_file_that_proves_corrupt_gets_eio_others_the_good_ones(
    tier: FakeTier, tmp_path: Path
) -> None:
    content = content_of(12 * MIB)
    revision = tier.add("a", content)
    tier.corrupt = 1
    told: list[Revision] = []
    async with cache_in(tmp_path / "c", on_corrupt=told.append) as cache:
        reader, fresh = await cache.open(tier, revision), await cache.open(tier, revision)
        await reader.read(Span(0, 10))
        assert await fresh.complete() == digest_bytes(content)
        with pytest.raises(DigestMismatch):
            await reader.read(Span(0, 10))
        with pytest.raises(DigestMismatch):
            await reader.complete()
        assert bytes(await fresh.read(Span(5, 12 * MIB))) == content[5:]
        reader.close()
        fresh.close()
    assert told == [revision]


@pytest.mark.parametrize("name", ["md5", "crc32c", "xxh128"])
async def test_s06_every_checksum_that_the_tier_gives_is_compared(
    tier: FakeTier, tmp_path: Path, name: str
) -> None:
    sums = {"md5": Checksums(md5="0" * 32), "crc32c": Checksums(crc32c="0" * 8)}
    wrong = sums.get(name, Checksums(xxh128=Digest("0" * 32)))
    revision = tier.add("a", b"content", checksums=wrong)
    async with cache_in(tmp_path / "c") as cache:
        file = await cache.open(tier, revision)
        with pytest.raises(DigestMismatch):
            await file.read(Span(0, 7))
        file.close()


async def test_s06_a_blob_that_is_not_known_to_be_on_disk_is_hashed_before_it_is_served(
    tier: FakeTier, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    good, bad = content_of(64 * KIB, 1), content_of(64 * KIB, 2)
    first, second = tier.add("good", good), tier.add("bad", bad)
    async with cache_in(tmp_path / "c") as cache:
        await keep(cache, tier, first)
        await keep(cache, tier, second)
        damaged = cache.blob_path(digest_bytes(bad))
    # A power cut: no mark that everything was flushed, another run of the kernel, lost blocks.
    (tmp_path / "c" / "clean").unlink(missing_ok=True)
    monkeypatch.setattr("shotfs.cache.engine.boot_identity", lambda: "another boot")
    _overwrite(damaged, bytes(len(bad)))
    reads = len(tier.reads)
    async with cache_in(tmp_path / "c") as cache:
        assert not await cache.known(first)
        assert await read_all(cache, tier, first) == good
        assert len(tier.reads) == reads
        assert await cache.known(first)
        assert await read_all(cache, tier, second) == bad
        assert len(tier.reads) == reads + 1
        assert cache.stats().verify_failures == 1
        await settled(cache)
        assert cache.stats().files == 2


async def test_s06_a_large_blob_was_fsynced_and_needs_no_hash_after_a_power_cut(
    tier: FakeTier, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    revision = tier.add("a", content_of(17 * MIB))
    async with cache_in(tmp_path / "c") as cache:
        await keep(cache, tier, revision)
    (tmp_path / "c" / "clean").unlink(missing_ok=True)
    monkeypatch.setattr("shotfs.cache.engine.boot_identity", lambda: "another boot")
    async with cache_in(tmp_path / "c") as cache:
        assert await cache.known(revision)


async def test_the_same_digest_with_another_checksum_is_not_taken_for_the_same(
    tier: FakeTier, tmp_path: Path
) -> None:
    content = b"content"
    first = tier.add("a", content)
    lying = tier.add("b", content, checksums=replace(first.checksums, crc32c="00000000"))
    async with cache_in(tmp_path / "c") as cache:
        await keep(cache, tier, first)
        assert not await cache.known(lying)


def _overwrite(path: str, content: bytes) -> None:
    os.chmod(path, 0o600)
    Path(path).write_bytes(content)
