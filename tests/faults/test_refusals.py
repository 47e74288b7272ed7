"""What may not be written: read-only templates and mounts, and outputs that are published."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.fuse.conftest import NewNode
from tests.fuse.node import ShotfsNode, wait_until
from tests.servers.handles import GcsBucket

pytestmark = pytest.mark.kernel

SHOT = "render/xy_1_100_030_00_v005"


def _errno_of(change: Callable[[], object]) -> int:
    """Return the errno that *change* gives, 0 for none."""
    try:
        change()
    except OSError as exc:
        return exc.errno or 0
    return 0


def _published(node: ShotfsNode, path: Path, data: bytes) -> Path:
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(data)
    node.wait_published()
    return path


def test_a_template_that_is_read_only_is_erofs_for_every_change(
    node: ShotfsNode, origin: Path
) -> None:
    (origin / "library/wood").mkdir(parents=True)
    (origin / "library/oak.png").write_bytes(b"oak")
    library = node.show / "library"
    oak = library / "oak.png"
    changes: dict[str, Callable[[], object]] = {
        "create": lambda: (library / "new.png").write_bytes(b""),
        "open to write": lambda: os.open(oak, os.O_WRONLY),
        "truncate": lambda: os.truncate(oak, 0),
        "mkdir": (library / "new").mkdir,
        "unlink": oak.unlink,
        "rename away": lambda: oak.rename(library / "elm.png"),
        "rename into": lambda: os.rename(_scratch(node), library / "elm.png"),
        "symlink": lambda: os.symlink("oak.png", library / "link.png"),
        "chmod": lambda: oak.chmod(0o600),
        "utime": lambda: os.utime(oak, (1, 1)),
    }
    found = {name: errno.errorcode[_errno_of(change)] for name, change in changes.items()}
    # What is published and immutable cannot be renamed, wherever it is.
    assert found == {**dict.fromkeys(changes, "EROFS"), "rename away": "EPERM"}
    assert oak.read_bytes() == b"oak"
    assert sorted(os.listdir(origin / "library")) == ["oak.png", "wood"]


def _scratch(node: ShotfsNode) -> Path:
    path = node.show / "notes/scratch.txt"
    path.write_bytes(b"scratch")
    return path


@pytest.mark.parametrize("way", ["option", "setting"])
def test_a_read_only_mount_is_erofs_for_every_change(
    new_node: NewNode, origin: Path, way: str
) -> None:
    (origin / SHOT).mkdir(parents=True)
    (origin / SHOT / "beauty.1001.exr").write_bytes(b"frame")
    settings = "[mount]\nread_only = true\n" if way == "setting" else ""
    options = ["--read-only"] if way == "option" else []
    node = new_node(f"file://{origin}", settings=settings).mount(*options)
    frame = node.show / SHOT / "beauty.1001.exr"
    assert frame.read_bytes() == b"frame"
    for change in (
        lambda: frame.with_name("beauty.1002.exr").write_bytes(b""),
        lambda: os.open(frame, os.O_WRONLY),
        (node.show / "notes/new").mkdir,
        frame.unlink,
        lambda: frame.rename(frame.with_name("beauty.1002.exr")),
        lambda: frame.chmod(0o600),
    ):
        assert _errno_of(change) == errno.EROFS
    assert node.status()["read_only"] is True


@pytest.mark.parametrize("flags", [os.O_WRONLY, os.O_RDWR, os.O_WRONLY | os.O_APPEND])
@pytest.mark.parametrize("more", [0, os.O_CREAT, os.O_CREAT | os.O_TRUNC])
def test_s02_nothing_opens_a_published_output_for_writing(
    shared_frame: Path, flags: int, more: int
) -> None:
    assert _errno_of(lambda: os.open(shared_frame, flags | more, 0o644)) == errno.EEXIST
    assert shared_frame.read_bytes() == b"published"


@pytest.fixture(scope="module")
def shared_frame(tmp_path_factory: pytest.TempPathFactory) -> object:
    """One published frame for all the ways to open it; nobody can change it."""
    directory = tmp_path_factory.mktemp("refusals")
    (directory / "origin").mkdir()
    node = ShotfsNode(directory / "node", f"file://{directory}/origin")
    try:
        node.mount()
        yield _published(node, node.show / SHOT / "beauty.1001.exr", b"published")
    finally:
        node.clear()


def test_s02_a_rename_onto_a_published_output_is_eexist_whatever_its_bytes(
    node: ShotfsNode, origin: Path
) -> None:
    frame = _published(node, node.show / SHOT / "beauty.1001.exr", b"first")
    for data in (b"first", b"other"):
        scratch = frame.with_name("beauty.1001.exr.tmp")
        scratch.write_bytes(data)
        assert _errno_of(lambda scratch=scratch: os.rename(scratch, frame)) == errno.EEXIST
        assert scratch.read_bytes() == data, "the scratch file is kept"
        scratch.unlink()
    assert frame.read_bytes() == b"first"
    assert (origin / SHOT / "beauty.1001.exr").read_bytes() == b"first"
    assert node.queue() == []


def test_s02_rewrite_compare_takes_the_same_bytes_without_an_upload(
    gcs_node: ShotfsNode, gcs: GcsBucket
) -> None:
    frame = _published(gcs_node, gcs_node.show / "compared/beauty.exr", b"pixels")
    generation = gcs.get("ant/compared/beauty.exr").generation
    scratch = frame.with_name("beauty.exr.tmp")
    scratch.write_bytes(b"pixels")
    os.rename(scratch, frame)
    assert not scratch.exists()
    assert frame.read_bytes() == b"pixels"
    gcs_node.wait_published()
    assert gcs.get("ant/compared/beauty.exr").generation == generation
    assert len([one for one in gcs.requests("insert") if one.status == 200]) <= 1


def test_s02_rewrite_compare_refuses_other_bytes_and_keeps_them_in_quarantine(
    gcs_node: ShotfsNode, gcs: GcsBucket
) -> None:
    frame = _published(gcs_node, gcs_node.show / "compared/beauty.exr", b"pixels")
    scratch = frame.with_name("beauty.exr.tmp")
    scratch.write_bytes(b"other!")
    assert _errno_of(lambda: os.rename(scratch, frame)) == errno.EEXIST
    assert frame.read_bytes() == b"pixels"
    assert gcs.read("ant/compared/beauty.exr") == b"pixels"
    items = gcs_node.wait_queue(state="quarantined")
    assert "compared/beauty.exr" in items[0]["error"]
    listed = gcs_node.command("publish", "queue").stdout
    assert "quarantined" in listed
    assert "compared/beauty.exr" in listed
    kept = gcs_node.directory / "cache/spool/quarantine"
    assert [path.read_bytes() for path in kept.iterdir()] == [b"other!"]
    # It survives, is shown again, and does not keep the service from ending.
    gcs_node.command("unmount", "--force", str(gcs_node.mountpoint))
    gcs_node.mount()
    assert len(gcs_node.wait_queue(state="quarantined")) == 1
    assert frame.read_bytes() == b"pixels"


def test_s02_readers_see_the_published_bytes_all_the_time(
    gcs_node: ShotfsNode, gcs: GcsBucket
) -> None:
    frame = _published(gcs_node, gcs_node.show / "compared/beauty.exr", b"pixels")
    with open(frame, "rb") as reader:
        for data in (b"pixels", b"other!", b"longer than the published one"):
            scratch = frame.with_name("beauty.exr.tmp")
            scratch.write_bytes(data)
            _errno_of(lambda scratch=scratch: os.rename(scratch, frame))
            reader.seek(0)
            assert reader.read() == b"pixels"
            assert frame.read_bytes() == b"pixels"
    wait_until(lambda: len(gcs_node.queue()) == 2)
    assert gcs.read("ant/compared/beauty.exr") == b"pixels"
