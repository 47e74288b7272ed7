"""Tiers in order, with two real stores: the origin on S3, a faster copy of it on GCS or a disk.

The node runs in this process, so that the mount's own cost is left out; `tests/fuse/test_shows.py`
goes through the kernel.
"""

from __future__ import annotations

import json
import os
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

import pytest

from shotfs.app.node import open_node
from shotfs.config import load
from shotfs.digest import digest_bytes
from shotfs.observe.metrics import Metrics
from shotfs.tiers import nearest
from tests.servers.gcs import Fault
from tests.servers.handles import GcsBucket, S3Bucket
from tests.servers.s3 import ACCESS_KEY, REGION, SECRET_KEY
from tests.unit.vfs.world import World

OAK = "library/oak.png"
BYTES = b"the bytes of the oak" * 100
LARGE = os.urandom(3 * 1024 * 1024)


class Copied:
    """A show whose origin is `s3`, and a faster copy of it in `near`."""

    def __init__(self, directory: Path, s3: S3Bucket, gcs: GcsBucket) -> None:
        self.directory = directory
        self.s3 = s3
        self.gcs = gcs
        self.tiers = [f"gs://{gcs.bucket}/copy", f"s3://{s3.bucket}"]

    def put(self, key: str, data: bytes, *, near: bytes | None = None) -> None:
        self.s3.put(key, data)
        if near is not None:
            self.gcs.put(f"copy/{key}", near)

    def open(self) -> AbstractAsyncContextManager[World]:
        return _open(self)


@asynccontextmanager
async def _open(copied: Copied) -> AsyncIterator[World]:
    config = copied.directory / "shotfs.toml"
    document = {
        "spec": "shotfs-path/1",
        "show": "ant",
        "defaults": {"tiers": copied.tiers},
        "fields": {"rest": {"type": "tree"}},
        "templates": {"library": {"path": "library/{rest}", "immutable": "on-close"}},
    }
    (copied.directory / "spec.json").write_text(json.dumps(document))
    config.write_text(
        f"""
[cache]
directory = "{copied.directory}/cache"
free_bytes_min = 0
[spool]
free_bytes_min = 0
[network]
attempts_max = 2
backoff_s = 0.05
backoff_s_max = 0.1
metadata_timeout_s = 5
range_bytes = "256 KiB"
[shows.ant]
spec = "spec.json"
[origins."gs://{copied.gcs.bucket}"]
endpoint_url = "{copied.gcs.endpoint}"
anonymous = true
[origins."s3://{copied.s3.bucket}"]
endpoint_url = "{copied.s3.endpoint}"
access_key_env = "SHOTFS_TEST_ACCESS_KEY"
secret_key_env = "SHOTFS_TEST_SECRET_KEY"
region = "{REGION}"
"""
    )
    async with open_node(load(str(config), {}), Metrics(), read_only=False) as node:
        yield World(node, None, None, None)


@pytest.fixture
def copied(tmp_path: Path, s3: S3Bucket, gcs: GcsBucket, monkeypatch: pytest.MonkeyPatch) -> Copied:
    monkeypatch.setenv("SHOTFS_TEST_ACCESS_KEY", ACCESS_KEY)
    monkeypatch.setenv("SHOTFS_TEST_SECRET_KEY", SECRET_KEY)
    return Copied(tmp_path, s3, gcs)


def used(world: World, outcome: str) -> float:
    found = world.node.metrics.snapshot()
    return sum(
        value
        for name, value in found.items()
        if name.startswith("shotfs_near_tier_total") and f"outcome={outcome}}}" in name
    )


def bytes_from(world: World, url: str) -> float:
    name = f"shotfs_tier_read_bytes_total{{origin={url}}}"
    return world.node.metrics.snapshot().get(name, 0)


async def tier_of(world: World, path: str) -> str:
    return await world.fs.extended_attribute(path, "user.shotfs.tier")


async def test_the_near_tier_serves_what_the_origin_has(copied: Copied) -> None:
    near, origin = copied.tiers
    copied.put(OAK, BYTES, near=BYTES)
    async with copied.open() as world:
        assert await world.read(f"ant/{OAK}") == BYTES
        assert bytes_from(world, near) == len(BYTES)
        assert bytes_from(world, origin) == 0
        assert used(world, "served") == 1


async def test_while_it_streams_it_says_from_where(copied: Copied) -> None:
    near, origin = copied.tiers
    copied.put("library/large.exr", LARGE, near=LARGE)
    copied.put("library/far.exr", LARGE)
    async with copied.open() as world:
        for name, tier in (("large", near), ("far", origin)):
            path = f"ant/library/{name}.exr"
            handle = await world.open(path)
            assert bytes(await handle.read(0, 1000)) == LARGE[:1000]
            assert await tier_of(world, path) == tier
            assert bytes(await handle.read(0, len(LARGE))) == LARGE
            await handle.cached.complete()
            await handle.close()
            assert await tier_of(world, path) == "cache"


async def test_what_the_near_tier_lacks_comes_from_the_origin(copied: Copied) -> None:
    near, origin = copied.tiers
    copied.put(OAK, BYTES)
    async with copied.open() as world:
        assert await world.read(f"ant/{OAK}") == BYTES
        assert bytes_from(world, near) == 0
        assert bytes_from(world, origin) == len(BYTES)
        assert used(world, "absent") == 1


async def test_s16_what_only_the_near_tier_has_does_not_exist(copied: Copied) -> None:
    copied.put(OAK, BYTES)
    copied.gcs.put("copy/library/elm.png", BYTES)
    async with copied.open() as world:
        assert not await world.exists("ant/library/elm.png")
        assert await world.names("ant/library") == ["oak.png"]


async def test_other_bytes_of_the_same_size_are_not_used(copied: Copied) -> None:
    near, _ = copied.tiers
    copied.put(OAK, BYTES, near=BYTES[::-1])
    async with copied.open() as world:
        assert await world.read(f"ant/{OAK}") == BYTES
        assert bytes_from(world, near) == 0
        assert used(world, "differs") == 1


async def test_s06_bytes_that_are_not_what_was_claimed_are_never_kept(copied: Copied) -> None:
    near, origin = copied.tiers
    for name, data in (("small.exr", BYTES), ("large.exr", LARGE)):
        copied.put(f"library/{name}", data, near=data)
        # Every answer of the near bucket has one wrong byte, whatever its checksums say.
        copied.gcs.fault(
            Fault("corrupt", object=f"copy/library/{name}", method="GET", skip=1, times=None)
        )
    async with copied.open() as world:
        assert await world.read("ant/library/small.exr") == BYTES
        handle = await world.open("ant/library/large.exr")
        digest = await handle.cached.complete()
        assert digest == digest_bytes(LARGE)
        assert bytes(await handle.read(0, len(LARGE))) == LARGE
        await handle.close()
        assert used(world, "wrong") == 2
        assert bytes_from(world, near) == len(BYTES) + len(LARGE)
        assert bytes_from(world, origin) == len(BYTES) + len(LARGE)


async def test_a_near_tier_that_is_down_costs_next_to_nothing(copied: Copied) -> None:
    names = [f"library/{number}.png" for number in range(20)]
    for name in names:
        copied.put(name, BYTES, near=BYTES)
    async with copied.open() as world:
        copied.gcs.server.go_down()
        for name in names:
            assert await world.read(f"ant/{name}") == BYTES
        assert used(world, "error") == 1
        assert used(world, "paused") == len(names) - 1


async def test_a_node_starts_while_its_near_tier_is_down(copied: Copied) -> None:
    copied.put(OAK, BYTES, near=BYTES)
    copied.gcs.server.go_down()
    async with copied.open() as world:
        assert await world.read(f"ant/{OAK}") == BYTES


async def test_a_near_tier_that_nobody_can_open_is_left_out(copied: Copied) -> None:
    copied.put(OAK, BYTES)
    copied.tiers = ["nosuch://x", f"gs://{copied.gcs.bucket}-missing", copied.tiers[-1]]
    async with copied.open() as world:
        assert await world.read(f"ant/{OAK}") == BYTES


async def test_a_near_tier_that_does_not_answer_costs_its_wait_once(
    copied: Copied, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(nearest, "ASK_S", 0.3)
    names = [f"library/{number}.png" for number in range(5)]
    for name in names:
        copied.put(name, BYTES, near=BYTES)
    async with copied.open() as world:
        stalled = copied.gcs.fault(Fault("stall", bucket=copied.gcs.bucket, times=None))
        for name in names:
            assert await world.read(f"ant/{name}") == BYTES
        assert used(world, "error") == 1
        assert used(world, "paused") == len(names) - 1
        stalled.release()


async def test_a_near_tier_that_stops_in_the_middle_is_left_for_the_origin(
    copied: Copied, monkeypatch: pytest.MonkeyPatch
) -> None:
    near, origin = copied.tiers
    copied.put("library/large.exr", LARGE, near=LARGE)
    async with copied.open() as world:
        handle = await world.open("ant/library/large.exr")
        assert bytes(await handle.read(0, 10)) == LARGE[:10]
        # Only now: a busy machine may take longer for what does not stand still.
        monkeypatch.setattr(nearest, "READ_S", 0.3)
        stalled = copied.gcs.fault(
            Fault("stall_reply", bucket=copied.gcs.bucket, times=None, after_bytes=1000)
        )
        assert await handle.cached.complete() == digest_bytes(LARGE)
        assert await tier_of(world, "ant/library/large.exr") == "cache"
        assert bytes_from(world, near) > 0
        assert bytes_from(world, origin) > 0
        assert used(world, "error") >= 1
        stalled.release()
        await handle.close()


def record(path: Path, content: bytes, *, claimed: bytes) -> None:
    """Write a file as `tiers.cloud.local` does, with the digest of *claimed*."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    status = path.stat()
    value = f"{digest_bytes(claimed)} {status.st_mtime_ns} {status.st_size}"
    os.setxattr(path, "user.shotfs.xxh128", value.encode())


async def test_a_copy_on_a_disk_serves_by_its_recorded_digest(
    copied: Copied, tmp_path: Path
) -> None:
    near, origin = tmp_path / "copy", tmp_path / "origin"
    copied.tiers = [f"file://{near}", f"file://{origin}"]
    for name in ("oak", "elm", "ash"):
        record(origin / f"library/{name}.png", BYTES, claimed=BYTES)
    record(near / "library/oak.png", BYTES, claimed=BYTES)
    record(near / "library/elm.png", BYTES, claimed=BYTES)
    record(near / "library/ash.png", BYTES[::-1], claimed=BYTES)
    # Somebody writes into the copy later: what was recorded is not of these bytes.
    (near / "library/elm.png").write_bytes(BYTES[::-1])
    async with copied.open() as world:
        for name, served, outcome in (("oak", 1, ""), ("elm", 1, "unproven"), ("ash", 2, "wrong")):
            assert await world.read(f"ant/library/{name}.png") == BYTES
            assert bytes_from(world, copied.tiers[0]) == served * len(BYTES)
            assert not outcome or used(world, outcome) == 1
