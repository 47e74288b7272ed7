"""Front: which files the native thread answers for, and when their handles are given up."""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from typing import Any, cast

import pytest
import trio

from shotfs.fuse import helper
from shotfs.fuse.front import IDLE_ROUNDS, ROUND_S, Front, attributes_out
from shotfs.fuse.inodes import Node
from shotfs.observe.metrics import Metrics
from shotfs.vfs.attributes import Attributes, Kind
from shotfs.vfs.handles import PublishedHandle

ATTRIBUTES = Attributes(
    identity=9,
    kind=Kind.FILE,
    mode=0o444,
    uid=1,
    gid=2,
    size_bytes=1000,
    mtime_ns=-1_500_000_000,
    ctime_ns=2_000_000_001,
    ttl_s=2.5,
)


@dataclass
class FakeThread:
    """What `_front.c` does, without a kernel."""

    files: dict[int, int] = field(default_factory=dict)
    used: set[int] = field(default_factory=set)
    opens: int = 0
    refuses: bool = False
    files_max: int = 0

    def start(self, descriptor: int, files_max: int) -> int:
        if self.refuses:
            raise OSError(95, "not supported")
        self.files_max = files_max
        return descriptor + 100

    def stop(self) -> None:
        self.files.clear()

    def add(self, nodeid: int, *_: object) -> bool:
        if nodeid in self.files:
            return False
        self.files[nodeid] = 0
        self.used.add(nodeid)
        return True

    def retire(self, nodeid: int) -> int:
        opens = self.files[nodeid]
        if not opens:
            del self.files[nodeid]
        return opens

    def take_used(self, nodeid: int) -> bool:
        used = nodeid in self.used or self.files[nodeid] > 0
        self.used.discard(nodeid)
        return used

    def counts(self) -> dict[str, int]:
        return {
            "files": len(self.files),
            "open_files": sum(self.files.values()),
            "open": self.opens,
        }


class FakeHandle(PublishedHandle):
    """A handle of a file that is here, or is not."""

    def __init__(self, *, lasting: bool = True) -> None:
        self.lasting = lasting
        self.touches = 0

    def lasting_descriptor(self) -> int | None:
        return 5 if self.lasting else None

    def attributes(self) -> Attributes:
        return ATTRIBUTES

    def touch(self) -> None:
        self.touches += 1


@dataclass
class World:
    thread: FakeThread
    front: Front
    given_up: list[Node]

    def answer_for(self, number: int, *, lasting: bool = True) -> Node:
        node = Node(number, f"ant/{number}", number)
        handle = FakeHandle(lasting=lasting)
        node.handles = (handle,)
        if not self.front.answer_for(node, handle, number):
            node.handles = ()
        return node

    def round(self) -> None:
        """Do what `Front.run` does every few seconds."""
        self.front.settle()


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> World:
    thread, given_up = FakeThread(), list[Node]()
    monkeypatch.setattr(helper, "MODULE", cast("Any", thread))
    front = Front(files_max=3, metrics=Metrics(), give_up=given_up.append)
    assert front.start(7, "auto") == 107
    return World(thread, front, given_up)


def test_attributes_are_a_struct_of_the_protocol() -> None:
    made = attributes_out(42, ATTRIBUTES)
    assert len(made) == 104
    valid_s, valid_ns, _, number, size, blocks = struct.unpack_from("=QIIQQQ", made)
    assert (valid_s, valid_ns, number, size, blocks) == (2, 500_000_000, 42, 1000, 2)
    # Before 1970: seconds go down, nanoseconds up.
    _, mtime_s, ctime_s, _, mtime_ns, ctime_ns = struct.unpack_from("=qqqIII", made, 40)
    assert (mtime_s, mtime_ns, ctime_s, ctime_ns) == (-2, 500_000_000, 2, 1)


def test_a_file_that_may_change_is_not_answered_for(world: World) -> None:
    assert world.answer_for(1, lasting=False).handles == ()
    assert world.thread.files == {}


def test_without_the_helper_nothing_is_answered_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(helper, "MODULE", None)
    monkeypatch.setattr(helper, "PROBLEM", "no compiler")
    front = Front(files_max=3, metrics=Metrics(), give_up=lambda _: None)
    assert front.start(7, "auto") == 7
    assert front.report()["native_thread_problem"] == "no compiler"
    assert not front.answer_for(Node(1, "a", 1), FakeHandle(), 1)


def test_a_thread_that_cannot_start_is_said_and_changes_nothing(world: World) -> None:
    world.thread.refuses = True
    front = Front(files_max=3, metrics=Metrics(), give_up=lambda _: None)
    assert front.start(7, "auto") == 7
    assert "not supported" in front.problem
    front.stop()


def test_files_that_nobody_uses_are_given_up_after_a_while(world: World) -> None:
    node = world.answer_for(1)
    world.round()  # it was used when it was added
    for _ in range(IDLE_ROUNDS - 1):
        world.round()
    assert world.given_up == []
    world.round()
    assert world.given_up == [node]
    assert world.thread.files == {}


def test_a_file_that_is_used_stays_and_the_cache_learns_of_it(world: World) -> None:
    node = world.answer_for(1)
    for _ in range(3 * IDLE_ROUNDS):
        world.thread.used.add(1)
        world.round()
    assert world.given_up == []
    (handle,) = node.handles
    assert isinstance(handle, FakeHandle)
    assert handle.touches == 3 * IDLE_ROUNDS


def test_the_file_that_was_used_least_makes_place(world: World) -> None:
    nodes = [world.answer_for(number) for number in (1, 2, 3)]
    world.round()
    world.thread.used |= {1}
    fourth = world.answer_for(4)
    assert world.given_up == [nodes[1]]
    assert set(world.thread.files) == {1, 3, 4}
    assert fourth.handles


def test_when_all_are_in_use_one_more_is_not_answered_for(world: World) -> None:
    for number in (1, 2, 3):
        world.answer_for(number)
        world.thread.files[number] = 1
    assert world.answer_for(4).handles == ()
    assert world.given_up == []


def test_what_is_open_is_given_up_only_by_its_last_release(world: World) -> None:
    node = world.answer_for(1)
    world.thread.files[1] = 1
    world.front.retire_idle()
    assert world.given_up == []
    world.front.retire(node)  # once more: it is known to be retired
    assert world.given_up == []


def test_all_idle_files_are_given_up_when_the_cache_needs_room(world: World) -> None:
    nodes = [world.answer_for(number) for number in (1, 2)]
    world.front.retire_idle()
    assert world.given_up == nodes
    assert all(cast("FakeHandle", node.handles[0]).touches == 1 for node in nodes)


def test_opens_by_the_thread_count_as_warm(world: World) -> None:
    metrics = Metrics()
    front = Front(files_max=3, metrics=metrics, give_up=lambda _: None)
    front.start(7, "auto")
    world.thread.opens = 5
    front.count_opens()
    world.thread.opens = 12
    front.count_opens()
    assert 'shotfs_opens_total{temperature="warm"} 12.0' in metrics.text()


async def test_rounds_run_for_ever(world: World, autojump_clock: object) -> None:
    del autojump_clock
    world.answer_for(1)
    with trio.move_on_after(ROUND_S * (IDLE_ROUNDS + 2.5)):
        await world.front.run()
    assert len(world.given_up) == 1
