"""The node: built in the order in which its parts need each other, taken down the other way."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import trio

from shotfs.app import node as node_module
from shotfs.app.node import ORIGIN_CHECK_S, _offer, check_origins, open_node, spool_directory
from shotfs.config import Settings, load
from shotfs.errors import (
    AccessDenied,
    BucketNotFound,
    CacheBusy,
    ConfigInvalid,
    ShotfsError,
    SpecInvalid,
    TierTimeout,
    TierUnavailable,
    Unsupported,
)
from shotfs.observe.metrics import Metrics
from shotfs.pathspec import load as load_spec
from shotfs.publish import State
from shotfs.vfs import Handle, Missing
from tests.unit.namespace.origin import Origin, Pool
from tests.unit.namespace.spec import DOCUMENT, FRAME, MAIN, SECOND, SHOT, TEXT
from tests.unit.vfs.world import Site

SPECS = [load_spec(TEXT, source="spec.json", show="ant")]


# --- order ---------------------------------------------------------------------------------------


async def test_parts_are_made_in_order_and_taken_down_in_the_opposite_one(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    events: list[str] = []

    def watch(name: str) -> None:
        original = getattr(node_module, name)

        @asynccontextmanager
        async def watched(*args: Any, **kwargs: Any) -> Any:
            async with original(*args, **kwargs) as part:
                events.append(f"+{name}")
                yield part
            events.append(f"-{name}")

        monkeypatch.setattr(node_module, name, watched)

    for name in ("open_cache", "open_catalog", "open_spool"):
        watch(name)
    async with site.open():
        events.append("serving")
        assert not site.origin.closed
    assert events == [
        "+open_cache",
        "+open_catalog",
        "+open_spool",
        "serving",
        "-open_spool",
        "-open_catalog",
        "-open_cache",
    ]
    assert site.origin.closed, "tiers go last: everything else may need them"


async def test_a_mistake_in_a_document_leaves_nothing_behind(site: Site) -> None:
    site.document = {"spec": "shotfs-path/1", "show": "ant", "rots": {}}
    with pytest.RaisesGroup(SpecInvalid, allow_unwrapped=True, flatten_subgroups=True):
        async with site.open():
            raise AssertionError
    site.document = DOCUMENT
    async with site.open() as world:
        assert world.node.shows.names == ("ant",), "nothing holds the cache directory any more"


async def test_one_cache_directory_has_one_owner(site: Site) -> None:
    async with site.open():
        with pytest.RaisesGroup(CacheBusy, allow_unwrapped=True, flatten_subgroups=True):
            async with site.open():
                raise AssertionError


async def test_no_show_at_all_is_said_before_anything_serves(tmp_path: Path) -> None:
    config = tmp_path / "shotfs.toml"
    config.write_text(f'[cache]\ndirectory = "{tmp_path}/cache"\nfree_bytes_min = 0\n')
    with pytest.RaisesGroup(ConfigInvalid, allow_unwrapped=True, flatten_subgroups=True):
        async with open_node(load(str(config), {}), Metrics(), read_only=False):
            raise AssertionError


async def test_the_spool_lies_in_the_cache_unless_it_has_a_place_of_its_own() -> None:
    inside = Settings(cache={"directory": "/var/cache/shotfs"})
    assert spool_directory(inside) == "/var/cache/shotfs/spool"
    outside = Settings(cache={"directory": "/var/cache/shotfs"}, spool={"directory": "/data/spool"})
    assert spool_directory(outside) == "/data/spool"


async def test_the_end_of_the_node_stops_uploads_and_the_next_start_resumes_them(
    site: Site,
) -> None:
    async with site.open() as world:
        await world.mkdir(SHOT)
        site.origin.gate("put")
        await world.write(FRAME, b"frame")
        await site.origin.reached("put")
        assert world.spooled(FRAME).state is State.UPLOADING
    site.origin.gates.clear()
    assert site.origin.objects == {}
    async with site.open() as world:
        await world.published(FRAME)
    assert site.origin.content(FRAME.removeprefix("ant/")) == b"frame"


async def test_questions_under_way_at_the_end_are_answered_with_an_error(site: Site) -> None:
    errors: list[ShotfsError] = []

    async def ask() -> None:
        try:
            await world.fs.lookup("ant/config/a.json")
        except TierUnavailable as error:
            errors.append(error)

    async with trio.open_nursery() as applications, site.open() as world:
        site.origin.gate("stat")
        applications.start_soon(ask)
        await site.origin.reached("stat")
    assert "shutting down" in errors[0].message


# --- what travels upward -------------------------------------------------------------------------


async def test_a_publication_reaches_the_catalog_with_its_inode(site: Site) -> None:
    async with site.open() as world:
        await world.mkdir(SHOT)
        await world.write(FRAME, b"frame")
        identity = (await world.fs.attributes(FRAME)).identity
        await world.published(FRAME)
        asked = site.origin.count("stat")
        assert (await world.fs.attributes(FRAME)).identity == identity
        assert site.origin.count("stat") == asked


async def test_a_conflict_makes_the_origin_be_asked_again(site: Site) -> None:
    async with site.open() as world:
        await world.mkdir(SHOT)
        assert isinstance(await world.fs.lookup(FRAME), Missing)
        gate = site.origin.gate("put")
        await world.write(FRAME, b"ours")
        await site.origin.reached("put")
        site.origin.add(FRAME.removeprefix("ant/"), b"theirs")
        gate.set()
        await world.until(lambda: world.spooled(FRAME) is None)
        assert await world.read(FRAME) == b"theirs"


async def test_s06_a_corrupt_revision_is_told_of_for_the_kernels_pages(site: Site) -> None:
    revision = site.origin.add("library/oak.png", b"right")
    site.origin.objects["library/oak.png"] = (revision, b"wrong")
    async with site.open() as world:
        handle = await world.open("ant/library/oak.png")
        with pytest.raises(ShotfsError):
            await _read_until_it_fails(handle)
        await handle.close()
        told = await world.node.corrupt.receive()
        assert told == revision
        before = (await world.fs.attributes("ant/library/oak.png")).identity
        assert await world.fs.distrust(told) == [before]
        assert (await world.fs.attributes("ant/library/oak.png")).identity != before


async def _read_until_it_fails(handle: Handle) -> None:
    """A part may be read before the whole is known to be wrong."""
    while True:
        await handle.read(0, 5)


async def test_too_many_corrupt_revisions_are_logged_and_do_not_block(
    caplog: pytest.LogCaptureFixture,
) -> None:
    sender, receiver = trio.open_memory_channel[Any](1)
    revision = Origin().add("a")
    _offer(sender, revision)
    with caplog.at_level(logging.WARNING):
        _offer(sender, revision)
    assert "stay in memory" in caplog.text
    assert receiver.receive_nowait() is revision


@pytest.mark.parametrize("end", [0, 1])
async def test_s07_corrupt_revisions_that_come_after_the_mount_has_gone_end_nothing(
    caplog: pytest.LogCaptureFixture, end: int
) -> None:
    ends = trio.open_memory_channel[Any](1)
    ends[end].close()
    with caplog.at_level(logging.INFO):
        _offer(ends[0], Origin().add("a"))
    assert "no mount to drop the pages" in caplog.text
    ends[1 - end].close()


# --- origins at the start ------------------------------------------------------------------------


def origins(fault: Callable[[str, str], None]) -> Pool:
    broken = Origin(MAIN)
    broken.fault = fault
    return Pool({MAIN: broken, SECOND: Origin(SECOND)})


def raises(error: Exception) -> Callable[[str, str], None]:
    def fault(_operation: str, _key: str) -> None:
        raise error

    return fault


async def test_every_origin_is_checked() -> None:
    pool = origins(lambda _operation, _key: None)
    await check_origins(SPECS, pool)
    assert [origin.asked for origin in pool.all()] == [[("check", "")]] * 2


@pytest.mark.parametrize("error", [TierUnavailable("refused"), TierTimeout("no answer")])
async def test_s07_an_origin_that_is_only_away_is_a_warning(
    error: ShotfsError, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        await check_origins(SPECS, origins(raises(error)))
    assert "what is cached still works" in caplog.text
    assert error.message in caplog.text


async def test_s07_an_origin_that_does_not_answer_holds_the_start_up_only_so_long(
    autojump_clock: trio.testing.MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    pool = origins(lambda _operation, _key: None)
    pool.origins[MAIN].gate("check")
    with caplog.at_level(logging.WARNING):
        await check_origins(SPECS, pool)
    assert trio.current_time() == ORIGIN_CHECK_S
    assert MAIN in caplog.text
    assert SECOND not in caplog.text


@pytest.mark.parametrize("error", [AccessDenied("who are you"), BucketNotFound("no such bucket")])
async def test_what_only_a_person_can_mend_ends_the_start(error: ShotfsError) -> None:
    with pytest.raises(type(error), match=error.message):
        await check_origins(SPECS, origins(raises(error)))


async def test_a_kind_of_origin_that_nobody_can_open_ends_the_start(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def open_tier(url: str, *_: Any) -> Origin:
        raise Unsupported(f"{url}: nothing can open this kind of URL")

    monkeypatch.setattr("shotfs.namespace.tier_pool.open_tier", open_tier)
    with pytest.RaisesGroup(Unsupported, allow_unwrapped=True, flatten_subgroups=True):
        async with site.open():
            raise AssertionError
    assert not os.listdir(site.directory / "cache" / "partials"), "nothing is left under way"
