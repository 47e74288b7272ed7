"""Hops to threads that many tasks share: groups, the lane, and threads beside a thread."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from shotfs.publish.grouped import GROUP_MAX, Groups
from shotfs.publish.lane import Lane
from shotfs.publish.side_threads import SideThreads


class Held:
    """Work that waits for a gate, and notes its groups."""

    def __init__(self) -> None:
        self.begun = threading.Event()
        self.gate = threading.Event()
        self.groups: list[list[int]] = []

    def __call__(self, group: list[int]) -> None:
        self.groups.append(group)
        self.begun.set()
        assert self.gate.wait(10)


async def do_all(groups: Groups[int], jobs: range) -> None:
    async with trio.open_nursery() as nursery:
        for job in jobs:
            nursery.start_soon(groups.do, job)


async def test_what_comes_while_a_thread_works_is_the_next_group() -> None:
    held = Held()
    groups = Groups("test", held)
    with trio.fail_after(10):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(groups.do, 0)
            await trio.to_thread.run_sync(held.begun.wait, 10)
            nursery.start_soon(do_all, groups, range(1, 4))
            await wait_all_tasks_blocked()
            held.gate.set()
        await groups.close()
    assert held.groups[0] == [0]
    assert sorted(held.groups[1]) == [1, 2, 3]
    assert len(held.groups) == 2


async def test_a_group_has_an_end() -> None:
    held = Held()
    held.gate.set()
    groups = Groups("test", held)
    for job in range(GROUP_MAX + 1):
        groups.gather(job)
    await groups.do(GROUP_MAX + 1)
    await groups.do(GROUP_MAX + 2)
    await groups.close()
    assert [job for group in held.groups for job in group] == list(range(GROUP_MAX + 3))


async def test_what_was_gathered_is_worked_on_before_what_came_later_and_at_the_end() -> None:
    held = Held()
    held.gate.set()
    groups = Groups("test", held)
    groups.gather(1)
    groups.gather(2)
    await groups.do(3)
    groups.gather(4)
    await groups.close()
    assert held.groups == [[1, 2, 3], [4]]


async def test_work_that_raises_fails_all_of_its_group_and_no_other() -> None:
    def work(group: list[int]) -> None:
        if 7 in group:
            raise MemoryError

    groups = Groups("test", work)
    with pytest.raises(MemoryError):
        await groups.do(7)
    await groups.do(8)
    await groups.close()


async def test_a_cancelled_caller_leaves_its_job_to_the_thread() -> None:
    held = Held()
    groups = Groups("test", held)
    with trio.move_on_after(0):
        await groups.do(1)
    held.gate.set()
    await groups.close()
    assert held.groups == [[1]]


@pytest.fixture
def lane_threads() -> Iterator[None]:
    yield
    assert not [one for one in threading.enumerate() if one.name in ("spool", "spool fsync")]


async def test_the_lane_returns_and_raises_what_the_call_does(
    tmp_path: Path, lane_threads: None
) -> None:
    lane = Lane()
    (tmp_path / "a").write_bytes(b"12")
    assert (await lane.run(os.stat, tmp_path / "a")).st_size == 2
    with pytest.raises(FileNotFoundError):
        await lane.run(os.stat, tmp_path / "b")
    await lane.close()


async def test_the_lane_finishes_a_call_whose_caller_is_cancelled(
    tmp_path: Path, lane_threads: None
) -> None:
    lane = Lane()
    with trio.move_on_after(0):
        await lane.run(os.mkdir, tmp_path / "a")
    assert (tmp_path / "a").is_dir()
    await lane.close()


def test_threads_beside_a_thread_make_all_calls_at_the_same_time(lane_threads: None) -> None:
    threads = SideThreads(3)
    together = threading.Barrier(4)
    made: list[int] = []

    def call(number: int) -> None:
        together.wait(10)  # four calls at once, or never
        made.append(number)

    threads.run(lambda number=number: call(number) for number in range(4))
    assert sorted(made) == [0, 1, 2, 3]
    threads.close()


def test_few_calls_need_no_other_thread(lane_threads: None) -> None:
    threads = SideThreads(3)
    seen: list[int] = []
    threads.run([lambda: seen.append(threading.get_ident())] * 2)
    assert seen == [threading.get_ident()] * 2
    threads.close()
