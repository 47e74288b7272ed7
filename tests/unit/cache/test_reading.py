"""Reading through the cache: what is fetched, when, and what the reader gets."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import trio

from shotfs.cache import FileState
from shotfs.digest import digest_bytes
from shotfs.tiers.base import Span
from tests.unit.cache.fakes import KIB, MIB, FakeTier, cache_in, content_of, keep, read_all


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
