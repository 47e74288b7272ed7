"""The service: what the control socket can ask of a node, and how it ends."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import asdict
from importlib.metadata import version
from typing import Any

import pytest
import trio

from shotfs.app import leaving as leaving_module
from shotfs.app.run import watch_specs
from shotfs.app.service import NodeService
from shotfs.control.service import Service
from shotfs.fuse.tuning import Tuned
from shotfs.observe.notify import STOPPING
from shotfs.publish import State
from tests.unit.namespace.spec import FRAME, MAIN, SECOND, SHOT
from tests.unit.vfs.world import World


class FakeMount:
    """What the service asks of a mount."""

    mountpoint = "/shows"
    read_only = True
    tuned = Tuned(max_background=1000, readahead_bytes=None)

    def features(self) -> Mapping[str, Any]:
        return {"passthrough": False, "passthrough_problem": "mount.passthrough is off"}

    def count_opens(self) -> None:
        """There is no native thread."""

    class operations:  # noqa: N801 - stands for an attribute
        inode_count = 17
        open_count = 3


class Ended:
    """Counts how often the service ended."""

    def __init__(self) -> None:
        self.count = 0
        self.event = trio.Event()

    def __call__(self) -> None:
        self.count += 1
        self.event.set()


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What the supervisor is told."""
    told: list[str] = []
    monkeypatch.setattr(leaving_module, "notify", lambda *lines: told.extend(lines))
    return told


def service_of(world: World, *, mounted: bool = True, end: Any = lambda: None) -> NodeService:
    mount = FakeMount() if mounted else None
    service = NodeService(world.node, mount, end, watch_specs(world.node, mount))
    checked: Service = service  # the seam that control knows
    assert checked is service
    return service


# --- asking --------------------------------------------------------------------------------------


async def test_status_says_what_the_service_is_and_how_it_is(world: World) -> None:
    world.origin.add("library/oak.png", b"oak")
    await world.read("ant/library/oak.png")
    await world.mkdir(SHOT)
    await world.write(f"{FRAME}.tmp", b"scratch")
    status = service_of(world).status()
    assert status["uptime_s"] >= 0
    assert status["shows"]["ant"]["spec"].endswith("spec.json")
    expected = {
        "state": "serving",
        "version": version("shotfs"),
        "pid": os.getpid(),
        "node": "node-é",
        "mountpoint": "/shows",
        "read_only": True,
        "config": world.node.loaded.path,
        "kernel": {
            "inodes": 17,
            "open_files": 3,
            "max_background": 1000,
            "readahead_bytes": None,
            "passthrough": False,
            "passthrough_problem": "mount.passthrough is off",
        },
    }
    assert {name: status[name] for name in expected} == expected
    assert status["origins"] == {
        url: {
            "opened": True,
            "writable": True,
            "preconditions": True,
            "bandwidth_bytes_per_s": None,
            "egress": None,
        }
        for url in (MAIN, SECOND)
    }
    assert (status["cache"]["misses"], status["cache"]["hits"]) == (1, 0)
    assert status["spool"] == {
        "bytes": 7,
        "bytes_max": world.node.settings.spool.bytes_max,
        "entries": 2,
        "lent": 0,
        "lending_problem": None,
        "unpublished": 0,
        "conflicts": 0,
        "failed": 0,
        "partial": 0,
    }


async def test_status_without_a_mount(world: World) -> None:
    status = service_of(world, mounted=False).status()
    assert (status["mountpoint"], status["read_only"], status["kernel"]) == (None, None, None)


async def test_everything_that_status_says_is_plain_json(world: World) -> None:
    status = service_of(world).status()
    assert json.loads(json.dumps(status)) == status


async def test_status_asks_no_origin(world: World) -> None:
    world.origin.go_down()
    service_of(world).status()
    assert world.origin.count() == 0


async def test_the_queue_shows_what_is_not_in_the_origin_yet(world: World) -> None:
    await world.mkdir(SHOT)
    handle = await world.create(FRAME)
    await handle.write(0, b"frame")
    service = service_of(world)
    (item,) = service.queue()
    assert (item.path, item.state, item.size_bytes) == (FRAME, State.OPEN, 5)
    json.dumps(asdict(item))
    await handle.close()
    await world.published(FRAME)
    assert service.queue() == []


async def test_cache_numbers_metrics_and_eviction(world: World) -> None:
    world.origin.add("library/oak.png", b"oak")
    await world.read("ant/library/oak.png")
    service = service_of(world)
    await world.until(lambda: service.cache_stats()["files"] == 1)
    assert service.cache_stats()["hit_ratio"] == 0.0
    assert service.cache_stats()["eviction"] == "s3-fifo"
    assert "shotfs_cache_misses_total 1.0" in service.metrics_text()
    freed = await service.evict(None)
    assert freed.files == 1
    assert service.cache_stats()["files"] == 0
    assert await world.read("ant/library/oak.png") == b"oak"


async def test_drain_publishes_and_says_what_remains(world: World) -> None:
    await world.mkdir("ant/notes/d")
    await world.write("ant/notes/d/a.txt", b"waits for an hour of grace")
    handle = await world.create(f"{SHOT}/beauty.1002.exr")
    await handle.write(0, b"is still being written")
    remains = await service_of(world).drain(30)
    assert [item.path for item in remains] == [f"{SHOT}/beauty.1002.exr"]
    assert world.origin.content("notes/d/a.txt") == b"waits for an hour of grace"
    await handle.close()


# --- ending --------------------------------------------------------------------------------------


async def test_stop_with_drain_publishes_first_and_then_ends(world: World, told: list[str]) -> None:
    await world.write("ant/notes/a.txt", b"waits for an hour of grace")
    ended = Ended()
    service = service_of(world, end=ended)
    gate = world.origin.gate("put")
    async with trio.open_nursery() as nursery:
        nursery.start_soon(service.run)
        await trio.testing.wait_all_tasks_blocked()
        assert told == []
        await service.stop(drain=True, deadline_s=30)
        assert service.status()["state"] == "draining"
        await world.origin.reached("put")
        assert not ended.count
        gate.set()
    assert ended.count == 1
    assert service.status()["state"] == "stopping"
    assert told == [STOPPING]
    assert world.origin.content("notes/a.txt") == b"waits for an hour of grace"


async def test_stop_without_drain_ends_at_once_and_loses_nothing(
    world: World, told: list[str]
) -> None:
    await world.write("ant/notes/a.txt", b"content")
    ended = Ended()
    service = service_of(world, end=ended)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(service.run)
        await service.stop(drain=False, deadline_s=30)
        assert service.status()["state"] == "stopping"
    assert ended.count == 1
    assert world.origin.count("put") == 0
    assert world.spooled("ant/notes/a.txt") is not None


async def test_stop_waits_no_longer_than_its_deadline(
    world: World, told: list[str], mock_clock: trio.testing.MockClock
) -> None:
    await world.write("ant/notes/a.txt", b"content")
    world.origin.gate("put")
    ended = Ended()
    service = service_of(world, end=ended)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(service.run)
        await service.stop(drain=True, deadline_s=30)
        await world.origin.reached("put")
        mock_clock.jump(29)
        await trio.testing.wait_all_tasks_blocked()
        assert not ended.count
        mock_clock.jump(1)
        await ended.event.wait()


async def test_a_second_stop_changes_nothing(world: World, told: list[str]) -> None:
    ended = Ended()
    service = service_of(world, end=ended)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(service.run)
        await service.stop(drain=True, deadline_s=30)
        await service.stop(drain=False, deadline_s=0)
    assert ended.count == 1
    assert told == [STOPPING]
