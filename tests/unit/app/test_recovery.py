"""A node whose index and catalog are lost: what it has cached is found again, bytes and paths."""

from __future__ import annotations

import errno
import shutil
from collections.abc import AsyncGenerator
from pathlib import Path

import pytest
import trio

from shotfs.cache import Cache, FoundBlob
from shotfs.errors import ShotfsError
from tests.unit.vfs.world import Site, World

WOOD, BRICK, NOTICE = "ant/library/wood/oak.png", "ant/library/brick.png", "ant/notices/today.txt"
CONTENTS = {WOOD: b"oak" * 1000, BRICK: b"clay", NOTICE: b"mutable"}


async def _fill(site: Site) -> None:
    """Cache everything on a node, and end it."""
    for path, content in CONTENTS.items():
        site.origin.add(path.partition("/")[2], content)
    async with site.open() as world:
        for path, content in CONTENTS.items():
            assert await world.read(path) == content
        await world.until(lambda: world.node.cache.stats().files == len(CONTENTS))


def _lose(site: Site, *names: str) -> None:
    for name in names:
        shutil.rmtree(site.directory / "cache" / name)
    (site.directory / "cache/clean").unlink(missing_ok=True)


async def _recovered(world: World) -> None:
    """Wait until the index and the catalog are whole again."""
    await world.until(lambda: world.node.cache.stats().files == len(CONTENTS))
    catalog = world.fs._finder.namespace._catalog  # type: ignore[attr-defined]  # of this namespace
    with trio.fail_after(20):
        while not await catalog.was_restored():
            await trio.lowlevel.checkpoint()


@pytest.mark.parametrize("lost", [("index",), ("catalog",), ("index", "catalog")])
async def test_s07_after_a_loss_cached_files_are_read_while_the_origin_is_away(
    site: Site,
    lost: tuple[str, ...],
) -> None:
    await _fill(site)
    _lose(site, *lost)
    site.origin.go_down()
    async with site.open() as world:
        await _recovered(world)
        assert await world.read(WOOD) == CONTENTS[WOOD]
        assert await world.read(BRICK) == CONTENTS[BRICK]
        assert await world.exists("ant/library/wood")
        assert site.origin.count("read") == 0
        if "catalog" in lost:
            # Nobody knows whether it is still what it was.
            with pytest.raises(ShotfsError) as caught:
                await world.read(NOTICE)
            assert caught.value.errno == errno.ENETDOWN


async def test_after_a_loss_the_origin_is_asked_once_a_path_and_sends_no_byte(
    site: Site,
) -> None:
    await _fill(site)
    _lose(site, "index", "catalog")
    async with site.open() as world:
        await _recovered(world)
        site.origin.asked.clear()
        for _ in range(3):
            for path, content in CONTENTS.items():
                assert await world.read(path) == content
        assert site.origin.count("read") == 0
        assert site.origin.count("stat", WOOD.partition("/")[2]) == 1


async def test_s03_what_changed_meanwhile_is_seen_when_the_origin_answers(
    site: Site,
) -> None:
    await _fill(site)
    _lose(site, "index", "catalog")
    site.origin.add(BRICK.partition("/")[2], b"replaced by hand")
    async with site.open() as world:
        await _recovered(world)
        assert await world.read(BRICK) == b"replaced by hand"


async def test_of_two_revisions_of_a_path_the_newer_is_recovered(
    site: Site,
) -> None:
    await _fill(site)
    site.origin.add(BRICK.partition("/")[2], b"newer")
    async with site.open() as world:
        world.fs._finder.namespace.removed(BRICK)
        assert await world.read(BRICK) == b"newer"
        await world.until(lambda: world.node.cache.stats().files == len(CONTENTS) + 1)
    _lose(site, "catalog")
    site.origin.go_down()
    async with site.open() as world:
        catalog = world.fs._finder.namespace._catalog  # type: ignore[attr-defined]  # as above
        while not await catalog.was_restored():
            await trio.lowlevel.checkpoint()
        assert await world.read(BRICK) == b"newer"


async def test_a_catalog_that_is_whole_is_left_alone(
    site: Site,
    tmp_path: Path,
) -> None:
    await _fill(site)
    async with site.open() as world:
        site.origin.asked.clear()
        assert await world.read(WOOD) == CONTENTS[WOOD]
        assert site.origin.count("stat") == 0
    assert (tmp_path / "cache/catalog").is_dir()


async def test_s07_a_disk_that_cannot_be_scanned_ends_no_mount(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    await _fill(site)
    _lose(site, "catalog")
    scanned = trio.Event()

    async def scan(_: Cache) -> AsyncGenerator[list[FoundBlob], None]:
        scanned.set()
        raise OSError(errno.EIO, "Input/output error")
        yield []

    monkeypatch.setattr(Cache, "scan", scan)
    async with site.open() as world:
        with trio.fail_after(20):
            await scanned.wait()
        assert await world.read(WOOD) == CONTENTS[WOOD]
        catalog = world.fs._finder.namespace.catalog
        assert not await catalog.was_restored(), "the next start tries again"
