"""What the file system tells of opens: who, what, and which bytes."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import pytest

from shotfs.prewarm.manifest import Subject
from shotfs.prewarm.watching import Created, Opened, Reader, ReadNotes, Watches, WholeFile
from shotfs.vfs import Caller
from shotfs.vfs.handles import PublishedHandle
from tests.unit.vfs.test_askers import process
from tests.unit.vfs.world import World

OAK = "ant/library/oak.png"
NOTE = "ant/notes/a.txt"


@dataclass
class Notes:
    """Of one open."""

    spans: list[tuple[int, int]] = field(default_factory=list)
    closes: int = 0

    def read(self, start: int, stop: int, waited_s: float) -> None:
        assert waited_s >= 0
        self.spans.append((start, stop))

    def closed(self) -> None:
        self.closes += 1


@dataclass
class Watch:
    """Remembers what it is told."""

    wants: bool = True
    opens: list[Opened] = field(default_factory=list)
    again: list[tuple[Reader, str, float]] = field(default_factory=list)
    outputs: list[Created] = field(default_factory=list)
    notes: list[Notes] = field(default_factory=list)
    changed: Callable[[], None] = lambda: None

    def opened(self, opened: Opened) -> ReadNotes | None:
        self.opens.append(opened)
        self.notes.append(Notes())
        return self.notes[-1]

    def opened_again(
        self, reader: Reader, files: Sequence[WholeFile], at_s: Sequence[float]
    ) -> None:
        for file, when in zip(files, at_s, strict=True):
            self.again.append((reader, file.path, when))

    def tell_changes(self, changed: Callable[[], None]) -> None:
        self.changed = changed

    def created(self, created: Created) -> None:
        self.outputs.append(created)


@pytest.fixture
def watch(world: World) -> Watch:
    one = Watch()
    _watch_with(world, one)
    return one


def _watch_with(world: World, *watches: Watch) -> None:
    world.fs._watch = world.fs._files._watch = Watches(watches)


async def test_an_open_is_told_with_the_work_of_its_process_and_its_reads(
    world: World, watch: Watch
) -> None:
    revision = world.origin.add("library/oak.png", b"0123456789")
    environment = {"SHOTFS_JOB": "j7", "SHOTFS_SHOT": "s10", "SHOTFS_FRAME": "1001"}
    with process(**environment) as child:
        caller = Caller(os.getuid(), os.getgid(), child.pid)
        handle = await world.fs.open(OAK, os.O_RDONLY, caller=caller)
    await handle.read(2, 3)
    assert handle.read_now(10, 5) == b""
    assert isinstance(handle, PublishedHandle)
    await handle.cached.complete()
    await handle.read(8, 100)
    await handle.close()
    await handle.close()
    (opened,) = watch.opens
    assert opened.path == OAK
    assert opened.revision == revision
    assert opened.resolution == world.fs._finder.resolve(OAK)
    assert opened.reader.pid == child.pid
    assert opened.reader.subject == Subject(job="j7", shot="s10", frame="1001")
    assert not opened.warm
    assert watch.notes[0].spans == [(2, 5), (8, 10)]
    assert watch.notes[0].closes == 1


async def test_an_output_is_told_when_it_is_created_and_when_it_is_opened_to_be_written(
    world: World, watch: Watch
) -> None:
    caller = Caller(os.getuid(), os.getgid(), os.getpid())
    _, handle = await world.fs.create(NOTE, 0o644, os.O_WRONLY | os.O_CREAT, caller)
    again = await world.fs.open(NOTE, os.O_WRONLY, caller=caller)
    reading = await world.fs.open(NOTE, os.O_RDONLY, caller=caller)
    for one in (handle, again, reading):
        await one.close()
    assert [one.path for one in watch.outputs] == [NOTE, NOTE]
    assert watch.outputs[0].reader.pid == os.getpid()
    assert watch.opens == []


async def test_whoever_wants_nothing_is_told_nothing(world: World) -> None:
    world.origin.add("library/oak.png", b"oak")
    silent, loud = Watch(wants=False), Watch()
    caller = Caller(0, 0, os.getpid())
    _watch_with(world, silent)
    await (await world.fs.open(OAK, os.O_RDONLY, caller=caller)).close()
    _watch_with(world, silent, loud)
    handle = await world.fs.open(OAK, os.O_RDONLY, caller=caller)
    assert isinstance(handle, PublishedHandle)
    file = world.fs.whole_file(OAK, handle)
    assert file is not None
    await world.fs.opened_again(os.getpid(), [file], [0.5])
    await handle.close()
    assert not silent.opens
    assert not silent.again
    assert [one.path for one in loud.opens] == [OAK]
    assert [path for _, path, _ in loud.again] == [OAK]
    silent.wants, loud.wants = True, False
    assert not silent.opens, "nobody was told of the change yet"
    silent.changed()
    await (await world.fs.open(OAK, os.O_RDONLY, caller=caller)).close()
    assert (len(silent.opens), len(loud.opens)) == (1, 1)


async def test_two_who_watch_are_both_told_of_reads(world: World) -> None:
    world.origin.add("library/oak.png", b"oak")
    one, other = Watch(), Watch()
    _watch_with(world, one, other)
    handle = await world.fs.open(OAK, os.O_RDONLY, caller=Caller(0, 0, os.getpid()))
    await handle.read(0, 3)
    await handle.close()
    for watch in (one, other):
        assert watch.notes[0].spans == [(0, 3)]
        assert watch.notes[0].closes == 1


async def test_opens_of_the_native_thread_are_told_with_their_time_and_their_process(
    world: World, watch: Watch
) -> None:
    world.origin.add("library/oak.png", b"oak")
    with process(SHOTFS_JOB="j7") as child:
        caller = Caller(os.getuid(), os.getgid(), child.pid)
        handle = await world.fs.open(OAK, os.O_RDONLY, caller=caller)
    assert isinstance(handle, PublishedHandle)
    # It has ended by now, but it was looked at while it lived.
    file = world.fs.whole_file(OAK, handle)
    assert file is not None
    assert world.fs.whole_file("ant/nowhere", handle) is None
    await world.fs.opened_again(child.pid, [file, file], [0.25, 0.5])
    await handle.close()
    assert [(reader.subject.job, path, when) for reader, path, when in watch.again] == [
        ("j7", OAK, 0.25),
        ("j7", OAK, 0.5),
    ]


async def test_what_the_service_itself_opens_is_nobodys(world: World, watch: Watch) -> None:
    world.origin.add("library/oak.png", b"oak")
    handle = await world.fs.open(OAK, os.O_RDONLY)
    await handle.read(0, 3)
    await handle.close()
    assert watch.opens == []
