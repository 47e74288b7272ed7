"""Reads by inode: what is held open for a mount whose opens and closes nobody sees."""

from __future__ import annotations

import errno
from collections import Counter
from typing import Any, cast

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from shotfs.errors import ShotfsError, Stale
from shotfs.fuse.inode_reads import IDLE_S, InodeReads
from shotfs.fuse.inodes import Node
from shotfs.vfs import FileSystem


class FakeHandle:
    """Content whose reads can be held up, or fail."""

    def __init__(self, content: bytes) -> None:
        self.content = content
        self.closed = 0
        self.error: Exception | None = None
        self.gate: trio.Event | None = None
        self.closing: trio.Event | None = None

    def read_now(self, offset: int, size: int) -> bytes | None:
        assert not self.closed
        if self.gate is not None or self.error is not None:
            return None
        return self.content[offset : offset + size]

    async def read(self, offset: int, size: int) -> bytes:
        if self.gate is not None:
            await self.gate.wait()
        assert not self.closed
        if self.error is not None:
            raise self.error
        return self.content[offset : offset + size]

    async def close(self) -> None:
        self.closed += 1
        if self.closing is not None:
            await self.closing.wait()


class FakeFiles:
    """Opens handles and counts them."""

    def __init__(self) -> None:
        self.handles: dict[str, FakeHandle] = {}
        self.opens: Counter[str] = Counter()
        self.gate: trio.Event | None = None
        self.error: Exception | None = None

    async def open(self, path: str, flags: int, *, identity: int, caller: Any) -> FakeHandle:
        assert (flags, caller) == (0, None)
        assert identity == int(path)
        self.opens[path] += 1
        if self.gate is not None:
            await self.gate.wait()
        if self.error is not None:
            raise self.error
        self.handles[path] = FakeHandle(f"content of {path}".encode())
        return self.handles[path]


def node_of(number: int) -> Node:
    return Node(number, str(number), number)


@pytest.fixture
def files() -> FakeFiles:
    return FakeFiles()


def reads_of(files: FakeFiles, held_max: int = 2) -> InodeReads:
    return InodeReads(cast(FileSystem, files), held_max=held_max)


async def test_a_file_is_opened_once_for_all_its_reads(files: FakeFiles) -> None:
    reads = reads_of(files)
    node = node_of(5)
    assert await reads.read(node, 0, 7) == b"content"
    assert await reads.read(node, 11, 99) == b"5"
    assert (files.opens, len(reads)) == ({"5": 1}, 1)


async def test_first_reads_at_the_same_time_open_once(files: FakeFiles) -> None:
    reads = reads_of(files)
    files.gate = trio.Event()
    found: list[object] = []

    async def read() -> None:
        found.append(await reads.read(node_of(5), 0, 7))

    async with trio.open_nursery() as nursery:
        for _ in range(10):
            nursery.start_soon(read)
        await wait_all_tasks_blocked()
        files.gate.set()
    assert (found, files.opens) == ([b"content"] * 10, {"5": 1})


async def test_who_waited_for_an_open_that_failed_opens_itself(files: FakeFiles) -> None:
    reads = reads_of(files)
    files.gate, files.error = trio.Event(), Stale("it is another revision now")
    errors: list[int] = []

    async def read() -> None:
        try:
            await reads.read(node_of(5), 0, 7)
        except ShotfsError as error:
            errors.append(error.errno)

    async with trio.open_nursery() as nursery:
        for _ in range(3):
            nursery.start_soon(read)
        await wait_all_tasks_blocked()
        files.gate.set()
    assert (errors, files.opens, len(reads)) == ([errno.ESTALE] * 3, {"5": 3}, 0)


async def test_a_first_read_that_is_cancelled_leaves_the_next_one_alone(files: FakeFiles) -> None:
    reads = reads_of(files)
    files.gate = trio.Event()
    with trio.move_on_after(0):
        await reads.read(node_of(5), 0, 7)
    files.gate = None
    assert await reads.read(node_of(5), 0, 7) == b"content"


async def test_not_more_files_are_held_than_may_be(files: FakeFiles, mock_clock: MockClock) -> None:
    reads = reads_of(files, held_max=2)
    for number in (5, 6, 7):
        await reads.read(node_of(number), 0, 1)
        mock_clock.jump(1)
    assert len(reads) == 2
    assert [files.handles[str(number)].closed for number in (5, 6, 7)] == [1, 0, 0]
    await reads.read(node_of(5), 0, 1)  # fetched again, if it was evicted meanwhile (S11)
    assert files.opens["5"] == 2


async def test_what_is_being_read_is_never_given_up(
    files: FakeFiles, mock_clock: MockClock
) -> None:
    reads = reads_of(files, held_max=1)
    await reads.read(node_of(5), 0, 1)
    slow = files.handles["5"]
    slow.gate = trio.Event()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(reads.read, node_of(5), 0, 1)
        nursery.start_soon(reads.run)
        await wait_all_tasks_blocked()
        await reads.read(node_of(6), 0, 1)
        mock_clock.jump(10 * IDLE_S)
        await wait_all_tasks_blocked()
        assert (slow.closed, files.handles["6"].closed) == (0, 1)
        slow.gate.set()
        await wait_all_tasks_blocked()
        assert slow.closed == 0  # it was read just now
        nursery.cancel_scope.cancel()


async def test_a_file_that_is_opened_while_another_is_given_up_is_not_given_up_itself(
    files: FakeFiles,
) -> None:
    reads = reads_of(files, held_max=1)
    await reads.read(node_of(5), 0, 1)
    files.handles["5"].closing = trio.Event()  # giving it up takes its time
    found: list[object] = []

    async def read(number: int) -> None:
        found.append(await reads.read(node_of(number), 0, 99))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(read, 6)
        await wait_all_tasks_blocked()
        nursery.start_soon(read, 7)
        await wait_all_tasks_blocked()
        files.handles["5"].closing.set()
    assert sorted(map(str, found)) == ["b'content of 6'", "b'content of 7'"]


async def test_what_nobody_reads_is_given_up(files: FakeFiles, mock_clock: MockClock) -> None:
    reads = reads_of(files)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(reads.run)
        await reads.read(node_of(5), 0, 1)
        await wait_all_tasks_blocked()
        mock_clock.jump(IDLE_S / 2)
        await wait_all_tasks_blocked()
        await reads.read(node_of(6), 0, 1)
        mock_clock.jump(IDLE_S / 2)
        await wait_all_tasks_blocked()
        assert [files.handles[one].closed for one in ("5", "6")] == [1, 0]
        mock_clock.jump(IDLE_S)
        await wait_all_tasks_blocked()
        assert len(reads) == 0
        nursery.cancel_scope.cancel()


async def test_after_an_error_the_next_read_begins_anew(files: FakeFiles) -> None:
    reads = reads_of(files)
    await reads.read(node_of(5), 0, 1)
    broken = files.handles["5"]
    broken.error = Stale("evicted and replaced")
    with pytest.raises(Stale):
        await reads.read(node_of(5), 0, 1)
    assert broken.closed == 1
    assert await reads.read(node_of(5), 0, 7) == b"content"
    assert files.opens["5"] == 2


async def test_an_error_of_one_reader_closes_the_file_after_the_other(files: FakeFiles) -> None:
    reads = reads_of(files)
    await reads.read(node_of(5), 0, 1)
    handle = files.handles["5"]
    handle.gate = trio.Event()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(reads.read, node_of(5), 0, 1)
        await wait_all_tasks_blocked()
        with trio.move_on_after(0):
            await reads.read(node_of(5), 0, 1)  # given up by its caller
        assert handle.closed == 0
        handle.gate.set()
    assert handle.closed == 1
    assert len(reads) == 0


async def test_a_file_that_the_kernel_forgot_is_held_no_longer_than_others(
    files: FakeFiles, mock_clock: MockClock
) -> None:
    reads = reads_of(files)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(reads.run)
        await reads.read(node_of(5), 0, 1)
        await wait_all_tasks_blocked()
        mock_clock.jump(2 * IDLE_S)
        await wait_all_tasks_blocked()
        assert len(reads) == 0
        # The same inode, looked up again: another node object.
        assert await reads.read(node_of(5), 0, 7) == b"content"
        nursery.cancel_scope.cancel()


async def test_at_the_end_everything_is_given_up(files: FakeFiles) -> None:
    reads = reads_of(files)
    for number in (5, 6):
        await reads.read(node_of(number), 0, 1)
    await reads.aclose()
    assert [handle.closed for handle in files.handles.values()] == [1, 1]
    assert len(reads) == 0
