"""A page of keys in order, whatever directories they lie in (`tiers.base.TreeLister`)."""

from __future__ import annotations

from contextlib import aclosing

import pytest

from shotfs.errors import BucketNotFound
from shotfs.observe.metrics import Metrics
from shotfs.tiers.base import Tier, tree_lister
from shotfs.tiers.breaker import BreakerWatch
from shotfs.tiers.registry import open_tier
from tests.contract.places import Place, at

TREES = at("gcs", "gcs-prefix", "s3", "s3-prefix")


@TREES
async def test_a_tree_is_listed_from_a_key_on_with_the_revisions_of_its_directories(
    place: Place, tier: Tier
) -> None:
    keys = ["a/1/x", "a/2/deep/er/x", "a/2/x", "a-b/x", "b/\u00e9/x", "c"]
    for key in keys:
        place.write(key, b"content")
    lister = tree_lister(tier)
    assert lister is not None
    page = await lister.list_from("a/2/deep/er/x")
    assert page.prefixes == ()
    assert [one.key for one in page.objects] == ["a/2/deep/er/x", "a/2/x", "b/\u00e9/x", "c"]
    for revision in page.objects:
        directory = revision.key.rpartition("/")[0]
        async with aclosing(tier.list(directory)) as pages:
            listed = [one async for some in pages for one in some.objects]
        assert revision in listed
        assert revision.checksums == next(one for one in listed if one == revision).checksums
    assert next(one.key for one in (await lister.list_from("a/2/f")).objects) == "a/2/x"
    assert (await lister.list_from("zzz")).objects == ()


@at("gcs", "gcs-prefix")  # moto takes a minute for a thousand objects
async def test_a_page_has_a_thousand_keys_and_the_next_goes_on_behind(
    place: Place, tier: Tier
) -> None:
    for number in range(1005):
        place.write(f"{number % 7}/{number:04}", b"x")
    keys = sorted(f"{number % 7}/{number:04}" for number in range(1005))
    lister = tree_lister(tier)
    assert lister is not None
    first = [one.key for one in (await lister.list_from(keys[0])).objects]
    assert first == keys[:1000]
    assert [one.key for one in (await lister.list_from(keys[1000])).objects] == keys[1000:]


@at("gcs", "s3")
async def test_a_bucket_that_is_not_there_has_no_tree(place: Place, metrics: Metrics) -> None:
    tier = await open_tier(place.missing_url, place.settings(), metrics, BreakerWatch())
    lister = tree_lister(tier)
    assert lister is not None
    with pytest.raises(BucketNotFound):
        await lister.list_from("a")
    await tier.aclose()


@at("http", "file", "memory")
async def test_who_has_no_keys_in_order_lists_no_trees(tier: Tier) -> None:
    assert tree_lister(tier) is None
