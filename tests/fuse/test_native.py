"""Files that the native thread answers for: right, evictable, and given back."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
import tempfile
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from shotfs.control.client import Client
from shotfs.prewarm.manifest import Subject, decode
from tests.fuse.conftest import NewNode
from tests.fuse.modes import NATIVE
from tests.fuse.node import SPEC, ShotfsNode, wait_until

pytestmark = pytest.mark.kernel


def content(name: str, size_bytes: int = 100_000) -> bytes:
    """Return bytes that no other file has."""
    return (name.encode() * (size_bytes // len(name) + 1))[:size_bytes]


@pytest.fixture
def native(new_node: NewNode, origin: Path) -> ShotfsNode:
    """A mounted node with eight files in the library; all content comes through the thread."""
    (origin / "library").mkdir()
    for index in range(8):
        name = f"file{index}"
        (origin / "library" / name).write_bytes(content(name))
    return new_node(f"file://{origin}", mode=NATIVE).mount()


def counts(node: ShotfsNode) -> dict[str, int]:
    """Return what the thread answered."""
    return dict(node.status()["kernel"]["native"])


def warm(node: ShotfsNode, name: str = "file0") -> Path:
    """Read a file through the mount until the native thread answers for it."""
    path = node.show / "library" / name
    known = counts(node)["files"]
    assert path.read_bytes() == content(name)
    wait_until(lambda: counts(node)["files"] > known)
    return path


def test_a_file_that_was_closed_is_opened_again_without_python(native: ShotfsNode) -> None:
    path = warm(native)
    before, upcalls = counts(native), native.metric("shotfs_upcalls_total")
    for _ in range(50):
        assert path.read_bytes() == content("file0")
    after = counts(native)
    assert after["open"] == before["open"] + 50
    wait_until(lambda: counts(native)["release"] == before["release"] + 50)
    assert native.metric("shotfs_upcalls_total") - upcalls < 10
    assert native.status()["kernel"]["open_files"] == 0


def test_reads_that_the_kernel_has_not_in_memory_are_answered_too(native: ShotfsNode) -> None:
    path = warm(native)
    with path.open("rb") as file:
        wait_until(lambda: counts(native)["open_files"] == 1)
        # Dropping the pages of this mount alone: the blob's own stay.
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
        before = counts(native)["read"]
        assert file.read() == content("file0")
        assert counts(native)["read"] > before


def test_opens_are_counted_and_extended_attributes_are_answered(native: ShotfsNode) -> None:
    path = warm(native)
    with pytest.raises(OSError, match="No data") as refused:
        os.getxattr(path, "security.capability")
    assert refused.value.errno == errno.ENODATA
    assert native.xattr(path, "state") == "cached"
    assert counts(native)["getxattr"] > 0


def test_writing_to_it_is_refused_as_ever(native: ShotfsNode) -> None:
    path = warm(native)
    path_before = path.stat()
    for flags in (os.O_WRONLY, os.O_RDWR, os.O_WRONLY | os.O_TRUNC):
        with pytest.raises(OSError) as refused:  # noqa: PT011 - the errno is what is promised
            os.open(path, flags)
        assert refused.value.errno in (errno.EEXIST, errno.EPERM, errno.EROFS)
    for change in (lambda: os.truncate(path, 0), lambda: path.chmod(0o777), path.unlink):
        with pytest.raises(OSError) as refused:  # noqa: PT011
            change()
        assert refused.value.errno in (errno.EPERM, errno.EROFS)
    assert path.read_bytes() == content("file0")
    assert path.stat().st_ino == path_before.st_ino


def test_s11_an_idle_file_is_evicted_and_an_open_one_is_not(native: ShotfsNode) -> None:
    idle, held = warm(native, "file0"), warm(native, "file1")
    with held.open("rb") as file:
        wait_until(lambda: counts(native)["open_files"] == 1)
        native.command("cache", "evict", "--all")
        wait_until(lambda: native.xattr(idle, "state") == "remote")
        assert native.xattr(held, "state") == "cached"
        assert file.read() == content("file1")
    wait_until(lambda: native.status()["kernel"]["open_files"] == 0)
    assert idle.read_bytes() == content("file0")
    assert held.read_bytes() == content("file1")


def test_no_more_files_than_the_limit(new_node: NewNode, origin: Path) -> None:
    (origin / "library").mkdir()
    for index in range(8):
        (origin / "library" / f"file{index}").write_bytes(content(f"file{index}"))
    node = new_node(
        f"file://{origin}", settings="[mount]\nnative_files_max = 3\n", mode=NATIVE
    ).mount()
    for _ in range(5):
        for index in range(8):
            name = f"file{index}"
            assert (node.show / "library" / name).read_bytes() == content(name)
            assert counts(node)["files"] <= 3
    wait_until(lambda: node.status()["kernel"]["open_files"] == 0)


def test_another_specification_shows_its_modes_at_once(native: ShotfsNode) -> None:
    path = warm(native)
    assert path.stat().st_mode & 0o777 == 0o444
    templates: dict[str, Any] = dict(SPEC["templates"])
    templates["library"] = {**templates["library"], "mode": "0600"}
    (native.directory / "spec.json").write_text(_document(native, {**SPEC, "templates": templates}))
    native.command("spec", "reload")
    assert path.stat().st_mode & 0o777 == 0o400
    assert path.read_bytes() == content("file0")


def test_many_threads_read_while_everything_is_evicted_again_and_again(native: ShotfsNode) -> None:
    names = [f"file{index}" for index in range(8)]
    ended = threading.Event()

    def read(number: int) -> int:
        done = 0
        while not ended.is_set() or done == 0:
            name = names[(number + done) % len(names)]
            assert (native.show / "library" / name).read_bytes() == content(name)
            done += 1
        return done

    with ThreadPoolExecutor(16) as pool:
        readers = [pool.submit(read, number) for number in range(16)]
        for _ in range(3):
            native.command("cache", "evict", "--all")
        ended.set()
        assert all(reader.result(60) > 0 for reader in readers)
    wait_until(lambda: native.status()["kernel"]["open_files"] == 0)


def test_large_writes_pass_through_the_queue_whole(native: ShotfsNode) -> None:
    path = native.show / "notes" / "large.bin"
    path.parent.mkdir(exist_ok=True)
    data = os.urandom(8 * 1024 * 1024 + 4321)
    path.write_bytes(data)
    assert path.read_bytes() == data


def test_an_unmount_in_the_middle_of_reads_ends_in_order(native: ShotfsNode) -> None:
    path = warm(native)
    with path.open("rb"):
        native.command("unmount", "--force", str(native.mountpoint))
        native.wait_ended()
    assert "Traceback" not in native.log_text()
    native.mount()
    assert path.read_bytes() == content("file0")


def _document(node: ShotfsNode, spec: dict[str, Any]) -> str:
    now = json.loads((node.directory / "spec.json").read_text())
    return json.dumps({**spec, "roots": now["roots"]})


def test_who_opens_what_is_told_though_python_is_not_asked(native: ShotfsNode) -> None:
    for index in range(3):
        warm(native, f"file{index}")
    before = counts(native)["open"]
    with Client(native.socket) as client:
        number = client.record.start(Subject(job="j7"))
    loop = (
        "import sys\n"
        "for path in 50 * sys.argv[1:]:\n"
        "    with open(path, 'rb') as file: file.read(1)\n"
    )
    paths = [str(native.show / "library" / f"file{index}") for index in range(3)]
    subprocess.run([sys.executable, "-I", "-c", loop, *paths], env={"SHOTFS_JOB": "j7"}, check=True)
    # Of another job, and so nobody's business here.
    subprocess.run(["cat", str(native.show / "library/file7")], check=True, capture_output=True)
    answered = counts(native)["open"] - before
    with Client(native.socket) as client, tempfile.TemporaryFile() as file:
        client.record.stop(number)
        client.record.fetch_taken(number, file)
        file.seek(0)
        _, entries = decode(file.read(), "recording")
    assert answered >= 100, "all but the first opens of its one thread"
    assert sorted(entry.path for entry in entries) == [f"ant/library/file{n}" for n in range(3)]
