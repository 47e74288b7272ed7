"""Origins that are away: what still works, also after a restart (S7, S3); without a kernel."""

from __future__ import annotations

import errno
import shutil
from collections.abc import Mapping
from typing import Any

import pytest
import trio

from shotfs.config import NetworkSettings
from shotfs.observe.metrics import Metrics
from shotfs.tiers.breaker import Breaker, BreakerState
from tests.unit.vfs.world import ARTIST, PATIENCE_S, Site, World, fails_with

DOCUMENT: Mapping[str, Any] = {
    "spec": "shotfs-path/1",
    "show": "ant",
    "roots": {"main": "mem://main/ant", "second": "mem://second/ant"},
    "defaults": {"origin": "main", "ttl": "60s", "negative_ttl": "5s"},
    "fields": {
        "name": {"type": "str", "pattern": "[a-z]+"},
        "layer": {"type": "str", "pattern": "[a-z]+"},
        "version": {"type": "version"},
        "rest": {"type": "tree"},
    },
    "templates": {
        "library": {"path": "library/{rest}", "immutable": "on-close"},
        "render": {"path": "render/{name}_{version}/{layer}.exr", "flow": "out",
                   "immutable": "on-close"},
        "work": {"path": "work/{name}_{version}/{name}.ma", "flow": "inout",
                 "immutable": "on-version-publish", "stale_if_error": "1h"},
        "config": {"path": "config/{name}.json", "flow": "inout", "stale_if_error": "1h"},
        "strict": {"path": "strict/{name}.json", "flow": "inout"},
        "mixed_a": {"path": "mixed/{name}.exr", "immutable": "on-close"},
        "mixed_b": {"path": "mixed/{name}.txt", "origin": "second"},
    },
}  # fmt: skip


@pytest.fixture
def site(site: Site) -> Site:
    site.document = DOCUMENT
    return site


def down(site: Site) -> None:
    site.origin.go_down()
    site.second.go_down()


FILES = ["library/wood/oak.png", "render/xy_v001/beauty.exr"]


async def test_s07_immutable_files_and_their_directories_work_in_an_outage_and_after_a_restart(
    site: Site,
) -> None:
    for key in FILES:
        site.origin.add(key, key.encode())
    site.origin.add("library/wood/elm.png", b"elm")
    async with site.open() as world:
        for key in FILES:
            assert await world.read(f"ant/{key}") == key.encode()
        for path in ("ant/library/wood", "ant/render/xy_v001", "ant/render", "ant"):
            await world.names(path)
        down(site)
        world.clock.advance(30 * 86400)
        await _works(world)
    async with site.open() as world:
        await _works(world)
        # Nobody has listed these, so nobody knows what is in them.
        with fails_with(errno.ENETDOWN):
            await world.names("ant/library")
        with fails_with(errno.ENETDOWN):
            await world.read("ant/library/wood/elm.png")
        with fails_with(errno.ENETDOWN):
            await world.fs.lookup("ant/library/wood/ash.png")


async def _works(world: World) -> None:
    for key in FILES:
        assert (await world.fs.attributes(f"ant/{key}")).size_bytes == len(key)
        assert await world.read(f"ant/{key}") == key.encode()
    assert await world.names("ant/library/wood") == ["elm.png", "oak.png"]
    assert await world.names("ant/render/xy_v001") == ["beauty.exr"]
    assert await world.names("ant/render") == ["xy_v001"]


async def test_s03_mutable_files_and_listings_count_in_an_outage_as_long_as_stale_if_error_says(
    site: Site,
) -> None:
    site.origin.add("config/a.json", b"one")
    site.origin.add("strict/a.json", b"one")
    async with site.open() as world:
        for directory in ("config", "strict"):
            assert await world.names(f"ant/{directory}") == ["a.json"]
            assert await world.read(f"ant/{directory}/a.json") == b"one"
        down(site)
        world.clock.advance(3600)
        assert await world.read("ant/config/a.json") == b"one"
        assert await world.names("ant/config") == ["a.json"]
        assert (await world.fs.attributes("ant/config/a.json")).ttl_s == 0, "asked again each time"
        for attempt in (world.read("ant/strict/a.json"), world.names("ant/strict")):
            with fails_with(errno.ENETDOWN):
                await attempt
    async with site.open() as world:
        assert await world.read("ant/config/a.json") == b"one"
        assert await world.names("ant/config") == ["a.json"]
        world.clock.advance(60)  # the ttl, and an hour
        for attempt in (world.read("ant/config/a.json"), world.names("ant/config")):
            with fails_with(errno.ENETDOWN):
                await attempt
        site.origin.add("config/a.json", b"two")
        site.origin.come_up()
        site.second.come_up()
        assert await world.read("ant/config/a.json") == b"two"


async def test_s03_what_is_back_is_seen_at_once(site: Site) -> None:
    site.origin.add("config/a.json", b"one")
    async with site.open() as world:
        assert await world.read("ant/config/a.json") == b"one"
        world.clock.advance(100)
        down(site)
        assert await world.read("ant/config/a.json") == b"one"
        site.origin.add("config/a.json", b"two!")
        site.origin.come_up()
        assert await world.read("ant/config/a.json") == b"two!"


async def test_an_open_version_counts_as_open_for_readers_but_nobody_writes_into_it(
    site: Site,
) -> None:
    site.origin.add("work/xy_v001/xy.ma", b"scene")
    async with site.open() as world:
        world.fs._finder.versions._now_s = world.clock.monotonic_s
        assert await world.read("ant/work/xy_v001/xy.ma") == b"scene"
        assert await world.names("ant/work/xy_v001") == ["xy.ma"]
        down(site)
        world.clock.advance(600)
        assert await world.read("ant/work/xy_v001/xy.ma") == b"scene"
        assert await world.names("ant/work/xy_v001") == ["xy.ma"]
        with fails_with(errno.ENETDOWN):
            await world.write("ant/work/xy_v001/xy.ma", b"mine")


async def test_a_listing_of_several_origins_is_shown_only_if_all_of_it_still_counts(
    site: Site,
) -> None:
    site.origin.add("mixed/a.exr", b"never changes")
    async with site.open() as world:
        assert await world.names("ant/mixed") == ["a.exr"]
        down(site)
        world.clock.advance(600)
        assert await world.names("ant/mixed") == ["a.exr"]
        site.origin.come_up()
        site.second.come_up()
        site.second.add("mixed/b.txt", b"may change")
        assert await world.names("ant/mixed") == ["a.exr", "b.txt"]
        site.second.go_down()
        world.clock.advance(600)
        with fails_with(errno.ENETDOWN):
            await world.names("ant/mixed")


async def test_what_this_node_did_since_is_in_the_listing_of_before(site: Site) -> None:
    for name in ("a", "b"):
        site.origin.add(f"config/{name}.json", b"one")
    async with site.open() as world:
        await world.names("ant/config")
        await world.publish("ant/config/c.json")
        await world.fs.unlink("ant/config/a.json")
        down(site)
        assert await world.names("ant/config") == ["b.json", "c.json"]
    async with site.open() as world:
        assert await world.names("ant/config") == ["b.json", "c.json"]


async def test_that_nobody_could_be_asked_is_not_remembered_as_absence(site: Site) -> None:
    async with site.open() as world:
        await world.mkdir("ant/render/xy_v002")
        down(site)
        assert not await world.exists("ant/render/xy_v002/beauty.exr")
        with fails_with(errno.ENETDOWN):
            await world.exists("ant/library/oak.png")
        site.origin.add("render/xy_v002/beauty.exr", b"of another node")
        site.origin.add("library/oak.png", b"oak")
        site.origin.come_up()
        site.second.come_up()
        assert await world.read("ant/render/xy_v002/beauty.exr") == b"of another node"
        assert await world.read("ant/library/oak.png") == b"oak"


async def test_what_only_an_old_listing_knows_is_shown_in_an_outage_and_not_believed_after_it(
    site: Site,
) -> None:
    for name in ("oak", "elm"):
        site.origin.add(f"library/{name}.png", b"wood")
    async with site.open() as world:
        assert await world.names("ant/library") == ["elm.png", "oak.png"]
    shutil.rmtree(site.directory / "cache/catalog")
    site.origin.remove("library/oak.png")
    down(site)
    async with site.open() as world:
        assert await world.names("ant/library") == ["elm.png", "oak.png"]
        site.origin.come_up()
        assert not await world.exists("ant/library/oak.png")
        assert await world.exists("ant/library/elm.png")


async def test_s07_nobody_is_slowed_down_for_listing_what_no_origin_is_asked_about(
    site: Site,
) -> None:
    names = [f"d{number}" for number in range(6)]
    for name in names:
        site.origin.add(f"library/{name}/oak.png", b"oak")
    site.mount = {"listings_per_s": 0.001, "listings_burst": 3}
    async with site.open() as world:
        for name in names:
            await world.names(f"ant/library/{name}")
        down(site)
        world.clock.advance(600)
        name, metrics = site.origin.name, Metrics()
        breaker = Breaker(
            name, site.origin.check, NetworkSettings(), metrics, suspect=lambda _: None
        )
        breaker.state = BreakerState.OPEN
        world.node.tiers.breakers.add(breaker)
        with trio.fail_after(PATIENCE_S):
            for name in names:
                snapshot = await world.fs.snapshot(f"ant/library/{name}", ARTIST)
                assert len(snapshot) == 1
        assert not world.fs.crawlers.report()
