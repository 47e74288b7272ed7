"""Which listings the kernel may answer for from its pages: never those of two at once."""

from __future__ import annotations

from typing import Any

import pyfuse3
import pytest

from shotfs.fuse.file_handles import FileHandles
from shotfs.fuse.inodes import InodeTable, Node
from shotfs.fuse.listings import Listings
from shotfs.namespace.listing import ListingStamp
from shotfs.vfs import Attributes, Caller, Kind
from shotfs.vfs.attributes import directory_identity
from shotfs.vfs.directories import SnapshotStamp

CALLER = Caller(uid=1, gid=1, pid=1)


class Snapshot:
    """Some names, all of files."""

    path = "ant"

    def __init__(self, names: list[str], stamp: SnapshotStamp | None) -> None:
        self.names = names
        self.stamp = stamp

    def __len__(self) -> int:
        return len(self.names)

    def is_prepared(self, _: int) -> bool:
        return True

    def entry(self, index: int) -> tuple[str, Attributes]:
        return self.names[index], Attributes(1000 + index, Kind.FILE, 0o444, 0, 0, 1, 0, 0, 60.0)


class FileSystem:
    """One directory whose listing a test changes."""

    def __init__(self) -> None:
        self.listed = 0
        self.change(1)

    def change(self, number: int | None) -> None:
        self.stamp = None if number is None else SnapshotStamp(0, ListingStamp(number, 1e9))

    def unchanged(self, _: str, stamp: SnapshotStamp) -> bool:
        return stamp == self.stamp

    async def snapshot(self, *_: Any) -> Any:
        self.listed += 1
        return Snapshot(["a", "b", "c"], self.stamp)


class Numbers(FileHandles):
    """Notes what the kernel is told."""

    def __init__(self) -> None:
        super().__init__()
        self.told: list[str] = []

    def of_directory(self, *, cached: bool, kept: bool) -> int:
        self.told.append("kept" if cached and kept else "cached" if cached else "neither")
        return super().of_directory(cached=cached, kept=kept)


class World:
    def __init__(self, sent_max: int) -> None:
        self.fs = FileSystem()
        self.inodes = InodeTable(directory_identity(""))
        filesystem: Any = self.fs
        self.listings = Listings(filesystem, self.inodes, deadline_s=10)
        self.node = Node(7, "ant", directory_identity("ant"))
        self.numbers = Numbers()
        self.sent: list[str] = []
        self.sent_max = sent_max

    async def open(self) -> int:
        return await self.listings.open(self.node, CALLER, self.numbers)

    async def read(self, handle: int, start: int = 0) -> list[str]:
        self.sent = []
        token: Any = None
        await self.listings.read(handle, start, token)
        return self.sent

    async def list(self) -> None:
        handle = await self.open()
        await self.read(handle)
        self.listings.close(handle)

    def reply(self, _: object, name: bytes, __: object, ___: int) -> bool:
        if len(self.sent) == self.sent_max:
            return False
        self.sent.append(name.decode())
        return True


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> World:
    made = World(sent_max=2)
    monkeypatch.setattr(pyfuse3, "readdir_reply", made.reply)
    return made


async def test_a_listing_is_kept_once_its_beginning_was_sent(world: World) -> None:
    first = await world.open()
    await world.open()
    assert world.numbers.told == ["cached", "cached"], "the kernel may have nothing yet"
    await world.read(first)
    await world.open()
    assert world.numbers.told[-1] == "kept"
    assert world.fs.listed == 2, "what the kernel has is not listed again"


async def test_a_changed_directory_is_not_kept(world: World) -> None:
    await world.list()
    world.fs.change(2)
    await world.list()
    await world.list()
    assert world.numbers.told == ["cached", "cached", "kept"]


async def test_an_open_listing_of_before_keeps_others_out_of_the_pages(world: World) -> None:
    old = await world.open()
    world.fs.change(2)
    await world.list()
    await world.read(old)
    await world.list()
    assert world.numbers.told == ["cached", "neither", "neither"]
    world.listings.close(old)
    await world.list()
    await world.list()
    assert world.numbers.told[3:] == ["cached", "kept"]


async def test_what_nobody_can_tell_changes_of_is_never_kept(world: World) -> None:
    await world.list()
    world.fs.change(None)
    await world.list()
    await world.list()
    assert world.numbers.told == ["cached", "neither", "neither"]


async def test_a_kept_listing_is_made_when_the_kernel_asks_for_it(world: World) -> None:
    await world.list()
    kept = await world.open()
    assert await world.read(kept) == ["a", "b"]
    assert await world.read(kept, 2) == ["c"]
    assert world.fs.listed == 2


async def test_pages_of_two_listings_are_not_kept(world: World) -> None:
    await world.list()
    kept = await world.open()
    world.fs.change(2)
    await world.read(kept)
    await world.list()
    world.listings.close(kept)
    await world.list()
    await world.list()
    assert world.numbers.told == ["cached", "kept", "neither", "cached", "kept"]


async def test_a_directory_that_moved_is_not_kept(world: World) -> None:
    world.inodes._nodes[7] = world.node
    world.node.number = world.inodes.number(world.node.identity)
    world.inodes._nodes[world.node.number] = world.node
    await world.list()
    world.inodes.moved("ant", "bee", world.node.identity, directory=True)
    await world.list()
    assert world.numbers.told == ["cached", "cached"]


async def test_only_what_was_sent_counts_as_looked_up(world: World) -> None:
    handle = await world.open()
    await world.read(handle)
    assert sorted(node.path for node in world.inodes if node.path) == ["ant/a", "ant/b"]
    await world.read(handle, 2)
    assert sorted(node.path for node in world.inodes if node.path) == ["ant/a", "ant/b", "ant/c"]
    assert len(world.listings) == 1
    world.listings.close(handle)
    world.listings.close(handle)
    assert len(world.listings) == 0
