"""Listings that outlive their time and a restart."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import trio
from trio.testing import MockClock

from shotfs.digest import Checksums, Digest
from shotfs.namespace import Listing, kept_listings
from shotfs.namespace.kept_listings import ENTRIES_MAX, KeptListings, open_kept_listings
from shotfs.namespace.listing import OriginListing
from shotfs.tiers.base import Revision

ORIGIN = "gs://bucket/ant"


def revision(key: str, version: str = "1") -> Revision:
    sums = Checksums(md5="a" * 32, crc32c="AAAAAA==", xxh128=Digest("0" * 32))
    return Revision(ORIGIN, key, 3, version, 5, sums, pin="p")


def listing(*names: str, at_s: float = 1000.0, directory: str = "shot") -> Listing:
    objects = {name: revision(f"{directory}/{name}") for name in names}
    return Listing((OriginListing(ORIGIN, objects, {"sub"}),), 5.0, at_s)


@pytest.fixture
def kept(tmp_path: Path) -> KeptListings:
    return open_kept_listings(str(tmp_path))


def names(found: Listing | None) -> list[str] | None:
    return None if found is None else sorted([*found.parts[0].objects, *found.parts[0].prefixes])


async def test_what_is_written_comes_back_with_everything(
    kept: KeptListings, tmp_path: Path
) -> None:
    kept.note("ant/shot", listing("a", "b"))
    assert names(await kept.get("ant/shot")) == ["a", "b", "sub"]
    await kept.flush()
    found = await open_kept_listings(str(tmp_path)).get("ant/shot")
    assert found is not None
    assert found.listed_at_s == 1000.0
    back = found.parts[0].objects["a"]
    assert back == revision("shot/a")
    assert (back.checksums, back.pin) == (revision("x").checksums, "p")
    assert await kept.get("ant/other") is None


async def test_what_this_node_did_is_in_it_before_and_after_it_is_written(
    kept: KeptListings, tmp_path: Path
) -> None:
    kept.note("ant/shot", listing("a", "b"))
    await kept.flush()
    kept.changed("ant/shot/b", None)
    kept.changed("ant/shot/c", revision("shot/c"))
    kept.changed("ant/shot/new/d", revision("shot/new/d"))
    kept.changed("ant/never/listed", revision("never/listed"))
    for _ in range(2):
        assert names(await kept.get("ant/shot")) == ["a", "c", "new", "sub"]
        await kept.flush()
    assert names(await open_kept_listings(str(tmp_path)).get("ant/shot")) == [
        "a", "c", "new", "sub",
    ]  # fmt: skip
    assert await kept.get("ant/never") is None


async def test_a_newer_listing_knows_better_than_what_was_done_before(kept: KeptListings) -> None:
    kept.note("ant/shot", listing("a"))
    kept.changed("ant/shot/b", revision("shot/b"))
    kept.note("ant/shot", listing("a", at_s=2000.0))
    await kept.flush()
    assert names(await kept.get("ant/shot")) == ["a", "sub"]


async def test_a_change_of_another_tier_is_none_of_its(kept: KeptListings) -> None:
    kept.note("ant/shot", listing("a"))
    elsewhere = Revision("s3://other", "shot/b", 1, "1", 0)
    kept.changed("ant/shot/b", elsewhere)
    await kept.flush()
    assert names(await kept.get("ant/shot")) == ["a", "sub"]


async def test_the_same_listing_is_not_written_again_and_again(
    kept: KeptListings, tmp_path: Path
) -> None:
    def written() -> list[int]:
        return [one.stat().st_mtime_ns for one in os.scandir(tmp_path / "listings")]

    kept.note("ant/shot", listing("a"))
    await kept.flush()
    before = written()
    kept.note("ant/shot", listing("a", at_s=1030.0))
    await kept.flush()
    assert written() == before
    kept.note("ant/shot", listing("a", at_s=1100.0))
    await kept.flush()
    found = await kept.get("ant/shot")
    assert found is not None
    assert found.listed_at_s == 1100.0


async def test_a_directory_that_became_too_large_is_not_shown_as_it_once_was(
    kept: KeptListings,
) -> None:
    kept.note("ant/shot", listing("a"))
    await kept.flush()
    kept.note("ant/shot", listing(*map(str, range(ENTRIES_MAX + 1))))
    assert await kept.get("ant/shot") is None
    await kept.flush()
    assert await kept.get("ant/shot") is None


@pytest.mark.parametrize("damage", [b"", b"\xff\xfe", b"{}\n{}", b'{"listed_at_s": 1}\n[{}]'])
async def test_a_damaged_one_is_none(kept: KeptListings, damage: bytes) -> None:
    await kept._records.write("ant/shot", damage)
    assert await kept.get("ant/shot") is None


async def test_nothing_is_lost_when_the_service_ends_while_it_writes(
    kept: KeptListings,
    tmp_path: Path,
    autojump_clock: MockClock,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    kept.note("ant/shot", listing("a", "b"))
    await kept.flush()
    kept.changed("ant/shot/b", None)
    decode = kept_listings._decode
    async with trio.open_nursery() as nursery:

        def decode_as_it_ends(path: str, data: bytes) -> Listing | None:
            trio.from_thread.run_sync(nursery.cancel_scope.cancel)
            return decode(path, data)

        monkeypatch.setattr(kept_listings, "_decode", decode_as_it_ends)
        nursery.start_soon(kept.run)
    monkeypatch.undo()
    assert names(await open_kept_listings(str(tmp_path)).get("ant/shot")) == ["a", "sub"]
