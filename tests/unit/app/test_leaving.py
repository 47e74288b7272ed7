"""How a service ends: no new work, open writers finish, the exit code says what remains."""

from __future__ import annotations

import errno
import os
from dataclasses import replace

import pytest
import trio
import trio.testing

from shotfs.app.leaving import OUTPUTS_COPIED, OUTPUTS_REMAIN, Leaving, code_of
from shotfs.cli.output import ExitCode
from shotfs.errors import NodeLeaves
from tests.unit.namespace.spec import FRAME, SHOT
from tests.unit.vfs.world import World


def test_the_command_line_and_the_service_mean_the_same_codes() -> None:
    assert (OUTPUTS_REMAIN, OUTPUTS_COPIED) == (ExitCode.OUTPUTS_REMAIN, ExitCode.OUTPUTS_COPIED)


async def test_new_work_is_refused_and_open_writers_finish(world: World) -> None:
    await world.mkdir(SHOT)
    await world.write("ant/notes/there.txt", b"was made before")
    world.origin.add("library/oak.png", b"oak")
    handle = await world.create(f"{FRAME}.tmp")
    await handle.write(0, b"half ")
    ended = trio.Event()
    leaving = Leaving(world.node, ended.set)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(leaving.run)
        leaving.begin("SIGTERM", 30.0)
        await trio.testing.wait_all_tasks_blocked()
        assert leaving.state == "draining"
        assert world.node.metrics.snapshot()["shotfs_draining"] == 1
        with pytest.raises(NodeLeaves, match="SIGTERM") as caught:
            await world.create(f"{SHOT}/beauty.1009.exr")
        assert caught.value.errno == errno.ESHUTDOWN
        with pytest.raises(NodeLeaves):
            await world.open("ant/notes/there.txt", os.O_WRONLY)
        with pytest.raises(NodeLeaves):
            await world.mkdir("ant/notes/new")
        assert await world.read("ant/library/oak.png") == b"oak"
        assert await world.read("ant/notes/there.txt") == b"was made before"
        await handle.write(5, b"and half")
        await handle.flush()
        await handle.close()
        await world.fs.rename(f"{FRAME}.tmp", FRAME, replace=True)
        await ended.wait()
    assert world.origin.content(FRAME.removeprefix("ant/")) == b"half and half"
    assert world.node.metrics.snapshot()["shotfs_refused_work_total"] == 3
    assert leaving.exit_code == 0
    assert leaving.state == "stopping"


async def test_the_exit_code_says_that_outputs_remain(
    world: World, mock_clock: trio.testing.MockClock
) -> None:
    await world.write("ant/notes/a.txt", b"content")
    world.origin.gate("put")
    leaving = Leaving(world.node, lambda: None)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(leaving.run)
        leaving.begin("preempted", 25.0)
        await world.origin.reached("put")
        mock_clock.jump(26)
    assert leaving.exit_code == OUTPUTS_REMAIN


async def test_a_second_reason_can_only_shorten_it(
    world: World, mock_clock: trio.testing.MockClock
) -> None:
    await world.write("ant/notes/a.txt", b"content")
    world.origin.gate("put")
    ended = trio.Event()
    leaving = Leaving(world.node, ended.set)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(leaving.run)
        leaving.begin("preempted", 110.0)
        await world.origin.reached("put")
        leaving.begin("SIGTERM", 3600.0)
        leaving.begin("SIGTERM", 25.0)
        await trio.testing.wait_all_tasks_blocked()
        mock_clock.jump(26)
        await ended.wait()
    assert leaving.reason == "preempted"


async def test_who_asked_for_the_end_gets_his_answer_before_it(
    world: World, mock_clock: trio.testing.MockClock
) -> None:
    ended = trio.Event()
    leaving = Leaving(world.node, ended.set)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(leaving.run)
        assert await leaving.drain(25.0, emergency=True, stop=True) == []
        assert not ended.is_set()
        mock_clock.jump(1)
        await ended.wait()


async def test_after_a_drain_without_a_stop_the_node_works_on(world: World) -> None:
    leaving = Leaving(world.node, lambda: None)
    assert await leaving.drain(25.0, emergency=True, stop=False) == []
    await world.write("ant/notes/a.txt", b"content")
    assert leaving.state == "serving"
    assert leaving.exit_code == 0


async def test_the_code_is_of_the_worst_that_remains(world: World) -> None:
    await world.write("ant/notes/a.txt", b"a")
    await world.write("ant/notes/b.txt", b"b")
    first, second = world.node.publisher.queue()
    copied = replace(first, emergency="fake://place/1")
    assert code_of([]) == 0
    assert code_of([copied]) == OUTPUTS_COPIED
    assert code_of([copied, second]) == OUTPUTS_REMAIN
