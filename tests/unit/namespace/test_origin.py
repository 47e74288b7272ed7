"""The origin of these tests keeps the contract of what it stands for."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import pytest

from tests.contract import test_tier_contract as contract
from tests.contract.places import Place
from tests.unit.namespace.origin import Origin, names_of

KEPT = [
    contract.test_stat_and_list_give_the_same_revision,
    contract.test_a_listing_has_direct_children_only_each_once,
    contract.test_a_prefix_without_anything_below_is_empty,
    contract.test_a_prefix_of_other_keys_is_no_object,
    contract.test_read_returns_exactly_the_span,
    contract.test_a_span_beyond_the_end_is_refused,
    contract.test_an_empty_object_can_be_read_and_listed,
    contract.test_a_read_of_a_deleted_object_says_so,
    contract.test_put_returns_the_revision_that_stat_finds,
    contract.test_the_digest_is_kept_with_the_object,
    contract.test_s18_create_only_never_replaces,
    contract.test_s18_replace_replaces_exactly_the_expected_revision,
    contract.test_s18_replace_of_what_is_gone_is_refused,
    contract.test_s18_of_many_writers_one_wins,
    contract.test_delete_deletes_and_says_when_there_is_nothing,
    contract.test_delete_deletes_only_the_expected_revision,
    contract.test_marker_objects_are_tolerated_and_never_listed,
]


@pytest.mark.parametrize("promise", KEPT, ids=lambda promise: promise.__name__)
async def test_the_fake_keeps_the_contract(promise: Callable[..., Awaitable[None]]) -> None:
    origin = Origin()
    place = Place(
        url=origin.name,
        missing_url="mem://missing",
        write=origin.add,
        remove=origin.objects.pop,
    )
    await promise(place, origin)


async def test_a_listing_comes_in_pages() -> None:
    origin = Origin(page_entries=2)
    for key in ("a", "b/1", "b/2", "c", "d"):
        origin.add(key)
    assert await names_of(origin) == ["a", "b", "c", "d"]
    assert origin.asked == [("list", ""), ("page", "")]
