"""The cache over the real tier of a local directory, with nothing faked."""

from __future__ import annotations

from pathlib import Path

import pytest
import trio

from shotfs.config import Settings
from shotfs.errors import RevisionChanged
from shotfs.observe.metrics import Metrics
from shotfs.tiers.base import Span, Tier
from shotfs.tiers.registry import open_tier
from tests.unit.cache.fakes import MIB, cache_in, content_of


async def _read(tier: Tier, cache: object, key: str) -> bytes:
    revision = await tier.stat(key)
    file = await cache.open(tier, revision)  # type: ignore[attr-defined]
    try:
        return bytes(await file.read(Span(0, revision.size_bytes)))
    finally:
        file.close()


async def test_files_of_a_directory_are_read_verified_and_kept(tmp_path: Path) -> None:
    contents = {f"d/f{size}": content_of(size) for size in (0, 10, MIB + 1, 18 * MIB)}
    (tmp_path / "origin" / "d").mkdir(parents=True)
    for key, content in contents.items():
        (tmp_path / "origin" / key).write_bytes(content)
    metrics = Metrics()
    tier = await open_tier(f"file://{tmp_path}/origin", Settings(), metrics)
    async with cache_in(tmp_path / "c", metrics=metrics) as cache:
        for _ in range(2):
            async with trio.open_nursery() as nursery:
                for key, content in contents.items():
                    nursery.start_soon(_expect, tier, cache, key, content)
        for key in contents:
            revision = await tier.stat(key)
            file = await cache.open(tier, revision)
            await file.complete()
            file.close()
            assert await cache.known(revision)
        while metrics.snapshot()["shotfs_cache_files"] != len(contents):
            await trio.lowlevel.checkpoint()  # rows follow the blobs
    await tier.aclose()


async def _expect(tier: Tier, cache: object, key: str, content: bytes) -> None:
    assert await _read(tier, cache, key) == content


async def test_s03_a_file_that_is_replaced_between_stat_and_read_is_stale(tmp_path: Path) -> None:
    (tmp_path / "origin").mkdir()
    path = tmp_path / "origin" / "a"
    path.write_bytes(content_of(MIB, 1))
    tier = await open_tier(f"file://{tmp_path}/origin", Settings(), Metrics())
    async with cache_in(tmp_path / "c") as cache:
        revision = await tier.stat("a")
        path.unlink()
        path.write_bytes(content_of(2 * MIB, 2))
        file = await cache.open(tier, revision)
        with pytest.raises(RevisionChanged):
            await file.read(Span(0, 10))
        file.close()
        assert await _read(tier, cache, "a") == content_of(2 * MIB, 2)
    await tier.aclose()
