"""How long a lost index takes to be rebuilt, and how long opens wait meanwhile."""

from __future__ import annotations

import os
import shutil
import time
from pathlib import Path
from typing import Any

import trio
from tests.unit.cache.fakes import FakeTier, cache_in

from shotfs.cache import Cache
from shotfs.digest import Checksums, digest_bytes

CONTENT_BYTES = 64


async def measure(place: Path, blobs: int) -> dict[str, Any]:
    """Make a cache of *blobs* files without an index, open it, and open files until it is whole."""
    tier = FakeTier()
    await trio.to_thread.run_sync(_make, place, blobs)
    waits_s: list[float] = []
    async with cache_in(place, files_max=max(blobs, 10_000)) as cache:
        start = time.monotonic()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_open, cache, tier, waits_s)
            while cache.stats().files < blobs:  # noqa: ASYNC110  # it tells nobody
                await trio.sleep(0.05)
            nursery.cancel_scope.cancel()
        seconds = time.monotonic() - start
    shutil.rmtree(place)
    waits_s.sort()
    return {
        "blobs": blobs,
        "seconds": round(seconds, 2),
        "blobs_per_s": round(blobs / max(seconds, 1e-9)),
        "opens_meanwhile": len(waits_s),
        "open_p99_ms": round(1000 * waits_s[int(len(waits_s) * 0.99)], 2) if waits_s else None,
    }


async def _open(cache: Cache, tier: FakeTier, waits_s: list[float]) -> None:
    number = 0
    while True:
        number += 1
        revision = tier.add(f"new{number % 50}", b"new" * (number % 50 + 1), checksums=Checksums())
        start = time.monotonic()
        file = await cache.open(tier, revision)
        waits_s.append(time.monotonic() - start)
        file.close()
        await trio.sleep(0.002)


def _make(place: Path, blobs: int) -> None:
    (place / "blobs").mkdir(parents=True, mode=0o700)
    os.chmod(place, 0o700)
    for prefix in range(256):
        (place / "blobs" / f"{prefix:02x}").mkdir(mode=0o700)
    for number in range(blobs):
        content = number.to_bytes(8) * (CONTENT_BYTES // 8)
        digest = digest_bytes(content)
        path = place / "blobs" / digest[:2] / digest
        path.write_bytes(content)
        origin = f'[["fake://origin","f{number}","1",{CONTENT_BYTES},1700000000000000000]]'
        os.setxattr(path, "user.shotfs.origins", origin.encode())
        path.chmod(0o400)
