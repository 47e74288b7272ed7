"""A cache disk that refuses to be written, or fails: the mount reads on, and keeps nothing (S8)."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from tests.faults.conftest import NewGcsNode
from tests.faults.disk import FailingDisk
from tests.fuse.node import ShotfsNode, wait_until
from tests.servers.handles import GcsBucket

pytestmark = pytest.mark.kernel

MIB = 1 << 20
KINDS = ("read-only", "failing")


@pytest.fixture
def node(new_gcs_node: NewGcsNode, failing_disk: FailingDisk) -> ShotfsNode:
    """A mounted node whose cache alone is on the disk that will fail."""
    return new_gcs_node(
        f'[cache]\ndirectory = "{failing_disk.path}/cache"\n'
        f'[spool]\ndirectory = "{failing_disk.path.parent}/spool"\n'
        "[network]\nrange_bytes = 1048576\n"
    ).mount()


def _read_anew(path: Path) -> bytes:
    """Read *path* without the pages that the kernel has of it."""
    with open(path, "rb", buffering=0) as reader:
        os.posix_fadvise(reader.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
        return b"".join(iter(lambda: reader.read(MIB), b""))


def _noticed(node: ShotfsNode, path: Path) -> bytes | None:
    """Read *path*; None while the kernel still reads it by itself from a disk that fails."""
    try:
        return _read_anew(path)
    except OSError:
        if node.mode.passthrough:
            return None
        raise


@pytest.mark.parametrize("kind", KINDS)
def test_s08_a_cache_disk_that_breaks_is_no_error_to_readers_and_keeps_again_once_it_is_mended(
    node: ShotfsNode, gcs: GcsBucket, failing_disk: FailingDisk, kind: str
) -> None:
    contents = {
        "warm": os.urandom(3 * MIB), "warm-small": b"small", "cold": os.urandom(5 * MIB),
        "cold-small": b"cold",
    }  # fmt: skip
    for name, content in contents.items():
        gcs.put(f"ant/library/{name}.png", content)
    library = node.show / "library"
    for name in ("warm", "warm-small"):
        assert (library / f"{name}.png").read_bytes() == contents[name]
        wait_until(lambda name=name: node.xattr(library / f"{name}.png", "state") == "cached")
    with open(library / "warm.png", "rb", buffering=0) as held:
        start = held.read(4096)
        if kind == "read-only":
            failing_disk.go_read_only()
        else:
            failing_disk.fail()
        try:
            assert start + b"".join(iter(lambda: held.read(MIB), b"")) == contents["warm"]
        except OSError as error:
            # The kernel reads it by itself, and asks nobody what to do.
            if (node.mode.passthrough, kind, error.errno) != (True, "failing", errno.EIO):
                raise
    for name, content in contents.items():
        path = library / f"{name}.png"
        wait_until(lambda path=path, content=content: _noticed(node, path) == content)
    for name, content in contents.items():
        assert _read_anew(library / f"{name}.png") == content, name
    assert node.xattr(library / "cold.png", "state") == "remote"
    assert sorted(os.listdir(library)) == sorted(f"{name}.png" for name in contents)
    # An output goes its way: the spool is on another disk.
    (node.show / "compared/new.exr").write_bytes(b"pixels")
    node.wait_published()
    assert (node.show / "compared/new.exr").read_bytes() == b"pixels"

    node.unmount()
    failing_disk.repair()
    node.mount()
    for name, content in contents.items():
        path = library / f"{name}.png"
        wait_until(
            lambda path=path, content=content: (
                _read_anew(path) == content and node.xattr(path, "state") == "cached"
            )
        )
    assert node.command("cache", "verify").returncode == 0
