"""Several small objects at once: the same bytes as one by one, or nothing (`tiers.base`)."""

from __future__ import annotations

import pytest

from shotfs.errors import TierError
from shotfs.tiers.arrival import IS_WAITED_FOR
from shotfs.tiers.base import Revision, Span, Tier, small_reader
from tests.contract.places import READABLE_VARIANTS, Place, at, noise


async def fill(place: Place, tier: Tier, names: list[str]) -> tuple[list[Revision], list[bytes]]:
    contents = [noise(1000 + number) for number in range(len(names))]
    for name, content in zip(names, contents, strict=True):
        place.write(name, content)
    return [await tier.stat(name) for name in names], contents


@at(*READABLE_VARIANTS)
async def test_small_objects_come_whole_and_in_order_as_far_as_they_come(
    place: Place, tier: Tier
) -> None:
    revisions, contents = await fill(place, tier, ["a", "b/c", "d e"])
    reader = small_reader(tier)
    assert reader is not None
    found = await reader.read_small(revisions)
    assert found
    for revision, came, content in zip(revisions, found, contents, strict=False):
        # None: this tier has no better way.
        data = came or await tier.read(revision, Span(0, revision.size_bytes))
        assert bytes(data) == content


@at("http", "s3", "gcs")
async def test_small_objects_come_together_from_stores_that_obstore_reads(
    place: Place, tier: Tier
) -> None:
    revisions, _ = await fill(place, tier, ["a", "b"])
    reader = small_reader(tier)
    assert reader is not None
    assert None not in await reader.read_small(revisions)


@at("http", "s3", "gcs")
async def test_s07_no_more_small_objects_are_read_while_somebody_waits_for_one(
    place: Place, tier: Tier
) -> None:
    revisions, contents = await fill(place, tier, ["a", "b", "c"])
    reader = small_reader(tier)
    assert reader is not None
    asked: list[bool] = []

    def is_waited_for() -> bool:
        asked.append(True)
        return len(asked) == 2

    IS_WAITED_FOR.set(is_waited_for)
    found = await reader.read_small(revisions)
    assert [bytes(one or b"") for one in found] == contents[:2]


@at(*READABLE_VARIANTS)
async def test_one_that_was_replaced_is_never_given_with_other_bytes(
    place: Place, tier: Tier
) -> None:
    revisions, contents = await fill(place, tier, ["a", "b", "c"])
    place.write("b", b"other bytes, as a store may have them a moment later")
    reader = small_reader(tier)
    assert reader is not None
    found = await reader.read_small(revisions)
    assert [None if one is None else bytes(one) for one in found] in (
        [contents[0], None],
        [contents[0]],
        [None],
    )


@at("http", "s3", "gcs")
async def test_the_first_that_is_gone_is_an_error(place: Place, tier: Tier) -> None:
    revisions, _ = await fill(place, tier, ["a", "b"])
    place.write("a", b"replaced")
    reader = small_reader(tier)
    assert reader is not None
    with pytest.raises(TierError):
        await reader.read_small(revisions)
