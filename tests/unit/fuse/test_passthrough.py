"""Passthrough: which opens the kernel serves by itself, under the kernel's own rules."""

from __future__ import annotations

import errno
import fcntl
import logging
import struct
from collections import Counter
from typing import Any, cast

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from shotfs.fuse import passthrough as module
from shotfs.fuse.inodes import Node
from shotfs.fuse.passthrough import BACKING_CLOSE, BACKING_OPEN, Passthrough
from shotfs.vfs import Handle

MIB = 1 << 20
DEVICE = 7
FILES_MAX = 3


class TinyKernel:
    """The rules of fs/fuse/iomode.c, passthrough.c and backing.c, as far as opens go.

    Attributes:
        refusal: errno of the next registration; 0: it is accepted.
        files: numbers of backing files that are registered, with their descriptors.
    """

    def __init__(self) -> None:
        self.refusal = 0
        self.files: dict[int, int] = {}
        self._last = 0
        self._cached: Counter[int] = Counter()
        self._passthrough: Counter[int] = Counter()
        self._backing: dict[int, int] = {}

    def ioctl(self, device: int, request: int, argument: bytes | bytearray) -> int:
        assert device == DEVICE
        if request == BACKING_OPEN:
            if self.refusal:
                raise OSError(self.refusal, "refused")
            descriptor, flags, padding = struct.unpack("=iIQ", argument)
            assert (flags, padding) == (0, 0)
            self._last += 1
            self.files[self._last] = descriptor
            return self._last
        assert request == BACKING_CLOSE
        (identifier,) = struct.unpack("=I", argument)
        if identifier not in self.files:
            raise OSError(errno.ENOENT, "no such backing file")
        del self.files[identifier]
        return 0

    def open(self, inode: int, backing: int) -> None:
        """Take the answer to an open; what the kernel refuses is EIO for the application."""
        if backing == 0:
            assert not self._passthrough[inode], "EIO: normal open of a passthrough inode"
            self._cached[inode] += 1
            return
        assert backing in self.files, "EIO: no such backing file"
        assert not self._cached[inode], "EIO: ETXTBSY, the inode has a cached open"
        if self._passthrough[inode]:
            assert self._backing[inode] == backing, "EIO: EBUSY, another backing file"
        self._backing[inode] = backing
        self._passthrough[inode] += 1

    def release(self, inode: int) -> None:
        """End one open."""
        counter = self._passthrough if self._passthrough[inode] else self._cached
        assert counter[inode] > 0
        counter[inode] -= 1


class FakeHandle:
    """A handle that may have a backing file."""

    def __init__(self, descriptor: int | None = 40, size_bytes: int = MIB) -> None:
        self.descriptor = descriptor
        self.size_bytes = size_bytes
        self.joined = 0

    def backing(self, *, bytes_min: int, creating: bool) -> int | None:
        del creating
        return self.descriptor if self.size_bytes >= bytes_min else None

    def join_backing(self) -> None:
        self.joined += 1


class Opener:
    """Opens and releases as `Operations` does, and tells the kernel."""

    def __init__(self, kernel: TinyKernel) -> None:
        self.kernel = kernel
        self.passthrough = Passthrough(bytes_min=MIB, files_max=FILES_MAX)
        self.passthrough.start(DEVICE)

    def open(self, node: Node, handle: FakeHandle, *, creating: bool = False) -> int:
        backing = self.passthrough.open(node, cast(Handle, handle), creating=creating)
        node.handles = (*node.handles, cast(Handle, handle))
        self.kernel.open(node.number, backing)
        assert handle.joined == (1 if backing else 0)
        return backing

    def release(self, node: Node, handle: FakeHandle) -> None:
        self.kernel.release(node.number)
        node.handles = tuple(one for one in node.handles if one is not cast(Handle, handle))
        self.passthrough.released(node)


def node_of(number: int) -> Node:
    return Node(number, f"show/{number}", number)


@pytest.fixture
def kernel(monkeypatch: pytest.MonkeyPatch) -> TinyKernel:
    kernel = TinyKernel()
    monkeypatch.setattr(fcntl, "ioctl", kernel.ioctl)
    return kernel


@pytest.fixture
def opener(kernel: TinyKernel) -> Opener:
    return Opener(kernel)


def test_the_requests_are_those_of_the_kernel() -> None:
    # _IOW(229, 1, struct fuse_backing_map) and _IOW(229, 2, uint32_t) of <linux/fuse.h>
    assert (BACKING_OPEN, BACKING_CLOSE) == (0x4010E501, 0x4004E502)


def test_every_open_of_an_inode_shares_one_backing_file(opener: Opener) -> None:
    node, handles = node_of(2), [FakeHandle(), FakeHandle(), FakeHandle(descriptor=None)]
    assert {opener.open(node, handle) for handle in handles} == {1}
    assert (opener.passthrough.files, opener.passthrough.opens) == (1, 3)
    for handle in handles:
        assert opener.kernel.files == {1: 40}
        opener.release(node, handle)
    assert (opener.kernel.files, opener.passthrough.files, node.backing) == ({}, 0, 0)


def test_an_inode_that_is_open_normally_stays_so_until_its_last_release(opener: Opener) -> None:
    """Opened while it streams in, and whole by the second open."""
    node, streaming, whole = node_of(2), FakeHandle(descriptor=None), FakeHandle()
    third = FakeHandle()
    assert opener.open(node, streaming) == 0
    assert opener.open(node, whole) == 0
    opener.release(node, streaming)
    assert opener.open(node, third) == 0
    opener.release(node, whole)
    opener.release(node, third)
    assert opener.open(node, FakeHandle()) == 1


def test_a_file_that_was_evicted_meanwhile_gets_another_backing_file(opener: Opener) -> None:
    node, first = node_of(2), FakeHandle(descriptor=40)
    assert opener.open(node, first) == 1
    opener.release(node, first)
    assert opener.open(node, FakeHandle(descriptor=41)) == 2
    assert opener.kernel.files == {2: 41}


def test_small_files_are_opened_normally(opener: Opener) -> None:
    assert opener.open(node_of(2), FakeHandle(size_bytes=MIB - 1)) == 0


def test_more_files_than_may_be_are_opened_normally(opener: Opener) -> None:
    nodes = [node_of(number) for number in range(2, 2 + FILES_MAX + 1)]
    handles = [FakeHandle() for _ in nodes]
    found = [opener.open(node, handle) for node, handle in zip(nodes, handles, strict=True)]
    assert found == [1, 2, 3, 0]
    assert opener.open(nodes[0], FakeHandle()) == 1  # no file more
    opener.release(nodes[1], handles[1])
    assert opener.open(node_of(99), FakeHandle()) == 4


@pytest.mark.parametrize("number", [errno.EPERM, errno.ELOOP, errno.EOPNOTSUPP])
def test_a_refusal_that_stays_ends_passthrough_and_is_told_once(
    opener: Opener, caplog: pytest.LogCaptureFixture, number: int
) -> None:
    node, handle = node_of(2), FakeHandle()
    assert opener.open(node, handle) == 1
    opener.kernel.refusal = number
    with caplog.at_level(logging.WARNING):
        assert opener.open(node_of(3), FakeHandle()) == 0
        assert opener.open(node_of(4), FakeHandle()) == 0
    assert not opener.passthrough.active
    assert "the kernel refuses backing files" in opener.passthrough.problem
    assert len(caplog.records) == 1
    assert opener.open(node, FakeHandle()) == 1  # what is open goes on


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EMFILE, errno.ENFILE, errno.ENOMEM])
def test_a_refusal_that_passes_is_one_normal_open(
    opener: Opener, caplog: pytest.LogCaptureFixture, number: int
) -> None:
    opener.kernel.refusal = number
    with caplog.at_level(logging.WARNING):
        assert opener.open(node_of(2), FakeHandle()) == 0
        assert opener.open(node_of(3), FakeHandle()) == 0
    assert (opener.passthrough.active, len(caplog.records)) == (True, 1)
    opener.kernel.refusal = 0
    assert opener.open(node_of(4), FakeHandle()) == 1


def test_nothing_is_registered_before_the_mount_is_open_and_after_it_ended(
    kernel: TinyKernel,
) -> None:
    passthrough = Passthrough(bytes_min=0, files_max=9)
    assert (passthrough.active, passthrough.problem) == (False, "the mount is not open")
    assert passthrough.open(node_of(2), cast(Handle, FakeHandle()), creating=False) == 0
    passthrough.start(DEVICE)
    node = node_of(3)
    assert passthrough.open(node, cast(Handle, FakeHandle()), creating=False) == 1
    passthrough.stop("the mount has ended")
    kernel.files.clear()  # with the session
    passthrough.released(node)
    assert (passthrough.files, node.backing) == (0, 0)
    assert "the mount has ended" in repr(passthrough)


class Sequences(RuleBasedStateMachine):
    """Any sequence of opens, releases, refusals and evictions, of few inodes."""

    def __init__(self) -> None:
        super().__init__()
        self.kernel = TinyKernel()
        self.patch = pytest.MonkeyPatch()
        self.patch.setattr(module.fcntl, "ioctl", self.kernel.ioctl)
        self.opener = Opener(self.kernel)
        self.nodes = [node_of(number) for number in range(2, 8)]
        self.opened: list[tuple[Node, FakeHandle]] = []

    def teardown(self) -> None:
        self.kernel.refusal = 0
        for node, handle in self.opened:
            self.opener.release(node, handle)
        self.patch.undo()
        assert (self.opener.passthrough.files, self.kernel.files) == (0, {})

    @rule(
        index=st.integers(0, 5),
        descriptor=st.none() | st.integers(10, 20),
        size_bytes=st.sampled_from([0, MIB]),
        creating=st.booleans(),
    )
    def open(self, index: int, **given: Any) -> None:
        node = self.nodes[index]
        creating = given.pop("creating") and not node.handles
        handle = FakeHandle(**given)
        self.opener.open(node, handle, creating=creating)
        self.opened.append((node, handle))

    @precondition(lambda self: self.opened)
    @rule(data=st.data())
    def release(self, data: st.DataObject) -> None:
        index = data.draw(st.integers(0, len(self.opened) - 1))
        self.opener.release(*self.opened.pop(index))

    @rule(number=st.sampled_from([0, 0, errno.ENOSPC, errno.EMFILE]))
    def refuse(self, number: int) -> None:
        self.kernel.refusal = number

    @rule()
    def stop_and_start(self) -> None:
        self.opener.passthrough.stop("for a moment")
        self.opener.passthrough.start(DEVICE)

    @invariant()
    def counts_are_right(self) -> None:
        registered = len(self.kernel.files)
        assert registered == self.opener.passthrough.files <= FILES_MAX
        assert registered == sum(bool(node.backing) for node in self.nodes)
        assert all(node.handles or not node.backing for node in self.nodes)


Sequences.TestCase.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
TestSequences = Sequences.TestCase
