"""What was recorded with an object when it was published is compared with the bytes that come (S6).

Real listings, real answers: what a prewarm has of an object is its listing alone.
"""

from __future__ import annotations

from contextlib import aclosing
from pathlib import Path

import pytest

from shotfs.cache import Cache
from shotfs.digest import Checksums, Digest, digest_bytes
from shotfs.errors import DigestMismatch, ShotfsError
from shotfs.tiers.base import Revision, Span, Tier
from shotfs.tiers.claims import Claims
from tests.contract.places import Place, at, noise
from tests.contract.test_tier_contract import MTIME_NS
from tests.servers.handles import GcsBucket, S3Bucket
from tests.unit.cache.fakes import KIB, MIB, cache_in

STORES = at("s3", "s3-fsspec", "gcs", "gcs-fsspec")
SIZES = {"small": 32 * KIB, "one request": 600 * KIB, "in ranges": 3 * MIB}
RANGES = {"range_bytes": MIB}


async def listed(tier: Tier) -> list[Revision]:
    """Return all that *tier* has, as its listing says."""
    found: list[Revision] = []
    async with aclosing(tier.list("")) as pages:
        async for page in pages:
            found += page.objects
    return found


async def publish(tier: Tier, key: str, content: bytes) -> None:
    sums = Checksums(xxh128=digest_bytes(content))
    await tier.put(key, content, expect=None, checksums=sums, mtime_ns=MTIME_NS, metadata={})


def replace(request: pytest.FixtureRequest, place: Place, key: str, content: bytes) -> None:
    """Let *key* have other bytes behind our back, with what was recorded of those before."""
    bucket: GcsBucket | S3Bucket = request.getfixturevalue(
        "s3" if place.url.startswith("s3:") else "gcs"
    )
    old = bucket.read(key)
    assert len(old) == len(content)
    bucket.put(key, content, metadata={"shotfs-xxh128": digest_bytes(old)})


async def prewarm(
    cache: Cache, tier: Tier, revisions: list[Revision]
) -> dict[str, Digest | ShotfsError]:
    """Fetch all as a prewarm does; return what came of each."""
    told: dict[str, Digest | ShotfsError] = {}

    def note(position: int, outcome: Digest | ShotfsError) -> None:
        told[revisions[position].key] = outcome

    await cache.fetch_all([(tier, one) for one in revisions], note)
    return told


@STORES
async def test_s06_a_prewarm_of_a_listing_compares_with_the_recorded_digest(
    request: pytest.FixtureRequest, place: Place, tier: Tier, tmp_path: Path
) -> None:
    contents = {f"{size}": noise(size) for size in SIZES.values()}
    for key, content in contents.items():
        await publish(tier, key, content)
        await publish(tier, f"replaced{key}", content)
        replace(request, place, f"replaced{key}", noise(len(content)))
    async with cache_in(tmp_path / "cache", network=RANGES) as cache:
        told = await prewarm(cache, tier, await listed(tier))
        for key, content in contents.items():
            assert told[key] == digest_bytes(content)
            assert isinstance(told[f"replaced{key}"], DigestMismatch)
        assert cache.stats().files == len(contents)
    assert not any(path.is_file() for path in (tmp_path / "cache" / "partials").rglob("*"))


@at("s3", "s3-fsspec")
@pytest.mark.parametrize("size_bytes", SIZES.values(), ids=SIZES)
async def test_s06_who_opens_a_file_that_only_a_listing_knows_gets_no_other_bytes(
    request: pytest.FixtureRequest, place: Place, tier: Tier, tmp_path: Path, size_bytes: int
) -> None:
    await publish(tier, "a", noise(size_bytes))
    replace(request, place, "a", noise(size_bytes))
    (revision,) = await listed(tier)
    assert revision.checksums == Checksums()
    async with cache_in(tmp_path / "cache", network=RANGES) as cache:
        file = await cache.open(tier, revision)
        with pytest.raises(DigestMismatch):
            await file.complete()
        file.close()
        assert cache.stats().files == 0


@at("s3", "s3-fsspec")
async def test_s06_what_nobody_recorded_is_claimed_by_nobody(place: Place, tier: Tier) -> None:
    place.write("a", b"by hand")
    (revision,) = await listed(tier)
    claims = Claims()
    with claims.listening():
        await tier.read(revision, Span(0, 7))
    assert claims.completed(revision).checksums.xxh128 is None
