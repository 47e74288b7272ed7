"""What is recorded with an object comes back: who stored it, where the store has a place for it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from shotfs.digest import Checksums, digest_bytes
from shotfs.errors import ObjectNotFound, RevisionChanged
from shotfs.tiers.base import Tier
from tests.contract.places import ATOMIC, PART_BYTES, Place, at, noise
from tests.contract.test_tier_contract import MTIME_NS, put

WHO = {"shotfs-node": "render-07", "shotfs-show": "ant", "shotfs-template": "frame"}


@at(*ATOMIC)
@pytest.mark.parametrize("size_bytes", [7, PART_BYTES + 1], ids=["small", "in parts"])
async def test_who_stored_an_object_is_recorded_with_it(tier: Tier, size_bytes: int) -> None:
    data = noise(size_bytes)
    sums = Checksums(xxh128=digest_bytes(data))
    revision = await tier.put(
        "a/b.exr", data, expect=None, checksums=sums, mtime_ns=MTIME_NS, metadata=WHO
    )
    told = await tier.recorded(await tier.stat("a/b.exr"))
    assert {name: told.get(name) for name in WHO} == WHO
    assert told["shotfs-xxh128"] == sums.xxh128
    assert await tier.recorded(revision) == told


@at(*ATOMIC, "memory")
async def test_of_an_object_of_another_tool_nothing_is_recorded(place: Place, tier: Tier) -> None:
    place.write("a.exr", b"by hand")
    told = await tier.recorded(await tier.stat("a.exr"))
    assert not [name for name in told if name.startswith("shotfs-")]


@at(*ATOMIC)
async def test_what_is_recorded_with_another_revision_is_not_told(place: Place, tier: Tier) -> None:
    old = await put(tier, "a.exr", b"first")
    await put(tier, "a.exr", b"second!", expect=old)
    with pytest.raises(RevisionChanged):
        await tier.recorded(old)
    place.remove("a.exr")
    with pytest.raises(ObjectNotFound):
        await tier.recorded(old)


@at("file")
async def test_who_stored_a_file_is_not_told_of_bytes_that_came_later(
    place: Place, tier: Tier
) -> None:
    await tier.put(
        "a.exr", b"x", expect=None, checksums=Checksums(), mtime_ns=MTIME_NS, metadata=WHO
    )
    written = Path(place.url.removeprefix("file://"), "a.exr")
    os.truncate(written, 2)
    assert await tier.recorded(await tier.stat("a.exr")) == {}
