"""Writing to a published mutable file: the copy in the spool, and who sees what meanwhile."""

from __future__ import annotations

import errno
import os
from typing import Any

import pytest
import trio
from trio.testing import MockClock

from shotfs.errors import Stale, TierUnavailable
from shotfs.publish import SpoolEntry, SpoolFile, State
from shotfs.vfs.files import HOLD_S
from tests.unit.vfs.world import World, fails_with

SCENE = "ant/config/scene.json"
KEY = "config/scene.json"


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        (os.O_WRONLY, b"One"),
        (os.O_RDWR, b"One"),
        (os.O_WRONLY | os.O_TRUNC, b"O"),
        (os.O_RDONLY | os.O_TRUNC, b""),
    ],
)
async def test_s03_a_writer_gets_a_copy_by_estale(
    world: World, flags: int, expected: bytes
) -> None:
    world.origin.add(KEY, b"one")
    found = await world.fs.attributes(SCENE)
    with pytest.raises(Stale, match="a writable copy was made"):
        await world.fs.open(SCENE, flags, identity=found.identity)
    copy = await world.fs.attributes(SCENE)
    assert copy.identity != found.identity, "the kernel's pages of the published one stay right"
    handle = await world.fs.open(SCENE, flags, identity=copy.identity)
    if flags & os.O_ACCMODE:
        await handle.write(0, b"O")
    await handle.flush()
    await handle.close()
    await world.published(SCENE)
    assert world.origin.content(KEY) == await world.read(SCENE) == expected


async def test_s03_readers_keep_the_published_bytes_while_somebody_writes(world: World) -> None:
    world.origin.add(KEY, b"one")
    reader = await world.open(SCENE)
    await world.write(SCENE, b"rewritten")
    assert bytes(await reader.read(0, 100)) == b"one"
    await world.published(SCENE)
    assert bytes(await reader.read(0, 100)) == b"one"
    await reader.close()


async def test_two_writers_share_one_copy(world: World) -> None:
    world.origin.add(KEY, b"one")
    handles = []

    async def append() -> None:
        handles.append(await world.open(SCENE, os.O_WRONLY))

    gate = world.origin.gate("read")
    async with trio.open_nursery() as nursery:
        nursery.start_soon(append)
        nursery.start_soon(append)
        await world.origin.reached("read")
        gate.set()
    await handles[0].write(0, b"O")
    await handles[1].write(3, b"!")
    for handle in handles:
        await handle.flush()
        await handle.close()
    assert await world.read(SCENE) == b"One!"
    assert world.origin.count("read") == 1


async def test_a_copy_that_is_not_whole_yet_is_seen_by_nobody(world: World) -> None:
    world.origin.add(KEY, b"one")
    published = await world.fs.attributes(SCENE)
    gate = world.origin.gate("read")
    async with trio.open_nursery() as nursery:
        nursery.start_soon(world.open, SCENE, os.O_WRONLY)
        await world.origin.reached("read")
        assert await world.fs.attributes(SCENE) == published
        ((_, listed),) = await world.entries("ant/config")
        assert listed.identity == published.identity
        gate.set()
    assert (await world.fs.attributes(SCENE)).identity != published.identity


async def test_a_copy_that_fails_leaves_the_published_file(world: World) -> None:
    world.origin.add(KEY, b"one")
    await world.fs.attributes(SCENE)

    def fail(operation: str, _key: str) -> None:
        if operation == "read":
            raise TierUnavailable("the cable is out")

    world.origin.fault = fail
    with fails_with(errno.ENETDOWN):
        await world.open(SCENE, os.O_WRONLY)
    world.origin.come_up()
    assert len(world.node.spool) == 0
    assert await world.read(SCENE) == b"one"


async def test_a_writer_who_gives_up_waiting_leaves_no_half_copy(world: World) -> None:
    world.origin.add(KEY, b"one")
    gate = world.origin.gate("read")
    async with trio.open_nursery() as nursery:
        nursery.start_soon(world.open, SCENE, os.O_WRONLY)
        await world.origin.reached("read")
        nursery.cancel_scope.cancel()
    assert await world.exists(SCENE)
    gate.set()
    await world.until(lambda: world.spooled(SCENE) is not None)
    assert await world.read(SCENE) == b"one"


async def test_an_emptied_copy_is_not_published_before_its_writer_has_come(
    world: World, mock_clock: MockClock
) -> None:
    world.origin.add(KEY, b"one")
    with pytest.raises(Stale):
        await world.fs.open(SCENE, os.O_WRONLY | os.O_TRUNC)
    await trio.testing.wait_all_tasks_blocked()
    mock_clock.jump(HOLD_S / 2)
    await trio.testing.wait_all_tasks_blocked()
    assert world.origin.content(KEY) == b"one"
    handle = await world.fs.open(SCENE, os.O_WRONLY | os.O_TRUNC)
    mock_clock.jump(100)
    await trio.testing.wait_all_tasks_blocked()
    await handle.write(0, b"whole")
    assert world.origin.content(KEY) == b"one"
    await handle.flush()
    await handle.close()
    await world.published(SCENE)
    assert world.origin.content(KEY) == b"whole"


async def test_a_copy_whose_writer_never_comes_is_let_go(
    world: World, mock_clock: MockClock
) -> None:
    world.origin.add(KEY, b"one")
    with pytest.raises(Stale):
        await world.fs.open(SCENE, os.O_WRONLY)
    await trio.testing.wait_all_tasks_blocked()
    mock_clock.jump(HOLD_S)
    await world.published(SCENE)
    assert await world.read(SCENE) == b"one"


async def test_s18_a_writer_replaces_only_the_revision_that_it_opened(world: World) -> None:
    world.origin.add(KEY, b"one")
    handle = await world.open(SCENE, os.O_WRONLY)
    await handle.write(0, b"O")
    world.origin.add(KEY, b"somebody else's")
    await handle.flush()
    await handle.close()
    await world.until(lambda: world.spooled(SCENE) is None)
    (item,) = world.node.publisher.queue()
    assert item.state is State.QUARANTINED
    assert world.origin.content(KEY) == b"somebody else's"
    assert await world.read(SCENE) == b"somebody else's"


async def test_writing_a_new_mutable_file_again_replaces_what_it_published(world: World) -> None:
    await world.publish(SCENE, b"one")
    await world.publish(SCENE, b"second")
    assert world.origin.content(KEY) == b"second"
    assert not world.node.publisher.queue()


async def test_s03_a_file_that_is_published_under_its_writer_is_stale_only_once(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    await world.write(SCENE, b"one")
    spool = world.node.spool
    opened = spool.open

    async def published_meanwhile(entry: SpoolEntry, **options: Any) -> SpoolFile:
        monkeypatch.setattr(spool, "open", opened)
        await world.published(SCENE)
        return await opened(entry, **options)

    monkeypatch.setattr(spool, "open", published_meanwhile)
    # As the kernel does, which gives up after the second ESTALE.
    handle = await world.open(SCENE, os.O_WRONLY | os.O_TRUNC)
    await handle.write(0, b"two")
    await handle.flush()
    await handle.close()
    await world.published(SCENE)
    assert world.origin.content(KEY) == b"two"
