"""Published files in every mode of the kernel (`tests/fuse/modes.py`): one inode, one mode.

The kernel refuses an open that would give an inode a second mode (EIO), so each test has files open
in one state while something happens to them, opens them again in every way that there is, and
compares bytes. What passthrough files the service counts tells which mode it was.
"""

from __future__ import annotations

import errno
import mmap
import os
import shutil
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from itertools import count
from pathlib import Path

import pytest
import xxhash

from shotfs.control.client import Client
from tests.faults.field import Reader
from tests.fuse.conftest import NewNode, gcs_settings
from tests.fuse.node import ShotfsNode, wait_until
from tests.servers.gcs import Fault, GcsServer
from tests.servers.handles import GcsBucket

pytestmark = [pytest.mark.kernel, pytest.mark.published]

MIB = 1 << 20
SIZE = 3 * MIB + 12_345
RANGES = "[network]\nrange_bytes = 1048576\n"


_numbers = count(1)


@pytest.fixture(scope="module")
def bucket(gcs_server: GcsServer) -> Iterator[GcsBucket]:
    """The bucket of `shared`."""
    name = f"modes-{os.getpid()}"
    gcs_server.store.create_bucket(name)
    yield GcsBucket(gcs_server.endpoint, name, gcs_server)
    gcs_server.store.delete_bucket(name, force=True)


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory, bucket: GcsBucket) -> Iterator[ShotfsNode]:
    """One mount for all tests here: mounting takes longer than most of them."""
    node = ShotfsNode(
        tmp_path_factory.mktemp("modes") / "node",
        f"gs://{bucket.bucket}/ant",
        settings=RANGES + gcs_settings(bucket),
    )
    try:
        yield node.mount()
    finally:
        node.clear()


@pytest.fixture
def ranged(shared: ShotfsNode, bucket: GcsBucket) -> Iterator[ShotfsNode]:
    """A mounted node that fetches files in several requests; nothing is open before and after."""
    yield shared
    bucket.server.faults.clear()
    _wait_idle(shared)


@pytest.fixture
def gcs(bucket: GcsBucket) -> GcsBucket:
    """The bucket of `ranged`."""
    return bucket


def _warm(
    node: ShotfsNode, gcs: GcsBucket, name: str, size_bytes: int = SIZE
) -> tuple[Path, bytes]:
    """Put a file into the origin and into the cache, below a directory of its own."""
    content = os.urandom(size_bytes)
    name = f"{next(_numbers)}/{name}"
    gcs.put(f"ant/library/{name}", content)
    path = node.show / "library" / name
    assert path.read_bytes() == content
    wait_until(lambda: node.xattr(path, "state") == "cached")
    _wait_closed(node)
    return path, content


def _kernel(node: ShotfsNode, name: str) -> int:
    return int(node.status()["kernel"][name])


def _wait_closed(node: ShotfsNode) -> None:
    """Wait until the service heard of every close: the kernel does not wait for that."""
    if not node.mode.writable:
        return  # it hears of none
    wait_until(lambda: _kernel(node, "open_files") == 0)
    if not node.mode.native:
        assert _kernel(node, "passthrough_files") == 0


def _wait_idle(node: ShotfsNode) -> None:
    """Empty the cache; then nothing is open, kept for the next open, or read by the kernel."""

    def idle() -> bool:
        with Client(node.socket) as client:
            client.evict(None)
            kernel = client.status()["kernel"]
            kept = kernel["native"]["files"] if node.mode.native else 0
            return (kept, kernel["passthrough_files"], client.cache_stats()["files"]) == (0, 0, 0)

    _wait_closed(node)
    wait_until(idle)


def _check_backed(node: ShotfsNode, count: int) -> None:
    """Check how many files the kernel reads by itself: *count* in modes that do that at all."""
    if not node.mode.native:  # it keeps some that nobody has open
        assert _kernel(node, "passthrough_files") == (count if node.mode.passthrough else 0)


def _fresh(descriptor: int, size_bytes: int = SIZE + MIB) -> bytes:
    """Read a file without the pages that the kernel has of it."""
    os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
    return _read(descriptor, size_bytes)


def _read(descriptor: int, size_bytes: int = SIZE + MIB) -> bytes:
    parts = []
    offset = 0
    while part := os.pread(descriptor, size_bytes, offset):
        parts.append(part)
        offset += len(part)
    return b"".join(parts)


def _mapped(descriptor: int, flags: int = mmap.MAP_SHARED) -> bytes:
    with mmap.mmap(descriptor, 0, flags=flags, prot=mmap.PROT_READ) as mapped:
        return mapped[:]


@contextmanager
def _opened(path: Path, flags: int = os.O_RDONLY) -> Iterator[int]:
    descriptor = os.open(path, flags)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _check_every_kind_of_open(path: Path, content: bytes) -> None:
    """Open *path* in each way in which applications read, and compare what they get."""
    for flags in (0, os.O_NONBLOCK, os.O_NOATIME, os.O_NOFOLLOW | os.O_CLOEXEC):
        with _opened(path, os.O_RDONLY | flags) as descriptor:
            assert _read(descriptor) == content
    with _opened(path) as descriptor:
        assert _mapped(descriptor) == content
        assert _mapped(descriptor, mmap.MAP_PRIVATE) == content
    assert path.read_bytes() == content


def test_a_whole_file_opens_in_the_mode_of_the_mount_and_is_counted_back(
    ranged: ShotfsNode, gcs: GcsBucket
) -> None:
    path, content = _warm(ranged, gcs, "oak.png")
    before = _kernel(ranged, "passthrough_opens")
    with _opened(path) as one, _opened(path) as other:
        _check_backed(ranged, 1)
        assert _read(one) == _fresh(other) == content
        assert os.fstat(one).st_size == path.stat().st_size == len(content)
    _wait_closed(ranged)
    if not ranged.mode.native:  # whose opens nobody counts one by one
        opens = _kernel(ranged, "passthrough_opens") - before
        assert opens == (2 if ranged.mode.passthrough else 0)


def test_second_opens_of_every_kind_while_the_first_is_open(
    ranged: ShotfsNode, gcs: GcsBucket
) -> None:
    path, content = _warm(ranged, gcs, "oak.png")
    with _opened(path) as first:
        assert os.pread(first, 10, 0) == content[:10]
        _check_every_kind_of_open(path, content)
        _check_backed(ranged, 1)
        assert _fresh(first) == content
    _wait_closed(ranged)
    _check_every_kind_of_open(path, content)


def test_a_file_that_becomes_whole_while_it_is_open_stays_in_its_mode(
    ranged: ShotfsNode, gcs: GcsBucket
) -> None:
    content = os.urandom(SIZE)
    gcs.put("ant/library/movie.mov", content)
    path = ranged.show / "library/movie.mov"
    stall = gcs.fault(
        Fault("stall_reply", operation="read", after_bytes=MIB // 2, times=None, bucket=gcs.bucket)
    )
    with _opened(path) as streaming:
        with Reader(path) as reader:
            stall.wait_hits()
            with _opened(path) as second:
                _check_backed(ranged, 0)
                stall.release()
                assert reader.seen().data == content
                wait_until(lambda: ranged.xattr(path, "state") == "cached")
                # Whole by now, and open from before: every open has the mode of the first.
                _check_every_kind_of_open(path, content)
                _check_backed(ranged, 0)
                assert _fresh(second) == content
        assert _fresh(streaming) == content
        _check_every_kind_of_open(path, content)
        _check_backed(ranged, 0)
    _wait_closed(ranged)
    with _opened(path) as again:
        _check_backed(ranged, 1)
        assert _fresh(again) == content
        _check_every_kind_of_open(path, content)
    _wait_closed(ranged)


def test_s11_an_open_file_is_not_evicted_and_one_that_is_closed_is(
    ranged: ShotfsNode, gcs: GcsBucket
) -> None:
    path, content = _warm(ranged, gcs, "oak.png")
    with _opened(path) as held:
        _check_backed(ranged, 1)
        ranged.command("cache", "evict", "--all")
        if ranged.mode.writable:
            assert ranged.xattr(path, "state") == "cached"
        assert _fresh(held) == content
        with _opened(path) as second:
            assert _fresh(second) == content
    _wait_closed(ranged)
    if not ranged.mode.writable:
        wait_until(lambda: ranged.status()["cache"]["files"] == 0 or _evicted(ranged))
    else:
        ranged.command("cache", "evict", "--all")
        assert ranged.xattr(path, "state") == "remote"
    with _opened(path) as again:
        assert _fresh(again) == content
    _wait_closed(ranged)


def _evicted(node: ShotfsNode) -> bool:
    """Evict what nobody reads any more, and say whether that was everything."""
    node.command("cache", "evict", "--all")
    return bool(node.status()["cache"]["files"] == 0)


def test_16_threads_that_open_one_file_at_once_read_the_same(
    ranged: ShotfsNode, gcs: GcsBucket
) -> None:
    path, content = _warm(ranged, gcs, "oak.png")
    digest = xxhash.xxh3_128_digest(content)
    begin = threading.Barrier(16)
    wrong: list[object] = []

    def work() -> None:
        begin.wait()
        for _ in range(8):
            try:
                with _opened(path) as descriptor:
                    if xxhash.xxh3_128_digest(_read(descriptor)) != digest:
                        wrong.append("other bytes")
            except OSError as error:
                wrong.append(error)

    threads = [threading.Thread(target=work) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
    _wait_closed(ranged)


def test_more_files_than_may_be_passthrough_are_opened_as_usual(
    new_node: NewNode, gcs: GcsBucket
) -> None:
    settings = f"[mount]\npassthrough_files_max = 3\n{gcs_settings(gcs)}"
    node = new_node(f"gs://{gcs.bucket}/ant", settings=settings).mount()
    files = [_warm(node, gcs, f"tile{number}.png", 2 * MIB) for number in range(6)]
    for _ in range(2):
        with ExitStack() as stack:
            opened = [
                (stack.enter_context(_opened(path)), path, content) for path, content in files
            ]
            _check_backed(node, 3)
            for descriptor, path, content in opened:
                assert _fresh(descriptor) == content
                _check_every_kind_of_open(path, content)
        _wait_closed(node)


def test_two_names_of_the_same_bytes_are_two_files(ranged: ShotfsNode, gcs: GcsBucket) -> None:
    one, content = _warm(ranged, gcs, "one.png")
    gcs.put("ant/library/other/two.png", content)
    two = ranged.show / "library/other/two.png"
    assert two.read_bytes() == content
    wait_until(lambda: ranged.xattr(two, "state") == "cached")
    _wait_closed(ranged)
    with _opened(one) as first, _opened(two) as second:
        _check_backed(ranged, 2)
        assert _fresh(first) == _fresh(second) == content
        assert os.fstat(first).st_ino != os.fstat(second).st_ino
    _wait_closed(ranged)


def test_s03_a_revision_that_is_open_stays_as_it_is_when_another_one_comes(
    ranged: ShotfsNode, gcs: GcsBucket
) -> None:
    old, new = b"[1]" * 700_000, b"[1, 2]" * 500_000
    gcs.put("ant/config/scene.json", old)
    path = ranged.show / "config/scene.json"
    assert path.read_bytes() == old
    wait_until(lambda: ranged.xattr(path, "state") == "cached")
    with _opened(path) as before:
        assert os.pread(before, 4096, 0) == old[:4096]
        gcs.put("ant/config/scene.json", new)
        assert path.read_bytes() == new
        with _opened(path) as after:
            if ranged.mode.writable:  # there, nobody holds the old revision
                assert os.fstat(before).st_ino != os.fstat(after).st_ino
                assert _fresh(before) == old
            assert _fresh(after) == new
    _wait_closed(ranged)


def test_s06_wrong_bytes_of_the_origin_are_fetched_again(
    ranged: ShotfsNode, gcs: GcsBucket
) -> None:
    content = os.urandom(MIB // 2)
    gcs.put("ant/library/wrong/oak.png", content)
    fault = gcs.fault(Fault("corrupt", operation="read", after_bytes=1000, bucket=gcs.bucket))
    path = ranged.show / "library/wrong/oak.png"
    if not ranged.mode.writable:
        # The file has another inode by the time of the first read, and no open asks for that.
        with pytest.raises(OSError, match="Stale"):
            path.read_bytes()
    assert path.read_bytes() == content
    fault.wait_hits()
    wait_until(lambda: ranged.xattr(path, "state") == "cached")
    _wait_closed(ranged)
    _check_every_kind_of_open(path, content)


def test_s06_a_blob_that_was_damaged_while_it_was_open_gives_no_wrong_byte_once_it_was_found(
    ranged: ShotfsNode, gcs: GcsBucket
) -> None:
    path, content = _warm(ranged, gcs, "oak.png")
    digest = xxhash.xxh3_128_hexdigest(content)
    blob = ranged.directory / "cache/blobs" / digest[:2] / digest
    with _opened(path) as held:
        assert _fresh(held) == content
        blob.chmod(0o600)
        with open(blob, "r+b") as damaged:
            damaged.seek(MIB)
            damaged.write(bytes(byte ^ 1 for byte in content[MIB : MIB + 4096]))
        done = ranged.command("cache", "verify", "--repair", check=False)
        assert done.returncode == 1, done.stdout
        if ranged.mode.passthrough:
            # Nobody can tell the kernel to answer EIO: it is left nothing to read.
            assert os.pread(held, 4096, MIB) == b""
        elif ranged.mode.writable:
            wait_until(lambda: _fails(held))
        wait_until(lambda: path.read_bytes() == content)
        _check_every_kind_of_open(path, content)
    _wait_closed(ranged)
    _check_every_kind_of_open(path, content)
    assert ranged.command("cache", "verify").returncode == 0


def _fails(descriptor: int) -> bool:
    """Whether a read that the kernel has no pages for ends with EIO."""
    os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
    try:
        os.pread(descriptor, 4096, MIB)
    except OSError as error:
        return error.errno == errno.EIO
    return False


def test_copies_made_by_the_kernel_have_the_same_bytes(
    ranged: ShotfsNode, gcs: GcsBucket, tmp_path: Path
) -> None:
    path, content = _warm(ranged, gcs, "oak.png")
    shutil.copyfile(path, tmp_path / "sent.png")  # sendfile(2)
    assert (tmp_path / "sent.png").read_bytes() == content
    with _opened(path) as source, open(tmp_path / "spliced.png", "wb") as target:
        receiver, sender = os.pipe()
        try:
            while count := os.splice(source, sender, 65536):
                while count:
                    count -= os.splice(receiver, target.fileno(), count)
        finally:
            os.close(receiver)
            os.close(sender)
    assert (tmp_path / "spliced.png").read_bytes() == content
    _wait_closed(ranged)


# --- what is promised of published files, in the modes in which nothing can be written


def test_s16_attributes_of_published_files_survive_a_remount_and_listings_agree_with_stat(
    ranged: ShotfsNode, gcs: GcsBucket
) -> None:
    directory = ranged.show / "library/steady"
    for number in range(3):
        gcs.put(f"ant/library/steady/oak{number}.png", os.urandom(MIB * number + 17))
        assert (directory / f"oak{number}.png").read_bytes()

    def seen() -> list[tuple[str, int, int, int]]:
        found = []
        for entry in sorted(os.scandir(directory), key=lambda one: one.name):
            single, listed = os.stat(entry.path), entry.stat()
            assert entry.inode() == single.st_ino
            assert (listed.st_size, listed.st_mtime_ns) == (single.st_size, single.st_mtime_ns)
            found.append((entry.name, single.st_size, single.st_mtime_ns, single.st_ino))
        return found

    before = seen()
    assert len(before) == 3
    ranged.remount()
    assert seen() == before
    for number in range(3):
        path = directory / f"oak{number}.png"
        with _opened(path) as descriptor:
            after_read = os.fstat(descriptor)
            assert len(_fresh(descriptor)) == after_read.st_size
        assert (path.stat().st_size, path.stat().st_mtime_ns) == before[number][1:3]
    _wait_closed(ranged)


def test_s17_published_files_are_mapped_listed_and_told_about(
    ranged: ShotfsNode, gcs: GcsBucket
) -> None:
    path, content = _warm(ranged, gcs, "oak.png")
    with _opened(path) as descriptor:
        assert _mapped(descriptor) == content
    assert ranged.xattr(path, "digest") == xxhash.xxh3_128_hexdigest(content)
    gcs.put(f"ant/library/long/{'n' * 255}", b"long")
    assert (ranged.show / "library/long" / ("n" * 255)).read_bytes() == b"long"
    with pytest.raises(OSError, match=r"Read-only|not permitted|exists"):
        os.open(path, os.O_WRONLY)
    with pytest.raises(FileNotFoundError):
        os.stat(ranged.show / "no/such/path")
