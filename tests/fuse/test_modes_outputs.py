"""Outputs in every mode of the kernel (`tests/fuse/modes.py`): written through the mount or by the
kernel itself, they behave as on a disk (S15, S17), and what is published is what was written (S5).

`notes` is never sealed, frames are sealed and published once they are closed.
"""

from __future__ import annotations

import errno
import fcntl
import mmap
import os
import random
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path

import pytest

from tests.fuse.node import ShotfsNode, wait_until
from tests.fuse.writing import Model, step

pytestmark = pytest.mark.kernel

MIB = 1 << 20


_numbers = count(1)


@pytest.fixture(scope="module")
def origin(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The origin of `shared`."""
    return tmp_path_factory.mktemp("origin")


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory, origin: Path) -> Iterator[ShotfsNode]:
    """One mount for all tests here: mounting takes longer than most of them."""
    node = ShotfsNode(tmp_path_factory.mktemp("modes") / "node", f"file://{origin}")
    try:
        yield node.mount()
    finally:
        node.clear()


@pytest.fixture
def node(shared: ShotfsNode) -> Iterator[ShotfsNode]:
    """A mounted node; nothing is open before and after."""
    yield shared
    _wait_closed(shared)


@pytest.fixture
def notes(node: ShotfsNode) -> Path:
    """A new directory whose files stay local."""
    path = node.show / "notes" / str(next(_numbers))
    path.mkdir(parents=True)
    return path


@pytest.fixture
def frames(node: ShotfsNode) -> Path:
    """A new directory whose files are published when they are closed."""
    path = node.show / f"render/xy_1_100_030_00_v{next(_numbers):03}"
    path.mkdir()
    return path


def _kernel(node: ShotfsNode, name: str) -> int:
    return int(node.status()["kernel"][name])


def _lent(node: ShotfsNode) -> int:
    return int(node.status()["spool"]["lent"])


def _wait_closed(node: ShotfsNode) -> None:
    """Wait until the service heard of every close, and see that nothing is left open or lent."""
    wait_until(lambda: _kernel(node, "open_files") == 0)
    assert _lent(node) == 0
    if not node.mode.native:  # it keeps published files for their next open
        assert _kernel(node, "passthrough_files") == 0


@contextmanager
def _created(path: Path, flags: int = 0) -> Iterator[int]:
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | flags, 0o644)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _check_seen(path: Path, descriptor: int, content: bytes) -> None:
    """Compare everything that can be asked about *path* with *content*."""
    assert os.fstat(descriptor).st_size == len(content)
    assert path.stat().st_size == len(content)
    (entry,) = [one for one in os.scandir(path.parent) if one.name == path.name]
    assert entry.stat().st_size == len(content)
    assert entry.stat().st_mtime_ns == path.stat().st_mtime_ns
    assert entry.inode() == path.stat().st_ino == os.fstat(descriptor).st_ino
    assert path.read_bytes() == content
    assert os.pread(descriptor, len(content) + 1, 0) == content
    if content:
        with mmap.mmap(descriptor, 0, prot=mmap.PROT_READ) as mapped:
            assert mapped[:] == content


def _published(node: ShotfsNode, origin: Path, path: Path) -> bytes:
    """Wait until the output is in the origin, and return what is there."""
    name = str(path.relative_to(node.mountpoint))
    wait_until(lambda: all(item["path"] != name for item in node.queue()))
    return (origin / path.relative_to(node.show)).read_bytes()


def test_a_new_output_is_written_in_the_mode_of_the_mount_and_counted_back(
    node: ShotfsNode, frames: Path, origin: Path
) -> None:
    content = os.urandom(2 * MIB)
    path = frames / "beauty.1001.exr"
    with _created(path) as descriptor:
        assert _lent(node) == int(node.mode.passthrough)
        if not node.mode.native:
            assert _kernel(node, "passthrough_files") == _lent(node)
        assert os.write(descriptor, content) == len(content)
    _wait_closed(node)
    assert _published(node, origin, path) == content
    assert path.read_bytes() == content


def test_s15_stat_listing_and_content_agree_while_a_file_is_written_and_afterwards(
    node: ShotfsNode, notes: Path
) -> None:
    path = notes / "today.txt"
    content = b""
    with _created(path) as descriptor:
        _check_seen(path, descriptor, content)
        for size in (1, 4095, 70_000, MIB + 3):
            part = os.urandom(size)
            os.write(descriptor, part)
            content += part
            _check_seen(path, descriptor, content)
    with open(path, "rb") as reader:
        _check_seen(path, reader.fileno(), content)
    _wait_closed(node)
    with open(path, "rb") as reader:
        _check_seen(path, reader.fileno(), content)
    _wait_closed(node)


def test_s15_second_opens_of_every_kind_share_what_is_being_written(
    node: ShotfsNode, notes: Path
) -> None:
    path = notes / "shared.bin"
    with _created(path) as first:
        os.write(first, b"0123456789" * 1000)
        reader, writer, appender = (
            os.open(path, flags) for flags in (os.O_RDONLY, os.O_RDWR, os.O_WRONLY | os.O_APPEND)
        )
        try:
            os.pwrite(writer, b"writer", 0)
            os.write(appender, b"appended")
            assert os.pread(first, 6, 0) == os.pread(reader, 6, 0) == b"writer"
            assert os.pread(reader, 100, 10_000) == b"appended"
            os.ftruncate(writer, 5000)
            os.write(appender, b"again")
            assert os.fstat(reader).st_size == path.stat().st_size == 5005
            truncating = os.open(path, os.O_WRONLY | os.O_TRUNC)
            assert os.fstat(reader).st_size == 0
            os.write(truncating, b"new")
            os.close(truncating)
            assert os.pread(reader, 100, 0) == b"new"
        finally:
            for descriptor in (reader, writer, appender):
                os.close(descriptor)
        os.pwrite(first, b"!", 3)
    _wait_closed(node)
    assert path.read_bytes() == b"new!"


def test_s17_exclusive_create_meets_a_file_that_is_being_written(
    node: ShotfsNode, notes: Path
) -> None:
    path = notes / "lock"
    begin = threading.Barrier(8)
    made: list[int] = []
    refused: list[int | None] = []

    def work() -> None:
        begin.wait()
        try:
            made.append(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL))
        except OSError as error:
            refused.append(error.errno)

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (len(made), refused) == (1, [errno.EEXIST] * 7)
    os.close(made[0])
    _wait_closed(node)


def test_s17_o_append_never_overwrites_among_eight_writers(node: ShotfsNode, notes: Path) -> None:
    path = notes / "log.txt"
    begin = threading.Barrier(8)

    def work(number: int) -> None:
        begin.wait()
        descriptor = os.open(path, os.O_WRONLY | os.O_APPEND)
        try:
            for _ in range(50):
                os.write(descriptor, bytes([number]) * 100)
        finally:
            os.close(descriptor)

    with _created(path, os.O_APPEND):
        threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        content = path.read_bytes()
    _wait_closed(node)
    assert len(content) == 8 * 50 * 100
    rows = sorted(content[at : at + 100] for at in range(0, len(content), 100))
    assert rows == sorted(bytes([number]) * 100 for number in range(8) for _ in range(50))


def test_s17_truncate_by_name_and_by_handle_while_a_file_is_written(
    node: ShotfsNode, notes: Path
) -> None:
    path = notes / "cut.bin"
    content = os.urandom(MIB)
    with _created(path) as descriptor:
        os.write(descriptor, content)
        os.truncate(path, 300_000)
        _check_seen(path, descriptor, content[:300_000])
        os.ftruncate(descriptor, 500_000)
        _check_seen(path, descriptor, content[:300_000] + bytes(200_000))
        os.pwrite(descriptor, b"end", 600_000)
        whole = content[:300_000] + bytes(300_000) + b"end"
        _check_seen(path, descriptor, whole)
        os.chmod(path, 0o600)
        os.utime(path, ns=(5_000_000_000, 7_000_000_000))
        assert path.stat().st_mtime_ns == os.fstat(descriptor).st_mtime_ns == 7_000_000_000
    _wait_closed(node)
    assert path.read_bytes() == whole


def test_s14_an_output_that_is_unlinked_while_it_is_written_leaves_nothing(
    node: ShotfsNode, frames: Path, origin: Path
) -> None:
    path = frames / "beauty.1001.exr"
    with _created(path) as descriptor:
        os.write(descriptor, b"first")
        os.unlink(path)
        os.write(descriptor, b" second")
        assert os.pread(descriptor, 100, 0) == b"first second"
        assert os.fstat(descriptor).st_size == 12
        assert not path.exists()
        with _created(path) as other:
            os.write(other, b"another file")
            assert os.pread(descriptor, 100, 0) == b"first second"
    _wait_closed(node)
    assert _published(node, origin, path) == b"another file"
    assert os.listdir(frames) == [path.name]


def test_s13_an_output_that_is_renamed_while_it_is_written_is_published_whole(
    node: ShotfsNode, frames: Path, origin: Path
) -> None:
    scratch, path = frames / "beauty.1001.exr.tmp", frames / "beauty.1001.exr"
    content = os.urandom(MIB)
    with _created(scratch) as descriptor:
        os.write(descriptor, content)
        os.rename(scratch, path)
        os.write(descriptor, b"the end")
        assert path.stat().st_size == len(content) + 7
    _wait_closed(node)
    assert _published(node, origin, path) == content + b"the end"
    assert os.listdir(frames) == [path.name]


def test_s17_shared_maps_of_several_openers_are_one_and_reach_the_file(
    node: ShotfsNode, notes: Path
) -> None:
    path = notes / "map.bin"
    with _created(path) as descriptor:
        os.ftruncate(descriptor, 64 * 1024)
        with (
            open(path, "r+b") as other,
            mmap.mmap(descriptor, 0) as one,
            mmap.mmap(other.fileno(), 0) as two,
        ):
            one[100:105] = b"first"
            two[40_000:40_006] = b"second"
            assert two[100:105] == b"first"
            assert one[40_000:40_006] == b"second"
            assert os.pread(descriptor, 6, 40_000) == b"second" or node.mode.name != "passthrough"
            one.flush()
            two.flush()
            os.fsync(descriptor)
    _wait_closed(node)
    content = path.read_bytes()
    assert (content[100:105], content[40_000:40_006]) == (b"first", b"second")
    assert len(content) == 64 * 1024


def test_s05_seal_sees_what_a_map_wrote_after_close(
    node: ShotfsNode, frames: Path, origin: Path
) -> None:
    path = frames / "beauty.1001.exr"
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT)
    os.write(descriptor, bytes(256 * 1024))
    mapped = mmap.mmap(descriptor, 0)
    os.close(descriptor)  # mmap keeps a descriptor of its own: this is a close, and not the last
    mapped[200_000:200_006] = b"mapped"
    mapped.close()
    _wait_closed(node)
    assert _published(node, origin, path) == (
        bytes(200_000) + b"mapped" + bytes(256 * 1024 - 200_006)
    )


def test_s05_what_was_synced_and_closed_survives_a_kill(
    node: ShotfsNode, frames: Path, origin: Path
) -> None:
    content = os.urandom(MIB + 77)
    closed, unclosed = frames / "beauty.1001.exr", frames / "beauty.1002.exr"
    half = os.open(unclosed, os.O_WRONLY | os.O_CREAT)
    os.write(half, content)
    os.fsync(half)
    with _created(closed) as descriptor:
        for start in range(0, len(content), 100_000):
            os.write(descriptor, content[start : start + 100_000])
    node.kill()
    with pytest.raises(OSError, match=r"not connected|connection abort"):
        os.close(half)
    node.mount()
    assert _published(node, origin, closed) == closed.read_bytes() == content
    assert os.listdir(origin / frames.relative_to(node.show)) == [closed.name]
    assert not unclosed.exists()


def test_s17_locks_exclude_while_a_file_is_written(node: ShotfsNode, notes: Path) -> None:
    path = notes / "locked.bin"
    with _created(path) as first, open(path, "r+b") as second:
        os.write(first, b"content")
        fcntl.flock(first, fcntl.LOCK_EX)
        with pytest.raises(BlockingIOError):
            fcntl.flock(second, fcntl.LOCK_EX | fcntl.LOCK_NB)
        fcntl.flock(first, fcntl.LOCK_UN)
        fcntl.flock(second, fcntl.LOCK_EX | fcntl.LOCK_NB)
    _wait_closed(node)


def test_a_file_that_was_closed_is_written_again_in_any_order_of_opens(
    node: ShotfsNode, notes: Path
) -> None:
    path = notes / "again.bin"
    with _created(path) as first:
        os.write(first, b"one")
    with open(path, "ab") as second:  # the close of the first may not have been heard of yet
        second.write(b" two")
        second.flush()
        with open(path, "rb") as reader, open(path, "r+b") as third:
            third.write(b"ONE")
            third.flush()
            assert reader.read() == b"ONE two"
    _wait_closed(node)
    node.kill()
    node.mount()
    assert path.read_bytes() == b"ONE two"


def test_s05_random_writes_truncates_maps_and_reopens_are_what_a_model_says(
    node: ShotfsNode, frames: Path, notes: Path, origin: Path
) -> None:
    chance = random.Random(15)
    for number in range(4):
        directory = frames if number % 2 else notes
        path = directory / f"beauty.{1001 + number}.exr"
        with _created(path) as descriptor:
            model = Model(path, descriptor)
            for _ in range(150):
                step(model, chance)
            model.compare()
            model.close_others()
        content = bytes(model.content)
        _wait_closed(node)
        assert path.read_bytes() == content
        if directory == frames:
            assert _published(node, origin, path) == content


def test_s17_outputs_of_16_threads_at_once_are_all_published_right(
    node: ShotfsNode, frames: Path, origin: Path
) -> None:
    contents = {f"beauty.{1001 + number}.exr": os.urandom(20_000) for number in range(96)}
    names = sorted(contents)
    wrong: list[object] = []

    def work(first: int) -> None:
        for name in names[first::16]:
            try:
                scratch = frames / f"{name}.tmp"
                with _created(scratch) as descriptor:
                    os.write(descriptor, contents[name])
                os.rename(scratch, frames / name)
                if (frames / name).read_bytes() != contents[name]:
                    wrong.append(name)
            except OSError as error:
                wrong.append(error)

    threads = [threading.Thread(target=work, args=(first,)) for first in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
    _wait_closed(node)
    assert {name: _published(node, origin, frames / name) for name in names} == contents
    assert sorted(os.listdir(frames)) == names
