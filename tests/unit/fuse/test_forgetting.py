"""The messages that make the kernel forget, as it would read them: from a pipe."""

from __future__ import annotations

import os
import struct
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest
import trio

from shotfs.fuse import forgetting
from shotfs.fuse.forgetting import INC_EPOCH, INVAL_ENTRY, INVAL_INODE, Forgetting
from shotfs.fuse.inodes import Node
from shotfs.vfs.attributes import directory_identity
from shotfs.vfs.waiting import WaitTable

SHOTS = Node(7, "ant/shots", directory_identity("ant/shots"))
FRAME = Node(8, "ant/shots/a.exr", 12345)
OTHER = Node(9, "ant/shotsite", directory_identity("ant/shotsite"))


@dataclass
class Device:
    """Stands for /dev/fuse: takes messages of a server.

    Attributes:
        directory: path that a look-up is under way in.
    """

    reader: int
    writer: int
    directory: str | None = None
    forgetting: Forgetting = field(init=False)

    def __post_init__(self) -> None:
        self.forgetting = Forgetting(lambda directory: directory == self.directory)
        self.forgetting.begin(self.writer)

    def messages(self) -> list[tuple[int, bytes]]:
        """Return code and body of each message that was written."""
        found = []
        try:
            data = os.read(self.reader, 1 << 16)
        except BlockingIOError:
            return []
        while data:
            length, code, unique = struct.unpack_from("=IiQ", data)
            assert unique == 0, "a notification"
            found.append((code, data[16:length]))
            data = data[length:]
        return found


@pytest.fixture
def device() -> Iterator[Device]:
    reader, writer = os.pipe2(os.O_NONBLOCK)
    yield Device(reader, writer)
    os.close(reader)
    os.close(writer)


def _entry(directory: int, name: bytes) -> tuple[int, bytes]:
    return INVAL_ENTRY, struct.pack("=QII", directory, len(name), 0) + name + b"\0"


async def test_names_are_dropped_one_by_one(device: Device) -> None:
    await device.forgetting.forget_names([(SHOTS, "a.exr"), (OTHER, "ü")])
    assert device.messages() == [_entry(7, b"a.exr"), _entry(9, "ü".encode())]


async def test_s07_beside_a_look_up_in_the_directory_an_epoch_is_begun(device: Device) -> None:
    device.directory = "ant/shots"
    await device.forgetting.forget_names([(OTHER, "b"), (SHOTS, "a.exr")])
    assert device.messages() == [(INC_EPOCH, b"")]
    await device.forgetting.forget_names([(OTHER, "b")])
    assert device.messages() == [_entry(9, b"b")]


async def test_many_names_are_forgotten_by_an_epoch(device: Device) -> None:
    names = [(SHOTS, str(index)) for index in range(forgetting.NAMES_MAX + 1)]
    await device.forgetting.forget_names(names)
    assert device.messages() == [(INC_EPOCH, b"")]
    await device.forgetting.forget_names([])
    assert device.messages() == []


async def test_s07_a_directory_that_somebody_holds_is_not_waited_for(
    device: Device, monkeypatch: pytest.MonkeyPatch, autojump_clock: trio.testing.MockClock
) -> None:
    released = threading.Event()

    def drop(descriptor: int, names: object) -> None:
        assert released.wait(60)

    monkeypatch.setattr(forgetting, "_drop_names", drop)
    try:
        await device.forgetting.forget_names([(SHOTS, "a.exr")])
    finally:
        released.set()
    assert device.messages() == [(INC_EPOCH, b"")]


async def test_attributes_are_dropped_of_a_directory_and_what_lies_below(device: Device) -> None:
    nodes = [SHOTS, FRAME, OTHER]
    await device.forgetting.forget_attributes(nodes, "ant/shots", files=False)
    assert device.messages() == [(INVAL_INODE, struct.pack("=Qqq", 7, -1, 0))]
    await device.forgetting.forget_attributes(nodes, "ant/shots", files=True)
    assert [struct.unpack("=Qqq", body) for _, body in device.messages()] == [
        (7, -1, 0),
        (8, -1, 0),
    ]


async def test_pages_are_dropped_from_the_beginning(device: Device) -> None:
    await device.forgetting.drop_pages(FRAME)
    assert device.messages() == [(INVAL_INODE, struct.pack("=Qqq", 8, 0, 0))]


async def test_after_the_end_of_a_session_nothing_is_written(device: Device) -> None:
    device.forgetting.end()
    await device.forgetting.forget_show("ant")
    await device.forgetting.forget_names([(SHOTS, "a.exr")])
    await device.forgetting.drop_pages(FRAME)
    assert device.messages() == []


async def test_a_kernel_that_refuses_a_message_disturbs_nobody(
    device: Device, caplog: pytest.LogCaptureFixture
) -> None:
    device.forgetting.begin(device.reader)  # which cannot be written to
    await device.forgetting.forget_names([(SHOTS, "a.exr")])
    await device.forgetting.forget_show("ant")
    await device.forgetting.drop_pages(FRAME)
    assert len(caplog.records) == 3
    assert device.messages() == []


async def test_look_ups_are_found_by_their_directory() -> None:
    table = WaitTable()
    entry = table.begin("lookup", "ant/shots/a.exr")
    table.begin("open", "ant/library/a.exr")
    found = [name for name in ("", "ant", "ant/shots", "ant/library") if table.looks_in(name)]
    assert found == ["ant/shots"]
    table.end(entry)
    assert not table.looks_in("ant/shots")
    table.begin("lookup", "ant")
    assert table.looks_in("")
