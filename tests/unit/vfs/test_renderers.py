"""What renderers do to their outputs: the origin gets the final bytes of each, once.

The templates are immutable with a grace of an hour, which a drain ends. What they do to finished
scratch files, to mutable files and to open ones is in `test_rename`, `test_files`,
`test_changes` and `test_writable_copies`; what needs a kernel in `tests/fuse/test_renderers.py`.
"""

from __future__ import annotations

import errno
import os
import random
from collections.abc import AsyncIterator, Mapping

import pytest
import trio

from shotfs.vfs import Change
from tests.unit.namespace.spec import DOCUMENT
from tests.unit.vfs.world import Site, World, fails_with

SHOT = "ant/takes/sh010"
FRAME = f"{SHOT}/beauty.1001.exr"
DRAIN_S = 60.0


@pytest.fixture
async def world(site: Site) -> AsyncIterator[World]:
    """A node whose outputs may be changed for an hour after their close."""
    takes = {
        "path": "takes/{rest}",
        "flow": "out",
        "immutable": "on-close",
        "grace": "1h",
        "directory_mode": "0777",
    }
    site.document = {**DOCUMENT, "templates": {**DOCUMENT["templates"], "takes": takes}}
    async with site.open() as opened:
        await opened.mkdir(SHOT)
        yield opened


async def published_once(world: World, files: Mapping[str, bytes]) -> None:
    """End the grace, and compare: the origin has *files* and nothing else, each put once."""
    await world.node.publisher.drain(DRAIN_S)
    await world.published(*files)
    keys = {path.removeprefix("ant/"): content for path, content in files.items()}
    assert {key: world.origin.content(key) for key in world.origin.objects} == keys
    for key in keys:
        assert world.origin.count("put", key) == 1, f"{key} was put more than once"
    for path, content in files.items():
        assert await world.read(path) == content


async def patch(world: World, path: str, offset: int, data: bytes) -> None:
    """Open what is there, write to it, close it."""
    handle = await world.open(path, os.O_RDWR)
    await handle.write(offset, data)
    await handle.flush()
    await handle.close()
    assert (await world.read(path))[offset : offset + len(data)] == data, "S15"


async def test_s04_a_header_that_is_patched_after_the_close_is_published_once(world: World) -> None:
    await world.write(FRAME, b"header: open  pixels")
    await patch(world, FRAME, 8, b"done")
    await published_once(world, {FRAME: b"header: done  pixels"})


async def test_s02_a_header_that_is_patched_too_late_is_refused(world: World) -> None:
    await world.write(FRAME, b"header: open  pixels")
    await published_once(world, {FRAME: b"header: open  pixels"})
    with fails_with(errno.EEXIST):
        await world.open(FRAME, os.O_RDWR)
    await published_once(world, {FRAME: b"header: open  pixels"})


async def test_s04_two_passes_and_an_append_to_one_file_are_one_output(world: World) -> None:
    await world.write(FRAME, b"first pass, ")
    await patch(world, FRAME, 12, b"second pass")
    handle = await world.open(FRAME, os.O_WRONLY | os.O_APPEND)
    await handle.write(handle.attributes().size_bytes, b", end")
    await handle.flush()
    await handle.close()
    await published_once(world, {FRAME: b"first pass, second pass, end"})


async def test_s04_a_frame_that_is_truncated_and_rendered_again_has_its_last_bytes(
    world: World,
) -> None:
    await world.write(FRAME, b"a first attempt that is longer")
    await world.write(FRAME, b"the second")
    await world.truncate(FRAME, 3)
    await patch(world, FRAME, 3, b" third")
    await published_once(world, {FRAME: b"the third"})


async def test_s15_tiles_in_any_order_are_seen_at_once_and_published_whole(world: World) -> None:
    chance = random.Random(3)
    content = chance.randbytes(64 * 1024)
    starts = list(range(0, len(content), 1000))
    chance.shuffle(starts)
    seen = bytearray()
    handle = await world.create(FRAME, os.O_RDWR)
    for start in starts:
        tile = content[start : start + 1000]
        await handle.write(start, tile)
        seen.extend(bytes(max(0, start + len(tile) - len(seen))))
        seen[start : start + len(tile)] = tile
        if start % 7000 == 0:
            assert await world.read(FRAME) == seen
            assert (await world.fs.attributes(FRAME)).size_bytes == len(seen)
    await handle.flush()
    await handle.close()
    await published_once(world, {FRAME: content})


async def test_s13_a_frame_that_is_rendered_again_is_renamed_over_the_one_before(
    world: World,
) -> None:
    for content in (b"first", b"second, better"):
        await world.write(f"{FRAME}.tmp", content)
        await world.fs.rename(f"{FRAME}.tmp", FRAME)
    await published_once(world, {FRAME: b"second, better"})
    assert not await world.exists(f"{FRAME}.tmp")


async def test_s13_a_renderer_that_starts_again_finds_the_scratch_file_of_its_crash(
    world: World,
) -> None:
    # It was killed: the kernel closed the file for it.
    await world.write(f"{FRAME}.tmp", b"half of a fra")
    await published_once(world, {})
    await world.write(f"{FRAME}.tmp", b"whole")
    await world.fs.rename(f"{FRAME}.tmp", FRAME)
    await published_once(world, {FRAME: b"whole"})


async def test_s04_a_sidecar_that_comes_later_leaves_its_frame_alone(world: World) -> None:
    await world.write(FRAME, b"frame")
    await published_once(world, {FRAME: b"frame"})
    sidecar = f"{SHOT}/beauty.1001.json"
    await world.write(sidecar, b"{}")
    await patch(world, sidecar, 0, b'{"samples": 64}')
    await published_once(world, {FRAME: b"frame", sidecar: b'{"samples": 64}'})


async def test_s04_many_small_files_of_many_writers_are_published_once_each(world: World) -> None:
    files = {f"{SHOT}/layer{index % 8}.{1001 + index}.exr": b"%d" % index for index in range(160)}

    async def write(layer: int) -> None:
        for path in list(files)[layer::8]:
            await world.write(path, files[path])

    async with trio.open_nursery() as nursery:
        for layer in range(8):
            nursery.start_soon(write, layer)
    await published_once(world, files)


async def test_s14_a_directory_that_is_removed_and_made_again_has_only_what_came_after(
    world: World,
) -> None:
    for index in range(3):
        await world.write(f"{SHOT}/beauty.{1001 + index}.exr", b"before")
    for name in await world.names(SHOT):
        await world.fs.unlink(f"{SHOT}/{name}")
    await world.fs.remove_directory(SHOT)
    await world.mkdir(SHOT)
    assert await world.names(SHOT) == []
    await world.write(FRAME, b"after")
    await published_once(world, {FRAME: b"after"})


async def test_s14_a_directory_with_published_frames_is_not_removed_and_takes_new_ones(
    world: World,
) -> None:
    await world.write(FRAME, b"published")
    await published_once(world, {FRAME: b"published"})
    with fails_with(errno.EPERM):
        await world.fs.unlink(FRAME)
    with fails_with(errno.ENOTEMPTY):
        await world.fs.remove_directory(SHOT)
    other = f"{SHOT}/beauty.1002.exr"
    await world.write(other, b"new")
    await published_once(world, {FRAME: b"published", other: b"new"})


async def test_s14_times_that_are_set_after_the_close_are_taken(world: World) -> None:
    # As Python's `copy2` does; `cp --preserve` sets them before.
    await world.write(FRAME, b"frame")
    mtime_ns = 1_600_000_000 * 10**9
    await world.fs.change(FRAME, Change(mtime_ns=mtime_ns))
    assert (await world.fs.attributes(FRAME)).mtime_ns == mtime_ns
    await published_once(world, {FRAME: b"frame"})
    with fails_with(errno.EPERM):
        await world.fs.change(FRAME, Change(mtime_ns=mtime_ns))


async def test_s13_a_temporary_name_of_rsync_becomes_its_file_before_the_grace_ends(
    world: World,
) -> None:
    # A hidden name that no scratch pattern knows: written, closed, renamed at once.
    await world.write(f"{SHOT}/.beauty.1001.exr.Ab12Cd", b"frame")
    await world.fs.rename(f"{SHOT}/.beauty.1001.exr.Ab12Cd", FRAME)
    await published_once(world, {FRAME: b"frame"})


async def test_s13_where_templates_name_their_files_rsync_needs_a_scratch_pattern(
    site: Site,
) -> None:
    template = DOCUMENT["templates"]["compared"]
    temporary, final = "ant/compared/.a.exr.Ab12Cd", "ant/compared/a.exr"
    async with site.open() as world:
        with fails_with(errno.EPERM):
            await world.create(temporary)
    compared = {**template, "scratch": ["*.tmp", ".*.??????"]}
    site.document = {**DOCUMENT, "templates": {**DOCUMENT["templates"], "compared": compared}}
    async with site.open() as world:
        await world.write(temporary, b"frame")
        await world.fs.rename(temporary, final)
        await published_once(world, {final: b"frame"})


async def test_s05_the_half_frame_of_a_killed_renderer_waits_for_its_next_attempt(
    world: World,
) -> None:
    handle = await world.create(FRAME)
    await handle.write(0, b"half of a fra")
    await handle.abandon()
    await published_once(world, {})
    assert [item.path for item in world.node.publisher.queue()] == [FRAME]
    await world.write(FRAME, b"whole")
    await published_once(world, {FRAME: b"whole"})
