"""Descriptors of whole blobs, for a kernel that reads them by itself."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import trio

from shotfs.cache import FileState
from shotfs.digest import digest_bytes
from shotfs.tiers.base import Span
from tests.unit.cache.fakes import (
    MIB,
    FakeTier,
    cache_in,
    content_of,
    keep,
    open_descriptors,
)


@pytest.fixture
def tier() -> FakeTier:
    return FakeTier()


async def test_a_whole_blob_has_a_descriptor_for_as_long_as_its_lease(
    tier: FakeTier, tmp_path: Path
) -> None:
    content = content_of(2 * MIB + 17)
    revision = tier.add("a", content)
    async with cache_in(tmp_path / "c") as cache:
        await keep(cache, tier, revision)
        before = open_descriptors()
        file = await cache.open(tier, revision)
        number = file.blob_descriptor()
        assert number is not None
        assert file.blob_descriptor() == number
        assert os.pread(number, len(content) + 1, 0) == content
        with pytest.raises(OSError, match="Bad file descriptor"):
            os.pwrite(number, b"x", 0)
        assert open_descriptors() == before + 1
        file.close()
        assert open_descriptors() == before
        assert file.blob_descriptor() is None


async def test_who_opened_it_while_it_streamed_in_has_none_and_the_next_one_has(
    tier: FakeTier, tmp_path: Path
) -> None:
    content = content_of(3 * MIB)
    revision = tier.add("a", content)
    tier.gate = trio.Event()
    async with cache_in(tmp_path / "c") as cache:
        file = await cache.open(tier, revision)
        assert (file.state, file.blob_descriptor()) == (FileState.STREAMING, None)
        tier.gate.set()
        assert await file.complete() == digest_bytes(content)
        assert file.blob_descriptor() is None
        second = await cache.open(tier, revision)
        number = second.blob_descriptor()
        assert number is not None
        assert os.pread(number, len(content) + 1, 0) == content
        second.close()
        file.close()


async def test_a_file_that_was_read_while_it_streamed_in_has_none(
    tier: FakeTier, tmp_path: Path
) -> None:
    """Its reads go on where they began, so that a restart of the stream is noticed."""
    revision = tier.add("a", content_of(3 * MIB))
    async with cache_in(tmp_path / "c") as cache:
        file = await cache.open(tier, revision)
        await file.read(Span(0, 1))
        await file.complete()
        assert file.blob_descriptor() is None
        second = await cache.open(tier, revision)
        assert second.blob_descriptor() is not None
        second.close()
        file.close()


async def test_a_blob_that_was_removed_behind_our_back_has_none(
    tier: FakeTier, tmp_path: Path
) -> None:
    content = content_of(MIB)
    revision = tier.add("a", content)
    async with cache_in(tmp_path / "c") as cache:
        await keep(cache, tier, revision)
        os.unlink(cache.blob_path(digest_bytes(content)))
        file = await cache.open(tier, revision)
        assert file.blob_descriptor() is None
        assert bytes(await file.read(Span(0, MIB))) == content  # fetched again
        file.close()
