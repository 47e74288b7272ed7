"""An object that is replaced or deleted in the origin while somebody uses it."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from tests.faults.conftest import NewGcsNode
from tests.fuse.node import ShotfsNode, wait_until
from tests.servers.gcs import Fault
from tests.servers.handles import GcsBucket

pytestmark = pytest.mark.kernel

MIB = 1 << 20

SMALL_RANGES = "[network]\nrange_bytes = 1048576\n"
"""One block a request: a file of a few megabytes then arrives in many parts."""


def _read(path: Path) -> bytes | int:
    """Return the content of *path*, or the errno that reading it gave."""
    try:
        return path.read_bytes()
    except OSError as exc:
        return exc.errno or 0


@pytest.mark.parametrize("template", ["library/oak.png", "config/scene.json"])
def test_s03_an_object_replaced_between_stat_and_open_is_estale_or_the_new_one(
    gcs_node: ShotfsNode, gcs: GcsBucket, template: str
) -> None:
    path = gcs_node.show / template
    gcs.put(f"ant/{template}", b"old bytes")
    assert path.stat().st_size == len(b"old bytes")
    gcs.put(f"ant/{template}", b"the new bytes")
    assert _read(path) in (errno.ESTALE, b"the new bytes")
    assert path.read_bytes() == b"the new bytes"
    assert path.stat().st_size == len(b"the new bytes")


def test_s03_an_object_replaced_between_open_and_read_is_estale(
    gcs_node: ShotfsNode, gcs: GcsBucket
) -> None:
    # The stream is held until the object has changed: only then does its first byte come.
    hold = gcs.fault(Fault("stall", operation="read", bucket=gcs.bucket))
    path = gcs_node.show / "library/oak.png"
    gcs.put("ant/library/oak.png", b"old bytes")
    with open(path, "rb") as reader:
        inode = os.fstat(reader.fileno()).st_ino
        hold.wait_hits()
        gcs.put("ant/library/oak.png", b"the new bytes")
        hold.release()
        with pytest.raises(OSError, match="Stale file handle"):
            reader.read()
        assert path.read_bytes() == b"the new bytes"
        assert path.stat().st_ino != inode, "a new revision is a new inode"
        with pytest.raises(OSError, match="Stale file handle"):
            os.pread(reader.fileno(), 100, 0)


def test_s03_an_object_deleted_between_open_and_read_is_estale_then_enoent(
    gcs_node: ShotfsNode, gcs: GcsBucket
) -> None:
    hold = gcs.fault(Fault("stall", operation="read", bucket=gcs.bucket))
    path = gcs_node.show / "library/oak.png"
    gcs.put("ant/library/oak.png", b"bytes")
    with open(path, "rb") as reader:
        hold.wait_hits()
        gcs.delete("ant/library/oak.png")
        hold.release()
        with pytest.raises(OSError, match="Stale file handle"):
            reader.read()
    with pytest.raises(FileNotFoundError):
        path.read_bytes()


def test_s03_a_large_object_replaced_in_mid_stream_is_never_mixed(
    new_gcs_node: NewGcsNode, gcs: GcsBucket
) -> None:
    node = new_gcs_node(SMALL_RANGES).mount()
    size = 16 * MIB
    path = node.show / "library/movie.mov"
    gcs.put("ant/library/movie.mov", b"o" * size)
    # Four of the sixteen parts arrive; the others are asked for, and wait for us.
    hold = gcs.fault(Fault("stall", operation="read", skip=4, times=None, bucket=gcs.bucket))
    with open(path, "rb", buffering=0) as reader:
        assert reader.read(MIB) == b"o" * MIB
        hold.wait_hits()
        gcs.put("ant/library/movie.mov", b"n" * (size + 1))
        hold.release()
        seen: list[bytes] = []
        with pytest.raises(OSError, match="Stale file handle"):
            seen.extend(iter(lambda: reader.read(MIB), b""))
        assert sum(map(len, seen)) < size - MIB
        assert set(b"".join(seen)) <= {ord("o")}, "a descriptor never mixes two revisions"
        with pytest.raises(OSError, match="Stale file handle"):
            os.pread(reader.fileno(), MIB, size - MIB)
    assert path.read_bytes() == b"n" * (size + 1)


def test_s03_a_large_object_deleted_in_mid_stream_is_estale_then_enoent(
    new_gcs_node: NewGcsNode, gcs: GcsBucket
) -> None:
    node = new_gcs_node(SMALL_RANGES).mount()
    path = node.show / "library/movie.mov"
    gcs.put("ant/library/movie.mov", b"o" * 16 * MIB)
    hold = gcs.fault(Fault("stall", operation="read", skip=4, times=None, bucket=gcs.bucket))
    with open(path, "rb", buffering=0) as reader:
        assert reader.read(MIB) == b"o" * MIB
        hold.wait_hits()
        gcs.delete("ant/library/movie.mov")
        hold.release()
        with pytest.raises(OSError, match="Stale file handle"):
            list(iter(lambda: reader.read(MIB), b""))
    wait_until(lambda: _read(path) == errno.ENOENT)
    assert node.status()["cache"]["files"] == 0


@pytest.mark.parametrize("change", ["replaced", "deleted"])
def test_s03_a_reader_keeps_the_whole_file_that_it_has_when_its_object_changes(
    new_gcs_node: NewGcsNode, gcs: GcsBucket, change: str
) -> None:
    node = new_gcs_node(SMALL_RANGES).mount()
    old, new = b"o" * 3 * MIB, b"n" * 3 * MIB
    # A template whose files are looked at anew at every open.
    path = node.show / "config/scene.json"
    gcs.put("ant/config/scene.json", old)
    assert path.read_bytes() == old
    wait_until(lambda: node.xattr(path, "state") == "cached")
    with open(path, "rb", buffering=0) as reader:
        assert reader.read(MIB) == old[:MIB]
        if change == "replaced":
            gcs.put("ant/config/scene.json", new)
            assert path.read_bytes() == new
        else:
            gcs.delete("ant/config/scene.json")
            assert _read(path) == errno.ENOENT
        assert reader.read(MIB) + reader.read(MIB) == old[MIB:]
        assert os.pread(reader.fileno(), MIB, 0) == old[:MIB]
