"""The inhibitor: a child that holds a lock while its input is open. `cat` stands for logind's."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
import trio

from shotfs.app.inhibitor import Inhibitor, command_of
from shotfs.control import shutdown
from shotfs.control.shutdown import obstacle


async def until(condition: Any) -> None:
    with trio.fail_after(60):
        while not condition():  # noqa: ASYNC110 - children say nothing to trio
            await trio.sleep(0.002)


async def test_the_lock_is_held_while_outputs_wait_and_released_then() -> None:
    waits = True
    held = Inhibitor(["cat"], lambda: waits, look_every_s=0.002)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(held.run)
        await until(lambda: held.held)
        waits = False
        await until(lambda: not held.held)
        waits = True
        await until(lambda: held.held)
        nursery.cancel_scope.cancel()
    assert not held.held


async def test_a_child_that_ends_is_started_again_and_said() -> None:
    held = Inhibitor(["false"], lambda: True, look_every_s=0.002)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(held.run)
        await until(lambda: held.problem)
        nursery.cancel_scope.cancel()
    assert held.problem == "false ended with 1"


async def test_a_program_that_is_missing_harms_nothing() -> None:
    held = Inhibitor(["/nonexistent/systemd-inhibit"], lambda: True, look_every_s=0.002)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(held.run)
        await until(lambda: held.problem)
        nursery.cancel_scope.cancel()
    assert "No such file" in str(held.problem)


async def test_a_service_that_is_killed_releases_the_lock() -> None:
    reader, writer = os.pipe()
    child = await trio.lowlevel.open_process(["cat"], stdin=reader)
    os.close(reader)
    os.close(writer)  # what the kernel does for a process that is killed
    await child.wait()
    assert child.returncode == 0


def test_the_command_holds_shutdowns_only() -> None:
    command = command_of("delay")
    assert command[0] == "systemd-inhibit"
    assert "--what=shutdown" in command
    assert "--mode=delay" in command
    assert command[-1] == "cat"


def test_without_systemd_there_is_an_obstacle(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(shutdown, "SYSTEMD_RUNS", str(tmp_path / "absent"))
    assert obstacle() == "systemd does not run here"
    monkeypatch.setattr(shutdown, "SYSTEMD_RUNS", str(tmp_path))
    monkeypatch.setenv("PATH", str(tmp_path))
    assert obstacle() == "systemd-inhibit is not installed"
