"""Asking for many revisions at once: the same answers as one by one, in pages."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from shotfs.cache import holdings
from shotfs.cache.index import Index
from shotfs.tiers.base import Revision
from shotfs.tiers.columns import RevisionColumns
from tests.unit.cache.fakes import KIB, FakeTier, cache_in, content_of, keep


async def test_many_revisions_are_known_as_each_of_them_is(tmp_path: Path) -> None:
    tier = FakeTier()
    here = [tier.add(f"here{n}", content_of(KIB, n)) for n in range(20)]
    away = [tier.add(f"away{n}", content_of(KIB, 100 + n)) for n in range(20)]
    gone = [tier.add(f"gone{n}", content_of(KIB, 200 + n)) for n in range(5)]
    copy = tier.add("copy", content_of(KIB, 3))
    claimed = replace(copy.checksums, md5=None)
    claim = tier.add("claim", content_of(KIB, 3), checksums=claimed)
    wrong_size = replace(tier.add("short", content_of(KIB, 3)), size_bytes=KIB - 1)
    asked = [*here, *gone, *away, copy, claim, wrong_size]
    async with cache_in(tmp_path) as cache:
        for revision in [*here, *gone]:
            await keep(cache, tier, revision)
        await cache.drop([digest for one in gone if (digest := await cache.digest_of(one))])
        many = await cache.known_many(asked)
        assert await cache.known_columns(as_columns(asked)) == many
        assert many == [await cache.known(one) for one in asked]
        assert many == [True] * 20 + [False] * 5 + [False] * 20 + [True, False, False]
    async with cache_in(tmp_path) as cache:
        assert await cache.known_many(asked) == many
        assert await cache.known_columns(as_columns(asked)) == many
        assert await cache.known_columns(as_columns([asked[3], asked[3]])) == [True, True]
        assert await cache.known_many([]) == []


def as_columns(revisions: Sequence[Revision]) -> RevisionColumns:
    """Return *revisions*, which are of one tier, as columns."""
    sums = [one.checksums for one in revisions]
    return RevisionColumns(
        revisions[0].tier,
        [one.key for one in revisions],
        [one.size_bytes for one in revisions],
        [one.version for one in revisions],
        [(one.md5, one.crc32c, one.xxh128) for one in sums],
    )


async def test_the_answers_of_several_pages_keep_the_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(holdings, "HOLD_ROWS", 7)
    tier = FakeTier()
    revisions = [tier.add(f"s{n}", content_of(KIB, n)) for n in range(40)]
    async with cache_in(tmp_path) as cache:
        for revision in revisions[::3]:
            await keep(cache, tier, revision)
        found = await cache.known_many(iter(revisions))
        assert await cache.known_columns(as_columns(revisions)) == found
        assert found == [n % 3 == 0 for n in range(40)]


async def test_a_revision_that_is_only_asked_for_is_not_linked_to_a_blob(tmp_path: Path) -> None:
    tier = FakeTier()
    first = tier.add("first", content_of(KIB))
    copy = tier.add("copy", content_of(KIB))
    async with cache_in(tmp_path) as cache:
        await keep(cache, tier, first)
        assert await cache.known_columns(as_columns([copy])) == [True]
        assert await cache.known_many([copy]) == [True]
        assert (await cache._holdings.database.call(Index.current)).revisions == 1
